"""Many participants in one call, each with one file spoilt in its own way, and healthy ones between them."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from bids_flex.bids.check import check_outputs

from .conftest import Study, bids_flex, make_study, status, tree
from .corruptions import all_corruptions
from .faults import TINY

if TYPE_CHECKING:
    from pathlib import Path

STRATEGY = 'name = "few"\nmotion = "basic"\ncompcor_components = 1\n'
HEALTHY = ("first", "zlast")


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("template") / "bids", participants=1, seed=3, **TINY)


def add(study: Study, template: Study, label: str) -> Path:
    """Add a participant who is a copy of the template's only one."""
    folder = study.func(label)
    folder.mkdir(parents=True)
    for path in template.func("01").iterdir():
        shutil.copyfile(path, folder / path.name.replace("sub-01", f"sub-{label}"))
    return folder


def spoilt(template: Study, root: Path, corruptions) -> tuple[Study, dict[str, str]]:
    """Make a study of one participant for each corruption; give the file that was spoilt, by label."""
    study = Study(root)
    without = shutil.ignore_patterns("sub-*", "truth")
    shutil.copytree(template.root, root, ignore=without)
    for label in HEALTHY:
        add(study, template, label)
    named = {}
    for number, corruption in enumerate(corruptions):
        label = f"m{number:03}"
        named[label] = corruption.apply(add(study, template, label)).name
    return study, named


def unnumbered(out, label):
    """Tables of a participant whose numbers do not depend on the label, as those of random searches do."""
    return {
        name.replace(f"sub-{label}", "sub-X"): content
        for name, content in tree(out).items()
        if name.startswith(f"sub-{label}/") and name.endswith(".tsv") and "multilayer" not in name
    }


def attack(template, folder, corruptions):
    """Analyse everybody in one call, and hold what it said against what was promised."""
    study, named = spoilt(template, folder / "bids", corruptions)
    (folder / "few.toml").write_text(STRATEGY)
    words = ["--n-surrogates", "0", "--restarts", "1", "--no-reports", "--denoise", folder / "few.toml"]
    call = bids_flex(study.root, folder / "out", "participant", "--atlas", study.atlas, *words)
    assert call.code == 1, call.err
    assert "Traceback" not in call.err + call.out
    rows = status(folder / "out")
    by_label = {name.split("_")[0].removeprefix("sub-"): row for name, row in rows.iterrows()}
    assert set(by_label) == {*HEALTHY, *named}
    assert {by_label[label]["state"] for label in HEALTHY} == {"done"}
    told = {label: row["reason"] for label, row in by_label.items() if row["state"] == "failed"}
    assert set(rows["state"]) <= {"done", "failed"}
    # what was not foreseen is told with the place of its traceback
    unforeseen = {corruptions[int(label[1:])]: why for label, why in told.items() if "; see " in why}
    assert unforeseen == {}
    assert check_outputs(folder / "out")[1] == []
    first, last = (unnumbered(folder / "out", label) for label in HEALTHY)
    assert len(first) >= 8
    assert first == last
    return told, named


# what is wrong with the whole of a run is told of the run
OF_THE_RUN = ("no region of", "every volume is censored", "there is a confounds table, but no preprocessed image")


def unnamed(told, named):
    """Reasons that name neither the file that was spoilt, nor one that could not be told from it."""
    return {
        label: why
        for label, why in told.items()
        if named[label].split(".")[0] not in why and not why.startswith(OF_THE_RUN) and f"sub-{label}" not in why
    }


def test_a_spoilt_file_is_an_error_of_its_own_run_alone(template, tmp_path):
    told, named = attack(template, tmp_path, all_corruptions()[::40])
    assert len(told) >= 3
    assert unnamed(told, named) == {}


@pytest.mark.slow
def test_two_hundred_kinds_of_spoilt_files_end_in_named_errors(template, tmp_path):
    corruptions = all_corruptions()
    assert len(corruptions) >= 200
    told, named = attack(template, tmp_path, corruptions)
    assert len(told) >= 120
    assert unnamed(told, named) == {}
