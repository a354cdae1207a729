"""A study on a real SLURM: one that breaks, jobs that are killed, tasks that end at once."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from bids_flex.bids.check import check_outputs
from bids_flex.bids.outputs import TEMPORARY
from bids_flex.simulate import SimulationSettings, simulate_dataset

from .script import APP, CONTAINER, adapt, call, executable

pytestmark = pytest.mark.cluster

PROGRAMS = ("sbatch", "scancel", "scontrol", "squeue", "slurmctld", "slurmd", "munge", "munged")
SMALLEST = {"duration_s": 300.0, "tr_s": 3.0, "voxel_mm": 12.0, "regions": 14, "seed": 1}
LEAN = ["--denoise", "simple", "--restarts", "2", "--n-surrogates", "0", "--no-reports"]
# seconds in which a job can be killed
LONGER = ["--denoise", "simple", "--restarts", "50", "--n-surrogates", "500", "--no-reports"]
GROUP = ["--groups", "antidepressant", "--n-permutations", "99", "--no-reports"]


@dataclass(frozen=True)
class Cluster:
    """A scheduler of one node."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        outside = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
        return {**outside, "SLURM_CONF": str(self.folder / "slurm.conf"), "LOGNAME": "root"}

    def say(self, *words: object, cwd: Path | None = None) -> str:
        """Call one of SLURM's programs."""
        said = [str(word) for word in words]
        done = subprocess.run(said, capture_output=True, text=True, check=True, cwd=cwd, env=self.environment)
        return done.stdout.strip()

    def submit(self, script: Path, *words: object, **more: str) -> tuple[str, ...]:
        """Call the script, and give the numbers of the jobs that it has submitted."""
        done = call(script, "submit", *words, environment={**self.environment, **more})
        assert done.code == 0, done.err
        return tuple(re.findall(r"^(?:array|group) job (\d+)", done.out, re.MULTILINE))

    def wait(self, seconds: float = 300) -> None:
        """Wait until no job is left."""
        until = time.monotonic() + seconds
        while queue := self.say("squeue", "--noheader"):
            assert time.monotonic() < until, queue
            time.sleep(0.2)

    def ended(self, number: str) -> dict[int, dict[str, str]]:
        """What the scheduler has written about every task of an array; a job that is none has task 0."""
        lines = (self.folder / "jobcomp.log").read_text().splitlines()
        jobs = [dict(re.findall(r"(\w+)=(\S*)", line)) for line in lines]
        return {int(job.get("ArrayTaskId", 0)): job for job in jobs if job.get("ArrayJobId", job["JobId"]) == number}


