"""The description for Boutiques: valid, up to date, and what a platform makes of it is what the parser reads."""

from __future__ import annotations

import importlib.util
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from bids_flex.cli import parse_config

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "boutiques" / "bids_flex.json"


def bosh(*words: object) -> str:
    """Call the tool of Boutiques, as platforms do."""
    tool = Path(sys.executable).with_name("bosh")
    done = subprocess.run([tool, *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_is_what_the_parser_says_today():
    spec = importlib.util.spec_from_file_location("make_boutiques", ROOT / "docs" / "make_boutiques.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    assert json.loads(FILE.read_text()) == made.descriptor(), "make boutiques"


def test_boutiques_finds_it_valid():
    assert bosh("validate", FILE).strip().endswith("OK")


def test_every_option_of_the_help_is_described():
    flags = {each.get("command-line-flag") for each in json.loads(FILE.read_text())["inputs"]}
    help_text = subprocess.run(
        [Path(sys.executable).with_name("bids_flex"), "--help"], capture_output=True, text=True, check=True
    ).stdout
    shown = {word for line in help_text.splitlines() for word in line.split()[:2] if line.startswith("  -")}
    shown = {word.rstrip(",") for word in shown if word.startswith("--")} - {"--help", "--version"}
    assert len(shown) > 60
    assert shown <= flags


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            {"analysis_level": "group", "groups": ["a b", "c"], "max_mean_fd": 0.3},
            ["--groups", "a b", "c", "--max-mean-fd", "0.3"],
        ),
        (
            {
                "analysis_level": "participant",
                "participant_label": ["01", "02"],
                "gamma": 1.2,
                "force": True,
                "sweep": True,
            },
            ["--participant-label", "01", "02", "--gamma", "1.2", "--force", "--sweep"],
        ),
    ],
)
def test_an_invocation_becomes_the_same_settings(tmp_path, asked, words):
    invocation = tmp_path / "invocation.json"
    invocation.write_text(json.dumps({"bids_dir": "/data", "output_dir": "/out", **asked}))
    line = bosh("exec", "simulate", FILE, "-i", invocation).strip().splitlines()[-1]
    name, *said = shlex.split(line)
    assert name == "bids_flex"
    assert parse_config(said) == parse_config(["/data", "/out", asked["analysis_level"], *words])
