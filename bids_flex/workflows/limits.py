"""What a call may use of the machine, by control group, scheduler and hardware; and what a run needs."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bids_flex.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bids_flex.workflows.stages import Job

MB = 1e6
SHARED_MB = 300.0
"""The parent and the server that children are forked from, measured; runs come on top (docs/sizing.md)."""
RUN_MB = 120.0
"""A child before it holds windows, measured."""
PAGE_MB = 250.0
"""A process that draws pages, measured."""
FLOAT_MB = 8 / MB
SERIES_BYTES, MATRIX_BYTES, LABEL_BYTES = 14, 17, 2.2
"""Of a value in tables of series, matrices and communities; measured, as the next two."""
REGION_BYTES, RUN_BYTES = 2500, 50_000
"""Of a region in all dictionaries and tables of measures, and of what no region is in."""
GROUPS, OWN_GROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
UNLIMITED = 1 << 60
"""Version 1 of control groups writes a number near 2**63 for no limit."""


def processors_allowed() -> int:
    """Count the processors that this process may use, by the control group's quota, the scheduler's mask and its word.

    Not every SLURM binds its jobs to the processors that they are given; all of them say how many.
    """
    available = len(os.sched_getaffinity(0)) if sys.platform == "linux" else (os.cpu_count() or 1)
    told = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return max(1, min([available, *(int(quota) for quota in quotas()), *([int(told)] if told.isdigit() else [])]))


def memory_allowed_mb() -> float:
    """Tell how much memory this process may use, in MB: the least of its control groups' limits and the machine's."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    files = [*_files("memory.max", ""), *_files("memory.limit_in_bytes", "memory")]
    limits = [int(text) for text in map(_text, files) if text.isdigit()]
    return min([machine, *(limit for limit in limits if limit < UNLIMITED)]) / MB


def quotas() -> Iterator[float]:
    """Read the processors that control groups allow, versions 2 and 1; nothing without a limit."""
    for text in map(_text, _files("cpu.max", "")):
        quota, _, period = text.partition(" ")
        if quota.isdigit() and period.isdigit():
            yield int(quota) / int(period)
    for file in _files("cpu.cfs_quota_us", "cpu"):
        quota, period = _text(file), _text(file.with_name("cpu.cfs_period_us"))
        if quota.isdigit() and period.isdigit():
            yield int(quota) / int(period)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def _files(name: str, controller: str) -> Iterator[Path]:
    """Name a controller's file in this process's control group and in all above it, where there may be limits as well.

    Inside a container the group's own path does not exist: its files lie at the root.
    """
    for line in _text(OWN_GROUP).splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            here = GROUPS / controller / path.strip("/")
            for folder in (here, *here.parents):
                if folder.is_relative_to(GROUPS / controller):
                    yield folder / name


def refuse_little_memory() -> None:
    """Refuse a limit that the libraries alone exceed, before they are loaded and the system ends the call unheard.

    Raises
    ------
    UsageError
        With what may be used, and what is needed.
    """
    allowed = memory_allowed_mb()
    if allowed < SHARED_MB:
        raise UsageError(
            f"{allowed:.0f} MB of memory may be used here, and the smallest run needs {SHARED_MB + RUN_MB:.0f} MB: "
            "give more (docker run -m, #SBATCH --mem)"
        )


def need_mb(job: Job, threads: int) -> float:
    """Estimate the memory that one run needs, in MB, beyond what all processes share.

    Windows of connectivity wait in a scratch file and are read in blocks. Temporal modularity alone holds all of its
    windows, once for the observed series and once for the surrogate in work in each thread, in three matrices each
    (connectivity, modularity, the level that is searched); windows in random order (``temporal``) are held whole as
    well. The factors are measured under limits (docs/sizing.md).
    """
    from bids_flex.workflows.engine_stages import most_windows

    regions = len(job.atlas.labels)
    windows = {engine: most_windows(job, engine) for engine in job.science.engines}
    matrices = 20 * threads + 3 * (threads + 1) * windows.get("multilayer", 0)
    if job.science.surrogates.kind == "temporal":
        matrices += (threads + 1) * max(windows.values())
    return RUN_MB + (matrices * regions + 4 * job.run.volumes) * regions * FLOAT_MB


def scratch_mb(job: Job) -> float:
    """Tell how much one run keeps in its work folder at once, in MB: the windows of its engines."""
    from bids_flex.workflows.engine_stages import most_windows

    windows = sum(most_windows(job, engine) for engine in job.science.engines)
    return windows * len(job.atlas.labels) ** 2 * FLOAT_MB


