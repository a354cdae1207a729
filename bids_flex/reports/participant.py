"""The page of a participant, or of a session where there are many."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from bids_flex import __version__
from bids_flex.bids.atlases import read_atlas
from bids_flex.bids.outputs import refuse_links, write_atomic
from bids_flex.bids.results import read_sidecar
from bids_flex.bids.summaries import read_statuses
from bids_flex.errors import BidsFlexError
from bids_flex.reports.brain import MEASURES, interactive, plotly
from bids_flex.reports.draw import draw_run
from bids_flex.reports.lights import lights_of
from bids_flex.reports.methods import bibtex, participant_methods, plain
from bids_flex.reports.page import json_for_script, render, with_images
from bids_flex.reports.run import facts, find_runs, summary, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from bids_flex.bids.summaries import Status
    from bids_flex.reports.run import Run

MANY_SESSIONS = 4
"""Participants with more sessions have a page for each, as in fMRIPrep."""

SECTIONS = (
    ("quality", "Quality"),
    ("connectivity", "Static connectivity"),
    ("dynamics", "Communities and what is measured on them"),
    ("search", "Change over time, search and agreement"),
)


def make_participant_pages(output_dir: Path, label: str, crash_dir: Path, *, redraw: bool = False) -> list[Path]:
    """Make the page of a participant, or of each session where there are more than four.

    Parameters
    ----------
    output_dir : Path
        Our derivatives; nothing else is read.
    label : str
        Participant, without ``sub-``.
    crash_dir : Path
        For the tracebacks of figures that fail.
    redraw : bool
        Draw figures again that are there already.

    Returns
    -------
    list of Path
        The pages.

    Raises
    ------
    OutputError
        When the disk refuses, or the folder of figures leads elsewhere.
    """
    statuses = [one for one in read_statuses(output_dir) if re.match(rf"sub-{re.escape(label)}(_|$)", one.run)]
    folder = output_dir / f"sub-{label}"
    sessions = sorted(path.name for path in folder.glob("ses-*") if path.is_dir())
    pages = [(f"sub-{label}", folder, statuses)]
    if len(sessions) > MANY_SESSIONS:
        pages = [
            (f"sub-{label}_{name}", folder / name, [one for one in statuses if f"_{name}_" in f"{one.run}_"])
            for name in sessions
        ]
    made = []
    for name, where, known in pages:
        path = output_dir / f"{name}.html"
        write_atomic(path, _page(output_dir, name, where, known, crash_dir, redraw=redraw))
        made.append(path)
    # sessions have become many, or fewer: the other kind of page is out of date
    for old in {output_dir / f"sub-{label}.html", *output_dir.glob(f"sub-{label}_ses-*.html")} - set(made):
        old.unlink(missing_ok=True)
    return made


def _page(
    output_dir: Path, name: str, folder: Path, statuses: Sequence[Status], crash_dir: Path, *, redraw: bool
) -> str:
    """Write one page."""
    runs = find_runs(folder, lambda entities: read_atlas(output_dir, entities))
    # of all sessions together, as fMRIPrep has them
    figures = output_dir / folder.relative_to(output_dir).parts[0] / "figures"
    refuse_links(output_dir, figures)
    shown = [_run(run, figures, crash_dir, redraw=redraw) for run in runs]
    view = _view(runs)
    return render(
        "participant.html.j2",
        title=name,
        version=__version__,
        sections=SECTIONS,
        runs=shown,
        others=[one for one in statuses if one.state in {"failed", "interrupted"} or "not started" in one.reason],
        calls=_calls(output_dir, statuses),
        settings=_settings(runs),
        maps=view["maps"] if view else [],
        view=json_for_script(view) if view else "",
        plotly=plotly() if view else "",
        figures=figures.relative_to(output_dir).as_posix(),
        reports=_reports(output_dir, statuses),
    )


def _run(run: Run, figures: Path, crash_dir: Path, *, redraw: bool) -> dict[str, Any]:
    """Collect what the page says of a run; what cannot be read is said in its place."""
    found: dict[str, Any] = {
        "name": run.name,
        "id": re.sub(r"[^A-Za-z0-9]", "-", run.stem),
        "lights": [],
        "warnings": [],
        "facts": [],
        "missing": {},
        "methods": "",
        "markdown": "",
        "bibtex": "",
        "figures": [],
        "error": None,
    }
    try:
        summaries = {engine: summary(run, engine) for engine in run.engines}
        quality = facts(run, "desc-confounds_quality")
        first = next(iter(summaries.values()))
        found["lights"] = lights_of(quality.get("Quality", {}), list(summaries.values()))
        found["warnings"] = list(dict.fromkeys(text for one in summaries.values() for text in one["Warnings"]))
        found["warnings"] += [note for note in quality.get("Notes", []) if note not in found["warnings"]]
        found["missing"] = first["Regions"]["Missing"]
        found["facts"] = _facts(summaries)
        text = participant_methods(first, summaries, quality.get("Cleaning", {}))
        found |= {"methods": plain(text), "markdown": text, "bibtex": bibtex(text)}
    except (BidsFlexError, KeyError, TypeError, StopIteration, TemplateError) as error:
        found["error"] = f"the sidecars of this run are not whole ({error}): run the participant level again"
        return found
    found["figures"] = with_images(figures, draw_run(run, figures, crash_dir, redraw=redraw))
    return found


def _facts(summaries: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """List what ran, for reading."""
    first = next(iter(summaries.values()))
    listed = [
        ("version", str(first["SoftwareVersion"])),
        ("atlas", f"{first['Atlas']['Name']}, {first['Atlas']['Regions']} regions, {first['Atlas']['Space']}"),
        ("repetition time", f"{first['RepetitionTime']:g} s"),
        ("inputs", ", ".join(first["Sources"])),
        ("settings' hash", str(first["SettingsHash"])),
    ]
    for engine, one in summaries.items():
        seeds = ", ".join(f"{name} {value}" for name, value in one["Seeds"].items())
        listed.append((f"seeds, {engine}", seeds))
        windows = one["Windows"]
        dropped = f", {len(windows['Dropped'])} dropped" if windows["Dropped"] else ""
        listed.append(
            (
                f"windows, {engine}",
                f"{windows['Analysed']} of {windows['LengthSeconds']:g} s every {windows['StepSeconds']:g} s{dropped}",
            )
        )
    return listed


def _settings(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """List the scientific settings, from the first run that tells them."""
    for run in runs:
        try:
            found = summary(run, run.engines[-1])["Settings"]
        except (BidsFlexError, KeyError):
            continue
        return [("preset", str(found.get("preset", "none"))), *_flat(found)]
    return []


def _flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Write nested settings as dotted names."""
    listed: list[tuple[str, str]] = []
    for name, value in settings.items():
        listed += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(f"{prefix}{name}", str(value))]
    return listed


