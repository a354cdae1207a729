"""Networks merged, renamed or assigned by a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bids_flex.errors import DatasetFileError
from bids_flex.signal.atlas_files import MISSING, few, read_tsv

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd


def apply_networks(path: Path, labels: tuple[str, ...], networks: tuple[str, ...] | None) -> tuple[str, ...]:
    """Give regions the networks that a table says.

    The table has either the columns ``network`` and ``becomes`` (a network takes another name; two that take the same
    one are merged; ``n/a`` stands for regions without any), or ``label`` and ``network`` (a region belongs to a
    network). What the table does not name stays as it is.

    Parameters
    ----------
    path : Path
        The table.
    labels : tuple of str
        Regions.
    networks : tuple of str or None
        Their networks so far, empty where there is none.

    Returns
    -------
    tuple of str
        One network for each region.

    Raises
    ------
    DatasetFileError
        When the table names what the atlas does not have, says nothing or the same twice, or leaves a region without.
    """
    table = read_tsv(path, "network").map(str.strip)
    before = networks or ("",) * len(labels)
    if "becomes" in table:
        known = _mapping(path, table, "network", "becomes", set(before))
        after = tuple(known.get(name, name) for name in before)
    elif "label" in table:
        known = _mapping(path, table, "label", "network", set(labels))
        after = tuple(known.get(label, name) for label, name in zip(labels, before, strict=True))
    else:
        raise DatasetFileError(
            f"{path} has the columns {', '.join(table.columns)}: it needs network and becomes, or label and network"
        )
    without = [label for label, name in zip(labels, after, strict=True) if not name]
    if without:
        raise DatasetFileError(f"{path} leaves regions without a network ({few(without)}): add a row for them")
    return after


def _mapping(path: Path, table: pd.DataFrame, source: str, target: str, there: set[str]) -> dict[str, str]:
    """Read what becomes of what, and hold it against what there is."""
    keys = ["" if key in MISSING else key for key in table[source]]
    twice = table[source][table[source].duplicated()].unique()
    if len(twice):
        raise DatasetFileError(f"{path}: column {source!r} names {few(list(twice))} more than once")
    unknown = sorted(set(keys) - there)
    if unknown:
        listed = few(sorted(name or "n/a" for name in there))
        raise DatasetFileError(
            f"{path}: the atlas has no {source} {few([name or 'n/a' for name in unknown])}; it has {listed}"
        )
    empty = [key or "n/a" for key, value in zip(keys, table[target], strict=True) if value in MISSING]
    if empty:
        raise DatasetFileError(f"{path}: column {target!r} is empty for {few(empty)}")
    return dict(zip(keys, table[target], strict=True))
