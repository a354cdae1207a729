"""Lines and branches of the science that its own tests reach, from coverage's JSON report: 95 per cent of each."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

FLOOR = 95.0
PACKAGES = ("signal", "dynamics", "stats")


def main(report: Path) -> int:
    """Print a row for each package; 1 when one of them is below the floor."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in PACKAGES}
    for file, told in json.loads(report.read_text(encoding="utf8"))["files"].items():
        package = Path(file).parent.name
        if package in counts:
            counts[package].update({key: value for key, value in told["summary"].items() if isinstance(value, int)})
    low = False
    print(f"{'package':10} {'lines':>7} {'branches':>9}   (at least {FLOOR:.0f} %)")
    for package, count in counts.items():
        lines = 100 * count["covered_lines"] / count["num_statements"]
        branches = 100 * count["covered_branches"] / count["num_branches"]
        low |= min(lines, branches) < FLOOR
        print(f"{package:10} {lines:6.2f}% {branches:8.2f}%")
    return int(low)


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
