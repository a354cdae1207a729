"""Promiscuity of ``prior`` over the windows of all runs of a row, and what it is expected to be in fewer windows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bids_flex.cohort.blocks import Block, labels_of, numbers_of
from bids_flex.cohort.facts import column_of
from bids_flex.dynamics import promiscuity, rarefied_promiscuity
from bids_flex.dynamics.profile import finite_means

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bids_flex.cohort.facts import Facts
    from bids_flex.cohort.people import Column

    Floats = NDArray[np.float64]

ENGINE = "prior"
POOLED, RAREFIED = "promiscuity", "promiscuity_rarefied"


def fewest_windows(rows: Sequence[Sequence[Facts]], cut: int | None) -> int:
    """Find the smallest number of windows that a row has over all its runs."""
    return min((sum(_length(one, cut) for one in row) for row in rows if row), default=0)


def _length(facts: Facts, cut: int | None) -> int:
    return facts.windows if cut is None else min(cut, facts.windows)


def spread_block(
    rows: Sequence[Sequence[Facts]], windows: int, observed: Block, sources: Sequence[Sequence[int]], cut: int | None
) -> Block:
    """Count the networks that regions take over the windows of all runs of a row.

    Labels are networks, the same in every run: an average over runs would depend on their lengths.

    Parameters
    ----------
    rows : sequence of sequences of Facts
        Runs of each row that have valid pairs.
    windows : int
        Windows drawn for rarefied promiscuity.
    observed : Block
        Values of single runs. They are taken where a row is one run of just so many windows, whose rarefied
        promiscuity is its promiscuity, and where a row is one run.
    sources : sequence of sequences of int
        Rows of ``observed``, for each run of ``rows``.
    cut : int or None
        Take so many first windows of each run only.

    Returns
    -------
    Block
        Promiscuity and rarefied promiscuity, for the whole brain, networks and regions.
    """
    pooled = [column for column in observed.columns if column.measure == POOLED and column.kind == "observed"]
    places = np.array([observed.columns.index(column) for column in pooled], dtype=np.intp)
    rarefied = [column_of(ENGINE, RAREFIED, "observed", one.level, one.network, one.region) for one in pooled]
    values = np.full((len(rows), 2, len(pooled)), np.nan)
    for number, (runs, where) in enumerate(zip(rows, sources, strict=True)):
        if not runs:
            continue
        single = observed.values[where[0], places] if len(runs) == 1 else None
        if single is not None and _length(runs[0], cut) == windows:
            values[number] = single
            continue
        both = _counted(runs, windows, cut, pooled)
        values[number] = both if single is None else [single, both[1]]
    return Block((*pooled, *rarefied), values.reshape(len(rows), -1))


def _counted(runs: Sequence[Facts], windows: int, cut: int | None, columns: Sequence[Column]) -> Floats:
    """Count one row: promiscuity and rarefied promiscuity, shape (2, columns)."""
    index = {(one.level, one.network if one.level == "network" else one.region): i for i, one in enumerate(columns)}
    within = {one.region: one.network for one in columns if one.level == "region"}
    regions, labels = _stacked(runs, cut)
    searched = (labels > 0).any(axis=0)
    same = len(runs[0].networks)
    by_region = np.full((2, len(regions)), np.nan)
    by_region[0, searched] = promiscuity(labels[:, searched], same)
    by_region[1, searched] = rarefied_promiscuity(labels[:, searched], windows, same)
    out = np.full((2, len(index)), np.nan)
    out[:, [index["region", region] for region in regions]] = by_region
    out[:, index["global", ""]] = finite_means(by_region)
    number = numbers_of(within, runs[0], regions)
    for place, name in enumerate(runs[0].networks, start=1):
        out[:, index["network", name]] = finite_means(by_region[:, number == place])
    return out


def _stacked(runs: Sequence[Facts], cut: int | None) -> tuple[tuple[str, ...], NDArray[np.int16]]:
    """Put the labels of runs behind each other; 0 where a run lacks a region."""
    tables = [labels_of(one) for one in runs]
    regions = tuple(dict.fromkeys(region for table in tables for region in table.regions))
    parts = []
    for table in tables:
        labels = table.labels[:cut]
        part = labels
        if table.regions != regions:
            part = np.zeros((len(labels), len(regions)), dtype=np.int16)
            part[:, [regions.index(region) for region in table.regions]] = labels
        parts.append(part)
    return regions, np.concatenate(parts)
