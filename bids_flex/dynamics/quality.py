"""Temporal modularity (Mucha et al. 2010): what windows are compared with, and the quality of given communities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from bids_flex.dynamics import _kernels
from bids_flex.errors import UsageError
from bids_flex.words import counted

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

Null = Literal["ng", "signed", "gomez", "uniform"]
NULLS: tuple[Null, ...] = get_args(Null)


@dataclass(frozen=True, slots=True, eq=False)
class Modularity:
    """What temporal modularity compares windows with.

    Attributes
    ----------
    fc : ndarray, shape (W, N, N)
        Connectivity; its diagonal counts as 0.
    gamma : ndarray, shape (W,)
        Resolution of each window.
    omega : ndarray, shape (W - 1,)
        Coupling of consecutive windows.
    null : str
        Null model.
    a : float
        Mean positive connectivity that ``uniform`` multiplies with gamma; NaN for other null models.
    two_m : ndarray, shape (W,)
        Total weight of each window.
    warnings : tuple of str
        What a reader of the results must know.
    """

    fc: Floats
    gamma: Floats
    omega: Floats
    null: Null
    a: float
    two_m: Floats
    warnings: tuple[str, ...]

    @property
    def two_mu(self) -> float:
        """Weight of the whole network: windows, and couplings in both directions."""
        return float(self.two_m.sum() + 2 * self.fc.shape[1] * self.omega.sum())

    @property
    def b(self) -> Floats:
        """Connectivity minus its null model, (W, N, N), diagonal included."""
        return np.stack([self.window(w) for w in range(len(self.fc))])

    def window(self, w: int) -> Floats:
        """Subtract the null model in one window; shape (N, N), diagonal included."""
        weights = weights_of(self.fc[w])
        if self.null == "uniform":
            return np.asarray(weights - self.gamma[w] * self.a)
        return _against_strength(weights, float(self.gamma[w]), self.null)


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
        Correlations (r, not z), symmetric, zero diagonal. It is kept, not copied, when it is an array of float64.
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

    Examples
    --------
    >>> block = np.kron(np.eye(2), np.ones((3, 3))) - np.eye(6)
    >>> modularity([block, block]).two_m.tolist()
    [12.0, 12.0]
    """
    stack = _checked(fc)
    resolution = _per(gamma, len(stack), "gamma", "one for each window")
    coupling = _per(omega, len(stack) - 1, "omega", "one for each pair of windows")
    if null not in NULLS:
        raise UsageError(f"null is {null!r}; it must be one of {', '.join(NULLS)}")
    if a is not None and (null != "uniform" or not np.isfinite(a)):
        raise UsageError(f"a is {a} and null is {null!r}: a fixes the null model 'uniform', and is a number")
    if null == "uniform":
        mean = _mean_positive(stack) if a is None else float(a)
        two_m = np.array([np.abs(weights_of(window)).sum() for window in stack])
        return Modularity(stack, resolution, coupling, null, mean, two_m, ())
    plus, minus = np.array([_totals(window) for window in stack]).T
    two_m = {"ng": plus, "gomez": plus + minus, "signed": np.where(plus > 0, plus, minus)}[null]
    bare = np.flatnonzero((plus == 0) & (minus > 0)) if null == "signed" else np.empty(0, dtype=int)
    warned = (
        f"{counted(bare.size, 'window has', 'windows have')} no positive weight; the first is window {bare[0]}"
        if bare.size
        else ""
    )
    return Modularity(stack, resolution, coupling, null, float("nan"), two_m, (warned,) if warned else ())


def weights_of(window: Floats) -> Floats:
    """Copy a window with zeros on its diagonal."""
    weights = window.copy()
    np.fill_diagonal(weights, 0.0)
    return weights


def _totals(window: Floats) -> tuple[float, float]:
    """Sum the positive and the negative weights, both orders of each pair; the latter as a positive number."""
    weights = weights_of(window)
    size, net = float(np.abs(weights).sum()), float(weights.sum())
    return (size + net) / 2, (size - net) / 2


def _mean_positive(stack: Floats) -> float:
    """Average the positive entries of all windows; 0 when there are none."""
    sums = [(weights[weights > 0].sum(), (weights > 0).sum()) for weights in map(weights_of, stack)]
    total, count = np.sum(sums, axis=0)
    return float(total / count) if count else 0.0


