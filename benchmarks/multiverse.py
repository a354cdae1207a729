"""The default grid of 48 universes on 12 simulated people, and whether its cost is that of its distinct steps.

Prints the wall time of the whole command, and for one person the processor seconds of all universes together, beside
those of each universe alone and the sum of the steps that differ, as the first universe that has them takes for them.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bids_flex.workflows.stages import Job

WORDS = ["--restarts", "20", "--n-surrogates", "0"]
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Clock:
    """Processor seconds by kind of node; what comes before the first is not counted."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.nodes: Counter[str] = Counter()
        self.current = ""
        self.since = time.process_time()

    def at(self, node: str) -> None:
        """Close the account of the node before, and open that of this one; numbers behind names are left out."""
        now = time.process_time()
        if self.current:
            self.seconds[self.current] += now - self.since
        kind, _, number = node.rpartition("_")
        self.current = kind if number.isdigit() else node
        self.nodes[self.current] += bool(node)
        self.since = now


@contextlib.contextmanager
def timed(jobs: list[Job], folder: Path) -> Iterator[Clock]:
    """Analyse one run in some ways in this process."""
    from bids_flex.workflows.child import attempt

    clock = Clock()
    with tempfile.TemporaryDirectory(dir=folder) as work:
        reasons = attempt(jobs, Path(work), Path(work) / "crash", 0, 1, clock.at)
    clock.at("")
    if any(reasons):
        raise SystemExit("; ".join(filter(None, reasons)))
    yield clock


def by_steps(study: Path, atlas: Path, folder: Path) -> None:
    """Compare all universes of one run together with each of them alone."""
    from bids_flex.cli import parse_config
    from bids_flex.multiverse import read_universes
    from bids_flex.workflows.multiverse import plan, shared_steps

    words = [study, folder / "steps", "participant", "--atlas", atlas, "--participant-label", "01", *WORDS]
    config = parse_config([*map(str, words), "--multiverse", "default"])
    universes = read_universes("default", config)
    jobs = [job for one in plan(config, universes)[0] for job in one.jobs]
    with timed(jobs[:1], folder):  # what is imported and compiled once is nobody's cost
        pass
    with timed(jobs, folder) as together:
        pass
    alone, nodes = Counter[str](), Counter[str]()
    for job in jobs:
        with timed([job], folder) as one:
            alone.update(one.seconds)
            nodes.update(one.nodes)
    print(f"{'':28s}{'nodes':>12s}{'alone: nodes':>14s}{'s':>8s}{'alone: s':>10s}{'s of distinct nodes':>21s}")
    expected = 0.0
    for kind in sorted(alone):
        share = alone[kind] * together.nodes[kind] / nodes[kind]
        expected += share
        counts = f"{together.nodes[kind]:12d}{nodes[kind]:14d}"
        print(f"{kind:28s}{counts}{together.seconds[kind]:8.2f}{alone[kind]:10.2f}{share:21.2f}")
    total, apart = sum(together.seconds.values()), sum(alone.values())
    print(f"{'sum':28s}{'':26s}{total:8.2f}{apart:10.2f}{expected:21.2f}")
    print(f"together / distinct steps: {total / expected:.2f}; alone / together: {apart / total:.1f}")
    print(f"{len(jobs)} universes: {', '.join(f'{n} {name}' for name, n in shared_steps(universes).items())}")


def main() -> None:
    """Simulate the study, time the command, then the steps of one person in a process of their own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--participants", type=int, default=12)
    parser.add_argument("--steps", nargs=3, type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.steps:
        by_steps(*given.steps)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        study, tools = folder / "bids", Path(sys.executable).parent
        people = ["--participants", str(given.participants)]
        subprocess.run([tools / "bids_flex-simulate", study, *people], capture_output=True, check=True)
        atlas = next((study / "derivatives" / "atlas").glob("*.nii.gz"))
        words = [study, folder / "out", "participant", "--atlas", atlas, "--multiverse", "default", *WORDS]
        started = time.perf_counter()
        subprocess.run([tools / "bids_flex", *words], capture_output=True, check=True)
        seconds, load = time.perf_counter() - started, os.getloadavg()[0]
        print(f"participant level, 48 universes x {given.participants} people: {seconds:.0f} s (promised: 900 s)")
        print(f"{len(os.sched_getaffinity(0))} processors; load of the machine at the end {load:.1f}")
        started = time.perf_counter()
        group = [study, folder / "out", "group", "--groups", "antidepressant", "--covariates", "age"]
        subprocess.run([tools / "bids_flex", *group, "--n-permutations", "1000"], capture_output=True, check=True)
        print(f"group level, 1000 permutations of the curve: {time.perf_counter() - started:.0f} s", flush=True)
        single = {**os.environ, **dict.fromkeys(THREADS, "1"), "NO_ET": "1", "NIPYPE_NO_ET": "1"}
        subprocess.run([sys.executable, __file__, "--steps", study, atlas, folder], check=True, env=single)


if __name__ == "__main__":
    main()
