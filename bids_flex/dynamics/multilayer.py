"""The ``multilayer`` engine: communities over time that maximise temporal modularity (Mucha et al. 2010)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from bids_flex.dynamics import _kernels
from bids_flex.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

Null = Literal["ng", "signed", "gomez", "uniform"]
NULLS = ("ng", "signed", "gomez", "uniform")

RESTARTS = 25
"""Labellings whose quality is computed at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class Modularity:
    """What temporal modularity compares windows with.

    Attributes
    ----------
    b : ndarray, shape (W, N, N)
        Connectivity minus its null model, diagonal included.
    two_m : ndarray, shape (W,)
        Total weight of each window.
    omega : ndarray, shape (W - 1,)
        Coupling of consecutive windows.
    a : float
        Mean positive connectivity that ``uniform`` multiplies with gamma; NaN for other null models.
    warnings : tuple of str
        What a reader of the results must know.
    """

    b: Floats
    two_m: Floats
    omega: Floats
    a: float
    warnings: tuple[str, ...]

    @property
    def two_mu(self) -> float:
        """Weight of the whole network: windows, and couplings in both directions."""
        return float(self.two_m.sum() + 2 * self.b.shape[1] * self.omega.sum())


@dataclass(frozen=True, slots=True, eq=False)
class Communities:
    """What R searches have found.

    Attributes
    ----------
    labels : ndarray of int16, shape (R, W, N)
        Communities, 1..K in the order of their first appearance.
    quality : ndarray, shape (R,)
        Q of each.
    seeds : ndarray of uint64, shape (R,)
        Seed of each search.
    a : float
        As in :class:`Modularity`.
    warnings : tuple of str
        What a reader of the results must know.
    """

    labels: NDArray[np.int16]
    quality: Floats
    seeds: NDArray[np.uint64]
    a: float
    warnings: tuple[str, ...]


def modularity(
    fc: ArrayLike, gamma: ArrayLike = 1.0, omega: ArrayLike = 1.0, null: Null = "signed", a: float | None = None
) -> Modularity:
    """Subtract a null model from connectivity.

    With W+ and W- the positive and negative parts, k their row sums and 2m their totals, per window:

    - ``ng``: W+ - gamma k+ k+' / 2m+ (Newman & Girvan); negative weights are left out;
    - ``signed``: the same, minus 2m+ / (2m+ + 2m-) times (W- - gamma k- k-' / 2m-) (Rubinov & Sporns 2011);
    - ``gomez``: the same with 1 in place of that share (Gomez et al. 2009);
    - ``uniform``: A - gamma a, with a the mean of the positive entries over all windows.

    Parameters
    ----------
    fc : array, shape (W, N, N)
        Correlations (r, not z), symmetric, zero diagonal.
    gamma : float or array, shape (W,)
        Resolution, at least 0.
    omega : float or array, shape (W - 1,)
        Coupling, at least 0.
    null : {"ng", "signed", "gomez", "uniform"}
        Null model.
    a : float, optional
        Fixes a of ``uniform`` for a cohort.

    Returns
    -------
    Modularity

    Raises
    ------
    UsageError
        When the arguments make no sense.

    References
    ----------
    doi 10.1126/science.1184819, doi 10.1016/j.neuroimage.2011.03.069, doi 10.1103/PhysRevE.80.016114
    """
    weights = _checked(fc)
    windows = len(weights)
    resolution = _per(gamma, windows, "gamma", "one for each window")
    coupling = _per(omega, windows - 1, "omega", "one for each pair of windows")
    if null not in NULLS:
        raise UsageError(f"null is {null!r}; it must be one of {', '.join(NULLS)}")
    if a is not None and null != "uniform":
        raise UsageError(f"a fixes the null model 'uniform'; null is {null!r}")
    if null == "uniform":
        positive = weights[weights > 0]
        mean = a if a is not None else (float(positive.mean()) if positive.size else 0.0)
        b = weights - (resolution * mean)[:, None, None]
        return Modularity(b, np.abs(weights).sum(axis=(1, 2)), coupling, mean, ())
    return _by_strength(weights, resolution, coupling, null)


def _by_strength(weights: Floats, gamma: Floats, omega: Floats, null: Null) -> Modularity:
    """Build the null models that follow from the regions' strengths."""
    positive, two_plus = _excess(np.maximum(weights, 0.0), gamma)
    if null == "ng":
        return Modularity(positive, two_plus, omega, float("nan"), ())
    negative, two_minus = _excess(np.maximum(-weights, 0.0), gamma)
    if null == "gomez":
        return Modularity(positive - negative, two_plus + two_minus, omega, float("nan"), ())
    total = two_plus + two_minus
    share = np.divide(two_plus, total, out=np.zeros_like(total), where=total > 0)
    bare = np.flatnonzero((two_plus == 0) & (two_minus > 0))
    # a window without positive weights is judged by its negative ones alone
    share[bare] = 1.0
    warned = f"{bare.size} windows have no positive weight; the first is window {bare[0]}" if bare.size else ""
    return Modularity(
        positive - share[:, None, None] * negative,
        np.where(two_plus > 0, two_plus, two_minus),
        omega,
        float("nan"),
        (warned,) if warned else (),
    )


def _excess(part: Floats, gamma: Floats) -> tuple[Floats, Floats]:
    """Subtract what strengths alone would give; nothing from nothing; also the totals 2m."""
    strength = part.sum(axis=2)
    total = strength.sum(axis=1)
    scale = np.divide(gamma, total, out=np.zeros_like(total), where=total > 0)
    return part - scale[:, None, None] * strength[:, :, None] * strength[:, None, :], total


