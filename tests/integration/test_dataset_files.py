"""Files that serve a whole data set, and series and greyordinates of others, each spoilt in many ways."""

from __future__ import annotations

import contextlib
import gc
import importlib
import multiprocessing
import os
import shutil
import signal
import sys
import traceback
from collections import Counter
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from bids_flex.bids.check import check_outputs
from bids_flex.cli import main
from bids_flex.workflows import participant
from bids_flex.workflows.child import Outcome, run_child

from .conftest import make_study
from .dataset_corruptions import (
    OTHER,
    as_json,
    as_toml,
    cifti_ways,
    image_ways,
    json_ways,
    odd_ways,
    table_ways,
    toml_ways,
)
from .faults import TINY
from .test_sources import describe, make_series, save_table, write_greyordinates

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .corruptions import Corruption

RUN = "sub-01_task-rest"
SECONDS = 600
KINDS = {
    ".dtseries.nii": "(*_bold.dtseries.nii)",
    "_timeseries.tsv": "*_timeseries.tsv",
    "_motion.tsv": "(_motion.tsv)",
    "_outliers.tsv": "(_outliers.tsv)",
}
OPTIONAL = ("sessions.tsv", "bai.tsv")
NAMED, TOLD, SAME, OTHERS, UNNAMED = "named", "told", "the same", "other results", "unnamed"
ONE = ["--engine", "prior", "--n-surrogates", "0", "--no-reports"]
FEW = ["--n-permutations", "49", "--no-reports"]


# --- calls in a process of their own, that need not import everything again


def run_here(jobs, *, work_dir, crash_dir, verbose, threads, report, **_how):
    """Analyse runs in this process: no fork server to wait for."""
    for ways in jobs:
        said, name = [], ways[0].run.name
        pipe = SimpleNamespace(send=said.append, close=lambda: None)
        run_child(ways, work_dir / name, crash_dir, verbose, threads, pipe)
        report(Outcome(name, *said[-1][1:]))


def _call(words, said: Path, pipe) -> None:
    participant.run_jobs, participant.start_server = run_here, lambda: None
    # whether files outlive a crash of the machine is another test's matter, and half of the time goes into it
    os.fsync = lambda _file: None
    signal.alarm(SECONDS)
    # what the tests hold is no rubbish of the call's: it need not be looked through again and again
    gc.freeze()
    with said.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
            try:
                code = main([str(word) for word in words])
            except SystemExit as end:
                code = end.code
            except BaseException:  # noqa: BLE001 - whatever it is, the test wants to see it
                traceback.print_exc()
                code = "a traceback"
    pipe.send((code, [*sys.modules]))


