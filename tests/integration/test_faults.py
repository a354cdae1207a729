"""Disks that fill, fail, hang or vanish, processes that are killed, clocks that jump: clear words, and nothing lost."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from bids_flex.bids.check import check_outputs

from .conftest import Study, make_study, status, tree
from .faults import (
    TINY,
    Fault,
    end,
    gone,
    recovered,
    rerun,
    shim,
    small_disk,
    sound,
    start,
    struck,
    undisturbed_tree,
    words,
)

FIRST, SECOND = (f"sub-0{number}_task-rest_space-MNI152NLin2009cAsym" for number in (1, 2))
CLEAR = {1, 65, 66, 73}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("tiny") / "bids", participants=2, seed=3, **TINY)


@pytest.fixture(scope="module")
def undisturbed(tiny, tmp_path_factory):
    return undisturbed_tree(tiny, tmp_path_factory.mktemp("undisturbed") / "out")


def refused(study, out, undisturbed, fault):
    """Meet a fault of the output folder, which must be told, and give the tree of a call once it is gone."""
    call, _ = struck(study, out, fault)
    assert "Traceback" not in call.err
    # 0: what failed is written anew when nothing depends on it, such as a line of the log
    assert call.code in CLEAR | {0}, call.err
    if call.code:
        assert any(word in call.err for word in ("No space left", "Input/output error", "is not writable")), call.err
    else:
        assert tree(out) == undisturbed
    return recovered(study, out, undisturbed)


@pytest.mark.slow
def test_a_disk_that_fills_while_results_are_written_is_told_and_costs_nothing(tiny, undisturbed, tmp_path):
    before, operations = undisturbed
    out = tmp_path / "out"
    assert refused(tiny, out, before, Fault(out, f"errno {errno.ENOSPC}", at=operations // 2, only=False)) == before


@pytest.mark.slow
@pytest.mark.parametrize("only", [True, False], ids=["once", "from then on"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("part", range(5))
def test_a_disk_that_fails_at_any_write_is_told_and_costs_nothing(tiny, undisturbed, tmp_path, part, number, only):
    before, operations = undisturbed
    for at in range(1 + part, operations + 1, 25):
        (tmp_path / str(at)).mkdir()
        out = tmp_path / str(at) / "out"
        assert refused(tiny, out, before, Fault(out, f"errno {number}", at=at, only=only)) == before


@pytest.mark.slow
@pytest.mark.parametrize("size", ["16k", "64k", "128k", "256k", "320k", "384k"])
def test_a_small_disk_is_told_and_what_is_there_is_whole(tiny, undisturbed, tmp_path, size):
    with small_disk(tmp_path / "disk", size):
        call = rerun(tiny, tmp_path / "disk" / "out")
        assert "Traceback" not in call.err
        assert call.code in {1, 73}
        assert "No space left" in call.err
        assert sound(tmp_path / "disk" / "out") == []
        shutil.copytree(tmp_path / "disk" / "out", tmp_path / "out")
    assert recovered(tiny, tmp_path / "out", undisturbed[0]) == undisturbed[0]


@pytest.mark.slow
@pytest.mark.parametrize("child", [True, False])
@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_input_that_cannot_be_read_fails_its_own_run_and_no_other(tiny, undisturbed, tmp_path, at, child):
    out = tmp_path / "out"
    fault = Fault(tiny.func("02"), f"errno {errno.EIO}", ",read,", at=at, only=False, child=child)
    call, _ = struck(tiny, out, fault)
    others_go_on(call, out, undisturbed[0], "cannot be read")
    assert recovered(tiny, out, undisturbed[0]) == undisturbed[0]


def others_go_on(call, out, before, why):
    """Participant 02 has failed for some reason, and 01 has what it always has."""
    assert call.code == 1, call.err
    assert "Traceback" not in call.err
    rows = status(out)
    assert rows.loc[FIRST, "state"] == "done"
    failed = rows[rows.index.str.startswith("sub-02")]
    assert list(failed["state"]) == ["failed"]
    assert why in failed["reason"].iloc[0]
    assert [name for name in before if name.startswith("sub-01") and before[name] != tree(out)[name]] == []
    assert check_outputs(out)[1] == []


def test_a_run_whose_process_the_system_kills_fails_alone(tiny, undisturbed, tmp_path):
    fault = Fault(tiny.func("02"), f"self {int(signal.SIGKILL)}", ",read,", child=True)
    call, _ = struck(tiny, tmp_path / "out", fault)
    others_go_on(call, tmp_path / "out", undisturbed[0], "killed by SIGKILL: likely out of memory")
    assert recovered(tiny, tmp_path / "out", undisturbed[0]) == undisturbed[0]


@pytest.mark.slow
@pytest.mark.parametrize("at", [1, 5, 20, 60])
def test_a_run_whose_process_is_killed_while_it_writes_fails_alone(tiny, undisturbed, tmp_path, at):
    out = tmp_path / "out"
    call, _ = struck(tiny, out, Fault(out / "sub-02", f"self {int(signal.SIGKILL)}", at=at, child=True))
    assert call.code == 1, call.err
    assert status(out).loc[FIRST, "state"] == "done"
    assert "killed by SIGKILL" in status(out).loc[SECOND, "reason"]
    assert recovered(tiny, out, undisturbed[0]) == undisturbed[0]


@pytest.mark.slow
@pytest.mark.parametrize("at", range(1, 9))
def test_input_that_vanishes_fails_its_own_run_and_no_other(tiny, undisturbed, tmp_path, at):
    study = Study(tmp_path / "bids")
    shutil.copytree(tiny.root, study.root)
    folder = study.func("02")
    fault = Fault(folder, f"move {tmp_path / 'gone'}", ",look,read,", at=at, child=at > 4)
    call, operations = struck(study, tmp_path / "out", fault)
    assert operations >= at
    others = {name: content for name, content in undisturbed[0].items() if name.startswith("sub-01/func")}
    tables = {name: content for name, content in others.items() if name.endswith(".tsv")}
    assert "Traceback" not in call.err
    # what was open stays readable: then the run may end well
    assert call.code in {0, 1}, call.err
    assert status(tmp_path / "out").loc[FIRST, "state"] == "done"
    assert {name: tree(tmp_path / "out")[name] for name in tables} == tables
    assert check_outputs(tmp_path / "out")[1] == []
    if call.code:
        assert "02" in str(status(tmp_path / "out").query("state == 'failed'")["reason"].iloc[0])


@pytest.mark.slow
def test_input_on_a_read_only_disk_is_enough(tiny, undisturbed, tmp_path):
    mounted = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0"'
    script = f'{mounted}; touch "$0/x" 2>/dev/null && exit 9; exec "$@"'
    inside = ["unshare", "-m", "sh", "-c", script, str(tiny.root)]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*inside, "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("needs root, to mount a folder read-only")
    out = tmp_path / "out"
    done = subprocess.run([*inside, *words(tiny, out)], capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    assert tree(out) == undisturbed[0]


@pytest.mark.slow
def test_a_clock_that_runs_backwards_changes_nothing(tiny, undisturbed, tmp_path):
    out = tmp_path / "out"
    call = end(start(tiny, out, LD_PRELOAD=str(shim()), FAULT_CLOCK="3600"))
    assert call.code == 0, call.err
    assert tree(out) == undisturbed[0]
    assert (status(out)["seconds"].astype(float) >= 0).all()
    assert rerun(tiny, out).code == 0
    assert set(status(out)["state"]) == {"skipped"}


def switches(pid):
    """How often a process has gone to sleep."""
    with Path(f"/proc/{pid}/status").open() as file:
        return next(int(line.split()[1]) for line in file if line.startswith("voluntary_ctxt_switches"))


@pytest.mark.slow
def test_while_a_disk_hangs_the_call_sleeps_and_goes_on_when_it_is_back(tiny, undisturbed, tmp_path):
    out, hold = tmp_path / "out", tmp_path / "hold"
    hold.touch()
    fault = Fault(tiny.root / "derivatives" / "fmriprep", f"hang {hold}", ",read,", only=False, child=True)
    counter = tmp_path / "counter"
    process = start(tiny, out, "--nprocs", "2", **fault.environment(counter))
    until = time.monotonic() + 60
    while int.from_bytes(counter.read_bytes(), "little") < 2 and time.monotonic() < until:
        time.sleep(0.05)
    assert int.from_bytes(counter.read_bytes(), "little") == 2
    time.sleep(0.5)
    asleep = switches(process.pid)
    time.sleep(2)
    woken = switches(process.pid) - asleep
    hold.unlink()
    assert end(process).code == 0
    assert tree(out) == undisturbed[0]
    # one that looked ten times a second would have been woken twenty times
    assert woken < 5


@pytest.mark.slow
def test_a_call_whose_disk_hangs_ends_when_it_is_asked_to(tiny, tmp_path):
    hold = tmp_path / "hold"
    hold.touch()
    fault = Fault(tiny.func("02"), f"hang {hold}", ",read,", child=True)
    counter = tmp_path / "counter"
    process = start(tiny, tmp_path / "out", **fault.environment(counter))
    until = time.monotonic() + 60
    while not any(counter.read_bytes()) and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert end(process, seconds=5).code == 143
    assert gone(process.pid)
    assert status(tmp_path / "out").loc[SECOND, "state"] == "interrupted"


@pytest.mark.slow
def test_a_run_that_needs_more_memory_than_there_is_fails_alone(tiny, undisturbed, tmp_path):
    study = Study(tmp_path / "bids")
    shutil.copytree(tiny.root, study.root)
    swell(study.func("02"))
    limit = 5 * 2**29
    process = subprocess.Popen(
        words(study, tmp_path / "out", "--nprocs", "1"),
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),  # noqa: PLW1509 - no threads here
    )
    call = end(process)
    assert call.code == 1, call.err
    assert "Traceback" not in call.err
    rows = status(tmp_path / "out")
    assert rows.loc[FIRST, "state"] == "done"
    assert "memory" in rows.loc[SECOND, "reason"]
    assert "; see " not in rows.loc[SECOND, "reason"]


def swell(folder):
    """Make a run's images so large that one volume, all zeros, is a gigabyte."""
    import gzip

    import nibabel as nib

    bold = next(folder.glob("*_desc-preproc_bold.nii.gz"))
    header = nib.load(bold).header.copy()
    header.set_data_dtype("f8")
    header.set_data_shape((500, 500, 500, header.get_data_shape()[3]))
    plain = bold.with_suffix("")
    with plain.open("wb") as file:
        header.write_to(file)
        file.truncate(352 + 500 * 500 * 500 * 8 * header.get_data_shape()[3])
    bold.unlink()
    mask = next(folder.glob("*_desc-brain_mask.nii.gz"))
    header = nib.load(mask).header.copy()
    header.set_data_shape((500, 500, 500))
    with gzip.open(mask, "wb", 1) as file:
        file.write(header.binaryblock + bytes(4))
        for _ in range(500):
            file.write(b"\x01" * (500 * 500))
