"""Files from an enemy: nothing in them is run, nothing is written elsewhere, and bombs end in an error that helps."""

from __future__ import annotations

import ast
import gzip
import json
import multiprocessing
import pickle
import resource
import shutil
import signal
import struct
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import bids_flex as package
from bids_flex import signal as science
from bids_flex.bids.atlases import read_atlas
from bids_flex.bids.headers import agreed_tr, read_header
from bids_flex.bids.selection import read_filter
from bids_flex.bids.tables import read_people_tables
from bids_flex.cli import parse_config
from bids_flex.comparison.models import _read as read_model
from bids_flex.errors import BidsFlexError, DatasetFileError, OutputError, RunError, UsageError
from bids_flex.signal.atlas_files import image_labels, read_regions
from bids_flex.signal.confounds import read_confounds
from bids_flex.signal.timeseries import read_table
from bids_flex.signal.volumes import open_volumes, read_mask
from bids_flex.stats import read_models
from bids_flex.workflows import stages

from .conftest import LEAN, PRIOR_ALONE, analyse, bids_flex, command, execute

MEMORY, SECONDS = 1 << 30, 30
DEEP = "[" * 100_000 + "]" * 100_000
WIDE = "\t".join(f"c{number}" for number in range(1_000_000)) + "\n"


def image(path, shape, dtype=np.uint8, payload=b"", surplus=0):
    """An image whose header claims a shape, and what follows it; surplus counts 64 MiB of zeros, as gzip."""
    header = nib.Nifti1Header()
    header.set_data_dtype(dtype)
    header.set_data_shape((1, 1, 1))
    header["dim"][: len(shape) + 1] = [len(shape), *shape]
    header["vox_offset"], header["magic"] = 352, b"n+1"
    header.set_sform(np.eye(4), 2)
    whole = header.binaryblock + b"\0" * 4 + payload
    if not path.name.endswith(".gz"):
        path.write_bytes(whole)
        return path
    with path.open("wb") as file:
        file.write(gzip.compress(whole))
        member = gzip.compress(b"\0" * (1 << 26)) if surplus else b""
        for _ in range(surplus):
            file.write(member)
    return path


def _limited(attack, pipe):
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    signal.alarm(SECONDS)
    try:
        attack()
        pipe.send((None, ""))
    except BaseException as error:  # noqa: BLE001 - whatever it is, the test wants to see it
        pipe.send((type(error), str(error)[:1000]))


