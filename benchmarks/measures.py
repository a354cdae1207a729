"""Every measure of a run with 100 restarts (120 windows, 400 regions), by number of communities: CPU seconds."""

from __future__ import annotations

import time

import numpy as np

from bids_flex import dynamics

RESTARTS, WINDOWS, REGIONS = 100, 120, 400


def main() -> None:
    """Print the table; a fifth of all regions are elsewhere in any window."""
    print("communities  cpu s (median of 5)")
    rng = np.random.default_rng(0)
    for communities in (3, 8, 40):
        networks = rng.integers(1, communities + 1, REGIONS)
        labels = np.broadcast_to(networks, (RESTARTS, WINDOWS, REGIONS)).astype(np.int16)
        moved = rng.random(labels.shape) < 0.2
        labels[moved] = rng.integers(1, communities + 1, moved.sum())
        seconds = []
        for _ in range(5):
            started = time.process_time()
            dynamics.profile(labels, networks, step_s=50.0)
            seconds.append(time.process_time() - started)
        print(f"{communities:11d}  {np.median(seconds):.2f}", flush=True)


if __name__ == "__main__":
    main()
