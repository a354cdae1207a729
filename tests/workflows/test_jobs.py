"""Rows for every run, whenever a call is stopped."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace

import pytest

from bids_flex.bids import outputs
from bids_flex.cli import main
from bids_flex.interrupts import Interrupted, Interrupts
from bids_flex.workflows import participant
from bids_flex.workflows.child import Outcome
from bids_flex.workflows.journal import Journal


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


def loads(*_given):
    """A signal arrives while a module of C is loaded, which makes an error of its own of the exception."""
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except Interrupted as stop:
        raise ImportError("initialization failed") from stop


@pytest.mark.parametrize("place", ["bids_flex.workflows.app.run_app", "bids_flex.workflows.app._do"])
def test_a_signal_that_a_library_has_turned_into_an_error_is_heard(monkeypatch, tmp_path, capsys, place):
    monkeypatch.setattr(place, loads)
    assert main([str(tmp_path), str(tmp_path / "out"), "participant"]) == 143
    assert "exit code 143" in capsys.readouterr().err


def test_an_error_without_a_signal_stays_an_error():
    with Interrupts() as interrupts, pytest.raises(ImportError, match="no such thing"), interrupts.heard():
        raise ImportError("no such thing")


def test_a_status_table_that_could_not_be_finished_is_not_left_without_its_dictionary(monkeypatch, tmp_path):
    whole = outputs.write_atomic

    def interrupted(path, content):
        whole(path, content)
        raise Interrupted(signal.SIGTERM)

    for write in ("bids_flex.bids.outputs.write_atomic", "bids_flex.workflows.journal.write_atomic"):
        monkeypatch.setattr(write, interrupted)
    with pytest.raises(Interrupted):
        Journal(tmp_path).record(Outcome("sub-01_task-rest", "done"))
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]
