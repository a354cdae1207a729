"""One model on one table: its tests, the quality of the groups, and the same question asked otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bids_flex.comparison.models import adjusted, without
from bids_flex.comparison.outcomes import CORRECTIONS, PRIMARY, chosen, outcomes
from bids_flex.comparison.reading import EXCESS, SPLIT_HALF, readings
from bids_flex.config import ENGINES
from bids_flex.errors import BidsFlexError, DatasetFileError
from bids_flex.stats import Outcome, fit_model, mixed_model, quality_correlations

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from bids_flex.cohort import Cohort
    from bids_flex.comparison.models import Asked
    from bids_flex.stats import GroupModel, ModelResult

MOTION = ("mean_fd", "share_kept")


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """What a model has come to.

    Attributes
    ----------
    asked : Asked
        The model and its document.
    result : ModelResult
        Its tests, families, design and who was dropped.
    quality : pandas.DataFrame
        The model's contrasts on the quality of the data, rows like those of tests.
    sensitivity : pandas.DataFrame
        The primary question asked otherwise: ``analysis`` and the columns of tests; ``reason`` where it could not be.
    mixed : pandas.DataFrame
        The primary family in the mixed model; empty where the model names no grouping.
    correlations : pandas.DataFrame
        Measures of the primary family with the quality of the data, plain and adjusted for the design.
    flow : pandas.DataFrame
        Participants and runs at each stage, the model the last.
    readings : tuple of str
        What differences in flexibility of ``prior`` may mean.
    """

    asked: Asked
    result: ModelResult
    quality: pd.DataFrame
    sensitivity: pd.DataFrame
    mixed: pd.DataFrame
    correlations: pd.DataFrame
    flow: pd.DataFrame
    readings: tuple[str, ...]


def compare(asked: Asked, cohort: Cohort, max_mean_fd: float) -> Comparison:
    """Test a model on a cohort, with everything that must stand beside its primary results.

    Parameters
    ----------
    asked : Asked
        The model.
    cohort : Cohort
        The people.
    max_mean_fd : float
        Limit (mm) of the sensitivity analysis without high-motion people.

    Raises
    ------
    DatasetFileError
        When the model cannot be built, or nothing can be tested.
    """
    model = asked.model
    tested = outcomes(cohort)
    if not any(one.family == "primary" for one in tested):
        raise DatasetFileError(
            f"nobody has a value of {' or '.join(PRIMARY)} of the engine {cohort.primary}: choose --primary-engine"
        )
    result = fit_model(model, cohort.people, tested, CORRECTIONS)
    quality, sensitivity = _quality(model, cohort), _sensitivity(model, cohort, max_mean_fd)
    return Comparison(
        asked=asked,
        result=result,
        quality=quality,
        sensitivity=sensitivity,
        mixed=_mixed(model, cohort, [one for one in tested if one.family == "primary"]),
        correlations=_correlations(result, cohort),
        flow=_flow(result, cohort),
        readings=tuple(readings(result.tests, sensitivity, quality)),
    )


def _quality(model: GroupModel, cohort: Cohort) -> pd.DataFrame:
    """Compare the groups on the quality of their data; quality is no covariate there."""
    there = [name for name in cohort.quality if cohort.people[name].notna().any()]
    tested = [Outcome(name, name, family="quality") for name in there]
    return fit_model(without(model, cohort.quality, "quality"), cohort.people, tested, {"quality": "none"}).tests


def _sensitivity(model: GroupModel, cohort: Cohort, limit: float) -> pd.DataFrame:
    """Ask the primary question otherwise; what cannot be asked has a row that says why."""
    import pandas as pd

    rows = []
    for analysis, changed, people, tested, reason in _analyses(model, cohort, limit):
        told = reason if reason or tested else "nobody has a value"
        if not told:
            try:
                found = fit_model(changed, people, tested).tests
                rows.append(found.assign(analysis=analysis, model=model.name))
                continue
            except BidsFlexError as error:
                told = str(error)
        rows.append(pd.DataFrame([{"analysis": analysis, "model": model.name, "reason": told}]))
    table = pd.concat(rows, ignore_index=True)
    return table[["analysis", *(name for name in table.columns if name != "analysis")]]


def _analyses(
    model: GroupModel, cohort: Cohort, limit: float
) -> Iterator[tuple[str, GroupModel, pd.DataFrame, tuple[Outcome, ...], str]]:
    """List the sensitivity analyses: name, model, people, outcomes, and why it cannot be, if so."""
    people, primary = cohort.people, cohort.primary
    own = chosen(cohort, "sensitivity", primary, "observed")
    known = [name for name in MOTION if people[name].notna().all()]
    without_fd = "" if "mean_fd" in known else "motion is not known of everybody"
    yield "motion and kept share as covariates", adjusted(model, known, "motion"), people, own, without_fd
    still = people[people["mean_fd"] <= limit].reset_index(drop=True)
    yield f"mean displacement at most {limit:g} mm", model, still, own, without_fd
    other = "multilayer" if primary == "prior" else "prior"
    yield f"the other engine ({other})", model, people, chosen(cohort, "sensitivity", other, "observed"), ""
    # what null models leave of `prior` says whether there is more than noise, not how much: it is never compared
    yield EXCESS, model, people, chosen(cohort, "sensitivity", "multilayer", "excess"), ""
    pairs = people.get("multilayer_valid_pairs")
    unequal = pairs is not None and pairs.nunique() > 1
    why = "numbers of valid pairs differ, and z grows with them" if unequal else ""
    yield "z of multilayer", model, people, chosen(cohort, "sensitivity", "multilayer", "z"), why
    halves = chosen(cohort, "sensitivity", "prior", "observed", ["split_half_flexibility"])
    without_halves = "" if halves else "split halves were not asked for (--split-half)"
    yield SPLIT_HALF, model, people, halves, without_halves
    rarefied = chosen(cohort, "sensitivity", "prior", "observed", ["promiscuity_rarefied"])
    yield "rarefied promiscuity of prior", model, people, rarefied, ""


def _mixed(model: GroupModel, cohort: Cohort, tested: list[Outcome]) -> pd.DataFrame:
    """Fit the mixed model of repeated rows, where the model names what groups them."""
    import pandas as pd

    return mixed_model(model, cohort.people, tested) if model.settings.grouping else pd.DataFrame()


def _correlations(result: ModelResult, cohort: Cohort) -> pd.DataFrame:
    """Correlate the primary measures with the quality of the data, among the people in the model."""
    measures = [one.column for engine in ENGINES for one in chosen(cohort, "", engine, "observed")]
    wanted = [name for name in measures if result.table[name].notna().sum() > 3]
    there = [name for name in cohort.quality if result.table[name].notna().sum() > 3]
    return quality_correlations(result.table, wanted, there, result.design.matrix)


def _flow(result: ModelResult, cohort: Cohort) -> pd.DataFrame:
    """Add the model to the stages."""
    import pandas as pd

    last = {
        "stage": "in model",
        "participants": len(set(result.participants)),
        "runs": int(result.table["runs"].sum()),
    }
    return pd.concat([cohort.flow, pd.DataFrame([last])], ignore_index=True)
