"""The short form: documents that ``--groups`` and its kin stand for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bids_flex.errors import UsageError
from bids_flex.stats import Settings, diagnosis_models, short_model
from bids_flex.stats.design import level_names
from bids_flex.words import did_you_mean

if TYPE_CHECKING:
    from bids_flex.cohort import Cohort
    from bids_flex.config import GroupSettings


def short_documents(asked: GroupSettings, cohort: Cohort, seed: int) -> list[dict[str, Any]]:
    """Write a BIDS Stats Models document for every column of ``--groups``; two where medication is adjusted for.

    Raises
    ------
    UsageError
        When the short form names what the table does not have.
    """
    _require_all(asked, cohort)
    rows = tuple(_only(text, cohort) for text in asked.only)
    settings = _settings(asked, seed, rows)
    found: list[dict[str, Any]] = []
    for column in asked.groups:
        contrasts = asked.contrasts if len(asked.groups) == 1 else _contrasts_of(column, asked, cohort)
        covariates = [name for name in asked.covariates if name != column]
        if asked.medication and asked.medication != column:
            # the adjusted model is the one to believe; the marginal one stands beside it
            found += diagnosis_models(
                cohort.people, column, asked.medication, covariates, contrasts, cohort.categorical, settings
            )
        else:
            found.append(
                short_model(cohort.people, column, covariates, contrasts, cohort.categorical, settings=settings)
            )
    chosen = "-".join(level for _, levels in rows for level in levels)
    return [{**one, "Name": f"{one['Name']}-{chosen}"} for one in found] if chosen else found


def _settings(asked: GroupSettings, seed: int, rows: tuple[tuple[str, tuple[str, ...]], ...]) -> Settings:
    """Say how the short form's models are tested."""
    settings = Settings(
        permutations=asked.permutations,
        seed=seed,
        equivalence_bound=asked.equivalence_bound,
        harmonise=asked.harmonise or "",
        rows=rows,
    )
    if asked.unit == "participant":
        return settings
    # sessions of a person are no independent rows: people change places as a whole
    person = "participant_id"
    return replace(settings, blocks=person, exchange="whole", grouping=person)


def _only(text: str, cohort: Cohort) -> tuple[str, tuple[str, ...]]:
    """Read ``COLUMN=LEVEL,LEVEL``."""
    column, equals, levels = text.partition("=")
    named = tuple(level.strip() for level in levels.split(",") if level.strip())
    if not equals or not named:
        raise UsageError(f"--only {text!r}: write COLUMN=LEVEL or COLUMN=LEVEL,LEVEL")
    _require(column, "--only", cohort)
    return column, named


def _require_all(asked: GroupSettings, cohort: Cohort) -> None:
    """Refuse columns that are not there before anything is made of them."""
    for option, columns in (
        ("--groups", asked.groups),
        ("--covariates", asked.covariates),
        ("--medication", (asked.medication,)),
        ("--harmonise", (asked.harmonise,)),
    ):
        for column in columns:
            if column:
                _require(column, option, cohort)


def _require(column: str, option: str, cohort: Cohort) -> None:
    """Refuse a column that is not there; people look for those of their own tables, not for hundreds of measures."""
    if column in cohort.people:
        return
    there = [str(name) for name in cohort.people]
    own = [name for name in there if "Source" in cohort.described.get(name, {})]
    # a measure can be misspelt too, but is not listed: there are hundreds
    names = [*own, *cohort.quality, *(name for name in there if name not in {*own, *cohort.quality})]
    near, _, _ = did_you_mean(column, names).rpartition("there are")
    raise UsageError(
        f"{option} names a column {column}, which there is not: {near}the data set's tables have "
        f"{', '.join(own) or 'no columns'}; the quality of data is {', '.join(cohort.quality)}"
    )


def _contrasts_of(column: str, asked: GroupSettings, cohort: Cohort) -> tuple[str, ...]:
    """Choose the contrasts whose levels a column has; every contrast must belong to a column."""
    of_columns = {name: _levels(name, cohort) for name in asked.groups}
    for text in asked.contrasts:
        if not any(_fits(text, levels) for levels in of_columns.values()):
            known = "; ".join(f"{name}: {', '.join(sorted(levels))}" for name, levels in of_columns.items())
            raise UsageError(f"{text!r} is no contrast of {' or '.join(asked.groups)}: write 'A - B' ({known})")
    return tuple(text for text in asked.contrasts if _fits(text, of_columns[column]))


def _levels(column: str, cohort: Cohort) -> set[str]:
    _require(column, "--groups", cohort)
    return set(level_names(cohort.people[column]).dropna())


def _fits(text: str, levels: set[str]) -> bool:
    """Tell whether a text is the difference of two levels."""
    words = " ".join(text.split())
    return any(words == f"{a} - {b}" for a in levels for b in levels if a != b)
