"""The participant level: which runs, one child process for each, and a status row for every one of them."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import shutil
import signal
from collections import deque
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from bids_flex.errors import OutputError
from bids_flex.interrupts import undisturbed
from bids_flex.workflows.child import STAGE, Outcome, run_child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.context import ForkServerProcess
    from pathlib import Path

    from bids_flex.workflows.stages import Job

LOG = logging.getLogger("bids_flex")

PRELOAD = ["bids_flex.workflows.graph", "nilearn.maskers", "nilearn.signal", "scipy.signal", "pandas"]
"""Imported once in the fork server, so that no child pays for it again."""

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class _Child:
    """A run in work, in one way or many."""

    jobs: Sequence[Job]
    process: ForkServerProcess
    pipe: Connection
    last: list[Any] = field(default_factory=list)

    @property
    def run(self) -> str:
        """The run's name."""
        return self.jobs[0].run.name

    @property
    def silent(self) -> bool:
        """Whether it has said its last, which may be nothing when it died."""
        return bool(self.last)


def run_jobs(
    jobs: Sequence[Sequence[Job]],
    *,
    parallel: int,
    threads: int,
    work_dir: Path,
    crash_dir: Path,
    verbose: int = 0,
    stop_on_first_crash: bool = False,
    clean: bool = False,
    report: Callable[[Outcome], None],
    at: Callable[[str, str], None],
    check: Callable[[], None],
) -> list[Outcome]:
    """Analyse runs, each in a child process forked from a server that has the libraries loaded.

    A child that dies (killed for its memory, for example) becomes a failed row; the others go on.

    Parameters
    ----------
    jobs : sequence of sequence of Job
        The runs, each in one way or many.
    parallel, threads : int
        Children at a time, and threads of each.
    work_dir, crash_dir : Path
        For intermediate files, with a private folder for each run, and for the tracebacks of unforeseen failures.
    verbose : int
        How much nipype says.
    stop_on_first_crash : bool
        Start no further run after a failure.
    clean : bool
        Remove a run's intermediate files once it is done.
    report : callable
        Called with each outcome as it comes.
    at : callable
        Called with a run and the stage that it has come to.
    check : callable
        Called after every message and end; raises when the call was asked to stop and the first exception was lost.

    Returns
    -------
    list of Outcome
        One for each job, in the order of the jobs.

    Raises
    ------
    KeyboardInterrupt
        When interrupted; the children are stopped first, and every unfinished run has been reported as interrupted.
    OutputError
        When an outcome cannot be written down; the same is done first.
    """
    context = fork_server()
    waiting = deque(jobs)
    working: dict[int, _Child] = {}
    outcomes: dict[str, Outcome] = {}

    def settle(outcome: Outcome) -> None:
        outcomes[outcome.run] = outcome
        report(outcome)

    try:
        while waiting or working:
            while waiting and len(working) < parallel:
                child = _start(context, waiting.popleft(), work_dir, crash_dir, verbose, threads)
                at(child.run, "starting")
                working[child.process.sentinel] = child
            for child in _ended(working, at):
                outcome = _outcome(child)
                settle(outcome)
                if clean and outcome.state == "done":
                    shutil.rmtree(work_dir / child.run, ignore_errors=True)
                if outcome.state == "failed" and stop_on_first_crash:
                    for one in waiting:
                        settle(Outcome(one[0].run.name, "skipped", "not started: --stop-on-first-crash"))
                    waiting.clear()
            check()
    except (KeyboardInterrupt, OutputError):
        with undisturbed():
            _stop(child.process for child in working.values())
            # the one that was just being started is among neither those that wait nor those at work
            for name in [one[0].run.name for one in jobs if one[0].run.name not in outcomes]:
                # a disk that takes no more rows must not hide why the call ends
                with contextlib.suppress(OutputError):
                    settle(Outcome(name, "interrupted", "stopped before it was finished"))
        raise
    return [outcomes[one[0].run.name] for one in jobs]


def start_server() -> None:
    """Start loading the libraries in the fork server, while this process looks for runs."""
    from multiprocessing import forkserver

    fork_server()
    forkserver.ensure_running()


def fork_server() -> multiprocessing.context.ForkServerContext:
    """Prepare the server that children are forked from: one BLAS thread each, no telemetry, libraries loaded."""
    for name in THREADS:
        os.environ[name] = "1"
    # the server is started by `python -c`, which would import whatever the current folder has by the name of a library
    os.environ["PYTHONSAFEPATH"] = "1"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    return context


def _start(
    context: multiprocessing.context.ForkServerContext,
    jobs: Sequence[Job],
    work_dir: Path,
    crash_dir: Path,
    verbose: int,
    threads: int,
) -> _Child:
    """Start the child process of one run."""
    name = jobs[0].run.name
    LOG.info("%s: started", name)
    ours, theirs = context.Pipe(duplex=False)
    folder = work_dir / name
    process = context.Process(target=run_child, args=(jobs, folder, crash_dir, verbose, threads, theirs), name=name)
    process.start()
    theirs.close()
    return _Child(jobs, process, ours)


def _ended(working: dict[int, _Child], at: Callable[[str, str], None]) -> Iterator[_Child]:
    """Wait, without polling, until a child has said something or ended, and take those that have ended."""
    speaking = {child.pipe: child for child in working.values() if not child.silent}
    for ready in wait([*working, *speaking]):
        if isinstance(ready, int):
            child = working.pop(ready)
            child.process.join()
            yield child
        else:
            assert isinstance(ready, Connection)  # noqa: S101 - sentinels and pipes went in
            _listen(speaking[ready], at)


def _listen(child: _Child, at: Callable[[str, str], None]) -> None:
    """Take one message: a stage is passed on; the end, or a pipe that broke, is for the child's own end."""
    try:
        message = child.pipe.recv()
    except (EOFError, OSError):
        message = None
    if message is not None and message[0] == STAGE:
        at(child.run, message[1])
    else:
        child.last.append(message)


def _outcome(child: _Child) -> Outcome:
    """Read the last that a child has sent, or tell from its exit code what killed it."""
    name = child.run
    while not child.silent and child.pipe.poll():
        _listen(child, lambda _run, _stage: None)
    child.pipe.close()
    if child.silent and child.last[0] is not None:
        _, state, reason, seconds, peak, parts = child.last[0]
        return Outcome(name, state, reason, seconds, peak, parts)
    code = child.process.exitcode or 0
    if code < 0:
        killer = signal.Signals(-code).name
        likely = ": likely out of memory; give the job more, or lower --nprocs" if killer == "SIGKILL" else ""
        return Outcome(name, "failed", f"its process was killed by {killer}{likely}")
    return Outcome(name, "failed", f"its process ended with exit code {code} before it could say why")


def _stop(processes: Iterator[ForkServerProcess]) -> None:
    """End children: politely, then by force after two seconds."""
    ending = list(processes)
    for process in ending:
        process.terminate()
    for process in ending:
        process.join(2)
        if process.is_alive():
            process.kill()
            process.join()
