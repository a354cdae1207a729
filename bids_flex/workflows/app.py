"""The order in which a call does its work, and the exit code that says how it went."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from bids_flex.bids.outputs import check_writable, refuse_links, remove_leftovers, write_dataset
from bids_flex.bids.summaries import entities_of_run, participant_folders
from bids_flex.errors import BidsFlexError, NoMatchError, UsageError, unreachable
from bids_flex.interrupts import Interrupted
from bids_flex.words import counted
from bids_flex.workflows.child import Outcome
from bids_flex.workflows.jobs import analyse, make_jobs, sort_out
from bids_flex.workflows.journal import Journal, open_journal
from bids_flex.workflows.limits import pages_at_once, refuse_little_memory
from bids_flex.workflows.multiverse import dry_run_universes, refuse_universes, run_universes
from bids_flex.workflows.places import note_if_lost, work_folder
from bids_flex.workflows.terminal import telling

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bids_flex.bids.inputs import Run
    from bids_flex.config import Config
    from bids_flex.interrupts import Interrupts
    from bids_flex.workflows.stages import Job

LOG = logging.getLogger("bids_flex")

README = """\
# Dynamic reconfiguration of brain networks

Derivatives of bids_flex. One folder per participant; `group/` compares people; `logs/` holds one folder per call with
its settings and a table of what became of every run. Every table has a JSON file beside it that says what its columns
mean, in which units, and which settings were used.
"""


OWN_FOLDERS = ("logs", "atlases", "group", "group/figures", "group/maps")
"""Folders beside those of participants."""


def run_app(config: Config, interrupts: Interrupts) -> int:
    """Do what a call asks for.

    Parameters
    ----------
    config : Config
        What is asked for.
    interrupts : Interrupts
        The signals that ask it to stop.

    Returns
    -------
    int
        The exit code; the last line that is logged agrees with it.

    Raises
    ------
    BidsFlexError
        When there is nothing that could be done at all.
    Interrupted
        When it was asked to stop before there was a log to say so.
    """
    # before nipype is imported anywhere: it would write below HOME and ask the network for its latest version
    os.environ.setdefault("NO_ET", "1")
    os.environ.setdefault("NIPYPE_NO_ET", "1")
    refuse_little_memory()
    if config.execution.dry_run:
        return _dry_run(config)
    check_writable(config.output_dir)
    refuse_links(config.output_dir, *(config.output_dir / name for name in OWN_FOLDERS))
    remove_leftovers(*_shared_folders(config.output_dir))
    with work_folder(config.execution.work_dir) as work_dir:
        journal = open_journal(config)
        note_if_lost(config.output_dir)
        try:
            with interrupts.heard():
                code = _do(config, work_dir, journal, interrupts)
            interrupts.check()
        except BidsFlexError as error:
            LOG.error("%s", error)  # noqa: TRY400 - our messages say what to do; a traceback would bury that
            code = error.exit_code
        except PermissionError as error:
            closed = unreachable(error)
            LOG.error("%s", closed)  # noqa: TRY400 - as above
            code = closed.exit_code
        except Interrupted as stop:
            code = stop.exit_code
        return _close(journal, code)


def _do(config: Config, work_dir: Path, journal: Journal, interrupts: Interrupts) -> int:
    """Do the work of a level, and return the exit code."""
    if config.level == "group":
        return _group(config, journal)
    if config.multiverse is not None and not config.execution.reports_only:
        return run_universes(config, work_dir, journal, interrupts, README)
    refuse_universes(config.output_dir)
    if config.execution.reports_only:
        return _pages_again(config, journal)
    return _participant(config, work_dir, journal, interrupts)


def _shared_folders(output_dir: Path) -> list[Path]:
    """List where a killed call may have left temporary files; those of a run are cleared with the run."""
    own = [output_dir / name for name in OWN_FOLDERS]
    found = [output_dir, *own, *output_dir.glob("logs/*"), *output_dir.glob("sub-*/figures")]
    root = output_dir.resolve()
    return [folder for folder in found if folder.resolve().is_relative_to(root)]


def _participant(config: Config, work_dir: Path, journal: Journal, interrupts: Interrupts) -> int:
    """Analyse every run that is not done yet."""
    from bids_flex.workflows.atlases import keep_atlas_of
    from bids_flex.workflows.pages import make_pages
    from bids_flex.workflows.participant import start_server
    from bids_flex.workflows.sources import source_root

    start_server()
    with telling(f"looking for runs in {config.derivatives or config.bids_dir}"):
        jobs, runs = make_jobs(config)
    write_dataset(config.output_dir, source_root(config), README)
    journal.record(*(Outcome(one.name, "failed", one.reason) for one in runs.unusable))
    done, todo = sort_out(jobs, redo=config.execution.redo)
    # together: a table for each of thousands would be written thousands of times
    journal.record(*(Outcome(job.run.name, "skipped", "already done with these settings and files") for job in done))
    _note_short_windows(todo)
    if jobs:
        keep_atlas_of(jobs[0])
    analyse([[job] for job in todo], config, work_dir, journal, interrupts)
    if config.execution.reports:
        changed = [*(job.run.name for job in todo), *(one.name for one in runs.unusable)]
        labels = _labels(config, changed, [job.run.name for job in done])
        at_once = pages_at_once(config.execution.nprocs, config.execution.memory_gb)
        make_pages(config.output_dir, labels, nprocs=at_once, crash_dir=journal.folder / "crash")
    return 1 if journal.count("failed") else 0


def _group(config: Config, journal: Journal) -> int:
    """Compare people, unless only the page is wanted, and make the page."""
    from bids_flex.workflows.group import run_group
    from bids_flex.workflows.group_multiverse import is_multiverse, run_group_universes
    from bids_flex.workflows.pages import make_group

    again = config.execution.reports_only
    if again and not (config.output_dir / "group").is_dir():
        raise NoMatchError(f"{config.output_dir} has no results of the group level: run it first")
    if not again:
        (run_group_universes if is_multiverse(config) else run_group)(config, README)
    failed = make_group(config.output_dir, journal.folder / "crash") if config.execution.reports else 0
    # results that are whole are a success; of a call for a page alone, the page is the result
    return 1 if failed and again else 0


def _labels(config: Config, changed: Sequence[str], done: Sequence[str]) -> list[str]:
    """Name the participants whose pages are out of date, or missing, from the names of their runs."""
    labels, finished = ({entities_of_run(name).get("sub", "") for name in names} for names in (changed, done))
    missing = {label for label in finished if not any(config.output_dir.glob(f"sub-{label}[._]*html"))}
    return sorted((labels | missing) - {""})


def _pages_again(config: Config, journal: Journal) -> int:
    """Make pages from the outputs alone."""
    from bids_flex.workflows.pages import make_pages

    wanted = config.selection.participants
    labels = [label for label in participant_folders(config.output_dir) if not wanted or label in wanted]
    if not labels:
        who = " ".join(wanted) or "anybody"
        raise NoMatchError(f"{config.output_dir} has no results of {who}: run the participant level first")
    at_once = pages_at_once(config.execution.nprocs, config.execution.memory_gb)
    failed = make_pages(config.output_dir, labels, nprocs=at_once, crash_dir=journal.folder / "crash", redraw=True)
    return 1 if failed else 0


def _note_short_windows(jobs: list[Job]) -> None:
    """Say once for each engine that windows are short for the band, as the summaries of the runs do."""
    from bids_flex.workflows.engines import engines_of
    from bids_flex.workflows.summary import short_window_note

    engines = engines_of(jobs[0].science) if jobs else ()
    for engine in engines:
        notes = [note for note in (short_window_note(job, engine.name) for job in jobs) if note]
        if notes:
            LOG.warning("engine %s: %s", engine.name, notes[0])


def _dry_run(config: Config) -> int:
    """Print which runs would be analysed, with which files."""
    if config.level == "group":
        raise UsageError("--dry-run lists the runs of the participant level; the group level has none")
    if config.multiverse is not None:
        return dry_run_universes(config)
    jobs, runs = make_jobs(config)
    for job in jobs:
        _print_run(job.run)
    for title, states in (("cannot be used", runs.unusable), ("left out", runs.left_out)):
        for one in states:
            print(f"{one.name}\n    {title:<14} {one.reason}")
    told = f"{counted(len(jobs), 'run')} would be analysed, {len(runs.unusable)} cannot be"
    print(f"{told}, {counted(len(runs.left_out), 'file or run', 'files or runs')} left out")
    return 1 if runs.unusable else 0


def _print_run(run: Run) -> None:
    """Print one run with its files."""
    print(run.name)
    described = run.confounds_json or "none"
    rows = {"images": run.bold, "mask": run.mask, "confounds": run.confounds, "description": described}
    for title, file in rows.items():
        print(f"    {title:<14} {file}")
    print(f"    {'TR':<14} {run.tr_s:g} s, {counted(run.volumes, 'volume')}")
    for note in run.notes:
        print(f"    {'note':<14} {note}")


def _close(journal: Journal, code: int) -> int:
    """Say how it went, in the words of the exit code."""
    counts = {state: journal.count(state) for state in ("done", "skipped", "failed", "interrupted")}
    told = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    how = {0: "finished", 1: "finished with failures", 130: "interrupted", 143: "terminated"}.get(code, "failed")
    told = f" ({told})" if told else ""
    LOG.log(
        logging.INFO if code == 0 else logging.ERROR, "%s%s, exit code %d; log: %s", how, told, code, journal.folder
    )
    return code
