"""The ``multilayer`` engine over a grid of resolutions and couplings, for a choice of both that knows no groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_flex.dynamics.domains import Domains, centroid
from bids_flex.dynamics.measures import flexibility
from bids_flex.dynamics.multilayer import Communities, Optimiser, multilayer_communities
from bids_flex.dynamics.quality import Modularity, Null, modularity, quality_of
from bids_flex.errors import RunError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

MOST_ALONE = 0.1
"""Share of regions that are a community of their own above which a partition is no recommendation."""


@dataclass(frozen=True, slots=True, eq=False)
class Landscape:
    """What searches find at each of P grid points, gamma by gamma, omega by omega within.

    Standard deviations are those over restarts (R - 1 in the denominator), NaN with one restart. Flexibility is the
    mean over regions, NaN without a pair of windows that counts.

    Attributes
    ----------
    gamma, omega : ndarray, shape (P,)
        The grid.
    quality_mean, quality_sd, quality_best : ndarray, shape (P,)
        Q over restarts.
    n_communities_mean : ndarray, shape (P,)
        Communities in the whole run, mean over restarts.
    flexibility_mean, flexibility_sd : ndarray, shape (P,)
        Flexibility over restarts.
    planes : ndarray, shape (P, 3)
        Raw Q (before division by 2 mu) of each point's best partition at any other gamma and omega, as constant,
        factor of gamma, factor of omega; see :func:`quality_planes`.
    fewest : ndarray of int, shape (P,)
        Number of communities of the best partition in the window that has fewest.
    alone : ndarray, shape (P,)
        Share of all regions in all windows that are a community of their own in the best partition.
    best : ndarray of int16, shape (P, W, N)
        Best partitions; (P, 0, 0) for pooled runs, whose labels stay with the runs.
    two_m : float
        Total weight of all windows.
    links : float
        What omega multiplies in 2 mu, 2 N (W - 1): 2 mu = two_m + links omega.
    null : {"ng", "signed", "gomez", "uniform"}
        Null model.
    a : float
        As in :class:`~bids_flex.dynamics.Modularity`; NaN for pooled runs of different a.
    """

    gamma: Floats
    omega: Floats
    quality_mean: Floats
    quality_sd: Floats
    quality_best: Floats
    n_communities_mean: Floats
    flexibility_mean: Floats
    flexibility_sd: Floats
    planes: Floats
    fewest: Ints
    alone: Floats
    best: NDArray[np.int16]
    two_m: float
    links: float
    null: Null
    a: float

    @property
    def two_mu(self) -> Floats:
        """Weight of the whole network at each grid point; raw Q = Q two_mu."""
        return np.asarray(self.two_m + self.links * self.omega)


def quality_planes(fc: ArrayLike, labels: ArrayLike, null: Null = "signed", a: float | None = None) -> Floats:
    """Give the raw quality of partitions as planes over resolution and coupling (Weir et al. 2017).

    Raw Q = 2 mu Q = constant + gamma factor + omega factor, under the null model in use, its share of negative
    weights included: the constant is the connectivity within communities, the factor of gamma minus what the null
    model expects there, the factor of omega twice the number of times that a region keeps its community.

    Parameters
    ----------
    fc, null, a
        As in :func:`modularity`.
    labels : array of int, shape (W, N) or (R, W, N)
        Communities.

    Returns
    -------
    ndarray, shape (3,) or (R, 3)

    Raises
    ------
    UsageError
        When the arguments make no sense.
    RunError
        When no window has any weight that the null model uses.

    References
    ----------
    doi 10.3390/a10030093

    Examples
    --------
    >>> block = np.kron(np.eye(2), np.ones((3, 3))) - np.eye(6)
    >>> quality_planes([block, block], [[1, 1, 1, 2, 2, 2], [1, 1, 1, 2, 2, 2]]).round(6).tolist()
    [24.0, -12.0, 12.0]
    """
    return _planes_of(_two_models(fc, null, a), np.asarray(labels))


def sweep(
    fc: ArrayLike,
    gammas: ArrayLike,
    omegas: ArrayLike,
    null: Null = "signed",
    optimiser: Optimiser = "louvain",
    restarts: int = 10,
    seed: int = 0,
    threads: int | None = None,
    a: float | None = None,
    pairs: ArrayLike | None = None,
) -> Landscape:
    """Search for communities at every point of a grid of resolutions and couplings.

    Parameters
    ----------
    fc, null, a
        As in :func:`modularity`; a of ``uniform`` is that of the run, the same at all points, unless it is given.
    gammas, omegas : array, shape (G,) and (O,)
        Resolutions and couplings, at least 0, each but once.
    restarts : int
        Searches at each point.
    optimiser, seed, threads
        As in :func:`multilayer_communities`.
    pairs : array of bool, shape (W - 1,), optional
        Which pairs of windows count in flexibility; all by default. Couplings join all of them.

    Returns
    -------
    Landscape
        P = G O points.

    Raises
    ------
    UsageError
        When the arguments make no sense.
    RunError
        When no window has any weight that the null model uses.

    Examples
    --------
    >>> from bids_flex import dynamics as d
    >>> block = np.kron(np.eye(2), np.ones((3, 3))) - np.eye(6)
    >>> found = d.sweep([block, block], gammas=[0.5, 1], omegas=[0.5, 1], restarts=3)
    >>> found.gamma.tolist(), found.n_communities_mean.tolist()
    ([0.5, 0.5, 1.0, 1.0], [2.0, 2.0, 2.0, 2.0])
    """
    resolutions, couplings = _axis(gammas, "gammas"), _axis(omegas, "omegas")
    gamma, omega = (one.ravel() for one in np.meshgrid(resolutions, couplings, indexing="ij"))
    models = _two_models(fc, null, a)
    windows, regions = models[0].fc.shape[:2]
    fixed = models[0].a if null == "uniform" else None
    told: list[dict[str, float]] = []
    planes, best = np.empty((gamma.size, 3)), np.empty((gamma.size, windows, regions), dtype=np.int16)
    for p, child in enumerate(np.random.SeedSequence(seed).spawn(gamma.size)):
        number = int(child.generate_state(1, np.uint64)[0])
        found = multilayer_communities(fc, gamma[p], omega[p], null, optimiser, restarts, number, threads, fixed)
        best[p] = found.labels[found.quality.argmax()]
        planes[p] = _planes_of(models, best[p])
        told.append(_spread(found, pairs) | _sizes(best[p]))
    columns: dict[str, Any] = {name: np.array([one[name] for one in told]) for name in told[0]}
    return Landscape(
        gamma=gamma,
        omega=omega,
        **columns,
        planes=planes,
        best=best,
        two_m=float(models[0].two_m.sum()),
        links=float(2 * regions * (windows - 1)),
        null=null,
        a=models[0].a,
    )


def pool(landscapes: Sequence[Landscape]) -> Landscape:
    """Join the landscapes of several runs as if they were one network without couplings between the runs.

    Raw quality and its planes, two_m and links add up; Q = sum of raw Q / sum of 2 mu. The number of communities,
    flexibility and ``alone`` are means over runs, ``fewest`` is the least. Spreads are those of independent searches
    of each run. Nothing else of the runs goes in, so that the choice stays blind to groups. A run without
    flexibility leaves the pooled one NaN.

    Parameters
    ----------
    landscapes : sequence of Landscape
        Runs with the same grid and null model; windows and regions may differ.

    Returns
    -------
    Landscape
        Without labels (``best`` has shape (P, 0, 0)).

    Raises
    ------
    UsageError
        When there are none, or when grids or null models differ.

    Examples
    --------
    >>> from bids_flex import dynamics as d
    >>> block = np.kron(np.eye(2), np.ones((3, 3))) - np.eye(6)
    >>> run = d.sweep([block, block], gammas=[0.5, 1], omegas=[1], restarts=3)
    >>> d.pool([run, run]).two_m / run.two_m
    2.0
    """
    if not landscapes:
        raise UsageError("no landscapes to pool; give at least 1")
    first = landscapes[0]
    for n, other in enumerate(landscapes):
        if not (np.array_equal(other.gamma, first.gamma) and np.array_equal(other.omega, first.omega)):
            raise UsageError(f"landscape {n} has another grid than landscape 0; sweep all runs over the same one")
        if other.null != first.null:
            raise UsageError(f"landscape {n} has null model {other.null!r}, landscape 0 {first.null!r}; use one")
    weight = np.array([one.two_mu for one in landscapes])
    total = weight.sum(axis=0)
    return Landscape(
        gamma=first.gamma,
        omega=first.omega,
        quality_mean=np.sum([one.quality_mean for one in landscapes] * weight, axis=0) / total,
        quality_sd=np.sqrt(np.sum((np.array([one.quality_sd for one in landscapes]) * weight) ** 2, axis=0)) / total,
        quality_best=np.sum([one.quality_best for one in landscapes] * weight, axis=0) / total,
        n_communities_mean=np.mean([one.n_communities_mean for one in landscapes], axis=0),
        flexibility_mean=np.mean([one.flexibility_mean for one in landscapes], axis=0),
        flexibility_sd=np.sqrt(np.sum([one.flexibility_sd**2 for one in landscapes], axis=0)) / len(landscapes),
        planes=np.sum([one.planes for one in landscapes], axis=0),
        fewest=np.min([one.fewest for one in landscapes], axis=0),
        alone=np.mean([one.alone for one in landscapes], axis=0),
        best=np.empty((first.gamma.size, 0, 0), dtype=np.int16),
        two_m=float(sum(one.two_m for one in landscapes)),
        links=float(sum(one.links for one in landscapes)),
        null=first.null,
        a=first.a if len({one.a for one in landscapes}) == 1 else float("nan"),
    )


def recommend(landscape: Landscape, domains: Domains) -> tuple[float, float]:
    """Choose resolution and coupling: the middle of the widest domain whose partition says something.

    The rule: of the domains of :func:`champ_domains`, the widest (the first on ties) whose partition has at least two
    communities in every window and at most a tenth of all regions alone; gamma and omega are its centre of gravity. A
    partition that stays the best over a wide range does not hang on the choice. Groups are not known here.

    Where nearly every grid point has a best partition of its own, as in real brains, domains are hardly wider than
    the grid's cells, and the widest says little: look at ``domains.share`` before relying on it.

    Parameters
    ----------
    landscape : Landscape
        Of one run, or pooled over a data set.
    domains : Domains
        Those of its planes.

    Returns
    -------
    gamma, omega : float

    Raises
    ------
    UsageError
        When the domains are not those of the landscape.
    RunError
        When no domain qualifies.

    Examples
    --------
    >>> from bids_flex import dynamics as d
    >>> block = np.kron(np.eye(2), np.ones((3, 3))) - np.eye(6)
    >>> found = d.sweep([block, block], gammas=[0.5, 1, 1.5], omegas=[0.5, 1], restarts=3)
    >>> d.recommend(found, d.champ_domains(found.planes, (0.5, 1.5), (0.5, 1)))
    (1.0, 0.75)
    """
    _matching(landscape, domains)
    for partition, vertices in zip(domains.partition, domains.vertices, strict=True):
        if landscape.fewest[partition] > 1 and landscape.alone[partition] <= MOST_ALONE:
            gamma, omega = centroid(vertices)
            return float(gamma), float(omega)
    raise RunError(
        "every best partition has a window with one community, or more than a tenth of the regions alone; "
        "sweep another range of gamma"
    )


def landscape_table(landscape: Landscape, domains: Domains) -> dict[str, NDArray[np.generic]]:
    """Give the long table of a landscape, one row per grid point, as columns of shape (P,).

    Parameters
    ----------
    landscape : Landscape
        Of one run, or pooled over a data set.
    domains : Domains
        Those of its planes.

    Returns
    -------
    dict of ndarray
        gamma, omega, quality_mean, quality_sd, quality_best, n_communities_mean, flexibility_mean, flexibility_sd;
        domain, the number from 1 (the widest) of the domain of the point's best partition, 0 if it has none; and
        domain_share, that domain's share of the area, 0 if it has none.

    Raises
    ------
    UsageError
        When the domains are not those of the landscape.

    Examples
    --------
    >>> from bids_flex import dynamics as d
    >>> block = np.kron(np.eye(2), np.ones((3, 3))) - np.eye(6)
    >>> found = d.sweep([block, block], gammas=[0.5, 1], omegas=[0.5, 1], restarts=3)
    >>> table = d.landscape_table(found, d.champ_domains(found.planes, (0.5, 1), (0.5, 1)))
    >>> table["domain"].tolist()
    [1, 1, 1, 1]
    """
    _matching(landscape, domains)
    names = ("gamma", "omega", "quality_mean", "quality_sd", "quality_best", "n_communities_mean")
    columns = {name: getattr(landscape, name) for name in (*names, "flexibility_mean", "flexibility_sd")}
    shares = np.append(domains.share, 0.0)
    return {**columns, "domain": domains.of_plane + 1, "domain_share": shares[domains.of_plane]}


def _matching(landscape: Landscape, domains: Domains) -> None:
    """Refuse domains of another landscape."""
    if domains.of_plane.shape != landscape.gamma.shape:
        raise UsageError(
            f"domains are of {domains.of_plane.size} planes, the landscape has {landscape.gamma.size} grid points; "
            "give champ_domains(landscape.planes, ...)"
        )


def _two_models(fc: ArrayLike, null: Null, a: float | None) -> tuple[Modularity, Modularity]:
    """Build the network at gamma 0 and 1, without couplings: B is linear in gamma."""
    models = modularity(fc, 0.0, 0.0, null, a), modularity(fc, 1.0, 0.0, null, a)
    if models[0].two_mu == 0:
        raise RunError(f"no window has any weight that the null model {null!r} uses; there are no communities to find")
    return models


def _planes_of(models: tuple[Modularity, Modularity], labels: NDArray[np.integer]) -> Floats:
    """Compute constant and factors of gamma and omega of raw Q; labels (W, N) or (R, W, N)."""
    bare, one = (quality_of(model, labels) * model.two_mu for model in models)
    kept = (labels[..., 1:, :] == labels[..., :-1, :]).sum(axis=(-2, -1))
    return np.stack([bare, one - bare, 2.0 * kept], axis=-1)


def _axis(given: ArrayLike, name: str) -> Floats:
    """Check one side of the grid."""
    values = np.asarray(given, dtype=np.float64)
    if values.ndim != 1 or not values.size:
        raise UsageError(f"{name} has shape {values.shape}; it must be a list of at least 1 number")
    if not np.isfinite(values).all() or (values < 0).any():
        raise UsageError(f"{name} must be at least 0 and finite, not {given!r}")
    if np.unique(values).size < values.size:
        raise UsageError(f"{name} has a number more than once: {given!r}")
    return values


def _spread(found: Communities, pairs: ArrayLike | None) -> dict[str, float]:
    """Compute Q, number of communities and flexibility over restarts, by the names of a landscape."""
    quality, kinds = found.quality, found.labels.max(axis=(1, 2))
    shares = flexibility(found.labels, pairs).mean(axis=1)
    told = {"quality_mean": quality.mean(), "quality_sd": _sd(quality), "quality_best": quality.max()}
    return told | {
        "n_communities_mean": kinds.mean(), "flexibility_mean": shares.mean(), "flexibility_sd": _sd(shares)
    }  # fmt: skip


def _sd(values: Floats) -> float:
    """Compute the standard deviation over restarts; one has none."""
    return float(values.std(ddof=1)) if values.size > 1 else float("nan")


def _sizes(labels: NDArray[np.int16]) -> dict[str, float]:
    """Count the communities of the window that has fewest, and the share of regions that are one of their own."""
    counts = [np.unique(window, return_counts=True)[1] for window in labels]
    return {"fewest": min(one.size for one in counts), "alone": sum((one == 1).sum() for one in counts) / labels.size}
