"""Connectivity between regions, in windows and over the whole run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from bids_flex.errors import RunError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

    from bids_flex.dynamics.windows import WindowPlan

    Floats = NDArray[np.float64]

Estimator = Literal["pearson", "partial", "mtd"]

BLOCK_BYTES = 64 * 2**20
"""Size of the blocks in which windows are computed when they need not all be held at once."""


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
    """
    series = _checked(ts, plan)
    out = np.empty((plan.n_windows, series.shape[1], series.shape[1]))
    done = 0
    for block in _blocks(series, plan, estimator):
        out[done : done + len(block)] = block
        done += len(block)
    return out


def iter_windowed_connectivity(ts: ArrayLike, plan: WindowPlan, estimator: Estimator = "pearson") -> Iterator[Floats]:
    """Compute the same in blocks of consecutive windows, none larger than 64 MiB or one window."""
    return _blocks(_checked(ts, plan), plan, estimator)


def static_correlation(ts: ArrayLike, keep: ArrayLike | None = None) -> Floats:
    """Compute Pearson r over the kept volumes of a run; shape (N, N), zero diagonal."""
    series = np.asarray(ts, dtype=np.float64)
    kept = series if keep is None else series[np.asarray(keep, dtype=bool)]
    return np.asarray(_pearson(kept[None], np.ones((1, len(kept))))[0])


def _checked(ts: ArrayLike, plan: WindowPlan) -> Floats:
    """Check that series and plan fit, and put zeros where volumes are censored."""
    series = np.array(ts, dtype=np.float64)
    if series.ndim != 2 or len(series) != len(plan.keep):
        raise UsageError(f"ts has shape {series.shape}; it must be (T, N) with T = {len(plan.keep)} as in the plan")
    if series.shape[1] < 2:
        raise UsageError(f"ts has {series.shape[1]} region; connectivity needs at least 2")
    bad = np.flatnonzero(~np.isfinite(series[plan.keep]).all(axis=0))
    if bad.size:
        raise RunError(f"regions {bad[:5].tolist()} (counted from 0) have values that are not finite: leave them out")
    series[~plan.keep] = 0.0
    return series


def _blocks(series: Floats, plan: WindowPlan, estimator: Estimator) -> Iterator[Floats]:
    """Compute windows in blocks."""
    if estimator not in {"pearson", "partial", "mtd"}:
        raise UsageError(f"estimator is {estimator!r}; it must be 'pearson', 'partial' or 'mtd'")
    if estimator == "partial" and not (plan.taper == 1).all():
        raise UsageError("partial correlation is defined for rectangular windows only")
    weights = plan.weights
    products = _derivatives(series, plan) if estimator == "mtd" else None
    size = max(1, int(BLOCK_BYTES // (8 * series.shape[1] * max(series.shape[1], plan.length))))
    for first in range(0, plan.n_windows, size):
        rows = slice(first, first + size)
        volumes = plan.starts[rows, None] + np.arange(plan.length)
        if estimator == "pearson":
            yield _pearson(series[volumes], weights[rows])
        elif estimator == "partial":
            yield np.stack([_partial(series[v][w > 0]) for v, w in zip(volumes, weights[rows], strict=True)])
        else:
            assert products is not None  # noqa: S101 - for the type checker; set above
            yield _mtd(products, plan, plan.starts[rows])


def _pearson(x: Floats, weights: Floats) -> Floats:
    """Compute weighted r of blocks (B, L, N) with weights (B, L): centre, normalise, multiply."""
    weights = weights / weights.sum(axis=1, keepdims=True)
    x = x - np.matmul(weights[:, None, :], x)
    # once more: what rounding has left of a large mean goes too
    x -= np.matmul(weights[:, None, :], x)
    x *= np.sqrt(weights)[:, :, None]
    norm = np.sqrt(np.einsum("bln,bln->bn", x, x))
    flat = np.unique(np.nonzero(~(norm > 1e-12 * np.maximum(norm.max(axis=1, keepdims=True), 1e-300)))[1])
    if flat.size:
        raise RunError(f"regions {flat[:5].tolist()} (counted from 0) do not vary within a window: leave them out")
    x /= norm[:, None, :]
    r = np.matmul(x.transpose(0, 2, 1), x)
    np.clip(r, -1.0, 1.0, out=r)
    # the two triangles may come out of different sums
    r = (r + r.transpose(0, 2, 1)) / 2
    r[:, np.arange(r.shape[1]), np.arange(r.shape[1])] = 0.0
    return np.asarray(r)


def _partial(kept: Floats) -> Floats:
    """Compute partial correlation of the kept volumes (n, N) from the Ledoit-Wolf covariance."""
    from sklearn.covariance import ledoit_wolf

    scale = kept.std(axis=0)
    if not (scale > 0).all():
        raise RunError(
            f"regions {np.flatnonzero(scale <= 0)[:5].tolist()} (counted from 0) do not vary within a window"
        )
    precision = np.linalg.inv(ledoit_wolf((kept - kept.mean(axis=0)) / scale, assume_centered=True)[0])
    diagonal = np.sqrt(np.diag(precision))
    partial = -precision / np.outer(diagonal, diagonal)
    np.fill_diagonal(partial, 0.0)
    return np.asarray((partial + partial.T) / 2)


def _derivatives(series: Floats, plan: WindowPlan) -> tuple[Floats, NDArray[np.bool_]]:
    """Scale the temporal derivatives (T - 1, N) by their run's standard deviation; both their volumes must be kept."""
    both = plan.keep[1:] & plan.keep[:-1]
    change = np.diff(series, axis=0)
    spread = change[both].std(axis=0)
    if not (spread > 0).all():
        raise RunError(f"regions {np.flatnonzero(spread <= 0)[:5].tolist()} (counted from 0) do not vary")
    return np.asarray(change / spread), both


def _mtd(products: tuple[Floats, NDArray[np.bool_]], plan: WindowPlan, starts: NDArray[np.int64]) -> Floats:
    """Average products of derivatives over windows, weighted by the taper at the later of their two volumes."""
    change, both = products
    out = np.empty((len(starts), change.shape[1], change.shape[1]))
    for row, start in enumerate(starts):
        rows = slice(start, start + plan.length - 1)
        weight = plan.taper[1:] * both[rows]
        if not weight.sum() > 0:
            raise RunError(f"the window at volume {start} has no two kept volumes in a row: no derivatives there")
        out[row] = (change[rows] * weight[:, None]).T @ change[rows] / weight.sum()
        np.fill_diagonal(out[row], 0.0)
    return out
