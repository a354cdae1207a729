"""One search for temporal modularity, beside igraph's Leiden on the same matrix; figures of one run, interleaved.

GenLouvain 2.2 on Octave took .401, 2.90 and 15.7 CPU seconds for one search at these sizes (two cores, measured once).
"""

from __future__ import annotations

import argparse
import resource
import time

import igraph
import numpy as np
from scipy import signal

from bids_flex import dynamics

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


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", default=["S", "M"], choices=list(SIZES), help="L needs minutes for igraph")
    print("size program     cpu s   Q       flexibility   GenLouvain / ours")
    for size in parser.parse_args().sizes:
        fc = simulated(*SIZES[size])
        model = dynamics.modularity(fc, null="ng")
        graph = as_graph(model.b)
        ours, theirs = [], []
        for seed in range(5):
            started = time.process_time()
            found = dynamics.multilayer_communities(fc, null="ng", restarts=4, seed=seed, threads=1)
            ours.append(
                ((time.process_time() - started) / 4, found.quality.mean(), dynamics.flexibility(found.labels).mean())
            )
            started = time.process_time()
            leiden = graph.community_leiden("CPM", weights="weight", resolution=0, n_iterations=2)
            seconds = time.process_time() - started
            labels = np.array(leiden.membership).reshape(model.b.shape[:2]) + 1
            theirs.append((seconds, dynamics.quality_of(model, labels), dynamics.flexibility(labels).mean()))
        for name, rows in (("ours", ours), ("igraph", theirs)):
            seconds, quality, flexibility = np.median(rows, axis=0)
            ratio = f"{GENLOUVAIN_S[size] / seconds:.0f}" if name == "ours" else ""
            print(f"{size:4s} {name:10s} {seconds:6.4f}  {quality:.4f}  {flexibility:.3f}         {ratio}", flush=True)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB (with igraph's graphs)")


if __name__ == "__main__":
    main()
