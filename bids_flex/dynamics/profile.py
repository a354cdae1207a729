"""Everything that is measured on the communities of one run, for regions, networks and the whole brain."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bids_flex.dynamics import measures, together
from bids_flex.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

ORDER_FREE = frozenset(
    {
        "allegiance",
        "integration",
        "n_communities",
        "normalised_integration",
        "promiscuity",
        "promiscuity_rarefied",
        "recruitment",
    }
)
"""Measures that do not depend on the order of the windows: permuting it says nothing about them."""


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """The measures of one run; with restarts, their mean over these.

    Attributes
    ----------
    regions : dict of str to ndarray, shape (N,)
        ``flexibility``, ``switches_per_minute``, ``promiscuity``, ``cohesion``, ``disjointedness``,
        ``cohesion_strength``, ``recruitment``, ``integration``, ``dwell`` (minutes) and, if it was asked for,
        ``promiscuity_rarefied``. NaN where nothing can be counted.
    networks : dict of str to ndarray, shape (K,)
        The same, averaged over the regions of networks 1..K that have a value; NaN for a network without any.
    whole : dict of str to float
        The same, averaged over all regions that have a value, and ``persistence``.
    spread : dict of str to ndarray, shape (R,)
        ``flexibility`` (mean over regions) and ``n_communities`` of every restart.
    allegiance : ndarray, shape (N, N)
        Share of windows and restarts in which two regions share a community.
    normalised_integration : ndarray, shape (K, K)
        From ``allegiance``; NaN for networks without regions.
    """

    regions: dict[str, Floats]
    networks: dict[str, Floats]
    whole: dict[str, float]
    spread: dict[str, Floats]
    allegiance: Floats
    normalised_integration: Floats


def with_measure(told: Profile, name: str, values: Floats, networks: ArrayLike) -> Profile:
    """Add a measure of regions, with its means over networks and the whole brain.

    Parameters
    ----------
    told : Profile
        Measures of a run.
    name : str
        Of the new one.
    values : ndarray, shape (N,)
        Of each region, in the measure's own unit.
    networks : array of int, shape (N,)
        Network of each region, 1..K.

    Examples
    --------
    >>> told = profile([[[1, 1, 2], [1, 2, 2]]], [1, 1, 2], step_s=60)
    >>> added = with_measure(told, "half", np.array([0.0, 1.0, 0.5]), [1, 1, 2])
    >>> added.whole["half"], added.networks["half"]
    (0.5, array([0.5, 0.5]))
    """
    number = np.asarray(networks)
    return replace(
        told,
        regions={**told.regions, name: values},
        networks={**told.networks, name: _network_means(values, number)},
        whole={**told.whole, name: float(finite_means(values[None])[0])},
    )


def profile(
    labels: ArrayLike,
    networks: ArrayLike,
    pairs: ArrayLike | None = None,
    *,
    step_s: float,
    n_communities: int | None = None,
    rarefied_windows: int | None = None,
) -> Profile:
    """Measure the communities of one run.

    Every measure is computed on each restart and then averaged (Bassett et al. 2013, doi 10.1063/1.4790830).
    Recruitment and integration are linear in allegiance, so that those of the averaged allegiance are their averages;
    normalised integration is not, and is computed from the averaged allegiance alone.

    Parameters
    ----------
    labels : array of int, shape (W, N) or (R, W, N)
        Communities; 0 where a region was not searched, which must not differ between restarts.
    networks : array of int, shape (N,)
        Canonical network of each region, from 1; numbers may be missing.
    pairs : array of bool, shape (W - 1,), optional
        Which pairs of consecutive windows count; all by default.
    step_s : float
        Step of the windows in seconds.
    n_communities : int, optional
        K of promiscuity; by default the number of communities of each restart.
    rarefied_windows : int, optional
        Adds ``promiscuity_rarefied`` for so many windows.

    Raises
    ------
    UsageError
        When shapes or numbers make no sense.

    Examples
    --------
    >>> measured = profile([[1, 1, 2], [1, 2, 2], [1, 1, 2]], networks=[1, 1, 2], step_s=30)
    >>> measured.regions["flexibility"].tolist(), round(measured.whole["persistence"], 3)
    ([0.0, 1.0, 0.0], 0.667)
    """
    stack = np.asarray(labels)
    stack = stack[None] if stack.ndim == 2 else stack
    number = _checked_networks(networks, stack)
    if not step_s > 0:
        raise UsageError(f"step_s is {step_s}; it must be above 0 seconds")
    flexibility = measures.flexibility(stack, pairs)
    cohesion = measures.cohesion(stack, pairs)
    allegiance = together.allegiance(stack)
    regions = {
        "flexibility": flexibility.mean(axis=0),
        "switches_per_minute": measures.switches_per_minute(flexibility, step_s).mean(axis=0),
        "promiscuity": measures.promiscuity(stack, n_communities).mean(axis=0),
        "cohesion": cohesion.cohesion.mean(axis=0),
        "disjointedness": cohesion.disjointedness.mean(axis=0),
        "cohesion_strength": cohesion.strength.mean(axis=0),
        "recruitment": together.recruitment(allegiance, number),
        "integration": together.integration(allegiance, number),
        "dwell": measures.dwell(stack, step_s / 60, pairs).mean(axis=0),
    }
    if rarefied_windows is not None:
        rarefied = measures.rarefied_promiscuity(stack, rarefied_windows, n_communities)
        regions["promiscuity_rarefied"] = rarefied.mean(axis=0)
    whole = {name: float(finite_means(values[None])[0]) for name, values in regions.items()}
    return Profile(
        regions=regions,
        networks={name: _network_means(values, number) for name, values in regions.items()},
        whole={**whole, "persistence": 1.0 - whole["flexibility"]},
        spread={"flexibility": finite_means(flexibility), "n_communities": _community_counts(stack)},
        allegiance=allegiance,
        normalised_integration=_between_networks(allegiance, number),
    )


def _checked_networks(networks: ArrayLike, stack: NDArray[np.int16]) -> NDArray[np.int64]:
    """Check that there is one network, from 1, for every region of labels (R, W, N)."""
    number = np.asarray(networks)
    if stack.ndim != 3 or number.shape != stack.shape[2:]:
        raise UsageError(f"labels have shape {stack.shape} and networks {number.shape}: (R, W, N) and (N,) are needed")
    if not np.issubdtype(number.dtype, np.integer) or number.min() < 1:
        raise UsageError(f"networks must be whole numbers from 1, not {np.unique(number)[:5].tolist()}")
    return number.astype(np.int64)


def finite_means(values: Floats) -> Floats:
    """Average the finite entries of each row; nothing gives NaN."""
    finite = np.isfinite(values)
    count = finite.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(finite, values, 0.0).sum(axis=1) / np.where(count > 0, count, np.nan))


def _network_means(values: Floats, number: NDArray[np.int64]) -> Floats:
    """Average regions over networks 1..K."""
    member = number == np.arange(1, number.max() + 1)[:, None]
    return finite_means(np.where(member, values, np.nan))


def _community_counts(stack: NDArray[np.int16]) -> Floats:
    """Count the communities of each restart."""
    return np.array([np.count_nonzero(np.bincount(one.ravel())[1:]) for one in stack], dtype=np.float64)


def _between_networks(allegiance: Floats, number: NDArray[np.int64]) -> Floats:
    """Compute normalised integration, with rows and columns for absent networks."""
    there = np.unique(number) - 1
    whole = np.full((number.max(), number.max()), np.nan)
    whole[np.ix_(there, there)] = together.normalised_integration(allegiance, number)
    return whole
