"""Rows for every run, whenever a call is stopped."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace

import pytest

from bids_flex.interrupts import Interrupted, Interrupts
from bids_flex.workflows import participant


def stop(_context, job, *_rest):
    os.kill(os.getpid(), signal.SIGTERM)


def run(folder, report):
    jobs = [[SimpleNamespace(run=SimpleNamespace(name=name))] for name in ("sub-01", "sub-02", "sub-03")]
    participant.run_jobs(
        jobs,
        parallel=1,
        threads=1,
        work_dir=folder,
        crash_dir=folder,
        report=report,
        at=lambda _run, _stage: None,
        check=lambda: None,
    )


@pytest.fixture(autouse=True)
def _handlers():
    """Leave signals as they were before."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_run_that_was_just_being_started_has_a_row_as_well(monkeypatch, tmp_path):
    monkeypatch.setattr(participant, "_start", stop)
    rows = []
    with Interrupts(), pytest.raises(Interrupted):
        run(tmp_path, rows.append)
    assert [(row.run, row.state) for row in rows] == [(f"sub-0{n}", "interrupted") for n in (1, 2, 3)]


def test_a_second_signal_does_not_break_off_what_the_first_has_begun(monkeypatch, tmp_path):
    monkeypatch.setattr(participant, "_start", stop)
    rows = []

    def report(outcome):
        os.kill(os.getpid(), signal.SIGTERM)
        rows.append(outcome.run)

    with Interrupts(), pytest.raises(Interrupted):
        run(tmp_path, report)
    assert rows == ["sub-01", "sub-02", "sub-03"]
