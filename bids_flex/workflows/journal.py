"""What a call leaves in ``logs/<uuid>/``: its settings, what it said, and what became of every run."""

from __future__ import annotations

import logging
import math
import platform
import shlex
import sys
import uuid
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING

from bids_flex import __version__
from bids_flex.bids.outputs import dictionary_of, write_atomic, write_json, write_table
from bids_flex.config import to_toml
from bids_flex.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

    from bids_flex.config import Config
    from bids_flex.workflows.child import Outcome

LOG = logging.getLogger("bids_flex")


@dataclass(slots=True)
class Journal:
    """The log folder of one call, the terminal if there is one, and the outcomes so far."""

    folder: Path
    console: Console | None = None
    outcomes: list[Outcome] = field(default_factory=list)

    def record(self, *outcomes: Outcome) -> None:
        """Note outcomes in the log and in ``status.tsv``, which is whole after each call."""
        self.outcomes.extend(outcomes)
        for outcome in outcomes:
            said = f"{outcome.run}: {outcome.state}{_cost(outcome)}" + (f": {outcome.reason}" if outcome.reason else "")
            LOG.log(logging.ERROR if outcome.state == "failed" else logging.INFO, said)
        write_status(self.folder, self.outcomes)

    def count(self, state: str) -> int:
        """Count the runs that ended in one state."""
        return sum(one.state == state for one in self.outcomes)


def write_status(folder: Path, outcomes: Sequence[Outcome]) -> None:
    """Write the table of what became of every run."""
    import pandas as pd

    rows = sorted(outcomes, key=lambda one: one.run)
    table = pd.DataFrame(
        {
            "run": [one.run for one in rows],
            "state": [one.state for one in rows],
            # a table has one line per row, whatever a message holds
            "reason": [" ".join(one.reason.split()) or None for one in rows],
            "seconds": [round(one.seconds, 2) for one in rows],
            "peak_memory": [round(one.peak_memory_mb, 1) for one in rows],
        }
    )
    path = folder / "status.tsv"
    if not path.with_suffix(".json").exists():
        # before the first table: a call that is killed between the two leaves none that nothing describes
        write_json(path.with_suffix(".json"), dictionary_of(table.columns))
    write_table(path, table, {})


def _cost(outcome: Outcome) -> str:
    """Say what a run has taken, so that jobs can be sized; one that was never measured says nothing."""
    if math.isnan(outcome.seconds):
        return ""
    return f" in {outcome.seconds:.1f} s, peak memory {outcome.peak_memory_mb:.0f} MiB"


class _LogFile(logging.FileHandler):
    """The log as a file; when the disk refuses, one line on the terminal says so, and the call goes on without it."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - logging's own names
        LOG.removeHandler(self)
        LOG.warning("%s cannot be written (%s): the log goes on here alone", self.baseFilename, sys.exc_info()[1])


def open_journal(config: Config) -> Journal:
    """Make the log folder of a call, and let the log go there and to the terminal.

    Raises
    ------
    OutputError
        When it cannot be written.
    """
    folder = config.output_dir / "logs" / uuid.uuid4().hex
    write_atomic(folder / "config.toml", to_toml(config))
    versions = {"bids_flex": __version__, "Python": platform.python_version()}
    versions |= {name: version(name) for name in ("nilearn", "nipype", "numpy", "scipy", "pandas")}
    write_json(folder / "call.json", {"Command": shlex.join(["bids_flex", *sys.argv[1:]]), "Versions": versions})
    handlers: list[logging.Handler] = [_log_file(folder / "bids_flex.log")]
    console = _console()
    handlers.append(_terminal(console))
    level = {0: logging.INFO}.get(config.execution.verbose, logging.DEBUG)
    for handler in handlers:
        handler.setLevel(level)
    LOG.handlers[:] = handlers
    LOG.setLevel(level)
    LOG.propagate = False
    return Journal(folder, console)


def _log_file(path: Path) -> logging.Handler:
    """Open the log as a file.

    Raises
    ------
    OutputError
        When the disk refuses.
    """
    try:
        return _LogFile(path, encoding="utf8")
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror}): check the disk's free space") from error


def _console() -> Console | None:
    """Open the terminal, if there is one; all that is shown there must go through the same console."""
    if not sys.stderr.isatty():
        return None
    from rich.console import Console

    return Console(stderr=True)


def _terminal(console: Console | None) -> logging.Handler:
    """Say things with colour on a terminal, and as plain lines anywhere else."""
    if console is not None:
        from rich.logging import RichHandler

        return RichHandler(console=console, show_path=False, markup=False, log_time_format="[%X]")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S"))
    return handler
