"""Many people: what a finished study costs to be found finished, and what is left behind."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from bids_flex.workflows import journal
from bids_flex.workflows.child import Outcome

from .conftest import command, make_study, status

PEOPLE = 200
SMALLEST = {"duration_s": 300.0, "tr_s": 3.0, "voxel_mm": 12.0, "regions": 14, "participants": PEOPLE}
LEAN = ["--denoise", "simple", "--restarts", "2", "--n-surrogates", "0", "--no-reports", "--clean-workdir"]


def call(*words: object) -> tuple[float, float]:
    """Seconds, and the largest resident memory in MB of the call itself."""
    started = time.monotonic()
    process = subprocess.Popen(command(*words), stderr=subprocess.DEVNULL)
    _, code, used = os.wait4(process.pid, 0)
    assert code == 0
    return time.monotonic() - started, used.ru_maxrss / 1024


def test_outcomes_that_are_known_together_are_written_together(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(journal, "write_table", lambda path, table, _extra: written.append((path.name, len(table))))
    kept = journal.Journal(tmp_path)
    kept.record(*(Outcome(f"sub-{number}", "skipped") for number in range(1000)))
    kept.record(Outcome("sub-x", "done"))
    assert written == [("status.tsv", 1000), ("status.tsv", 1001)]
    assert (kept.count("skipped"), kept.count("done")) == (1000, 1)


@pytest.mark.slow
def test_a_finished_study_of_two_hundred_is_found_finished_in_ten_seconds(tmp_path):
    study, out, work = make_study(tmp_path / "bids", **SMALLEST), tmp_path / "out", tmp_path / "work"
    words = [study.root, out, "participant", "--atlas", study.atlas, *LEAN, "--work-dir", work]
    few = [path.name[4:] for path in sorted(study.root.glob("sub-*"))[:20]]
    _, first = call(*words, "--participant-label", *few)
    _, all_of_them = call(*words)
    seconds, again = call(*words)
    assert list(status(out)["state"]) == ["skipped"] * PEOPLE
    assert seconds < 10
    # flat: ten times as many people take no more than half as much again
    assert max(all_of_them, again) < 1.5 * first
    assert sum(path.is_file() for path in Path(work).rglob("*")) < 20
