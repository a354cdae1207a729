"""Files that serve a whole data set, and series and greyordinates of others, each spoilt in many ways."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from bids_flex.bids.check import check_outputs
from bids_flex.cli import main
from bids_flex.workflows import participant
from bids_flex.workflows.child import Outcome, run_child

from .conftest import bids_flex, make_study
from .corruptions import HEADER, PLACES, TEXTS, Corruption, compressed, field, flipped, lines, plain_field
from .faults import TINY
from .test_sources import NAMES, describe, make_series, save_table, write_greyordinates

SECONDS = 60
OTHER = "another valid file: "
ONE = ["--engine", "prior", "--n-surrogates", "0", "--no-reports"]
FEW = ["--n-permutations", "49", "--no-reports"]


# --- calls in a process of their own, that need not import everything again


def run_here(jobs, *, work_dir, crash_dir, verbose, threads, report, **_how):
    """Analyse runs in this process: no fork server to wait for."""
    for job in jobs:
        said = []
        pipe = SimpleNamespace(send=said.append, close=lambda: None)
        run_child(job, work_dir / job.run.name, crash_dir, verbose, threads, pipe)
        report(Outcome(job.run.name, *said[-1][1:]))


def _call(words, said: Path, pipe) -> None:
    participant.run_jobs, participant.start_server = run_here, lambda: None
    signal.alarm(SECONDS)
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
    pipe.send(code)


def call(words, said: Path) -> tuple[object, str]:
    """Call the app; give its exit code, or what else became of it, and all that it said on one line."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=_call, args=(words, said, theirs))
    process.start()
    theirs.close()
    try:
        code = ours.recv()
    except EOFError:
        code = "killed"
    process.join()
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
    ending: str
    words: Callable[[Path, Path], list[object]]
    ways: list[Corruption]
    start: Path | None = None


def judge(attack: Attack, folder: Path, way: Corruption | None) -> tuple[str, str]:
    """Spoil a copy, call the app on it; give what became of that in a word, and what was said."""
    shutil.rmtree(folder, ignore_errors=True)
    copy, out = folder / "bids", folder / "out"
    shutil.copytree(attack.root, copy)
    if attack.start is not None:
        shutil.copytree(attack.start, out)
    spoilt = (
        next(copy.rglob(f"*{attack.ending}"))
        if way is None
        else way.apply(next(copy.rglob(f"*{attack.ending}")).parent)
    )
    code, said = call(attack.words(copy, out), folder / "said")
    if code not in {0, 1, 2, 16, 18, 65, 66} or "Traceback" in said or "; see " in said:
        return f"broken ({code})", said
    if out.exists() and (faults := check_outputs(out)[1] if (out / "dataset_description.json").exists() else []):
        return f"bad outputs {faults[:3]}", said
    if code:
        return ("named" if spoilt.name in said or str(spoilt.parent) in said else "unnamed"), said
    return "done", said


def try_all(attack: Attack, tmp_path: Path) -> Counter[str]:
    """Try every way; none may end otherwise than in an error with the file's name, or in what there is without it."""
    state, said = judge(attack, tmp_path / "whole", None)
    assert state == "done", said
    whole = results(tmp_path / "whole" / "out")
    assert whole
    count: Counter[str] = Counter()
    wrong = {}
    for way in attack.ways:
        state, said = judge(attack, tmp_path / "x", way)
        if state == "done":
            state = "the same" if results(tmp_path / "x" / "out") == whole else "other results"
        count[state] += 1
        if state not in {"named", "the same"}:
            wrong[way.name] = f"{state}: {said[-400:]}"
    print(attack.ending, dict(count))
    expected = {name: text for name, text in wrong.items() if not (text.startswith("other results") and OTHER in name)}
    assert expected == {}
    return count


# --- ways


def in_line(row: int, change: Callable[[str], str]):
    return lines(lambda table: [*table[:row], change(table[row]), *table[row + 1 :]])


def put(row: int, place: int, text: str):
    """Write into one cell by its place."""

    def change(line: str) -> str:
        cells = line.split("\t")
        cells[place] = text
        return "\t".join(cells)

    return in_line(row, change)


def put_all(place: int, text: str):
    return lines(
        lambda table: [
            table[0],
            *("\t".join([*(c := row.split("\t"))[:place], text, *c[place + 1 :]]) for row in table[1:]),
        ]
    )


