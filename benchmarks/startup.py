"""How long the command takes before it does anything."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

COMMANDS = {
    "bids_flex --version": ["bids_flex", "--version"],
    "bids_flex --help": ["bids_flex", "--help"],
    "python -c pass": ["python", "-c", "pass"],
    "import the run's graph and nilearn": ["python", "-c", "import bids_flex.workflows.graph, nilearn.maskers"],
}


def main() -> None:
    """Print the minimum and the median of seven interleaved runs of each."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(7):
        for name, (program, *words) in COMMANDS.items():
            started = time.perf_counter()
            subprocess.run([Path(sys.executable).with_name(program), *words], capture_output=True, check=True)
            times[name].append(time.perf_counter() - started)
    print(f"{'command':38s} min s  median s")
    for name, values in times.items():
        print(f"{name:38s} {min(values):5.2f}  {sorted(values)[3]:8.2f}")


if __name__ == "__main__":
    main()
