"""Whole output folders, participants and groups, before the validator of BIDS and before our own check."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bids_flex.bids.check import check_outputs
from bids_flex.check_cli import main

from .conftest import bids_flex


def errors(out):
    """What the validator calls an error."""
    tool = Path(sys.executable).with_name("bids-validator-deno")
    found = subprocess.run([tool, out, "--json"], capture_output=True, text=True, check=False)
    issues = json.loads(found.stdout)["issues"]["issues"]
    return [(issue["code"], issue.get("location")) for issue in issues if issue["severity"] == "error"]


def test_the_tree_of_a_group_is_valid_and_whole(study, done, tmp_path):
    out = shutil.copytree(done, tmp_path / "out")
    words = ["--groups", "antidepressant", "--covariates", "age", "--n-permutations", "99", "--no-reports"]
    assert bids_flex(study.root, out, "group", *words).code == 0
    # pages take long to make: the names alone are what the validator sees
    for name in ("sub-01.html", "group.html"):
        (out / name).write_text("<!doctype html>")
    assert errors(out) == []
    tables, faults = check_outputs(out)
    assert faults == []
    assert tables == len([*out.rglob("*.tsv")])
    assert len([*out.glob("group/*.tsv")]) > 15
    (out / "unheard_of.txt").write_text("x")
    assert errors(out) == [("NOT_INCLUDED", "/unheard_of.txt")]


@pytest.mark.slow
def test_the_tree_with_all_pages_is_valid_and_whole(study, done, tmp_path):
    out = shutil.copytree(done, tmp_path / "out")
    assert bids_flex(study.root, out, "group", "--groups", "antidepressant", "--n-permutations", "99").code == 0
    assert bids_flex(study.root, out, "participant", "--reports-only").code == 0
    assert len([*out.glob("*.html")]) == 7
    assert errors(out) == []
    assert main([str(out)]) == 0
