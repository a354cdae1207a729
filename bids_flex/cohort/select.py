"""Which runs make the table, which rows they make, and who is left out on the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bids_flex.bids.tables import read_people_tables
from bids_flex.cohort import losses
from bids_flex.cohort.facts import COMMON_QUALITY
from bids_flex.cohort.losses import Loss
from bids_flex.errors import DatasetFileError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from bids_flex.bids.tables import PeopleTable
    from bids_flex.cohort.facts import Facts, Key
    from bids_flex.config import Unit

    Floats = NDArray[np.float64]
    ByEngine = Mapping[str, Mapping[Key, Facts]]


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """Runs of the table, in its order.

    Attributes
    ----------
    keys : tuple
        Participant, session and run.
    facts : dict of str to list
        By engine; None where it has no result of a run.
    groups : tuple of tuple of int
        Which runs make each row of people.
    pairs : dict of str to ndarray, shape (runs,)
        Valid pairs by engine.
    weights : ndarray, shape (runs,)
        Valid pairs of the primary engine, or of another one in rows where it has none.
    """

    keys: tuple[Key, ...]
    facts: dict[str, list[Facts | None]]
    groups: tuple[tuple[int, ...], ...]
    pairs: dict[str, Floats]
    weights: Floats

    def given(self) -> dict[str, list[Facts]]:
        """List the results that there are, by engine."""
        return {engine: [one for one in listed if one is not None] for engine, listed in self.facts.items()}


@dataclass(frozen=True, slots=True, eq=False)
class Selected:
    """The table's runs, the data set's tables, who was left out, and how many there were at each stage."""

    runs: Runs
    tables: tuple[PeopleTable, ...]
    losses: tuple[Loss, ...]
    flow: pd.DataFrame


def select_runs(output_dir: Path, bids_dir: Path, facts: ByEngine, primary: str, unit: Unit) -> Selected:
    """Choose the runs that make the table.

    Raises
    ------
    DatasetFileError
        When nobody is left, or one of the data set's tables is bad.
    """
    found = sorted({key for by_key in facts.values() for key in by_key})
    lost = [*losses.unfinished(output_dir, found), *losses.without_pairs(facts)]
    unusable = {(loss.participant_id, loss.session, loss.run) for loss in lost}
    usable = [key for key in found if key not in unusable]
    if not usable:
        raise DatasetFileError(f"{output_dir}: no run has a valid pair of windows: analyse longer runs, or censor less")
    tables = read_people_tables(bids_dir, sorted({key[0] for key in found}))
    one_sided, kept = _in_both(usable, tables)
    flow = losses.flow_table({"found": [*found, *unusable], "usable": usable, "in table": kept})
    everyone = tuple(sorted([*lost, *one_sided]))
    return Selected(arranged(kept, facts, primary, unit), tables, everyone, flow)


def _in_both(usable: Sequence[Key], tables: Sequence[PeopleTable]) -> tuple[list[Loss], list[Key]]:
    """Say who is in one source only; without participants.tsv nobody is."""
    listed = next((table for table in tables if table.name == "participants"), None)
    if listed is None:
        return [], list(usable)
    named, have = set(listed.rows["participant_id"]), {key[0] for key in usable}
    lost = [Loss(label, "", "", "in table", "not in participants.tsv") for label in sorted(have - named)]
    lost += [Loss(label, "", "", "found", "no results of the participant level") for label in sorted(named - have)]
    kept = [key for key in usable if key[0] in named]
    if not kept:
        raise DatasetFileError(
            f"nobody with results is in participants.tsv: {listed.where} names {', '.join(sorted(named)[:5])}, ..., "
            f"results are of {', '.join(sorted(have)[:5])}, ..."
        )
    return lost, kept


def arranged(keys: Sequence[Key], facts: ByEngine, primary: str, unit: Unit) -> Runs:
    """Put runs in order, and find which make a row."""
    rows: dict[tuple[str, str], list[int]] = {}
    for number, key in enumerate(keys):
        rows.setdefault((key[0], key[1] if unit == "session" else ""), []).append(number)
    groups = tuple(map(tuple, rows.values()))
    by_engine = {engine: [by_key.get(key) for key in keys] for engine, by_key in facts.items()}
    pairs = {
        engine: np.array([0 if one is None else one.pairs for one in listed], dtype=np.float64)
        for engine, listed in by_engine.items()
    }
    return Runs(tuple(keys), by_engine, groups, pairs, weights_of(pairs, primary, groups))


def weights_of(pairs: Mapping[str, Floats], primary: str, groups: Sequence[Sequence[int]]) -> Floats:
    """Weight runs by the valid pairs of the primary engine; rows without any, by those of another."""
    weights, most = pairs[primary].copy(), np.max(list(pairs.values()), axis=0)
    for group in map(list, groups):
        if not weights[group].any():
            weights[group] = most[group]
    return weights


def common_quality(runs: Runs) -> Floats:
    """Give the quality of each run, which is the same for every engine; shape (runs, COMMON_QUALITY)."""
    first = [next(one for one in listed if one is not None) for listed in zip(*runs.facts.values(), strict=True)]
    return np.array([[one.quality[name] for name in COMMON_QUALITY] for one in first], dtype=np.float64)
