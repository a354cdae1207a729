"""The ``multilayer`` engine: communities over time that maximise temporal modularity (Mucha et al. 2010)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from bids_flex.dynamics import _kernels
from bids_flex.dynamics.quality import Modularity, Null, modularity, quality_of, weights_of
from bids_flex.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

Optimiser = Literal["louvain", "leiden"]
OPTIMISERS: tuple[Optimiser, ...] = get_args(Optimiser)

LARGEST_SUM = 2.0**29
"""What sums of modularity come to at most when they are written as integers of 32 bits."""


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


def multilayer_communities(
    fc: ArrayLike,
    gamma: ArrayLike = 1.0,
    omega: ArrayLike = 1.0,
    null: Null = "signed",
    optimiser: Optimiser = "louvain",
    restarts: int = 100,
    seed: int = 0,
    threads: int | None = None,
    a: float | None = None,
) -> Communities:
    """Search for the communities of greatest temporal modularity, many times.

    ``louvain``: generalised Louvain with moves drawn at random, weighted by their gain, iterated until nothing is
    gained; between iterations, communities are renamed from each window on by optimal assignment so that labels persist
    (Jeub et al., GenLouvain; Bassett et al. 2013). ``leiden``: before communities become nodes they are refined, so
    that parts of them may part ways (Traag et al. 2019); it finds a higher Q and takes longer.

    Parameters
    ----------
    fc, gamma, omega, null, a
        As in :func:`modularity`.
    optimiser : {"louvain", "leiden"}
        Which search.
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

    References
    ----------
    doi 10.1126/science.1184819, doi 10.1063/1.4790830, doi 10.1038/s41598-019-41695-z

    Examples
    --------
    >>> block = np.kron(np.eye(2), np.ones((3, 3))) - np.eye(6)
    >>> found = multilayer_communities([block, block], restarts=5, seed=1)
    >>> found.labels[0].tolist()
    [[1, 1, 1, 2, 2, 2], [1, 1, 1, 2, 2, 2]]
    """
    if restarts < 1:
        raise UsageError(f"restarts is {restarts}; it must be at least 1")
    if optimiser not in OPTIMISERS:
        raise UsageError(f"optimiser is {optimiser!r}; it must be one of {', '.join(OPTIMISERS)}")
    model = modularity(fc, gamma, omega, null, a)
    seeds = np.array([child.generate_state(1, np.uint64)[0] for child in np.random.SeedSequence(seed).spawn(restarts)])
    labels = search(model, seeds, leiden=optimiser == "leiden", threads=threads)
    return Communities(labels, np.atleast_1d(quality_of(model, labels)), seeds, model.a, model.warnings)


def search(
    model: Modularity,
    seeds: NDArray[np.uint64],
    *,
    leiden: bool = False,
    greedy: bool = False,
    match: bool = True,
    threads: int | None = None,
) -> NDArray[np.int16]:
    """Search once for each seed; labels (R, W, N). ``greedy`` takes the best move: it is for tests and benchmarks."""
    windows, regions = model.fc.shape[:2]
    if windows * regions > np.iinfo(np.int32).max // 4:
        raise UsageError(f"{windows} windows of {regions} regions are more than can be searched at once")
    labels = np.empty((len(seeds), windows, regions), dtype=np.int16)
    workers = max(1, min(len(seeds), threads or len(os.sched_getaffinity(0))))
    b, omega = _as_integers(model)
    try:
        _kernels.search(b, omega, seeds, leiden=leiden, greedy=greedy, match=match, threads=workers, found=labels)
    except OverflowError as error:
        raise UsageError("more than 32767 communities were found: lower gamma, or raise omega") from error
    return labels


def _as_integers(model: Modularity) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Write B (zero diagonal) and couplings as integers of one scale, as fine as sums of 32 bits allow.

    Sums of integers are exact whatever their order, so what ties stays tied and no error grows with the moves. A
    coupling that outweighs every row of B is limited where regions move (to twice the heaviest row), which decides the
    same: hence five times the heaviest row is the largest sum that can occur.
    """
    windows, regions = model.fc.shape[:2]
    # no row of the null model outweighs its row of connectivity, but for gamma (and but for `uniform`)
    strength = np.array([np.abs(weights_of(window)).sum(axis=1).max() for window in model.fc])
    chance = model.gamma * (regions * abs(model.a) if model.null == "uniform" else strength)
    heaviest = float((strength + chance).max())
    scale = 2.0 ** np.floor(np.log2(LARGEST_SUM / (5 * heaviest))) if heaviest > 0 else 1.0
    b = np.empty((windows, regions, regions), dtype=np.int32)
    for w in range(windows):
        np.rint(weights_of(model.window(w)) * scale, out=b[w], casting="unsafe")
    # beyond 2^40 a coupling cannot grow any heavier than it is: nothing weighs against it
    return b, np.rint(np.minimum(model.omega, 2.0**40 / scale) * scale).astype(np.int64)
