"""The participant level in many ways: one child process for each run, a data set for each universe."""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bids_flex.bids.outputs import refuse_links, remove_leftovers, write_atomic, write_dataset
from bids_flex.bids.results import read_sidecar
from bids_flex.bids.summaries import participant_folders
from bids_flex.bids.universes import (
    FOLDER,
    HASH_LENGTH,
    TABLE,
    UniverseTable,
    read_universes_table,
    universe_folder,
    write_universes,
)
from bids_flex.config import stated, to_toml
from bids_flex.errors import OutputError, UsageError
from bids_flex.multiverse import choice_names, read_universes, steps_of
from bids_flex.words import counted
from bids_flex.workflows.child import Outcome
from bids_flex.workflows.jobs import analyse, make_all_jobs, sort_out
from bids_flex.workflows.journal import write_status
from bids_flex.workflows.limits import output_mb, unfit
from bids_flex.workflows.terminal import telling

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bids_flex.bids.inputs import Unusable
    from bids_flex.config import Config
    from bids_flex.interrupts import Interrupts
    from bids_flex.multiverse import Universe
    from bids_flex.workflows.journal import Journal
    from bids_flex.workflows.stages import Job

LOG = logging.getLogger("bids_flex")

STEPS = {
    "parcellate": "parcellations",
    "clean": "cleanings",
    "connect": "windowed connectivities",
    "search": "searches",
    "hold": "null models",
}

SPARE_MB = 50.0
"""Room on the disk for what belongs to no universe."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A universe with the runs that it is to analyse; all of them have its folder as their output folder."""

    universe: Universe
    name: str
    folder: Path
    jobs: tuple[Job, ...]


def refuse_universes(output_dir: Path) -> None:
    """Refuse a folder that holds a multiverse, for one analysis.

    Raises
    ------
    UsageError
        When it does.
    """
    if (output_dir / TABLE).exists():
        raise UsageError(
            f"{output_dir} holds a multiverse: choose another output folder, say --multiverse, or name one of its "
            f"universes ({FOLDER}/...) as the output folder"
        )


def run_universes(config: Config, work_dir: Path, journal: Journal, interrupts: Interrupts, readme: str) -> int:
    """Analyse every run in every way that is not done yet.

    Returns
    -------
    int
        The exit code.

    Raises
    ------
    BidsFlexError
        When the grid or the disk forbids it; nothing has begun then.
    """
    from bids_flex.workflows.participant import start_server

    universes = read_universes(str(config.multiverse), config)
    start_server()
    with telling(f"looking for runs in {config.derivatives or config.bids_dir}"):
        planned, unusable = plan(config, universes)
    _refuse_mixture(config, planned)
    journal.record(*(Outcome(one.name, "failed", one.reason) for one in unusable))
    todo = {one.name: set(_todo(one, redo=config.execution.redo)) for one in planned}
    refused = _leave_out_unfit(planned, todo, config.execution.memory_gb, work_dir)
    runs = _by_run(planned, todo)
    idle = {run for _, run in refused}
    finished = sorted({job.run.name for one in planned for job in one.jobs} - set(runs) - idle)
    journal.record(*(Outcome(name, "skipped", "already done in every universe") for name in finished))
    _refuse_small_disk(config.output_dir, list(runs.values()))
    _prepare(config, planned, readme)
    told = ", ".join(f"{count} {name}" for name, count in shared_steps(universes).items())
    LOG.info("%s; for each run: %s", counted(len(planned), "universe"), told)
    try:
        analyse(list(runs.values()), config, work_dir, journal, interrupts)
    finally:
        states = _write_statuses(config, planned, todo, journal, unusable, refused)
    return 1 if states["failed"] or journal.count("failed") else 0


def dry_run_universes(config: Config) -> int:
    """Print the universes, the steps that each run needs for all of them, and their runs."""
    universes = read_universes(str(config.multiverse), config)
    planned, unusable = plan(config, universes)
    for one in planned:
        print(f"{one.name}  {one.universe}")
    print(", ".join(f"{count} {name}" for name, count in shared_steps(universes).items()), "for each run")
    names = sorted({job.run.name for one in planned for job in one.jobs})
    print("\n".join([*names, *(f"cannot be used: {one.name}: {one.reason}" for one in unusable)]))
    need = sum(output_mb(job) for one in planned for job in one.jobs)
    many = f"{counted(len(planned), 'universe')} of {counted(len(names), 'run')}"
    print(f"dry run: {many}, about {need:.0f} MB of results")
    return 1 if unusable else 0


