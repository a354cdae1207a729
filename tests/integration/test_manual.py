"""What README and manual tell people to type is typed here; what they link to is there."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bids_flex.cli import parse_config
from bids_flex.simulate import SimulationSettings, simulate_dataset

from .test_sources import NAMES, describe, make_series, save_table

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
README = (ROOT / "README.md").read_text(encoding="utf8")
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PROGRAMS = (
    "make",
    "docker",
    "python3",
    "mkdir",
    "sudo",
    "alias",
    "bids_flex",
    "bids_flex-simulate",
    "bids_flex-atlas",
    "bids_flex-check",
)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
TEXTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
SIZES = {"participants": 9, "regions": 28, "voxel_mm": 10.0, "duration_s": 300.0, "seed": 3}


def fenced(text, language):
    """Lines of all blocks of a language, without comments."""
    lines = [line for kind, block in FENCED.findall(text) if kind == language for line in block.splitlines()]
    return [line for line in (re.sub(r"\s+# .*", "", line) for line in lines) if line.strip()]


def readme_commands():
    """Every command of README: those in blocks, and those between backticks in the text."""
    prose = FENCED.sub("", README)
    inline = [re.sub(r"\s+", " ", one) for one in re.findall(r"`([^`]+)`", prose)]
    spoken = [one for one in inline if " " in one and one.split()[0] in PROGRAMS]
    return fenced(README, "bash") + spoken


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A study with the column that README compares by."""
    root = tmp_path_factory.mktemp("manual") / "study"
    run(["bids_flex-simulate", str(root), *(f"--{name.replace('_', '-')}={size}" for name, size in SIZES.items())])
    people = pd.read_csv(root / "participants.tsv", sep="\t")
    people["diagnosis"] = np.where(people["group"] == "control", "control", "patient")
    people.to_csv(root / "participants.tsv", sep="\t", index=False)
    return root


def run(words, folder=ROOT, **environment):
    """Run a command with our environment's programs first; its output, or a failure that shows it."""
    path = f"{environment.pop('path', '')}:{BIN}:{os.environ['PATH']}"
    done = subprocess.run(
        words, cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, "PATH": path, **environment}
    )
    assert done.returncode == 0, f"{words}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def of_make(target, *settings):
    """What make would do for a target, one command a line."""
    text = run(["make", "-n", "--no-print-directory", f"VENV={BIN.parent}", *settings, target])
    return [line for line in text.replace("\\\n", " ").splitlines() if line.lstrip("@").startswith(f"{BIN}/bids_flex")]


def test_every_command_of_readme_is_known_here():
    """A command that nobody has tried does not get into README."""
    known = (r"make (demo|test|image|docs)", r"alias bids_flex=.*", r"bids_flex /data /out (participant|group) .*")
    known += (
        r"mkdir -p /my/out",
        r"mkdir -p /my/study && docker run .* bids_flex-simulate bids_flex /study",
        r"python3 -m venv ~/bids_flex && ~/bids_flex/bin/pip install \.",
        r"bids_flex-atlas list",
        r"bids_flex --help",
    )
    known += (r"sudo apt-get install -y git make g\+\+ python3-venv python3-dev",)
    found = readme_commands()
    assert len(found) >= 8
    assert [one for one in found if not any(re.fullmatch(pattern, one.strip()) for pattern in known)] == []
    needs = next(line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("NEEDS :="))
    assert f"sudo apt-get install -y {needs.partition(':= ')[2]}" in found


def test_folders_that_docker_would_make_as_root_are_made_first():
    """Docker makes what -v names and is not there, as root; then -u cannot write there."""
    for mount in re.findall(r"-v (/my/\w+):/\w+(?!:ro)[ \w]", README):
        before = README[: README.index(f"-v {mount}:")]
        assert f"mkdir -p {mount}" in before or mount == "/my/study"
    assert "mkdir -p /my/out" in README
    assert "mkdir -p /my/study && docker run" in README


