"""The universes' tables of people and a model to specification curves, with gaps shown and the curve tested."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_flex.comparison import find_models
from bids_flex.errors import DatasetFileError, UsageError
from bids_flex.stats import Outcome, fit_model
from bids_flex.stats.curve import (
    ALPHA,
    NO_CURVE,
    Specification,
    curve_test,
    draw_curve,
    each_p,
    explained,
    null_curve,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from bids_flex.cohort import Cohort
    from bids_flex.comparison.models import Asked
    from bids_flex.config import GroupSettings
    from bids_flex.stats import ModelResult
    from bids_flex.stats.curve import CurveTest, Draws
    from bids_flex.stats.settings import Settings

    Floats = NDArray[np.float64]

FEWEST_DRAWS = 500
"""Arrangements that a curve is held against at least."""

MEASURES = ("flexibility", "promiscuity", "split_half_flexibility", "flexibility_excess")
"""Whole-brain measures with a curve each, where universes have them. The excess is of ``multilayer`` alone: that of
``prior`` says whether there is more than noise, not how much. Halves are of ``prior`` alone."""

LACKS = {"prior": "flexibility_excess", "multilayer": "split_half_flexibility"}
"""The measure that no universe of an engine has."""

KEPT = ("estimate", "ci_low", "ci_high", "effect", "effect_low", "effect_high", "statistic", "p", "reason")
"""Columns of the table of tests that a curve's rows have too."""

INFLUENCE = (
    *("measure", "contrast", "choice", "level", "with_level", "median_with", "median_without", "share_without"),
    *("p_median_without", "p_share_without", "influence", "explained"),
)


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """A universe of a multiverse.

    Attributes
    ----------
    name : str
        Its hash.
    levels : dict of str to str
        What it has chosen.
    cohort : Cohort or None
        Its people; None where it has no results.
    reason : str
        Why it has none.
    """

    name: str
    levels: dict[str, str]
    cohort: Cohort | None
    reason: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """The curves of one model.

    Attributes
    ----------
    asked : Asked
        The model and its document.
    people : int
        In the model in one universe at least.
    curve : pandas.DataFrame
        One row for each measure, contrast and universe, sorted by effect; universes without a result last.
    tests : pandas.DataFrame
        One row for each measure and contrast: the curve as a whole.
    influence : pandas.DataFrame
        One row for each measure, contrast, choice and level: the curve without the universes of that level.
    gaps : pandas.DataFrame
        ``universe``, ``participant_id``, ``reason``: who is in the model elsewhere and not there.
    """

    asked: Asked
    people: int
    curve: pd.DataFrame
    tests: pd.DataFrame
    influence: pd.DataFrame
    gaps: pd.DataFrame


@dataclass(frozen=True, slots=True, eq=False)
class _Fitted:
    """A universe with the model's fit; a reason instead where there is none."""

    member: Member
    result: ModelResult | None
    reason: str = ""


def compare_universes(members: Sequence[Member], asked: GroupSettings, seed: int) -> tuple[Curves, ...]:
    """Test the models of a call in every universe, and their curves as a whole.

    Parameters
    ----------
    members : sequence of Member
        The universes, with their people.
    asked : GroupSettings
        The models.
    seed : int
        Of the permutations of the short form.

    Raises
    ------
    UsageError
        When a curve cannot be made of what is asked.
    DatasetFileError
        When no universe has results, or a model cannot be built anywhere.
    """
    if asked.unit != "participant":
        raise UsageError("--unit session: curves are of participants: a person's sessions are averaged")
    there = [one for one in members if one.cohort is not None]
    if not there:
        told = "; ".join(dict.fromkeys(one.reason for one in members))
        raise DatasetFileError(f"no universe has results ({told}): run the participant level first")
    people = _everyone(there)
    # columns of the data set's own tables are the same in all universes, so that any can tell what a model may name
    found = find_models(asked, replace(_cohort(there[0]), people=people), seed)
    return tuple(_curves(one, members, people) for one in found)


def _cohort(member: Member) -> Cohort:
    assert member.cohort is not None  # noqa: S101 - those without are left out before
    return member.cohort


def _everyone(members: Sequence[Member]) -> pd.DataFrame:
    """List everyone who is in the table of a universe, once, by the first that has them; sorted by label."""
    import pandas as pd

    tables = pd.concat([_cohort(one).people for one in members], ignore_index=True)
    return tables.drop_duplicates("participant_id").sort_values("participant_id").reset_index(drop=True)


