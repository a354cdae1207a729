"""A run's figures as files: which there are, SVG beside the page, and what became of each."""

from __future__ import annotations

import logging
import traceback
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from bids_flex.bids.outputs import write_atomic, write_json
from bids_flex.bids.results import read_sidecar
from bids_flex.errors import BidsFlexError, OutputError
from bids_flex.reports import dynamics_figures, signal_figures
from bids_flex.reports.brain import draw_brain
from bids_flex.reports.run import fingerprint_of
from bids_flex.reports.style import styled, to_svg

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from bids_flex.reports.run import Run

LOG = logging.getLogger("bids_flex")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A figure that is to be drawn.

    Attributes
    ----------
    name : str
        ``desc-`` of its file.
    section, title, caption : str
        Where it stands on the page, and what is said of it there.
    draw : callable
        Gives the figure, and a text for those who cannot see it.
    """

    name: str
    section: str
    title: str
    caption: str
    draw: Callable[[], tuple[Figure, str]]


ALWAYS = (
    (
        "motion",
        "quality",
        "Motion",
        "Censored volumes are shaded; the dashed line is the limit.",
        signal_figures.draw_motion,
    ),
    (
        "carpet",
        "quality",
        "Regions over time",
        "What all regions do together after cleaning is likely not neural.",
        signal_figures.draw_carpet,
    ),
    (
        "coverage",
        "quality",
        "Coverage and signal",
        "Regions with too little coverage were left out.",
        signal_figures.draw_coverage,
    ),
    (
        "connectivity",
        "connectivity",
        "Static connectivity",
        "Pearson r over the kept volumes.",
        signal_figures.draw_connectivity,
    ),
    (
        "communities",
        "dynamics",
        "Communities over time",
        "A community of multilayer takes the colour of the network with which it shares most.",
        dynamics_figures.draw_communities,
    ),
    (
        "measures",
        "dynamics",
        "Measures beside null models",
        "Surrogates have the same static connectivity and no switching.",
        dynamics_figures.draw_measures,
    ),
    (
        "allegiance",
        "dynamics",
        "Allegiance",
        "How often two regions are in one community.",
        dynamics_figures.draw_allegiance,
    ),
    (
        "search",
        "search",
        "Change over time, and the search",
        "How much the answer depends on where the search starts.",
        dynamics_figures.draw_search,
    ),
)
BOTH = (
    "agreement",
    "search",
    "Both engines",
    "Engines answer different questions; where they disagree, no conclusion should rest on one alone.",
    dynamics_figures.draw_agreement,
)


def figures_of(run: Run) -> list[Wanted]:
    """List the figures of a run: some need one engine, some both."""
    listed = [
        Wanted(name, section, title, caption, partial(draw, run)) for name, section, title, caption, draw in ALWAYS
    ]
    for engine in run.engines:
        title = f"On the brain: {engine}"
        listed.append(
            Wanted(f"brain{engine}", "dynamics", title, "Each region at its place.", partial(draw_brain, run, engine))
        )
    if len(run.engines) > 1:
        name, section, title, caption, draw = BOTH
        listed.append(Wanted(name, section, title, caption, partial(draw, run)))
    return listed


def draw_run(run: Run, figures: Path, crash_dir: Path, *, redraw: bool = False) -> list[dict[str, Any]]:
    """Draw a run's figures, unless they are there for these results; what fails has an error in place of a figure.

    Parameters
    ----------
    run : Run
        The run.
    figures : Path
        Folder of the participant's figures.
    crash_dir : Path
        For the traceback of what nobody foresaw.
    redraw : bool
        Draw them even so.

    Returns
    -------
    list of dict
        ``Name``, ``Section``, ``Title``, ``Caption``, ``Alt``, and ``File`` or ``Error``; as in the index beside the
        figures, which is written last.
    """
    index, made_of = figures / f"{run.stem}_figures.json", fingerprint_of(run)
    there = read_sidecar(index)
    if not redraw and there is not None and there.get("MadeOf") == made_of and _all_there(figures, there["Figures"]):
        return list(there["Figures"])
    drawn = save_figures(figures_of(run), figures, run.stem, crash_dir)
    write_json(index, {"MadeOf": made_of, "Figures": drawn})
    return drawn


def _all_there(figures: Path, listed: Sequence[dict[str, Any]]) -> bool:
    """Tell whether every figure was drawn, and its file is there."""
    return all("File" in one and (figures / one["File"]).is_file() for one in listed)


def save_figures(wanted: Sequence[Wanted], figures: Path, stem: str, crash_dir: Path) -> list[dict[str, Any]]:
    """Draw figures one by one; the failure of one is told in its place.

    Raises
    ------
    OutputError
        When the disk refuses.
    """
    listed = []
    for one in wanted:
        told: dict[str, Any] = {
            "Name": one.name,
            "Section": one.section,
            "Title": one.title,
            "Caption": one.caption,
            "Alt": "",
        }
        file = figures / f"{stem}_desc-{one.name}_figure.svg"
        try:
            with styled():
                figure, told["Alt"] = one.draw()
                text = to_svg(figure, one.title)
        except BidsFlexError as error:
            told["Error"] = str(error)
        except Exception as error:  # noqa: BLE001 - a figure that fails must not take the page with it
            told["Error"] = _crashed(error, crash_dir, f"{stem}_{one.name}")
        else:
            write_atomic(file, text)
            told["File"] = file.name
        listed.append(told)
    return listed


def _crashed(error: Exception, crash_dir: Path, name: str) -> str:
    """Keep the traceback of what nobody foresaw, and say where."""
    file = crash_dir / f"crash-figure-{name}.txt"
    told = f"{type(error).__name__}: {error}"
    try:
        write_atomic(file, "".join(traceback.format_exception(error)))
    except OutputError:
        return told
    LOG.warning("figure %s could not be drawn (%s); see %s", name, told, file)
    return f"{told}; see {file.name} in the log folder"
