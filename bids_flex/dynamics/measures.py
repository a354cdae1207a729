"""Measures of reconfiguration, from the communities of every window.

Labels are (W, N) for one labelling, or (R, W, N) for R of them (restarts); measures are then (N,) or (R, N). Label 0
means that a region was not searched in a window: it never counts, and what has nothing to count is NaN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bids_flex.dynamics import _kernels
from bids_flex.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]


class Cohesion(NamedTuple):
    """Changes that regions make together or alone, each array (N,) or (R, N)."""

    cohesion: NDArray[np.float64]
    disjointedness: NDArray[np.float64]
    strength: NDArray[np.float64]


def checked_labels(labels: ArrayLike) -> tuple[NDArray[np.int16], bool]:
    """Check labels and give them a leading axis; tell whether they had none."""
    given = np.asarray(labels)
    if given.ndim not in {2, 3} or 0 in given.shape:
        raise UsageError(f"labels have shape {given.shape}; they must be (W, N) or (R, W, N), none of them 0")
    if given.min() < 0 or given.max() > np.iinfo(np.int16).max:
        raise UsageError(f"labels run from {given.min()} to {given.max()}; they must be 0 (not searched) to 32767")
    single = given.ndim == 2
    return np.ascontiguousarray(given[None] if single else given, dtype=np.int16), single


def _pairs(pairs: ArrayLike | None, windows: int) -> NDArray[np.bool_]:
    """Check which consecutive pairs of windows count; all of them by default."""
    if pairs is None:
        return np.ones(max(windows - 1, 0), dtype=bool)
    given = np.ascontiguousarray(pairs, dtype=bool)
    if given.shape != (windows - 1,):
        raise UsageError(f"pairs have shape {given.shape}, but {windows} windows have {windows - 1} pairs")
    return given


def share(count: NDArray[Any], total: NDArray[Any]) -> Floats:
    """Divide; nothing by nothing is NaN."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(total > 0, count / total, np.nan))


