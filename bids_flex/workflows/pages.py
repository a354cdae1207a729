"""Pages, made after the results are written: of participants in processes of their own, of the group at the end.

A page that fails is told, has a traceback in the log folder, and costs no results.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
import threading
import traceback
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING

from bids_flex.bids.outputs import write_atomic
from bids_flex.bids.universes import TABLE
from bids_flex.errors import BidsFlexError, OutputError
from bids_flex.words import counted
from bids_flex.workflows.child import end_with_parent
from bids_flex.workflows.participant import fork_server
from bids_flex.workflows.terminal import telling

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
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

    Raises
    ------
    KeyboardInterrupt
        When interrupted; the processes are stopped first.
    """
    if not labels:
        return 0
    failed, ended = 0, 0
    pool = ProcessPoolExecutor(min(nprocs, len(labels)), mp_context=fork_server(), initializer=_follow_parent)
    try:
        asked = [(label, pool.submit(_make_participant, output_dir, label, crash_dir, redraw)) for label in labels]
        who = counted(len(labels), "participant")
        with telling(f"drawing the pages of {who}", lambda: f"{ended} done"):
            for label, future in asked:
                error = future.exception()
                told = f"its process died, likely out of memory ({error})" if error is not None else future.result()
                failed += _told(f"sub-{label}", told)
                ended += 1
    except KeyboardInterrupt:
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    LOG.info("pages of %s made", counted(len(labels) - failed, "participant"))
    return failed


def make_group(output_dir: Path, crash_dir: Path) -> int:
    """Make the page of the group; return 1 when it cannot be made, 0 otherwise."""
    from bids_flex.reports import make_group_page, make_multiverse_page

    many = (output_dir / TABLE).exists()
    make = make_multiverse_page if many else make_group_page
    with telling("drawing the page of the group"):
        failed = _told("group", _guarded(lambda: make(output_dir, crash_dir), "group", crash_dir))
    if not failed:
        LOG.info("page: %s", output_dir / "group.html")
    return failed


def _told(whose: str, why: str) -> int:
    """Say that a page could not be made, and why."""
    if why:
        LOG.warning("%s: no page: %s; the results are whole, --reports-only tries again", whose, why)
    return 1 if why else 0


def _follow_parent() -> None:
    """Leave Ctrl-C to the parent, which alone decides, and end when it has gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()


def _make_participant(output_dir: Path, label: str, crash_dir: Path, redraw: bool) -> str:  # noqa: FBT001 - by place
    """Make the page of one participant, and say why not; empty when it is made."""
    from bids_flex.reports import make_participant_pages

    return _guarded(lambda: make_participant_pages(output_dir, label, crash_dir, redraw=redraw), label, crash_dir)


def _guarded(make: Callable[[], object], name: str, crash_dir: Path) -> str:
    """Make something, and say why not; empty when it is made."""
    try:
        make()
    except BidsFlexError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - a page that fails must not take anything with it
        file = crash_dir / f"crash-page-{name}.txt"
        told = f"{type(error).__name__}: {error}"
        try:
            write_atomic(file, "".join(traceback.format_exception(error)))
        except OutputError as full:
            return f"{told}; {full}"
        return f"{told}; see {file}"
    return ""