def _curves(asked: Asked, members: Sequence[Member], people: pd.DataFrame) -> Curves:
    """Test one model in every universe, and its curves."""
    import pandas as pd

    settings = asked.model.settings
    _check(asked)
    fitted = [_fit(asked, one, people) for one in members]
    done = [one.result for one in fitted if one.result is not None]
    if not done:
        why = "; ".join(dict.fromkeys(one.reason for one in fitted))
        raise DatasetFileError(f"model {asked.model.name} cannot be tested in any universe: {why}")
    known = people["participant_id"].astype(str)
    everyone = known[known.isin({label for one in done for label in one.participants})].tolist()
    blocks = None
    if settings.blocks:
        own = people.assign(participant_id=known).set_index("participant_id")[settings.blocks]
        blocks = own.loc[everyone].astype(str).to_numpy()
    curve: list[dict[str, Any]] = []
    tests: list[dict[str, Any]] = []
    influence: list[dict[str, Any]] = []
    for measure in MEASURES:
        for contrast, weights in done[0].design.contrasts.items():
            if weights.ndim == 1:
                rows, test, parts = _one_curve(fitted, everyone, measure, contrast, settings, blocks)
                told: dict[str, Any] = {"measure": measure, "contrast": contrast}
                curve += [told | row for row in rows]
                tests += [told | test] if rows else []
                influence += [told | part for part in parts]
    if not curve:
        raise DatasetFileError(f"model {asked.model.name} has no contrast of one row: a curve has a sign")
    return Curves(
        asked=asked,
        people=len(everyone),
        curve=pd.DataFrame(curve),
        tests=pd.DataFrame(tests),
        influence=pd.DataFrame(influence, columns=list(INFLUENCE)),
        gaps=_gaps(fitted, everyone),
    )


def _check(asked: Asked) -> None:
    """Refuse models that no curve can be made of."""
    model, settings = asked.model, asked.model.settings
    if settings.exchange == "whole" or settings.difference or settings.grouping:
        raise UsageError(
            f"model {model.name} has repeated rows (Exchange whole, Difference or Grouping): curves are of people, "
            "a row each"
        )
    if settings.permutations < FEWEST_DRAWS:
        raise UsageError(
            f"model {model.name} asks for {settings.permutations} permutations: a curve is held against "
            f"{FEWEST_DRAWS} at least (--n-permutations)"
        )


def _fit(asked: Asked, member: Member, people: pd.DataFrame) -> _Fitted:
    """Fit a model in one universe; people whom it lacks are there without outcomes, so that all have one design."""
    import pandas as pd

    if member.cohort is None:
        return _Fitted(member, None, member.reason)
    own, engine = member.cohort.people, member.levels["engine"]
    columns = [f"{engine}_{measure}" for measure in _measures(engine) if f"{engine}_{measure}" in own]
    absent = people[~people["participant_id"].isin(own["participant_id"])].copy()
    absent[columns] = np.nan
    table = pd.concat([own, absent], ignore_index=True) if len(absent) else own
    table = table.sort_values("participant_id").reset_index(drop=True)
    # each universe's own permutation p comes from the draws that all share
    alone = replace(asked.model, settings=replace(asked.model.settings, permutations=1))
    outcomes = [Outcome(name, name.removeprefix(f"{engine}_"), engine) for name in columns if table[name].notna().any()]
    if not outcomes:
        return _Fitted(member, None, "nobody has a value")
    try:
        return _Fitted(member, fit_model(alone, table, outcomes))
    except DatasetFileError as error:
        return _Fitted(member, None, str(error))


def _measures(engine: str) -> tuple[str, ...]:
    return tuple(name for name in MEASURES if name != LACKS[engine])


def _one_curve(
    fitted: Sequence[_Fitted],
    everyone: list[str],
    measure: str,
    contrast: str,
    settings: Settings,
    blocks: NDArray[Any] | None,
) -> tuple[list[dict[str, Any]], dict[str, Any], list[dict[str, Any]]]:
    """Make the curve of one measure and contrast: its rows, its test, and the influence of choices."""
    concerned = [one for one in fitted if measure in _measures(one.member.levels["engine"])]
    if not any(_found(one, measure, contrast) is not None for one in concerned):
        # a measure that no universe was asked for, such as the excess without surrogates, is no gap
        return [], {}, []
    rows = [_row(one, measure, contrast, len(everyone)) for one in concerned]
    tested = [place for place, row in enumerate(rows) if not row["reason"]]
    gaps = [row for row in rows if row["reason"]]
    if not tested:
        return gaps, _told(NO_CURVE) | {"universes": len(rows), "draws": 0}, []
    asked = [_specification(concerned[place], everyone, measure, contrast) for place in tested]
    draws = draw_curve(
        asked, settings.permutations, settings.seed, blocks, settings.statistic, settings.rearrange  # type: ignore[arg-type]
    )  # fmt: skip
    for place, p in zip(tested, each_p(draws), strict=True):
        rows[place] |= {"p_perm": p, "significant": "true" if rows[place]["p"] < ALPHA else "false"}
    ordered = [rows[place] for place in sorted(tested, key=lambda place: float(rows[place]["effect"]))]
    for rank, (row, low, high) in enumerate(zip(ordered, *null_curve(draws), strict=True), start=1):
        row |= {"rank": rank, "null_low": low, "null_high": high}
    test = _told(curve_test(draws)) | {
        "universes": len(rows),
        "lowest": ordered[0]["effect"],
        "highest": ordered[-1]["effect"],
        "draws": len(draws.t),
    }
    levels = [concerned[place].member.levels for place in tested]
    return [*ordered, *gaps], test, list(_influence(draws, levels))


