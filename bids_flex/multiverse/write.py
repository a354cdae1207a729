"""The curves of a multiverse as files: tables with their dictionaries, the model's document, and what was run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bids_flex import __version__
from bids_flex.bids.names import as_label
from bids_flex.bids.outputs import write_json, write_table
from bids_flex.bids.universes import NAME, choice_columns
from bids_flex.stats import TEST_COLUMNS
from bids_flex.words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

    from bids_flex.multiverse.curves import Curves, Member

COLUMNS = {
    "measure": "Whole-brain measure; flexibility_excess: observed minus its mean in surrogates, multilayer alone; "
    "split_half_flexibility: prior alone",
    "contrast": "Contrast of the model",
    "rank": "Place in the curve sorted by effect; n/a for a universe without a result",
    "n": "People in the test",
    "lacking": "People who are in the model in another universe and not in this test",
    "effect": "Hedges g",
    "significant": "Whether p is below .05",
    "p": "Two-sided p of the t distribution",
    "p_perm": "p of the universe by itself, from the permutations that all universes share",
    "statistic": "t, of the kind that the model asks for (hc3 or ols)",
    "null_low": "Lower limit of what 95 % of the permutations have at this place of the sorted curve (g)",
    "null_high": "Upper limit of the same",
    "reason": "Why there is no result, or why the participant lacks",
    "universes": "Universes that the measure is of",
    "specifications": "Those with a result",
    "median": "Median effect (g)",
    "lowest": "Smallest effect (g)",
    "highest": "Largest effect (g)",
    "share": "Share of the universes with p below .05 in the sign in which more have it",
    "sign": "That sign: positive, negative, or neither",
    "p_median": "Share of the permutations whose median effect is as far from 0",
    "p_share": "Share of the permutations whose share, in their own dominant sign, is as large",
    "median_low": "Lower limit of what 95 % of the permutations have as median effect (g)",
    "median_high": "Upper limit of the same",
    "share_null": "Mean share of the permutations",
    "draws": "Permutations of the whole curve, the data's own order included",
    "choice": "Choice of the grid",
    "level": "One of its levels",
    "with_level": "Universes with this level and a result",
    "median_with": "Median effect of these (g)",
    "median_without": "Median effect of all others (g)",
    "share_without": "share, of all others",
    "p_median_without": "p_median, of all others",
    "p_share_without": "p_share, of all others",
    "influence": "Median effect of all universes minus that of the others (g): what the level adds",
    "explained": "Share of the variance of effects that lies between the levels of the choice",
    "participants": "Participants in the universe's table",
    "left_out": "Participants and runs left out before it",
    "runs": "Runs in the universe's table",
    "warnings": "Number of warnings about the universe's table; its own group level lists them",
    "participant_id": "Participant",
}

CAUTION = (
    "Universes are no sample of anything: their number and the share that is significant follow from the grid. The "
    "tests of the curve ask whether so much would be found if people were shuffled, in the same way in all universes."
)


def write_members(folder: Path, members: Sequence[Member], choices: Sequence[str]) -> None:
    """Write what has come of every universe: people, runs, and who was left out.

    Raises
    ------
    OutputError
        When the disk refuses.
    """
    import pandas as pd

    rows = []
    for one in members:
        cohort = one.cohort
        told = {"participants": 0, "runs": 0, "left_out": 0, "warnings": 0}
        if cohort is not None:
            told = {
                "participants": int(cohort.people["participant_id"].nunique()),
                "runs": len(cohort.runs),
                "left_out": len(cohort.left_out),
                "warnings": len(cohort.warnings),
            }
        chosen = {name: one.levels.get(name) for name in choices}
        rows.append({"universe": one.name, **chosen, **told, "reason": one.reason or None})
    write_table(folder / "multiverse_universes.tsv", pd.DataFrame(rows), {}, _described(choices))


def write_curves(folder: Path, curves: Curves, choices: Sequence[str]) -> None:
    """Write everything about one model's curves; the JSON that says what was run is the last file.

    Raises
    ------
    OutputError
        When the disk refuses.
    """
    model = curves.asked.model
    stem = f"multiverse-{as_label(model.name)}"
    described = _described(choices)
    for name, table in (
        ("curve", _ordered(curves.curve, choices)),
        ("curvetests", curves.tests),
        ("influence", curves.influence),
        ("gaps", curves.gaps),
    ):
        write_table(folder / f"{stem}_stat-{name}.tsv", table, {"Model": model.name}, described)
    write_json(folder / f"{stem}_smdl.json", curves.asked.document)
    write_json(folder / f"{stem}.json", _told(curves, choices))


def _described(choices: Sequence[str]) -> dict[str, dict[str, str]]:
    """Say what columns mean."""
    tests = {name: {"Description": text} for name, text in TEST_COLUMNS.items()}
    return {
        **tests,
        **{name: {"Description": text} for name, text in COLUMNS.items()},
        "universe": NAME,
        **choice_columns(choices),
    }


def _ordered(curve: pd.DataFrame, choices: Sequence[str]) -> pd.DataFrame:
    """Put the columns of the curve in order."""
    first = ["measure", "contrast", "rank", "universe", *(name for name in choices if name in curve)]
    last = ["reason"]
    middle = [name for name in curve.columns if name not in {*first, *last}]
    reasons = curve["reason"].where(curve["reason"] != "")
    return curve[[*first, *middle, *last]].assign(reason=reasons).astype({"rank": "Int64"})


def _told(curves: Curves, choices: Sequence[str]) -> dict[str, Any]:
    """Say what was run, and what a reader must know."""
    model, settings = curves.asked.model, curves.asked.model.settings
    gaps, warnings = curves.gaps, [CAUTION]
    if len(gaps):
        count, who = gaps["universe"].nunique(), gaps["participant_id"].nunique()
        lacking = counted(count, "universe lacks", "universes lack")
        warnings.append(f"{lacking} {who} of {curves.people} people: results there are of fewer, and gaps say why.")
    return {
        "Name": model.name,
        "Predictors": list(model.predictors),
        "Choices": list(choices),
        "Statistic": f"{settings.statistic.upper()}, Freedman-Lane permutation, the same in every universe",
        "Permutations": int(curves.tests["draws"].max()),
        "Seeds": {"permutations": settings.seed},
        "PeopleInModel": curves.people,
        "Warnings": warnings,
        "SoftwareVersion": __version__,
    }