def _against_strength(weights: Floats, gamma: float, null: Null) -> Floats:
    """Subtract, in one window, a null model that follows from the regions' strengths."""
    positive, two_plus = _excess(np.maximum(weights, 0.0), gamma)
    if null == "ng":
        return positive
    negative, two_minus = _excess(np.maximum(-weights, 0.0), gamma)
    if null == "signed" and two_plus > 0:
        negative *= two_plus / (two_plus + two_minus)
    # otherwise all of it counts: by definition, or since a window has no positive weights to be judged by
    return positive - negative


def _excess(part: Floats, gamma: float) -> tuple[Floats, float]:
    """Subtract what strengths alone would give; nothing from nothing; also the total 2m."""
    strength = part.sum(axis=1)
    total = float(strength.sum())
    if total > 0:
        part -= np.outer(strength * (gamma / total), strength)
    return part, total


def _checked(fc: ArrayLike) -> Floats:
    """Check connectivity, window by window."""
    stack = np.asarray(fc, dtype=np.float64)
    if stack.ndim != 3 or stack.shape[1] != stack.shape[2] or 0 in stack.shape:
        raise UsageError(f"fc has shape {stack.shape}; it must be (W, N, N), none of them 0")
    if stack.shape[1] < 2:
        raise UsageError("fc has 1 region; communities need at least 2")
    for w, window in enumerate(stack):
        if not np.isfinite(window).all():
            raise UsageError(f"fc has entries that are not finite in window {w}; leave such regions out")
        if np.abs(window - window.T).max() > 1e-9:
            raise UsageError(f"fc is not symmetric in window {w}")
    return stack


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

    Examples
    --------
    >>> block = np.kron(np.eye(2), np.ones((3, 3))) - np.eye(6)
    >>> round(float(quality_of(modularity([block]), [[1, 1, 1, 2, 2, 2]])), 6)
    0.5
    """
    stack, single = _stacked(model, labels)
    kept = (stack[:, 1:] == stack[:, :-1]).sum(axis=2)
    raw = _within(model, stack).sum(axis=1) + 2 * (kept @ model.omega)
    quality = raw / model.two_mu if model.two_mu > 0 else np.full(len(stack), np.nan)
    return quality[0] if single else quality


def window_quality(model: Modularity, labels: ArrayLike) -> Floats:
    """Compute the modularity of each window by itself: (sum of B_ij where i and j share a community) / 2m.

    Returns
    -------
    ndarray, shape (W,) or (R, W)
        NaN for a window without any weight.

    Examples
    --------
    >>> block = np.kron(np.eye(2), np.ones((3, 3))) - np.eye(6)
    >>> window_quality(modularity([block, block]), [[1, 1, 1, 2, 2, 2], [1, 1, 1, 1, 1, 1]]).round(6).tolist()
    [0.5, 0.0]
    """
    stack, single = _stacked(model, labels)
    with np.errstate(invalid="ignore", divide="ignore"):
        quality = np.where(model.two_m > 0, _within(model, stack) / model.two_m, np.nan)
    return np.asarray(quality[0] if single else quality)


def _stacked(model: Modularity, labels: ArrayLike) -> tuple[NDArray[np.int16], bool]:
    """Check labels and give them a leading axis; tell whether they had none."""
    given = np.asarray(labels)
    stack = given if given.ndim == 3 else given[None]
    if stack.shape[1:] != model.fc.shape[:2]:
        raise UsageError(f"labels have shape {given.shape}; (W, N) or (R, W, N) of {model.fc.shape[:2]} is needed")
    if stack.size and (stack.min() < 0 or stack.max() > np.iinfo(np.int16).max):
        raise UsageError(f"labels run from {stack.min()} to {stack.max()}; they must be 0 to 32767")
    return stack.astype(np.int16, copy=False), given.ndim != 3


def _within(model: Modularity, stack: NDArray[np.int16]) -> Floats:
    """Sum B over pairs of regions that share a community, shape (R, W)."""
    sums = np.empty((len(model.fc), len(stack)))
    for w, out in enumerate(sums):
        _kernels.within(model.window(w), np.ascontiguousarray(stack[:, w]), out)
    return sums.T


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

    Examples
    --------
    >>> block = np.kron(np.eye(2), np.ones((3, 3))) - np.eye(6)
    >>> labels = [[[1, 1, 1, 2, 2, 2]], [[1, 1, 1, 1, 1, 1]]]
    >>> multilayer_quality([block], labels).round(6).tolist()
    [0.5, 0.0]
    """
    return quality_of(modularity(fc, gamma, omega, null, a), labels)
