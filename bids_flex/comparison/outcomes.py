"""What is tested: the primary family, and what is secondary or exploratory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bids_flex.stats import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bids_flex.cohort import Cohort, Column
    from bids_flex.stats.families import Correction

PRIMARY = ("flexibility", "promiscuity")
CORRECTIONS: Mapping[str, Correction] = {"regions": "max-T", "regions, other engine": "max-T"}
"""Families with another correction than Holm's."""


def outcomes(cohort: Cohort) -> tuple[Outcome, ...]:
    """List the observed measures to test, each in its family.

    Whole-brain flexibility and promiscuity of the primary engine are the primary family. Its networks, its regions, its
    other measures and the other engine are families of their own.
    """
    found = []
    for column in cohort.columns:
        family = _family(column, cohort.primary)
        if family and cohort.people[column.name].notna().any():
            found.append(_outcome(column, family))
    return tuple(found)


def _family(column: Column, primary: str) -> str:
    """Name the family of a column; empty for what is not tested there."""
    main = column.measure in PRIMARY
    if column.kind != "observed" or column.measure == "promiscuity_rarefied":
        return ""
    other = "" if column.engine == primary else ", other engine"
    if column.level == "global":
        return f"{'primary' if main and not other else 'global' if main else 'exploratory'}{other}"
    return f"{column.level}s{other}" if main else ""


def _outcome(column: Column, family: str) -> Outcome:
    return Outcome(column.name, column.measure, column.engine, column.level, column.network, column.region, family)


def chosen(
    cohort: Cohort, family: str, engine: str, kind: str, measures: Iterable[str] = PRIMARY
) -> tuple[Outcome, ...]:
    """List the whole-brain outcomes of one engine and kind, for a sensitivity analysis."""
    wanted = set(measures)
    return tuple(
        _outcome(column, family)
        for column in cohort.columns
        if (column.engine, column.kind, column.level) == (engine, kind, "global")
        and column.measure in wanted
        and cohort.people[column.name].notna().any()
    )