def table_ways(ending: str, key: int, value: int) -> list[Corruption]:
    """What may happen to a table whose rows are named by one column and whose numbers stand in another."""
    ways = {
        "empty": lambda c: b"",
        "only newlines": lambda c: b"\n\n\n",
        "header alone": lines(lambda t: t[:1]),
        "no header": lines(lambda t: t[1:]),
        "header twice": lines(lambda t: [t[0], *t]),
        "one row too long": in_line(2, lambda row: row + "\t7\t8"),
        "all rows too long": lines(lambda t: [t[0], *(row + "\t1" for row in t[1:])]),
        "one row too short": in_line(2, lambda row: row.rsplit("\t", 1)[0]),
        "cut within a row": lambda c: c[: c.rstrip().rindex(b"\n") + 3],
        "commas": lambda c: c.replace(b"\t", b","),
        "blanks": lambda c: c.replace(b"\t", b" "),
        "invalid UTF-8": lambda c: c[:3] + b"\xff\xfe" + c[3:],
        "invalid UTF-8 at the end": lambda c: c[:-2] + b"\xff\xfe" + c[-2:],
        "UTF-16": lambda c: c.decode().encode("utf-16"),
        "byte order mark": lambda c: b"\xef\xbb\xbf" + c,
        "NUL bytes": lambda c: c[: len(c) // 2] + bytes(5) + c[len(c) // 2 :],
        "nothing but zeros": lambda c: bytes(len(c)),
        "Windows' line ends": lambda c: c.replace(b"\n", b"\r\n"),
        "old Macs' line ends": lambda c: c.replace(b"\n", b"\r"),
        "no end of the last line": lambda c: c.rstrip(b"\n"),
        "blank lines": lambda c: c.replace(b"\n", b"\n\n"),
        "an open quote": put(2, key, '"x'),
        "an open quote in the header": put(0, value, '"x'),
        "a column twice": lines(lambda t: [t[0] + "\t" + t[0].split("\t")[value], *(r + "\t" + r.split("\t")[value] for r in t[1:])]),
        "the key's column twice": lines(lambda t: [t[0] + "\t" + t[0].split("\t")[key], *(r + "\t" + r.split("\t")[key] for r in t[1:])]),
        "a column without a name": put(0, value, ""),
        "a key without a name": put(0, key, ""),
        "another key": put(0, key, "who"),
        "a key of another case": in_line(0, str.upper),
        "a row twice": lines(lambda t: [*t, t[-1]]),
        "no key in a row": put(2, key, "n/a"),
        "an empty key": put(2, key, ""),
        "a path as a key": put(2, key, "../../x"),
        "a key that is unknown": put(2, key, "sub-unknown"),
        "text for a number": put(2, value, "moved"),
        "infinity": put(2, value, "inf"),
        "beyond all numbers": put(2, value, "1e999"),
        "a complex number": put(2, value, "1+2j"),
        "a formula": put(2, value, "=1+1"),
        "the value n/a everywhere": put_all(value, "n/a"),
        "the value the same everywhere": put_all(value, "1"),
        "a web page": lambda c: b"<!DOCTYPE html><title>404</title>",
        "too many columns": lines(lambda t: [row + "\t1" * 120_000 for row in t]),
        **{f"bits flipped {seed}": flipped(seed, 5) for seed in range(6)},
    }  # fmt: skip
    found = [Corruption(name, ending, spoil) for name, spoil in ways.items()]
    return found + [Corruption(name, ending, bytes, place) for name, place in PLACES]


def json_ways(ending: str) -> list[Corruption]:
    found = [Corruption(name, ending, spoil) for name, spoil in TEXTS]
    found += [Corruption(f"bits flipped {seed}", ending, flipped(seed, 5)) for seed in range(4)]
    return found + [Corruption(name, ending, bytes, place) for name, place in PLACES]


ODD = (None, 5, -1, 1e308, True, "", "x", "../../x", [], {}, [[]], ["x", 5])


def leaves(document, path=()):
    """Every place in a document, its containers among them."""
    yield path
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in items:
        yield from leaves(value, (*path, key))


def with_odd(document, path, odd):
    """A copy of a document with something odd in one place."""
    if not path:
        return odd
    copy = dict(document) if isinstance(document, dict) else list(document)
    copy[path[0]] = with_odd(copy[path[0]], path[1:], odd)
    return copy


def odd_ways(ending: str, document, write: Callable[[object], bytes], each: int) -> list[Corruption]:
    """Something odd in one place after the other; every n-th of all pairs is tried."""
    pairs = [(path, odd) for path in leaves(document) if path for odd in ODD]
    return [
        Corruption(
            f"{OTHER}{'.'.join(map(str, path))} is {odd!r}",
            ending,
            lambda _c, p=path, o=odd: write(with_odd(document, p, o)),
        )
        for path, odd in pairs[::each]
    ]


def as_json(document: object) -> bytes:
    return json.dumps(document).encode()


def as_toml(document: object) -> bytes:
    import tomli_w

    # TOML has no null
    return tomli_w.dumps(json.loads(json.dumps(document).replace("null", '"null"'))).encode()


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
    told = bids_flex(study.root, folder / "out", "participant", "--atlas", study.atlas, *ONE, "--denoise", "none")
    assert told.code == 0, told.err
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


def compare_groups(copy, out):
    return [copy, out, "group", "--groups", "antidepressant", "--covariates", "age", *FEW]


def collect(*options):
    return lambda copy, out: [copy, out, "group", *options, *FEW]


def of_model(copy, out):
    return [copy, out, "group", "--model", copy / "model_smdl.json", "--no-reports"]


GROUP = {
    "participants.tsv": (compare_groups, table_ways("participants.tsv", 0, 1)),
    "participants.json": (compare_groups, json_ways("participants.json")),
    "sessions.tsv": (collect("--unit", "session"), table_ways("sessions.tsv", 0, 2)),
    "sessions.json": (collect("--unit", "session"), json_ways("sessions.json")[::2]),
    "bai.tsv": (collect(), table_ways("bai.tsv", 0, 1)),
    "bai.json": (collect(), json_ways("bai.json")[::2]),
    "dataset_description.json": (compare_groups, json_ways("dataset_description.json")[::2]),
    "model_smdl.json": (of_model, [*json_ways("model_smdl.json"), *odd_ways("model_smdl.json", MODEL, as_json, 3)]),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", GROUP)
def test_spoilt_tables_of_people_and_models_are_named(people, tmp_path, name):
    words, ways = GROUP[name]
    try_all(Attack(people[0], name, words, ways, people[1]), tmp_path)
