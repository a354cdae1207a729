"""The group page of a multiverse: its specification curves, to look at, to filter and to sort."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_flex import __version__
from bids_flex.bids.outputs import write_atomic
from bids_flex.bids.results import read_sidecar
from bids_flex.bids.universes import read_universes_table, universes_facts
from bids_flex.errors import BidsFlexError, NoMatchError
from bids_flex.reports.draw import Wanted, save_figures
from bids_flex.reports.group import cells
from bids_flex.reports.group_results import read_table
from bids_flex.reports.multiverse_figures import draw_curve, draw_influence
from bids_flex.reports.page import json_for_script, own_script, render, with_images
from bids_flex.words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

CURVE = (
    *("rank", "universe", "effect", "effect_low", "effect_high", "estimate", "p", "p_perm", "n", "lacking", "reason"),
)
TESTS = (
    *("measure", "contrast", "universes", "specifications", "median", "median_low", "median_high", "p_median", "share"),
    *("sign", "share_null", "p_share", "draws"),
)
INFLUENCE = (
    *("choice", "level", "with_level", "median_with", "median_without", "influence", "explained", "share_without"),
    *("p_median_without", "p_share_without"),
)
DIGITS = 5


def make_multiverse_page(output_dir: Path, crash_dir: Path) -> Path:
    """Make ``group.html`` from what the group level of a multiverse has left.

    Parameters
    ----------
    output_dir : Path
        Our derivatives; nothing else is read.
    crash_dir : Path
        For the tracebacks of figures that fail.

    Raises
    ------
    NoMatchError
        When the group level has left nothing.
    DatasetFileError
        When a table cannot be read.
    OutputError
        When the disk refuses.
    """
    folder, table = output_dir / "group", read_universes_table(output_dir)
    if table is None or not (folder / "multiverse_universes.tsv").exists():
        raise NoMatchError(f"{folder} has no results of a multiverse: run the group level first")
    members = _read(folder / "multiverse_universes.tsv", table.choices)
    models = [
        _model(folder, path.name.removesuffix(".json"), table.choices, crash_dir)
        for path in sorted(folder.glob("multiverse-*.json"))
        if "_" not in path.stem
    ]
    text = render(
        "multiverse.html.j2",
        title="Multiverse",
        version=__version__,
        universes=len(members),
        steps=universes_facts(output_dir).get("StepsOfEachRun", {}),
        levels=[
            (name, list(dict.fromkeys(one[name] for one in table.levels if name in one))) for name in table.choices
        ],
        members={
            "columns": list(members.columns),
            "rows": cells(members, list(members.columns)),
            "empty": int((members["participants"] == 0).sum()),
        },
        models=models,
        view=None,
        data=json_for_script({"choices": list(table.choices), "curves": [c for one in models for c in one["data"]]}),
        curve_script=own_script("multiverse.js"),
    )
    path = output_dir / "group.html"
    write_atomic(path, text)
    return path


def _read(path: Path, choices: Sequence[str]) -> pd.DataFrame:
    """Read a table; universes and levels stay text."""
    return read_table(path, ("universe", *choices, "level", "choice", "measure", "contrast", "significant", "sign"))


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """List the rows of a table by the names of its columns."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _model(folder: Path, stem: str, choices: Sequence[str], crash_dir: Path) -> dict[str, Any]:
    """Collect what the page says of a model; what cannot be read is said in its place."""
    told = read_sidecar(folder / f"{stem}.json") or {}
    found: dict[str, Any] = {
        "id": stem,
        "name": str(told.get("Name", stem)),
        "warnings": told.get("Warnings", []),
        "facts": [
            (name, str(told.get(name, ""))) for name in ("PeopleInModel", "Predictors", "Statistic", "Permutations")
        ],
        "curves": [],
        "tests": None,
        "gaps": None,
        "data": [],
        "error": None,
    }
    try:
        curve, tests, influence, gaps = (
            _read(folder / f"{stem}_stat-{name}.tsv", choices) for name in ("curve", "curvetests", "influence", "gaps")
        )
        found["tests"] = _table(f"{stem}-tests", "The curves as a whole", tests, TESTS, f"{stem}_curvetests.tsv")
        found["gaps"] = _table(f"{stem}-gaps", "Who lacks where, and why", gaps, list(gaps.columns), f"{stem}_gaps.tsv")
        for place, test in enumerate(_records(tests)):
            rows, parts = (
                one[(one["measure"] == test["measure"]) & (one["contrast"] == test["contrast"])]
                for one in (curve, influence)
            )
            found["curves"].append(_curve(folder, stem, place, test, rows, parts, choices, crash_dir))
            found["data"].append(_data(found["name"], test, rows, choices))
    except (BidsFlexError, KeyError) as error:
        found["error"] = f"the tables of this model are not whole ({error}): run the group level again"
    return found


