"""The kernels compiled for several levels of the instruction set, against each other.

The image holds kernels for x86-64-v2, which every processor since 2009 runs. They are compiled here for the plain
level, for v2, v3 and for this very processor, and each in turn does the same work; the least CPU time of several
rounds counts, and labels must be the same bytes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

LEVELS = ("x86-64", "x86-64-v2", "x86-64-v3", "native")
ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 5
WORK = """
import hashlib, importlib.util, sys, time
import numpy as np
from bids_flex import dynamics
spec = importlib.util.spec_from_file_location("bids_flex.dynamics._kernels", sys.argv[1])
sys.modules["bids_flex.dynamics._kernels"] = kernels = importlib.util.module_from_spec(spec)
spec.loader.exec_module(kernels)
from bids_flex.dynamics import multilayer, prior
multilayer._kernels = prior._kernels = kernels
series = np.random.default_rng(1).standard_normal((600, 100)).cumsum(0)
plan = dynamics.plan_windows(600, 2.0, 30, 5, unit="volumes")
windows = dynamics.windowed_connectivity(series, plan)
home = np.arange(100) // 15 + 1
dense = dynamics.windowed_connectivity(series, dynamics.plan_windows(600, 2.0, 30, 1, unit="volumes"))
start = time.process_time()
first = [dynamics.prior_communities(dense, home)[0] for _ in range(10)][0]
middle = time.process_time()
second = dynamics.multilayer_communities(windows, restarts=10, threads=1).labels
end = time.process_time()
digest = hashlib.sha256(np.ascontiguousarray(first).tobytes() + np.ascontiguousarray(second).tobytes()).hexdigest()
print(middle - start, end - middle, digest)
"""


def build(level: str, into: Path) -> Path:
    """Compile the kernels for a level, and return the module's file."""
    tools = {**os.environ, "CXXFLAGS": f"-march={level}"}
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", into, ROOT], check=True, env=tools)
    (wheel,) = into.glob("*.whl")
    subprocess.run([sys.executable, "-m", "zipfile", "-e", wheel, into / "files"], check=True)
    return next((into / "files").rglob("_kernels*.so"))


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name:
        modules = {level: build(level, Path(name) / level) for level in LEVELS}
        best = {level: [float("inf"), float("inf")] for level in LEVELS}
        digests = set()
        for _ in range(ROUNDS):
            for level, module in modules.items():
                said = subprocess.run(
                    [sys.executable, "-c", WORK, module], check=True, stdout=subprocess.PIPE, text=True
                )
                *seconds, digest = said.stdout.split()
                best[level] = [min(pair) for pair in zip(best[level], map(float, seconds), strict=True)]
                digests.add(digest)
    print(f"{'compiled for':12} {'prior s':>8} {'multilayer s':>13} {'to x86-64-v2':>13}")
    for level, seconds in best.items():
        ratio = sum(seconds) / sum(best["x86-64-v2"])
        print(f"{level:12} {seconds[0]:8.3f} {seconds[1]:13.3f} {ratio:13.2f}")
    print(f"labels: {'the same bytes' if len(digests) == 1 else 'DIFFERENT'}")


if __name__ == "__main__":
    main()
