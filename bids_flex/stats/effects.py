"""Effect sizes and their confidence intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FAR_OUT = 1e4
"""A t above this comes from a fit that is all but perfect."""


class Effect(NamedTuple):
    """An effect size with its confidence interval."""

    size: float
    low: float
    high: float


def hedges_g(estimate: float, mse: float, unscaled_variance: float, df: int, confidence: float = 0.95) -> Effect:
    """Compute Hedges' g of a contrast, g = J(df) c'b / sqrt(MSE), with an interval from the noncentral t distribution.

    Parameters
    ----------
    estimate : float
        c'b.
    mse : float
        Residual variance of the model.
    unscaled_variance : float
        c'(X'X)^-1 c = 1 / n_eff.
    df : int
        Residual degrees of freedom.
    confidence : float
        Of the interval.

    Returns
    -------
    Effect
        NaN when the residual variance is 0, or with 1 residual degree of freedom.

    References
    ----------
    Hedges 1981, doi 10.3102/10769986006002107; Cumming & Finch 2001, doi 10.1177/0013164401614002

    Examples
    --------
    >>> effect = hedges_g(estimate=1.0, mse=1.0, unscaled_variance=0.1, df=38)
    >>> [round(float(value), 2) for value in effect]
    [0.98, 0.33, 1.62]
    """
    correction = small_sample_correction(df)
    if not mse > 0 or np.isnan(correction):
        return Effect(np.nan, np.nan, np.nan)
    d = estimate / np.sqrt(mse)
    low, high = noncentral_t_interval(d / np.sqrt(unscaled_variance), df, confidence)
    scale = correction * np.sqrt(unscaled_variance)
    return Effect(correction * d, low * scale, high * scale)


def small_sample_correction(df: int) -> float:
    """Compute J(df) = Gamma(df/2) / (sqrt(df/2) Gamma((df-1)/2)), which makes g unbiased.

    With fewer than 2 degrees of freedom d has no mean that could be corrected, and J is NaN: its formula gives 0 for 1,
    which would pass for no effect.

    Examples
    --------
    >>> round(small_sample_correction(10), 4)
    0.9227
    """
    from scipy.special import gammaln

    if df < 2:
        return float("nan")
    return float(np.exp(gammaln(df / 2) - gammaln((df - 1) / 2) - 0.5 * np.log(df / 2)))


def noncentral_t_interval(t: float, df: int, confidence: float) -> tuple[float, float]:
    """Find the noncentralities at which t would be just as extreme as the confidence allows."""
    from scipy.special import nctdtr, nctdtrinc
    from scipy.stats import chi2

    def limit(share: float) -> float:
        # so far out only the estimate of the variance is uncertain, and scipy's search would never end
        if abs(t) > FAR_OUT:
            quantile = chi2.isf(share, df) if t > 0 else chi2.ppf(share, df)
            return float(t * np.sqrt(quantile / df))
        return _polished(lambda nc: float(nctdtr(df, nc, t)) - share, float(nctdtrinc(df, share, t)))

    tail = (1 - confidence) / 2
    return limit(1 - tail), limit(tail)


def partial_eta_squared(f: float, df1: int, df2: int, confidence: float = 0.95) -> Effect:
    """Compute F df1 / (F df1 + df2), with an interval from the noncentral F distribution.

    Parameters
    ----------
    f : float
        F statistic of ordinary least squares.
    df1, df2 : int
        Its degrees of freedom.
    confidence : float
        Of the interval; a limit is 0 when even no effect would make F so small.

    References
    ----------
    Steiger 2004, doi 10.1037/1082-989X.9.2.164

    Examples
    --------
    >>> round(partial_eta_squared(f=4.0, df1=2, df2=40)[0], 3)
    0.167
    """
    from scipy.special import fdtr, ncfdtr, ncfdtrinc
    from scipy.stats import chi2

    if not np.isfinite(f):
        return Effect(np.nan, np.nan, np.nan)
    tail = (1 - confidence) / 2
    below = float(fdtr(df1, df2, f))
    total = df1 + df2 + 1

    def limit(share: float) -> float:
        if below <= share:
            return 0.0
        if f > FAR_OUT**2:
            return float(f * df1 * chi2.isf(share, df2) / df2)
        return _polished(lambda nc: float(ncfdtr(df1, df2, nc, f)) - share, float(ncfdtrinc(df1, df2, share, f)))

    limits = limit(1 - tail), limit(tail)
    return Effect(f * df1 / (f * df1 + df2), limits[0] / (limits[0] + total), limits[1] / (limits[1] + total))


def _polished(function: Callable[[float], float], guess: float) -> float:
    """Find the root of a falling function near a guess that is right to about six digits."""
    from scipy.optimize import brentq

    width = 1e-3 * max(1.0, abs(guess))
    low, high = guess - width, guess + width
    # far out in the tails the functions lose their digits; the guess is all that can be had there
    if not function(low) > 0 > function(high):
        return guess
    return float(brentq(function, low, high, xtol=1e-12))
