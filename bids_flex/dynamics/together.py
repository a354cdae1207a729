"""Which regions share communities, and how far they keep to their own network: allegiance and what follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bids_flex.dynamics import _kernels
from bids_flex.dynamics.measures import checked_labels, share
from bids_flex.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]


def allegiance(labels: ArrayLike) -> Floats:
    """Compute the share of windows (and of restarts) in which two regions share a community (Bassett et al. 2015).

    Parameters
    ----------
    labels : array of int, shape (W, N) or (R, W, N)
        Communities; 0 where a region was not searched.

    Returns
    -------
    ndarray, shape (N, N)
        Symmetric with unit diagonal; windows count in which both regions were searched, NaN without any.

    References
    ----------
    doi 10.1038/nn.3993

    Examples
    --------
    >>> allegiance([[1, 1, 2], [1, 2, 2]]).tolist()
    [[1.0, 0.5, 0.0], [0.5, 1.0, 0.5], [0.0, 0.5, 1.0]]
    """
    checked, _ = checked_labels(labels)
    regions = checked.shape[2]
    together = np.zeros((regions, regions), dtype=np.int64)
    _kernels.count_together(checked, together)
    searched = (checked > 0).reshape(-1, regions).astype(np.float64)
    return share(together, searched.T @ searched)


def recruitment(allegiance: ArrayLike, networks: ArrayLike) -> Floats:
    """Compute a region's mean allegiance with the other members of its network (Mattar et al. 2015).

    Parameters
    ----------
    allegiance : array, shape (N, N)
        As of :func:`allegiance`; NaN entries are left out.
    networks : array of int, shape (N,)
        Network of each region.

    Returns
    -------
    ndarray, shape (N,)
        NaN for the only region of a network.

    References
    ----------
    doi 10.1371/journal.pcbi.1004533

    Examples
    --------
    >>> recruitment([[1, 0.5, 0], [0.5, 1, 0.5], [0, 0.5, 1]], networks=[1, 1, 2]).tolist()
    [0.5, 0.5, nan]
    """
    values, same = _within(allegiance, networks)
    return _masked_mean(values, same & ~np.eye(len(values), dtype=bool))


def integration(allegiance: ArrayLike, networks: ArrayLike) -> Floats:
    """Compute a region's mean allegiance with all regions outside its network (Mattar et al. 2015); shape (N,).

    Examples
    --------
    >>> integration([[1, 0.5, 0], [0.5, 1, 0.5], [0, 0.5, 1]], networks=[1, 1, 2]).tolist()
    [0.0, 0.5, 0.25]
    """
    values, same = _within(allegiance, networks)
    return _masked_mean(values, ~same)


def network_allegiance(allegiance: ArrayLike, networks: ArrayLike) -> Floats:
    """Average allegiance over pairs of different regions, one of each network.

    Returns
    -------
    ndarray, shape (K, K)
        Networks in ascending order; the diagonal is the networks' recruitment.

    Examples
    --------
    >>> network_allegiance([[1, 0.5, 0], [0.5, 1, 0.5], [0, 0.5, 1]], networks=[1, 1, 2]).tolist()
    [[0.5, 0.25], [0.25, nan]]
    """
    values, same = _within(allegiance, networks)
    number = np.asarray(networks)
    member = (number[:, None] == np.unique(number)).astype(float)
    counts = np.isfinite(values) & ~np.eye(len(same), dtype=bool)
    return share(member.T @ np.where(counts, values, 0.0) @ member, member.T @ counts @ member)


def normalised_integration(allegiance: ArrayLike, networks: ArrayLike) -> Floats:
    """Divide the integration of two networks by the root of their recruitments (Mattar et al. 2015); shape (K, K).

    Examples
    --------
    >>> together = [[1, 0.5, 0.1, 0.1], [0.5, 1, 0.1, 0.1], [0.1, 0.1, 1, 0.5], [0.1, 0.1, 0.5, 1]]
    >>> normalised_integration(together, networks=[1, 1, 2, 2]).round(3).tolist()
    [[1.0, 0.2], [0.2, 1.0]]
    """
    between = network_allegiance(allegiance, networks)
    own = np.sqrt(np.diag(between))
    return share(between, np.outer(own, own))


def _within(allegiance: ArrayLike, networks: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    """Check an allegiance matrix and tell which of its pairs lie within a network."""
    values, number = np.asarray(allegiance, dtype=np.float64), np.asarray(networks)
    if number.ndim != 1 or values.shape != (number.size, number.size):
        raise UsageError(
            f"allegiance has shape {values.shape} and networks {number.shape}: they must be (N, N) and (N,)"
        )
    return values, number[:, None] == number


def _masked_mean(values: Floats, mask: NDArray[np.bool_]) -> Floats:
    """Average the finite entries of each row that a mask allows."""
    counts = mask & np.isfinite(values)
    return share(np.where(counts, values, 0.0).sum(axis=1), counts.sum(axis=1))
