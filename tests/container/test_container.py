"""The image that `make image` built, called as BIDS Apps are called on machines that allow little."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bids_flex.bids.check import check_outputs
from bids_flex.simulate import SimulationSettings, simulate_dataset

pytestmark = pytest.mark.container

IMAGE = os.environ.get("BIDS_FLEX_IMAGE", "bids_flex")
SMALL = SimulationSettings(participants=6, seed=5, duration_s=300.0, voxel_mm=10.0, regions=28)
LEAN = ("--denoise", "24P+2P", "--n-surrogates", "3", "--restarts", "4")
STRICT = (
    *("--user", "1234:1234", "--read-only", "--network", "none"),
    *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
)
GROUP = ("group", "--groups", "antidepressant", "--n-permutations", "99", "--no-reports")
ANYBODY = 0o777
EXACT = 1e-10


@dataclass(frozen=True)
class Call:
    """What a container printed and returned."""

    code: int
    out: str
    err: str


def docker(*words: object) -> Call:
    done = subprocess.run(["docker", *map(str, words)], capture_output=True, text=True, check=False, timeout=300)
    return Call(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def image() -> dict:
    """What the engine says about the image."""
    if shutil.which("docker") is None or docker("info").code:
        pytest.skip("no container engine answers (docker info)")
    found = docker("image", "inspect", IMAGE)
    if found.code:
        pytest.skip(f"there is no image {IMAGE}: make image")
    return json.loads(found.out)[0]


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate_dataset(tmp_path_factory.mktemp("study") / "bids", SMALL)


def open_folder(path: Path) -> Path:
    """Make a folder that every user may write to, as a scratch disk is."""
    path.mkdir()
    path.chmod(ANYBODY)
    return path


def run(study: Path, *options: object, words: tuple[object, ...] = (), strict: bool = True) -> Call:
    """Call the app; ``options`` are docker's, ``words`` the app's."""
    limits = STRICT if strict else ()
    return docker("run", "--rm", *limits, "--volume", f"{study}:/data:ro", *options, IMAGE, *words)


def participant(study: Path, *more: object) -> tuple[object, ...]:
    atlas = next((study / "derivatives" / "atlas").glob("*_dseg.nii.gz")).relative_to(study)
    return ("/data", "/out", "participant", "--atlas", f"/data/{atlas}", *LEAN, *more)


def inside(image: dict, *words: str) -> str:
    """Run another program than the app in the image."""
    called = docker("run", "--rm", "--network", "none", "--entrypoint", words[0], image["Id"], *words[1:])
    assert called.code == 0, called.err
    return called.out


@pytest.fixture(scope="session")
def strictly(image: dict, study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Participants 01 and 02, then the others, then the group, all of it as a strange user without rights."""
    root = tmp_path_factory.mktemp("strict")
    out, scratch = open_folder(root / "out"), open_folder(root / "scratch")
    mounts = ("--volume", f"{out}:/out", "--volume", f"{scratch}:/scratch", "--tmpfs", "/tmp:size=16m")
    first = run(study, *mounts, words=participant(study, "--participant-label", "01", "02"))
    assert (first.code, "2 done" in first.err) == (0, True), first.err
    assert "intermediate files in /scratch/" in first.err
    rest = run(study, *mounts, words=participant(study, "--no-reports"))
    assert (rest.code, "4 done, 2 skipped" in rest.err) == (0, True), rest.err
    group = run(study, *mounts, words=("/data", "/out", *GROUP))
    assert group.code == 0, group.err
    assert list(scratch.iterdir()) == []
    return out


