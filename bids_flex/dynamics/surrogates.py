"""Null models: series that share with the observed ones what they would show without reconfiguration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_flex.errors import RunError, UsageError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from bids_flex.dynamics.windows import WindowPlan

    Floats = NDArray[np.float64]

BURN_IN = 200
"""Volumes that a simulated autoregression runs before it is used."""

ITERATIONS = 100
LARGEST_CHANGE = 0.05
"""Limits of the iterated surrogates: refinements, and change of any static correlation."""


@dataclass(frozen=True, slots=True, eq=False)
class Autoregression:
    """A vector autoregression of order 1, x(t) - mean = (x(t - 1) - mean) @ coefficients + residual.

    Attributes
    ----------
    mean : ndarray, shape (N,)
        Of the series.
    coefficients : ndarray, shape (N, N)
        Row: region at t - 1; column: region at t.
    residuals : ndarray, shape (T - 1, N)
        Of the fit, centred.
    """

    mean: Floats
    coefficients: Floats
    residuals: Floats


def phase_surrogate(ts: ArrayLike, seed: int) -> Floats:
    """Give every frequency a random phase, the same for all regions (Prichard & Theiler 1994).

    Spectra, static covariance and all lagged cross-covariances stay; their change over time does not.

    Parameters
    ----------
    ts : array, shape (T, N)
        Regional series without gaps.
    seed : int
        Of the phases.

    Returns
    -------
    ndarray, shape (T, N)

    Raises
    ------
    UsageError
        When the series have gaps or are too short.

    References
    ----------
    doi 10.1103/PhysRevLett.73.951

    Examples
    --------
    >>> ts = np.random.default_rng(0).standard_normal((100, 3))
    >>> other = phase_surrogate(ts, seed=1)
    >>> np.allclose(np.corrcoef(other.T), np.corrcoef(ts.T)), np.allclose(other, ts)
    (True, False)
    """
    series = checked_series(ts)
    volumes = len(series)
    spectrum = np.fft.rfft(series, axis=0)
    turn = np.exp(2j * np.pi * np.random.default_rng(seed).random(len(spectrum)))
    # the mean, and for an even number of volumes the highest frequency, have no phase to turn
    turn[0] = 1.0
    if volumes % 2 == 0:
        turn[-1] = 1.0
    return np.fft.irfft(spectrum * turn[:, None], n=volumes, axis=0)


def fit_autoregression(ts: ArrayLike, kept_volumes: int | None = None) -> Autoregression:
    """Fit a vector autoregression of order 1 by least squares.

    Parameters
    ----------
    ts : array, shape (T, N)
        Unfiltered regional series without gaps.
    kept_volumes : int, optional
        How many of the volumes were measured and not filled; all by default.

    Raises
    ------
    RunError
        When there are fewer than 5 kept volumes per region, or the fit is not stationary.

    Examples
    --------
    >>> ts = np.random.default_rng(0).standard_normal((100, 3))
    >>> fit_autoregression(ts).coefficients.shape
    (3, 3)
    """
    series = checked_series(ts)
    regions = series.shape[1]
    volumes = len(series) if kept_volumes is None else kept_volumes
    if volumes < 5 * regions:
        raise RunError(
            f"{volumes} volumes cannot carry an autoregression of {regions} regions, {5 * regions} are wanted: "
            "use surrogate 'phase'"
        )
    mean = series.mean(axis=0)
    centred = series - mean
    fit = np.linalg.lstsq(centred[:-1], centred[1:], rcond=None)[0]
    radius = float(np.abs(np.linalg.eigvals(fit)).max())
    if radius >= 1:
        told = f"the fitted autoregression is not stationary (spectral radius {radius:.3f}): use surrogate 'phase'"
        raise RunError(told)
    residuals = centred[1:] - centred[:-1] @ fit
    return Autoregression(mean, fit, residuals - residuals.mean(axis=0))


def simulate_autoregression(model: Autoregression, volumes: int, seed: int) -> Floats:
    """Simulate a fitted autoregression; innovations are whole volumes of its residuals, drawn with replacement.

    Parameters
    ----------
    model : Autoregression
        Of :func:`fit_autoregression`.
    volumes : int
        T of the result; 200 more are simulated before and left out.
    seed : int
        Of the innovations.

    Returns
    -------
    ndarray, shape (T, N)

    Examples
    --------
    >>> model = fit_autoregression(np.random.default_rng(0).standard_normal((100, 3)))
    >>> simulate_autoregression(model, volumes=250, seed=1).shape
    (250, 3)
    """
    rng = np.random.default_rng(seed)
    drawn = model.residuals[rng.integers(0, len(model.residuals), BURN_IN + volumes)]
    state = np.zeros(len(model.mean))
    out = np.empty((BURN_IN + volumes, len(model.mean)))
    for volume, innovation in enumerate(drawn):
        state = state @ model.coefficients + innovation
        out[volume] = state
    return np.asarray(out[BURN_IN:] + model.mean)


def var_surrogate(ts: ArrayLike, seed: int) -> Floats:
    """Simulate a vector autoregression that is fitted to the series.

    :func:`fit_autoregression` and :func:`simulate_autoregression` in one: for many surrogates, fit once.

    Parameters
    ----------
    ts : array, shape (T, N)
        Unfiltered regional series without gaps.
    seed : int
        Of the innovations.

    Returns
    -------
    ndarray, shape (T, N)

    Raises
    ------
    RunError
        When there are fewer than 5 volumes per region, or the fit is not stationary.

    Examples
    --------
    >>> ts = np.random.default_rng(0).standard_normal((100, 3))
    >>> var_surrogate(ts, seed=1).shape
    (100, 3)
    """
    return simulate_autoregression(fit_autoregression(ts), len(np.asarray(ts)), seed)


def iaaft_surrogate(ts: ArrayLike, seed: int) -> Floats:
    """Make series with the observed values, about the observed spectra and cross-phases (Schreiber & Schmitz 2000).

    Starting from :func:`phase_surrogate`, spectra with one common turn per frequency and the observed values are
    imposed in turn, the values last.

    Parameters
    ----------
    ts : array, shape (T, N)
        Regional series without gaps.
    seed : int
        Of the first phases.

    Returns
    -------
    ndarray, shape (T, N)
        Every region holds its own observed values in another order.

    Raises
    ------
    RunError
        When a static correlation has changed by more than .05.

    References
    ----------
    doi 10.1016/S0167-2789(00)00043-9

    Examples
    --------
    >>> ts = np.random.default_rng(0).standard_normal((100, 3))
    >>> np.array_equal(np.sort(iaaft_surrogate(ts, seed=1), axis=0), np.sort(ts, axis=0))
    True
    """
    series = checked_series(ts)
    spectrum = np.fft.rfft(series, axis=0)
    values = np.sort(series, axis=0)
    found = _impose(values, phase_surrogate(series, seed))
    for _ in range(ITERATIONS):
        theirs = np.fft.rfft(found, axis=0)
        # the one turn per frequency that brings the observed phases nearest to those of the surrogate
        turn = np.exp(1j * np.angle((theirs * spectrum.conj() / (np.abs(theirs * spectrum) + 1e-300)).sum(axis=1)))
        turn[0] = 1.0
        following = _impose(values, np.fft.irfft(spectrum * turn[:, None], n=len(series), axis=0))
        if np.array_equal(following, found):
            break
        found = following
    change = correlation_change(series, found)
    if change > LARGEST_CHANGE:
        raise RunError(f"an iterated surrogate changes a static correlation by {change:.3f}: use surrogate 'phase'")
    return found


def _impose(values: Floats, series: Floats) -> Floats:
    """Give each region's sorted values (T, N) the order of a series."""
    out = np.empty_like(series)
    np.put_along_axis(out, np.argsort(series, axis=0, kind="stable"), values, axis=0)
    return out


