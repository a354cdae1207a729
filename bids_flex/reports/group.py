"""The page of the group level."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from bids_flex import __version__
from bids_flex.bids.atlases import read_atlas
from bids_flex.bids.names import as_label, entities_of
from bids_flex.bids.outputs import write_atomic
from bids_flex.bids.results import read_sidecar
from bids_flex.bids.summaries import find_summaries
from bids_flex.errors import BidsFlexError, NoMatchError
from bids_flex.reports import group_figures
from bids_flex.reports.brain import interactive, plotly
from bids_flex.reports.draw import Wanted, save_figures
from bids_flex.reports.group_results import find_models, read_table, rows_of
from bids_flex.reports.methods import bibtex, group_methods, plain
from bids_flex.reports.page import json_for_script, render, with_images
from bids_flex.words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

    from bids_flex.bids.atlases import KeptAtlas
    from bids_flex.reports.group_results import ModelResults

COLUMNS = (
    "family",
    "outcome",
    "contrast",
    "n",
    "estimate",
    "ci_low",
    "ci_high",
    "p_perm",
    "p_adj",
    "effect",
    "effect_low",
    "effect_high",
    "effect_unadjusted",
    "bf10",
    "tost_p",
    "tost_power",
    "reason",
)
QUALITY = ("outcome", "contrast", "n", "estimate", "ci_low", "ci_high", "p_perm", "effect", "reason")
SENSITIVITY = (
    "analysis",
    "outcome",
    "contrast",
    "n",
    "estimate",
    "p_perm",
    "p_adj",
    "effect",
    "effect_low",
    "effect_high",
    "reason",
)
CORRELATIONS = ("measure", "quality", "kind", "n", "r", "ci_low", "ci_high", "p", "p_adj", "reason")
PLAIN = 1000
"""Numbers from here on are written without decimals."""


def make_group_page(output_dir: Path, crash_dir: Path) -> Path:
    """Make ``group.html`` from what the group level has left.

    Parameters
    ----------
    output_dir : Path
        Our derivatives; nothing else is read.
    crash_dir : Path
        For the tracebacks of figures that fail.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    NoMatchError
        When the group level has left nothing.
    DatasetFileError
        When the flow of participants cannot be read.
    OutputError
        When the disk refuses.
    """
    folder = output_dir / "group"
    if not (folder / "participants_flow.tsv").exists():
        raise NoMatchError(f"{folder} has no results of the group level: run it first")
    atlas = _atlas(output_dir)
    models = find_models(folder, atlas)
    view = _view(models, atlas)
    left = read_table(folder / "participants_leftout.tsv")
    text = render(
        "group.html.j2",
        title="Group comparison",
        version=__version__,
        flow=read_table(folder / "participants_flow.tsv").to_dict("records"),
        left_out=left.fillna("").to_dict("records"),
        warnings=(read_sidecar(folder / "participants_dynamics.json") or {}).get("Warnings", []),
        models=[_model(one, crash_dir) for one in models],
        view=json_for_script(view) if view else "",
        maps=view["maps"] if view else [],
        plotly=plotly() if view else "",
    )
    path = output_dir / "group.html"
    write_atomic(path, text)
    return path


def _atlas(output_dir: Path) -> KeptAtlas | None:
    """Find the atlas that results are named after."""
    paths = [path for listed in find_summaries(output_dir).values() for path in listed]
    return read_atlas(output_dir, entities_of(paths[0])) if paths else None


def _model(model: ModelResults, crash_dir: Path) -> dict[str, Any]:
    """Collect what the page says of a model; what cannot be read is said in its place."""
    told = model.told
    found: dict[str, Any] = {
        "id": model.stem,
        "name": str(told.get("Name", model.stem)),
        "facts": [],
        "warnings": told.get("Warnings", []),
        "figures": [],
        "tables": [],
        "flow": [],
        "left_out": [],
        "methods": "",
        "markdown": "",
        "bibtex": "",
        "error": None,
        "design": None,
        "verdicts": [],
        "readings": told.get("Readings", []),
    }
    try:
        tests = model.table("tests")
        found["facts"] = [
            (name, str(told[name]))
            for name in ("PeopleInModel", "PrimaryEngine", "Statistic", "Permutations", "Seeds", "EquivalenceBound")
        ]
        found["flow"] = model.table("flow").to_dict("records")
        found["left_out"] = model.table("leftout").fillna("").to_dict("records")
        found["tables"] = _tables(model, tests)
        found["verdicts"] = _verdicts(tests)
        text = group_methods(told, model.document)
        found |= {"methods": plain(text), "markdown": text, "bibtex": bibtex(text)}
    except (BidsFlexError, KeyError, TemplateError) as error:
        found["error"] = f"the tables of this model are not whole ({error}): run the group level again"
        return found
    figures = model.folder / "figures"
    found["figures"] = with_images(figures, save_figures(_figures(model, tests), figures, model.stem, crash_dir))
    design = model.folder / f"{model.stem}_stat-design.svg"
    found["design"] = design.read_bytes() if design.is_file() else None
    return found


def _figures(model: ModelResults, tests: pd.DataFrame) -> list[Wanted]:
    """List the figures of a model."""
    draw = group_figures
    regions = tests[(tests["level"] == "region") & (tests["engine"] == model.primary)]
    return [
        Wanted("rainclouds", "primary", "Measures by group", "", partial(draw.draw_rainclouds, model)),
        Wanted(
            "evidence",
            "primary",
            "Difference, no difference, or cannot tell",
            "Diamond: corrected p < .05. Square: the equivalence test excludes differences beyond the bound. "
            "Open circle: the data "
            "allow neither.",
            partial(draw.draw_evidence, model),
        ),
        Wanted("null", "primary", "Beyond surrogates", "", partial(draw.draw_null, model)),
        Wanted(
            "sensitivity", "primary", "The same question asked otherwise", "", partial(draw.draw_sensitivity, model)
        ),
        Wanted("quality", "quality", "Motion and usable data by group", "", partial(draw.draw_quality, model)),
        Wanted("forest", "networks", "Networks", "", partial(draw.draw_forest, model)),
        *(
            Wanted(
                f"regions{as_label(name)}",
                "regions",
                f"Regions: {name}",
                "",
                partial(draw.draw_region_maps, model, name),
            )
            for name in regions["contrast"].unique()
        ),
    ]


def _verdicts(tests: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Say in words what the primary contrasts allow to say, and why one has no test."""
    chosen = tests[(tests["family"] == "primary") & (tests["test"] == "t")]
    reasons = chosen["reason"].fillna("")
    return [
        (f"{row.measure}, {row.contrast}", group_figures.verdict(row), str(why))
        for row, why in zip(rows_of(chosen), reasons, strict=True)
    ]


