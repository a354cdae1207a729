"""Linear models of many outcomes at once: estimates, ordinary and heteroscedasticity-consistent (HC3) tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from bids_flex.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

Statistic = Literal["hc3", "ols"]

ALONE = 1e-10
"""A row with less than this left of its own residual determines a parameter alone."""

ROUNDING = 1e-13
"""Of the largest value: what is smaller is no residual."""


@dataclass(frozen=True, slots=True, eq=False)
class Tested:
    """One contrast, tested for m outcomes.

    Attributes
    ----------
    estimate : ndarray, shape (m,)
        The contrast's value; NaN for a contrast of several rows.
    se : ndarray, shape (m,)
        Its standard error; NaN for a contrast of several rows.
    statistic : ndarray, shape (m,)
        t, or F for a contrast of several rows. Where nothing varies among those that are compared, t is infinite, or
        NaN when they do not differ either.
    p : ndarray, shape (m,)
        Two-sided, from the t or F distribution.
    df1, df2 : int
        Degrees of freedom; df1 is the number of rows.
    """

    estimate: Floats
    se: Floats
    statistic: Floats
    p: Floats
    df1: int
    df2: int


def checked(y: ArrayLike, design: ArrayLike) -> tuple[Floats, Floats]:
    """Check outcomes (n, m) and design (n, p).

    Raises
    ------
    UsageError
        When shapes do not fit, values are missing, or the design has not full rank.
    """
    outcomes, matrix = np.asarray(y, dtype=np.float64), np.asarray(design, dtype=np.float64)
    outcomes = outcomes[:, None] if outcomes.ndim == 1 else outcomes
    if outcomes.ndim != 2 or matrix.ndim != 2 or len(outcomes) != len(matrix):
        raise UsageError(f"y has shape {outcomes.shape} and the design {matrix.shape}: (n, m) and (n, p) are needed")
    if not np.isfinite(outcomes).all() or not np.isfinite(matrix).all():
        raise UsageError("y and design must be finite: leave out rows with missing values first")
    if len(matrix) <= matrix.shape[1] or np.linalg.matrix_rank(matrix) < matrix.shape[1]:
        raise UsageError(
            f"the design {matrix.shape} needs more rows than columns and columns that do not repeat others"
        )
    return outcomes, matrix


def check_statistic(statistic: str) -> None:
    """Refuse a kind of statistic that there is not: it would pass for one of the two."""
    if statistic not in {"hc3", "ols"}:
        raise UsageError(f"statistic is {statistic!r}; it must be 'hc3' or 'ols'")


def fit_contrast(y: ArrayLike, design: ArrayLike, contrast: ArrayLike, statistic: Statistic = "ols") -> Tested:
    """Test a contrast of a linear model.

    Parameters
    ----------
    y : array, shape (n,) or (n, m)
        Outcomes.
    design : array, shape (n, p)
        Full rank.
    contrast : array, shape (p,) or (k, p)
        t test of one row, or Wald F test of k rows.
    statistic : {"hc3", "ols"}
        Sandwich variance with squared residuals over (1 - leverage)^2 (MacKinnon & White 1985, doi
        10.1016/0304-4076(85)90158-7), or one common variance.

    Returns
    -------
    Tested

    Raises
    ------
    UsageError
        When the arguments make no sense.

    Examples
    --------
    >>> design = [[1, 0], [1, 0], [1, 0], [0, 1], [0, 1], [0, 1]]
    >>> told = fit_contrast([1, 2, 3, 4, 5, 6], design, contrast=[-1, 1])
    >>> told.estimate.round(6).tolist(), told.statistic.round(3).tolist(), told.df2
    ([3.0], [3.674], 4)
    """
    from scipy import stats

    check_statistic(statistic)
    outcomes, matrix = checked(y, design)
    rows = np.atleast_2d(np.asarray(contrast, dtype=np.float64))
    if rows.shape[1] != matrix.shape[1]:
        raise UsageError(f"the contrast has {rows.shape[1]} weights, the design {matrix.shape[1]} columns")
    df2 = len(matrix) - matrix.shape[1]
    weights = rows @ np.linalg.pinv(matrix)
    estimate = weights @ outcomes
    covariance = contrast_covariance(outcomes, matrix, weights, statistic)
    if np.ndim(contrast) == 1:
        se = np.sqrt(covariance[:, 0, 0])
        told = np.where(np.abs(estimate[0]) > ROUNDING * np.abs(outcomes).max(axis=0), estimate[0], 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            t = told / se
        return Tested(estimate[0], se, t, 2 * stats.t.sf(np.abs(t), df2), 1, df2)
    f = wald(estimate, covariance)
    nothing = np.full(outcomes.shape[1], np.nan)
    return Tested(nothing, nothing, f, stats.f.sf(f, len(rows), df2), len(rows), df2)


def contrast_covariance(outcomes: Floats, matrix: Floats, weights: Floats, statistic: Statistic) -> Floats:
    """Estimate the covariance of contrasts ``weights @ y``; shape (m, k, k)."""
    basis = np.linalg.qr(matrix)[0]
    residual = residuals(outcomes, basis)
    if statistic == "ols":
        variance = (residual**2).sum(axis=0) / (len(matrix) - matrix.shape[1])
        return np.asarray(variance[:, None, None] * (weights @ weights.T))
    kept = 1 - (basis**2).sum(axis=1)
    # whoever determines a parameter alone has no residual: 0 / 0 up to rounding, which would pass for a number
    scaled = residual / np.where(kept > ALONE, kept, np.nan)[:, None]
    return np.asarray(np.einsum("kn,nm,ln->mkl", weights, scaled**2, weights, optimize=True))


def residuals(outcomes: Floats, basis: Floats) -> Floats:
    """Give what an orthonormal basis (n, p) leaves of outcomes (n, m); 0 where that is their rounding alone."""
    left = outcomes - basis @ (basis.T @ outcomes)
    # whose groups are all alike would else have a variance of 1e-32, and a t that no two machines agree on
    return np.asarray(np.where(np.abs(left) > ROUNDING * np.abs(outcomes).max(axis=0), left, 0.0))


def wald(estimate: Floats, covariance: Floats) -> Floats:
    """Compute F = b' V^-1 b / k of estimates (k, m) with covariances (m, k, k); NaN where V is singular; shape (m,)."""
    out = np.full(estimate.shape[1], np.nan)
    for outcome, (b, v) in enumerate(zip(estimate.T, covariance, strict=True)):
        if np.isfinite(v).all() and np.linalg.matrix_rank(v, hermitian=True) == len(v):
            out[outcome] = b @ np.linalg.solve(v, b) / len(b)
    return out
