"""The same study under every Python that the app promises: the same labels, the same numbers."""

from __future__ import annotations

import gzip
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import pytest

from .conftest import LEAN, tree

ROOT = Path(__file__).resolve().parents[2]
OURS = f"{sys.version_info.major}.{sys.version_info.minor}"
OTHERS = [version for version in ("3.11", "3.12", "3.13") if version != OURS]
NEAR = 1e-10


def interpreter(version: str) -> str | None:
    """A Python of some version, on the path or among those of pyenv."""
    kept = Path.home() / ".pyenv" / "versions"
    for found in (shutil.which(f"python{version}"), *sorted(kept.glob(f"{version}.*/bin/python"))):
        asked = [found, "-c", "import sys, ensurepip, venv; print('%d.%d' % sys.version_info[:2])"]
        # pyenv puts commands on the path that fail for versions that are not chosen
        if found and subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() == version:
            return str(found)
    return None


@pytest.fixture(scope="module", params=OTHERS)
def other(request, tmp_path_factory):
    """The commands of another Python's environment, made from the locks and this source."""
    if (python := interpreter(request.param)) is None:
        pytest.skip(f"there is no Python {request.param} here")
    folder = tmp_path_factory.mktemp(f"python{request.param}")
    subprocess.run([python, "-m", "venv", "--without-pip", folder], check=True)
    install = [Path(sys.executable).with_name("uv"), "pip", "install", "--quiet", "--python", folder / "bin" / "python"]
    locks = [word for name in ("run", "build") for word in ("-r", ROOT / f"requirements-{name}.lock")]
    subprocess.run([*install, "--require-hashes", *locks], check=True)
    subprocess.run([*install, "--no-build-isolation", "--no-deps", ROOT], check=True)
    return folder / "bin"


def analyse(commands: Path, study, out: Path) -> dict[str, bytes]:
    """Analyse the study and compare its groups with the commands of one environment."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for words in (
        ["participant", "--atlas", study.atlas, *LEAN, "--nprocs", "2"],
        ["group", "--groups", "antidepressant", "--covariates", "age", "--n-permutations", "999", "--no-reports"],
    ):
        said = [commands / "bids_flex", study.root, out, *words]
        done = subprocess.run(said, capture_output=True, text=True, check=False, timeout=900, env=environment)
        assert done.returncode == 0, done.stderr
    return tree(out)


@pytest.fixture(scope="module")
def ours(study, tmp_path_factory):
    return analyse(Path(sys.executable).parent, study, tmp_path_factory.mktemp("ours") / "out")


def parts(name: str, content: bytes) -> list[object]:
    """Give what a file says in order: cells of a table, leaves of a JSON file, voxels of an image, else its bytes."""
    if name.endswith(".tsv"):
        return content.decode().replace("\n", "\t\n\t").split("\t")
    if name.endswith(".json"):
        return [*leaves(json.loads(content))]
    if name.endswith(".nii.gz"):
        image = nib.Nifti1Image.from_bytes(gzip.decompress(content))
        return [image.header.binaryblock, *image.get_fdata().ravel().tolist()]
    return [content]


def leaves(said: object):
    if isinstance(said, dict):
        for key, value in said.items():
            yield key
            yield from leaves(value)
    elif isinstance(said, list):
        for value in said:
            yield from leaves(value)
    else:
        yield said


def number(part: object) -> float | None:
    if part is None or isinstance(part, bytes | bool):
        return None
    try:
        return float(part)
    except ValueError:
        return None


def unlike(one: object, other: object) -> float:
    """How far two parts of files are from each other; what is no number is like its equal alone."""
    if one == other:
        return 0.0
    a, b = number(one), number(other)
    if a is None or b is None:
        return math.inf
    if math.isnan(a) and math.isnan(b):
        return 0.0
    return abs(a - b) / max(1.0, abs(a)) if math.isfinite(a - b) else math.inf


def compare(one: dict[str, bytes], other: dict[str, bytes]) -> tuple[int, int, dict[str, float]]:
    """Give how many files are the same, how many numbers were held against each other, and what differs by how much."""
    assert [*one] == [*other]
    differing = {name: (parts(name, one[name]), parts(name, other[name])) for name in one if one[name] != other[name]}
    far = {
        name: math.inf if len(a) != len(b) else max(map(unlike, a, b), default=0.0)
        for name, (a, b) in differing.items()
    }
    counted = sum(number(part) is not None for name in one for part in parts(name, one[name]))
    return len(one) - len(differing), counted, far


def test_a_difference_would_be_seen():
    table = b"a\tb\n1\t0.5\n"
    assert compare({"x.tsv": table}, {"x.tsv": b"a\tb\n1\t0.50000000001\n"})[2]["x.tsv"] == pytest.approx(1e-11)
    assert compare({"x.tsv": table}, {"x.tsv": b"a\tb\n1\t0.5001\n"})[2]["x.tsv"] > NEAR
    assert compare({"x.tsv": table}, {"x.tsv": b"a\tc\n1\t0.5\n"})[2]["x.tsv"] == math.inf
    assert compare({"x.tsv": table}, {"x.tsv": b"a\tb\n1\tn/a\n"})[2]["x.tsv"] == math.inf
    assert compare({"x.json": b'{"a": [1, 2]}'}, {"x.json": b'{"a": [1, 2, 3]}'})[2]["x.json"] == math.inf
    assert compare({"x.json": b'{"a": true}'}, {"x.json": b'{"a": false}'})[2]["x.json"] == math.inf
    assert compare({"x.tsv": table}, {"x.tsv": table}) == (1, 2, {})


@pytest.mark.slow
def test_another_python_gives_the_same_labels_and_the_same_numbers(other, ours, study, tmp_path):
    theirs = analyse(other, study, tmp_path / "out")
    same, counted, far = compare(ours, theirs)
    largest = max(far.values(), default=0.0)
    print(
        f"{other}: {same} of {len(ours)} files the same bytes; of {counted} numbers none differs by more than {largest}"
    )
    assert {name: by for name, by in far.items() if by > NEAR} == {}
    labels = [name for name in ours if name.endswith("_communities.tsv")]
    assert len(labels) >= 6 * 3
    assert [name for name in labels if ours[name] != theirs[name]] == []
    assert counted > 10_000
