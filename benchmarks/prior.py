"""The prior engine: windows per second, and how many times a plain numpy transcription of its definition."""

from __future__ import annotations

import argparse
import re
import time
from pathlib import Path

import numpy as np

from bids_flex import dynamics

INTERPRETED_MEAN = 0.75
"""Share of the original program's time on Octave that is an interpreted replacement of ``mean``."""


def transcription(fc: np.ndarray, networks: np.ndarray, max_iterations: int = 1000) -> np.ndarray:
    """Search one window by the definition, every mean taken anew for all regions at once."""
    labels = networks.copy()
    f = np.abs(np.arctanh(np.clip(fc, -1 + 1e-7, 1 - 1e-7)))
    np.fill_diagonal(f, 0.0)
    kinds = np.arange(1, networks.max() + 1)
    previous = -1
    with np.errstate(invalid="ignore", divide="ignore"):
        for _ in range(max_iterations):
            member = (labels[:, None] == kinds).astype(float)
            sums, sizes = f @ member, member.sum(axis=0)
            own = labels - 1
            inside = sums[np.arange(len(labels)), own] / (sizes[own] - 1)
            outside = (f.sum(axis=1) - sums[np.arange(len(labels)), own]) / (len(labels) - sizes[own])
            cost = (inside - outside) / (inside + outside)
            worst = int(np.argmin(np.where(np.isnan(cost), np.inf, cost)))
            if worst == previous:
                break
            means = sums[worst] / (sizes - member[worst])
            labels[worst] = np.argmax(np.where(np.isnan(means), -np.inf, means)) + 1
            previous = worst
    return labels


def windows_of(regions: int, windows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Simulate windows of seven networks whose regions sometimes follow another one."""
    rng = np.random.default_rng(seed)
    networks = np.arange(regions) * 7 // regions + 1
    series = rng.standard_normal((30 + windows, 7))[:, networks - 1] * 0.8 + rng.standard_normal(
        (30 + windows, regions)
    )
    plan = dynamics.plan_windows(len(series), 2.0, 30, 1, unit="volumes")
    return dynamics.windowed_connectivity(series, plan)[:windows], networks


def against_transcription() -> None:
    """Print both, interleaved, at three sizes."""
    print("regions  windows/s  transcription windows/s  ratio (median of 5 pairs)  same labels")
    for regions in (100, 224, 400):
        fc, networks = windows_of(regions, 40)
        ours, plain = [], []
        for _ in range(5):
            started = time.process_time()
            labels, _ = dynamics.prior_communities(fc, networks)
            ours.append(time.process_time() - started)
            started = time.process_time()
            expected = np.stack([transcription(window, networks) for window in fc])
            plain.append(time.process_time() - started)
        same = bool((labels == expected).all())
        ratio = np.median(np.array(plain) / np.array(ours))
        print(f"{regions:7d}  {40 / min(ours):9.0f}  {40 / min(plain):23.1f}  {ratio:25.1f}  {same}")


def against_original(folder: Path) -> None:
    """Print how many times faster than the original program on Octave, with and without its interpreted mean."""
    rows = re.findall(r"^\| prior_(\w+) \|(.+)$", (folder / "README.md").read_text(), flags=re.MULTILINE)
    print("case                   Octave cpu s  ours cpu s   ratio  ratio without the interpreted mean")
    total_theirs = total_ours = 0.0
    for name, rest in rows:
        theirs = float(rest.split("|")[13])
        if theirs == 0:
            continue
        case = np.load(folder / f"prior_{name}.npz")
        # as there, loading is not counted
        series, networks = case["ts"], case["init"]
        plan = dynamics.plan_windows(len(series), 1.0, int(case["window"]), int(case["step"]), unit="volumes")
        times = []
        for _ in range(7):
            started = time.process_time()
            fc = dynamics.windowed_connectivity(series, plan)
            dynamics.prior_communities(fc, networks)
            times.append(time.process_time() - started)
        ours = min(times)
        total_theirs, total_ours = total_theirs + theirs, total_ours + ours
        without = (1 - INTERPRETED_MEAN) * theirs / ours
        print(f"{name:22s} {theirs:12.2f}  {ours:10.4f}  {theirs / ours:6.0f}  {without:6.0f}")
    ratio = total_theirs / total_ours
    print(f"{'all':22s} {total_theirs:12.2f}  {total_ours:10.4f}  {ratio:6.0f}  {(1 - INTERPRETED_MEAN) * ratio:6.0f}")


def main() -> None:
    """Run the comparison, and the one with the original program if its figures are here."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", type=Path, help="folder with the original program's inputs, outputs and times")
    given = parser.parse_args()
    against_transcription()
    if given.reference:
        against_original(given.reference)


if __name__ == "__main__":
    main()