def test_make_says_at_once_that_a_python_is_too_old(tmp_path):
    """One without venv and headers was told to install those of the Python that it is not."""
    old = tmp_path / "python3.10"
    old.write_text(
        f"""#!/bin/sh
case "$2" in *ensurepip*) exit 1;; esac
exec {sys.executable} -c "import sys; sys.version_info = (3, 10, 12); exec(sys.argv[1])" "$2"
"""
    )
    old.chmod(0o755)
    words = ["make", "--no-print-directory", "check", f"PYTHON={old}"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stdout.splitlines() == [
        f"bids_flex needs Python 3.11 to 3.13, and {old} is another; choose one with: make PYTHON=python3.12 ..."
    ]


def test_the_commands_of_readme_go_from_images_to_groups(small, tmp_path):
    """Those that docker runs, by the program itself, on a small study and with fewer searches."""
    quick = {
        "participant": "--engine prior --n-surrogates 0 --no-reports",
        "group": "--n-permutations 200 --no-reports",
    }
    calls = [line for line in fenced(README, "bash") if line.startswith("bids_flex ")]
    assert [line.split()[3] for line in calls] == ["participant", "group"]
    for line in calls:
        words = [{"/data": str(small), "/out": str(tmp_path)}.get(word, word) for word in shlex.split(line)]
        run([*words, *quick[words[3]].split()])
    tests = pd.read_csv(tmp_path / "group" / "model-diagnosis_stat-tests.tsv", sep="\t")
    first = tests[(tests["outcome"] == "prior_flexibility") & (tests["test"] == "t")].iloc[0]
    assert first["n"] == 9
    assert first["df2"] == 9 - 2 - 3


def test_the_short_commands_of_readme_answer():
    assert "Dosenbach2010" in run(["bids_flex-atlas", "list"])
    assert "exit codes" in run(["bids_flex", "--help"])


def test_make_demo_calls_what_is_there():
    """Its three calls are read by the programs' own parsers; other tests run the same programs on smaller studies."""
    simulate, participant, group = of_make("demo")
    from bids_flex.simulate.cli import make_parser

    given = make_parser().parse_args(shlex.split(simulate.lstrip("@"))[1:])
    for line in (participant, group):
        parse_config(shlex.split(line)[1:])
    scale = re.search(r"scale-(\d+)", participant).group(1)
    assert (given.participants, str(given.regions)) == (12, scale)
    assert "antidepressant" in group


@pytest.mark.parametrize("target", ["test", "image", "docs"])
def test_the_other_targets_of_readme_exist(target):
    assert {"test": "pytest", "image": "docker build", "docs": "sphinx"}[target] in run(
        ["make", "-n", f"VENV={BIN.parent}", target]
    )


def test_links_to_files_lead_to_files():
    """The manual's own builder checks what is inside of it; README and others are read on their own."""
    made = ("reference/", "examples/")
    broken = [
        f"{text.relative_to(ROOT)}: {target}"
        for text in TEXTS
        for target in LINK.findall(FENCED.sub("", text.read_text(encoding="utf8")))
        if "://" not in target
        and not target.startswith("mailto:")
        and not (text.parent / target).resolve().exists()
        and not any(name in target for name in made)
    ]
    assert broken == []


def quick_program(folder):
    """A program called bids_flex that searches less: what is asked for otherwise stays."""
    folder.mkdir()
    program = folder / "bids_flex"
    real = BIN / "bids_flex"
    program.write_text(
        "#!/bin/sh\n"
        'case " $* " in\n'
        f'  *" participant "*) exec {real} "$@" --restarts 2 --n-surrogates 2 --no-reports;;\n'
        f'  *) exec {real} "$@" --no-reports;;\n'
        "esac\n"
    )
    program.chmod(0o755)
    return folder


def as_xcpd(root):
    """Six people as XCP-D writes them."""
    describe(root / "derivatives" / "xcp_d")
    for number in range(1, 7):
        stem = f"sub-{number:02d}_task-rest"
        func = root / "derivatives" / "xcp_d" / f"sub-{number:02d}" / "func"
        space = "space-MNI152NLin6Asym_atlas-4S156Parcels"
        table = save_table(func / f"{stem}_{space}_stat-mean_timeseries.tsv", make_series(number))
        table.with_suffix(".json").write_text(json.dumps({"RepetitionTime": 2.0}))
        save_table(func / f"{stem}_motion.tsv", np.full((150, 1), 0.1 * number), ["framewise_displacement"])
    assert len(NAMES) == make_series(1).shape[1]
    people = pd.DataFrame({"participant_id": [f"sub-{n:02d}" for n in range(1, 7)], "user": ["yes", "no"] * 3})
    people.to_csv(root / "participants.tsv", sep="\t", index=False)
    (root / "dataset_description.json").write_text(json.dumps({"Name": "x", "BIDSVersion": "1.9.0"}))


def page_commands(page):
    return [line.removeprefix("$ ") for line in fenced(page.read_text(encoding="utf8"), "console") if line[:2] == "$ "]


PAGES = [page for page in sorted((ROOT / "docs").rglob("*.md")) if page_commands(page)]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_the_manual_run_one_after_the_other(page, tmp_path):
    """In a folder with a small study called ``study``."""
    if page.stem == "xcpd":
        as_xcpd(tmp_path / "study")
    else:
        simulate_dataset(tmp_path / "study", SimulationSettings(**SIZES))
    script = "\n".join(["set -e", *page_commands(page), "echo the page has ended"])
    said = run(["bash", "-c", script], tmp_path, path=str(quick_program(tmp_path / "bin")))
    assert said.endswith("the page has ended\n")


@pytest.mark.slow
def test_the_tutorial_tells_the_numbers_that_the_demo_gives(tmp_path, monkeypatch):
    """After ``make gallery`` it does again, if they have changed; then its sentences want to be read again, too."""
    monkeypatch.syspath_prepend(ROOT / "docs")
    from make_gallery import write_numbers

    for line in of_make("demo", f"DEMO={tmp_path}"):
        run(shlex.split(line.lstrip("@")))
    write_numbers(tmp_path / "out", tmp_path)
    told = (ROOT / "docs" / "gallery" / "numbers.md").read_text(encoding="utf8")
    assert (tmp_path / "numbers.md").read_text(encoding="utf8") == told


@pytest.mark.slow
@pytest.mark.parametrize("script", sorted((ROOT / "examples").glob("*.py")), ids=lambda script: script.stem)
def test_the_examples_run(script, tmp_path):
    assert run([sys.executable, str(script)], tmp_path, MPLBACKEND="agg")


@pytest.mark.slow
def test_the_manual_builds_without_warnings_and_is_searched_offline(tmp_path):
    run([sys.executable, "-m", "sphinx", "-W", "-q", "-D", "plot_gallery=0", "docs", str(tmp_path)])
    index = (tmp_path / "searchindex.js").read_text(encoding="utf8")
    assert '"promiscu"' in index or "promiscu:" in index
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 30
    loaded = re.compile(r"<(?:script|link|img)[^>]+(?:src|href)=\"https?://")
    assert [page.name for page in pages if loaded.search(page.read_text(encoding="utf8"))] == []