@pytest.fixture(scope="session")
def outside(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same without a container."""
    out = tmp_path_factory.mktemp("outside") / "out"
    program = Path(sys.executable).with_name("bids_flex")
    words = [str(word).replace("/data", str(study)) for word in participant(study, "--no-reports")[2:]]
    for called in (words, GROUP):
        subprocess.run([program, study, out, *called], check=True, capture_output=True, timeout=280)
    return out


def test_the_image_is_what_a_cluster_admits(image):
    megabytes = image["Size"] / 1e6
    assert megabytes < 900
    config = image["Config"]
    assert config["Entrypoint"] == ["bids_flex"]
    assert config["User"] == "bids_flex"
    assert config.get("Healthcheck") in (None, {"Test": ["NONE"]})
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()}
    assert {"title", "description", "licenses", "version", "revision", "source"} <= set(labels)
    assert (labels["title"], labels["licenses"]) == ("bids_flex", "Apache-2.0")
    print(f"\nimage of {megabytes:.0f} MB")


def test_the_version_is_that_of_the_label(image):
    said = docker("run", "--rm", *STRICT, IMAGE, "--version")
    assert (said.code, said.out.strip()) == (
        0,
        f"bids_flex {image['Config']['Labels']['org.opencontainers.image.version']}",
    )


def test_nothing_that_builds_is_left(image):
    tools = "gcc g++ cc make pip pip3 cmake git curl wget"
    found = inside(image, "sh", "-c", f"for tool in {tools}; do command -v $tool; done; true")
    assert found == ""
    assert inside(image, "sh", "-c", "ls /opt/bids_flex/lib/python3*/site-packages | grep -c '^pip' || true") == "0\n"
    assert inside(image, "id", "-u") == "1000\n"


def test_the_bill_of_materials_names_what_is_installed(image):
    bill = json.loads(inside(image, "cat", "/opt/bids_flex/sbom.cdx.json"))
    assert bill["bomFormat"] == "CycloneDX"
    listed = {(part["name"].lower(), part["version"]) for part in bill["components"]}
    told = inside(
        image,
        *("/opt/bids_flex/bin/python", "-c"),
        "import importlib.metadata as m; print(*(d.name.lower() + '=' + d.version for d in m.distributions()))",
    )
    python = {tuple(each.split("=")) for each in told.split()}
    debian = {
        tuple(each.split("=")) for each in inside(image, "dpkg-query", "-W", "-f", "${Package}=${Version}\n").split()
    }
    assert len(python) > 50
    assert len(debian) > 50
    assert python | debian <= listed


def test_all_is_written_by_a_strange_user_and_valid(strictly):
    owners = {(path.stat().st_uid, path.stat().st_gid) for path in strictly.rglob("*")}
    assert owners == {(1234, 1234)}
    assert (strictly / "sub-01.html").is_file()
    tables, faults = check_outputs(strictly)
    assert (tables > 50, faults) == (True, [])
    tool = Path(sys.executable).with_name("bids-validator-deno")
    found = subprocess.run([tool, strictly, "--json"], capture_output=True, text=True, check=False)
    issues = json.loads(found.stdout)["issues"]["issues"]
    assert [issue for issue in issues if issue["severity"] == "error"] == []


def differences(one: object, other: object, at: str) -> list[str]:
    """Compare what JSON files hold: numbers within 1e-10, all else exactly."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return [told for key in one for told in differences(one[key], other[key], f"{at}/{key}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [
            told for at_, pair in enumerate(zip(one, other, strict=True)) for told in differences(*pair, f"{at}/{at_}")
        ]
    if isinstance(one, float) and isinstance(other, float) and abs(one - other) <= EXACT * max(1, abs(one)):
        return []
    return [] if one == other else [f"{at}: {one!r}, {other!r}"]


def columns_apart(one: Path, other: Path) -> list[str]:
    """Name the columns of two tables that differ: texts and whole numbers exactly, others within 1e-10."""
    left, right = (pd.read_csv(path, sep="\t") for path in (one, other))
    assert list(left) == list(right)
    apart = []
    for name in left:
        if left[name].dtype.kind == "f":
            same = np.allclose(left[name], right[name], rtol=EXACT, atol=EXACT, equal_nan=True)
        else:
            same = left[name].equals(right[name])
        if not same:
            apart.append(f"{one.name}: {name}")
    return apart


def test_labels_are_those_of_outside_and_numbers_within_1e_10(strictly, outside):
    names = [path.relative_to(outside) for path in sorted(outside.rglob("*")) if path.is_file()]
    names = [name for name in names if name.parts[0] != "logs"]
    missing = [name for name in names if not (strictly / name).is_file()]
    assert missing == []
    tables = [name for name in names if name.suffix == ".tsv"]
    assert len(tables) > 70
    assert [told for name in tables for told in columns_apart(outside / name, strictly / name)] == []
    communities = [name for name in tables if name.name.endswith("_communities.tsv")]
    assert len(communities) == 18
    assert all((outside / name).read_bytes() == (strictly / name).read_bytes() for name in communities)
    told = [
        line
        for name in names
        if name.suffix == ".json" and name.name != "dataset_description.json"
        for line in differences(*(json.loads((root / name).read_text()) for root in (outside, strictly)), str(name))
    ]
    # where the data set lies is the one thing that differs
    assert [line for line in told if "/data" not in line] == []


def test_derivatives_in_a_folder_of_their_own(image, study, strictly, tmp_path):
    out = open_folder(tmp_path / "out")
    raw = tmp_path / "raw"
    raw.mkdir()
    for name in ("dataset_description.json", "participants.tsv", "participants.json"):
        shutil.copy(study / name, raw)
    mounts = ("--volume", f"{study / 'derivatives'}:/derivatives:ro", "--volume", f"{out}:/out", "--tmpfs", "/tmp")
    words = [str(word).replace("/data/derivatives", "/derivatives") for word in participant(study)]
    words += ["--derivatives", "/derivatives/fmriprep", "--participant-label", "01", "--no-reports"]
    done = run(raw, *mounts, words=tuple(words))
    assert done.code == 0, done.err
    (labels,) = out.glob("sub-01/func/*_desc-prior_communities.tsv")
    assert labels.read_bytes() == (strictly / "sub-01" / "func" / labels.name).read_bytes()


@pytest.mark.parametrize(("limits", "told"), [((), None), (("--cpuset-cpus", "0"), 1)])
def test_processors_are_those_of_the_control_group(image, study, strictly, limits, told):
    done = run(study, *limits, "--tmpfs", "/out:mode=1777", "--tmpfs", "/tmp", words=participant(study, "--no-reports"))
    (at_once,) = re.findall(r"(\d+) at a time", done.err)
    assert int(at_once) == (told or min(6, len(os.sched_getaffinity(0))))


def test_without_arguments_it_helps(image):
    said = docker("run", "--rm", *STRICT, IMAGE)
    assert said.code == 2
    assert "BIDS_DIR OUTPUT_DIR {participant,group}" in said.out + said.err
    assert said.err.endswith("BIDS_DIR, OUTPUT_DIR and participant or group are needed\n")


def test_a_wrong_mount_lists_what_is_there(image, study, tmp_path):
    wrong = open_folder(tmp_path / "wrong")
    open_folder(wrong / "study")
    said = run(wrong, "--tmpfs", "/out:mode=1777", "--tmpfs", "/tmp", words=("/data", "/out", "participant"))
    assert said.code == 16
    assert "/data" in said.err
    assert "study" in said.err


def test_a_mount_that_is_closed_to_this_user_is_named(image, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    words = ("/data", "/out", "participant")
    said = run(closed, "--tmpfs", "/out:mode=1777", "--tmpfs", "/tmp", words=words)
    assert said.code == 66
    assert "/data/" in said.err
    assert "cannot be reached (Permission denied)" in said.err
    assert "this is user 1234" in said.err


def test_an_output_folder_of_another_user_is_named(image, study, tmp_path):
    out = tmp_path / "out"
    out.mkdir(mode=0o755)
    said = run(study, "--volume", f"{out}:/out", "--tmpfs", "/tmp", words=participant(study))
    assert said.code == 73
    assert f"/out belongs to user {os.getuid()}, this is user 1234" in said.err


def test_without_any_place_for_intermediate_files_it_says_which_to_give(image, study):
    said = run(study, "--tmpfs", "/out:mode=1777", words=participant(study))
    assert said.code == 73
    assert "--tmpfs /tmp, or -v FOLDER:/scratch" in said.err


def test_a_full_output_disk_is_told_and_later_runs_are_interrupted(image, study):
    said = run(
        study, "--tmpfs", "/out:mode=1777,size=400k", "--tmpfs", "/tmp", words=participant(study, "--no-reports")
    )
    assert said.code == 73
    assert "No space left on device" in said.err
    assert "interrupted" in said.err.splitlines()[-1]


def test_a_full_work_disk_is_seen_before_the_start(image, study):
    mounts = ("--tmpfs", "/out:mode=1777", "--tmpfs", "/scratch:mode=1777,size=200k")
    said = run(study, *mounts, words=participant(study, "--no-reports"))
    assert said.code == 1
    assert said.err.count("MB for intermediate files, and 0 MB are free in the work folder") == 6


def test_a_work_folder_on_another_file_system_serves(image, study, strictly, tmp_path):
    out = open_folder(tmp_path / "out")
    mounts = ("--volume", f"{out}:/out", "--tmpfs", "/elsewhere:mode=1777,size=64m", "--tmpfs", "/tmp")
    words = participant(study, "--participant-label", "01", "--no-reports", "--work-dir", "/elsewhere/work")
    assert run(study, *mounts, words=words).code == 0
    (labels,) = out.glob("sub-01/func/*_desc-prior_communities.tsv")
    assert labels.read_bytes() == (strictly / "sub-01" / "func" / labels.name).read_bytes()


@pytest.mark.parametrize(("megabytes", "code"), [(200, 2), (350, 1)])
def test_a_memory_limit_below_need_is_told_with_both_figures(image, study, megabytes, code):
    limits = (
        "--memory",
        f"{megabytes}m",
        "--memory-swap",
        f"{megabytes}m",
        "--tmpfs",
        "/out:mode=1777",
        "--tmpfs",
        "/tmp",
    )
    said = run(study, *limits, words=participant(study, "--no-reports"))
    if "not support" in said.err or "cgroup not mounted" in said.err:
        pytest.skip("this engine cannot limit memory")
    assert said.code == code, said.err
    assert f"{megabytes * 1024**2 / 1e6:.0f} MB" in said.err
    assert "420 MB" in said.err


def test_just_enough_memory_is_enough(image, study):
    limits = ("--memory", "420m", "--memory-swap", "420m", "--tmpfs", "/out:mode=1777", "--tmpfs", "/tmp")
    said = run(study, *limits, words=participant(study, "--no-reports"))
    assert said.code == 0, said.err
    assert "6 done" in said.err
