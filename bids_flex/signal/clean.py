"""Regional series without confounds, drift and what lies outside the band."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from bids_flex.errors import RunError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

REFUSED, DOUBTFUL = 10.0, 30.0
"""Degrees of freedom below which a run is refused, and below which its results carry a note."""


@dataclass(frozen=True, slots=True, eq=False)
class Cleaned:
    """Clean series of one run.

    Attributes
    ----------
    series : ndarray, shape (T, N)
        NaN in censored volumes, and in regions that were missing before.
    unfiltered : ndarray, shape (T, N)
        What surrogates are made of: detrended, censored volumes filled, freed from the confounds, and not band-passed.
        Only regions that were missing before are NaN. Censored volumes before the first or after the last kept one
        repeat that one, since cubic extrapolation runs away.
    degrees_of_freedom : float
        What filter, censoring and confounds have left.
    notes : tuple of str
        What a reader of the results must know.
    """

    series: Floats
    unfiltered: Floats
    degrees_of_freedom: float
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Refilter:
    """Does to any series what :func:`clean_series` did to the observed ones after it had removed the confounds.

    Kept volumes alone decide: censored ones are filled anew by cubic splines, the same Butterworth band-pass follows,
    and censored volumes become NaN. Every step is linear, so ``Refilter(...)(cleaned.unfiltered)`` is
    ``cleaned.series`` but for one constant per region (the regression centres the confounds after filtering them),
    which no correlation sees.

    Attributes
    ----------
    keep : ndarray of bool, shape (T,)
        False for censored volumes.
    tr : float
        Repetition time in seconds.
    high_pass_hz, low_pass_hz : float
        Edges of the band.
    """

    keep: NDArray[np.bool_]
    tr: float
    high_pass_hz: float
    low_pass_hz: float

    def __call__(self, series: Floats) -> Floats:
        """Fill, filter and censor series (T, N); regions with a kept volume that is not finite become NaN.

        Raises
        ------
        UsageError
            When the series have another number of volumes.
        """
        from nilearn.signal import butterworth

        if series.ndim != 2 or len(series) != len(self.keep):
            raise UsageError(f"series have shape {series.shape}; they must be (T, N) with T = {len(self.keep)}")
        present = np.isfinite(series[self.keep]).all(axis=0)
        inner = _inner(self.keep)
        band = butterworth(
            _filled(series[:, present], self.keep)[inner],
            sampling_rate=1.0 / self.tr,
            low_pass=self.low_pass_hz,
            high_pass=self.high_pass_hz,
            order=5,
            padtype="odd",
            padlen=None,
            copy=True,
        )
        whole = np.full(series.shape, np.nan)
        whole[np.ix_(self.keep, present)] = band[self.keep[inner]]
        return whole


def clean_series(
    series: Floats,
    confounds: Floats,
    keep: NDArray[np.bool_],
    tr: float,
    high_pass_hz: float = 0.01,
    low_pass_hz: float = 0.1,
) -> Cleaned:
    """Clean regional series as :func:`nilearn.signal.clean` does, with every choice stated.

    Linear detrending; censored volumes filled by cubic splines; the same Butterworth band-pass (order 5, forwards and
    backwards) on signals and confounds; censored volumes removed; regression (Lindquist et al. 2019, doi
    10.1002/hbm.24528). What is censored at the start or end is cut off before filtering.

    Parameters
    ----------
    series : ndarray, shape (T, N)
        Regional means; regions of NaN stay NaN.
    confounds : ndarray, shape (T, columns)
        May have no column.
    keep : ndarray of bool, shape (T,)
        False for censored volumes.
    tr : float
        Repetition time in seconds.
    high_pass_hz, low_pass_hz : float
        Edges of the band.

    Raises
    ------
    RunError
        When too few degrees of freedom are left, or the band does not fit the repetition time.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> series, motion, keep = rng.standard_normal((300, 4)), rng.standard_normal((300, 6)), np.ones(300, dtype=bool)
    >>> keep[50] = False
    >>> cleaned = clean_series(series, motion, keep, tr=2.0)
    >>> cleaned.series.shape, bool(np.isnan(cleaned.series[50]).all()), round(cleaned.degrees_of_freedom, 1)
    ((300, 4), True, 101.6)
    """
    if low_pass_hz >= 0.5 / tr:
        raise RunError(
            f"--low-pass {low_pass_hz:g} Hz is not below half the sampling rate ({0.5 / tr:g} Hz at TR {tr:g} s)"
        )
    if not keep.any():
        raise RunError("every volume is censored: raise the censoring thresholds or leave the run out")
    left = degrees_of_freedom(confounds, keep, tr, high_pass_hz, low_pass_hz)
    present = np.isfinite(series).all(axis=0)
    inner = _inner(keep)
    signals, nuisance = (_filled(values, keep)[inner] for values in (series[:, present], confounds))
    apply = partial(_filter, keep=keep[inner], tr=tr, high_pass_hz=high_pass_hz, low_pass_hz=low_pass_hz)
    cleaned = apply(signals, nuisance)
    whole, unfiltered = np.full(series.shape, np.nan), np.full(series.shape, np.nan)
    whole[np.ix_(keep, present)] = cleaned
    denoised = _denoised(signals, nuisance, cleaned, apply)
    unfiltered[:, present] = np.pad(denoised, ((inner.start, len(keep) - inner.stop), (0, 0)), mode="edge")
    note = (
        f"Only {left:.1f} degrees of freedom are left after filtering, censoring and {confounds.shape[1]} confounds "
        f"(fewer than {DOUBTFUL:g}): correlations are noisy."
    )
    return Cleaned(whole, unfiltered, left, (note,) if left < DOUBTFUL else ())


def take_clean(series: Floats, keep: NDArray[np.bool_]) -> Cleaned:
    """Take series that others have cleaned as they are; gaps are filled for what needs a whole time axis.

    Parameters
    ----------
    series : ndarray, shape (T, N)
        Regions of NaN stay NaN.
    keep : ndarray of bool, shape (T,)
        False for censored volumes.

    Returns
    -------
    Cleaned
        ``unfiltered`` holds the same series, whatever filter they have been through, detrended and with censored
        volumes filled; degrees of freedom are not known (NaN).

    Raises
    ------
    RunError
        When every volume is censored.

    Examples
    --------
    >>> take_clean(np.arange(8.0).reshape(4, 2), np.array([True, False, True, True])).series.tolist()
    [[0.0, 1.0], [nan, nan], [4.0, 5.0], [6.0, 7.0]]
    """
    from scipy.signal import detrend

    if not keep.any():
        raise RunError("every volume is censored: leave the run out")
    present = np.isfinite(series[keep]).all(axis=0)
    inner = _inner(keep)
    whole, filled = np.full(series.shape, np.nan), np.full(series.shape, np.nan)
    whole[np.ix_(keep, present)] = series[np.ix_(keep, present)]
    between = detrend(_filled(series[:, present], keep)[inner], axis=0)
    filled[:, present] = np.pad(between, ((inner.start, len(keep) - inner.stop), (0, 0)), mode="edge")
    return Cleaned(whole, filled, float("nan"), ())


def _inner(keep: NDArray[np.bool_]) -> slice:
    """Span the volumes from the first to the last kept one."""
    kept = np.flatnonzero(keep)
    return slice(int(kept[0]), int(kept[-1]) + 1)


def _filled(values: Floats, keep: NDArray[np.bool_]) -> Floats:
    """Fill the censored volumes of values (T, M) that lie between kept ones by cubic splines through these.

    nilearn does the same, but fills no volume whose mirror image in time is censored too, and takes rows to be others
    than they are when the first and the last volume are both censored (0.14.1); filled ones it leaves as they are.
    """
    from scipy.interpolate import CubicSpline

    kept, gaps = np.flatnonzero(keep), np.flatnonzero(~keep)
    gaps = gaps[(gaps > kept[0]) & (gaps < kept[-1])]
    out = np.array(values, dtype=np.float64)
    if gaps.size and out.shape[1]:
        out[gaps] = CubicSpline(kept, out[kept], extrapolate=False)(gaps)
    return out


def _filter(
    signals: Floats,
    nuisance: Floats | None = None,
    *,
    keep: NDArray[np.bool_],
    tr: float,
    high_pass_hz: float,
    low_pass_hz: float,
) -> Floats:
    """Detrend and filter filled signals, remove nuisance; kept volumes only."""
    from nilearn.signal import clean

    cleaned = clean(
        signals,
        confounds=nuisance if nuisance is not None and nuisance.shape[1] else None,
        sample_mask=None if keep.all() else np.flatnonzero(keep),
        detrend=True,
        standardize=None,
        standardize_confounds=True,
        filter="butterworth",
        butterworth__copy=True,  # all columns at once: the same numbers in a seventh to a third of the time
        low_pass=low_pass_hz,
        high_pass=high_pass_hz,
        t_r=tr,
        ensure_finite=False,
        extrapolate=False,
    )
    return np.asarray(cleaned)


def _denoised(signals: Floats, nuisance: Floats, cleaned: Floats, apply: Callable[[Floats], Floats]) -> Floats:
    """Remove from detrended signals what the regression of the filtered ones found in the nuisance."""
    from scipy.signal import detrend

    out = detrend(signals, axis=0)
    if not nuisance.shape[1]:
        return np.asarray(out)
    filtered = apply(nuisance)
    filtered -= filtered.mean(axis=0)
    scale = filtered.std(axis=0)
    scale[scale == 0] = 1.0
    # nilearn keeps its coefficients to itself; what it has removed tells them
    betas = np.linalg.lstsq(filtered / scale, apply(signals) - cleaned, rcond=None)[0]
    return np.asarray(out - detrend(nuisance, axis=0) / scale @ betas)


def degrees_of_freedom(
    confounds: NDArray[np.float64], keep: NDArray[np.bool_], tr: float, high_pass_hz: float, low_pass_hz: float
) -> float:
    """Compute what is left: 2 x bandwidth x kept seconds - rank of the confounds.

    Raises
    ------
    RunError
        When it is less than 10.

    Examples
    --------
    >>> confounds, keep = np.eye(300)[:, :6], np.ones(300, dtype=bool)
    >>> round(degrees_of_freedom(confounds, keep, tr=2.0, high_pass_hz=0.01, low_pass_hz=0.1), 1)
    102.0
    """
    kept_s = float(keep.sum()) * tr
    rank = 0
    if confounds.shape[1]:
        # columns differ by orders of magnitude; unscaled, the small ones would count as nothing
        centred = confounds - confounds.mean(axis=0)
        spread = centred.std(axis=0)
        rank = int(np.linalg.matrix_rank(centred / np.where(spread > 0, spread, 1.0)))
    left = 2 * (low_pass_hz - high_pass_hz) * kept_s - rank
    if left < REFUSED:
        raise RunError(
            f"{left:.1f} degrees of freedom are left, {REFUSED:g} are wanted: {kept_s:.0f} kept seconds in a band of "
            f"{high_pass_hz:g}-{low_pass_hz:g} Hz give {left + rank:.1f}, confounds take {rank}. Choose a leaner "
            "--denoise (24P+2P), milder censoring, or leave the run out"
        )
    return left