def plan(config: Config, universes: Sequence[Universe]) -> tuple[list[Planned], tuple[Unusable, ...]]:
    """Find the runs of every universe.

    Raises
    ------
    UsageError
        When two universes would share a folder, or the windows of one are longer than every run.
    """
    found = make_all_jobs(config, [one.science for one in universes])
    planned: list[Planned] = []
    unusable: dict[str, Unusable] = {}
    for universe, (jobs, runs) in zip(universes, found, strict=True):
        unusable |= {one.name: one for one in runs.unusable}
        name = jobs[0].settings_hash[:HASH_LENGTH] if jobs else ""
        folder = universe_folder(config.output_dir.resolve(), name)
        planned.append(Planned(universe, name, folder, tuple(replace(job, output_dir=folder) for job in jobs)))
    if not any(one.jobs for one in planned):
        return [], tuple(unusable.values())
    for one in planned:
        _refuse_long_windows(one)
    named = Counter(one.name for one in planned)
    if named.most_common(1)[0][1] > 1:
        alike = [str(one.universe) for one in planned if named[one.name] > 1]
        raise UsageError(f"--multiverse: universes are the same: {'; '.join(alike[:2])} (their files have one content)")
    return planned, tuple(unusable[name] for name in sorted(unusable))


def _refuse_long_windows(planned: Planned) -> None:
    """Refuse windows that fit into no run; where they fit into some, the others fail, and are counted."""
    from bids_flex.workflows.engine_stages import window_volumes

    engine = planned.universe.engine
    short = [job for job in planned.jobs if window_volumes(job, engine) > job.run.volumes]
    if short and len(short) == len(planned.jobs):
        longest = max(job.run.volumes * job.run.tr_s for job in planned.jobs)
        window = planned.universe.science.engine(engine).window
        raise UsageError(
            f"--multiverse: universe {planned.universe}: windows of {window} are longer than every run (the longest "
            f"has {longest:g} s): name shorter ones"
        )
    if short:
        told = counted(len(short), "run")
        LOG.warning("universe %s: its windows are longer than %s, which will fail", planned.name, told)


def shared_steps(universes: Sequence[Universe]) -> dict[str, int]:
    """Count the different steps that one run needs for all universes."""
    steps = [steps_of(one.science, one.engine) for one in universes]
    return {told: len({getattr(one, name) for one in steps}) for name, told in STEPS.items()}


def _refuse_mixture(config: Config, planned: Sequence[Planned]) -> None:
    """Refuse an output folder of one analysis, or of another grid."""
    out = config.output_dir
    if participant_folders(out):
        raise UsageError(f"{out} holds results of one analysis (sub-*): choose another folder for --multiverse")
    there = read_universes_table(out)
    if there is None or config.execution.redo or not planned:
        return
    if set(there.names) != {one.name for one in planned}:
        gone = len(set(there.names) - {one.name for one in planned})
        new = len({one.name for one in planned} - set(there.names))
        raise UsageError(
            f"{out} holds the multiverse of another grid, or of other options ({gone} of its {len(there.names)} "
            f"universes are not in this one, {new} are new): choose another output folder, or --force to replace "
            "the table; universes that stay are not analysed again without --force"
        )


def _todo(planned: Planned, *, redo: bool) -> list[str]:
    """List the runs that a universe has not done yet."""
    return [job.run.name for job in sort_out(list(planned.jobs), redo=redo)[1]]


def _leave_out_unfit(
    planned: Sequence[Planned], todo: dict[str, set[str]], memory_gb: float | None, work_dir: Path
) -> dict[tuple[str, str], str]:
    """Leave out what memory or disk cannot hold, such as universes of a large atlas; the reasons by hash and run."""
    refused: dict[tuple[str, str], str] = {}
    for one in planned:
        found = unfit([job for job in one.jobs if job.run.name in todo[one.name]], memory_gb, work_dir)
        if found:
            idle = counted(len(found), "run is", "runs are")
            LOG.error("universe %s: %s not begun: %s", one.name, idle, found[0][1])
        refused |= {(job.settings_hash, job.run.name): why for job, why in found}
        todo[one.name] -= {job.run.name for job, _ in found}
    return refused


