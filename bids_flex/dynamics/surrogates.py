"""Null models: series that share with the observed ones what they would show without reconfiguration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

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
class NullStatistics:
    """An observed value beside its null distribution; arrays have the shape of what was observed.

    Attributes
    ----------
    mean, sd : ndarray
        Of the null values.
    excess : ndarray
        Observed minus mean.
    z : ndarray
        Excess divided by sd; NaN where all null values are the same.
    p_hi, p_lo : ndarray
        Share of null values at least as high, at least as low, the observed one included.
    p : ndarray
        Two-sided: twice the smaller of both, at most 1.
    """

    mean: Floats
    sd: Floats
    excess: Floats
    z: Floats
    p_hi: Floats
    p_lo: Floats
    p: Floats


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
    """
    series = _checked(ts)
    volumes = len(series)
    spectrum = np.fft.rfft(series, axis=0)
    turn = np.exp(2j * np.pi * np.random.default_rng(seed).random(len(spectrum)))
    # the mean, and for an even number of volumes the highest frequency, have no phase to turn
    turn[0] = 1.0
    if volumes % 2 == 0:
        turn[-1] = 1.0
    return np.fft.irfft(spectrum * turn[:, None], n=volumes, axis=0)


def var_surrogate(ts: ArrayLike, seed: int) -> Floats:
    """Simulate a vector autoregression of order 1 that is fitted to the series by least squares.

    Innovations are drawn, whole volumes at a time, from the fit's residuals.

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
    """
    series = _checked(ts)
    volumes, regions = series.shape
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
    residual = centred[1:] - centred[:-1] @ fit
    residual -= residual.mean(axis=0)
    drawn = residual[np.random.default_rng(seed).integers(0, len(residual), BURN_IN + volumes)]
    state = np.zeros(regions)
    out = np.empty((BURN_IN + volumes, regions))
    for volume, innovation in enumerate(drawn):
        state = state @ fit + innovation
        out[volume] = state
    return np.asarray(out[BURN_IN:] + mean)


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
    """
    series = _checked(ts)
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
    """Compute the largest change of a static correlation between two sets of series."""
    first, second = (np.corrcoef(np.asarray(one, dtype=np.float64).T) for one in (ts, surrogate))
    return float(np.abs(first - second).max())


def permuted_windows(fc: NDArray[np.float64], plan: WindowPlan, seed: int) -> Floats:
    """Put windows (W, N, N) into a random order; measures that do not depend on order have no null here.

    Raises
    ------
    UsageError
        When windows overlap: neighbours would no longer be alike.
    """
    if plan.step < plan.length:
        raise UsageError(
            f"windows of {plan.length} volumes overlap at a step of {plan.step}: their order cannot be permuted"
        )
    return np.asarray(fc[np.random.default_rng(seed).permutation(len(fc))])


def null_statistics(observed: ArrayLike, null: ArrayLike) -> NullStatistics:
    """Hold observed values against null ones.

    Parameters
    ----------
    observed : array, any shape
        Measures.
    null : array, shape ``(n, *observed.shape)``
        The same measures of n surrogates.

    Raises
    ------
    UsageError
        When the shapes do not fit, or there are fewer than two surrogates.
    """
    value, drawn = np.asarray(observed, dtype=np.float64), np.asarray(null, dtype=np.float64)
    if drawn.shape[1:] != value.shape or len(drawn) < 2:
        raise UsageError(f"null has shape {drawn.shape}; (n, *{value.shape}) with n of at least 2 is needed")
    mean, sd = drawn.mean(axis=0), drawn.std(axis=0, ddof=1)
    excess = value - mean
    with np.errstate(invalid="ignore", divide="ignore"):
        z = np.where(sd > 0, excess / sd, np.nan)
    share = 1.0 / (1 + len(drawn))
    missing = np.isnan(value) | np.isnan(drawn).any(axis=0)
    p_hi = np.where(missing, np.nan, (1 + (drawn >= value).sum(axis=0)) * share)
    p_lo = np.where(missing, np.nan, (1 + (drawn <= value).sum(axis=0)) * share)
    return NullStatistics(mean, sd, excess, z, p_hi, p_lo, np.minimum(1.0, 2 * np.minimum(p_hi, p_lo)))


def _checked(ts: ArrayLike) -> Floats:
    """Check series that surrogates are made of."""
    series = np.asarray(ts, dtype=np.float64)
    if series.ndim != 2 or len(series) < 4 or series.shape[1] < 1:
        raise UsageError(f"ts has shape {series.shape}; it must be (T, N) with at least 4 volumes")
    if not np.isfinite(series).all():
        raise UsageError("ts has gaps or values that are not finite: fill censored volumes, leave such regions out")
    return series
