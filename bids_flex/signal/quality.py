"""How good a run's data are, in figures that can be compared between people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def quality_figures(
    fd: Floats,
    dvars: Floats,
    keep: NDArray[np.bool_],
    series: Floats,
    static: Floats,
    tr_s: float,
    degrees_of_freedom: float,
) -> dict[str, float]:
    """Sum up a run's motion, censoring and signal.

    Parameters
    ----------
    fd, dvars : ndarray, shape (T,)
        Framewise displacement in mm, standardised DVARS; NaN where there is none.
    keep : ndarray of bool, shape (T,)
        False for censored volumes.
    series : ndarray, shape (T, N)
        Clean regional series, NaN in censored volumes.
    static : ndarray, shape (M, M)
        Static connectivity of the usable regions, zero diagonal.
    tr_s : float
        Repetition time in seconds.
    degrees_of_freedom : float
        As left by cleaning.

    Returns
    -------
    dict
        ``mean_fd``, ``median_fd``, ``max_fd`` (mm), ``mean_dvars``, ``share_censored``, ``kept_minutes``,
        ``longest_gap`` (s), ``degrees_of_freedom``, ``mean_absolute_r``, ``lag1_autocorrelation``.
    """
    regions = static.shape[0]
    return {
        "mean_fd": _over(np.mean, fd),
        "median_fd": _over(np.median, fd),
        "max_fd": _over(np.max, fd),
        "mean_dvars": _over(np.mean, dvars),
        "share_censored": float((~keep).mean()),
        "kept_minutes": float(keep.sum() * tr_s / 60),
        "longest_gap": longest_run(~keep) * tr_s,
        "degrees_of_freedom": float(degrees_of_freedom),
        "mean_absolute_r": float(np.abs(static).sum() / (regions * (regions - 1))),
        "lag1_autocorrelation": _over(np.mean, lag1_autocorrelation(series)),
    }


def _over(summary: Callable[[Floats], np.floating], values: Floats) -> float:
    """Summarise what is there; NaN without anything."""
    there = values[np.isfinite(values)]
    return float(summary(there)) if there.size else float("nan")


def longest_run(marked: NDArray[np.bool_]) -> int:
    """Count the volumes of the longest unbroken stretch of marked ones.

    >>> longest_run(np.array([True, False, True, True]))
    2
    """
    edges = np.flatnonzero(np.diff(np.concatenate(([0], marked.astype(int), [0]))))
    return int(np.max(edges[1::2] - edges[::2], initial=0))


def lag1_autocorrelation(series: Floats) -> Floats:
    """Correlate each value of a series with the next, where neither is missing.

    Parameters
    ----------
    series : ndarray, shape (T, N)
        NaN in censored volumes, and in regions that are missing.

    Returns
    -------
    ndarray, shape (N,)
        NaN for missing regions, and everywhere when fewer than 3 pairs of volumes are left.

    Examples
    --------
    >>> lag1_autocorrelation(np.array([[1.0], [2.0], [3.0], [4.0]])).round(3).tolist()
    [1.0]
    """
    found = np.full(series.shape[1], np.nan)
    present = np.isfinite(series).any(axis=0)
    usable = series[:, present]
    both = np.isfinite(usable[1:]).all(axis=1) & np.isfinite(usable[:-1]).all(axis=1)
    if both.sum() < 3 or usable.shape[1] == 0:
        return found
    before, after = usable[:-1][both], usable[1:][both]
    before, after = before - before.mean(axis=0), after - after.mean(axis=0)
    norm = np.sqrt((before**2).sum(axis=0) * (after**2).sum(axis=0))
    found[present] = (before * after).sum(axis=0) / norm
    return found


def temporal_snr(series: Floats, keep: NDArray[np.bool_]) -> Floats:
    """Divide the mean of each region by its standard deviation over time, before anything is cleaned but linear drift.

    Both are of the regional mean over kept volumes (Murphy, Bodurka & Bandettini 2007, doi
    10.1016/j.neuroimage.2006.09.032, take them of voxels); larger regions have less noise, so compare like with like.

    Parameters
    ----------
    series : ndarray, shape (T, N)
        Regional means as they come from the images; NaN for regions that are missing.
    keep : ndarray of bool, shape (T,)
        False for censored volumes.

    Returns
    -------
    ndarray, shape (N,)
        NaN for missing regions, and everywhere with fewer than 3 kept volumes.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> snr = temporal_snr(100 + rng.standard_normal((5000, 1)), np.ones(5000, dtype=bool))
    >>> bool(95 < snr[0] < 105)
    True
    """
    kept = series[keep]
    if len(kept) < 3:
        return np.full(series.shape[1], np.nan)
    time = np.flatnonzero(keep) - np.flatnonzero(keep).mean()
    mean = kept.mean(axis=0)
    residual = kept - mean - np.outer(time, time @ kept / (time @ time))
    sd = np.sqrt((residual**2).sum(axis=0) / (len(kept) - 2))
    return np.asarray(np.divide(mean, sd, out=np.full(len(mean), np.nan), where=sd > 0))