def is_alive(number: int) -> bool:
    """Whether a process is there, and not one that has ended and is only waited for."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(scope="module")
def cluster(shared, tmp_path_factory):
    """A real SLURM, stopped at the end whatever happens."""
    tool = shared.parent / "tools" / "slurm-cluster"
    if not tool.exists():
        pytest.skip(f"needs {tool.name}, which is not beside the reference data")
    if lacking := [program for program in PROGRAMS if not shutil.which(program)]:
        pytest.skip(f"needs SLURM (Debian's slurm-wlm and munge): {', '.join(lacking)} not found")
    if os.geteuid() != 0:
        pytest.skip("needs root, to start SLURM")
    if subprocess.run(["munge", "-n"], capture_output=True, check=False).returncode == 0:
        pytest.skip("munge runs here already: this machine may belong to a cluster, which is left alone")
    folder = tmp_path_factory.mktemp("slurm")
    try:
        up = subprocess.run([tool, "up", folder], capture_output=True, text=True, check=False, timeout=60)
        assert up.returncode == 0, up.stderr
        yield (running := Cluster(folder))
        subprocess.run(["scancel", "--user=root"], check=False, env=running.environment)
        running.wait(60)
    finally:
        daemons = [int(path.read_text()) for path in folder.glob("*.pid")]
        subprocess.run([tool, "down", folder], check=False, capture_output=True, timeout=60)
        until = time.monotonic() + 20
        while alive := [number for number in daemons if is_alive(number)]:
            assert time.monotonic() < until, f"SLURM's processes {alive} do not end"
            time.sleep(0.1)


@dataclass(frozen=True)
class Place:
    """A simulated study, and where it is analysed."""

    root: Path

    @property
    def bids(self) -> Path:
        return self.root / "bids"

    @property
    def out(self) -> Path:
        return self.root / "out"

    @property
    def scratch(self) -> Path:
        return self.root / "scratch"

    @property
    def atlas(self) -> Path:
        return next((self.bids / "derivatives" / "atlas").glob("*_dseg.nii.gz"))

    def script(self, name: str, options: list[str], *, mem: str = "1G", **settings: object) -> Path:
        """Write a script, in the folder of the jobs' logs."""
        mine = {"BIDS_DIR": self.bids, "OUTPUT_DIR": self.out, "SCRATCH": self.scratch, "RUNNER": "command"}
        mine |= {"COMMAND": APP, "PARTICIPANT_OPTIONS": ["--atlas", self.atlas, *options], "GROUP_OPTIONS": GROUP}
        mine |= {"GROUP_CPUS": 1, "GROUP_MEM": "1G"}
        return adapt(self.root / name, mem=mem, **{**mine, **settings})

    def log(self, job: str, task: int) -> str:
        path = self.root / f"bids_flex-{job}_{task}.log"
        return path.read_text() if path.exists() else ""

    def rows(self) -> pd.DataFrame:
        """All rows of all calls, one for each participant and state."""
        tables = [pd.read_csv(path, sep="\t", keep_default_na=False) for path in self.out.glob("logs/*/status.tsv")]
        rows = pd.concat(tables)
        return rows.assign(participant=rows["run"].str.slice(0, 6)).set_index("participant").sort_index()


def make_place(root: Path, participants: int) -> Place:
    place = Place(root)
    simulate_dataset(place.bids, SimulationSettings(participants=participants, **SMALLEST))
    place.scratch.mkdir()
    return place


def files(out: Path, *patterns: str) -> dict[str, bytes]:
    """Every file but the logs, or those of some patterns."""
    found = [path for pattern in patterns or ("**/*",) for path in out.glob(pattern) if path.is_file()]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in found if "logs" not in path.parts}


def people(table: Path) -> list[str]:
    """Who is in a table, be it with several rows."""
    return sorted(set(pd.read_csv(table, sep="\t", dtype=str)["participant_id"]))


def whole_logs(out: Path) -> int:
    """Read every file of every call's log folder; give the number of folders."""
    folders = [*(out / "logs").iterdir()]
    for folder in folders:
        json.loads((folder / "call.json").read_text())
        tomllib.loads((folder / "config.toml").read_text())
        assert "exit code" in (folder / "bids_flex.log").read_text().splitlines()[-1]
    return len(folders)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Six people; the image of the fourth ends too early."""
    place = make_place(tmp_path_factory.mktemp("study"), 6)
    image = next(place.bids.rglob("sub-04*_desc-preproc_bold.nii.gz"))
    image.with_suffix(".whole").write_bytes(image.read_bytes())
    image.write_bytes(image.read_bytes()[:2000])
    return place


@pytest.fixture(scope="module")
def array(cluster, place):
    """The numbers of the array of all six, and of the group's job, when both have ended."""
    jobs = cluster.submit(place.script("lean.sbatch", LEAN))
    reason = cluster.say("squeue", "--noheader", "--jobs", jobs[1], "--format=%r")
    cluster.wait()
    assert reason == "Dependency"
    return jobs


@pytest.fixture(scope="module")
def outside(cluster, place, tmp_path_factory):
    """The first two participants, by a plain call without the scheduler."""
    out = tmp_path_factory.mktemp("outside") / "out"
    words = [place.bids, out, "participant", "--atlas", place.atlas, *LEAN, "--participant-label", "01", "02"]
    subprocess.run([APP, *words], check=True, capture_output=True)
    return files(out)


