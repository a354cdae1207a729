"""Permutation tests of linear models with nuisance variables.

Every statistic of a permuted outcome is made of sums over rows: of the outcome times a row of weights, or of its square
times one. Permuting the weights instead of the outcomes turns all of them into few large matrix products.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from bids_flex.errors import UsageError
from bids_flex.stats.linear import Statistic, check_statistic, checked, fit_contrast
from bids_flex.stats.orders import Exchange, make_flips, make_orders

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Orders = NDArray[np.int64]

Rearrange = Literal["permute", "flip"]

CHUNK_VALUES = 1_000_000
"""Sums that are held at once by a thread: what fits its cache matters more than the call's cost."""

CEILING = 1e6
"""Statistics beyond this are infinite up to rounding, and tie with each other."""

TIE = 1e-10
"""Statistics that differ by less, relatively or (near 0) absolutely, count as equal."""


@dataclass(frozen=True, slots=True, eq=False)
class PermutationResult:
    """Tests of c contrasts for m outcomes; every array has shape (c, m).

    Attributes
    ----------
    statistic : ndarray
        t of one-row contrasts, F of others.
    p_parametric : ndarray
        From the t or F distribution, two-sided.
    p_permutation : ndarray
        Share of permutations with a statistic at least as extreme, the data's own order included: never 0.
    p_max : ndarray
        The same against the most extreme statistic over the outcomes of a family, which controls the family-wise error.
    n_permutations : int
        Orders used, the data's own included.
    exact : bool
        Whether they are all that there are.
    """

    statistic: Floats
    p_parametric: Floats
    p_permutation: Floats
    p_max: Floats
    n_permutations: int
    exact: bool


class _Plan(NamedTuple):
    """A contrast's test as sums over rows: each weight row is permuted against the residuals or their squares."""

    linear: Floats
    square: Floats
    forms: Floats
    total: Floats
    unscaled: Floats
    df: int
    squared: bool


def freedman_lane(
    y: ArrayLike,
    design: ArrayLike,
    contrasts: Sequence[ArrayLike],
    n_permutations: int = 10_000,
    seed: int = 0,
    blocks: ArrayLike | None = None,
    exchange: Exchange = "within",
    statistic: Statistic = "hc3",
    threads: int | None = None,
    families: ArrayLike | None = None,
    rearrange: Rearrange = "permute",
) -> PermutationResult:
    """Test contrasts by permuting the residuals of the model without them (Freedman & Lane 1983; Winkler et al. 2014).

    Parameters
    ----------
    y : array, shape (n,) or (n, m)
        Outcomes.
    design : array, shape (n, p)
        Full rank.
    contrasts : sequence of arrays, each (p,) or (k, p)
        t tests and F tests.
    n_permutations : int
        Orders to use, the data's own included; all of them when there are no more.
    seed : int
        Of the orders.
    blocks : array, shape (n,), optional
        Exchangeability blocks, such as sites.
    exchange : {"within", "whole"}
        Permute rows within blocks, or whole blocks of equal size.
    statistic : {"hc3", "ols"}
        Permuted OLS statistics are wrong when groups of unequal size have unequal variances; HC3 holds its level.
    threads : int, optional
        Number of threads; the result is the same for any.
    families : array, shape (m,), optional
        Family of each outcome for ``p_max``; all are one family by default.
    rearrange : {"permute", "flip"}
        Change the rows' places, or their signs: one-sample and paired designs, whose errors are symmetric about 0.

    Returns
    -------
    PermutationResult

    Raises
    ------
    UsageError
        When the arguments make no sense.

    References
    ----------
    doi 10.1080/07350015.1983.10509354, doi 10.1016/j.neuroimage.2014.01.060

    Examples
    --------
    >>> design = [[1, 0], [1, 0], [1, 0], [0, 1], [0, 1], [0, 1]]
    >>> told = freedman_lane([1, 2, 3, 4, 5, 6], design, contrasts=[[-1, 1]], statistic="ols")
    >>> told.p_permutation.tolist(), told.n_permutations, told.exact
    ([[0.1]], 20, True)
    """
    outcomes, matrix = checked(y, design)
    members = _family_numbers(families, outcomes.shape[1])
    check_choices(n_permutations, statistic, rearrange)
    places, signs, exact = _arrangements(matrix, n_permutations, seed, blocks, exchange, rearrange)
    rows = []
    for contrast in contrasts:
        weights = np.asarray(contrast, dtype=np.float64)
        residual = reduced_residuals(outcomes, matrix, weights)
        plan = _plan(matrix, weights, residual, statistic)
        observed = fit_contrast(outcomes, matrix, weights, statistic)
        reached = _count(
            plan, residual, np.minimum(np.abs(observed.statistic), CEILING), members, places, signs, threads
        )
        lost = np.isnan(residual[0]) | np.isnan(observed.statistic)
        p, p_max = (np.where(lost, np.nan, one / len(places)) for one in reached)
        rows.append((np.where(lost, np.nan, observed.statistic), np.where(lost, np.nan, observed.p), p, p_max))
    t, p, p_permutation, p_max = (np.array(column) for column in zip(*rows, strict=True))
    return PermutationResult(t, p, p_permutation, p_max, len(places), exact)


