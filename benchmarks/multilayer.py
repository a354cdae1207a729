"""One search for temporal modularity, beside igraph and leidenalg on the same matrix; figures of one run, interleaved.

Ours: `louvain` (randomised-weighted moves, iterated, matched), `leiden`, and the plain greedy move, which is offered
nowhere else. GenLouvain 2.2 on Octave (iterated, randomised-weighted) took .401, 2.90 and 15.7 CPU seconds for one
search at these sizes (two cores, measured once). igraph and leidenalg run Leiden as a constant Potts model of
resolution 0 on the modularity matrix, two iterations.
"""

from __future__ import annotations

import argparse
import random
import resource
import time
from functools import partial
from typing import TYPE_CHECKING

import igraph
import leidenalg
import numpy as np
from scipy import signal

from bids_flex import dynamics
from bids_flex.dynamics.multilayer import search

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = {"S": (100, 30, 10), "M": (200, 60, 10), "L": (400, 120, 9)}
GENLOUVAIN_S = {"S": 0.401, "M": 2.90, "L": 15.7}


def simulated(regions: int, windows: int, step: int, seed: int = 1) -> np.ndarray:
    """Simulate seven networks between which 40 % of the regions switch, and give their positive correlations."""
    rng = np.random.default_rng(seed)
    volumes = 60 + (windows - 1) * step
    band = signal.butter(2, [0.01, 0.15], btype="band", fs=0.5, output="sos")

    def smooth(count: int) -> np.ndarray:
        found = signal.sosfiltfilt(band, rng.standard_normal((count, volumes)), axis=1)
        return found / found.std(axis=1, keepdims=True)

    home = np.sort(rng.integers(0, 7, regions))
    member = np.repeat(home[:, None], volumes, axis=1)
    for region in np.flatnonzero(rng.random(regions) < 0.4):
        at = int(rng.exponential(60))
        while at < volumes:
            member[region, at:] = rng.integers(0, 7)
            at += max(20, int(rng.exponential(60)))
    load = 0.9 * rng.uniform(0.6, 1.2, regions)
    series = load[:, None] * np.take_along_axis(smooth(7), member, axis=0) + 0.2 * smooth(1) + smooth(regions)
    plan = dynamics.plan_windows(volumes, 2.0, 60, step, unit="volumes")
    return np.maximum(dynamics.windowed_connectivity(series.T, plan), 0.0)


def as_graph(b: np.ndarray) -> igraph.Graph:
    """Make one graph of all windows and couplings for igraph."""
    windows, regions = b.shape[:2]
    first, second = np.triu_indices(regions, 1)
    edges = [np.stack([w * regions + first, w * regions + second], axis=1) for w in range(windows)]
    weights = [b[w, first, second] for w in range(windows)]
    nodes = np.arange((windows - 1) * regions)
    edges.append(np.stack([nodes, nodes + regions], axis=1))
    weights.append(np.ones(len(nodes)))
    graph = igraph.Graph(windows * regions, np.concatenate(edges))
    graph.es["weight"] = np.concatenate(weights)
    return graph


def searches(model: dynamics.Modularity, *, peers: tuple[str, ...]) -> dict[str, Callable[[int], np.ndarray]]:
    """Give each program as a function from a seed to labellings (R, W, N): ten of ours, one of the others'."""
    shape = (1, *model.fc.shape[:2])

    def ours(seed: int, **how: bool) -> np.ndarray:
        seeds = 10 * seed + np.arange(10, dtype=np.uint64)
        return search(model, seeds, threads=1, **how)

    programs: dict[str, Callable[[int], np.ndarray]] = {
        "louvain": ours,
        "leiden": partial(ours, leiden=True),
        "greedy": partial(ours, greedy=True),
    }
    graph = as_graph(model.b) if peers else None

    def by_igraph(seed: int) -> np.ndarray:
        random.seed(seed)
        found = graph.community_leiden("CPM", weights="weight", resolution=0, n_iterations=2)
        return np.array(found.membership).reshape(shape) + 1

    def by_leidenalg(seed: int) -> np.ndarray:
        words = {"weights": "weight", "resolution_parameter": 0.0, "n_iterations": 2, "seed": seed}
        found = leidenalg.find_partition(graph, leidenalg.CPMVertexPartition, **words)
        return np.array(found.membership).reshape(shape) + 1

    offered = {"igraph": by_igraph, "leidenalg": by_leidenalg}
    return programs | {name: offered[name] for name in peers}


def measured(model: dynamics.Modularity, programs: dict[str, Callable[[int], np.ndarray]], rounds: int) -> None:
    """Run the programs in turn, several times, and print a line for each."""
    rows: dict[str, list[tuple[float, float, float]]] = {name: [] for name in programs}
    for seed in range(rounds):
        for name, program in programs.items():
            started = time.process_time()
            labels = program(seed)
            seconds = (time.process_time() - started) / len(labels)
            quality = float(dynamics.quality_of(model, labels).mean())
            rows[name].append((seconds, quality, float(dynamics.flexibility(labels).mean())))
    size = {regions: name for name, (regions, _, _) in SIZES.items()}[model.fc.shape[1]]
    base = np.array([row[0] for row in rows["louvain"]])
    for name, row in rows.items():
        seconds, quality, flexibility = np.median(row, axis=0)
        ratio = np.median([one[0] for one in row] / base)
        genlouvain = GENLOUVAIN_S[size] / seconds
        print(
            f"{size:4s} {name:10s} {seconds:8.4f}  {ratio:15.2f}  {genlouvain:17.1f}  {quality:.4f}  {flexibility:.3f}",
            flush=True,
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", default=["S", "M"], choices=list(SIZES), help="L needs minutes for igraph")
    parser.add_argument("--peers", nargs="*", default=["igraph", "leidenalg"], choices=["igraph", "leidenalg"])
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    print("size program       cpu s  x louvain (pairs)  GenLouvain / this  Q       flexibility")
    for size in given.sizes:
        model = dynamics.modularity(simulated(*SIZES[size]), null="ng")
        measured(model, searches(model, peers=tuple(given.peers)), given.rounds)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
