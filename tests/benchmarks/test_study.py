"""The study in small: 30 people, 19 surrogates, held against what was planted; twice with the same tables."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "study.py"


def run(folder, pages):
    options = ["--participants", "30", "--surrogates", "19", "--restarts", "10", "--permutations", "500"]
    subprocess.run([sys.executable, SCRIPT, "--folder", folder, "--pages", pages, *options], check=True, timeout=1800)
    return {path.name: path.read_bytes() for path in pages.iterdir()}


@pytest.mark.slow
def test_thirty_people_twice(tmp_path):
    first = run(tmp_path / "one", tmp_path / "pages")
    assert set(first) == {"index.md", "findings.tsv", "medication.tsv", "sensitivity.tsv", "measures.svg"}
    # interrupted: one person and the models are missing
    out = tmp_path / "one" / "out"
    for path in [*out.rglob("sub-07*_dynamics.json"), *(out / "group").glob("model-*")]:
        path.unlink()
    assert run(tmp_path / "one", tmp_path / "pages") == first
    # from nothing, in another folder
    assert run(tmp_path / "two", tmp_path / "more") == first
    table = pd.read_csv(tmp_path / "pages" / "findings.tsv", sep="\t")
    found = table.set_index("question")
    assert len(found) == 18
    # the sensorimotor regions of 7 users leave home twice as often as those of 15 non-users
    planted = found.loc["users above non-users: sensorimotor flexibility"]
    assert float(planted["truth"].split()[1]) > 0.4
    # the measure follows the truth: effect sizes of the planted contrasts have its sign and about its size
    for row in table[table["planted"] == "yes"].itertuples():
        assert float(row.found.split()[1]) == pytest.approx(float(row.truth.split()[1]), abs=0.6)
