"""A small study, and a way to call the app as users do."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

# nipype would ask the network for its latest version when it is imported
os.environ |= {"NO_ET": "1", "NIPYPE_NO_ET": "1"}

from bids_flex.cli import parse_config
from bids_flex.errors import RunError
from bids_flex.simulate import SimulationSettings, simulate_dataset
from bids_flex.workflows.app import make_jobs
from bids_flex.workflows.child import attempt

SMALL = {"duration_s": 300.0, "voxel_mm": 10.0, "regions": 28}
LEAN = ["--denoise", "24P+2P", "--n-surrogates", "3", "--restarts", "4", "--no-reports"]
PRIOR_ALONE = ["--engine", "prior", "--n-surrogates", "0"]


@dataclass(frozen=True)
class Study:
    """A simulated study and its atlas."""

    root: Path

    @property
    def atlas(self) -> Path:
        return next((self.root / "derivatives" / "atlas").glob("*_dseg.nii.gz"))

    def func(self, label: str) -> Path:
        return self.root / "derivatives" / "fmriprep" / f"sub-{label}" / "func"


@dataclass(frozen=True)
class Call:
    """What a call printed and returned."""

    code: int
    out: str
    err: str


def command(*words: object) -> list[str]:
    return [str(Path(sys.executable).with_name("bids_flex")), *map(str, words)]


def bids_flex(*words: object, **environment: str) -> Call:
    done = subprocess.run(
        command(*words), capture_output=True, text=True, check=False, timeout=280, env={**os.environ, **environment}
    )
    return Call(done.returncode, done.stdout, done.stderr)


def participant(study: Study, out: Path, *options: object) -> Call:
    return bids_flex(study.root, out, "participant", "--atlas", study.atlas, *LEAN, *options)


def analyse(study: Study, out: Path, *options: object, work: Path | None = None) -> None:
    """Analyse participant 01, or those that the options name, in this process: no start-up to wait for."""
    words = ["--participant-label", "01"] if "--participant-label" not in options else []
    said = [study.root, out, "participant", "--atlas", study.atlas, *LEAN, *words, *options]
    jobs, _ = make_jobs(parse_config([str(word) for word in said]))
    with tempfile.TemporaryDirectory() as temporary:
        for job in jobs:
            folder = (work or Path(temporary)) / job.run.name
            folder.mkdir(parents=True)
            execute(job, folder, threads=2)


def execute(job: Any, folder: Path, *, threads: int) -> None:
    """Run the graph of one run in this process."""
    (reason,) = attempt([job], folder, folder / "crash", verbose=0, threads=threads, at=lambda _stage: None)
    if reason:
        raise RunError(reason)


def status(out: Path) -> pd.DataFrame:
    """The newest status table."""
    newest = max((out / "logs").glob("*/status.tsv"), key=lambda path: path.stat().st_mtime_ns)
    return pd.read_csv(newest, sep="\t", keep_default_na=False).set_index("run")


def tree(out: Path) -> dict[str, bytes]:
    """Every output but the logs."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and "logs" not in path.parts
    }


def make_study(folder: Path, **changes: object) -> Study:
    return Study(simulate_dataset(folder, SimulationSettings(**{**SMALL, **changes})))


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return make_study(tmp_path_factory.mktemp("study") / "bids", participants=6, seed=5)


@pytest.fixture(scope="session")
def done(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study after the participant level; tests that change it take a copy."""
    out = tmp_path_factory.mktemp("done") / "out"
    assert participant(study, out).code == 0
    return out