def _found(one: _Fitted, measure: str, contrast: str) -> dict[str, Any] | None:
    """Find the tests' row of one universe; None where it has none."""
    if one.result is None:
        return None
    tests = one.result.tests
    outcome = f"{one.member.levels['engine']}_{measure}"
    found = tests[(tests["outcome"] == outcome) & (tests["contrast"] == contrast)]
    return None if found.empty else {str(name): value for name, value in found.iloc[0].items()}


def _row(one: _Fitted, measure: str, contrast: str, people: int) -> dict[str, Any]:
    """Describe one universe's result, or why it has none; what a row lacks is missing in the table."""
    row: dict[str, Any] = {"universe": one.member.name, **one.member.levels}
    row |= dict.fromkeys(("rank", *KEPT, "p_perm", "significant", "null_low", "null_high"))
    found = _found(one, measure, contrast)
    if found is None:
        return row | {"n": 0, "lacking": people, "reason": one.reason or "nobody has a value"}
    reason = found["reason"] if isinstance(found["reason"], str) else ""
    n = int(found["n"])
    return row | {name: found[name] for name in KEPT} | {"n": n, "lacking": people - n, "reason": reason}


def _specification(one: _Fitted, everyone: list[str], measure: str, contrast: str) -> Specification:
    """Give a universe's outcome and design for all people of the curve."""
    result = one.result
    assert result is not None  # noqa: S101 - those without are no specification
    place = {label: row for row, label in enumerate(result.participants)}
    rows = np.array([place.get(label, -1) for label in everyone])
    y = np.full(len(everyone), np.nan)
    y[rows >= 0] = result.table[f"{one.member.levels['engine']}_{measure}"].to_numpy(dtype=float)[rows[rows >= 0]]
    # somebody whom the design of a universe leaves out (a covariate is missing there alone) takes a mean row along
    design = np.tile(result.design.matrix.mean(axis=0), (len(everyone), 1))
    design[rows >= 0] = result.design.matrix[rows[rows >= 0]]
    return Specification(y, design, result.design.contrasts[contrast])


def _told(test: CurveTest) -> dict[str, Any]:
    """Write a test of a curve as cells."""
    signs = {1.0: "positive", -1.0: "negative"}
    return {**test._asdict(), "sign": signs.get(test.sign, "neither")}


def _influence(draws: Draws, levels: Sequence[dict[str, str]]) -> Iterator[dict[str, Any]]:
    """Test the curve without each level of each choice, and say how much of the variance lies between levels."""
    whole = curve_test(draws)
    effects = draws.effect[0]
    for choice in dict.fromkeys(name for one in levels for name in one):
        have = np.array([one.get(choice) or "" for one in levels])
        known = have != ""
        there = list(dict.fromkeys(have[known]))
        if len(there) < 2:
            continue
        share = explained(effects[known], have[known].tolist())
        for level in there:
            own = have == level
            rest = curve_test(draws, ~own)
            yield {
                "choice": choice,
                "level": level,
                "with_level": int(own.sum()),
                "median_with": float(np.median(effects[own])),
                **{f"{name}_without": getattr(rest, name) for name in ("median", "share", "p_median", "p_share")},
                "influence": whole.median - rest.median,
                "explained": share,
            }


def _gaps(fitted: Sequence[_Fitted], everyone: list[str]) -> pd.DataFrame:
    """List who is in the model in one universe and lacking in another, and why."""
    import pandas as pd

    rows = []
    for one in fitted:
        if one.result is None:
            told = dict.fromkeys(everyone, one.reason)
        else:
            engine = one.member.levels["engine"]
            dropped = one.result.dropped
            mine = dropped[dropped["outcome"].isin(["all", f"{engine}_flexibility"])]
            reasons = dict(zip(mine["participant_id"].astype(str), mine["reason"], strict=True)) | _lost(one.member)
            lacking = _lacking(one.result, engine, everyone)
            told = {label: reason for label, reason in reasons.items() if label in lacking}
        rows += [(one.member.name, label, told[label]) for label in everyone if label in told]
    return pd.DataFrame(rows, columns=["universe", "participant_id", "reason"], dtype=str)


def _lacking(result: ModelResult, engine: str, everyone: list[str]) -> set[str]:
    """Name those of everyone who have no outcome in a universe."""
    column = f"{engine}_flexibility"
    values = result.table[column] if column in result.table else np.full(len(result.participants), np.nan)
    have = {label for label, value in zip(result.participants, values, strict=True) if np.isfinite(value)}
    return set(everyone) - have


def _lost(member: Member) -> dict[str, str]:
    """Say why people are not in a universe's table at all."""
    left = _cohort(member).left_out
    return dict(zip(left["participant_id"].astype(str), left["reason"].astype(str), strict=True))