def permuted_tests(
    y: ArrayLike,
    design: ArrayLike,
    contrast: ArrayLike,
    places: Orders,
    signs: Floats | None = None,
    statistic: Statistic = "hc3",
) -> Floats:
    """Compute the t of one contrast for given arrangements of the residuals of the model without it.

    Parameters
    ----------
    y : array, shape (n,) or (n, m)
        Outcomes.
    design : array, shape (n, p)
        Full rank.
    contrast : array, shape (p,)
        One row of weights.
    places : ndarray of int, shape (B, n)
        For every datum, which row of the design it goes to.
    signs : ndarray, shape (B, n), optional
        With which sign.
    statistic : {"hc3", "ols"}
        Kind of t.

    Returns
    -------
    ndarray, shape (B, m)
        NaN where nothing of an outcome is left to permute, or an arrangement has no variance.
    """
    check_statistic(statistic)
    outcomes, matrix = checked(y, design)
    weights = np.asarray(contrast, dtype=np.float64)
    if weights.ndim != 1:
        raise UsageError(f"the contrast has shape {weights.shape}: one row of weights is needed")
    residual = reduced_residuals(outcomes, matrix, weights)
    plan = _plan(matrix, weights, residual, statistic)
    filled = np.nan_to_num(residual)
    size = max(1, CHUNK_VALUES // (len(plan.linear) * residual.shape[1] + residual.size))
    parts = []
    for first in range(0, len(places), size):
        here = slice(first, first + size)
        parts.append(_statistics(plan, filled, filled**2, places[here], None if signs is None else signs[here]))
    found = np.concatenate(parts)
    found[:, np.isnan(residual[0])] = np.nan
    return found


def check_choices(n_permutations: int, statistic: str, rearrange: str) -> None:
    """Refuse senseless arguments."""
    if n_permutations < 1:
        raise UsageError(f"n_permutations is {n_permutations}; it must be at least 1")
    check_statistic(statistic)
    if rearrange not in {"permute", "flip"}:
        raise UsageError(f"rearrange is {rearrange!r}; it must be 'permute' or 'flip'")


def _family_numbers(families: ArrayLike | None, m: int) -> Orders:
    """Give every outcome the number of its family; shape (m,)."""
    if families is None:
        return np.zeros(m, dtype=np.int64)
    labels = np.asarray(families)
    if labels.shape != (m,):
        raise UsageError(f"families have shape {labels.shape}, there are {m} outcomes")
    return np.asarray(np.unique(labels, return_inverse=True)[1].ravel(), dtype=np.int64)


def _arrangements(
    matrix: Floats, n_permutations: int, seed: int, blocks: ArrayLike | None, exchange: Exchange, rearrange: Rearrange
) -> tuple[Orders, Floats | None, bool]:
    """Say for every datum which row of the design it goes to, and with which sign; both (B, n)."""
    if rearrange == "flip":
        signs, exact = make_flips(len(matrix), n_permutations, seed, blocks, exchange)
        return np.broadcast_to(np.arange(len(matrix)), signs.shape), signs, exact
    orders, exact = make_orders(matrix, n_permutations, seed, blocks, exchange)
    return np.argsort(orders, axis=1), None, exact


def reduced_residuals(outcomes: Floats, matrix: Floats, contrast: Floats) -> Floats:
    """Take the model without the contrast out of the outcomes, and scale them; NaN where nothing but rounding is left.

    Fitted values that would be put back change no statistic of the contrast.
    """
    nuisance = _null_space_design(matrix, np.atleast_2d(contrast))
    residual = outcomes - nuisance @ (nuisance.T @ outcomes)
    residual -= nuisance @ (nuisance.T @ residual)
    size = np.linalg.norm(residual, axis=0)
    there = size > 1e-12 * np.linalg.norm(outcomes, axis=0)
    return np.asarray(residual / np.where(there, size, np.nan))


def _plan(matrix: Floats, contrast: Floats, residual: Floats, statistic: Statistic) -> _Plan:
    """Write a contrast's estimates and variances as sums over rows of residuals and of their squares."""
    basis = np.linalg.qr(matrix)[0]
    weights = np.atleast_2d(contrast) @ np.linalg.pinv(matrix)
    k, p = len(weights), basis.shape[1]
    linear = [weights, basis.T]
    square, forms = np.zeros((0, len(matrix))), np.zeros((0, p, p))
    if statistic == "hc3":
        leverage = (basis**2).sum(axis=1)
        if (leverage > 1 - 1e-10).any():
            alone = ", ".join(map(str, np.flatnonzero(leverage > 1 - 1e-10)[:10]))
            raise UsageError(
                f"a parameter hangs on one row alone (row {alone}): HC3 has no variance for it; "
                "leave the row out or use the OLS statistic"
            )
        square = np.array([weights[a] * weights[b] for a in range(k) for b in range(a + 1)]) / (1 - leverage) ** 2
        linear += [one * basis.T for one in square]
        forms = np.array([(basis.T * one) @ basis for one in square])
    total = (residual**2).sum(axis=0)
    df = len(matrix) - p
    return _Plan(np.concatenate(linear), square, forms, total, weights @ weights.T, df, contrast.ndim == 2)


def _count(
    plan: _Plan,
    residual: Floats,
    observed: Floats,
    members: Orders,
    places: Orders,
    signs: Floats | None,
    threads: int | None,
) -> tuple[Floats, Floats]:
    """Count the arrangements that reach the observed size, by outcome and by the largest of its family; both (m,)."""
    from threadpoolctl import threadpool_limits

    size = max(1, CHUNK_VALUES // (len(plan.linear) * residual.shape[1] + residual.size))
    threshold = observed * (1 - TIE) - TIE
    filled = np.nan_to_num(residual)
    squares = filled**2
    lost = np.isnan(residual[0]) | np.isnan(observed)

    def count(first: int) -> tuple[Orders, Floats]:
        here = slice(first, first + size)
        null = np.abs(_statistics(plan, filled, squares, places[here], None if signs is None else signs[here]))
        # what cannot be computed for an arrangement counts against the finding
        null[np.isnan(null)] = np.inf
        if first == 0:
            null[0] = observed
        null[:, lost] = -np.inf
        largest = np.full((len(null), members.max() + 1), -np.inf)
        for family in range(largest.shape[1]):
            largest[:, family] = null[:, members == family].max(axis=1)
        return (null >= threshold).sum(axis=0), largest

    # one thread for each product: how many share a product would change its rounding
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads) as pool:
        counts, largest = zip(*pool.map(count, range(0, len(places), size)), strict=True)
    extreme = np.sort(np.concatenate(largest), axis=0)
    above = [len(extreme) - np.searchsorted(extreme[:, f], t) for f, t in zip(members, threshold, strict=True)]
    return np.sum(counts, axis=0), np.array(above, dtype=np.float64)


def _statistics(plan: _Plan, residual: Floats, squares: Floats, places: Orders, signs: Floats | None) -> Floats:
    """Compute t or F of every arrangement and outcome; shape (B, m)."""
    k = len(plan.unscaled)
    p = plan.forms.shape[1] if len(plan.forms) else len(plan.linear) - k
    sums = _products(plan.linear, residual, places, signs)
    estimate, fitted = sums[:k], sums[k : k + p]
    if not len(plan.square):
        variance = plan.total - (fitted**2).sum(axis=0)
        variance = np.where(variance > 1e-12 * plan.total, variance, 0.0) / plan.df
        return _ols(estimate, variance, plan)
    spread = _products(plan.square, squares, places, None)
    scale = _products(np.abs(plan.square), squares, places, None) if plan.squared else spread.copy()
    for pair, form in enumerate(plan.forms):
        crossed = np.tensordot(form, fitted, axes=1) - 2 * sums[k + p + pair * p : k + p + (pair + 1) * p]
        spread[pair] += np.einsum("pbm,pbm->bm", crossed, fitted)
    spread[np.abs(spread) <= 1e-12 * scale] = 0.0
    with np.errstate(invalid="ignore", divide="ignore"):
        return _wald(estimate, spread) if plan.squared else np.asarray(estimate[0] / np.sqrt(np.maximum(spread[0], 0)))


def _products(rows: Floats, values: Floats, places: Orders, signs: Floats | None) -> Floats:
    """Sum values (n, m) times rows of weights (q, n) for every arrangement; shape (q, B, m).

    The smaller of the two is put in order: weights for many outcomes, data for few.
    """
    q, n = rows.shape
    count, m = len(places), values.shape[1]
    if q <= m:
        moved = rows[:, places] if signs is None else rows[:, places] * signs
        return np.asarray((moved.reshape(-1, n) @ values).reshape(q, count, m))
    data = np.broadcast_to(values, (count, n, m)) if signs is None else values * signs[:, :, None]
    ordered = np.empty((count, n, m))
    np.put_along_axis(ordered, places[:, :, None], data, axis=1)
    return np.asarray((rows @ ordered.transpose(1, 0, 2).reshape(n, -1)).reshape(q, count, m))


def _ols(estimate: Floats, variance: Floats, plan: _Plan) -> Floats:
    """Compute t or F with one common variance."""
    with np.errstate(invalid="ignore", divide="ignore"):
        if not plan.squared:
            return np.asarray(estimate[0] / np.sqrt(variance * plan.unscaled[0, 0]))
        crossed = np.tensordot(np.linalg.inv(plan.unscaled), estimate, axes=1)
        return np.asarray((crossed * estimate).sum(axis=0) / (len(estimate) * variance))


def _wald(estimate: Floats, spread: Floats) -> Floats:
    """Compute b' V^-1 b / k by elimination, V given by its lower triangle; NaN where V is singular; shape (B, m)."""
    k = len(estimate)
    v = {(a, b): spread[a * (a + 1) // 2 + b].copy() for a in range(k) for b in range(a + 1)}
    first = {a: v[a, a].copy() for a in range(k)}
    left = estimate.copy()
    f = np.zeros(estimate.shape[1:])
    for pivot in range(k):
        d = np.where(v[pivot, pivot] > 1e-12 * first[pivot], v[pivot, pivot], np.nan)
        f += left[pivot] ** 2 / d
        for row in range(pivot + 1, k):
            share = v[row, pivot] / d
            left[row] -= share * left[pivot]
            for column in range(pivot + 1, row + 1):
                v[row, column] -= share * v[column, pivot]
    return np.asarray(f / k)


def _null_space_design(matrix: Floats, contrast: Floats) -> Floats:
    """Find an orthonormal basis of the model in which the contrast is zero; shape (n, p - k)."""
    from scipy.linalg import null_space

    free = null_space(contrast)
    return np.linalg.qr(matrix @ free)[0] if free.shape[1] else np.zeros((len(matrix), 0))