def _table(name: str, caption: str, table: pd.DataFrame, columns: Sequence[str], file: str) -> dict[str, Any]:
    there = [one for one in columns if one in table]
    return {"id": name, "caption": caption, "columns": there, "rows": cells(table, there), "file": file}


def _curve(
    folder: Path,
    stem: str,
    place: int,
    test: dict[str, Any],
    rows: pd.DataFrame,
    parts: pd.DataFrame,
    choices: Sequence[str],
    crash_dir: Path,
) -> dict[str, Any]:
    """Collect figures, words and tables of one curve."""
    what = f"{test['measure'].replace('_', ' ')}, {test['contrast']}"
    wanted = [
        Wanted(f"curve{place}", "curve", f"Specification curve: {what}", "", partial(draw_curve, rows, choices)),
        Wanted(
            f"influence{place}", "curve", f"Which choices matter: {what}", "",
            partial(draw_influence, parts, float(test["median"])),
        ),
    ]  # fmt: skip
    figures = folder / "figures"
    return {
        "what": what,
        "said": _said(test),
        "figures": with_images(figures, save_figures(wanted, figures, f"{stem}{place}", crash_dir)),
        "tables": [
            _table(f"{stem}-curve{place}", f"Universes: {what}", rows, (*CURVE, *choices), f"{stem}_curve.tsv"),
            _table(
                f"{stem}-influence{place}", f"Leaving out a level: {what}", parts, INFLUENCE, f"{stem}_influence.tsv"
            ),
        ],
    }


def _said(test: dict[str, Any]) -> str:
    """Say in words what the tests of a curve found."""
    direction = "one direction" if test["sign"] == "neither" else f"the {test['sign']} direction"
    return (
        f"{test['specifications']:.0f} of {counted(int(test['universes']), 'universe')} "
        f"{'has' if test['specifications'] == 1 else 'have'} a result. Their median effect is g = "
        f"{test['median']:.2f} (95 % of the permutations: {test['median_low']:.2f} to {test['median_high']:.2f}; p = "
        f"{test['p_median']:.3f}). {test['share']:.0%} are significant in {direction} (in the "
        f"permutations {test['share_null']:.0%} on average; p = {test['p_share']:.3f})."
    )


def _data(model: str, test: dict[str, Any], rows: pd.DataFrame, choices: Sequence[str]) -> dict[str, Any]:
    """Give one curve to the page's script."""
    columns = ("effect", "effect_low", "effect_high", "null_low", "null_high", "p", "n", "lacking")
    points = []
    for row in _records(rows):
        point = {name: None if np.isnan(row[name]) else round(float(row[name]), DIGITS) for name in columns}
        levels = [row[name] if isinstance(row[name], str) else "" for name in choices]
        points.append({"universe": row["universe"], "levels": levels, **point})
    return {"name": f"{model}: {test['measure'].replace('_', ' ')}, {test['contrast']}", "points": points}
