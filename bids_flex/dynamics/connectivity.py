"""Connectivity between regions, in windows and over the whole run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from bids_flex.dynamics import _kernels
from bids_flex.errors import RunError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

    from bids_flex.dynamics.windows import WindowPlan

    Floats = NDArray[np.float64]

Estimator = Literal["pearson", "partial", "mtd"]

Fill = Callable[[slice, "Floats"], None]
"""Computes the windows of a slice of the plan into an array (B, N, N)."""

BLOCK_BYTES = 4 * 2**20
"""Size of the blocks in which windows are computed: what a processor's cache holds."""

SHARED = 4
"""Fewest windows for which it pays to sum up what they have in common."""

FLAT = 1e-13
"""Regions are brought to a largest deviation of 1 over the run; what varies less within a window is rounding."""


def windowed_connectivity(ts: ArrayLike, plan: WindowPlan, estimator: Estimator = "pearson") -> Floats:
    """Compute the connectivity of every window.

    Parameters
    ----------
    ts : array, shape (T, N)
        Regional series; rows of censored volumes may hold anything, NaN included.
    plan : WindowPlan
        Where the windows lie.
    estimator : {"pearson", "partial", "mtd"}
        Weighted Pearson r; partial correlation from the Ledoit-Wolf shrunk precision of the kept volumes (rectangular
        windows only); or multiplication of temporal derivatives, which has no bounds (Shine et al. 2015, doi
        10.1016/j.neuroimage.2015.07.064).

    Returns
    -------
    ndarray, shape (W, N, N)
        Signed, symmetric, zero diagonal.

    Raises
    ------
    UsageError
        When the arguments do not fit together.
    RunError
        When a region has no variance in a window, or a value that is not finite.

    Examples
    --------
    >>> from bids_flex import dynamics as d
    >>> ts = np.random.default_rng(0).standard_normal((200, 10))
    >>> d.windowed_connectivity(ts, d.plan_windows(200, tr=2.0, length=60, step=10)).shape
    (35, 10, 10)
    """
    fill, regions = _estimator(ts, plan, estimator)
    out = np.empty((plan.n_windows, regions, regions))
    for rows in _blocks(plan, regions):
        fill(rows, out[rows])
    return out


def iter_windowed_connectivity(ts: ArrayLike, plan: WindowPlan, estimator: Estimator = "pearson") -> Iterator[Floats]:
    """Compute the same in blocks of consecutive windows, none larger than 4 MiB or one window.

    Examples
    --------
    >>> from bids_flex import dynamics as d
    >>> ts = np.random.default_rng(0).standard_normal((200, 10))
    >>> plan = d.plan_windows(200, tr=2.0, length=60, step=10)
    >>> sum(len(block) for block in d.iter_windowed_connectivity(ts, plan))
    35
    """
    fill, regions = _estimator(ts, plan, estimator)

    def computed(rows: slice) -> Floats:
        block = np.empty((rows.stop - rows.start, regions, regions))
        fill(rows, block)
        return block

    return map(computed, _blocks(plan, regions))


