"""Runs to people: averages weighted by valid pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bids_flex.cohort.blocks import Block

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def weighted(values: Floats, weights: Floats) -> Floats:
    """Average rows with weights; where a value is missing, its weight is lost too.

    Parameters
    ----------
    values : ndarray, shape (runs, columns)
        NaN where a run has no value.
    weights : ndarray, shape (runs,)
        Valid pairs; a run without any does not count.

    Returns
    -------
    ndarray, shape (columns,)
        NaN where nothing counts.
    """
    counts = np.isfinite(values) & (weights > 0)[:, None]
    share = np.where(counts, weights[:, None], 0.0)
    total = share.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(total > 0, (np.where(counts, values, 0.0) * share).sum(axis=0) / total, np.nan))


def averaged(block: Block, weights: Floats, groups: Sequence[Sequence[int]]) -> Block:
    """Average the runs of each row.

    Parameters
    ----------
    block : Block
        Values of runs.
    weights : ndarray, shape (runs,)
        Their valid pairs.
    groups : sequence of sequences of int
        Rows of ``block`` that each new row averages.
    """
    if [list(group) for group in groups] == [[i] for i in range(len(weights))] and (weights > 0).all():
        # nothing to average: the same memory serves both tables
        return block
    values = np.full((len(groups), len(block.columns)), np.nan)
    for number, group in enumerate(groups):
        rows = list(group)
        counts = len(rows) == 1 and weights[rows[0]] > 0
        values[number] = block.values[rows[0]] if counts else weighted(block.values[rows], weights[rows])
    return Block(block.columns, values)
