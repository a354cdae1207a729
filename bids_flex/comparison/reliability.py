"""How far repeated runs or sessions of a person agree: intraclass correlations of the measures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bids_flex.errors import UsageError
from bids_flex.stats import intraclass_correlation

if TYPE_CHECKING:
    import pandas as pd

    from bids_flex.cohort import Cohort

COLUMNS = {
    "measure": "Column of the participants' table",
    "repetitions": "Number of runs of a person that are compared",
    "named": "Session and run of each repetition",
    "kind": "ICC(1,1): one way; ICC(A,1): absolute agreement; ICC(C,1): consistency (McGraw & Wong 1996), of one run",
    "icc": "Intraclass correlation",
    "ci_low": "Lower limit of its 95 % interval",
    "ci_high": "Upper limit of its 95 % interval",
    "f": "F of the test that it is 0",
    "df1": "Degrees of freedom of its numerator",
    "df2": "Degrees of freedom of its denominator",
    "p": "p of this test",
    "n": "Participants with a value in all repetitions",
    "n_dropped": "Participants with a run who lack one of the repetitions, or a value in it",
    "reason": "Why there is no correlation",
}
"""Columns of the table, and what they hold."""


def reliability(cohort: Cohort) -> pd.DataFrame:
    """Compute intraclass correlations over the runs that people have in common.

    Parameters
    ----------
    cohort : Cohort
        Of its runs, those count that at least half of the participants have.

    Returns
    -------
    pandas.DataFrame
        One row for each observed measure of the whole brain and of networks, and kind of correlation; empty when
        nobody was scanned twice. Columns: :data:`COLUMNS`.
    """
    import pandas as pd

    runs = cohort.runs
    if not runs["participant_id"].duplicated().any():
        return pd.DataFrame()
    names = [" ".join(filter(None, pair)) for pair in zip(runs["session"], runs["run"], strict=True)]
    keyed = runs.assign(repetition=[name or "the only run" for name in names])
    people = keyed["participant_id"].nunique()
    counts = keyed.groupby("repetition", sort=False)["participant_id"].nunique()
    shared = sorted(counts.index[counts * 2 >= people])
    found = []
    for column in cohort.columns:
        if column.kind != "observed" or column.level == "region" or runs[column.name].isna().all():
            continue
        values = keyed.pivot_table(index="participant_id", columns="repetition", values=column.name, dropna=False)
        told: dict[str, Any] = {"measure": column.name, "repetitions": len(shared), "named": ", ".join(shared)}
        try:
            one = intraclass_correlation(values.reindex(columns=shared).to_numpy())
            alike = one["icc"].isna().map({True: "the same value for everybody in each run", False: ""})
            found.append(one.assign(**told, reason=alike))
        except UsageError as error:
            found.append(pd.DataFrame([{**told, "reason": str(error)}]))
    return pd.concat(found, ignore_index=True).reindex(columns=list(COLUMNS))
