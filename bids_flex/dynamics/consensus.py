"""One labelling from many: consensus of restarts, and communities matched from window to window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment

from bids_flex.dynamics.multilayer import multilayer_communities
from bids_flex.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Labels = NDArray[np.int64]

SEARCHES = 25
"""Searches that must agree on the communities of an association matrix."""

ROUNDS = 10
"""Times that association, comparison and search are repeated before the fallback."""


def consensus_communities(labels: ArrayLike, seed: int = 0, threads: int | None = None) -> NDArray[np.int16]:
    """Find the communities on which many labellings agree (Bassett et al. 2013).

    In each window by itself:

    1. Association: T_ij is the share of the R labellings in which regions i and j share a community. Null model: the
       same share after the labels of each labelling have been permuted over the regions, which keeps the number and
       the sizes of its communities.
    2. Entries of T that are not above the greatest entry of the null model between two different regions become 0.
    3. What is left is searched 25 times for communities (``ng``, gamma = 1). The labellings found take the place of
       the former ones, and all is repeated until all of them agree. Labellings that agree at the outset are kept.

    A region without any association above chance is a community of its own. Where nothing at all is above chance (as
    with very few labellings, or when chance alone puts regions together), or where searches do not agree within
    10 rounds, the window takes one of the last labellings: that with the greatest mean Rand index with all others,
    the first on ties.

    Communities of consecutive windows are then matched by :func:`match_windows`. A community that vanishes and comes
    back has a new label. A single labelling returns as it is, but for matching, which keeps the labels it can.

    Parameters
    ----------
    labels : array of int, shape (R, W, N)
        Communities that R searches have found; 0 where a region was not searched, the same in all of them.
    seed : int
        All permutations and searches follow from it.
    threads : int, optional
        The result is the same for any number; by default, all processors that may be used.

    Returns
    -------
    ndarray of int16, shape (W, N)
        Communities 1..K in the order of their first appearance; 0 where a region was not searched.

    Raises
    ------
    UsageError
        When the labels make no sense.

    References
    ----------
    doi 10.1063/1.4790830

    Examples
    --------
    >>> several = [[[1, 1, 1, 1, 2, 2, 2, 2]]] * 9 + [[[1, 1, 1, 2, 2, 2, 2, 2]]]
    >>> consensus_communities(several).tolist()
    [[1, 1, 1, 1, 2, 2, 2, 2]]
    """
    stack = _checked(labels, 3)
    if len(stack) == 1:
        return match_windows(stack[0])
    searched = _searched(stack)
    found = np.zeros(stack.shape[1:], dtype=np.int64)
    for w, child in enumerate(np.random.SeedSequence(seed).spawn(stack.shape[1])):
        regions = np.flatnonzero(searched[w])
        if regions.size:
            agreed = _window_consensus(stack[:, w, regions], np.random.default_rng(child), threads)
            # no label is used in two windows: only matching may join communities
            found[w, regions] = agreed + found.max() - agreed.min() + 1
    return match_windows(found)


def _searched(stack: Labels) -> NDArray[np.bool_]:
    """Tell which regions were searched in which windows, if that is the same in all labellings."""
    searched = stack > 0
    if (searched != searched[0]).any():
        r, w, i = np.argwhere(searched != searched[0])[0]
        raise UsageError(
            f"region {i} of window {w} is 0 (not searched) in one of labellings 0 and {r}, not in the other; "
            "give labellings of the same search"
        )
    return np.asarray(searched[0])


def _window_consensus(partitions: Labels, rng: np.random.Generator, threads: int | None) -> Labels:
    """Repeat association, comparison with chance and search until all partitions (R, N) of one window agree."""
    for _ in range(ROUNDS):
        partitions = np.array([_numbered(one) for one in partitions], dtype=np.int64)
        if (partitions == partitions[0]).all():
            break
        together = _association(partitions)
        chance = _association(rng.permuted(partitions, axis=1))
        np.fill_diagonal(together, 0.0)
        np.fill_diagonal(chance, 0.0)
        together[together <= chance.max()] = 0.0
        if not together.any():
            break
        number = int(rng.integers(2**31))
        found = multilayer_communities(together[None], null="ng", restarts=SEARCHES, seed=number, threads=threads)
        partitions = found.labels[:, 0].astype(np.int64)
    return _most_alike(partitions)


def _association(partitions: Labels) -> Floats:
    """Compute the share of partitions (R, N), numbered from 1, in which two regions share a community."""
    count, regions = partitions.shape
    # each community of each partition is one column, so that one product compares them all
    first = np.concatenate([[0], np.cumsum(partitions.max(axis=1))[:-1]])
    column = partitions - 1 + first[:, None]
    member = np.zeros((regions, int(column.max()) + 1), dtype=np.float32)
    member[np.arange(regions), column] = 1.0
    return np.asarray((member @ member.T).astype(np.float64) / count)


def _most_alike(partitions: Labels) -> Labels:
    """Choose the partition with the greatest mean Rand index with all of them."""
    numbered = np.array([_numbered(one) for one in partitions], dtype=np.int64)
    together = _association(numbered)
    # pairs that a partition joins count for it as often as others join them, and against it as often as they do not
    alike = [np.sum((2 * together - 1)[one[:, None] == one]) for one in numbered]
    # equal sums may differ in the last digits
    return np.asarray(numbered[int(np.argmax(np.round(alike, 6)))])


def match_windows(labels: ArrayLike) -> NDArray[np.int16]:
    """Rename the communities of each window so that as many regions as can be keep their label from the window before.

    From the second window on, communities are paired with those of the window before by the optimal assignment of
    their common regions (the Hungarian method); the new names also hold in all later windows. Communities within
    windows stay as they are, the changes between two windows never become more, and labels that are optimal already
    persist, those of communities that come back included. A community without a partner keeps its name, or
    takes one that its window and the one before have left.

    Parameters
    ----------
    labels : array of int, shape (W, N)
        Communities; 0 where a region was not searched.

    Returns
    -------
    ndarray of int16, shape (W, N)
        Communities 1..K in the order of their first appearance, window by window; 0 where it was.

    Raises
    ------
    UsageError
        When the labels make no sense.

    References
    ----------
    doi 10.1137/15M1009615 (Bazzi et al. 2016, of persistence)

    Examples
    --------
    >>> match_windows([[1, 1, 2, 2], [2, 2, 1, 1], [5, 5, 5, 1]]).tolist()
    [[1, 1, 2, 2], [1, 1, 2, 2], [1, 1, 1, 2]]
    """
    named = _checked(labels, 2).copy()
    for w in range(1, len(named)):
        renamed = _best_names(named[w - 1], named[w])
        if renamed is not None:
            old, new = renamed
            # labels of later windows that neither of the two has stay as they are
            place = np.searchsorted(old, named[w:]).clip(max=old.size - 1)
            named[w:] = np.where(old[place] == named[w:], new[place], named[w:])
    return _small(_numbered(named.ravel()).reshape(named.shape))


def _best_names(before: Labels, here: Labels) -> tuple[Labels, Labels] | None:
    """Pair the communities of two windows; give old names (sorted) and new ones, or None if the old are as good."""
    both = (before > 0) & (here > 0)
    rows, columns = np.unique(here[here > 0]), np.unique(before[before > 0])
    common = np.zeros((rows.size, columns.size), dtype=np.int64)
    np.add.at(common, (np.searchsorted(rows, here[both]), np.searchsorted(columns, before[both])), 1)
    row, column = linear_sum_assignment(common, maximize=True)
    if common[row, column].sum() <= (before == here)[both].sum():
        return None
    paired = common[row, column] > 0
    given = dict(zip(rows[row[paired]].tolist(), columns[column[paired]].tolist(), strict=True))
    old = np.union1d(rows, columns)
    left = sorted(set(old.tolist()) - set(given.values()))
    others = [label for label in old.tolist() if label not in given]
    # who has no partner keeps the own name if nobody else has it now; the names are exchanged, never shared
    for label in [label for label in others if label in left]:
        given[label] = label
        left.remove(label)
    given.update(zip([label for label in others if label not in given], left, strict=True))
    return old, np.array([given[label] for label in old.tolist()])


def _numbered(labels: Labels) -> Labels:
    """Give labels (N,) the numbers 1..K in the order of their first appearance; 0 stays 0."""
    kinds, first, place = np.unique(labels, return_index=True, return_inverse=True)
    order = np.empty(kinds.size, dtype=np.int64)
    known = kinds > 0
    order[np.argsort(np.where(known, first, -1))] = np.arange(kinds.size) + known.all()
    return np.asarray(order[place])


def _small(labels: Labels) -> NDArray[np.int16]:
    """Store labels in two bytes, if they fit."""
    if labels.max() > np.iinfo(np.int16).max:
        raise UsageError(f"there are {labels.max()} communities over all windows; 32767 can be told apart")
    return labels.astype(np.int16)


def _checked(labels: ArrayLike, dimensions: int) -> Labels:
    """Check the shape and the range of labels."""
    given = np.asarray(labels)
    shape = "(W, N)" if dimensions == 2 else "(R, W, N)"
    if given.ndim != dimensions or 0 in given.shape:
        raise UsageError(f"labels have shape {given.shape}; they must be {shape}, none of them 0")
    if not np.issubdtype(given.dtype, np.integer):
        raise UsageError(f"labels are {given.dtype}; they must be integers")
    if given.min() < 0:
        raise UsageError(f"labels go down to {given.min()}; they must be at least 0 (not searched)")
    return given.astype(np.int64)