def _view(runs: Sequence[Run]) -> dict[str, Any] | None:
    """Collect the maps of the interactive view; a run whose table is broken is not in it."""
    maps = []
    for run in runs:
        for engine in run.engines:
            try:
                values = table(run, f"desc-{engine}_dynamics").set_index("region")
                maps += [(run.name, f"{engine}: {measure}", values[measure]) for measure in MEASURES]
            except (BidsFlexError, KeyError):
                continue
    return interactive(runs[0].atlas, maps) if runs else None


def _calls(output_dir: Path, statuses: Sequence[Status]) -> list[str]:
    """Write the calls that the runs come from: command lines and versions."""
    told = []
    for log in dict.fromkeys(one.log for one in statuses):
        call = read_sidecar(output_dir / "logs" / log / "call.json") or {}
        if call:
            versions = ", ".join(f"{name} {version}" for name, version in call.get("Versions", {}).items())
            told.append(f"{call.get('Command', '')}\n{versions}\nlogs/{log}")
    return told


def _reports(output_dir: Path, statuses: Sequence[Status]) -> list[str]:
    """Name the tracebacks of the participant's failed runs, which name the folder that the run worked in."""
    found = []
    for one in statuses:
        if one.state == "failed":
            files = sorted((output_dir / "logs" / one.log / "crash").glob("*.txt"))
            found += [file for file in files if one.run in file.name or one.run in file.read_text(errors="replace")]
    return [file.relative_to(output_dir).as_posix() for file in dict.fromkeys(found)]