def outcome(attack):
    """What an attack raises in a process that may take a gigabyte and thirty seconds, no more."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=_limited, args=(attack, theirs))
    process.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        process.join()
        return f"killed by {-process.exitcode}", ""


HUGE = (32767, 32767, 1000)


def big_mask(folder):
    return lambda: read_mask(image(folder / "x_mask.nii.gz", HUGE))


def big_bold(folder):
    return lambda: read_header(image(folder / "x_bold.nii.gz", (*HUGE[:2], 1, 1000)), 2.0)


def long_bold(folder):
    return lambda: open_volumes(image(folder / "x_bold.nii.gz", (64, 64, 64, 32767)))


def far_bold(folder):
    path = image(folder / "x_bold.nii", (2, 2, 2, 5), payload=bytes(40))
    content = bytearray(path.read_bytes())
    content[108:112] = struct.pack("<f", 1e12)
    path.write_bytes(content)
    return lambda: open_volumes(path)


def endless_bold(folder):
    path = image(folder / "x_bold.nii.gz", (2, 2, 2, 5), payload=bytes(40), surplus=400)
    return lambda: list(open_volumes(path))


def big_atlas(folder):
    return lambda: image_labels(image(folder / "x_dseg.nii.gz", HUGE))


def long_atlas(folder):
    path = image(folder / "x_dseg.nii.gz", (512, 512, 512, 120), surplus=250)
    return lambda: image_labels(path)


def big_label(folder):
    path = image(folder / "x_dseg.nii", (2, 1, 1), np.int64, payload=np.array([1, 10**12]).tobytes())
    return lambda: image_labels(path)


def big_index(folder):
    (folder / "x.tsv").write_text("index\tname\n1\ta\n1000000000000\tb\n")
    return lambda: read_regions(folder / "x.tsv")


def kept_atlas(shape, label):
    def attack(folder):
        (folder / "atlases").mkdir()
        (folder / "atlases" / "atlas-X_dseg.tsv").write_text(f"index\tname\n{label}\ta\n")
        (folder / "atlases" / "atlas-X_dseg.json").write_text("{}")
        image(folder / "atlases" / "atlas-X_dseg.nii.gz", shape)
        return lambda: read_atlas(folder, {"atlas": "X"})

    return attack


def wide(read, name="x.tsv"):
    def attack(folder):
        (folder / name).write_text(WIDE + WIDE.replace("c", ""))
        return lambda: read(folder / name)

    return attack


def model(**changes):
    contrast = {"Name": "c", "ConditionList": ["age"], "Weights": [1], "Test": "t"}
    node = {"Level": "Dataset", "Name": "n", "GroupBy": [], "Model": {"Type": "glm", "X": [1, "age"]}}
    node["Contrasts"] = [{**contrast, **{key: value for key, value in changes.items() if key in contrast}}]
    node["Model"] |= {key: value for key, value in changes.items() if key in {"Formula", "Software"}}
    return {"Name": "m", "BIDSModelVersion": "1.0.0", "Nodes": [node]}


def of_model(**changes):
    return lambda _folder: lambda: read_models(model(**changes))


def text(name, content, read):
    def attack(folder):
        (folder / name).write_text(content)
        return lambda: read(folder / name)

    return attack


def config(path):
    return parse_config(["/bids", "/out", "participant", "--config-file", str(path)])


def people(path):
    (path.parent / "participants.tsv").write_text("participant_id\nsub-1\n")
    return read_people_tables(path.parent, [])


NESTED = '{"a":' * 900 + "1" + "}" * 900
DOTTED = "science.atlas.name" + ".a" * 100_000 + " = 1\n"
BOMBS = {
    "mask of 10^12 voxels": (big_mask, RunError, "voxels, more than"),
    "images of 10^12 voxels": (big_bold, RunError, "voxels, more than"),
    "images of 8 GB in a few bytes": (long_bold, RunError, "cannot be read to its end: it claims 8,"),
    "first volume after a terabyte": (far_bold, RunError, "it claims 999,999,"),
    "25 GB of zeros after the last volume": (endless_bold, RunError, "goes on for more than 64 MiB"),
    "atlas of 10^12 voxels": (big_atlas, DatasetFileError, "voxels, more than"),
    "atlas of 16 GB of zeros": (long_atlas, DatasetFileError, "4 dimensions"),
    "label 10^12 in an atlas": (big_label, DatasetFileError, "label 1000000000000; labels go up to"),
    "label 10^12 in a table": (big_index, DatasetFileError, "label 1000000000000; labels go up to"),
    "atlas of 10^12 voxels among the outputs": (kept_atlas(HUGE, 1), DatasetFileError, "voxels, more than"),
    "label 10^12 among the outputs": (kept_atlas((1, 1, 1), 10**12), DatasetFileError, "labels above 16777215"),
    "confounds of 10^6 columns": (wide(read_confounds), RunError, "100,000 columns"),
    "series of 10^6 columns": (wide(read_table), RunError, "100,000 columns"),
    "regions of 10^6 columns": (wide(read_regions), DatasetFileError, "100,000 columns"),
    "participants of 10^6 columns": (
        wide(lambda path: read_people_tables(path.parent, []), "participants.tsv"), DatasetFileError, "100,000 columns",
    ),
    "filter nested 10^5 deep": (text("f.json", DEEP, read_filter), UsageError, "not a JSON file"),
    "model nested 10^5 deep": (text("m.json", DEEP, read_model), DatasetFileError, "is not JSON"),
    "model nested 900 deep": (text("m.json", NESTED, read_model), DatasetFileError, "of a few levels"),
    "dictionary of people nested 10^5 deep": (text("participants.json", DEEP, people), DatasetFileError, "not JSON"),
    "dictionary of people nested 900 deep": (text("participants.json", NESTED, people), DatasetFileError, "not JSON"),
    "configuration nested 10^5 deep": (text("c.toml", f"a = {DEEP}", config), UsageError, "not a TOML file"),
    "configuration with a name of 10^5 parts": (text("c.toml", DOTTED, config), UsageError, "more than 100 dots"),
    "configuration of 20 MB": (text("c.toml", "a = [" + "0," * 10**7 + "]", config), UsageError, "1,048,576 bytes"),
    "configuration whose tables are numbers": (text("c.toml", "science = 5", config), UsageError, "not of the kind"),
    "preset that is a list": (text("c.toml", "[science]\npreset = [1]", config), UsageError, "there is no preset"),
    "strategy nested 10^5 deep": (
        text("s.toml", f"a = {DEEP}", lambda path: science.load_strategy(str(path))), DatasetFileError, "not a TOML",
    ),
    "strategy with a name of 10^5 parts": (
        text("s.toml", DOTTED, lambda path: science.load_strategy(str(path))), DatasetFileError, "more than 100 dots",
    ),
    "weight of 10^9 digits": (of_model(Weights=["1e999999999"]), DatasetFileError, "no number and no fraction"),
    "weight that is no number": (of_model(Weights=["nan"]), DatasetFileError, "no number and no fraction"),
    "formula": (of_model(Formula="__import__('os')"), DatasetFileError, "no formula is evaluated"),
    "10^15 permutations": (
        of_model(Software={"bids_flex": {"Permutations": 10**15}}), DatasetFileError, "from 1 to 10000000",
    ),
    "repetition time of 400 digits": (
        lambda _folder: lambda: agreed_tr("x", int("9" * 400), 2.0), RunError, "looks like milliseconds",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_ends_in_an_error_within_a_gigabyte_and_half_a_minute(tmp_path, name):
    make, kind, told = BOMBS[name]
    raised, message = outcome(make(tmp_path))
    assert raised is kind, (raised, message)
    assert issubclass(kind, BidsFlexError)
    assert told in message
    assert len(message) < 600


def test_what_the_limits_are_for_would_fill_them():
    assert outcome(lambda: np.ones(1 << 28))[0].__name__ in {"MemoryError", "_ArrayMemoryError"}
    assert outcome(lambda: None) == (None, "")


# --- nothing is run

RUNS_CODE = {"eval", "exec", "compile", "__import__"}
UNPICKLES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml"}
METHODS = {"read_pickle", "system", "popen", "literal_eval", "loads_pickle"}


def suspicious(tree):
    """Places where text could become code, or a file an object of any class."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names]
            yield from (name for name in names if name.split(".")[0] in UNPICKLES)
        elif isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name) and called.id in RUNS_CODE:
                yield called.id
            if isinstance(called, ast.Attribute) and called.attr in METHODS:
                yield called.attr
            # pandas evaluates the text of a query: it must be ours
            evaluated = isinstance(called, ast.Attribute) and called.attr in {"query", "eval"} and node.args
            if evaluated and not isinstance(node.args[0], ast.Constant | ast.Name):
                yield called.attr
            for one in node.keywords:
                if one.arg in {"allow_pickle", "shell"} and getattr(one.value, "value", True) is not False:
                    yield one.arg