def test_one_of_six_is_broken_and_the_others_go_on(cluster, place, array):
    jobs = cluster.ended(array[0])
    broken = ("FAILED", "1:0")
    told = {task: (job["JobState"], job["ExitCode"]) for task, job in jobs.items()}
    assert told == {task: broken if task == 4 else ("COMPLETED", "0:0") for task in range(1, 7)}
    rows = place.rows()
    assert [*rows["state"]] == ["done", "done", "done", "failed", "done", "done"]
    assert "cannot be read to its end" in rows.loc["sub-04", "reason"]
    for task in (1, 2, 3, 5, 6):
        assert re.search(rf"sub-0{task}_\S+: done in [\d.]+ s, peak memory \d+ MiB\n", place.log(array[0], task))
    # six tasks that have shared one folder, and the group
    assert whole_logs(place.out) == 7
    assert check_outputs(place.out)[1] == []
    assert [*place.out.rglob(f"{TEMPORARY}*")] == []
    assert [*place.scratch.iterdir()] == []


def test_the_group_runs_on_five_when_all_six_have_ended(cluster, place, array):
    (group,) = cluster.ended(array[1]).values()
    assert group["ExitCode"] == "0:0"
    assert group["StartTime"] >= max(job["EndTime"] for job in cluster.ended(array[0]).values())
    assert people(place.out / "group" / "participants_dynamics.tsv") == [f"sub-0{n}" for n in (1, 2, 3, 5, 6)]
    assert people(place.out / "group" / "participants_leftout.tsv") == ["sub-04"]


def test_numbers_are_those_of_a_plain_call(place, array, outside):
    assert files(place.out, "sub-01/**/*", "sub-02/**/*", "*", "atlases/*") == outside


def test_the_one_that_was_broken_is_done_again_alone(cluster, place, array):
    image = next(place.bids.rglob("sub-04*_desc-preproc_bold.nii.gz"))
    image.with_suffix(".whole").rename(image)
    before = files(place.out, "sub-*/**/*")
    again, group = cluster.submit(place.root / "lean.sbatch", "unfinished")
    cluster.wait()
    assert {task: job["ExitCode"] for task, job in cluster.ended(again).items()} == {4: "0:0"}
    assert cluster.ended(group)[0]["ExitCode"] == "0:0"
    assert people(place.out / "group" / "participants_dynamics.tsv") == [f"sub-0{n}" for n in range(1, 7)]
    after = files(place.out, "sub-*/**/*")
    assert {name: content for name, content in after.items() if not name.startswith("sub-04")} == before


def test_tasks_that_end_at_once_leave_shared_files_whole(cluster, place, outside, tmp_path):
    # each waits for the other before it begins, and both have the same work to do
    gate = executable(
        tmp_path / "gate",
        f'#!/bin/bash\ntouch "{tmp_path}/at-$SLURM_ARRAY_TASK_ID"\n'
        f'until [[ -e "{tmp_path}/at-1" && -e "{tmp_path}/at-2" ]]; do sleep 0.01; done\nexec "{APP}" "$@"\n',
    )
    out = tmp_path / "out"
    mine = place.script("gate.sbatch", LEAN, COMMAND=gate, OUTPUT_DIR=out)
    array = cluster.say("sbatch", "--parsable", "--array=1-2", mine, cwd=place.root)
    cluster.wait()
    jobs = cluster.ended(array)
    assert {task: job["ExitCode"] for task, job in jobs.items()} == {1: "0:0", 2: "0:0"}
    assert max(job["StartTime"] for job in jobs.values()) < min(job["EndTime"] for job in jobs.values())
    assert files(out) == outside
    assert whole_logs(out) == 2
    assert check_outputs(out)[1] == []
    assert [*out.rglob(f"{TEMPORARY}*")] == []


