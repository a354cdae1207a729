"""Pages of participants, made after their runs in processes of their own; a page that fails costs no run."""

from __future__ import annotations

import logging
import signal
import traceback
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING

from bids_flex.bids.outputs import write_atomic
from bids_flex.errors import BidsFlexError, OutputError
from bids_flex.workflows.participant import fork_server

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LOG = logging.getLogger("bids_flex")


def make_pages(output_dir: Path, labels: Sequence[str], *, nprocs: int, crash_dir: Path, redraw: bool = False) -> int:
    """Make the pages of participants.

    Parameters
    ----------
    output_dir : Path
        Our derivatives.
    labels : sequence of str
        Participants, without ``sub-``.
    nprocs : int
        Processes.
    crash_dir : Path
        For tracebacks.
    redraw : bool
        Draw figures again that are there already.

    Returns
    -------
    int
        How many participants have no new page; each has a line in the log.
    """
    if not labels:
        return 0
    failed = 0
    pool = ProcessPoolExecutor(min(nprocs, len(labels)), mp_context=fork_server(), initializer=_ignore_interrupts)
    try:
        asked = [(label, pool.submit(_make, output_dir, label, crash_dir, redraw)) for label in labels]
        for label, future in asked:
            error = future.exception()
            told = f"its process died ({error})" if error is not None else future.result()
            if told:
                failed += 1
                LOG.warning("sub-%s: no page: %s; its results are whole, --reports-only tries again", label, told)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    LOG.info("%d pages made", len(labels) - failed)
    return failed


def _ignore_interrupts() -> None:
    """Leave Ctrl-C to the parent, which alone decides."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _make(output_dir: Path, label: str, crash_dir: Path, redraw: bool) -> str:  # noqa: FBT001 - a pool passes places
    """Make the page of one participant, and say why not; empty when it is made."""
    from bids_flex.reports import make_participant_pages

    try:
        make_participant_pages(output_dir, label, crash_dir, redraw=redraw)
    except BidsFlexError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - a page that fails must not take the others with it
        file = crash_dir / f"crash-page-{label}.txt"
        try:
            write_atomic(file, "".join(traceback.format_exception(error)))
        except OutputError as full:
            return f"{type(error).__name__}: {error}; {full}"
        return f"{type(error).__name__}: {error}; see {file}"
    return ""
