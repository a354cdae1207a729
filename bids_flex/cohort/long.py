"""The long table: one row for every run, engine, place and measure, with what null models say and the run's quality."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bids_flex.bids.summaries import read_regions, read_summary
from bids_flex.cohort.blocks import region_layout
from bids_flex.cohort.facts import ALL_KINDS, facts_of, scaled, told_row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from bids_flex.cohort.facts import Layout
    from bids_flex.cohort.people import Cohort, Column

    Floats = NDArray[np.float64]

WHO = ("participant_id", "session", "run")
WHAT = ("engine", "level", "network", "region", "measure")
PARTS = ("observed", *ALL_KINDS)


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Rows that every run of an engine has: their columns in the table of runs, and their names."""

    columns: tuple[Column, ...]
    places: NDArray[np.intp]
    names: dict[str, list[str | None]]
    compared: bool


def long_table(cohort: Cohort) -> Iterator[pd.DataFrame]:
    """Give the long table part by part: one run and engine after the other.

    Parameters
    ----------
    cohort : Cohort
        Its runs; what null models say is read from their files again, because all of it together would be large.

    Yields
    ------
    pandas.DataFrame
        ``participant_id``, ``session``, ``run``, ``engine``, ``level``, ``network``, ``region``, ``measure``;
        ``observed``, ``null_mean``, ``null_sd``, ``excess``, ``z``, ``p``; ``repetition_time``, the engine's
        ``windows`` and ``valid_pairs``, and the quality of the run. Texts that do not apply are missing. Null
        values are missing where runs were cut, since surrogates were of whole runs.

    Raises
    ------
    DatasetFileError
        When a file is not whole.
    """
    rows = {engine: _rows(cohort, engine) for engine in cohort.sources}
    seen: dict[Layout, dict[str, NDArray[np.intp]]] = {}
    for number in range(len(cohort.runs)):
        for engine, paths in cohort.sources.items():
            path = paths[number]
            if path is not None:
                yield _part(cohort, number, rows[engine], engine, path, seen)


def _rows(cohort: Cohort, engine: str) -> _Rows:
    """List the observed measures of an engine."""
    columns = tuple(one for one in cohort.columns if one.engine == engine and one.kind == "observed")
    index = {name: place for place, name in enumerate(cohort.runs.columns)}
    names = {name: [getattr(one, name) or None for one in columns] for name in WHAT}
    compared = any(one.engine == engine and one.kind == "excess" for one in cohort.columns)
    return _Rows(columns, np.array([index[one.name] for one in columns], dtype=np.intp), names, compared)


def _part(
    cohort: Cohort,
    number: int,
    rows: _Rows,
    engine: str,
    path: Path,
    seen: dict[Layout, dict[str, NDArray[np.intp]]],
) -> pd.DataFrame:
    """Make the rows of one run and engine."""
    import pandas as pd

    run = cohort.runs.iloc[number]
    parts = np.full((len(PARTS), len(rows.columns)), np.nan)
    parts[0] = run.iloc[rows.places].to_numpy(dtype=np.float64)
    if rows.compared:
        _fill(parts, rows.columns, path, seen)
    told = {name: run[name] or None for name in WHO} | rows.names
    told |= dict(zip(PARTS, parts, strict=True))
    told |= {"repetition_time": run["repetition_time"]}
    told |= {name: run[f"{engine}_{name}"] for name in ("windows", "valid_pairs")}
    return pd.DataFrame(told | {name: run[name] for name in cohort.quality})


def _fill(
    parts: Floats, columns: Sequence[Column], path: Path, seen: dict[Layout, dict[str, NDArray[np.intp]]]
) -> None:
    """Put what null models say of each measure beside it."""
    result = read_summary(path)
    facts = facts_of(result)
    table = read_regions(path)
    layout, values = told_row(result.summary, ALL_KINDS)
    regions = region_layout(facts.engine, table.regions, table.networks, table.columns)
    for one, found in ((layout, values), (regions, table.values.T.ravel())):
        scaled(one, found, facts.pairs, facts.searched)
        if one not in seen:
            seen[one] = _places(one, columns)
        # a place behind the last one stands for none
        padded = np.append(found, np.nan)
        for number, kind in enumerate(ALL_KINDS, start=1):
            given = padded[seen[one][kind]]
            parts[number] = np.where(np.isnan(given), parts[number], given)


def _places(layout: Layout, columns: Sequence[Column]) -> dict[str, NDArray[np.intp]]:
    """Find, for every measure, where a layout says something of each kind about it."""
    index = {(one.kind, one.measure, one.level, one.network, one.region): i for i, one in enumerate(layout.columns)}
    none = len(layout.columns)
    return {
        kind: np.array([index.get((kind, one.measure, one.level, one.network, one.region), none) for one in columns])
        for kind in ALL_KINDS
    }
