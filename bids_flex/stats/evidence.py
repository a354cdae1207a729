"""Evidence for an absence: equivalence tests with their power, and Bayes factors."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bids_flex.errors import UsageError
from bids_flex.stats.effects import small_sample_correction

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MEDIUM_SCALE = 0.707
"""Scale of the Cauchy prior on the effect, as the field's programs have it by default."""


class Equivalence(NamedTuple):
    """Two one-sided tests: the larger p, the 90 % interval that decides alike, and the power if nothing differs."""

    p: float
    low: float
    high: float
    power: float


def tost(estimate: float, se: float, bound: float, df: int, alpha: float = 0.05) -> Equivalence:
    """Test whether a contrast lies within bounds (two one-sided t tests; Schuirmann 1987, doi 10.1007/BF01068419).

    Parameters
    ----------
    estimate, se : float
        Of the contrast.
    bound : float
        Positive, in the estimate's unit; the interval is from -bound to bound.
    df : int
        Residual degrees of freedom.
    alpha : float
        Level of each test; the interval covers 1 - 2 alpha.

    Returns
    -------
    Equivalence
        The interval is in the estimate's unit. The power is the chance of p < alpha when the true contrast is 0 and
        the bound is a fixed multiple of ``se``: P(abs(T) < bound / se - t(1 - alpha)), T from the t distribution.

    Raises
    ------
    UsageError
        When the bound is not positive.

    Examples
    --------
    >>> told = tost(estimate=0.0, se=1.0, bound=2.0, df=60)
    >>> [round(value, 3) for value in told]
    [0.025, -1.671, 1.671, 0.257]
    """
    from scipy.stats import t

    if not bound > 0:
        raise UsageError(f"equivalence bound is {bound}; it must be positive")
    if not se > 0:
        return Equivalence(np.nan, np.nan, np.nan, np.nan)
    p = max(float(t.sf((estimate + bound) / se, df)), float(t.cdf((estimate - bound) / se, df)))
    critical = float(t.ppf(1 - alpha, df))
    margin = bound / se - critical
    power = float(2 * t.cdf(margin, df) - 1) if margin > 0 else 0.0
    return Equivalence(p, estimate - critical * se, estimate + critical * se, power)


def tost_g(estimate: float, se: float, mse: float, df: int, bound: float = 0.5, alpha: float = 0.05) -> Equivalence:
    """Test whether a contrast lies within bounds that are stated in Hedges' g, g = J(df) c'b / sqrt(MSE).

    Parameters
    ----------
    estimate, se, mse, df
        Of the contrast: c'b, its standard error, the model's residual variance and degrees of freedom.
    bound : float
        In g.
    alpha : float
        As in :func:`tost`.

    Returns
    -------
    Equivalence
        The interval is in g; p is below alpha exactly when it lies within the bounds.

    Examples
    --------
    >>> tost_g(estimate=0.0, se=0.1, mse=1.0, df=398, bound=0.5).p < 0.001
    True
    """
    if not mse > 0:
        return tost(np.nan, np.nan, bound, df, alpha)
    unit = small_sample_correction(df) / np.sqrt(mse)
    return tost(estimate * unit, se * unit, bound, df, alpha)


def jzs_bayes_factor(t: float, n_eff: float, df: int, scale: float = MEDIUM_SCALE) -> float:
    """Compute the Bayes factor of an effect against none, BF10, of a t statistic.

    The standardised effect has a Cauchy prior under the alternative (Rouder et al. 2009, doi 10.3758/PBR.16.2.225).

    Parameters
    ----------
    t : float
        Of ordinary least squares.
    n_eff : float
        1 / (c'(X'X)^-1 c): n of one sample, n1 n2 / (n1 + n2) of two.
    df : int
        Residual degrees of freedom.
    scale : float
        Of the prior.

    Returns
    -------
    float
        NaN when t is.

    Examples
    --------
    >>> round(jzs_bayes_factor(t=0.0, n_eff=100.0, df=99), 2)
    0.11
    """
    from scipy.integrate import quad

    if not np.isfinite(t):
        return float("nan")

    def log_density(u: Floats) -> Floats:
        """Give the marginal likelihood ratio at variance exp(u), times its inverse chi-squared prior."""
        spread = np.exp(u)
        shrunk = 1 + n_eff * scale**2 * spread
        ratio = np.log1p(t**2 / (shrunk * df)) - np.log1p(t**2 / df)
        prior = -0.5 * (np.log(2 * np.pi) + u + 1 / spread)
        return np.asarray(-0.5 * np.log(shrunk) - 0.5 * (df + 1) * ratio + prior)

    # below exp(-7) the prior is below 1e-200; above exp(70) the density falls as exp(-u)
    grid = np.linspace(-7, 70, 309)
    heights = log_density(grid)
    peak, top = float(grid[np.argmax(heights)]), float(heights.max())

    def height(u: float) -> float:
        return float(np.exp(log_density(np.asarray(u)) - top))

    parts = [
        quad(height, low, high, epsabs=0, epsrel=1e-11, limit=200)[0]
        for low, high in ((-7.0, peak - 1), (peak - 1, peak + 1), (peak + 1, peak + 8), (peak + 8, 70.0))
        if low < high
    ]
    with np.errstate(over="ignore"):
        return float(np.exp(top) * sum(parts))


def bic_bayes_factor(rss_without: float, rss_with: float, n: int, k: int) -> float:
    """Compute the Bayes factor of a model without k parameters against the one with them, BF01.

    BF01 = exp((BIC1 - BIC0) / 2) with BIC = n log(RSS / n) + p log n (Wagenmakers 2007, doi 10.3758/BF03194105).

    Parameters
    ----------
    rss_without, rss_with : float
        Residual sums of squares of both models.
    n, k : int
        People, and parameters that the contrast takes away.

    Examples
    --------
    >>> round(bic_bayes_factor(rss_without=100.0, rss_with=100.0, n=100, k=1), 3)
    10.0
    """
    if not (rss_with > 0 and rss_without > 0):
        return float("nan")
    with np.errstate(over="ignore"):
        return float(np.exp(0.5 * (n * np.log(rss_with / rss_without) + k * np.log(n))))
