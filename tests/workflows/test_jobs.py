"""Rows for every run, whenever a call is stopped."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from bids_flex.workflows import participant


def test_a_run_that_was_just_being_started_has_a_row_as_well(monkeypatch, tmp_path):
    def stop(_context, job, *_rest):
        raise KeyboardInterrupt(job.run.name)

    monkeypatch.setattr(participant, "_start", stop)
    jobs = [SimpleNamespace(run=SimpleNamespace(name=name)) for name in ("sub-01", "sub-02", "sub-03")]
    rows = []
    with pytest.raises(KeyboardInterrupt, match="sub-01"):
        participant.run_jobs(
            jobs,
            parallel=1,
            threads=1,
            work_dir=tmp_path,
            crash_dir=tmp_path,
            report=rows.append,
            at=lambda _run, _stage: None,
            check=lambda: None,
        )
    assert [(row.run, row.state) for row in rows] == [(f"sub-0{n}", "interrupted") for n in (1, 2, 3)]
