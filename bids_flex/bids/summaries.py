"""What the participant level has left of every run, read fast: ten thousand people have forty thousand files."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bids_flex.bids.names import entities_of
from bids_flex.bids.results import RunResult, read_sidecar
from bids_flex.errors import DatasetFileError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from numpy.typing import NDArray

AGAIN = "run the participant level again"
SUMMARY = "_dynamics.json"


@dataclass(frozen=True, slots=True, eq=False)
class RegionTable:
    """The table of regions of one run and one engine.

    Attributes
    ----------
    regions, networks : tuple of str
        Of each row.
    columns : tuple of str
        Measures, and what null models say about them.
    values : ndarray, shape (regions, columns)
        NaN where the file says ``n/a``.
    """

    regions: tuple[str, ...]
    networks: tuple[str, ...]
    columns: tuple[str, ...]
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class LabelTable:
    """The communities of one run: names of the regions, onsets (W,) in seconds, labels (W, N), 0: not searched."""

    regions: tuple[str, ...]
    onsets_s: NDArray[np.float64]
    labels: NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Status:
    """What became of a run in the newest call that names it, and the folder of that call below ``logs``."""

    run: str
    state: str
    reason: str
    log: str


def find_summaries(output_dir: Path) -> dict[str, list[Path]]:
    """Find the summaries of all runs, by engine; each sorted by name."""
    found: dict[str, list[Path]] = {}
    for folder in _func_folders(output_dir):
        with os.scandir(folder) as entries:
            names = [one.name for one in entries if one.name.endswith(SUMMARY) and "_desc-" in one.name]
        for name in names:
            path = folder / name
            found.setdefault(entities_of(path).get("desc", ""), []).append(path)
    return {engine: sorted(paths) for engine, paths in sorted(found.items())}


def participant_folders(output_dir: Path) -> list[str]:
    """List the participants who have a folder, without ``sub-``."""
    if not output_dir.is_dir():
        return []
    with os.scandir(output_dir) as entries:
        return sorted(one.name[4:] for one in entries if one.name.startswith("sub-") and one.is_dir())


def _func_folders(output_dir: Path) -> Iterator[Path]:
    """Visit ``func`` of every participant and session; a search through all folders would be slow."""
    for label in participant_folders(output_dir):
        folder = output_dir / f"sub-{label}"
        with os.scandir(folder) as entries:
            inner = sorted(one.name for one in entries if one.is_dir())
        for name in inner:
            path = folder / name if name == "func" else folder / name / "func"
            if (name == "func" or name.startswith("ses-")) and path.is_dir():
                yield path


def read_summary(path: Path) -> RunResult:
    """Read the summary of one run and one engine.

    Raises
    ------
    DatasetFileError
        When it is not whole.
    """
    summary = read_sidecar(path)
    needed = ("Engine", "Global", "Networks", "Windows", "Quality", "SettingsHash", "RepetitionTime", "Regions")
    missing = [name for name in needed if summary is None or name not in summary]
    if summary is None or missing:
        raise DatasetFileError(f"{path} is not a whole sidecar of bids_flex (no {', '.join(missing)}): {AGAIN}")
    return RunResult(path, entities_of(path), summary)


def read_regions(path: Path, without: Collection[str] = ()) -> RegionTable:
    """Read a run's table of regions.

    Parameters
    ----------
    path : Path
        Of the summary; the table lies beside it.
    without : collection of str, optional
        Endings of columns that are not needed.

    Raises
    ------
    DatasetFileError
        When it is missing or not whole.
    """
    table = path.with_suffix(".tsv")
    header, lines = _lines(table)
    rows = [line.split("\t", 2) for line in lines]
    if header[:2] != ["region", "network"] or any(len(row) != 3 for row in rows):
        raise DatasetFileError(f"{table} is not a whole table of regions: {AGAIN}")
    wanted = np.array([not name.endswith(tuple(without)) for name in header[2:]], dtype=bool)
    values = _numbers(table, [row[2] for row in rows], wanted)
    columns = tuple(name for name, want in zip(header[2:], wanted, strict=True) if want)
    return RegionTable(tuple(row[0] for row in rows), tuple(row[1] for row in rows), columns, values)


def read_labels(path: Path, which: str) -> LabelTable:
    """Read the communities of one run.

    Parameters
    ----------
    path : Path
        Of a summary of the run.
    which : str
        ``desc-`` of the labels: ``prior``, ``multilayerbest``, ``multilayerconsensus``.

    Raises
    ------
    DatasetFileError
        When the table is missing or not whole.
    """
    table = path.with_name(f"{path.name.rpartition('_desc-')[0]}_desc-{which}_communities.tsv")
    header, lines = _lines(table)
    rows = [line.split("\t", 3) for line in lines]
    regions = tuple(header[3:])
    if header[:3] != ["onset", "duration", "kept_frames"] or any(len(row) != 4 for row in rows):
        raise DatasetFileError(f"{table} is not a whole table of communities: {AGAIN}")
    labels = _labels(table, [row[3] for row in rows], len(regions))
    return LabelTable(regions, _numbers(table, [row[0] for row in rows], np.ones(1, dtype=bool))[:, 0], labels)


def _lines(table: Path) -> tuple[list[str], list[str]]:
    """Read a table as its header's fields and its other lines."""
    try:
        text = table.read_text(encoding="utf8")
    except (OSError, ValueError) as error:
        raise DatasetFileError(f"{table} cannot be read ({error}): {AGAIN}") from error
    if not text.endswith("\n"):
        raise DatasetFileError(f"{table} ends in the middle of a line: {AGAIN}")
    first, *lines = text[:-1].split("\n")
    return first.split("\t"), lines


