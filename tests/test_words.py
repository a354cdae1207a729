"""Numbers before nouns, and names that are almost right."""

import re
from pathlib import Path

import pytest

from bids_flex.words import counted, did_you_mean

PLURAL = re.compile(r"%d (?:runs|participants|pages|universes)\b|\{len\([^}]*\)\} (?:runs|participants|pages)\b")


@pytest.mark.parametrize(
    ("number", "nouns", "told"),
    [
        (1, ("window",), "1 window"),
        (0, ("window",), "0 windows"),
        (1, ("analysis", "analyses"), "1 analysis"),
        (2, ("analysis", "analyses"), "2 analyses"),
    ],
)
def test_one_is_singular(number, nouns, told):
    assert counted(number, *nouns) == told


def test_messages_count_runs_and_people_by_that_rule():
    """ "1 runs of 1 participants collected" was the first line that a new user's trial printed."""
    package = Path(__file__).parents[1] / "bids_flex"
    found = [f"{path.name}: {text}" for path in package.rglob("*.py") for text in PLURAL.findall(path.read_text())]
    assert not found


@pytest.mark.parametrize(
    ("name", "there", "told"),
    [
        ("Sex", ["age", "sex"], "did you mean sex? there are age, sex"),
        ("zzz", ["age", "sex"], "there are age, sex"),
        ("zzz", [], "there are none"),
        ("c07", [f"c{n}" for n in range(25)], "did you mean c7 or c0 or c20? there are c0, c1"),
        ("zzz", [f"c{n}" for n in range(25)], "and 5 more"),
    ],
)
def test_a_misspelt_name_has_neighbours(name, there, told):
    assert told in did_you_mean(name, there)