def static_correlation(ts: ArrayLike, keep: ArrayLike | None = None) -> Floats:
    """Compute Pearson r over the kept volumes of a run.

    Parameters
    ----------
    ts : array, shape (T, N)
        Regional series; rows of censored volumes may hold anything, NaN included.
    keep : array of bool, shape (T,), optional
        False for censored volumes.

    Returns
    -------
    ndarray, shape (N, N)
        Symmetric, zero diagonal.

    Raises
    ------
    UsageError
        When the arguments do not fit together.
    RunError
        When a region has no variance, or a value that is not finite.

    Examples
    --------
    >>> static_correlation([[1, 2], [2, 4], [3, 6]]).round(6).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    kept = np.ones(len(np.asarray(ts)), dtype=bool) if keep is None else np.asarray(keep, dtype=bool)
    series = _checked(ts, kept)[kept]
    out = np.empty((1, series.shape[1], series.shape[1]))
    flat = _correlate(series[None], np.ones((1, len(series))), out)
    _refuse(flat[0], "during the run")
    return np.asarray(out[0])


def _blocks(plan: WindowPlan, regions: int) -> list[slice]:
    """Cut the windows of a plan into slices that cut no group."""
    size = max(1, int(BLOCK_BYTES // (8 * regions * max(regions, plan.length))))
    blocks, first = [], 0
    for group in _groups(plan, slice(0, plan.n_windows)):
        if group.stop - first > size and group.start > first:
            blocks.append(slice(first, group.start))
            first = group.start
    return [*blocks, slice(first, plan.n_windows)]


def _groups(plan: WindowPlan, rows: slice) -> list[slice]:
    """Cut windows into even groups that have two thirds of a window in common; single windows where few would."""
    most = 1 + plan.length // (3 * plan.step)
    if most < SHARED or (plan.taper != 1).any():
        most = 1
    groups, first = [], rows.start
    for w in range(rows.start + 1, rows.stop + 1):
        if w == rows.stop or w - first == most or plan.starts[w] - plan.starts[w - 1] != plan.step:
            groups.append(slice(first, w))
            first = w
    return groups


def _estimator(ts: ArrayLike, plan: WindowPlan, estimator: Estimator) -> tuple[Fill, int]:
    """Check everything, and give what computes windows, and the number of regions."""
    if estimator not in {"pearson", "partial", "mtd"}:
        raise UsageError(f"estimator is {estimator!r}; it must be 'pearson', 'partial' or 'mtd'")
    if estimator == "partial" and not (plan.taper == 1).all():
        raise UsageError("partial correlation is defined for rectangular windows only")
    series = _checked(ts, plan.keep)
    if estimator == "mtd":
        return partial(_mtd, *_derivatives(series, plan), plan), series.shape[1]
    return partial(_pearson if estimator == "pearson" else _partial, series, plan), series.shape[1]


def _checked(ts: ArrayLike, keep: NDArray[np.bool_]) -> Floats:
    """Check series; centre them, bring them to a largest deviation of 1, and put zeros where volumes are censored.

    Correlations do not change, and a large mean, whose rounding would, is gone.
    """
    series = np.array(ts, dtype=np.float64)
    if series.ndim != 2 or len(series) != len(keep):
        raise UsageError(f"ts has shape {series.shape}; it must be (T, N) with T = {len(keep)} as in the plan")
    if series.shape[1] < 2:
        raise UsageError(f"ts has {series.shape[1]} region; connectivity needs at least 2")
    bad = np.flatnonzero(~np.isfinite(series[keep]).all(axis=0))
    if bad.size:
        raise RunError(f"regions {bad[:5].tolist()} (counted from 0) have values that are not finite: leave them out")
    series[~keep] = 0.0
    if keep.any():
        series[keep] -= series[keep].mean(axis=0)
        largest = np.abs(series).max(axis=0)
        series /= np.where(largest > 0, largest, 1.0)
    return series


def _refuse(flat: NDArray[np.bool_], where: str) -> None:
    """Raise an error that names the regions (N,) that do not vary, if there are any."""
    if flat.any():
        named = np.flatnonzero(flat)[:5].tolist()
        raise RunError(f"regions {named} (counted from 0) do not vary {where}: leave them out")


def _refuse_first(flat: NDArray[np.bool_], starts: NDArray[np.int64]) -> None:
    """Do the same for windows (W, N): name the first in which a region does not vary."""
    for w in np.flatnonzero(flat.any(axis=1)):
        _refuse(flat[w], f"in the window at volume {starts[w]}")


def _pearson(series: Floats, plan: WindowPlan, rows: slice, out: Floats) -> None:
    """Compute weighted r of windows; those that overlap much share most of the work."""
    groups = _groups(plan, rows)
    if len(groups) == len(out):
        _apart(series, plan, rows, out)
        return
    for group in groups:
        part = out[group.start - rows.start : group.stop - rows.start]
        if len(part) < SHARED or not _share_core(series, plan, group.start, part):
            _apart(series, plan, group, part)


def _share_core(series: Floats, plan: WindowPlan, first: int, out: Floats) -> bool:
    """Compute r of evenly spaced windows about their common volumes; False where hardly any of these are kept."""
    start, windows = int(plan.starts[first]), len(out)
    tails = (windows - 1) * plan.step
    inside = slice(start, start + plan.length + tails)
    keep, core = plan.keep[inside], slice(tails, plan.length)
    if keep[core].sum() < plan.length / 4:
        return False
    # about the core's mean no window's mean is far from 0, and subtracting it loses nothing
    x = np.where(keep[:, None], series[inside] - series[inside][core][keep[core]].mean(axis=0), 0.0)
    kept = plan.kept_frames[first : first + windows].astype(np.int64)
    spread = np.empty(out.shape[:2])
    _kernels.sliding(x, x[core].T @ x[core], kept, plan.length, plan.step, out, spread)
    _refuse_first(spread <= FLAT * np.sqrt(kept)[:, None], plan.starts[first:])
    return True


def _apart(series: Floats, plan: WindowPlan, rows: slice, out: Floats) -> None:
    """Compute weighted r of windows one by one."""
    starts = plan.starts[rows]
    volumes = starts[:, None] + np.arange(plan.length)
    flat = _correlate(series[volumes], plan.taper * plan.keep[volumes], out)
    _refuse_first(flat, starts)


def _correlate(x: Floats, weights: Floats, out: Floats) -> NDArray[np.bool_]:
    """Compute weighted r of x (B, L, N), which is overwritten; tell the regions (B, N) that do not vary."""
    weights = weights / weights.sum(axis=1, keepdims=True)
    x -= np.matmul(weights[:, None, :], x)
    x *= np.sqrt(weights)[:, :, None]
    norm = np.sqrt(np.einsum("bln,bln->bn", x, x))
    flat = ~(norm > FLAT)
    x /= np.where(flat, 1.0, norm)[:, None, :]
    # a matrix times its own transpose is computed symmetrically
    np.matmul(x.transpose(0, 2, 1), x, out=out)
    np.clip(out, -1.0, 1.0, out=out)
    out[:, range(x.shape[2]), range(x.shape[2])] = 0.0
    return np.asarray(flat)


def _partial(series: Floats, plan: WindowPlan, rows: slice, out: Floats) -> None:
    """Compute partial correlation of the kept volumes from the Ledoit-Wolf covariance."""
    from sklearn.covariance import ledoit_wolf

    for start, window in zip(plan.starts[rows], out, strict=True):
        inside = slice(start, start + plan.length)
        kept = series[inside][plan.keep[inside]]
        scale = kept.std(axis=0)
        _refuse(~(scale > FLAT), f"in the window at volume {start}")
        precision = np.linalg.inv(ledoit_wolf((kept - kept.mean(axis=0)) / scale, assume_centered=True)[0])
        diagonal = np.sqrt(np.diag(precision))
        window[:] = -(precision + precision.T) / 2 / np.outer(diagonal, diagonal)
        np.fill_diagonal(window, 0.0)


def _derivatives(series: Floats, plan: WindowPlan) -> tuple[Floats, NDArray[np.bool_]]:
    """Scale the temporal derivatives (T - 1, N) by their run's standard deviation; both their volumes must be kept."""
    both = plan.keep[1:] & plan.keep[:-1]
    if not both.any():
        raise RunError("no two volumes in a row are kept: there are no derivatives; choose estimator 'pearson'")
    change = np.diff(series, axis=0)
    spread = change[both].std(axis=0)
    _refuse(~(spread > FLAT), "during the run")
    return np.asarray(change / spread), both


def _mtd(change: Floats, both: NDArray[np.bool_], plan: WindowPlan, rows: slice, out: Floats) -> None:
    """Average products of derivatives over windows, weighted by the taper at the later of their two volumes."""
    for start, window in zip(plan.starts[rows], out, strict=True):
        inside = slice(start, start + plan.length - 1)
        weight = plan.taper[1:] * both[inside]
        if not weight.sum() > 0:
            raise RunError(f"the window at volume {start} has no two kept volumes in a row: no derivatives there")
        x = change[inside] * np.sqrt(weight / weight.sum())[:, None]
        np.matmul(x.T, x, out=window)
        np.fill_diagonal(window, 0.0)