def _numbers(table: Path, lines: list[str], wanted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Turn lines of numbers into an array of the wanted columns (lines, columns); the others are not even parsed."""
    fields = "\t".join(lines).replace("n/a", "nan").split("\t")
    if len(fields) != len(lines) * wanted.size:
        raise DatasetFileError(f"{table}: {len(lines)} lines do not have {wanted.size} values each: {AGAIN}")
    taken = [fields[column :: wanted.size] for column in np.flatnonzero(wanted)]
    try:
        return np.array([[float(field) for field in column] for column in taken], dtype=np.float64).T
    except ValueError as error:
        raise DatasetFileError(f"{table} holds what is no number ({error}): {AGAIN}") from error


def _labels(table: Path, lines: list[str], regions: int) -> NDArray[np.int16]:
    """Turn lines of labels into an array (windows, regions)."""
    raw = np.frombuffer("\t".join(lines).replace("n/a", "0").encode(), dtype=np.uint8)
    figures = raw[::2] - np.uint8(ord("0"))
    # labels of one figure, as networks mostly have, stand at every other place
    if raw.size == 2 * len(lines) * regions - 1 and (raw[1::2] == ord("\t")).all() and (figures <= 9).all():
        return figures.astype(np.int16).reshape(len(lines), regions)
    return np.nan_to_num(_numbers(table, lines, np.ones(regions, dtype=bool))).astype(np.int16)


def read_statuses(output_dir: Path) -> list[Status]:
    """Read what became of every run, from the newest call that names it; sorted by name."""
    newest: dict[str, Status] = {}
    logs = sorted((output_dir / "logs").glob("*/status.tsv"), key=lambda path: (path.stat().st_mtime_ns, path.name))
    for path in logs:
        with path.open(encoding="utf8", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
                name = row.get("run") or ""
                if name:
                    newest[name] = Status(name, row.get("state") or "", row.get("reason") or "", path.parent.name)
    return [newest[name] for name in sorted(newest)]


def entities_of_run(name: str) -> dict[str, str]:
    """Take the entities from the name of a run, which has no suffix."""
    return entities_of(Path(f"{name}_bold"))
