"""The data set's own tables of people: participants.tsv, sessions.tsv and phenotype/*.tsv, with their dictionaries."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bids_flex.bids.results import read_sidecar
from bids_flex.content import is_deep, is_there, why_absent, why_ragged, why_too_wide
from bids_flex.errors import DatasetFileError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pandas as pd


@dataclass(frozen=True, slots=True, eq=False)
class PeopleTable:
    """One of the data set's tables.

    Attributes
    ----------
    name : str
        ``participants``, ``sessions``, or that of a phenotype's file; put before columns whose names are taken.
    where : str
        The file, for messages.
    rows : pandas.DataFrame
        Text in every column, missing where the file says ``n/a``; ``participant_id`` with ``sub-``, also where the
        file forgets it, and, where rows are sessions, ``session_id`` without ``ses-``.
    described : dict
        Data dictionary of the columns.
    keys : tuple of str
        Columns that name a row.
    """

    name: str
    where: str
    rows: pd.DataFrame
    described: dict[str, dict[str, Any]]
    keys: tuple[str, ...]


def read_people_tables(bids_dir: Path, participants: Iterable[str]) -> tuple[PeopleTable, ...]:
    """Read all tables of people that a data set has.

    Parameters
    ----------
    bids_dir : Path
        The data set.
    participants : iterable of str
        Whose ``sub-*_sessions.tsv`` is looked for, such as ``sub-01``.

    Returns
    -------
    tuple of PeopleTable
        ``participants`` first, then ``sessions``, then phenotypes by name; those that exist.

    Raises
    ------
    DatasetFileError
        When one is no table, lacks the columns that name its rows, or names a row twice.
    """
    found = []
    if is_there(path := bids_dir / "participants.tsv"):
        found.append(read_people_table(path, "participants", ("participant_id",)))
    if (sessions := _sessions(bids_dir, participants)) is not None:
        found.append(sessions)
    phenotypes = sorted((bids_dir / "phenotype").glob("*.tsv"))
    return (*found, *(read_people_table(path, path.stem, ("participant_id",)) for path in phenotypes))


def read_people_table(path: Path, name: str, needed: tuple[str, ...]) -> PeopleTable:
    """Read one table; ``needed`` are the columns that must be there to name its rows."""
    rows = _text(path)
    if missing := [column for column in needed if column not in rows.columns]:
        there = ", ".join(rows.columns)
        # what spreadsheets save as text: one column, whose name holds all the others
        apart = ": its columns must stand apart by tabs" if len(rows.columns) == 1 and set(there) & set(",; ") else ""
        raise DatasetFileError(f"{path} has no column {' and '.join(missing)}; it has {there}{apart}")
    # some data sets name a session in participants.tsv too, as a fact: a row is a participant all the same
    could = ("participant_id",) if name == "participants" else ("participant_id", "session_id")
    keys = tuple(key for key in could if key in rows.columns)
    return _checked(PeopleTable(name, str(path), _labelled(rows), _dictionary(path), keys))


def _text(path: Path) -> pd.DataFrame:
    """Read a table of tab-separated text."""
    import pandas as pd

    if told := why_absent(path):
        raise DatasetFileError(told)
    try:
        if told := why_too_wide(path):
            raise DatasetFileError(f"{told}: it is no table of people")
        if told := why_ragged(path):
            raise DatasetFileError(told)
        table = pd.read_csv(
            path, sep="\t", dtype=str, na_values=["n/a", ""], keep_default_na=False, encoding="utf-8-sig"
        )
    except (ValueError, OSError) as error:
        raise DatasetFileError(f"{path} is not a table of tab-separated values: {error}") from error
    if not isinstance(table.index, pd.RangeIndex):  # of a table with quotes
        raise DatasetFileError(f"{path} has lines with more values than its header has names: correct it")
    return table


def _labelled(rows: pd.DataFrame) -> pd.DataFrame:
    """Name participants as BIDS does, and sessions as our own column ``session``."""
    changed = {}
    if "participant_id" in rows:
        changed["participant_id"] = "sub-" + rows["participant_id"].str.removeprefix("sub-")
    if "session_id" in rows:
        changed["session_id"] = rows["session_id"].str.removeprefix("ses-")
    return rows.assign(**changed)


def _dictionary(path: Path) -> dict[str, dict[str, Any]]:
    """Read what a table's columns mean; a sidecar that is there must be readable."""
    sidecar = path.with_suffix(".json")
    if not is_there(sidecar):
        return {}
    # levels decide whether a column is numbers or groups: without them, results would be others
    if why := why_absent(sidecar):
        raise DatasetFileError(why)
    told = read_sidecar(sidecar)
    if told is None or is_deep(told):
        raise DatasetFileError(f"{sidecar} is not JSON with a data dictionary: correct it or move it away")
    return {name: entry for name, entry in told.items() if isinstance(entry, dict)}


def _checked(table: PeopleTable) -> PeopleTable:
    """Refuse rows without a name, or with the same name."""
    rows, keys = table.rows, list(table.keys)
    if rows[keys].isna().any(axis=None):
        line = int(rows[keys].isna().any(axis=1).to_numpy().argmax()) + 2
        raise DatasetFileError(f"{table.where}: line {line} has no {' or '.join(keys)}: correct it")
    twice = rows.loc[rows.duplicated(subset=keys), keys].drop_duplicates()
    if len(twice):
        named = ", ".join(" session ".join(row) for row in sorted(map(tuple, twice.to_numpy())))
        raise DatasetFileError(f"{table.where} has more than one row for {named}: keep one of them")
    return table


def _sessions(bids_dir: Path, participants: Iterable[str]) -> PeopleTable | None:
    """Bring the sessions' tables together: one at the top, and one in each participant's folder."""
    import pandas as pd

    described: dict[str, dict[str, Any]] = {}
    files: list[str] = []
    parts: list[PeopleTable] = []
    if is_there(top := bids_dir / "sessions.tsv"):
        parts.append(read_people_table(top, "sessions", ("participant_id", "session_id")))
    else:
        # a dictionary at the top serves the tables below it
        described |= _dictionary(top)
    own = ((bids_dir / name / f"{name}_sessions.tsv", name) for name in participants)
    parts += [_own_sessions(path, name) for path, name in own if is_there(path)]
    for part in parts:
        described |= part.described
        files.append(part.where)
    if not parts:
        return None
    rows = pd.concat([part.rows for part in parts], ignore_index=True)
    where = files[0] if len(files) == 1 else f"{bids_dir} (sessions.tsv of {len(files)} files)"
    return _checked(PeopleTable("sessions", where, rows, described, ("participant_id", "session_id")))


def _own_sessions(path: Path, participant: str) -> PeopleTable:
    """Read the sessions of one participant, whose name is that of the file."""
    part = read_people_table(path, "sessions", ("session_id",))
    if "participant_id" in part.rows and (part.rows["participant_id"] != participant).any():
        raise DatasetFileError(f"{path} names other participants than {participant}: correct its column participant_id")
    return replace(part, rows=part.rows.assign(participant_id=participant))
