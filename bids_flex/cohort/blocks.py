"""One engine's values of many runs as one array, whatever regions each run has."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from bids_flex.bids.summaries import AGAIN, read_labels, read_regions
from bids_flex.cohort.facts import ALL_KINDS, column_of, layout_of, scaled
from bids_flex.dynamics import profile
from bids_flex.errors import DatasetFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from bids_flex.bids.summaries import LabelTable, RegionTable
    from bids_flex.cohort.facts import Facts, Layout
    from bids_flex.cohort.people import Column, Kind

    Floats = NDArray[np.float64]
    Row = tuple[Layout, Floats]

UNUSED = ("_null_mean", "_null_sd", "_p")
LABELS = {"prior": "prior", "multilayer": "multilayerbest"}
"""Labels from which measures can be computed anew, by engine."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Columns, and their values of many rows, shape (rows, columns); NaN where a row has none."""

    columns: tuple[Column, ...]
    values: Floats


def filled(items: Sequence[Facts | None], row_of: Callable[[Facts], Row]) -> Block:
    """Put the rows of runs under each other.

    Parameters
    ----------
    items : sequence of Facts or None
        Runs; a row of NaN for None.
    row_of : callable
        A run to its layout and values.
    """
    columns: dict[Column, int] = {}
    values = np.full((len(items), 0), np.nan)
    places: dict[Layout, NDArray[np.intp]] = {}
    for number, item in enumerate(items):
        if item is None:
            continue
        layout, row = row_of(item)
        if layout not in places:
            new = [name for name in layout.columns if name not in columns]
            columns |= {name: len(columns) + i for i, name in enumerate(new)}
            values = np.concatenate([values, np.full((len(items), len(new)), np.nan)], axis=1) if new else values
            places[layout] = np.array([columns[name] for name in layout.columns], dtype=np.intp)
        values[number, places[layout]] = row
    return Block(tuple(columns), values)


def whole_row(facts: Facts) -> Row:
    """Read everything of a run: global and network values, and those of regions."""
    table = regions_of(facts)
    of_regions = region_layout(facts.engine, table.regions, table.networks, table.columns)
    values = scaled(of_regions, table.values.T.ravel(), facts.pairs, facts.searched)
    return _joined(facts.layout, of_regions), np.concatenate([facts.values, values])


def regions_of(facts: Facts, without: Sequence[str] = UNUSED) -> RegionTable:
    """Read the table of regions of a run, and check that it is whole."""
    table = read_regions(facts.path, without=without)
    if len(table.regions) != facts.in_atlas:
        raise DatasetFileError(
            f"{facts.path.with_suffix('.tsv')} has {len(table.regions)} of {facts.in_atlas} regions: {AGAIN}"
        )
    return table


@cache
def _joined(first: Layout, second: Layout) -> Layout:
    return layout_of(first.columns + second.columns)


@cache
def region_layout(engine: str, regions: tuple[str, ...], networks: tuple[str, ...], names: tuple[str, ...]) -> Layout:
    """Name the values of a table of regions, column after column."""
    found = []
    for name in names:
        kind: Kind = next((kind for kind in ALL_KINDS if name.endswith(f"_{kind}")), "observed")
        measure = name.removesuffix(f"_{kind}")
        found += [
            column_of(engine, measure, kind, "region", "" if network == "n/a" else network, region)
            for region, network in zip(regions, networks, strict=True)
        ]
    return layout_of(tuple(found))


def labels_of(facts: Facts) -> LabelTable:
    """Read the labels of a run, and check that they are whole."""
    table = read_labels(facts.path, LABELS[facts.engine])
    if table.labels.shape != (facts.windows, facts.in_atlas):
        raise DatasetFileError(
            f"the communities beside {facts.path} are of {table.labels.shape[0]} windows and {table.labels.shape[1]} "
            f"regions, the summary of {facts.windows} and {facts.in_atlas}: {AGAIN}"
        )
    return table


def numbers_of(networks: Mapping[str, str], facts: Facts, regions: Sequence[str]) -> NDArray[np.int64]:
    """Give each region the number of its network, from 1; without networks, all have number 1."""
    order = {name: number for number, name in enumerate(facts.networks, start=1)}
    return np.array([order.get(networks.get(region, ""), 1) for region in regions], dtype=np.int64)


def truncated_row(facts: Facts, windows: int) -> tuple[Row, int]:
    """Measure the first windows of a run anew, from its labels.

    Returns
    -------
    tuple
        Columns and values (observed ones alone: surrogates were of the whole run), and the valid pairs that are left.
    """
    table = labels_of(facts)
    told = regions_of(facts)
    number = numbers_of(dict(zip(told.regions, told.networks, strict=True)), facts, table.regions)
    pairs = np.isclose(np.diff(table.onsets_s), facts.step_s, rtol=0, atol=facts.step_s * 1e-6)
    if int(pairs.sum()) != facts.pairs:
        raise DatasetFileError(
            f"onsets of windows beside {facts.path} give {pairs.sum()} valid pairs, not {facts.pairs}: {AGAIN}"
        )
    labels, kept = table.labels[:windows], pairs[: windows - 1]
    searched = (labels > 0).any(axis=0)
    same = len(facts.networks) if facts.engine == "prior" else None
    found = profile(labels[:, searched], number[searched], kept, step_s=facts.step_s, n_communities=same)
    if not facts.networks:
        for name in ("recruitment", "integration"):
            found.regions[name][:] = found.whole[name] = np.nan
    measures = tuple(found.regions)
    layout = _observed_layout(facts.engine, measures, facts.networks, told.regions, told.networks)
    regions = np.full((len(measures), len(told.regions)), np.nan)
    regions[:, searched] = list(found.regions.values())
    networks = [[*values, *[np.nan] * len(facts.networks)][: len(facts.networks)] for values in found.networks.values()]
    values = np.concatenate(
        [[found.whole[name] for name in (*measures, "persistence")], np.ravel(networks), regions.ravel()]
    )
    left = int(kept.sum())
    return (layout, scaled(layout, values, left, int(searched.sum()))), left


@cache
def _observed_layout(
    engine: str, measures: tuple[str, ...], networks: tuple[str, ...], regions: tuple[str, ...], within: tuple[str, ...]
) -> Layout:
    """Name the values of :func:`truncated_row`."""
    found = [column_of(engine, name, "observed", "global") for name in (*measures, "persistence")]
    found += [column_of(engine, name, "observed", "network", network) for name in measures for network in networks]
    return _joined(layout_of(tuple(found)), region_layout(engine, regions, within, measures))
