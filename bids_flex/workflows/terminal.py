"""What a call says while it works: a live table of runs on a terminal, and a line now and then in a log."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import TYPE_CHECKING

from bids_flex.words import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console
    from rich.table import Table

    from bids_flex.workflows.child import Outcome


LOG = logging.getLogger("bids_flex")

PAUSE_S = 25.0
"""How long a stage is silent at first; later a tenth of what it has taken, so that the log of a night can be read."""


class Board:
    """The runs at work and their stages; shows nothing by itself."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.ended: dict[str, int] = {}
        self.working: dict[str, tuple[str, float]] = {}

    def at(self, run: str, stage: str) -> None:
        """Note the stage that a run has come to."""
        started = self.working.get(run, ("", time.monotonic()))[1]
        self.working[run] = (stage, started)

    def end(self, outcome: Outcome) -> None:
        """Note what became of a run."""
        self.working.pop(outcome.run, None)
        self.ended[outcome.state] = self.ended.get(outcome.state, 0) + 1

    def told(self) -> str:
        """Say in a line how far the runs are."""
        now = time.monotonic()
        # a copy: whoever asks is another thread
        working = [f"{run} {stage.replace('_', ' ')} ({now - since:.0f} s)" for run, (stage, since) in
                   list(self.working.items())]  # fmt: skip
        return ", ".join([f"{sum(self.ended.values())} of {counted(self.total, 'run')} ended", *working])

    def __rich__(self) -> Table:
        """Draw the table, as rich asks for it on every refresh."""
        from rich.markup import escape
        from rich.table import Table

        counts = ", ".join(f"{count} {state}" for state, count in self.ended.items())
        title = f"{sum(self.ended.values())} of {counted(self.total, 'run')}" + (f": {counts}" if counts else "")
        table = Table(title=title, title_justify="left", min_width=60)
        for name in ("run", "stage"):
            table.add_column(name)
        table.add_column("seconds", justify="right")
        now = time.monotonic()
        for run, (stage, started) in self.working.items():
            table.add_row(escape(run), stage.replace("_", " "), f"{now - started:.0f}")
        return table


@contextlib.contextmanager
def live(board: Board, console: Console | None) -> Iterator[None]:
    """Show a board on a terminal while runs are at work."""
    if console is None:
        yield
        return
    from rich.live import Live

    with Live(board, console=console, refresh_per_second=2, transient=True):
        yield


@contextlib.contextmanager
def telling(what: str, detail: Callable[[], str] | None = None) -> Iterator[None]:
    """Say what begins, and, while it lasts, that it goes on: nobody knows a long silence from a hanging program.

    Parameters
    ----------
    what : str
        The work, such as ``drawing pages``.
    detail : callable, optional
        Says how far it is.
    """
    LOG.info("%s", what)
    ended = threading.Event()
    thread = threading.Thread(target=_go_on, args=(what, detail, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _go_on(what: str, detail: Callable[[], str] | None, ended: threading.Event) -> None:
    """Repeat that work goes on until it has ended."""
    began = time.monotonic()
    while not ended.wait(max(PAUSE_S, (time.monotonic() - began) / 10)):
        LOG.info("still %s: %.0f s%s", what, time.monotonic() - began, f", {detail()}" if detail else "")
