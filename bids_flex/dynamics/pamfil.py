"""Resolution and coupling estimated from the network itself, by a stochastic block model (Pamfil et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bids_flex.dynamics.landscape import quality_planes
from bids_flex.dynamics.measures import flexibility
from bids_flex.dynamics.multilayer import Optimiser, multilayer_communities
from bids_flex.dynamics.quality import modularity
from bids_flex.errors import RunError, UsageError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

GREATEST_OMEGA = 1000.0
"""Coupling that is searched with when the estimate is infinite or greater: no region changes then."""


@dataclass(frozen=True, slots=True, eq=False)
class PamfilFit:
    """Where repeated estimation and search have led.

    Attributes
    ----------
    gamma, omega : float
        Estimates for ``labels``; see :func:`pamfil_estimate`.
    labels : ndarray of int16, shape (W, N)
        Best partition of the last search.
    rounds : int
        Number of searches.
    settled : bool
        Whether the last estimates are those that the last search has used, within the tolerance.
    """

    gamma: float
    omega: float
    labels: NDArray[np.int16]
    rounds: int
    settled: bool


def pamfil_estimate(
    fc: ArrayLike, labels: ArrayLike, null: str = "ng", pairs: ArrayLike | None = None
) -> tuple[float, float]:
    """Estimate resolution and coupling from one partition (Newman 2016; Pamfil et al. 2019, temporal and uniform).

    The model: weights between i and j in a window have mean theta k_i k_j / 2m, with theta_in within and theta_out
    between communities; from each window to the next, a region copies its community with probability p, else draws
    one of K evenly. With sums over windows, e_in = sum of W+ within communities, n_in = sum of k+ k+' / 2m+ there,
    and s the share of regions that keep their community over the pairs that count:

    - theta_in = e_in / n_in; theta_out = (2m - e_in) / (2m - n_in); p = max(0, (K s - 1) / (K - 1));
    - gamma = (theta_in - theta_out) / (log theta_in - log theta_out);
    - omega = log(1 + K p / (1 - p)) / (2 (log theta_in - log theta_out)).

    Omega is on the scale of GenLouvain's ``multiord``, as in :func:`modularity`. It is the published estimate and
    that of the authors' program; a likelihood that counts each pair of regions once would give twice as much.

    Parameters
    ----------
    fc : array, shape (W, N, N)
        Correlations; negative ones are left out, as in ``ng``.
    labels : array of int, shape (W, N)
        Communities, from 1 on.
    null : {"ng"}
        The estimate holds for no other null model.
    pairs : array of bool, shape (W - 1,), optional
        Which pairs of windows count; all by default.

    Returns
    -------
    gamma, omega : float
        Both are NaN where the model has no answer: one community in the whole run; nothing expected between
        communities (one in every window); nothing within or between communities (theta 0); theta_in not above
        theta_out (no communities in the sense of the model). Omega alone is NaN without a pair that counts, 0 if
        regions keep their communities no more often than by chance (p = 0), and infinite if all of them do (p = 1).

    Raises
    ------
    UsageError
        When the arguments make no sense.
    RunError
        When no window has a positive weight.

    References
    ----------
    doi 10.1103/PhysRevE.94.052315, doi 10.1137/18M1231304

    Examples
    --------
    >>> block = np.kron(np.eye(2), np.full((3, 3), 0.7)) + 0.1
    >>> labels = [[1, 1, 1, 2, 2, 2], [1, 1, 1, 2, 2, 2], [1, 1, 2, 2, 2, 2]]
    >>> gamma, omega = pamfil_estimate([block] * 3, labels)
    >>> round(gamma, 2), round(omega, 2)
    (0.89, 1.08)
    """
    _only_ng(null)
    given = np.asarray(labels)
    if given.ndim != 2 or given.size == 0 or given.min() < 1:
        raise UsageError(f"labels must be (W, N), from 1 on (every region searched); they have shape {given.shape}")
    kinds = np.unique(given).size
    theta_in, theta_out = _thetas(fc, given)
    if kinds == 1 or not theta_in > theta_out > 0:
        return float("nan"), float("nan")
    contrast = np.log(theta_in) - np.log(theta_out)
    p = _copying(1.0 - flexibility(given, pairs).mean(), kinds)
    with np.errstate(divide="ignore"):
        omega = np.log1p(kinds * p / np.float64(1.0 - p)) / (2 * contrast)
    return float((theta_in - theta_out) / contrast), float(omega)


def _only_ng(null: str) -> None:
    """Refuse the null models for which there is no estimate."""
    if null != "ng":
        raise UsageError(
            f"null is {null!r}; the estimate follows from a block model of positive weights, whose likelihood is the "
            "modularity of 'ng' and of no other null model: use 'ng', or champ_domains"
        )


def _thetas(fc: ArrayLike, labels: NDArray[np.integer]) -> tuple[float, float]:
    """Compare the weights within and between communities with those expected; NaN where none are expected."""
    inside, minus_expected, _ = quality_planes(fc, labels, "ng")
    total = modularity(fc, 0.0, 0.0, "ng").two_mu
    between = total + minus_expected
    # what is left of a difference of equal sums is rounding
    if between <= 1e-12 * total or minus_expected >= 0:
        return float("nan"), float("nan")
    outside = total - inside
    return float(inside / -minus_expected), float(outside / between) if outside > 1e-12 * total else 0.0


def _copying(kept: float, kinds: int) -> float:
    """Estimate the probability that a region copies its community, from the share that keeps it."""
    return max(0.0, (kinds * kept - 1) / (kinds - 1)) if np.isfinite(kept) else float("nan")


def pamfil_fixed_point(
    fc: ArrayLike,
    gamma: float = 1.0,
    omega: float = 1.0,
    null: str = "ng",
    optimiser: Optimiser = "louvain",
    restarts: int = 10,
    rounds: int = 20,
    seed: int = 0,
    threads: int | None = None,
    pairs: ArrayLike | None = None,
) -> PamfilFit:
    """Search, estimate, and search with the estimates, until they settle (Pamfil et al. 2019).

    They have settled when gamma changes by at most 1 % and omega by at most 5 %, the tolerances of the authors. An
    omega above 1000 (infinite, when no region changes) is searched with as 1000. Without a pair that counts, omega
    stays as given in the searches and is NaN in the result. The last round is the result, settled or not.

    Parameters
    ----------
    fc, null, pairs
        As in :func:`pamfil_estimate`.
    gamma, omega : float
        Where to start.
    restarts : int
        Searches in each round, the best of which counts.
    rounds : int
        At most so many rounds, at least 1.
    optimiser, seed, threads
        As in :func:`multilayer_communities`.

    Returns
    -------
    PamfilFit

    Raises
    ------
    UsageError
        When the arguments make no sense.
    RunError
        When a search ends in a partition for which gamma has no estimate.

    References
    ----------
    doi 10.1137/18M1231304

    Examples
    --------
    >>> block = np.kron(np.eye(2), np.full((3, 3), 0.7)) + 0.1
    >>> found = pamfil_fixed_point([block] * 3)
    >>> found.settled, found.labels[0].tolist(), found.omega
    (True, [1, 1, 1, 2, 2, 2], inf)
    """
    if rounds < 1:
        raise UsageError(f"rounds is {rounds}; it must be at least 1")
    _only_ng(null)
    used = (float(gamma), float(omega))
    for done, child in enumerate(np.random.SeedSequence(seed).spawn(rounds), start=1):
        number = int(child.generate_state(1, np.uint64)[0])
        found = multilayer_communities(fc, *used, "ng", optimiser, restarts, number, threads)
        labels = found.labels[found.quality.argmax()]
        told = pamfil_estimate(fc, labels, "ng", pairs)
        _refuse_nothing(told[0], labels, used)
        following = (told[0], used[1] if np.isnan(told[1]) else min(told[1], GREATEST_OMEGA))
        settled = _near(following[0], used[0], 0.01) and _near(following[1], used[1], 0.05)
        if settled or done == rounds:
            break
        used = following
    return PamfilFit(*told, labels, done, settled)


def _refuse_nothing(estimate: float, labels: NDArray[np.int16], used: tuple[float, float]) -> None:
    """Stop where a partition tells nothing about the resolution."""
    if np.isnan(estimate):
        raise RunError(
            f"the search at gamma {used[0]:.3g}, omega {used[1]:.3g} found communities from which no resolution can be "
            f"estimated ({np.unique(labels).size} in the run); start from another gamma"
        )


def _near(new: float, old: float, tolerance: float) -> bool:
    """Tell whether a number has changed by no more than a share of itself."""
    return abs(new - old) <= tolerance * abs(old)
