"""Many calls at once in one output folder: nothing is torn, and each has done its work or says why not."""

from __future__ import annotations

import subprocess

import pytest

from bids_flex.bids.check import check_outputs

from .conftest import command, make_study, tree
from .faults import TINY, end, rerun, start


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("people") / "bids", participants=9, seed=3, **TINY)


@pytest.mark.slow
def test_eight_participants_one_of_them_twice_and_the_group_share_a_folder(people, tmp_path):
    out, alone = tmp_path / "out", tmp_path / "alone"
    first = rerun(people, alone)
    assert first.code == 0, first.err
    # the group needs somebody to compare while the others are at work
    assert rerun(people, out, "--participant-label", "09").code == 0
    labels = [*(f"0{number}" for number in range(1, 9)), "08"]
    calls = [start(people, out, "--participant-label", label, "--nprocs", "1") for label in labels]
    groups = [group(people, out)]
    told = [end(call, seconds=280) for call in calls]
    groups.append(group(people, out))
    assert [call.code for call in told] == [0] * 9, [call.err for call in told if call.code]
    for call in groups:
        done = end(call, seconds=100)
        assert "Traceback" not in done.err
        # told clearly: too few people yet, or a participant whose files were just being written
        assert done.code == 0 or (done.code in {1, 2, 18, 65} and f"exit code {done.code}" in done.err), done.err
    assert check_outputs(out)[1] == []
    assert [*out.rglob(".bids_flex-*")] == []
    everything = {name: content for name, content in tree(out).items() if not name.startswith("group")}
    assert everything == tree(alone)
    again = rerun(people, out)
    assert again.code == 0
    assert "9 skipped" in again.err


def group(study, out):
    """Start the group level."""
    return subprocess.Popen(
        command(study.root, out, "group", "--groups", "antidepressant", "--n-permutations", "99", "--no-reports"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
