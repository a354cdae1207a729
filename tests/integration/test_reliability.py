"""Attacks on a call: killed while it writes, and watched for what it asks of the network."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from bids_flex.bids.check import check_outputs
from bids_flex.cli import parse_config
from bids_flex.workflows.app import make_jobs

from .conftest import LEAN, command, participant, status, tree


def call(study, out):
    words = ["--atlas", study.atlas, *LEAN, "--participant-label", "01", "--nprocs", "1"]
    return command(study.root, out, "participant", *words)


def parse(study, folder):
    words = [study.root, folder / "out", "participant", "--atlas", study.atlas, *LEAN, "--participant-label", "01"]
    return parse_config([str(word) for word in words])


def leftovers(out):
    """Leave what a killed write leaves: its temporary file."""
    for folder in (out, next(out.glob("sub-*/func"))):
        (folder / ".bids_flex-left").write_text("half")


def in_session(session):
    """Processes of a session that are not yet gone."""
    alive = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state, _parent, _group, its_session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(its_session) == session and state != "Z":
            alive.append(int(entry.name))
    return alive


def within(seconds, holds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.005)
    return False


@pytest.mark.parametrize("files", [1, 8, 15])
def test_killed_while_it_writes_a_rerun_gives_the_undisturbed_tree(study, done, tmp_path, files):
    out = tmp_path / "out"
    process = subprocess.Popen(call(study, out), start_new_session=True, stderr=subprocess.DEVNULL)
    assert within(120, lambda: len([*out.glob("sub-*/func/sub-*")]) >= files or process.poll() is not None)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    leftovers(out)
    left = within(5, lambda: not in_session(process.pid))
    for one in in_session(process.pid):
        os.kill(one, signal.SIGKILL)
    assert left, "orphan processes five seconds after SIGKILL"
    # a table may still wait for its dictionary; whatever has both is sound
    halves = [fault for fault in check_outputs(out)[1] if not fault.endswith("is missing")]
    assert halves == []
    assert participant(study, out, "--participant-label", "01").code == 0
    assert check_outputs(out)[1] == []
    undisturbed = {name: content for name, content in tree(done).items() if name.startswith("sub-01")}
    assert {name: content for name, content in tree(out).items() if name.startswith("sub-01")} == undisturbed
    assert [*out.rglob(".bids_flex-*")] == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_asked_to_stop_while_it_writes_it_ends_in_five_seconds(study, tmp_path, number, code):
    out = tmp_path / "out"
    process = subprocess.Popen(call(study, out), start_new_session=True, stderr=subprocess.DEVNULL)
    assert within(120, lambda: len([*out.glob("sub-*/func/sub-*")]) >= 3 or process.poll() is not None)
    process.send_signal(number)
    assert process.wait(timeout=5) == code
    assert within(5, lambda: not in_session(process.pid))
    assert set(status(out)["state"]) == {"interrupted"}
    assert [fault for fault in check_outputs(out)[1] if not fault.endswith("is missing")] == []


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(40))
def test_killed_at_a_random_moment_a_rerun_gives_the_undisturbed_tree(study, done, tmp_path, attempt):
    number = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)[attempt % 3]
    out = tmp_path / "out"
    process = subprocess.Popen(call(study, out), start_new_session=True, stderr=subprocess.PIPE, text=True)
    time.sleep(random.Random(attempt).uniform(0, 6))
    process.send_signal(number)
    said = process.communicate(timeout=5)[1]
    told = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 143, signal.SIGINT: 130}[number]
    # 0: it had finished before its moment came; -N: Python had not come to the app's first line (N + 128 in a shell)
    assert process.returncode in ({0, told} if out.exists() else {told, -number, 1}), said
    assert within(5, lambda: not in_session(process.pid))
    if (out / "dataset_description.json").exists():
        assert [fault for fault in check_outputs(out)[1] if not fault.endswith("is missing")] == []
    assert participant(study, out, "--participant-label", "01").code == 0
    assert check_outputs(out)[1] == []
    undisturbed = {name: content for name, content in tree(done).items() if name.startswith("sub-01")}
    assert {name: content for name, content in tree(out).items() if name.startswith("sub-01")} == undisturbed
    assert [*out.rglob(".bids_flex-*")] == []


@pytest.mark.parametrize("part", ["sub-01", "logs"])
def test_a_linked_part_of_the_output_folder_is_refused_and_nothing_lies_behind_the_link(study, tmp_path, part):
    (tmp_path / "out").mkdir()
    (tmp_path / "victim").mkdir()
    (tmp_path / "out" / part).symlink_to(tmp_path / "victim")
    told = participant(study, tmp_path / "out", "--participant-label", "01")
    assert told.code in {1, 73}
    assert "is a link that leads out of" in told.err
    assert [path for path in (tmp_path / "victim").rglob("*") if path.is_file()] == []


def test_an_existing_work_folder_of_a_run_becomes_private(study, tmp_path):
    names = [one.name for one in make_jobs(parse(study, tmp_path))[1].usable]
    for name in names:
        (tmp_path / "work" / name).mkdir(parents=True, mode=0o777)
        (tmp_path / "work" / name).chmod(0o777)
    assert participant(study, tmp_path / "out", "--participant-label", "01", "--work-dir", tmp_path / "work").code == 0
    kept = [(tmp_path / "work" / name).stat().st_mode & 0o777 for name in [*names, "nipype"]]
    assert kept == [0o700] * len(kept)


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_a_call_never_reaches_for_the_internet(study, tmp_path):
    trace = tmp_path / "trace"
    watched = ["strace", "-f", "-qq", "-e", "trace=network", "-o", trace, *call(study, tmp_path / "out")]
    assert subprocess.run(watched, capture_output=True, check=False, timeout=250).returncode == 0
    lines = trace.read_text().splitlines()
    assert any("AF_UNIX" in line for line in lines)
    # a library binds a socket to ::1 when it is imported, to learn whether there is IPv6; nothing leaves by that
    reached = [line for line in lines if "AF_INET" in line and "socket(" not in line and "::1" not in line]
    assert reached == []
    assert not [line for line in lines if "connect(" in line and "AF_UNIX" not in line]
