"""Many participants on a coarse grid: seconds and memory of each chunk, files left, resume, group; and a large index.

Participants are analysed in chunks into one output folder, as an array of jobs would. If time is linear and memory
flat, a participant of the last chunk costs what one of the first did. The data set of 50,000 files has names and tiny
files only: what is timed is how long one participant takes to be found in it.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SMALLEST = ["--voxel-mm", "12", "--regions", "14", "--duration-s", "300", "--tr-s", "3", "--seed", "1"]
LEAN = ["--denoise", "simple", "--restarts", "2", "--n-surrogates", "0", "--no-reports", "--clean-workdir"]
RESUME_S, INDEX_S = 10.0, 2.0


def main() -> None:
    """Simulate, analyse in chunks, resume, compare groups, index; print a table of each."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--participants", type=int, default=1000)
    words.add_argument("--chunk", type=int, default=200)
    words.add_argument("--files", type=int, default=50_000, help="of the data set that is indexed")
    words.add_argument("--only", choices=["participants", "index"])
    words.add_argument("--folder", type=Path, help="keep everything here, and go on with what is there")
    words.add_argument("--index", type=Path, help=argparse.SUPPRESS)
    asked = words.parse_args()
    if asked.index:
        time_index(asked.index)
        return
    with tempfile.TemporaryDirectory(prefix="bids_flex-") as name:
        folder = asked.folder or Path(name)
        if asked.only != "index":
            participants(folder, asked.participants, asked.chunk)
        if asked.only != "participants":
            study = many_files(Path(name) / "many", asked.files)
            subprocess.run([sys.executable, __file__, "--index", study], check=True)


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
        row(f"participants {start + 1}-{start + len(asked)}", [*call, "--participant-label", *asked], out, work, len(asked))
    row(f"again {min(chunk, count)} (limit {RESUME_S:.0f} s)", [*call, "--participant-label", *labels[:chunk]], out, work)
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


def many_files(root: Path, files: int) -> Path:
    """Make a data set of many participants that have fMRIPrep's files, one of them with an image that can be read."""
    import nibabel as nib
    import numpy as np

    space = "space-MNI152NLin2009cAsym"
    kinds = [
        *(f"func/@_task-{task}_run-{run}_{space}_{what}" for task in ("rest", "nback") for run in (1, 2) for what in (
            "desc-preproc_bold.nii.gz", "desc-preproc_bold.json", "desc-brain_mask.nii.gz", "boldref.nii.gz",
        )),
        *(f"func/@_task-{task}_run-{run}_desc-confounds_timeseries.{end}" for task in ("rest", "nback")
          for run in (1, 2) for end in ("tsv", "json")),
        *(f"anat/@_{name}" for name in ("desc-preproc_T1w.nii.gz", "desc-brain_mask.nii.gz", "dseg.nii.gz")),
        *(f"anat/@_hemi-{side}_{what}.surf.gii" for side in "LR" for what in ("pial", "white", "midthickness")),
        *(f"figures/@_desc-{number}_bold.svg" for number in range(17)),
    ]  # fmt: skip
    image = nib.Nifti1Image(np.zeros((2, 2, 2, 5), dtype=np.float32), np.eye(4))
    image.header.set_zooms((1, 1, 1, 2))
    content = {".nii.gz": gzip.compress(image.to_bytes()), ".json": b'{"RepetitionTime": 2.0}'}
    for number in range(files // len(kinds) + 1):
        label = f"sub-{number + 1:04d}"
        for name in ("func", "anat", "figures"):
            (root / label / name).mkdir(parents=True)
        for kind in kinds:
            path = root / label / kind.replace("@", label)
            path.write_bytes(next((text for end, text in content.items() if path.name.endswith(end)), b"x"))
    described = {"Name": "x", "BIDSVersion": "1.9.0", "DatasetType": "derivative", "GeneratedBy": [{"Name": "fMRIPrep"}]}
    (root / "dataset_description.json").write_text(json.dumps(described))
    return root


def time_index(root: Path) -> None:
    """Find one participant's runs, in a process that has pybids loaded."""
    import bids  # noqa: F401 - it is imported once, whatever the size of the data set

    from bids_flex.bids.inputs import find_runs
    from bids_flex.cli import parse_config

    config = parse_config([str(root), "/out", "participant", "--participant-label", "0001"])
    started = time.perf_counter()
    runs = find_runs(config, "MNI152NLin2009cAsym")
    seconds = time.perf_counter() - started
    count = sum(path.is_file() for path in root.rglob("*"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{len(runs.usable)} runs of one participant found among {count} files in {seconds:.2f} s "
          f"(limit {INDEX_S:.0f} s), peak {peak:.0f} MB")  # fmt: skip


if __name__ == "__main__":
    main()