def output_mb(job: Job) -> float:
    """Tell how much the results of one run take on the disk, in MB: tables as text, and their dictionaries."""
    from bids_flex.workflows.engine_stages import most_windows

    regions = len(job.atlas.labels)
    tables: float = 2 * SERIES_BYTES * job.run.volumes + (1 + len(job.science.engines)) * MATRIX_BYTES * regions
    for engine in job.science.engines:
        tables += (2 if engine == "multilayer" else 1) * LABEL_BYTES * most_windows(job, engine) + REGION_BYTES
    return (tables * regions + RUN_BYTES) / MB


@dataclass(frozen=True, slots=True)
class Share:
    """How the machine is shared out.

    Attributes
    ----------
    parallel, threads : int
        Runs at a time, and threads of each.
    need_mb, allowed_mb : float
        Memory that the neediest run is expected to need beside what all share, and what all together may use.
    refused : tuple of (str, str)
        Runs that would not fit if each had the machine for itself, by name, and why.
    """

    parallel: int
    threads: int
    need_mb: float
    allowed_mb: float
    refused: tuple[tuple[str, str], ...]


def share_out(runs: Sequence[Sequence[Job]], nprocs: int | None, memory_gb: float | None, work_dir: Path) -> Share:
    """Decide how many runs are analysed at a time, so that they stay within processors, memory and disk.

    Parameters
    ----------
    runs : sequence of sequence of Job
        Runs to analyse, each in one way or many, one after the other.
    nprocs, memory_gb : int or None, float or None
        What the user allows; None for what control group, scheduler and machine allow.
    work_dir : Path
        Where runs keep their intermediate files.
    """
    allowed_mb = _allowed_mb(memory_gb)
    refused = tuple((jobs[0].run.name, wrong[0][1]) for jobs in runs if (wrong := unfit(jobs, memory_gb, work_dir)))
    without = {name for name, _ in refused}
    rest = [jobs for jobs in runs if jobs[0].run.name not in without]
    processors = processors_allowed()
    fitting = int((allowed_mb - SHARED_MB) // _most(rest, 1))
    parallel = max(1, min(nprocs or processors, len(rest), fitting))
    # processors that no run needs serve the restarts and surrogates of the others
    threads = max(1, processors // parallel)
    while threads > 1 and SHARED_MB + parallel * _most(rest, threads) > allowed_mb:
        threads -= 1
    return Share(parallel, threads, _most(rest, threads), allowed_mb, refused)


def unfit(jobs: Sequence[Job], memory_gb: float | None, work_dir: Path) -> list[tuple[Job, str]]:
    """List what would not fit if it had the machine for itself, and why; None as for :func:`share_out`."""
    allowed_mb, free_mb = _allowed_mb(memory_gb), shutil.disk_usage(work_dir).free / MB
    return [(job, why) for job in jobs if (why := _why_not(job, allowed_mb, free_mb))]


def pages_at_once(nprocs: int | None, memory_gb: float | None) -> int:
    """Decide of how many participants the pages are drawn at a time; None as for :func:`share_out`."""
    spare_mb = _allowed_mb(memory_gb) - SHARED_MB
    return max(1, min(nprocs or processors_allowed(), int(spare_mb // PAGE_MB)))


def _allowed_mb(memory_gb: float | None) -> float:
    return memory_allowed_mb() if memory_gb is None else memory_gb * 1000


def _most(runs: Sequence[Sequence[Job]], threads: int) -> float:
    return max((need_mb(job, threads) for jobs in runs for job in jobs), default=RUN_MB)


def _why_not(job: Job, allowed_mb: float, free_mb: float) -> str:
    """Say why a run cannot be analysed in one way; empty when it can."""
    need, scratch = SHARED_MB + need_mb(job, 1), scratch_mb(job)
    if need > allowed_mb:
        return (
            f"needs about {need:.0f} MB of memory, and {allowed_mb:.0f} MB may be used: give more (--mem, "
            "docker run -m, #SBATCH --mem), or take an atlas with fewer regions or longer steps between windows"
        )
    if scratch > free_mb:
        return (
            f"needs {scratch:.0f} MB for intermediate files, and {free_mb:.0f} MB are free in the work folder: "
            "choose another with --work-dir"
        )
    return ""
