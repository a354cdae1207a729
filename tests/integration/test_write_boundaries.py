"""A call killed before each single operation by which it writes."""

from __future__ import annotations

import signal

import pytest

from .conftest import make_study, status
from .faults import TINY, Fault, end, gone, recovered, start, struck, undisturbed_tree

ONE = ("--participant-label", "01", "--nprocs", "1")
BEFORE_THE_LOG = 10
"""Operations before a call's log is open."""

CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("tiny") / "bids", participants=1, seed=3, **TINY)


@pytest.fixture(scope="module")
def undisturbed(tiny, tmp_path_factory):
    return undisturbed_tree(tiny, tmp_path_factory.mktemp("undisturbed") / "out", *ONE)


def killed_at(study, out, undisturbed, at):
    call, _ = struck(study, out, Fault(out, f"all {int(signal.SIGKILL)}", at=at), *ONE)
    assert call.code == -signal.SIGKILL
    return recovered(study, out, undisturbed, *ONE)


def asked_at(study, out, undisturbed, at, number):
    process = start(study, out, *ONE, **Fault(out, f"main {int(number)}", at=at).environment(out.parent / "counter"))
    call = end(process)
    assert gone(process.pid)
    # 0: it was asked after its last result, while it wrote its last words
    assert call.code in {CODES[number], 0}, call.err
    assert "Traceback" not in call.err
    if [*out.glob("logs/*/status.tsv")]:
        assert set(status(out)["state"]) <= {"interrupted", "done"}
    return recovered(study, out, undisturbed, *ONE)


@pytest.mark.parametrize("at", [5])
def test_killed_before_it_writes_a_file_a_rerun_gives_the_undisturbed_tree(tiny, undisturbed, tmp_path, at):
    out = tmp_path / "out"
    fault = Fault(out / "sub-01", f"all {int(signal.SIGKILL)}", ",write,", at=at)
    assert struck(tiny, out, fault, *ONE)[0].code == -signal.SIGKILL
    assert recovered(tiny, out, undisturbed[0], *ONE) == undisturbed[0]


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_killed_at_every_write_boundary_a_rerun_gives_the_undisturbed_tree(tiny, undisturbed, tmp_path, part):
    before, operations = undisturbed
    for at in range(1 + part, operations + 1, 10):
        (tmp_path / str(at)).mkdir()
        assert killed_at(tiny, tmp_path / str(at) / "out", before, at) == before


@pytest.mark.slow
@pytest.mark.parametrize("number", CODES)
@pytest.mark.parametrize("part", range(10))
def test_asked_to_stop_at_a_write_boundary_it_says_so_and_a_rerun_gives_the_undisturbed_tree(
    tiny, undisturbed, tmp_path, part, number
):
    before, operations = undisturbed
    for at in range(BEFORE_THE_LOG + 1 + part, operations + 1, 50):
        (tmp_path / str(at)).mkdir()
        assert asked_at(tiny, tmp_path / str(at) / "out", before, at, number) == before


@pytest.mark.slow
@pytest.mark.parametrize("number", CODES)
@pytest.mark.parametrize("at", [1, 5, BEFORE_THE_LOG])
def test_asked_to_stop_before_its_log_is_open_it_says_so(tiny, undisturbed, tmp_path, at, number):
    assert asked_at(tiny, tmp_path / "out", undisturbed[0], at, number) == undisturbed[0]