def call(words, said: Path) -> tuple[object, str]:
    """Call the app; give its exit code, or what else became of it, and all that it said on one line."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=_call, args=(words, said, theirs))
    process.start()
    theirs.close()
    try:
        code, loaded = ours.recv()
    except EOFError:
        code, loaded = "killed", []
    process.join()
    # half of a call's time is spent on loading libraries: what one has loaded, the next ones have from here
    for name in loaded:
        if name not in sys.modules:
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    return code, " ".join(said.read_text(errors="replace").split())


def results(out: Path) -> dict[str, bytes]:
    """Every table that was written."""
    return {
        str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*.tsv")) if "logs" not in path.parts
    }


@dataclass(frozen=True)
class Attack:
    """One file of an input folder, what calls the app on that folder, and the ways in which the file is spoilt."""

    root: Path
    file: str
    words: Callable[[Path, Path], list[object]]
    ways: list[Corruption]
    start: Path | None = None


def judge(attack: Attack, folder: Path, way: Corruption | None) -> tuple[str, str]:
    """Spoil a copy, call the app on it; give what became of that in a word, and what was said."""
    shutil.rmtree(folder, ignore_errors=True)
    copy, out = folder / "bids", folder / "out"
    shutil.copytree(attack.root, copy)
    if attack.start is not None:
        # the app replaces files, it does not write into them: links serve as copies
        shutil.copytree(attack.start, out, copy_function=os.link)
    spoilt = copy / attack.file
    if way is not None:
        way.apply(spoilt.parent)
    code, said = call(attack.words(copy, out), folder / "said")
    if code not in {0, 1, 2, 16, 18, 65, 66} or "Traceback" in said or "; see " in said:
        return f"broken ({code})", said
    if out.exists() and (faults := check_outputs(out)[1] if (out / "dataset_description.json").exists() else []):
        return f"bad outputs {faults[:3]}", said
    # what is wrong with the whole of a run is told of the run
    named = is_named(spoilt.name, said) or (code == 1 and spoilt.name.startswith(RUN) and RUN in said)
    return (NAMED if named else UNNAMED) if code else "done", said


def is_named(name: str, said: str) -> bool:
    """Tell whether a file was named, or that which it alone may be: of what is not there, only the kind is known."""
    kinds = [words for ending, words in KINDS.items() if name.endswith(ending)]
    # the atlas of a series is the names of its columns
    _, part, rest = name.partition("_atlas-")
    atlases = [f"{what} {rest.partition('_')[0]} " for what in ("atlas", "series of") if part]
    return any(words in said for words in (name, *kinds, *atlases))


def try_all(attack: Attack, tmp_path: Path) -> Counter[str]:
    """Try every way; none may end otherwise than in an error with the file's name, or in what there is without it."""
    state, said = judge(attack, tmp_path / "whole", None)
    assert state == "done", said
    whole = results(tmp_path / "whole" / "out")
    assert whole
    start = results(attack.start) if attack.start else {}
    count: Counter[str] = Counter()
    wrong = {}
    for way in attack.ways:
        state, said = judge(attack, tmp_path / "x", way)
        if state == "done" and results(tmp_path / "x" / "out") == whole:
            state = SAME
        elif state == "done":
            state = TOLD if is_named(attack.file.rpartition("/")[2], said) else OTHERS
        count[state] += 1
        if state not in allowed(attack.file, way.name):
            wrong[way.name] = f"{state}: {said[-400:]}"
        if state not in {NAMED, SAME}:
            print(attack.file, way.name, state, said[-400:], flush=True)
    print(attack.file, dict(count))
    assert wrong == {}
    assert start == (results(attack.start) if attack.start else {})
    return count


def allowed(file: str, way: str) -> set[str]:
    """Say what may come of a way to spoil a file."""
    # another valid file is another question, whose answer may be other results, or a refusal in words
    if OTHER in way:
        return {NAMED, SAME, TOLD, OTHERS, UNNAMED}
    # a table that nobody needs to have adds columns; where it is not, nobody meant one
    if way == "missing" and file.endswith(OPTIONAL):
        return {OTHERS}
    return {NAMED, SAME, TOLD}


# --- the group level's


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """A small study with two sessions, a session's table, a phenotype and a model; and its participant level."""
    folder = tmp_path_factory.mktemp("people")
    study = make_study(folder / "bids", participants=6, sessions=2, seed=4, **TINY)
    labels = [f"{number:02}" for number in range(1, 7)]
    mood = "".join(f"sub-{who}\tses-{ses}\t{n * 3 % 7}\n" for n, who in enumerate(labels) for ses in "12")
    (study.root / "sessions.tsv").write_text("participant_id\tsession_id\tmood\n" + mood)
    (study.root / "sessions.json").write_text(as_json({"mood": {"LongName": "Mood"}}).decode())
    (study.root / "phenotype").mkdir()
    score = "".join(f"sub-{who}\t{n * 5 % 7}\n" for n, who in enumerate(labels))
    (study.root / "phenotype" / "bai.tsv").write_text("participant_id\tscore\n" + score)
    (study.root / "phenotype" / "bai.json").write_text(as_json({"score": {"LongName": "Score"}}).decode())
    (study.root / "model_smdl.json").write_bytes(as_json(MODEL))
    words = ["participant", "--atlas", study.atlas, *ONE, "--denoise", "none"]
    code, said = call([study.root, folder / "out", *words], folder / "said")
    assert code == 0, said
    # what the group level does not read would be held against its dictionaries again after every call
    for path in (folder / "out").glob("sub-*/**/*.*"):
        if not path.stem.endswith(("_dynamics", "_communities")):
            path.unlink()
    small = folder / "small"
    shutil.copytree(study.root, small, ignore=shutil.ignore_patterns("derivatives", "sub-*", "truth"))
    return small, folder / "out"


