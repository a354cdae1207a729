"""What the sbatch script submits and runs, without a scheduler: a small program stands for each that it calls."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from .script import CONTAINER, SBATCH, SHIPPED, adapt, call, executable

# says what it was called with, and ends as it is told to
APP = """\
#!/bin/bash
printf '%s\\n' "$@" >"$RECORD"
exit "${CODE:-0}"
"""


@pytest.fixture
def place(tmp_path):
    """A data set of six, and a folder of programs that come first in PATH."""
    people = ["sub-11", "sub-07", "sub-03", "sub-04", "sub-05", "sub-06"]
    write_people(tmp_path, [f"{one}\t{age}" for age, one in enumerate(people, 20)])
    executable(tmp_path / "bin" / "sbatch", SBATCH)
    executable(tmp_path / "bin" / "app", APP)
    (tmp_path / "scratch").mkdir()
    return tmp_path


def write_people(place, rows, header="participant_id\tage", end="\n"):
    (place / "bids").mkdir(exist_ok=True)
    (place / "bids" / "participants.tsv").write_text(end.join([header, *rows]) + end, newline="")


def script(place, **settings):
    folders = {"BIDS_DIR": place / "bids", "OUTPUT_DIR": place / "out", "SCRATCH": place / "scratch"}
    program = {"RUNNER": "command", "COMMAND": place / "bin" / "app"}
    return adapt(place / "my.sbatch", **{**folders, **program, **settings})


def surroundings(place, **more):
    outside = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    path = f"{place / 'bin'}:{os.environ['PATH']}"
    return {**outside, "PATH": path, "RECORD": str(place / "record"), **{k: str(v) for k, v in more.items()}}


def submitted(place):
    """The words of every call of sbatch."""
    record = place / "record"
    return [said.splitlines() for said in record.read_text().split("\n\n") if said.strip()] if record.exists() else []


def arrays(place):
    """Places and offset of every array that was submitted."""
    calls = [said for said in submitted(place) if said[-1] != "group"]
    return [(said[1].removeprefix("--array="), int(said[-1])) for said in calls]


def task(place, index, offset=0, script_settings=(), **more):
    return call(
        script(place, **dict(script_settings)),
        "participant",
        offset,
        environment=surroundings(place, SLURM_ARRAY_TASK_ID=index, **more),
    )


def test_everybody_is_submitted_and_the_group_waits_for_them(place):
    done = call(script(place, GROUP_MEM="7G"), "submit", environment=surroundings(place))
    assert done.code == 0, done.err
    everybody, group = submitted(place)
    assert everybody == ["--parsable", "--array=1-6%100", str(place / "my.sbatch"), "participant", "0"]
    assert {"--dependency=afterany:101", "--mem=7G", "--cpus-per-task=2", "--time=04:00:00"} <= set(group)
    assert group[-2:] == [str(place / "my.sbatch"), "group"]
    assert done.out == "array job 101: places 1-6 after 0\ngroup job 102\n"


def test_arrays_stay_within_the_limit_of_the_cluster(place):
    write_people(place, [f"sub-{number}" for number in range(2500)])
    mine = script(place, AT_ONCE=7)
    assert call(mine, "submit", environment=surroundings(place)).code == 0
    assert arrays(place) == [("1-1000%7", 0), ("1-1000%7", 1000), ("1-500%7", 2000)]
    assert "--dependency=afterany:101:102:103" in submitted(place)[-1]
    # the same places by name: SLURM itself would refuse the index 2003
    (place / "record").unlink()
    assert call(mine, "submit", "3,998-1002,2003", environment=surroundings(place)).code == 0
    assert arrays(place) == [("3-3,998-1000%7", 0), ("1-2%7", 1000), ("3-3%7", 2000)]


def test_an_offset_leads_to_the_same_participant(place):
    done = task(place, 2, offset=3)
    assert done.code == 0, done.err
    said = (place / "record").read_text().splitlines()
    assert said[said.index("--participant-label") + 1] == "sub-05"
    assert "task 5: participant sub-05 of" in done.err


def test_what_the_scheduler_does_not_take_is_named(place):
    write_people(place, [f"sub-{number}" for number in range(2500)])
    done = call(script(place), "submit", environment=surroundings(place, MOST=102))
    assert done.code == 1
    assert "job submit limit" in done.err
    assert "places from 2001 on and the group level are not submitted" in done.err


def test_the_unfinished_are_those_without_a_log_that_ends_well(place):
    mine = script(place)
    ends = {
        "bids_flex-9_1.log": ("task 1: participant sub-11 of /b", "finished (1 done), exit code 0; log: x"),
        "bids_flex-9_2.log": (
            "task 2: participant sub-07 of /b",
            "finished with failures (1 failed), exit code 1; log: x",
        ),
        "bids_flex-9_3.log": ("task 3: participant sub-03 of /b", "sub-03_task-rest: started"),
        # task 4 never began, and 5 ended well at the second try
        "bids_flex-9_5.log": ("task 5: participant sub-05 of /b", "bids_flex: interrupted, exit code 143"),
        "bids_flex-12_5.log": ("task 5: participant sub-05 of /b", "finished (1 skipped), exit code 0; log: x"),
        "bids_flex-group-10.log": ("finished, exit code 0; log: x",),
    }
    for name, lines in ends.items():
        (place / name).write_text("\n".join(lines) + "\n")
    assert call(mine, "submit", "unfinished", environment=surroundings(place)).code == 0
    assert arrays(place) == [("2-4,6-6%100", 0)]
    for number in (2, 3, 4, 6):
        log = place / f"bids_flex-14_{number}.log"
        log.write_text(f"task {number}: participant x of /b\nfinished (1 done), exit code 0; log: x\n")
    (place / "record").unlink()
    done = call(mine, "submit", "unfinished", environment=surroundings(place))
    assert (done.code, submitted(place)) == (0, [])
    assert "all 6 participants" in done.out


@pytest.mark.parametrize("places", ["7", "0", "3-2", "1,,2", "1;ls", "all", "-1", "1-2-3"])
def test_places_that_are_not_there_are_refused(place, places):
    done = call(script(place), "submit", places, environment=surroundings(place))
    assert done.code == 2
    assert places.split(",")[0] in done.err
    assert submitted(place) == []


def test_tables_of_other_hands_are_read(place):
    write_people(place, ["F\tsub-02", "", "M\tsub-01"], header="\ufeffsex\tparticipant_id", end="\r\n")
    done = task(place, 2)
    assert done.code == 0, done.err
    assert "participant sub-01 of" in done.err


@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        ({"BIDS_DIR": "/no/such/study"}, 66, "BIDS_DIR /no/such/study is not a folder"),
        ({"OUTPUT_DIR": "out"}, 2, "out is not a full path"),
        ({"RUNNER": "apptainer", "IMAGE": "/no/such.sif"}, 66, "IMAGE /no/such.sif does not exist"),
        ({"RUNNER": "apptainer", "READABLE": ["/a:b"]}, 2, "/a:b: containers cannot be given paths with : or ,"),
        ({"RUNNER": "docker"}, 2, "RUNNER is docker"),
        ({"COMMAND": "/no/such/bids_flex"}, 66, "/no/such/bids_flex is not found"),
    ],
)
def test_wrong_settings_are_named_with_a_code(place, settings, code, words):
    done = task(place, 1, script_settings=settings.items())
    assert done.code == code
    assert words in done.err


def test_a_table_without_participants_is_named(place):
    write_people(place, ["20"], header="age")
    assert (done := task(place, 1)).code == 65
    assert "no column participant_id" in done.err
    write_people(place, [])
    assert (done := call(script(place), "submit", environment=surroundings(place))).code == 18
    assert "has no participants" in done.err
    (place / "bids" / "participants.tsv").unlink()
    assert task(place, 1).code == 66


@pytest.mark.parametrize("index", [0, 7])
def test_a_place_outside_the_table_is_named(place, index):
    done = task(place, index)
    assert done.code == 2
    assert f"no participant {index}" in done.err


@pytest.mark.parametrize("code", [0, 1, 18, 66, 73])
def test_the_exit_code_is_the_app_s_and_the_scratch_folder_goes(place, code):
    assert task(place, 1, CODE=code).code == code
    said = (place / "record").read_text().splitlines()
    assert Path(said[said.index("--work-dir") + 1]).parent == place / "scratch"
    assert [*(place / "scratch").iterdir()] == []


@pytest.mark.parametrize(
    ("given", "memory"),
    [({"SLURM_MEM_PER_NODE": 4096}, "4.294"), ({"SLURM_MEM_PER_CPU": 1000, "SLURM_CPUS_PER_TASK": 3}, "3.145")],
)
def test_the_app_is_told_what_the_job_may_use(place, given, memory):
    # 4096 MiB are 4.294 GB
    task(place, 1, script_settings={"PARTICIPANT_OPTIONS": ["--mem", "2"]}.items(), **given)
    said = (place / "record").read_text().splitlines()
    assert said[said.index("--nprocs") + 1] == str(given.get("SLURM_CPUS_PER_TASK", 1))
    assert said[said.index("--mem") + 1] == memory
    # the user's own comes last, and wins
    assert said[-2:] == ["--mem", "2"]


def test_term_reaches_the_app_whose_code_is_handed_on(place):
    asleep = 'trap "touch \\"$RECORD.told\\"; exit 77" TERM\ntouch "$RECORD"\nwhile :; do sleep 0.05; done\n'
    executable(place / "bin" / "app", f"#!/bin/bash\n{asleep}")
    process = subprocess.Popen(
        ["bash", script(place), "participant"],
        env=surroundings(place, SLURM_ARRAY_TASK_ID=1),
        stderr=subprocess.DEVNULL,
    )
    while not (place / "record").exists():
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 77
    assert (place / "record.told").exists()
    assert [*(place / "scratch").iterdir()] == []


@pytest.mark.parametrize("runner", ["apptainer", "singularity"])
def test_the_command_line_of_containers(place, runner):
    """The exact words that apptainer or singularity is called with.

    Neither is on the machines that run these tests: a small program of that name notes its words and runs the plain
    command behind them. That the options mean what docs/apptainer.md says is not tested here.
    """
    executable(place / "bin" / runner, CONTAINER)
    (place / "my.sif").touch()
    readable = [place / "atlas", "/a path/with blanks"]
    mine = {
        "RUNNER": runner,
        "IMAGE": place / "my.sif",
        "READABLE": readable,
        "PARTICIPANT_OPTIONS": ["--gamma", "1 2"],
    }
    script(place, **mine)
    told = {"SLURM_CPUS_PER_TASK": 2, "SLURM_MEM_PER_NODE": 1000, "APP": "/bin/true"}
    assert (done := task(place, 3, script_settings=mine.items(), **told)).code == 0, done.err
    said = (place / "record").read_text().splitlines()
    work = said[said.index("--work-dir") + 1]
    assert Path(work).parent == place / "scratch"
    bids, out = place / "bids", place / "out"
    binds = [f"{bids}:{bids}:ro", f"{readable[0]}:{readable[0]}:ro", f"{readable[1]}:{readable[1]}:ro"]
    binds += [f"{out}:{out}", f"{work}:{work}"]
    assert said == [
        *("run", "--containall", "--env", "SLURM_CPUS_PER_TASK=2"),
        *(word for bind in binds for word in ("--bind", bind)),
        str(place / "my.sif"),
        *(str(bids), str(out), "participant", "--work-dir", work, "--nprocs", "2", "--mem", "1.048"),
        *("--participant-label", "sub-03", "--gamma", "1 2"),
    ]


def test_the_script_says_how_it_is_called():
    done = call(SHIPPED, environment={"PATH": os.environ["PATH"]})
    assert done.code == 2
    assert "submit [PLACES|unfinished]" in done.err


def test_the_group_s_command_line_has_the_group_s_options(place):
    mine = script(place, GROUP_OPTIONS=["--groups", "a column", "--covariates", "age"])
    assert call(mine, "group", environment=surroundings(place, SLURM_CPUS_PER_TASK=2)).code == 0
    said = (place / "record").read_text().splitlines()
    assert said[:3] == [str(place / "bids"), str(place / "out"), "group"]
    assert said[-6:] == ["--nprocs", "2", "--groups", "a column", "--covariates", "age"]
