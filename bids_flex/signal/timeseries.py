"""Regional series that other programs have written: XCP-D, giga_connectome, HALFpipe, or anybody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bids_flex.content import why_ragged, why_too_wide
from bids_flex.errors import RunError
from bids_flex.signal.atlas_files import check_content, few
from bids_flex.signal.cifti import open_series

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from bids_flex.signal.atlas import Atlas

    Floats = NDArray[np.float64]

FD = "framewise_displacement"
"""Its column in tables of motion."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A table of series as it is.

    Attributes
    ----------
    values : ndarray, shape (T, columns)
        NaN where the table says ``n/a``.
    labels : tuple of str
        Names of the columns; empty when it has none, or only numbers from 0 or 1 on.
    tr_s : float
        Repetition time in seconds, 0 when the file does not say it.
    """

    values: Floats
    labels: tuple[str, ...]
    tr_s: float


@dataclass(frozen=True, slots=True, eq=False)
class ForeignSeries:
    """Regional series of a run on its whole time axis.

    Attributes
    ----------
    series : ndarray, shape (T, N)
        In the order of the atlas; NaN in censored volumes, and in regions that cannot be used.
    keep : ndarray of bool, shape (T,)
        False for censored volumes.
    fd : ndarray, shape (T,)
        Framewise displacement in mm; NaN where it is not known.
    poor : tuple of (str, str)
        Regions that cannot be used, and why.
    """

    series: Floats
    keep: NDArray[np.bool_]
    fd: Floats
    poor: tuple[tuple[str, str], ...]


def read_table(path: Path) -> Table:
    """Read a table of series: tab-separated, with or without a row of names, or a CIFTI file of parcels.

    Raises
    ------
    RunError
        When it cannot be read, or holds what is neither a number nor ``n/a``.
    """
    check_content(path)
    return _read_parcels(path) if path.name.endswith(".nii") else _read_text(path)


def _read_parcels(path: Path) -> Table:
    """Read a ``.ptseries.nii`` file."""
    from nibabel import cifti2

    image, axis, tr_s = open_series(path)
    if not isinstance(axis, cifti2.ParcelsAxis):
        raise RunError(f"{path.name} holds no parcels: a .ptseries.nii file is needed")
    return Table(np.asarray(image.dataobj, dtype=np.float64), tuple(map(str, axis.name)), tr_s)


def _read_text(path: Path) -> Table:
    """Read a ``.tsv`` file."""
    import pandas as pd

    if told := why_too_wide(path):
        raise RunError(f"{told}: restore the file")
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        first = file.readline().rstrip("\r\n").split("\t")
    named = _is_header(first)
    if told := why_ragged(path, named=named):
        raise RunError(told)
    try:
        table = pd.read_csv(path, sep="\t", header=0 if named else None, na_values=["n/a"], encoding="utf-8-sig")
        values = table.to_numpy(dtype=np.float64)
    except (ValueError, OSError) as error:
        raise RunError(f"{path.name} is no table of numbers and n/a ({error}): restore the file") from error
    if values.size == 0:
        raise RunError(f"{path.name} holds no series: restore the file")
    labels = tuple(name.strip() for name in first) if named and not _counts(first) else ()
    if twice := sorted({label for label in labels if labels.count(label) > 1}):
        raise RunError(f"{path.name} has two columns of one name: {few(twice)}")
    return Table(values, labels, 0.0)


def _is_header(fields: list[str]) -> bool:
    """Tell a row of names from a row of numbers: some tables have none."""
    return _counts(fields) or not all(_is_number(field) for field in fields)


def _counts(fields: list[str]) -> bool:
    """Tell whether names are but numbers in a row, from 0 or 1 on."""
    # no table has columns by the billion, and int() refuses thousands of digits
    whole = [int(field) if field.strip().isdecimal() and len(field) < 10 else -1 for field in fields]
    return len(whole) > 1 and whole[0] in (0, 1) and whole == list(range(whole[0], whole[0] + len(whole)))


def _is_number(text: str) -> bool:
    """Tell whether a field is a number or stands for a missing one."""
    try:
        float(text)
    except ValueError:
        return text.strip() in ("", "n/a", "NA")
    return True


def read_mask(path: Path) -> NDArray[np.bool_]:
    """Read a temporal mask as XCP-D writes it (``_outliers.tsv``): 1 for a censored volume.

    Returns
    -------
    ndarray of bool, shape (T,)
        True for kept volumes.

    Raises
    ------
    RunError
        When it is no table of zeros and ones.
    """
    table = read_table(path).values
    if not np.isin(table, (0.0, 1.0)).all():
        raise RunError(f"{path.name} is no temporal mask: every value must be 0 (kept) or 1 (censored)")
    return np.asarray(~(table == 1).any(axis=1))


def read_displacement(path: Path, volumes: int) -> tuple[Floats, str]:
    """Read framewise displacement in mm from a table of motion (``_motion.tsv``).

    Parameters
    ----------
    path : Path
        The table.
    volumes : int
        Of the whole run.

    Returns
    -------
    ndarray, shape (volumes,)
        NaN where it is not known: in all volumes, when the table does not fit.
    str
        Why it does not fit; empty when it does.

    Raises
    ------
    RunError
        When it is no table of numbers, or no motion can be what stands in it.
    """
    table = read_table(path)
    unknown = np.full(volumes, np.nan)
    if FD not in table.labels:
        return unknown, f"{path.name} has no column {FD}: motion is not known"
    values = table.values[:, table.labels.index(FD)]
    odd = np.flatnonzero(np.isinf(values) | (values < 0))
    if odd.size:
        raise RunError(
            f"{path.name}: {FD} is {values[odd[0]]:g} in row {odd[0] + 1}, which no motion can be: restore the file"
        )
    if len(values) != volumes:
        return unknown, (
            f"{path.name} has {len(values)} rows and the run has {volumes} volumes: they do not belong together, and "
            "motion is not known"
        )
    if not np.isfinite(values).any():
        return values, f"{path.name} has no value of {FD}: motion is not known"
    # before the first volume there is nothing that a head could have moved from
    if (holes := np.flatnonzero(np.isnan(values[1:])) + 2).size:
        more = f" and {holes.size - 1} others" if holes.size > 1 else ""
        return values, f"{path.name} has no value of {FD} in row {holes[0]}{more}: the mean is that of the rest"
    return values, ""


def arrange(
    table: Table, atlas: Atlas, name: str, keep: NDArray[np.bool_] | None = None, fd: Floats | None = None
) -> ForeignSeries:
    """Lay a table's columns out in the order of an atlas, and its rows on the whole time axis.

    Nothing is ever joined across a gap: rows of ``n/a`` are censored volumes, and where a mask says that censored
    volumes were cut out, they come back as missing.

    Parameters
    ----------
    table : Table
        As read.
    atlas : Atlas
        Regions; columns without names must be as many, in its order.
    name : str
        Of the file, for messages.
    keep : ndarray of bool, shape (T,), optional
        Temporal mask of the whole run: as long as the table, or with as many kept volumes as the table has rows.
    fd : ndarray, shape (T,), optional
        Framewise displacement of the whole run in mm, as long as the mask or, without one, the table.

    Raises
    ------
    RunError
        When columns or rows do not fit, no volume is kept, or no region is usable.
    """
    columns, absent = _columns(table, atlas, name)
    values = _on_axis(columns, keep, name)
    there = np.isfinite(values).any(axis=0)
    kept: NDArray[np.bool_] = np.asarray(np.isfinite(values[:, there]).any(axis=1))
    if keep is not None:
        kept &= keep
    if not kept.any():
        raise RunError(f"{name} has no volume with a value that is not censored: leave the run out")
    values[~kept] = np.nan
    poor = _poor(values, kept, atlas, absent)
    if len(poor) == len(atlas.labels):
        raise RunError(f"no region of {name} is usable; the first, {poor[0][0]}, {poor[0][1]}")
    for label, _ in poor:
        values[:, atlas.labels.index(label)] = np.nan
    known = np.full(len(kept), np.nan) if fd is None else fd
    return ForeignSeries(values, kept, known, poor)


def _columns(table: Table, atlas: Atlas, name: str) -> tuple[Floats, set[str]]:
    """Put columns in the order of the atlas; tell regions without one."""
    count = table.values.shape[1]
    if not table.labels:
        if count != len(atlas.labels):
            raise RunError(
                f"{name} has {count} columns without names, and {atlas.name} has {len(atlas.labels)} regions: "
                "name the table made for it with --atlas-table"
            )
        return table.values.copy(), set()
    known = set(atlas.labels)
    unknown = [label for label in table.labels if label not in known]
    if unknown:
        raise RunError(f"{name} has columns that are no regions of {atlas.name}: {few(unknown)}; see --atlas-table")
    out = np.full((len(table.values), len(atlas.labels)), np.nan)
    place = {label: number for number, label in enumerate(atlas.labels)}
    out[:, [place[label] for label in table.labels]] = table.values
    return out, known - set(table.labels)


def _on_axis(values: Floats, keep: NDArray[np.bool_] | None, name: str) -> Floats:
    """Put rows back where censored ones were cut out."""
    if keep is None or len(keep) == len(values):
        return values
    if int(keep.sum()) != len(values):
        raise RunError(
            f"{name} has {len(values)} rows, but the temporal mask has {len(keep)} volumes of which {int(keep.sum())} "
            "are kept: they do not belong together"
        )
    whole = np.full((len(keep), values.shape[1]), np.nan)
    whole[keep] = values
    return whole


def _poor(values: Floats, kept: NDArray[np.bool_], atlas: Atlas, absent: set[str]) -> tuple[tuple[str, str], ...]:
    """List regions that cannot be used, and why."""
    finite = np.isfinite(values[kept])
    still = np.ptp(np.where(finite, values[kept], 0.0), axis=0) == 0
    found = []
    for place, label in enumerate(atlas.labels):
        if label in absent:
            found.append((label, "has no column"))
        elif not finite[:, place].any():
            found.append((label, "has no value"))
        elif not finite[:, place].all():
            found.append((label, "misses values in volumes that other regions have"))
        elif still[place]:
            found.append((label, "does not vary"))
    return tuple(found)
