"""What a terminal shows while runs are analysed: a live table of the runs at work; a log has its lines."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from rich.table import Table

    from bids_flex.workflows.child import Outcome


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

    def __rich__(self) -> Table:
        """Draw the table, as rich asks for it on every refresh."""
        from rich.markup import escape
        from rich.table import Table

        counts = ", ".join(f"{count} {state}" for state, count in self.ended.items())
        title = f"{sum(self.ended.values())} of {self.total} runs" + (f": {counts}" if counts else "")
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
