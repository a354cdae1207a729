"""The ``prior`` engine: communities that are reconfigurations of canonical networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bids_flex.dynamics import _kernels
from bids_flex.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

BLOCK = 64
"""Windows per call of the kernel, so that Ctrl-C is heard in between."""


def prior_communities(
    fc: NDArray[np.float64], networks: ArrayLike, max_iterations: int = 1000, *, fisher: bool = True
) -> tuple[NDArray[np.int16], NDArray[np.int32]]:
    """Reassign regions to networks, in every window anew (Broeders et al. 2024, doi 10.1016/j.psychres.2024.115774).

    Every window starts from ``networks``. F is ``|atanh r|``; in is the mean of F to the other members of a region's
    network, out the mean of F to all regions outside it. The region with the lowest (in - out) / (in + out) moves to
    the network with the highest mean F to it, until the same region is lowest twice in a row.

    Parameters
    ----------
    fc : ndarray, shape (W, N, N)
        Correlations of each window, symmetric; the diagonal is ignored. A memory map will do.
    networks : array of int, shape (N,)
        Canonical network of each region, 1..K without gaps.
    max_iterations : int
        Some windows never settle; their labels depend on this limit.
    fisher : bool
        Take ``|atanh r|``; False takes ``|fc|`` itself, for connectivity without bounds.

    Returns
    -------
    labels : ndarray of int16, shape (W, N)
        Network of each region in each window, 1..K.
    iterations : ndarray of int32, shape (W,)
        Iterations used, the stopping one included; ``max_iterations`` where the search did not settle.

    Raises
    ------
    UsageError
        When shapes do not fit, a window is not finite and symmetric, or networks are not 1..K.

    Examples
    --------
    >>> fc = np.zeros((1, 6, 6))
    >>> fc[:, :2, :2] = fc[:, 2:, 2:] = 0.5
    >>> labels, _ = prior_communities(fc, networks=[1, 1, 1, 2, 2, 2])
    >>> labels.tolist()
    [[1, 1, 2, 2, 2, 2]]
    """
    start = _checked_networks(networks)
    if fc.ndim != 3 or fc.shape[1:] != (start.size, start.size):
        raise UsageError(f"fc has shape {fc.shape}; it must be (W, N, N) with N = {start.size} as in networks")
    if max_iterations < 1:
        raise UsageError(f"max_iterations is {max_iterations}; it must be at least 1")
    labels = np.empty((len(fc), start.size), dtype=np.int16)
    iterations = np.empty(len(fc), dtype=np.int32)
    for first in range(0, len(fc), BLOCK):
        rows = slice(first, min(first + BLOCK, len(fc)))
        block = np.ascontiguousarray(fc[rows], dtype=np.float64)
        done = _kernels.prior(block, start, int(start.max()), max_iterations, fisher, labels[rows], iterations[rows])
        if done < len(block):
            raise UsageError(f"window {first + done} of fc is not finite and symmetric; leave such regions out")
    return labels, iterations


def _checked_networks(networks: ArrayLike) -> NDArray[np.int16]:
    """Check that networks are numbers 1..K without gaps."""
    given = np.asarray(networks)
    if given.ndim != 1 or given.size < 2:
        raise UsageError(f"networks has shape {given.shape}; it must be (N,) with at least 2 regions")
    present = np.unique(given)
    if not np.array_equal(present, np.arange(1, present.size + 1)):
        raise UsageError(f"networks must be numbered 1..K without gaps, not {present[:10].tolist()}")
    return np.ascontiguousarray(given, dtype=np.int16)
