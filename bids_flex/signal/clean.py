"""Regional series without confounds, drift and what lies outside the band."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bids_flex.errors import RunError

if TYPE_CHECKING:
    from numpy.typing import NDArray

REFUSED, DOUBTFUL = 10.0, 30.0
"""Degrees of freedom below which a run is refused, and below which its results carry a note."""


@dataclass(frozen=True, slots=True, eq=False)
class Cleaned:
    """Clean series of one run.

    Attributes
    ----------
    series : ndarray, shape (T, N)
        NaN in censored volumes, and in regions that were missing before.
    degrees_of_freedom : float
        What filter, censoring and confounds have left.
    notes : tuple of str
        What a reader of the results must know.
    """

    series: NDArray[np.float64]
    degrees_of_freedom: float
    notes: tuple[str, ...]


def clean_series(
    series: NDArray[np.float64],
    confounds: NDArray[np.float64],
    keep: NDArray[np.bool_],
    tr: float,
    high_pass_hz: float = 0.01,
    low_pass_hz: float = 0.1,
) -> Cleaned:
    """Clean regional series as :func:`nilearn.signal.clean` does, with every choice stated.

    Linear detrending; censored volumes filled by cubic splines; the same Butterworth band-pass (order 5, forwards and
    backwards) on signals and confounds; censored volumes removed; regression (Lindquist et al. 2019, doi
    10.1002/hbm.24528).

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
    """
    from nilearn.signal import clean

    if low_pass_hz >= 0.5 / tr:
        raise RunError(
            f"--low-pass {low_pass_hz:g} Hz is not below half the sampling rate ({0.5 / tr:g} Hz at TR {tr:g} s)"
        )
    if not keep.any():
        raise RunError("every volume is censored: raise the censoring thresholds or leave the run out")
    left = degrees_of_freedom(confounds, keep, tr, high_pass_hz, low_pass_hz)
    present = np.isfinite(series).all(axis=0)
    cleaned = clean(
        series[:, present],
        confounds=confounds if confounds.shape[1] else None,
        sample_mask=None if keep.all() else np.flatnonzero(keep),
        detrend=True,
        standardize=None,
        standardize_confounds=True,
        filter="butterworth",
        low_pass=low_pass_hz,
        high_pass=high_pass_hz,
        t_r=tr,
        ensure_finite=False,
        extrapolate=False,
    )
    whole = np.full(series.shape, np.nan)
    whole[np.ix_(keep, present)] = cleaned
    note = (
        f"Only {left:.1f} degrees of freedom are left after filtering, censoring and {confounds.shape[1]} confounds "
        f"(fewer than {DOUBTFUL:g}): correlations are noisy."
    )
    return Cleaned(whole, left, (note,) if left < DOUBTFUL else ())


def degrees_of_freedom(
    confounds: NDArray[np.float64], keep: NDArray[np.bool_], tr: float, high_pass_hz: float, low_pass_hz: float
) -> float:
    """Compute what is left: 2 x bandwidth x kept seconds - rank of the confounds.

    Raises
    ------
    RunError
        When it is less than 10.
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
