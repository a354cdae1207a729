"""A tiny study, and calls whose file operations fail, kill or hang (fault.c)."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from bids_flex.bids.check import check_outputs
from bids_flex.bids.outputs import TEMPORARY

from .conftest import Call, Study, command, tree

TINY = {"duration_s": 240.0, "voxel_mm": 12.0, "regions": 14, "motion": 0.2}
LEANEST = ["--denoise", "none", "--n-surrogates", "0", "--restarts", "2", "--no-reports"]
WRITES = ",open,write,fsync,rename,"
NEVER = 10**9


@cache
def shim() -> Path:
    """Compile fault.c once for all tests of this process."""
    if (compiler := shutil.which("gcc") or shutil.which("cc")) is None:
        pytest.skip("needs a C compiler")
    source = Path(__file__).with_name("fault.c")
    library = Path(tempfile.mkdtemp(prefix="fault-")) / "fault.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


@dataclass(frozen=True)
class Fault:
    """What is to strike: see fault.c."""

    under: Path
    do: str
    calls: str = WRITES
    at: int = 1
    only: bool = True
    child: bool = False

    def environment(self, counter: Path) -> dict[str, str]:
        counter.write_bytes(bytes(8))
        told = {"UNDER": self.under, "CALLS": self.calls, "AT": self.at, "DO": self.do, "COUNTER": counter}
        told |= {"ONLY": 1} if self.only else {}
        told |= {"WHO": "child"} if self.child else {}
        return {"LD_PRELOAD": str(shim()), **{f"FAULT_{name}": str(value) for name, value in told.items()}}


def words(study: Study, out: Path, *options: object) -> list[str]:
    return command(study.root, out, "participant", "--atlas", study.atlas, *LEANEST, *options)


def _hear_interrupts() -> None:
    """Let the call hear Ctrl-C, even when the tests were started in the background, deaf to it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(study: Study, out: Path, *options: object, **environment: str) -> subprocess.Popen[str]:
    """Start a call as the leader of a session of its own."""
    return subprocess.Popen(
        words(study, out, *options),
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
        preexec_fn=_hear_interrupts,  # noqa: PLW1509 - no threads here
    )


def end(process: subprocess.Popen[str], seconds: float = 100) -> Call:
    """Wait for a call; one that hangs is ended with all its children, and fails the test."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        pytest.fail(f"no end after {seconds} s; it had said:\n{err}")
    return Call(process.returncode, out, err)


def struck(study: Study, out: Path, fault: Fault, *options: object) -> tuple[Call, int]:
    """Call the app under a fault; give also how many operations might have been struck."""
    counter = out.parent / "counter"
    call = end(start(study, out, *options, **fault.environment(counter)))
    return call, int.from_bytes(counter.read_bytes(), "little")


def undisturbed_tree(study: Study, out: Path, *options: object) -> tuple[dict[str, bytes], int]:
    """What the same call leaves when nothing strikes it, and how many writing operations it takes."""
    call, operations = struck(study, out, Fault(out, "errno 5", at=NEVER), *options)
    assert call.code == 0, call.err
    return tree(out), operations


def rerun(study: Study, out: Path, *options: object) -> Call:
    return end(start(study, out, *options))


def sound(out: Path) -> list[str]:
    """What is wrong with files that are there; those that are missing are no fault of a call that was stopped."""
    if not (out / "dataset_description.json").exists():
        return [str(path) for path in out.glob("sub-*/func/*") if not path.name.startswith(TEMPORARY)]
    return [fault for fault in check_outputs(out)[1] if not fault.endswith("is missing")]


def recovered(study: Study, out: Path, undisturbed: dict[str, bytes], *options: object) -> dict[str, bytes]:
    """Call again, and give the tree; every file that was there before that must have been whole."""
    assert sound(out) == []
    there = {name: content for name, content in tree(out).items() if TEMPORARY not in name}
    assert [name for name, content in there.items() if undisturbed.get(name) != content] == []
    again = rerun(study, out, *options)
    assert again.code == 0, again.err
    assert [*out.rglob(f"{TEMPORARY}*")] == []
    return tree(out)


@contextlib.contextmanager
def small_disk(folder: Path, size: str):
    """Mount a file system of some size; needs root."""
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], check=False).returncode:
        pytest.skip("needs root, to mount a small file system")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def gone(session: int, seconds: float = 5) -> bool:
    """Whether every process of a session ends in time; one that is only waited for has ended."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not any(_is_of(entry, session) for entry in Path("/proc").glob("[0-9]*")):
            return True
        time.sleep(0.02)
    return False


def _is_of(entry: Path, session: int) -> bool:
    try:
        state, _parent, _group, its = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
    except OSError:
        return False
    return int(its) == session and state != "Z"