def test_no_line_of_ours_evaluates_text_or_unpickles_a_file():
    found = {
        path.name: names
        for path in Path(package.__file__).parent.rglob("*.py")
        if (names := list(suspicious(ast.parse(path.read_text()))))
    }
    assert found == {}
    bad = "import pickle\neval(x)\nnp.load(p, allow_pickle=True)\nt.query(f'{x}')\nsubprocess.run(x, shell=True)"
    assert len(list(suspicious(ast.parse(bad)))) == 5


class Evil:
    """What makes a file when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


def test_a_stage_does_not_unpickle_what_lies_in_the_place_of_its_arrays(tmp_path):
    marker = tmp_path / "ran"
    pickle.loads(pickle.dumps(Evil(marker)))
    assert marker.exists()
    marker.unlink()
    np.savez(tmp_path / "x.npz", series=np.array([Evil(marker)], dtype=object), facts=np.array("{}"))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        stages.load(tmp_path / "x.npz")
    assert not marker.exists()


def test_pickles_that_lie_in_a_work_folder_are_never_opened(study, tmp_path):
    marker, work = tmp_path / "ran", tmp_path / "work"
    options = ["--engine", "prior", "--n-surrogates", "0"]
    analyse(study, tmp_path / "out", *options, work=work)
    (folder,) = (path for path in work.iterdir() if path.name.startswith("sub-01"))
    planted = [path for path in folder.rglob("*") if path.suffix in {".pklz", ".pkl", ".npz"}]
    assert len(planted) > 5
    for path in planted:
        packed = gzip.compress(pickle.dumps(Evil(marker))) if path.suffix == ".pklz" else pickle.dumps(Evil(marker))
        path.write_bytes(packed)
    shutil.rmtree(tmp_path / "out")
    moved = work.rename(tmp_path / "planted")
    # the call makes its run folder itself: the enemy's is there first
    work.mkdir()
    analyse_into(study, tmp_path / "out", work, moved / folder.name, options)
    assert not marker.exists()


def analyse_into(study, out, work, planted, options):
    """Analyse with a run folder that is there already."""
    from bids_flex.workflows.app import make_jobs

    words = [study.root, out, "participant", "--atlas", study.atlas, *LEAN, "--participant-label", "01", *options]
    (job,) = make_jobs(parse_config([str(word) for word in words]))[0]
    folder = Path(shutil.copytree(planted, work / job.run.name))
    execute(job, folder, threads=1)


def test_modules_that_lie_in_the_current_folder_are_not_imported(study, tmp_path):
    """People call the app from the folder of a data set that they were given."""
    marker, folder = tmp_path / "ran", tmp_path / "here"
    for name in ("bids_flex", "numpy", "pandas", "nipype", "signal", "multiprocessing", "socket", "threading"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(f"open({str(marker)!r}, 'a').write('{name} ')")
    words = ["--atlas", study.atlas, "--participant-label", "01", *LEAN, *PRIOR_ALONE]
    done = subprocess.run(
        command(study.root, tmp_path / "out", "participant", *words),
        cwd=folder, capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not marker.exists(), marker.read_text()


# --- nothing is written elsewhere

ESCAPES = ["../../evil", "/tmp/evil", "..", "a/../../b", "a\0b", "a\nb", "$(touch x)", "%2e%2e%2f", "a;b", "sub-../x"]


@pytest.mark.parametrize("label", ESCAPES)
def test_labels_are_letters_and_figures_wherever_they_come_from(tmp_path, label):
    for option in ("--participant-label", "--session-label", "--task-id", "--run-id", "--space"):
        with pytest.raises((SystemExit, UsageError)):
            read_space_of(parse_config(["/bids", "/out", "participant", option, label]))
    (tmp_path / "f.json").write_text(json.dumps({"bold": {"session": label}}))
    with pytest.raises(UsageError):
        read_filter(tmp_path / "f.json")


def read_space_of(config):
    """The space of a call is read with its runs."""
    from bids_flex.bids.selection import read_space

    return read_space(config.selection.space)


def test_a_configuration_file_does_not_say_where_files_are_written(tmp_path):
    said = 'bids_dir = "/evil"\noutput_dir = "/evil"\n[execution]\nwork_dir = "/evil"\n'
    (tmp_path / "c.toml").write_text(said)
    read = config(tmp_path / "c.toml")
    assert (str(read.bids_dir), str(read.output_dir), read.execution.work_dir) == ("/bids", "/out", None)


@pytest.mark.parametrize("part", ["group", "atlases", "logs"])
def test_a_part_of_the_output_folder_that_leads_elsewhere_is_refused_before_anything_is_written(tmp_path, part):
    (tmp_path / "out").mkdir()
    (tmp_path / "victim").mkdir()
    (tmp_path / "out" / part).symlink_to(tmp_path / "victim")
    told = bids_flex(tmp_path, tmp_path / "out", "group", "--groups", "g")
    assert told.code == OutputError.exit_code
    assert "is a link that leads out of" in told.err
    assert [*(tmp_path / "victim").iterdir()] == []


@pytest.mark.slow
def test_names_in_a_model_of_an_enemy_stay_inside_the_output_folder(study, done, tmp_path):
    out = Path(shutil.copytree(done, tmp_path / "a" / "b" / "out"))
    hostile = model(Software={"bids_flex": {"Permutations": 99}})
    hostile["Name"] = "../../../evil"
    hostile["Nodes"][0]["Name"] = "/tmp/../evil"
    hostile["Nodes"][0]["Contrasts"][0]["Name"] = "../../$(touch evil)/__import__('os').system('touch evil')"
    (tmp_path / "m.json").write_text(json.dumps(hostile))
    before = {path for path in tmp_path.rglob("*") if not path.is_relative_to(out)}
    told = bids_flex(study.root, out, "group", "--model", tmp_path / "m.json", "--no-reports")
    assert told.code == 0, told.err
    assert {path for path in tmp_path.rglob("*") if not path.is_relative_to(out)} == before
    written = [path.name for path in (out / "group").rglob("model-*")]
    assert written
    assert all(name.startswith("model-evil_") or name == "model-evil.json" for name in written)
