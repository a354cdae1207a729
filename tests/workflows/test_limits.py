"""What a call may use of the machine."""

from __future__ import annotations

import pytest

from bids_flex.workflows import limits


@pytest.mark.parametrize(
    ("told", "processors"), [("3", 3), ("1", 1), ("64", 8), ("", 8), ("0", 1), ("a few", 8), ("-2", 8)]
)
def test_a_job_takes_no_more_processors_than_slurm_has_given_it(monkeypatch, told, processors):
    monkeypatch.setattr(limits.os, "sched_getaffinity", lambda _pid: set(range(8)), raising=False)
    monkeypatch.setattr(limits, "_files", lambda *_names: iter(()))
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", told)
    assert limits.processors_allowed() == processors
