"""Runs and settings brought together: what there is to do, what is done already, and doing it."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_flex.bids.further import input_state
from bids_flex.bids.outputs import private_folder
from bids_flex.bids.results import read_sidecar
from bids_flex.config import science_hash, stated
from bids_flex.errors import MissingInputError, UsageError
from bids_flex.words import counted
from bids_flex.workflows.child import Outcome
from bids_flex.workflows.limits import share_out
from bids_flex.workflows.terminal import Board, live, telling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bids_flex.bids.inputs import Run, Runs
    from bids_flex.config import AtlasSettings, Config, Science
    from bids_flex.interrupts import Interrupts
    from bids_flex.signal import Atlas, Strategy
    from bids_flex.workflows.journal import Journal
    from bids_flex.workflows.stages import Job

LOG = logging.getLogger("bids_flex")

SHOWN = 3
"""Runs that are named in the log of many with the same note."""


def make_jobs(config: Config) -> tuple[list[Job], Runs]:
    """Bring runs and settings together; what serves the whole data set is read, and found wanting, first."""
    return make_all_jobs(config, [config.science])[0]


def make_all_jobs(config: Config, sciences: Sequence[Science]) -> list[tuple[list[Job], Runs]]:
    """Do the same for several settings; atlases, strategies and runs are looked for once each."""
    from bids_flex.signal import load_strategy
    from bids_flex.workflows.sources import find_sources
    from bids_flex.workflows.stages import Job, atlas_fingerprint, require_networks

    further = _custom_confounds(config)
    strategies: dict[str, Strategy] = {}
    sources: dict[AtlasSettings, tuple[Atlas, Runs, str, list[str]]] = {}
    found = []
    for science in sciences:
        chosen = science.denoise.strategy
        if chosen not in strategies:
            strategies[chosen] = load_strategy(chosen)
        if science.atlas not in sources:
            atlas, runs = find_sources(replace(config, science=science))
            states = [input_state(run, further) for run in runs.usable]
            sources[science.atlas] = (atlas, runs, atlas_fingerprint(atlas), states)
        atlas, runs, fingerprint, states = sources[science.atlas]
        require_networks(atlas, science)
        strategy, out = strategies[chosen], config.output_dir.resolve()
        settings_hash = science_hash(science, fingerprint, repr(strategy))
        jobs = [
            Job(run, science, atlas, strategy, out, settings_hash, state, further)
            for run, state in zip(runs.usable, states, strict=True)
        ]
        found.append((jobs, runs))
    return found


def _custom_confounds(config: Config) -> Path | None:
    """Name the folder of further confounds, if one was asked for."""
    if config.custom_confounds is None:
        return None
    folder = Path(config.custom_confounds).absolute()
    if not folder.is_dir():
        raise MissingInputError(f"--custom-confounds {folder} is no folder: check the path")
    return folder


def sort_out(jobs: list[Job], *, redo: bool) -> tuple[list[Job], list[Job]]:
    """Tell finished runs from those to do, and refuse to mix settings.

    Raises
    ------
    UsageError
        When a run was analysed with other settings, and --force was not given.
    """
    from bids_flex.workflows.derivatives import sidecar_path
    from bids_flex.workflows.engines import ENGINES

    done: list[Job] = []
    todo: list[Job] = []
    for job in jobs:
        # an engine that is not asked for now may have been used before: that is another setting too
        all_there = [] if redo else [read_sidecar(sidecar_path(job, engine)) for engine in ENGINES]
        for other in all_there:
            if other is not None and other.get("SettingsHash") != job.settings_hash:
                raise UsageError(
                    f"{job.run.name} was analysed with other settings in {job.output_dir}: "
                    f"{_difference(other.get('Settings', {}), stated(job.science))}; "
                    "choose another output folder, or --force to replace it"
                )
        there = None if redo else read_sidecar(sidecar_path(job))
        finished = there is not None and there.get("InputFingerprint") == job.fingerprint
        (done if finished else todo).append(job)
    return done, todo


def _difference(old: dict[str, Any], new: dict[str, Any]) -> str:
    """Say in which settings two analyses differ."""
    before, after = _flat(old), _flat(new)
    names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    told = [f"{name} was {before.get(name, 'unset')}, now {after.get(name, 'unset')}" for name in names]
    return "; ".join(told) or "the version of bids_flex, or the content of the atlas or the denoising strategy"


def _flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turn nested tables into one with dotted names."""
    flat: dict[str, Any] = {}
    for name, value in table.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def analyse(
    runs: Sequence[Sequence[Job]], config: Config, work_dir: Path, journal: Journal, interrupts: Interrupts
) -> None:
    """Analyse runs, each in one way or many, within what the machine allows; every one has a row of the status table.

    What would be killed for its memory, or fill the disk, is not begun.
    """
    from bids_flex.workflows.participant import run_jobs

    share = share_out(runs, config.execution.nprocs, config.execution.memory_gb, work_dir)
    journal.record(*(Outcome(name, "failed", why) for name, why in share.refused))
    without = {name for name, _ in share.refused}
    todo = [jobs for jobs in runs if jobs[0].run.name not in without]
    for jobs in todo:
        private_folder(work_dir / jobs[0].run.name)
    _tell_notes([jobs[0].run for jobs in todo])
    told = counted(len(todo), "run")
    LOG.info("%s to analyse, %d at a time; intermediate files in %s", told, share.parallel, work_dir)
    if todo:
        LOG.info("a run may need about %.0f MB of memory; %.0f MB may be used", share.need_mb, share.allowed_mb)
    board = Board(len(todo))

    def report(outcome: Outcome) -> None:
        journal.record(outcome)
        board.end(outcome)

    # on a terminal the table of runs says it all
    heard = telling("analysing runs", board.told) if journal.console is None and todo else contextlib.nullcontext()
    with heard, live(board, journal.console):
        run_jobs(
            todo,
            parallel=share.parallel,
            threads=share.threads,
            work_dir=work_dir,
            crash_dir=journal.folder / "crash",
            verbose=config.execution.verbose,
            stop_on_first_crash=config.execution.stop_on_first_crash,
            clean=config.execution.clean_workdir,
            report=report,
            at=board.at,
            check=interrupts.check,
        )


def _tell_notes(runs: Sequence[Run]) -> None:
    """Say in the log what the sidecars of runs will note of their inputs; runs with the same note share a line."""
    noted: dict[str, list[str]] = {}
    for run in runs:
        for note in run.notes:
            noted.setdefault(note, []).append(run.name)
    for note, names in noted.items():
        more = f" and {counted(len(names) - SHOWN, 'more run')}" if len(names) > SHOWN else ""
        LOG.warning("%s%s: %s", ", ".join(names[:SHOWN]), more, note)
