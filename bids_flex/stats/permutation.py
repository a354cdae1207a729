"""Permutation tests of linear models with nuisance variables."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations, product
from itertools import permutations as all_orders
from typing import TYPE_CHECKING, Literal

import numpy as np

from bids_flex.errors import UsageError
from bids_flex.stats.linear import Statistic, checked, fit_contrast

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Orders = NDArray[np.int64]

Exchange = Literal["within", "whole"]

CHUNK_VALUES = 1_000_000
"""Values of permuted data that are held at once by a thread: what fits its cache matters more than the call's cost."""


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
        The same against the most extreme statistic over the outcomes, which controls the family-wise error.
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
    """
    outcomes, matrix = checked(y, design)
    if n_permutations < 1:
        raise UsageError(f"n_permutations is {n_permutations}; it must be at least 1")
    if statistic not in {"hc3", "ols"}:
        raise UsageError(f"statistic is {statistic!r}; it must be 'hc3' or 'ols'")
    orders, exact = make_orders(matrix, n_permutations, seed, blocks, exchange)
    rows = []
    for contrast in contrasts:
        observed = fit_contrast(outcomes, matrix, contrast, statistic)
        permuted = _permuted(outcomes, matrix, np.asarray(contrast, dtype=np.float64), orders, statistic, threads)
        rows.append((observed.statistic, observed.p, *_p_values(observed.statistic, permuted)))
    t, p, p_permutation, p_max = (np.array(column) for column in zip(*rows, strict=True))
    return PermutationResult(t, p, p_permutation, p_max, len(orders), exact)


def _p_values(observed: Floats, permuted: Floats) -> tuple[Floats, Floats]:
    """Compare statistics (m,) with permuted ones (B, m); what ties but for rounding counts as reached."""
    size, null = np.abs(observed), np.abs(permuted)
    reached = size * (1 - 1e-10)
    p = (null >= reached).mean(axis=0)
    p_max = (np.nanmax(null, axis=1)[:, None] >= reached).mean(axis=0)
    return np.where(np.isnan(size), np.nan, p), np.where(np.isnan(size), np.nan, p_max)


def _permuted(
    outcomes: Floats, matrix: Floats, contrast: Floats, orders: Orders, statistic: Statistic, threads: int | None
) -> Floats:
    """Compute a contrast's statistic for every order; shape (B, m)."""
    nuisance = _null_space_design(matrix, np.atleast_2d(contrast))
    # what the model without the contrast leaves; fitted values would change no statistic of the contrast
    residual = outcomes - nuisance @ (nuisance.T @ outcomes)
    basis = np.linalg.qr(matrix)[0]
    weights = np.atleast_2d(contrast) @ np.linalg.pinv(matrix)
    leverage = 1 - (basis**2).sum(axis=1)
    size = max(1, CHUNK_VALUES // residual.size)
    chunks = [orders[first : first + size] for first in range(0, len(orders), size)]

    def compute(chunk: Orders) -> Floats:
        permuted = residual[chunk]
        left = permuted - basis @ (basis.T @ permuted)
        estimate = weights @ permuted
        if statistic == "ols":
            variance = np.einsum("bnm,bnm->bm", left, left) / (len(matrix) - matrix.shape[1])
            spread = variance[:, None, None, :] * (weights @ weights.T)[:, :, None]
        else:
            left /= leverage[:, None]
            left *= left
            products = np.einsum("kn,ln->kln", weights, weights).reshape(-1, len(matrix))
            spread = (products @ left).reshape(len(chunk), len(weights), len(weights), -1)
        return _statistic(estimate, spread, squared=contrast.ndim == 2)

    with ThreadPoolExecutor(threads) as pool:
        return np.concatenate(list(pool.map(compute, chunks)))


def _statistic(estimate: Floats, spread: Floats, *, squared: bool) -> Floats:
    """Compute t or F from estimates (B, k, m) and covariances (B, k, k, m); shape (B, m)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        if not squared:
            return np.asarray(estimate[:, 0] / np.sqrt(spread[:, 0, 0]))
        b, v = estimate.transpose(0, 2, 1), spread.transpose(0, 3, 1, 2)
        # a singular covariance belongs to an outcome that is constant in a group
        whole = np.abs(np.linalg.det(v)) > 0
        out = np.full(b.shape[:2], np.nan)
        solved = np.linalg.solve(v[whole], b[whole][..., None])[..., 0]
        out[whole] = (b[whole] * solved).sum(axis=-1) / b.shape[-1]
        return out


def _null_space_design(matrix: Floats, contrast: Floats) -> Floats:
    """Find an orthonormal basis of the model in which the contrast is zero; shape (n, p - k)."""
    from scipy.linalg import null_space

    free = null_space(contrast)
    return np.linalg.qr(matrix @ free)[0] if free.shape[1] else np.zeros((len(matrix), 0))


def make_orders(
    matrix: Floats, n_permutations: int, seed: int, blocks: ArrayLike | None = None, exchange: Exchange = "within"
) -> tuple[Orders, bool]:
    """Draw orders of the rows, the given one first; all of them when there are no more than asked for.

    Orders that put the same data to the same rows of the design count once.

    Returns
    -------
    ndarray of int, shape (B, n)
        Row b says which datum goes to each row of the design.
    bool
        Whether they are all.
    """
    units = _units(len(matrix), blocks, exchange)
    names = np.unique(matrix, axis=0, return_inverse=True)[1].ravel()
    classes = [[tuple(names[unit].tolist()) for unit in group] for group in units]
    total = math.prod(_count(group) for group in classes)
    if total <= n_permutations:
        found = sorted(_all(len(matrix), units, classes), key=lambda order: order != tuple(range(len(matrix))))
        return np.array(found, dtype=np.int64), True
    rng = np.random.default_rng(seed)
    orders = np.tile(np.arange(len(matrix)), (n_permutations, 1))
    for group in units:
        places = np.array(group)
        shuffled = rng.permuted(np.tile(np.arange(len(group)), (n_permutations - 1, 1)), axis=1)
        orders[1:, places.ravel()] = places[shuffled].reshape(n_permutations - 1, -1)
    return orders, False


def _units(n: int, blocks: ArrayLike | None, exchange: Exchange) -> list[list[list[int]]]:
    """Group what may change places: rows of a block, or whole blocks of one size."""
    if blocks is None:
        return [[[row] for row in range(n)]]
    labels = np.asarray(blocks)
    if labels.shape != (n,):
        raise UsageError(f"blocks have shape {labels.shape}, the design has {n} rows")
    members = [np.flatnonzero(labels == label).tolist() for label in dict.fromkeys(labels.tolist())]
    if exchange == "within":
        return [[[row] for row in block] for block in members]
    if exchange == "whole":
        sizes = sorted({len(block) for block in members})
        return [[block for block in members if len(block) == size] for size in sizes]
    raise UsageError(f"exchange is {exchange!r}; it must be 'within' or 'whole'")


def _count(group: list[tuple[int, ...]]) -> int:
    """Count the different arrangements of units whose rows of the design may be alike."""
    return math.factorial(len(group)) // math.prod(math.factorial(group.count(kind)) for kind in set(group))


def _all(n: int, units: list[list[list[int]]], classes: list[list[tuple[int, ...]]]) -> Iterator[tuple[int, ...]]:
    """Enumerate all different orders."""
    for choice in product(*(list(_arrangements(kinds)) for kinds in classes)):
        order = list(range(n))
        for group, arrangement in zip(units, choice, strict=True):
            for place, datum in enumerate(arrangement):
                for row, value in zip(group[place], group[datum], strict=True):
                    order[row] = value
        yield tuple(order)


def _arrangements(kinds: list[tuple[int, ...]]) -> Iterator[tuple[int, ...]]:
    """Enumerate which unit's data go to each unit's place, when places of one kind cannot be told apart."""
    different = list(dict.fromkeys(kinds))
    if len(different) == len(kinds):
        yield from all_orders(range(len(kinds)))
        return
    places = {kind: [place for place, one in enumerate(kinds) if one == kind] for kind in different}

    def fill(left: tuple[int, ...], which: int) -> Iterator[dict[int, int]]:
        if which == len(different):
            yield {}
            return
        here = places[different[which]]
        for data in combinations(left, len(here)):
            for rest in fill(tuple(one for one in left if one not in data), which + 1):
                yield {**dict(zip(here, data, strict=True)), **rest}

    for assigned in fill(tuple(range(len(kinds))), 0):
        yield tuple(assigned[place] for place in range(len(kinds)))
