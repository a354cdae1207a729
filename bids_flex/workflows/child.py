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
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bids_flex.errors import BidsFlexError

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from pathlib import Path

    from bids_flex.workflows.stages import Job

STAGE, END = "stage", "end"
"""What a child's messages begin with."""

State = Literal["done", "skipped", "failed", "interrupted"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run: a row of the status table."""

    run: str
    state: State
    reason: str = ""
    seconds: float = float("nan")
    peak_memory_mb: float = float("nan")


def run_child(job: Job, work_dir: Path, crash_dir: Path, verbose: int, threads: int, pipe: Connection) -> None:
    """Analyse one run and send its outcome; the entry point of a child process."""
    # Ctrl-C reaches every process of a terminal; the parent alone decides, and ends its children itself
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    started = time.monotonic()
    threading.Thread(target=end_with_parent, daemon=True).start()
    try:
        execute(job, work_dir, crash_dir, verbose, threads, lambda stage: pipe.send((STAGE, stage)))
        outcome = ("done", "")
    except BidsFlexError as error:
        outcome = ("failed", str(error))
    except Exception as error:  # noqa: BLE001 - a defect of ours must become a row too; the crash file has the traceback
        outcome = ("failed", f"{type(error).__name__}: {str(error).strip().splitlines()[-1:]}; see {crash_dir}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    # a parent that is gone hears nothing, and there is nobody else to tell
    with contextlib.suppress(OSError):
        pipe.send((END, *outcome, time.monotonic() - started, peak))
    pipe.close()


def end_with_parent() -> None:
    """End this process when the call that started it is gone: nobody hears its result, and a rerun may begin."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def execute(job: Job, work_dir: Path, crash_dir: Path, verbose: int, threads: int, at: Callable[[str], None]) -> None:
    """Run the graph of one run in this process; ``at`` is called with the name of each stage as it starts.

    Raises
    ------
    BidsFlexError
        The foreseen reason, when a node stopped for one.
    """
    from nipype import config
    from nipype import logging as nipype_logging

    from bids_flex.errors import RunError
    from bids_flex.workflows.graph import FAILURE, build_graph

    config.update_config(
        {
            "execution": {
                "crashdump_dir": str(crash_dir),
                "crashfile_format": "txt",
                "stop_on_first_crash": "true",
                # nipype sleeps this long between looks at its queue; its default of 2 s costs more than the work
                "poll_sleep_duration": "0.02",
                "check_version": "false",
                "remove_unnecessary_outputs": "false",
            },
            "logging": {"workflow_level": _level(verbose), "interface_level": _level(verbose), "log_to_file": "false"},
        }
    )
    nipype_logging.update_logging(config)
    # what an earlier call has left here may come from other code or half a node
    shutil.rmtree(work_dir / "run", ignore_errors=True)
    try:
        told = {"status_callback": lambda node, status: at(str(node.name)) if status == "start" else None}
        build_graph(job, work_dir, threads).run(plugin="Linear", plugin_args=told)
    except Exception as error:
        foreseen = [file.read_text(encoding="utf8") for file in work_dir.glob(f"run/*/{FAILURE}")]
        if foreseen:
            raise RunError(foreseen[0]) from error
        raise
    for scratch in work_dir.glob("run/*/connectivity.npy"):
        scratch.unlink()


def _level(verbose: int) -> str:
    """Translate -v into a level of logging."""
    return logging.getLevelName({0: logging.CRITICAL, 1: logging.WARNING}.get(verbose, logging.INFO))
