"""Changes that both halves of a region's voxels tell: noise of single voxels hardly makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bids_flex.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]


def split_half_flexibility(first: ArrayLike, second: ArrayLike, starts: ArrayLike, length: int, step: int) -> Floats:
    """Count the changes, one window apart, on which the two halves of a region agree, beyond what chance agrees on.

    Windows w and w + l, with l the smallest number of steps for which they share no volume, make a pair. The halves
    agree on a pair when both give the region the same community before, and the same after; on a change when these two
    differ. With A the share of pairs on which they agree, mean over regions, C a region's share of pairs on which they
    agree on a change, and C' the mean of C over all circular shifts of one half's pairs against the other's by l or
    more, the measure is (C - C') / A. C' is what noise makes the halves agree on by chance, out of time as in time; A
    undoes part of what noise takes away (A of single regions would be too uncertain to divide by).

    Labels must mean the same in both halves, as networks do. The measure is 0 on average when nothing that the halves
    share changes; noise that they do share, such as motion, is not removed. It can fall below 0 by chance.

    Parameters
    ----------
    first, second : array of int, shape (W, N)
        Communities that were found from one half of each region's voxels, and from the other; 0: not searched.
    starts : array of int, shape (W,)
        First volume of each window, multiples of ``step``.
    length, step : int
        Of the windows, in volumes.

    Returns
    -------
    ndarray, shape (N,)
        NaN for regions that were not searched; for all when the halves never agree, or fewer pairs fit into the run
        than two windows' worth.

    Raises
    ------
    UsageError
        When shapes do not fit, or starts are no multiples of the step.

    Examples
    --------
    Both halves see a region change in one of four pairs (1/4), and would in no pair if one were shifted by 1, 2 or 3:

    >>> labels = np.array([[1], [1], [2], [2], [2]])
    >>> split_half_flexibility(labels, labels, np.arange(5), 1, 1).round(3)
    array([0.25])
    """
    one, other, at = np.asarray(first), np.asarray(second), np.asarray(starts)
    if one.shape != other.shape or one.ndim != 2 or at.shape != one.shape[:1]:
        raise UsageError(
            f"labels of the halves have shapes {one.shape} and {other.shape}, starts {at.shape}: both must be (W, N) "
            "and starts (W,)"
        )
    if length < 1 or step < 1 or (at % step).any() or (np.diff(at) <= 0).any():
        raise UsageError(f"starts must rise in multiples of the step {step}, and length {length} be at least 1")
    lag = -(-length // step)
    there, (before, after), (before_too, after_too) = _pairs(at // step, lag, one, other)
    count = len(there)
    if count < 2 * lag:
        return np.full(one.shape[1], np.nan)

    def agreed(shift: int) -> tuple[Floats, Floats]:
        """Give the shares of pairs, and of changes, on which the halves agree."""
        both = there & np.roll(there, shift)
        same = (before == np.roll(before_too, shift, axis=0)) & (after == np.roll(after_too, shift, axis=0))
        same &= both[:, None]
        with np.errstate(invalid="ignore"):
            return same.sum(axis=0) / both.sum(), (same & (before != after)).sum(axis=0) / both.sum()

    shifted = np.array([agreed(shift)[1] for shift in range(lag, count - lag + 1)])
    known = np.isfinite(shifted).any(axis=1)
    share, changes = agreed(0)
    searched = (one > 0).any(axis=0) & (other > 0).any(axis=0)
    together = share[searched].mean() if searched.any() else np.nan
    if not (known.any() and together > 0):
        return np.full(one.shape[1], np.nan)
    return np.where(searched, (changes - shifted[known].mean(axis=0)) / together, np.nan)


def _pairs(
    number: NDArray[np.int64], lag: int, *halves: NDArray[np.integer]
) -> tuple[NDArray[np.bool_], tuple[NDArray[np.integer], ...], tuple[NDArray[np.integer], ...]]:
    """Lay labels on the grid of all windows, dropped ones among them; what stands before and after the lag.

    Returns which pairs are there, and for each half the labels before and after.
    """
    places = int(number[-1]) + 1 if len(number) else 0
    known = np.zeros(places, dtype=bool)
    known[number] = True
    grids = []
    for labels in halves:
        grid = np.zeros((places, labels.shape[1]), dtype=labels.dtype)
        grid[number] = labels
        grids.append((grid[: max(places - lag, 0)], grid[lag:]))
    first, second = grids
    return known[: max(places - lag, 0)] & known[lag:], first, second