MODEL = {
    "Name": "m",
    "BIDSModelVersion": "1.0.0",
    "Nodes": [
        {
            "Level": "Dataset",
            "Name": "n",
            "GroupBy": [],
            "Transformations": {
                "Transformer": "pybids-transforms-v1",
                "Instructions": [{"Name": "Factor", "Input": ["antidepressant"]}, {"Name": "Demean", "Input": ["age"]}],
            },
            "Model": {
                "Type": "glm",
                "X": [1, "antidepressant.user", "age"],
                "Software": {"bids_flex": {"Permutations": 49, "Seed": 1}},
            },
            "Contrasts": [{"Name": "c", "ConditionList": ["antidepressant.user"], "Weights": [1], "Test": "t"}],
        }
    ],
}


MEANINGS = {
    "antidepressant": {"LongName": "x", "Levels": {"user": "x", "nonuser": "y", "control": "z"}},
    "sex": {"Levels": ["M", "F"]},
    "age": {"Description": "x", "Units": "year", "Minimum": 0, "Maximum": 120},
}


def compare_groups(copy, out):
    return [copy, out, "group", "--groups", "antidepressant", "--covariates", "age", *FEW]


def collect(*options):
    return lambda copy, out: [copy, out, "group", *options, *FEW]


def of_model(copy, out):
    return [copy, out, "group", "--model", copy / "model_smdl.json", "--no-reports"]


