"""How long the page of a run takes, and how large it is: ``python benchmarks/pages.py OUT`` (such as build/demo/out).

Figures are drawn anew into a copy; the first participant pays for loading the libraries and is told apart.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

from bids_flex.reports import make_participant_pages


def main() -> None:
    """Print a row for each participant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    given = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        shutil.copytree(given, out, ignore=shutil.ignore_patterns("figures", "*.html", "group"))
        print("participant  runs  seconds per run  MB per run")
        for label in sorted(path.name[4:] for path in out.glob("sub-*")):
            runs = len(list((out / f"sub-{label}").rglob("*_desc-confounds_quality.tsv")))
            start = time.perf_counter()
            pages = make_participant_pages(out, label, Path(folder) / "crash")
            seconds = time.perf_counter() - start
            size = sum(page.stat().st_size for page in pages) / 1e6
            print(f"{label:<12} {runs:4d}  {seconds / runs:15.2f}  {size / runs:10.2f}")


if __name__ == "__main__":
    main()
