"""Processes of the participant level that are killed, interrupted or stopped."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from .conftest import LEAN, command, participant, status


def children(pid):
    """Processes whose parent is ``pid``."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, parent = stat.parent.name, stat.read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        if int(parent) == pid:
            found.append(int(name))
    return found


def is_forked(pid):
    """Whether a process is the fork server's copy; what libraries start while they are imported has another name."""
    try:
        return b"forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def runs_in_work(app):
    """Processes that analyse a run: the grandchildren of the app, forked by its server."""
    found = [grandchild for child in children(app.pid) for grandchild in children(child)]
    time.sleep(0.03)
    return [pid for pid in found if is_forked(pid)]


def start(study, out, *options, **process):
    words = command(study.root, out, "participant", "--atlas", study.atlas, *LEAN, *options)
    app = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, **process)
    until = time.monotonic() + 60
    working = []
    while not working and time.monotonic() < until:
        time.sleep(0.01)
        working = runs_in_work(app)
    assert working
    return app, working


def test_a_killed_child_is_a_row_and_the_others_go_on(study, tmp_path):
    app, working = start(study, tmp_path, "--nprocs", "1")
    os.kill(working[0], signal.SIGKILL)
    assert app.wait(120) == 1
    rows = status(tmp_path)
    assert (rows["state"] == "done").sum() == 5
    (reason,) = rows.loc[rows["state"] == "failed", "reason"]
    assert reason.startswith("its process was killed by SIGKILL: likely out of memory")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_it_stops_at_once_and_says_so(study, tmp_path, hearing, number, code):
    app, working = start(study, tmp_path, "--nprocs", "1", preexec_fn=hearing)
    app.send_signal(number)
    assert app.wait(5) == code
    assert f"exit code {code}" in app.stderr.read().splitlines()[-1]
    assert "interrupted" in set(status(tmp_path)["state"])
    assert len(status(tmp_path)) == 6
    time.sleep(0.2)
    assert not [pid for pid in working if Path(f"/proc/{pid}").exists()]
    # whatever was finished before is whole, and the next call does the rest
    assert participant(study, tmp_path).code == 0


def test_stop_on_first_crash_starts_no_more(study, tmp_path):
    spoilt = type(study)(tmp_path / "bids")
    shutil.copytree(study.root, spoilt.root)
    confounds = next(spoilt.func("01").glob("*timeseries.tsv"))
    confounds.write_text("\n".join(confounds.read_text().splitlines()[:-5]) + "\n")
    assert participant(spoilt, tmp_path / "out", "--nprocs", "1", "--stop-on-first-crash").code == 1
    assert status(tmp_path / "out")["state"].tolist() == ["failed"] + ["skipped"] * 5
