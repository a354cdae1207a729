"""Many participants on a coarse grid: seconds and memory of each chunk, files left behind, resume, and the group level.

Participants are analysed in chunks into one output folder, as an array of jobs would. If time is linear and memory
flat, a participant of the last chunk costs what one of the first did.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SMALLEST = ["--voxel-mm", "12", "--regions", "14", "--duration-s", "300", "--tr-s", "3", "--seed", "1"]
LEAN = ["--denoise", "simple", "--restarts", "2", "--n-surrogates", "0", "--no-reports", "--clean-workdir"]


def main() -> None:
    """Simulate, analyse in chunks, resume and compare groups; print a table."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--participants", type=int, default=1000)
    words.add_argument("--chunk", type=int, default=200)
    words.add_argument("--folder", type=Path, help="keep everything here, and go on with what is there")
    asked = words.parse_args()
    with tempfile.TemporaryDirectory(prefix="bids_flex-") as name:
        participants(asked.folder or Path(name), asked.participants, asked.chunk)


def participants(folder: Path, count: int, chunk: int) -> None:
    """Analyse everybody in chunks, again without anything to do, and compare groups."""
    programs = Path(sys.executable).parent
    study, out, work = folder / "study", folder / "out", folder / "work"
    subprocess.run([programs / "bids_flex-simulate", study, "--participants", str(count), *SMALLEST], check=True)
    atlas = next((study / "derivatives" / "atlas").glob("*_dseg.nii.gz"))
    labels = sorted(path.name[4:] for path in study.glob("sub-*"))
    call = [programs / "bids_flex", study, out, "participant", "--atlas", atlas, *LEAN, "--work-dir", work]
    print(f"{'call':28} {'seconds':>8} {'per run':>8} {'parent MB':>10} {'child MB':>9} {'work files':>11}")
    for start in range(0, count, chunk):
        asked = labels[start : start + chunk]
        title = f"participants {start + 1}-{start + len(asked)}"
        row(title, [*call, "--participant-label", *asked], out, work, len(asked))
    row(f"again {min(chunk, count)}", [*call, "--participant-label", *labels[:chunk]], out, work)
    row(f"again {count}", call, out, work)
    group = [programs / "bids_flex", study, out, "group", "--groups", "antidepressant", "--n-permutations", "1000"]
    row("group", [*group, "--covariates", "age", "mean_fd", "--no-reports"], out, work)
    print(f"inodes: {inodes(out) / count:.1f} a participant in the output folder, {inodes(work)} in the work folder")


def row(title: str, call: list[object], out: Path, work: Path, runs: int = 0) -> None:
    """Time a call and print its row; memory is the largest of the call itself, and of any of its runs."""
    started = time.perf_counter()
    process = subprocess.Popen([str(word) for word in call], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    _, code, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if code:
        raise SystemExit(f"{title}: exit code {os.waitstatus_to_exitcode(code)}")
    each = f"{seconds / runs:8.3f}" if runs else f"{'':8}"
    newest = max(out.glob("logs/*/status.tsv"), key=lambda path: path.stat().st_mtime_ns, default=None)
    peaks = [line.split("\t")[-1] for line in newest.read_text().splitlines()[1:]] if runs and newest else []
    child = max((float(peak) for peak in peaks), default=float("nan"))
    left = sum(path.is_file() for path in work.rglob("*"))
    print(f"{title:28} {seconds:8.1f} {each} {used.ru_maxrss / 1024:10.0f} {child:9.0f} {left:11d}", flush=True)


def inodes(folder: Path) -> int:
    """Count files and folders."""
    return sum(1 for _ in folder.rglob("*"))


if __name__ == "__main__":
    main()
