"""Null models as one loop: draw a surrogate, measure it, forget it; then hold the observed measures against them."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

import numpy as np

from bids_flex.dynamics import surrogates
from bids_flex.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from numpy.typing import ArrayLike, NDArray

    from bids_flex.dynamics.windows import WindowPlan

    Floats = NDArray[np.float64]
    Measure = Callable[[Floats], Mapping[str, ArrayLike]]

Drawn = TypeVar("Drawn")

SeriesKind = Literal["phase", "var", "iaaft"]
SERIES_KINDS: tuple[SeriesKind, ...] = get_args(SeriesKind)

MOST_CENSORED = 0.3
"""Censored share of volumes above which z is not given."""

TIE = 1e-10
"""Relative difference below which two values are the same but for rounding."""


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
        Excess divided by sd; NaN where all null values are the same, and everywhere above 30 % censored volumes.
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


@dataclass(frozen=True, slots=True, eq=False)
class SeriesSurrogates:
    """Draws surrogates of one run's series: ``surrogates(seed)`` is what the windows are laid over.

    Attributes
    ----------
    source : ndarray, shape (T, N)
        Unfiltered series that surrogates are made of, gaps filled.
    unfiltered : callable
        Makes an unfiltered surrogate (T, N) from a seed.
    refilter : callable
        Fills, filters and censors it as the observed series were.
    """

    source: Floats
    unfiltered: Callable[[int], Floats]
    refilter: Callable[[Floats], Floats]

    def __call__(self, seed: int) -> Floats:
        """Draw a surrogate, refiltered; shape (T, N), NaN in censored volumes."""
        return self.refilter(self.unfiltered(seed))

    def measured(self, measure: Measure) -> Measure:
        """Let a measure of refiltered series also tell what the null model has done to the static correlations.

        ``null_distribution(found.unfiltered, found.measured(measure), n)`` equals
        ``null_distribution(found, measure, n)`` and has one name more: ``correlation_change``, the largest change of
        any correlation between the unfiltered series and each surrogate. It is rounding for ``phase``, and at most
        .05 for ``iaaft``, which refuses more.
        """

        def both(surrogate: Floats) -> Mapping[str, ArrayLike]:
            change = surrogates.correlation_change(self.source, surrogate)
            return {**measure(self.refilter(surrogate)), "correlation_change": change}

        return both


def series_surrogates(
    kind: SeriesKind,
    unfiltered: ArrayLike,
    refilter: Callable[[Floats], Floats] | None = None,
    keep: ArrayLike | None = None,
) -> SeriesSurrogates:
    """Prepare surrogates of a run's series; what does not depend on the seed is done once.

    Cubic splines through unfiltered volumes swing far out in the gaps, each region by itself, and a surrogate spreads
    that over the whole run: its correlations are weaker than those of the observed kept volumes, and z is much too
    low. With ``keep``, whole kept volumes from both sides of a gap take the place of whatever fills it.

    Parameters
    ----------
    kind : {"phase", "var", "iaaft"}
        See :func:`phase_surrogate`, :func:`var_surrogate`, :func:`iaaft_surrogate`.
    unfiltered : array, shape (T, N)
        Denoised, unfiltered regional series without gaps, and without missing regions.
    refilter : callable, optional
        Fills, filters and censors a surrogate (T, N) as the observed series were; by default nothing is done.
    keep : array of bool, shape (T,), optional
        False for censored volumes, which are then filled anew and do not count for ``var``; by default all volumes
        count as they are.

    Raises
    ------
    UsageError
        When the arguments make no sense.
    RunError
        When ``var`` cannot be fitted.

    Examples
    --------
    >>> from bids_flex import dynamics as d
    >>> ts = np.random.default_rng(0).standard_normal((200, 5))
    >>> plan, networks = d.plan_windows(200, tr=2.0, length=60, step=10), [1, 1, 1, 2, 2]
    >>> def measure(series):
    ...     labels, _ = d.prior_communities(d.windowed_connectivity(series, plan), networks)
    ...     return {"flexibility": d.flexibility(labels).mean()}
    >>> null = d.null_distribution(d.series_surrogates("phase", ts), measure, n=99, seed=1)
    >>> told = d.compare(measure(ts), null)["flexibility"]
    >>> bool(told.p > 0.05)
    True
    """
    source = surrogates.checked_series(unfiltered)
    kept = np.ones(len(source), dtype=bool) if keep is None else np.asarray(keep, dtype=bool)
    if kept.shape != source.shape[:1] or not kept.any():
        raise UsageError(f"keep has shape {kept.shape} with {kept.sum()} kept volumes for {len(source)} volumes")
    source = _mirrored(source, kept)
    if kind not in SERIES_KINDS:
        raise UsageError(f"surrogate kind is {kind!r}; it must be one of {', '.join(SERIES_KINDS)}")
    if kind == "var":
        model = surrogates.fit_autoregression(source, int(kept.sum()))
        make = partial(surrogates.simulate_autoregression, model, len(source))
    else:
        make = partial(surrogates.phase_surrogate if kind == "phase" else surrogates.iaaft_surrogate, source)
    return SeriesSurrogates(source, make, refilter or _unchanged)


def _mirrored(series: Floats, kept: NDArray[np.bool_]) -> Floats:
    """Fill gaps with the kept volumes before them, backwards, going over into those after them, backwards.

    Whole volumes keep what regions share, and weights whose squares add up to 1 keep the variance.
    """
    out, volumes, gaps = series.copy(), np.flatnonzero(kept), np.flatnonzero(~kept)
    last, mean = volumes.size - 1, series[kept].mean(axis=0)
    # number, among the kept volumes, of the first one after each censored volume
    following = np.searchsorted(volumes, gaps)
    for after in np.unique(following):
        gap = gaps[following == after]
        step = np.arange(1, gap.size + 1)
        share = step / (gap.size + 1)
        if after == 0 or after > last:
            # one side is all that there is
            share = np.full(gap.size, float(after == 0))
        before = series[volumes[np.clip(after - 1 - step, 0, last)]] - mean
        behind = series[volumes[np.clip(after + step[::-1], 0, last)]] - mean
        turn = share[:, None] * np.pi / 2
        out[gap] = mean + np.cos(turn) * before + np.sin(turn) * behind
    return out


def _unchanged(series: Floats) -> Floats:
    """Give series back."""
    return series


def window_surrogates(windows: NDArray[Any], plan: WindowPlan) -> Callable[[int], NDArray[Any]]:
    """Prepare the null model ``temporal``: each seed gives the windows (W, ...) in another order.

    The measure then gets connectivity to search; or labels, for ``prior``, which searches every window by itself.

    Raises
    ------
    UsageError
        When windows overlap, or are not those of the plan.

    Examples
    --------
    >>> from bids_flex import dynamics as d
    >>> plan = d.plan_windows(90, tr=2.0, length=60, step=60)
    >>> draw = d.window_surrogates(np.array([[1, 1], [1, 2], [2, 2]]), plan)
    >>> sorted(draw(1).tolist())
    [[1, 1], [1, 2], [2, 2]]
    """
    draw = partial(surrogates.permuted_windows, windows, plan)
    draw(0)
    return draw


def null_distribution(
    draw: Callable[[int], Drawn],
    measure: Callable[[Drawn], Mapping[str, ArrayLike]],
    n: int,
    seed: int = 0,
    threads: int | None = None,
) -> dict[str, Floats]:
    """Measure n surrogates, one after the other in each thread; nothing of them is kept but the measures.

    Parameters
    ----------
    draw : callable
        Makes a surrogate from a seed (an int of 64 bits).
    measure : callable
        Gives named measures of a surrogate, always the same names and shapes.
    n : int
        Number of surrogates.
    seed : int
        Of all of them: surrogate k has the same seed however many there are.
    threads : int, optional
        Surrogates at a time; by default as many as processors may be used. The result does not depend on it.

    Returns
    -------
    dict of str to ndarray, shape (n, ...)

    Raises
    ------
    UsageError
        When n is below 1, or names or shapes differ between surrogates.
    Exception
        Whatever the first surrogate that fails has raised; what has not started is then left out.

    Examples
    --------
    >>> drawn = null_distribution(lambda seed: seed % 7, lambda draw: {"remainder": draw}, n=5)
    >>> drawn["remainder"].shape
    (5,)
    """
    if n < 1:
        raise UsageError(f"n is {n}; at least 1 surrogate is needed")
    workers = max(1, min(n, threads or len(os.sched_getaffinity(0))))
    seeds = [int(child.generate_state(1, np.uint64)[0]) for child in np.random.SeedSequence(seed).spawn(n)]
    with ThreadPoolExecutor(workers) as pool:
        try:
            futures = [pool.submit(_one, draw, measure, one) for one in seeds]
            rows = [future.result() for future in futures]
        except BaseException:
            # Ctrl-C too: what runs must end by itself, what waits never starts
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return _stacked(rows)


def _one(
    draw: Callable[[int], Drawn], measure: Callable[[Drawn], Mapping[str, ArrayLike]], seed: int
) -> dict[str, Floats]:
    """Draw and measure one surrogate; measures are copied, so that none of them keeps it alive."""
    return {name: np.array(value, dtype=np.float64) for name, value in measure(draw(seed)).items()}


def _stacked(rows: list[dict[str, Floats]]) -> dict[str, Floats]:
    """Stack the measures of all surrogates."""
    first = {name: value.shape for name, value in rows[0].items()}
    for k, row in enumerate(rows):
        shapes = {name: value.shape for name, value in row.items()}
        if shapes != first:
            raise UsageError(f"surrogate {k} has measures {shapes}, the first one {first}: they must be alike")
    return {name: np.stack([row[name] for row in rows]) for name in first}


def compare(
    observed: Mapping[str, ArrayLike],
    null: Mapping[str, Floats],
    *,
    censored_share: float = 0.0,
    undefined: Collection[str] = (),
) -> dict[str, NullStatistics]:
    """Hold every observed measure against its null values.

    Parameters
    ----------
    observed : mapping of str to array
        Measures of the observed series.
    null : mapping of str to ndarray
        Of :func:`null_distribution`; may have more names.
    censored_share : float
        Of the run's volumes; z is NaN above .3, since censoring pulls it down.
    undefined : collection of str
        Names that this null model says nothing about (``ORDER_FREE`` for permuted windows): everything is NaN.

    Raises
    ------
    UsageError
        When a measure has no null values, or shapes do not fit.

    Examples
    --------
    >>> told = compare({"flexibility": [0.5]}, {"flexibility": np.array([[0.1], [0.3]])})
    >>> told["flexibility"].excess.round(3).tolist()
    [0.3]
    """
    missing = sorted(set(observed) - set(null))
    if missing:
        raise UsageError(f"no null values of {', '.join(missing)}: measure surrogates as the observed series")
    return {
        name: null_statistics(
            value,
            np.full_like(null[name], np.nan) if name in undefined else null[name],
            censored_share,
        )
        for name, value in observed.items()
    }


def null_statistics(observed: ArrayLike, null: ArrayLike, censored_share: float = 0.0) -> NullStatistics:
    """Hold observed values against null ones; values that differ by rounding alone are ties.

    Parameters
    ----------
    observed : array, any shape
        Measures.
    null : array, shape ``(n, *observed.shape)``
        The same measures of n surrogates.
    censored_share : float
        Of the run's volumes; z is NaN above .3.

    Raises
    ------
    UsageError
        When the shapes do not fit, there are fewer than two surrogates, or the share is none.

    Examples
    --------
    >>> told = null_statistics(3.0, [1.0, 2.0, 3.0, 2.0])
    >>> float(told.excess), float(told.p_hi), float(told.p)
    (1.0, 0.4, 0.8)
    """
    value, drawn = np.asarray(observed, dtype=np.float64), np.asarray(null, dtype=np.float64)
    if drawn.shape[1:] != value.shape or len(drawn) < 2:
        raise UsageError(f"null has shape {drawn.shape}; (n, *{value.shape}) with n of at least 2 is needed")
    if not 0 <= censored_share <= 1:
        raise UsageError(f"censored_share is {censored_share}; it must lie between 0 and 1")
    mean = drawn.mean(axis=0)
    # the standard deviation of equal values is not 0 but rounding
    same = np.ptp(drawn, axis=0) <= TIE * np.abs(drawn).max(axis=0)
    sd = np.where(same, 0.0, drawn.std(axis=0, ddof=1))
    excess = value - mean
    with np.errstate(invalid="ignore", divide="ignore"):
        z = np.where((sd > 0) & (censored_share <= MOST_CENSORED), excess / sd, np.nan)
    slack = TIE * np.maximum(np.abs(drawn), np.abs(value))
    share = 1.0 / (1 + len(drawn))
    missing = np.isnan(value) | np.isnan(mean)
    p_hi = np.where(missing, np.nan, (1 + (drawn >= value - slack).sum(axis=0)) * share)
    p_lo = np.where(missing, np.nan, (1 + (drawn <= value + slack).sum(axis=0)) * share)
    return NullStatistics(mean, sd, excess, z, p_hi, p_lo, np.minimum(1.0, 2 * np.minimum(p_hi, p_lo)))
