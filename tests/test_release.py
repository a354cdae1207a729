"""What a release goes through, as far as it can be tried without a registry: the tag, and the steps of CircleCI."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from bids_flex import __version__

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def project(tmp_path):
    """Only what says which version this is: nothing can be built or published there."""
    for name in ("Makefile", "CITATION.cff", "bids_flex/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def make(project, *words):
    # by itself, also when make runs these tests
    alone = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(["make", *words], cwd=project, capture_output=True, text=True, check=False, env=alone)
    return done.returncode, done.stdout


def test_the_tag_of_this_version_is_taken(project):
    assert make(project, "check-tag", f"TAG=v{__version__}") == (0, "")


@pytest.mark.parametrize("target", ["check-tag", "publish-wheels", "publish-image"])
@pytest.mark.parametrize("tag", ["", "v99.0.0", __version__])
def test_another_tag_is_refused_before_anything_is_published(project, target, tag):
    code, told = make(project, target, f"TAG={tag}", "REGISTRY=localhost:9/x")
    assert code == 2
    assert told.startswith(f"Not released: TAG is '{tag}', bids_flex/__init__.py says {__version__} and ")
    assert told.count("\n") == 1


def test_a_citation_of_another_version_is_refused(project):
    text = (project / "CITATION.cff").read_text()
    (project / "CITATION.cff").write_text(text.replace(f"version: {__version__}", "version: 0.0.9"))
    code, told = make(project, "check-tag", f"TAG=v{__version__}")
    assert code == 2
    assert "CITATION.cff 0.0.9" in told


def steps(job, kind):
    """The steps of one kind, of a job or a command."""
    return [step[kind] for step in job["steps"] if isinstance(step, dict) and kind in step]


def test_every_step_of_circleci_is_a_target_of_the_makefile():
    config = yaml.safe_load((ROOT / ".circleci" / "config.yml").read_text())
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    asked = [words for job in config["jobs"].values() for words in steps(job, "run")]
    assert len(asked) >= 15
    assert [words for words in asked if not words.startswith("make ") or words.split()[1] not in targets] == []


def test_two_machines_hand_on_no_file_of_one_name():
    """CircleCI refuses a workspace in which two jobs wrote the same file; names of wheels differ by themselves."""
    config = yaml.safe_load((ROOT / ".circleci" / "config.yml").read_text())
    [kept] = steps(config["jobs"]["image"], "persist_to_workspace")
    assert len(kept["paths"]) == 2
    assert [path for path in kept["paths"] if "<< parameters.arch >>" not in path] == []
