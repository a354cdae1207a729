"""How long the table of people takes: 10,000 participants, both engines, 100 regions, whole derivatives on disk.

One simulated run is analysed. Every participant gets a copy of all its files, with other numbers in each and windows of
their own, so that rarefied promiscuity must be counted from the labels of everyone. Reading is timed in a new process;
the files have just been written, so the time of the disk is not in it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

LIMIT_S, LIMIT_MB = 60.0, 1000.0
CHANGED = ("_dynamics.json", "_dynamics.tsv", "_desc-prior_communities.tsv")


def main() -> None:
    """Write the derivatives, read them in another process, and print a table."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--participants", type=int, default=10_000)
    words.add_argument("--write", action="store_true", help="write all group tables too, which takes many minutes")
    words.add_argument("--read", nargs=2, type=Path, help=argparse.SUPPRESS)
    asked = words.parse_args()
    if asked.read:
        read(*asked.read, write=asked.write)
        return
    with tempfile.TemporaryDirectory(prefix="bids_flex-") as name:
        folder = Path(name)
        one = analyse_one(folder)
        begun = time.perf_counter()
        bids, out = copy(folder, one, asked.participants)
        print(f"{asked.participants} participants written in {time.perf_counter() - begun:.0f} s", flush=True)
        more = ["--write"] if asked.write else []
        subprocess.run([sys.executable, __file__, "--read", str(bids), str(out), *more], check=True)


def analyse_one(folder: Path) -> Path:
    """Simulate one participant and analyse the run with both engines; return the folder of its results."""
    programs = Path(sys.executable).parent
    study, out = folder / "study", folder / "one"
    simulate = ["--participants", "1", "--regions", "100", "--duration", "420", "--seed", "1"]
    subprocess.run([programs / "bids_flex-simulate", study, *simulate], check=True, capture_output=True)
    atlas = next((study / "derivatives" / "atlas").glob("*_dseg.nii.gz"))
    options = ["--atlas", atlas, "--restarts", "10", "--n-surrogates", "9"]
    subprocess.run([programs / "bids_flex", study, out, "participant", *options], check=True, capture_output=True)
    return out / "sub-01" / "func"


def copy(folder: Path, one: Path, participants: int) -> tuple[Path, Path]:
    """Write everyone's files: those that are read with changed numbers, the others as links."""
    bids, out = folder / "bids", folder / "out"
    (bids / "phenotype").mkdir(parents=True)
    rng = np.random.default_rng(0)
    texts = {path.name: path.read_text() for path in one.iterdir() if path.name.endswith(CHANGED)}
    summaries = {name: json.loads(text) for name, text in texts.items() if name.endswith(".json")}
    tables = {name: parsed(text) for name, text in texts.items() if name.endswith("_dynamics.tsv")}
    others = [path for path in one.iterdir() if path.name not in texts and path.is_file()]
    people, scores = ["participant_id\tage\tgroup"], ["participant_id\tscore"]
    for number in range(participants):
        label = f"{number:05d}"
        people.append(f"sub-{label}\t{rng.integers(18, 70)}\t{'ab'[number % 2]}")
        scores.append(f"sub-{label}\t{rng.integers(0, 60)}")
        func = out / f"sub-{label}" / "func"
        func.mkdir(parents=True)
        for path in others:
            os.link(path, func / path.name.replace("sub-01", f"sub-{label}"))
        less = int(rng.integers(0, 40))
        for name, text in texts.items():
            written = changed(name, text, summaries, tables, less, rng)
            (func / name.replace("sub-01", f"sub-{label}")).write_text(written)
    (bids / "participants.tsv").write_text("\n".join(people) + "\n")
    (bids / "phenotype" / "score.tsv").write_text("\n".join(scores) + "\n")
    return bids, out


def parsed(text: str) -> tuple[str, list[str], np.ndarray]:
    """Take a table of regions apart: its header, the first two fields of each line, its numbers."""
    header, *lines = text.rstrip("\n").split("\n")
    fields = [line.replace("n/a", "nan").split("\t") for line in lines]
    values = np.array([row[2:] for row in fields], dtype=float)
    return header, ["\t".join(row[:2]) for row in fields], values


def changed(name: str, text: str, summaries: dict, tables: dict, less: int, rng: np.random.Generator) -> str:
    """Give a file other numbers, and ``less`` windows where it is one of ``prior``."""
    factor = 1 + 0.1 * rng.standard_normal()
    if name.endswith("_communities.tsv"):
        lines = text.rstrip("\n").split("\n")
        return "\n".join(lines[: len(lines) - less]) + "\n"
    if name.endswith(".json"):
        told = json.loads(json.dumps(summaries[name]))
        told["Global"] = {key: value and value * factor for key, value in told["Global"].items()}
        told["Quality"]["mean_fd"] = abs(factor) / 5
        if "desc-prior" in name:
            told["Windows"]["Analysed"] -= less
            told["Windows"]["ValidPairs"] -= less
        return json.dumps(told, indent=2)
    header, starts, values = tables[name]
    numbers = values * (1 + 0.1 * rng.standard_normal(values.shape))
    form = "\t".join(["%.12g"] * values.shape[1])
    lines = [f"{start}\t{form % tuple(row)}" for start, row in zip(starts, numbers.tolist(), strict=True)]
    return "\n".join([header, *lines, ""]).replace("nan", "n/a")


def read(bids: Path, out: Path, *, write: bool) -> None:
    """Gather, and print seconds and memory."""
    from bids_flex.cohort import gather, write_cohort

    begun = time.perf_counter()
    cohort = gather(out, bids)
    seconds = time.perf_counter() - begun
    print(f"{'':8} {'seconds':>8} {'limit':>6} {'peak MB':>8} {'limit':>6}")
    print(f"{'gather':8} {seconds:8.1f} {LIMIT_S:6.0f} {peak_mb():8.0f} {LIMIT_MB:6.0f}")
    print(f"people {cohort.people.shape}, runs {cohort.runs.shape}, drawn windows {dict(cohort.rarefied_windows)}")
    if write:
        begun = time.perf_counter()
        write_cohort(out / "group", cohort)
        print(f"{'write':8} {time.perf_counter() - begun:8.1f} {'':6} {peak_mb():8.0f}")
        size = sum(path.stat().st_size for path in (out / "group").iterdir())
        print(f"all group tables are {size / 1e9:.1f} GB")


def peak_mb() -> float:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