def _checked(fc: ArrayLike) -> Floats:
    """Check connectivity and put zeros on its diagonal."""
    weights = np.array(fc, dtype=np.float64)
    if weights.ndim != 3 or weights.shape[1] != weights.shape[2] or 0 in weights.shape:
        raise UsageError(f"fc has shape {weights.shape}; it must be (W, N, N), none of them 0")
    if weights.shape[1] < 2:
        raise UsageError("fc has 1 region; communities need at least 2")
    if not np.isfinite(weights).all():
        raise UsageError("fc has entries that are not finite; leave such regions out")
    if np.abs(weights - weights.transpose(0, 2, 1)).max() > 1e-9:
        raise UsageError("fc is not symmetric")
    weights[:, range(weights.shape[1]), range(weights.shape[1])] = 0.0
    return weights


def _per(value: ArrayLike, count: int, name: str, what: str) -> Floats:
    """Make one number many, or check that there are as many as needed; none below 0."""
    given = np.asarray(value, dtype=np.float64)
    if given.ndim and given.shape != (count,):
        raise UsageError(f"{name} has shape {given.shape}; it must be a number or {what}, shape ({count},)")
    if not np.isfinite(given).all() or (given < 0).any():
        raise UsageError(f"{name} must be at least 0 and finite, not {value!r}")
    return np.array(np.broadcast_to(given, (count,)))


def quality_of(model: Modularity, labels: ArrayLike) -> Floats:
    """Compute Q of one labelling (W, N) or of many (R, W, N); NaN for a network without any weight.

    Q = (sum over windows of B_ij where i and j share a community + 2 omega where a region keeps its own) / 2mu.
    """
    given = np.asarray(labels)
    stack = given if given.ndim == 3 else given[None]
    if stack.shape[1:] != model.b.shape[:2]:
        raise UsageError(f"labels have shape {given.shape}; (W, N) or (R, W, N) of {model.b.shape[:2]} is needed")
    if model.two_mu == 0:
        quality = np.full(len(stack), np.nan)
    else:
        parts = [_raw_quality(model, stack[first : first + RESTARTS]) for first in range(0, len(stack), RESTARTS)]
        quality = np.concatenate(parts) / model.two_mu
    return quality if given.ndim == 3 else quality[0]


def _raw_quality(model: Modularity, stack: NDArray[np.int16]) -> Floats:
    """Sum B and couplings over labellings (R, W, N)."""
    within = np.zeros(len(stack))
    for w, b in enumerate(model.b):
        # communities of all labellings at once are the columns of one matrix, so that one product does
        own = stack[:, w].astype(np.int64) + np.arange(len(stack))[:, None] * (int(stack.max()) + 1)
        kinds, column = np.unique(own, return_inverse=True)
        member = np.zeros((b.shape[0], kinds.size))
        member[np.tile(np.arange(b.shape[0]), len(stack)), column.ravel()] = 1.0
        sums = np.einsum("ik,ik->k", member, b @ member)
        within += np.bincount(kinds // (int(stack.max()) + 1), weights=sums, minlength=len(stack))
    kept = (stack[:, 1:] == stack[:, :-1]).sum(axis=2)
    return np.asarray(within + 2 * (kept @ model.omega))


def multilayer_quality(
    fc: ArrayLike,
    labels: ArrayLike,
    gamma: ArrayLike = 1.0,
    omega: ArrayLike = 1.0,
    null: Null = "signed",
    a: float | None = None,
) -> Floats:
    """Compute the temporal modularity of labels (W, N) or (R, W, N); see :func:`modularity` for the rest.

    Returns
    -------
    float or ndarray, shape (R,)
    """
    return quality_of(modularity(fc, gamma, omega, null, a), labels)


def multilayer_communities(
    fc: ArrayLike,
    gamma: ArrayLike = 1.0,
    omega: ArrayLike = 1.0,
    null: Null = "signed",
    restarts: int = 100,
    seed: int = 0,
    threads: int | None = None,
    a: float | None = None,
) -> Communities:
    """Search for the communities of greatest temporal modularity, many times.

    Generalised Louvain with moves drawn at random, weighted by their gain, iterated until nothing is gained; between
    iterations, communities are renamed from each window on by optimal assignment so that labels persist (Jeub et al.,
    GenLouvain; Bassett et al. 2013).

    Parameters
    ----------
    fc, gamma, omega, null, a
        As in :func:`modularity`.
    restarts : int
        R, number of searches.
    seed : int
        All searches' seeds follow from it.
    threads : int, optional
        The result is the same for any number; by default, all processors that may be used.

    Returns
    -------
    Communities

    Raises
    ------
    UsageError
        When the arguments make no sense.
    """
    if restarts < 1:
        raise UsageError(f"restarts is {restarts}; it must be at least 1")
    model = modularity(fc, gamma, omega, null, a)
    windows, regions = model.b.shape[:2]
    if windows * regions > np.iinfo(np.int32).max:
        raise UsageError(f"{windows} windows of {regions} regions are more than can be searched at once")
    moved = model.b.astype(np.float32)
    moved[:, range(regions), range(regions)] = 0.0
    seeds = np.array([child.generate_state(1, np.uint64)[0] for child in np.random.SeedSequence(seed).spawn(restarts)])
    labels = np.empty((restarts, windows, regions), dtype=np.int16)
    workers = max(1, min(restarts, threads or len(os.sched_getaffinity(0))))
    _kernels.louvain(moved, model.omega, seeds, greedy=False, match=True, threads=workers, found=labels)
    return Communities(labels, np.atleast_1d(quality_of(model, labels)), seeds, model.a, model.warnings)