def _by_run(planned: Sequence[Planned], todo: dict[str, set[str]]) -> dict[str, list[Job]]:
    """Gather what is to be done by runs: those of one name share their steps."""
    runs: dict[str, list[Job]] = {}
    for one in planned:
        for job in one.jobs:
            if job.run.name in todo[one.name]:
                runs.setdefault(job.run.name, []).append(job)
    return dict(sorted(runs.items()))


def _refuse_small_disk(output_dir: Path, runs: Sequence[Sequence[Job]]) -> None:
    """Refuse a plan whose results would not fit on the disk.

    Raises
    ------
    OutputError
        Before anything has begun.
    """
    need = sum(output_mb(job) for jobs in runs for job in jobs) + SPARE_MB
    free = shutil.disk_usage(output_dir).free / 1e6
    count = sum(map(len, runs))
    if count and need > free:
        raise OutputError(
            f"{counted(count, 'analysis', 'analyses')} of {counted(len(runs), 'run')} need about {need:.0f} MB in "
            f"{output_dir}, and {free:.0f} MB are free: nothing was begun; choose a larger disk, or name fewer levels "
            "or participants"
        )


def _prepare(config: Config, planned: Sequence[Planned], readme: str) -> None:
    """Write what makes folders data sets, and the table of universes."""
    from bids_flex.workflows.atlases import keep_atlas_of
    from bids_flex.workflows.sources import source_root

    if not planned:
        return
    source = source_root(config)
    write_dataset(config.output_dir, source, readme)
    for one in planned:
        refuse_links(config.output_dir, config.output_dir / FOLDER, one.folder, one.folder / "logs")
        write_dataset(one.folder, source, f"{readme}\nOne universe of a multiverse: {one.universe}.\n")
        remove_leftovers(one.folder, one.folder / "atlases", *one.folder.glob("logs/*"))
        keep_atlas_of(one.jobs[0])
    universes = [one.universe for one in planned]
    table = UniverseTable(
        tuple(one.name for one in planned), choice_names(universes), tuple(dict(one.levels) for one in universes)
    )
    facts: dict[str, Any] = {
        "Universes": len(planned),
        "StepsOfEachRun": shared_steps(universes),
        "Settings": stated(config.science),
    }
    write_universes(config.output_dir, table, facts)


def _write_statuses(
    config: Config,
    planned: Sequence[Planned],
    todo: dict[str, set[str]],
    journal: Journal,
    unusable: Sequence[Unusable],
    refused: dict[tuple[str, str], str],
) -> Counter[str]:
    """Write for every universe what became of its runs, and how it would be made alone; the states of all, counted."""
    ended = {one.run: one for one in journal.outcomes}
    by_run = _by_run(planned, todo)
    reasons = refused | {
        (jobs[place].settings_hash, run): reason
        for run, jobs in by_run.items()
        if run in ended
        for place, reason in enumerate(ended[run].parts)
    }
    states: Counter[str] = Counter()
    for one in planned:
        rows = [Outcome(bad.name, "failed", bad.reason) for bad in unusable]
        rows += [_became(job, todo[one.name], ended.get(job.run.name), reasons) for job in one.jobs]
        states.update(row.state for row in rows)
        if any(row.state != "skipped" for row in rows):
            log = one.folder / "logs" / journal.folder.name
            alone = replace(config, science=one.universe.science, multiverse=None, output_dir=one.folder)
            write_atomic(log / "config.toml", to_toml(alone))
            write_status(log, rows)
    LOG.info("universes x runs: %s", ", ".join(f"{count} {state}" for state, count in sorted(states.items())))
    return states


def _became(job: Job, todo: set[str], ended: Outcome | None, reasons: dict[tuple[str, str], str]) -> Outcome:
    """Say what became of one run in one universe: its last sidecar decides where its process could not say."""
    from bids_flex.workflows.derivatives import sidecar_path

    name = job.run.name
    if reason := reasons.get((job.settings_hash, name)):
        return Outcome(name, "failed", reason)
    if name not in todo:
        return Outcome(name, "skipped", "already done with these settings and files")
    there = read_sidecar(sidecar_path(job))
    if there is not None and there.get("InputFingerprint") == job.fingerprint:
        return Outcome(name, "done")
    return Outcome(name, ended.state, ended.reason) if ended else Outcome(name, "interrupted", "it was not begun")