def test_killed_jobs_are_submitted_again_and_complete(cluster, tmp_path):
    """One is cancelled while it works, and one is killed for its memory, since it was told that it had more."""
    place = make_place(tmp_path, 2)
    mine = place.script("longer.sbatch", LONGER)
    other = tmp_path / "other"
    other.mkdir()
    greedy = place.script("greedy.sbatch", [*LONGER, "--mem", "8"], mem="330M", SCRATCH=other)
    cancelled = cluster.say("sbatch", "--parsable", "--array=1", mine, cwd=place.root)
    killed = cluster.say("sbatch", "--parsable", "--array=2", greedy, cwd=place.root)
    until = time.monotonic() + 100
    while ": started" not in place.log(cancelled, 1):
        assert time.monotonic() < until, place.log(cancelled, 1)
        time.sleep(0.05)
    cluster.say("scancel", f"{cancelled}_1")
    cluster.wait()
    assert cluster.ended(cancelled)[1]["JobState"] == "CANCELLED"
    assert place.rows().loc["sub-01", "state"] == "interrupted"
    assert "exit code 143" in place.log(cancelled, 1)
    assert [*place.scratch.iterdir()] == []
    assert cluster.ended(killed)[2]["JobState"] not in {"COMPLETED", "RUNNING"}
    assert "exceeded memory limit" in place.log(killed, 2)
    assert "exit code 0" not in place.log(killed, 2)
    again = cluster.say("sbatch", "--parsable", "--array=1-2", mine, cwd=place.root)
    cluster.wait()
    assert {task: job["ExitCode"] for task, job in cluster.ended(again).items()} == {1: "0:0", 2: "0:0"}
    assert set(place.rows().groupby("participant")["state"].agg(lambda states: "done" in set(states))) == {True}
    assert check_outputs(place.out)[1] == []
    assert [*place.out.rglob(f"{TEMPORARY}*")] == []


def test_a_job_with_too_little_memory_says_so_before_it_is_killed(cluster, place, tmp_path):
    mine = place.script("small.sbatch", LEAN, mem="350M", OUTPUT_DIR=tmp_path / "out")
    number = cluster.say("sbatch", "--parsable", "--array=3", mine, cwd=place.root)
    cluster.wait()
    assert (cluster.ended(number)[3]["JobState"], cluster.ended(number)[3]["ExitCode"]) == ("FAILED", "1:0")
    # 350 MiB are 367 MB
    assert re.search(r"needs about \d+ MB of memory, and 367 MB may be used", place.log(number, 3))


def test_a_container_s_command_line_gives_the_same(cluster, place, outside, tmp_path):
    """There is no apptainer here: a program of that name notes its words, and runs the plain command behind them.

    It has nothing of the job's environment but what ``--env`` names, as under ``--containall``; that apptainer itself
    does what its options say is not tested here.
    """
    executable(tmp_path / "bin" / "apptainer", CONTAINER)
    (tmp_path / "my.sif").touch()
    settings = {"RUNNER": "apptainer", "IMAGE": tmp_path / "my.sif", "OUTPUT_DIR": tmp_path / "out"}
    mine = place.script("contained.sbatch", LEAN, **settings)
    path = f"PATH={tmp_path / 'bin'}:{os.environ['PATH']}"
    told = f"--export=ALL,{path},RECORD={tmp_path / 'record'},APP={APP}"
    number = cluster.say("sbatch", "--parsable", "--array=2", told, mine, cwd=place.root)
    cluster.wait()
    assert cluster.ended(number)[2]["ExitCode"] == "0:0"
    theirs = {name: content for name, content in outside.items() if not name.startswith("sub-01")}
    assert files(tmp_path / "out") == theirs
    said = (tmp_path / "record").read_text().splitlines()
    assert said[:4] == ["run", "--containall", "--env", "SLURM_CPUS_PER_TASK=1"]
    assert said[said.index(str(tmp_path / "my.sif")) + 3] == "participant"
    assert f"{place.bids}:{place.bids}:ro" in said
