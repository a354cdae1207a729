"""Specification curves: one question asked in many ways of the same people, tested as a whole by permutation.

The same rearrangement of people is used in every specification, so that whatever ties their results together is in the
null distribution of the curve too (Simonsohn, Simmons & Nelson 2020, doi 10.1038/s41562-020-0912-z).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bids_flex.errors import UsageError
from bids_flex.stats.effects import small_sample_correction
from bids_flex.stats.orders import make_flips, make_orders
from bids_flex.stats.permutation import CHUNK_VALUES, TIE, check_choices, permuted_tests, reduced_residuals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from bids_flex.stats.linear import Statistic
    from bids_flex.stats.permutation import Rearrange

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

ALPHA = 0.05
"""Below this, a specification counts as significant."""


@dataclass(frozen=True, slots=True, eq=False)
class Specification:
    """One way to ask.

    Attributes
    ----------
    y : ndarray, shape (n,)
        Outcome of all people of the curve; NaN where this way has none.
    design : ndarray, shape (n, p)
        Of all of them; full rank among those with an outcome.
    contrast : ndarray, shape (p,)
        What is asked.
    """

    y: Floats
    design: Floats
    contrast: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """Results of every specification under every arrangement, the data's own first; all of shape (B, U).

    Attributes
    ----------
    effect : ndarray
        Hedges' g.
    t : ndarray
        Of the kind that is tested.
    p : ndarray
        Two-sided, from the t distribution.
    """

    effect: Floats
    t: Floats
    p: Floats


class CurveTest(NamedTuple):
    """A curve as a whole.

    Attributes
    ----------
    specifications : int
        With a result.
    median : float
        Of the effects.
    share, sign : float
        Share of the specifications that are significant in the sign in which more are, and that sign (0: none is, or as
        many in both).
    p_median, p_share : float
        Share of arrangements with a median as far from 0, and with as large a share in their own dominant sign.
    median_low, median_high, share_null : float
        Where 95 % of the arrangements' medians lie, and the mean of their shares.
    """

    specifications: int
    median: float
    share: float
    sign: float
    p_median: float
    p_share: float
    median_low: float
    median_high: float
    share_null: float


_NAN = float("nan")
NO_CURVE = CurveTest(0, _NAN, _NAN, 0.0, _NAN, _NAN, _NAN, _NAN, _NAN)
"""Of specifications without a result."""


def arrangements(
    n: int, count: int, seed: int = 0, blocks: ArrayLike | None = None, rearrange: Rearrange = "permute"
) -> tuple[NDArray[np.int64], Floats | None]:
    """Draw how all people of a curve change places or signs, the data's own arrangement first.

    Parameters
    ----------
    n : int
        Number of people.
    count : int
        Of arrangements; all of them when there are no more.
    seed : int
        Of the draw.
    blocks : array, shape (n,), optional
        People change places within these.
    rearrange : {"permute", "flip"}
        Places or signs.

    Returns
    -------
    ndarray of int, shape (B, n)
        For every person the place that its datum goes to.
    ndarray, shape (B, n), or None
        Signs.
    """
    if rearrange == "flip":
        signs, _ = make_flips(n, count, seed)
        return np.broadcast_to(np.arange(n), signs.shape), signs
    # designs differ between specifications, so no two people are alike in all of them
    orders, _ = make_orders(np.arange(n, dtype=np.float64)[:, None], count, seed, blocks)
    return np.argsort(orders, axis=1), None


def draw_curve(
    specifications: Sequence[Specification],
    count: int = 1000,
    seed: int = 0,
    blocks: ArrayLike | None = None,
    statistic: Statistic = "hc3",
    rearrange: Rearrange = "permute",
) -> Draws:
    """Compute every specification under the same arrangements of people, by the method of Freedman and Lane.

    A person's outcomes stay together, those that are missing too: where somebody has none, so has whoever takes over
    the row of the design. That keeps the results of specifications as alike as they are in the data, gaps or not.

    Parameters
    ----------
    specifications : sequence of Specification
        The ways to ask, all of the same people in the same order.
    count, seed : int
        Arrangements, the data's own included, and the seed of their draw.
    blocks : array, shape (n,), optional
        People change places within these.
    statistic : {"hc3", "ols"}
        That decides what is significant.
    rearrange : {"permute", "flip"}
        Places or signs of people.

    Returns
    -------
    Draws

    Raises
    ------
    UsageError
        When there is no specification, they have not the same number of people, or a choice is none.
    """
    from scipy import stats
    from threadpoolctl import threadpool_limits

    check_choices(count, statistic, rearrange)
    if len({len(one.y) for one in specifications}) != 1:
        raise UsageError("a curve needs specifications of the same people")
    places, signs = arrangements(len(specifications[0].y), count, seed, blocks, rearrange)
    effects, values, ps = [], [], []
    # one thread for each product: how many share a product would change its rounding
    with threadpool_limits(1, "blas"):
        for one in specifications:
            there = np.isfinite(one.y)
            df = int(there.sum()) - one.design.shape[1]
            whole = there.all() or signs is not None
            plain, t, spread = (_alike if whole else _moved)(one, places, signs, statistic)
            # c'(X'X)^-1 c turns t into a difference in standard deviations
            effects.append(small_sample_correction(df) * plain * np.sqrt(spread))
            values.append(t)
            ps.append(2 * stats.t.sf(np.abs(t), df))
    return Draws(np.column_stack(effects), np.column_stack(values), np.column_stack(ps))


def _alike(
    one: Specification, places: NDArray[np.int64], signs: Floats | None, statistic: Statistic
) -> tuple[Floats, Floats, Floats]:
    """Compute t of least squares, t of the tested kind, and c'(X'X)^-1 c where everybody keeps to the same rows."""
    there = np.isfinite(one.y)
    y, design = one.y[there], one.design[there]
    own = None if signs is None else signs[:, there]
    here = places if own is None else np.broadcast_to(np.arange(len(y)), own.shape)
    plain = permuted_tests(y, design, one.contrast, here, own, "ols")[:, 0]
    t = plain if statistic == "ols" else permuted_tests(y, design, one.contrast, here, own, "hc3")[:, 0]
    return plain, t, np.full(len(t), ((one.contrast @ np.linalg.pinv(design)) ** 2).sum())


def _moved(
    one: Specification, places: NDArray[np.int64], _: Floats | None, statistic: Statistic
) -> tuple[Floats, Floats, Floats]:
    """Compute the same where gaps go with people: each arrangement has the rows that they come to."""
    there = np.flatnonzero(np.isfinite(one.y))
    y, (n, p) = one.y[there], (len(there), one.design.shape[1])
    residual = reduced_residuals(y[:, None], one.design[there], one.contrast)[:, 0]
    if np.isnan(residual).any():
        nothing = np.full(len(places), np.nan)
        return nothing, nothing, nothing
    found = []
    for first in range(0, len(places), max(1, CHUNK_VALUES // (n * p))):
        here = places[first : first + max(1, CHUNK_VALUES // (n * p)), there]
        found.append(_fitted(residual, one.design[here], one.contrast))
    plain, robust, spread = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return plain, plain if statistic == "ols" else robust, spread


def _fitted(residual: Floats, designs: Floats, contrast: Floats) -> tuple[Floats, Floats, Floats]:
    """Fit residuals (n,) by many designs (B, n, p): both t and c'(X'X)^-1 c; NaN where a design has not full rank."""
    count, n, p = designs.shape
    cross = designs.transpose(0, 2, 1) @ designs
    sound = np.linalg.matrix_rank(designs) == p
    inverse = np.full((count, p, p), np.nan)
    inverse[sound] = np.linalg.inv(cross[sound])
    beta = inverse @ (designs.transpose(0, 2, 1) @ residual)[:, :, None]
    left = residual - (designs @ beta)[:, :, 0]
    weights = designs @ (inverse @ contrast)[:, :, None]
    leverage = np.einsum("bni,bij,bnj->bn", designs, inverse, designs, optimize=True)
    estimate, spread = beta[:, :, 0] @ contrast, np.einsum("i,bij,j->b", contrast, inverse, contrast)
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = left / np.where(leverage < 1 - 1e-10, 1 - leverage, np.nan)
        plain = estimate / np.sqrt((left**2).sum(axis=1) / (n - p) * spread)
        robust = estimate / np.sqrt(((weights[:, :, 0] * scaled) ** 2).sum(axis=1))
    return plain, robust, spread


def curve_test(draws: Draws, chosen: Flags | None = None) -> CurveTest:
    """Test a curve, or the part of it that some specifications are.

    Parameters
    ----------
    draws : Draws
        As of :func:`draw_curve`.
    chosen : ndarray of bool, shape (U,), optional
        Specifications to look at; all by default.
    """
    there = np.isfinite(draws.effect[0]) & np.isfinite(draws.p[0])
    there &= True if chosen is None else chosen
    count = int(there.sum())
    if not count:
        return NO_CURVE
    effect, p = draws.effect[:, there], draws.p[:, there]
    median = np.nanmedian(effect, axis=1)
    # what cannot be computed for an arrangement counts against the finding
    low = np.nan_to_num(p, nan=0.0) < ALPHA
    above, below = (low & (effect > 0)).mean(axis=1), (low & (effect < 0)).mean(axis=1)
    share = np.maximum(above, below)
    bounds = np.quantile(median, (0.025, 0.975))
    return CurveTest(
        count,
        float(median[0]),
        float(share[0]),
        float(np.sign(above[0] - below[0])),
        reached(np.abs(median)),
        reached(share),
        float(bounds[0]),
        float(bounds[1]),
        float(share.mean()),
    )


def reached(values: Floats) -> float:
    """Tell the share of arrangements whose value is as large as that of the first, the data's own; never 0."""
    return float((values >= values[0] * (1 - TIE) - TIE).mean())


def each_p(draws: Draws) -> Floats:
    """Give the permutation p of every specification by itself; shape (U,)."""
    size = np.nan_to_num(np.abs(draws.t), nan=np.inf)
    found = np.array([reached(column) for column in size.T])
    found[~np.isfinite(draws.t[0])] = np.nan
    return found


def null_curve(draws: Draws) -> tuple[Floats, Floats]:
    """Tell where 95 % of the arrangements' effects lie at each rank of the sorted curve; both (specifications,)."""
    there = np.isfinite(draws.effect[0])
    ordered = np.sort(draws.effect[:, there], axis=1)
    low, high = np.nanquantile(ordered, (0.025, 0.975), axis=0)
    return np.asarray(low), np.asarray(high)


def explained(effects: Floats, levels: Sequence[str]) -> float:
    """Tell which share of the variance of effects lies between the levels of a choice; NaN without variance."""
    total = float(((effects - effects.mean()) ** 2).sum())
    names = np.asarray(levels)
    between = sum(
        float((names == one).sum() * (effects[names == one].mean() - effects.mean()) ** 2) for one in np.unique(names)
    )
    return between / total if total > 0 else float("nan")
