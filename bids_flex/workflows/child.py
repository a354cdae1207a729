"""What happens in the child process of one run: its graph, executed node after node, and what came of it."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import resource
import shutil
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bids_flex.errors import BidsFlexError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.connection import Connection

    from bids_flex.workflows.stages import Job

STAGE, END = "stage", "end"
"""What a child's messages begin with."""

State = Literal["done", "skipped", "failed", "interrupted"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run: a row of the status table.

    Attributes
    ----------
    run, state, reason, seconds, peak_memory_mb
        As in the table.
    parts : tuple of str
        Of a run that is analysed in many ways, why each could not be; empty for those that are done.
    """

    run: str
    state: State
    reason: str = ""
    seconds: float = float("nan")
    peak_memory_mb: float = float("nan")
    parts: tuple[str, ...] = ()


def run_child(
    jobs: Sequence[Job], work_dir: Path, crash_dir: Path, verbose: int, threads: int, pipe: Connection
) -> None:
    """Analyse one run, in one way or many, and send its outcome; the entry point of a child process."""
    # Ctrl-C reaches every process of a terminal; the parent alone decides, and ends its children itself
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    started = time.monotonic()
    threading.Thread(target=end_with_parent, daemon=True).start()
    parts: tuple[str, ...] = ()
    try:
        parts = attempt(jobs, work_dir, crash_dir, verbose, threads, lambda stage: pipe.send((STAGE, stage)))
        outcome = ("failed", _in_short(parts)) if any(parts) else ("done", "")
    except BidsFlexError as error:
        outcome = ("failed", str(error))
    except Exception as error:  # noqa: BLE001 - a defect of ours must become a row too; the crash file has the traceback
        outcome = ("failed", _unforeseen(error, crash_dir))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    # a parent that is gone hears nothing, and there is nobody else to tell
    with contextlib.suppress(OSError):
        pipe.send((END, *outcome, time.monotonic() - started, peak, parts))
    pipe.close()


def _in_short(parts: Sequence[str]) -> str:
    """Say why analyses of a run failed: the reason of the only one, or how many have which."""
    counts = Counter(part for part in parts if part)
    if len(parts) == 1:
        return next(iter(counts))
    told = "; ".join(f"{count} of {len(parts)} universes: {reason}" for reason, count in counts.most_common(3))
    return told + ("; and other reasons" if len(counts) > 3 else "")


def _unforeseen(error: Exception, crash_dir: Path) -> str:
    """Name a failure that nobody has foreseen, and where its traceback is."""
    return f"{type(error).__name__}: {str(error).strip().splitlines()[-1:]}; see {crash_dir}"


def end_with_parent() -> None:
    """End this process when the call that started it is gone: nobody hears its result, and a rerun may begin."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def attempt(
    jobs: Sequence[Job], work_dir: Path, crash_dir: Path, verbose: int, threads: int, at: Callable[[str], None]
) -> tuple[str, ...]:
    """Run the graph of one run in this process; an analysis that fails takes none with it that does not need the same.

    Parameters
    ----------
    jobs : sequence of Job
        The run, in one way or many.
    work_dir, crash_dir : Path
        For intermediate files, and for tracebacks of unforeseen failures.
    verbose, threads : int
        How much nipype says; for restarts and surrogates.
    at : callable
        Called with the name of each stage as it starts.

    Returns
    -------
    tuple of str
        For each analysis why it failed; empty when it is done.
    """
    from bids_flex.workflows.graph import build_graph, remove_windows
    from bids_flex.workflows.order import DepthFirst

    _set_up(crash_dir, verbose)
    # what an earlier call has left here may come from other code or half a node
    shutil.rmtree(work_dir / "run", ignore_errors=True)
    graph = build_graph(jobs, work_dir, threads)
    plugin = DepthFirst(at, remove_windows)
    graph.workflow.run(plugin=plugin)
    return tuple(_reason(plugin.lost.get(name), crash_dir) for name in graph.writers)


def _reason(lost: tuple[Any, Exception] | None, crash_dir: Path) -> str:
    """Say why an analysis was not written: the foreseen reason of the node that failed, or what else it was."""
    from bids_flex.workflows.graph import FAILURE

    if lost is None:
        return ""
    node, error = lost
    foreseen = Path(node.output_dir()) / FAILURE
    return foreseen.read_text(encoding="utf8") if foreseen.is_file() else _unforeseen(error, crash_dir)


def _set_up(crash_dir: Path, verbose: int) -> None:
    """Tell nipype how to work."""
    from nipype import config
    from nipype import logging as nipype_logging

    config.update_config(
        {
            "execution": {
                "crashdump_dir": str(crash_dir),
                "crashfile_format": "txt",
                "check_version": "false",
                "remove_unnecessary_outputs": "false",
            },
            "logging": {"workflow_level": _level(verbose), "interface_level": _level(verbose), "log_to_file": "false"},
        }
    )
    nipype_logging.update_logging(config)


def _level(verbose: int) -> str:
    """Translate -v into a level of logging."""
    return logging.getLevelName({0: logging.CRITICAL, 1: logging.WARNING}.get(verbose, logging.INFO))
