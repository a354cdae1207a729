"""One participant of 91 x 109 x 91 x 300 (2 mm, 200 regions) by stage: seconds, and the peak of memory so far."""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def by_stage(study: Path, atlas: Path, folder: Path, options: list[str]) -> None:
    """Run the stages one after the other in this process."""
    from bids_flex.cli import parse_config
    from bids_flex.workflows import derivatives, engine_stages, stages
    from bids_flex.workflows.app import make_jobs
    from bids_flex.workflows.engines import engines_of
    from bids_flex.workflows.limits import processors_allowed

    def timed(name: str, stage: Callable[[], Path]) -> Path:
        started = time.perf_counter()
        path = stage()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{name:24s} {time.perf_counter() - started:6.2f} s   peak {peak:6.0f} MiB", flush=True)
        return path

    config = parse_config([str(study), str(folder / "stages"), "participant", "--atlas", str(atlas), *options])
    (job,), _ = make_jobs(config)
    parcellated = timed("parcellate", lambda: stages.parcellate_run(job, folder))
    cleaned = timed("clean", lambda: stages.clean_run(job, parcellated, folder))
    threads = processors_allowed()
    written: list[tuple[Path, Path, Path]] = []
    for engine in engines_of(job.science):
        name, here = engine.name, folder / engine.name
        here.mkdir()
        windows = timed(f"connectivity {name}", partial(engine_stages.connect_run, job, name, cleaned, here))
        search = partial(engine_stages.search_run, job, name, cleaned, windows, here, threads)
        labels = timed(f"communities {name}", search)
        measures = timed(f"flexibility {name}", partial(engine_stages.measure_run, job, name, cleaned, labels, here))
        hold = partial(engine_stages.hold_run, job, name, cleaned, windows, labels, here, threads)
        written.append((labels, measures, timed(f"surrogates {name}", hold)))
    timed("write", lambda: derivatives.write_derivatives(job, parcellated, cleaned, *zip(*written, strict=True)))


def by_nilearn(study: Path, atlas: Path) -> None:
    """Take images to clean regional series with nilearn: its masker, its loader of confounds, its cleaning."""
    from nilearn.interfaces.fmriprep import load_confounds
    from nilearn.maskers import NiftiLabelsMasker
    from nilearn.signal import clean

    bold = next(study.rglob("*desc-preproc_bold.nii.gz"))
    mask = bold.with_name(bold.name.replace("desc-preproc_bold", "desc-brain_mask"))
    started = time.perf_counter()
    masker = NiftiLabelsMasker(str(atlas), mask_img=str(mask), standardize=None, reports=False)
    series = masker.fit_transform(str(bold))
    print(f"{'nilearn: masker':24s} {time.perf_counter() - started:6.2f} s", flush=True)
    started = time.perf_counter()
    confounds, kept = load_confounds(
        str(bold),
        strategy=("motion", "wm_csf", "global_signal", "scrub"),
        motion="full",
        wm_csf="full",
        global_signal="full",
        scrub=0,
        fd_threshold=0.5,
        std_dvars_threshold=1.5,
    )
    clean(
        series, confounds=confounds, sample_mask=kept, t_r=2.0, low_pass=0.1, high_pass=0.01, standardize=None,
        standardize_confounds=True, extrapolate=False,
    )  # fmt: skip
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{'nilearn: clean':24s} {time.perf_counter() - started:6.2f} s   peak {peak:6.0f} MiB", flush=True)


def main() -> None:
    """Simulate the participant, time the stages in a process of their own, then the whole command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--surrogates", action="store_true", help="with null models, by default 199 and 50")
    parser.add_argument("--stages", nargs=3, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--nilearn", nargs=2, type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    options = [] if given.surrogates else ["--n-surrogates", "0"]
    if given.stages:
        by_stage(*given.stages, options)
        return
    if given.nilearn:
        by_nilearn(*given.nilearn)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        study = folder / "bids"
        tool = Path(sys.executable).with_name("bids_flex-simulate")
        words = ["--participants", "1", "--voxel-mm", "2", "--duration-s", "600", "--regions", "200"]
        # in a process of its own: a process inherits the peak of the one that it is forked from
        subprocess.run([tool, study, *words], capture_output=True, check=True)
        atlas = next((study / "derivatives" / "atlas").glob("*.nii.gz"))
        # as in the app: threads serve surrogates and restarts, not linear algebra
        single = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        flags = ["--surrogates"] if given.surrogates else []
        subprocess.run([sys.executable, __file__, *flags, "--stages", study, atlas, folder], check=True, env=single)
        subprocess.run([sys.executable, __file__, "--nilearn", study, atlas], check=True)
        started = time.perf_counter()
        words = [str(study), str(folder / "out"), "participant", "--atlas", str(atlas), *options]
        subprocess.run([Path(sys.executable).with_name("bids_flex"), *words], capture_output=True, check=True)
        seconds = time.perf_counter() - started
        (status,) = (folder / "out" / "logs").glob("*/status.tsv")
        peak = status.read_text().split()[-1]
        print(f"{'whole command':24s} {seconds:6.2f} s   peak of the run's process {peak} MiB")


if __name__ == "__main__":
    main()