def _counted(labels: NDArray[np.int16], pairs: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count, for each region, the pairs that count and those at which it changes; shapes (R, N)."""
    before, after = labels[:, :-1][:, pairs], labels[:, 1:][:, pairs]
    searched = (before > 0) & (after > 0)
    return searched.sum(axis=1), (searched & (before != after)).sum(axis=1)


def flexibility(labels: ArrayLike, pairs: ArrayLike | None = None) -> Floats:
    """Compute the share of pairs of consecutive windows at which a region changes its community (Bassett et al. 2011).

    Parameters
    ----------
    labels : array of int, shape (W, N) or (R, W, N)
        Communities; 0 where a region was not searched.
    pairs : array of bool, shape (W - 1,), optional
        Which pairs (w, w + 1) count; all by default.

    Returns
    -------
    ndarray, shape (N,) or (R, N)
        Between 0 and 1; NaN for a region without a pair that counts.

    Raises
    ------
    UsageError
        When shapes or labels make no sense.

    References
    ----------
    doi 10.1073/pnas.1018985108

    Examples
    --------
    >>> flexibility([[1, 1], [1, 2], [1, 1]]).tolist()
    [0.0, 1.0]
    """
    checked, single = checked_labels(labels)
    total, changed = _counted(checked, _pairs(pairs, checked.shape[1]))
    out = share(changed, total)
    return out[0] if single else out


def switches_per_minute(flexibility: ArrayLike, step_s: float) -> Floats:
    """Express flexibility as changes per minute; comparable only at equal repetition time, window and step.

    Parameters
    ----------
    flexibility : array
        Changes per step.
    step_s : float
        Step of the windows in seconds.

    Examples
    --------
    >>> switches_per_minute([0.1, 0.2], step_s=30).tolist()
    [0.2, 0.4]
    """
    return np.asarray(flexibility, dtype=np.float64) * (60.0 / step_s)


def persistence(labels: ArrayLike, pairs: ArrayLike | None = None) -> Floats:
    """Compute 1 - mean flexibility over regions (Bazzi et al. 2016, doi 10.1137/15M1009615); shape () or (R,).

    Examples
    --------
    >>> float(persistence([[1, 1], [1, 2], [1, 1]]))
    0.5
    """
    return np.asarray(1.0 - np.nanmean(flexibility(labels, pairs), axis=-1))


def promiscuity(labels: ArrayLike, n_communities: int | None = None) -> Floats:
    """Compute the share of communities, other than one, that a region takes at least once (Papadopoulos et al. 2016).

    Parameters
    ----------
    labels : array of int, shape (W, N) or (R, W, N)
        Communities; 0 where a region was not searched.
    n_communities : int, optional
        K; by default the number of communities in each labelling.

    Returns
    -------
    ndarray, shape (N,) or (R, N)
        (K_i - 1) / (K - 1), 0 when K is 1, NaN for a region that was never searched.

    Raises
    ------
    UsageError
        When a region takes more communities than there are said to be.

    References
    ----------
    doi 10.1103/PhysRevE.94.032908

    Examples
    --------
    >>> promiscuity([[1, 1, 1], [1, 2, 2], [1, 2, 3]]).tolist()
    [0.0, 0.5, 1.0]
    """
    checked, single = checked_labels(labels)
    taken = _distinct(checked)
    communities = _community_count(checked, n_communities, int(taken.max()))
    spread = np.where(communities > 1, (taken - 1) / np.maximum(communities - 1, 1), 0.0)
    out = np.where(taken > 0, spread, np.nan)
    return out[0] if single else out


def _distinct(labels: NDArray[np.int16]) -> NDArray[np.int64]:
    """Count the communities that each region takes, shape (R, N)."""
    ordered = np.sort(labels, axis=1)
    new = np.diff(ordered, axis=1, prepend=np.int16(0)) > 0
    return np.asarray(new.sum(axis=1))


def _community_count(labels: NDArray[np.int16], given: int | None, most: int) -> NDArray[np.int64]:
    """Count the communities of each labelling, or take the number that was given; shape (R, 1)."""
    if given is not None:
        if given < most:
            raise UsageError(f"n_communities is {given}, but a region takes {most} communities")
        return np.full((len(labels), 1), given)
    return np.array([[np.unique(one[one > 0]).size] for one in labels])


def rarefied_promiscuity(labels: ArrayLike, n_windows: int, n_communities: int | None = None) -> Floats:
    """Compute the promiscuity that is expected in ``n_windows`` windows drawn without replacement.

    Promiscuity grows with the length of a scan until it saturates; rarefaction (Hurlbert 1971, doi 10.2307/1934145)
    makes scans of unequal length comparable. A community that a region takes in n of its W windows is met in m drawn
    ones with probability 1 - C(W - n, m) / C(W, m).

    Parameters
    ----------
    labels : array of int, shape (W, N) or (R, W, N)
        Communities; 0 where a region was not searched.
    n_windows : int
        m, at least 1; regions with fewer searched windows are NaN.
    n_communities : int, optional
        K, as in :func:`promiscuity`.

    Returns
    -------
    ndarray, shape (N,) or (R, N)
        Equal to promiscuity when m is the number of searched windows.

    Examples
    --------
    >>> rarefied_promiscuity([[1, 1], [1, 2], [1, 2]], n_windows=2).round(3).tolist()
    [0.0, 0.667]
    """
    from scipy.special import gammaln

    checked, single = checked_labels(labels)
    if n_windows < 1:
        raise UsageError(f"n_windows is {n_windows}; it must be at least 1")
    searched = (checked > 0).sum(axis=1).astype(float)
    expected = np.zeros(searched.shape)
    for label in np.unique(checked[checked > 0]):
        without = searched - (checked == label).sum(axis=1)
        with np.errstate(invalid="ignore"):
            log_missed = (
                gammaln(without + 1) - gammaln(without - n_windows + 1)
                - gammaln(searched + 1) + gammaln(searched - n_windows + 1)
            )  # fmt: skip
        expected += np.where(without >= n_windows, -np.expm1(log_missed), 1.0)
    communities = _community_count(checked, n_communities, int(_distinct(checked).max()))
    spread = np.where(communities > 1, (expected - 1) / np.maximum(communities - 1, 1), 0.0)
    out = np.where(searched >= n_windows, spread, np.nan)
    return out[0] if single else out


def cohesion(labels: ArrayLike, pairs: ArrayLike | None = None) -> Cohesion:
    """Tell changes that regions make together from those that they make alone (Telesford et al. 2017).

    A change a -> b of a region is mutual when another region makes the same change at the same step.

    Parameters
    ----------
    labels : array of int, shape (W, N) or (R, W, N)
        Communities; 0 where a region was not searched.
    pairs : array of bool, shape (W - 1,), optional
        Which pairs (w, w + 1) count; all by default.

    Returns
    -------
    Cohesion
        ``cohesion`` and ``disjointedness``: shares of the pairs with a mutual and with a lone change, which add up to
        flexibility; ``strength``: number of mutual changes, summed over the other regions (a count).

    References
    ----------
    doi 10.1002/hbm.23699

    Examples
    --------
    >>> found = cohesion([[1, 1, 1], [2, 2, 3]])
    >>> found.cohesion.tolist(), found.disjointedness.tolist(), found.strength.tolist()
    ([1.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0])
    """
    checked, single = checked_labels(labels)
    counting = _pairs(pairs, checked.shape[1])
    shape = (checked.shape[0], checked.shape[2])
    changed, mutual, strength = (np.zeros(shape, dtype=np.int64) for _ in range(3))
    _kernels.count_changes(checked, counting, changed, mutual, strength)
    total = _counted(checked, counting)[0]
    counts = np.where(total > 0, strength, np.nan)
    found = (share(mutual, total), share(changed - mutual, total), counts)
    return Cohesion(*(one[0] for one in found)) if single else Cohesion(*found)


def dwell(labels: ArrayLike, step_minutes: float, pairs: ArrayLike | None = None) -> Floats:
    """Compute the mean time that a region stays in a community, the stays at both ends of a stretch included.

    Parameters
    ----------
    labels : array of int, shape (W, N) or (R, W, N)
        Communities; 0 where a region was not searched.
    step_minutes : float
        Step of the windows in minutes.
    pairs : array of bool, shape (W - 1,), optional
        Which pairs count; a stay ends where a pair does not.

    Returns
    -------
    ndarray, shape (N,) or (R, N)
        Minutes: windows divided by stays, times the step.

    Examples
    --------
    >>> dwell([[1, 1], [1, 2], [1, 1]], step_minutes=0.5).tolist()
    [1.5, 0.5]
    """
    checked, single = checked_labels(labels)
    windows = (checked > 0).sum(axis=1)
    total, changed = _counted(checked, _pairs(pairs, checked.shape[1]))
    # every pair without a change joins two windows into one stay
    out = share(windows * step_minutes, windows - (total - changed))
    return out[0] if single else out


def community_sizes(labels: ArrayLike, n_communities: int) -> NDArray[np.int64]:
    """Count the regions of communities 1..K in every window; shape (W, K) or (R, W, K).

    Examples
    --------
    >>> community_sizes([[1, 1, 2], [1, 2, 2]], n_communities=2).tolist()
    [[2, 1], [1, 2]]
    """
    checked, single = checked_labels(labels)
    out = np.stack([(checked == label).sum(axis=2) for label in range(1, n_communities + 1)], axis=2)
    return np.asarray(out[0] if single else out)