GROUP = {
    "participants.tsv": (compare_groups, table_ways("participants.tsv", 0, 3)),
    "participants.json": (
        compare_groups,
        [*json_ways("participants.json"), *odd_ways("participants.json", MEANINGS, as_json, 5)],
    ),
    "sessions.tsv": (collect("--unit", "session"), table_ways("sessions.tsv", 0, 2)),
    "sessions.json": (collect("--unit", "session"), json_ways("sessions.json")[::2]),
    "phenotype/bai.tsv": (collect(), table_ways("bai.tsv", 0, 1)),
    "phenotype/bai.json": (collect(), json_ways("bai.json")[::2]),
    "dataset_description.json": (compare_groups, json_ways("dataset_description.json")[::2]),
    "model_smdl.json": (of_model, [*json_ways("model_smdl.json"), *odd_ways("model_smdl.json", MODEL, as_json, 7)]),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", GROUP)
def test_spoilt_tables_of_people_and_models_are_named(people, tmp_path, name):
    words, attacks = GROUP[name]
    assert try_all(Attack(people[0], name, words, attacks, people[1]), tmp_path).total() == len(attacks)


# --- the participant level's

SERIES = f"derivatives/xcp_d/sub-01/func/{RUN}_space-MNI152NLin6Asym_atlas-4S156Parcels_stat-mean_timeseries"
SCANNED = f"derivatives/xcp_d/sub-01/func/{RUN}"
ATLAS = "derivatives/atlas/tpl-MNI152NLin2009cAsym_atlas-Sim_seg-7n_scale-14_dseg"
GREY = f"derivatives/grey/sub-01/func/{RUN}_space-fsLR_den-91k_bold"
FILTER = {"bold": {"task": "rest", "session": None, "run": [None], "desc": "preproc", "suffix": "bold"}}
SETTINGS = {
    "science": {
        "engines": ["prior"],
        "atlas": {"space": "MNI152NLin2009cAsym"},
        "denoise": {"strategy": "none", "high_pass_hz": 0.01, "fd_threshold_mm": 0.5, "despike": False},
        "prior": {"window": "60s", "step": "1vol", "shape": "rect", "min_kept": 0.5},
        "surrogates": {"prior": 0},
        "random_seed": 0,
    },
    "selection": {"participants": ["01"]},
    "execution": {"nprocs": 1, "reports": False},
}
STRATEGY = {"name": "few", "motion": "basic", "compcor_components": 1}


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """A tiny study of one person, with a filter, settings and a strategy, and series and greyordinates of others."""
    study = make_study(tmp_path_factory.mktemp("one") / "bids", participants=1, seed=3, **TINY)
    root = study.root
    (root / f"{ATLAS}.json").write_bytes(as_json({"Space": "MNI152NLin2009cAsym"}))
    (root / "filter.json").write_bytes(as_json(FILTER))
    (root / "settings.toml").write_bytes(as_toml(SETTINGS))
    (root / "strategy.toml").write_bytes(as_toml(STRATEGY))
    describe(root / "derivatives" / "xcp_d")
    save_table(root / f"{SERIES}.tsv", make_series(1))
    (root / f"{SERIES}.json").write_bytes(as_json({"RepetitionTime": 2.0}))
    save_table(root / f"{SCANNED}_outliers.tsv", [[0]] * 150, ["framewise_displacement"])
    save_table(root / f"{SCANNED}_motion.tsv", [[0, 0.1]] * 150, ["trans_x", "framewise_displacement"])
    write_greyordinates(study, root / "derivatives" / "grey", root / "atlas-Grey_dseg.dlabel.nii")
    return root


def measure(*options, denoise="none"):
    return lambda copy, out: [
        *(copy, out, "participant", "--atlas", copy / f"{ATLAS}.nii.gz", "--denoise", denoise),
        *ONE,
        *(option(copy) if callable(option) else option for option in options),
    ]


def with_strategy(copy, out):
    return measure(denoise=copy / "strategy.toml")(copy, out)


def with_settings(copy, out):
    words = ["--atlas", copy / f"{ATLAS}.nii.gz", "--config-file", copy / "settings.toml"]
    return [copy, out, "participant", *words]


def from_series(copy, out):
    return [copy, out, "participant", "--derivatives", "xcp_d", "--input-type", "timeseries", *ONE]


def from_greyordinates(copy, out):
    words = ["--file-format", "cifti", "--atlas", copy / "atlas-Grey_dseg.dlabel.nii", "--denoise", "none"]
    return [copy, out, "participant", "--derivatives", "grey", *words, *ONE]


RUNS = {
    f"{ATLAS}.nii.gz": (measure(), image_ways("_dseg.nii.gz")),
    f"{ATLAS}.tsv": (measure(), table_ways("_dseg.tsv", 0, 2)),
    f"{ATLAS}.json": (measure(), json_ways("_dseg.json")),
    "derivatives/fmriprep/dataset_description.json": (measure(), json_ways("dataset_description.json")),
    "filter.json": (
        measure("--bids-filter-file", lambda copy: copy / "filter.json"),
        [*json_ways("filter.json"), *odd_ways("filter.json", FILTER, as_json, 3)],
    ),
    "settings.toml": (with_settings, toml_ways("settings.toml", SETTINGS, 5)),
    "strategy.toml": (with_strategy, toml_ways("strategy.toml", STRATEGY, 2)),
    f"{SERIES}.tsv": (from_series, table_ways("_stat-mean_timeseries.tsv", None, 1)),
    f"{SERIES}.json": (from_series, json_ways("_stat-mean_timeseries.json")),
    f"{SCANNED}_outliers.tsv": (from_series, table_ways("_outliers.tsv", None, 0)),
    f"{SCANNED}_motion.tsv": (from_series, table_ways("_motion.tsv", None, 1)),
    "derivatives/xcp_d/dataset_description.json": (from_series, json_ways("dataset_description.json")[::2]),
    f"{GREY}.dtseries.nii": (from_greyordinates, cifti_ways(".dtseries.nii")),
    f"{GREY}.json": (from_greyordinates, json_ways("_den-91k_bold.json")[::2]),
    "atlas-Grey_dseg.dlabel.nii": (from_greyordinates, cifti_ways(".dlabel.nii")),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_spoilt_atlases_settings_series_and_greyordinates_are_named(one, tmp_path, name):
    words, attacks = RUNS[name]
    assert try_all(Attack(one, name, words, attacks), tmp_path).total() == len(attacks)