def correlation_change(ts: ArrayLike, surrogate: ArrayLike) -> float:
    """Compute the largest change of a static correlation between two sets of series.

    Examples
    --------
    >>> ts = np.random.default_rng(0).standard_normal((100, 3))
    >>> correlation_change(ts, 2 * ts) < 1e-12
    True
    """
    first, second = (np.corrcoef(np.asarray(one, dtype=np.float64).T) for one in (ts, surrogate))
    return float(np.abs(first - second).max())


def permuted_windows(windows: NDArray[Any], plan: WindowPlan, seed: int) -> NDArray[Any]:
    """Put windows into a random order; measures that do not depend on order have no null here.

    Parameters
    ----------
    windows : ndarray, shape (W, ...)
        Connectivity (W, N, N) to search anew; or labels (W, N) of an engine that searches every window by itself.
    plan : WindowPlan
        Where the windows lie.
    seed : int
        Of the order.

    Raises
    ------
    UsageError
        When windows overlap, since neighbours would no longer be alike, or are not those of the plan.

    Examples
    --------
    >>> from bids_flex import dynamics as d
    >>> plan = d.plan_windows(90, tr=2.0, length=60, step=60)
    >>> sorted(d.permuted_windows(np.array([[1, 1], [1, 2], [2, 2]]), plan, seed=1).tolist())
    [[1, 1], [1, 2], [2, 2]]
    """
    if plan.step < plan.length:
        raise UsageError(
            f"windows of {plan.length} volumes overlap at a step of {plan.step}: their order cannot be permuted"
        )
    if len(windows) != plan.n_windows:
        raise UsageError(f"there are {len(windows)} windows, but the plan has {plan.n_windows}")
    return np.asarray(windows[np.random.default_rng(seed).permutation(len(windows))])


def checked_series(ts: ArrayLike) -> Floats:
    """Check series that surrogates are made of."""
    series = np.asarray(ts, dtype=np.float64)
    if series.ndim != 2 or len(series) < 4 or series.shape[1] < 1:
        raise UsageError(f"ts has shape {series.shape}; it must be (T, N) with at least 4 volumes")
    if not np.isfinite(series).all():
        raise UsageError("ts has gaps or values that are not finite: fill censored volumes, leave such regions out")
    return series
