"""The data set's own tables beside our measures, column names and data dictionaries kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bids_flex.errors import DatasetFileError
from bids_flex.words import counted

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import pandas as pd

    from bids_flex.bids.tables import PeopleTable

SHOWN = 5


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """What the data set's tables say of given rows: columns as text, their dictionary, which have levels, warnings."""

    columns: pd.DataFrame
    described: dict[str, dict[str, Any]]
    categorical: tuple[str, ...]
    warnings: tuple[str, ...]


def told_by(tables: Sequence[PeopleTable], rows: pd.DataFrame, taken: Collection[str], *, by_session: bool) -> Told:
    """Look up what the data set's tables say of each row.

    A column whose name is taken by an earlier table gets the name of its own before it: ``PHENOTYPE_column`` or
    ``sessions_column``.

    Parameters
    ----------
    tables : sequence of PeopleTable
        In the order of their columns.
    rows : pandas.DataFrame
        ``participant_id`` and ``session``.
    taken : collection of str
        Names of measures and other columns of ours.
    by_session : bool
        Whether rows are sessions. A table of sessions serves rows of participants only where each has one session.

    Raises
    ------
    DatasetFileError
        When a name stays taken.
    """
    import pandas as pd

    found: dict[str, Any] = {}
    described: dict[str, dict[str, Any]] = {}
    warnings: list[str] = []
    for table in tables:
        part, note = _matched(table, rows, by_session=by_session)
        warnings += [note] if note else []
        if part is None:
            continue
        for name in [name for name in table.rows.columns if name not in table.keys]:
            new = _free(str(name), table, set(taken) | set(found))
            found[new] = part[name].to_numpy()
            described[new] = _meaning(str(name), table)
            warnings += _unknown_levels(new, part[name], described[new], table)
    columns = pd.DataFrame(found, index=rows.index)
    return Told(columns, described, tuple(name for name in found if "Levels" in described[name]), tuple(warnings))


def _matched(table: PeopleTable, rows: pd.DataFrame, *, by_session: bool) -> tuple[pd.DataFrame | None, str]:
    """Bring a table into the order of rows; a table of sessions needs one session a row."""
    theirs = table.rows
    if "session_id" not in table.keys:
        return theirs.set_index("participant_id").reindex(rows["participant_id"]), ""
    if by_session:
        keys = rows[["participant_id", "session"]].rename(columns={"session": "session_id"})
        return keys.merge(theirs, on=list(table.keys), how="left"), ""
    there = theirs[theirs["participant_id"].isin(rows["participant_id"])]
    several = there.loc[there["participant_id"].duplicated(), "participant_id"].unique()
    if len(several):
        return None, (
            f"{table.where} has several sessions of {counted(len(several), 'participant')} (such as {several[0]}): its "
            "columns are left out of a table with one row per participant; keep sessions apart to have them."
        )
    return there.set_index("participant_id").reindex(rows["participant_id"]), ""


def _free(name: str, table: PeopleTable, taken: Collection[str]) -> str:
    """Find a name that is free."""
    if name not in taken:
        return name
    new = f"{table.name}_{name}"
    if table.name == "participants" or new in taken:
        raise DatasetFileError(
            f"{table.where}: column {name} has the name of a measure or of another column of the table: rename it"
        )
    return new


def _meaning(name: str, table: PeopleTable) -> dict[str, Any]:
    """Give a column's entry of the dictionary, which need not describe it: many name its levels alone."""
    return {
        "Description": f"Column {name} of {table.name}.tsv, which does not describe it",
        **table.described.get(name, {}),
        "Source": f"{table.name}.tsv",
    }


def _unknown_levels(name: str, values: pd.Series, entry: dict[str, Any], table: PeopleTable) -> list[str]:
    """Say which values a column's levels do not name."""
    levels = entry.get("Levels")
    if not isinstance(levels, (dict, list)):
        return []
    known = {str(level) for level in levels}
    odd = sorted(set(values.dropna().astype(str)) - known)
    if not odd:
        return []
    shown = ", ".join(odd[:SHOWN]) + (" ..." if len(odd) > SHOWN else "")
    return [f"{table.where}: column {name} holds {shown}, which its dictionary's Levels do not name."]
