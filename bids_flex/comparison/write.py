"""Results of a model as files: tables with their dictionaries, the model's document, and what was run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bids_flex import __version__
from bids_flex.bids.names import as_label
from bids_flex.bids.outputs import write_atomic, write_json, write_table
from bids_flex.comparison.designs import draw_design
from bids_flex.comparison.maps import STATISTICS, write_maps
from bids_flex.stats import TEST_COLUMNS

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from bids_flex.bids.atlases import KeptAtlas
    from bids_flex.cohort import Cohort
    from bids_flex.comparison.compare import Comparison

FURTHER = {
    "analysis": "What was asked otherwise",
    "members": "Outcome and contrast of every test in the family",
    "tests": "Number of tests in the family",
    "outcome": "Column of the participants' table; all: the whole model",
    "participant_id": "Participant",
    "reason": "Why",
    "measure": "Column of the participants' table",
    "quality": "Column of the participants' table that tells the quality of the data",
    "kind": "plain, or partial: both adjusted for the design",
    "r": "Correlation (Pearson)",
    "test": "t, F, or in the mixed model z or chi2",
    "groups": "Number of people in the mixed model",
    "variance_between": "Variance of the random intercept",
    "variance_within": "Residual variance",
    "df": "Degrees of freedom",
    "stage": "found, usable, in table, in model",
    "participants": "Number of participants",
    "runs": "Number of runs",
}

NO_MAPS = "no maps: the outputs hold no image of the atlas, or no region was tested"


def write_comparison(
    folder: Path, comparison: Comparison, cohort: Cohort, caution: str, atlas: KeptAtlas | None
) -> None:
    """Write everything that a model has come to; the JSON that says what was run is the last file.

    Parameters
    ----------
    folder : Path
        ``group``.
    comparison : Comparison
        As of :func:`~bids_flex.comparison.compare`.
    cohort : Cohort
        The people.
    caution : str
        What must be known of the primary engine's measures.
    atlas : KeptAtlas or None
        That regions are drawn on.

    Raises
    ------
    OutputError
        When the disk refuses.
    """
    result, model = comparison.result, comparison.asked.model
    stem = f"model-{as_label(model.name)}"
    tests = {name: {"Description": text} for name, text in TEST_COLUMNS.items()}
    plain = {name: {"Description": text} for name, text in FURTHER.items()}
    mixed = tests | {"analysis": plain["analysis"]}
    for name, table, columns in (
        ("tests", result.tests, tests),
        ("families", result.families, tests | plain),
        ("quality", comparison.quality, tests),
        ("sensitivity", comparison.sensitivity, mixed),
        ("qualitycorrelations", comparison.correlations, tests | plain),
        ("flow", comparison.flow, plain),
        ("leftout", _left_out(comparison, cohort), plain),
        ("design", *_design(comparison)),
        ("tested", *_tested(comparison, cohort)),
    ):
        write_table(folder / f"{stem}_stat-{name}.tsv", table, {"Model": model.name}, columns)
    if not comparison.mixed.empty:
        write_table(folder / f"{stem}_stat-mixed.tsv", comparison.mixed, {"Model": model.name}, tests | plain)
    write_atomic(folder / f"{stem}_stat-design.svg", draw_design(result.design))
    maps = [f"maps/{name}" for name in write_maps(folder / "maps", stem, result.tests, atlas)]
    write_json(folder / f"{stem}_smdl.json", comparison.asked.document)
    told = _told(comparison, cohort, caution)
    write_json(folder / f"{stem}.json", {**told, "Maps": maps, "MapStatistics": STATISTICS if maps else NO_MAPS})


def _design(comparison: Comparison) -> tuple[pd.DataFrame, dict[str, dict[str, str]]]:
    """Give the design as a table, and what its columns are."""
    import pandas as pd

    design = comparison.result.design
    matrix = pd.DataFrame(design.matrix, columns=list(design.columns))
    matrix.insert(0, "participant_id", list(comparison.result.participants))
    return matrix, {
        "participant_id": {"Description": "Participant"},
        **{column: {"Description": f"Column of the design: {column}"} for column in design.columns},
    }


def _tested(comparison: Comparison, cohort: Cohort) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Give whole-brain measures and quality of the rows in the model, as they were tested, and what they are."""
    table = comparison.result.table
    wanted = [column.name for column in cohort.columns if column.level == "global"]
    names = ["participant_id", *(("session",) if "session" in table else ()), *wanted, *cohort.quality]
    return table[names], {name: dict(cohort.described[name]) for name in names}


def _left_out(comparison: Comparison, cohort: Cohort) -> pd.DataFrame:
    """List whoever is not in the model, or not in one of its tests, and why."""
    import pandas as pd

    earlier = cohort.left_out[["participant_id", "reason"]].assign(outcome="all")
    dropped = comparison.result.dropped
    primary = comparison.result.tests.query("family.str.startswith('primary')")["outcome"]
    listed = dropped[dropped["outcome"].isin(["all", *primary])]
    return pd.concat([earlier, listed], ignore_index=True)[["participant_id", "outcome", "reason"]]


def _told(comparison: Comparison, cohort: Cohort, caution: str) -> dict[str, Any]:
    """Say what was run, with which seeds, and what a reader must know."""
    result, model = comparison.result, comparison.asked.model
    settings = model.settings
    return {
        "Name": model.name,
        "PrimaryEngine": cohort.primary,
        "Predictors": list(model.predictors),
        "Contrasts": list(result.design.contrasts),
        "Statistic": f"{settings.statistic.upper()}, Freedman-Lane permutation, two-sided; OLS beside it",
        "Permutations": settings.permutations,
        "Seeds": {"permutations": settings.seed},
        "EquivalenceBound": settings.equivalence_bound,
        "PeopleInModel": len(result.participants),
        "Warnings": [caution, *cohort.warnings, *_differing(comparison), *_repeated(cohort)],
        "Readings": list(comparison.readings),
        "SoftwareVersion": __version__,
    }


def _differing(comparison: Comparison) -> list[str]:
    """Say in which quality of the data the groups differ."""
    found = comparison.quality
    low = found[found["p_perm"] < 0.05]
    return [
        f"Groups differ in {name} (permutation p < .05, uncorrected: {', '.join(rows['contrast'])})."
        for name, rows in low.groupby("outcome", sort=False)
    ]


def _repeated(cohort: Cohort) -> list[str]:
    """Say what repeated rows do to the tests."""
    if not cohort.people["participant_id"].duplicated().any():
        return []
    told = (
        "Rows are sessions, several of a person: parametric p, intervals, effect sizes, Bayes factors and equivalence "
        "take them for independent. Believe the mixed model, and the permutation test if the model's blocks are people."
    )
    return [told]