def _tables(model: ModelResults, tests: pd.DataFrame) -> list[dict[str, Any]]:
    """List the tables of a model for reading: regions only where their own p is below .05."""
    regions = tests["level"] == "region"
    low = tests[regions & (tests["p_perm"] < 0.05)]
    listed = [
        ("tests", "Whole brain and networks", tests[~regions], COLUMNS),
        (
            "regions",
            f"Regions with an uncorrected p below .05: {len(low)} of {counted(int(regions.sum()), 'test')}",
            low,
            COLUMNS,
        ),
        ("sensitivity", "The primary question asked otherwise", model.table("sensitivity"), SENSITIVITY),
        ("quality", "The groups' data: the same contrasts on quality", model.table("quality"), QUALITY),
        ("qualitycorrelations", "Measures and quality", model.table("qualitycorrelations"), CORRELATIONS),
    ]
    return [
        {
            "id": f"{model.stem}-{name}",
            "caption": caption,
            "columns": [one for one in columns if one in table],
            "rows": cells(table, columns),
            "file": f"{model.stem}_{name}.tsv",
        }
        for name, caption, table, columns in listed
    ]


def cells(table: pd.DataFrame, columns: Sequence[str]) -> list[list[dict[str, Any]]]:
    """Write a table's cells: the value to sort by, and the text to read.

    Parameters
    ----------
    table : pandas.DataFrame
        With rows to show.
    columns : sequence of str
        To show, where they are there.
    """
    there = [name for name in columns if name in table]
    return [[_cell(value) for value in row] for row in table[there].itertuples(index=False)]


def _cell(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any cell
    """Write one cell; numbers have three figures, and missing values none."""
    if isinstance(value, float) and value != value:  # noqa: PLR0124 - NaN
        return {"value": "", "text": "", "number": False}
    if isinstance(value, float):
        text = f"{value:.0f}" if abs(value) >= PLAIN and value < 1e7 else f"{value:.3g}"
        return {"value": repr(value), "text": text, "number": True}
    text = str(value)
    return {"value": text, "text": text, "number": bool(re.fullmatch(r"-?\d+", text))}


def _view(models: Sequence[ModelResults], atlas: KeptAtlas | None) -> dict[str, Any] | None:
    """Collect the effect sizes of regions for the interactive view."""
    maps = []
    for model in models:
        try:
            tests = model.table("tests")
        except BidsFlexError:
            continue
        chosen = tests[
            (tests["level"] == "region") & tests["measure"].isin(group_figures.MEASURES) & tests["effect"].notna()
        ]
        for (contrast, engine, measure), rows in chosen.groupby(["contrast", "engine", "measure"], sort=False):
            name = f"{engine}: {measure} ({rows['effect_kind'].iloc[0]})"
            maps.append((f"{model.told.get('Name', model.stem)}: {contrast}", name, rows.set_index("region")["effect"]))
    return interactive(atlas, maps)
