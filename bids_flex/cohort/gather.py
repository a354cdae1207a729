"""Everything that the participant level has left, and the data set's tables, to one table of people."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_flex.cohort.average import averaged, weighted
from bids_flex.cohort.blocks import Block, filled, truncated_row, whole_row
from bids_flex.cohort.describe import meanings
from bids_flex.cohort.equal import covariates_of, cuts, refuse_unequal, told_of
from bids_flex.cohort.facts import COMMON_QUALITY, ENGINE_QUALITY, read_facts
from bids_flex.cohort.losses import loss_table
from bids_flex.cohort.merge import told_by
from bids_flex.cohort.people import Cohort
from bids_flex.cohort.regions import region_sets
from bids_flex.cohort.select import common_quality, select_runs, weights_of
from bids_flex.cohort.spread import ENGINE as SPREADING
from bids_flex.cohort.spread import POOLED, fewest_windows, spread_block
from bids_flex.cohort.warn import warnings_of
from bids_flex.errors import DatasetFileError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from bids_flex.bids.tables import PeopleTable
    from bids_flex.cohort.blocks import Row
    from bids_flex.cohort.facts import Facts, Key
    from bids_flex.cohort.select import Runs
    from bids_flex.config import Equalise, Unit

    Floats = NDArray[np.float64]


def gather(
    output_dir: Path,
    bids_dir: Path,
    *,
    engines: Sequence[str] | None = None,
    primary: str = "prior",
    unit: Unit = "participant",
    equalise: Equalise = "none",
) -> Cohort:
    """Read all results of the participant level into one table of people.

    Parameters
    ----------
    output_dir : Path
        Our derivatives.
    bids_dir : Path
        The data set; of it, participants.tsv, sessions.tsv and phenotype/*.tsv are read, where they exist.
    engines : sequence of str, optional
        Whose measures; all engines that have left results by default.
    primary : str
        The engine whose valid pairs weight quality, and are the column ``valid_pairs``.
    unit : {"participant", "session"}
        What a row of people is.
    equalise : {"none", "truncate", "covariate", "refuse"}
        What to do when repetition time, windows or length differ between runs: only warn, cut all runs to the smallest
        number of windows, name columns that are to be covariates, or refuse.

    Returns
    -------
    Cohort
        Runs are averaged with their valid pairs as weights. Promiscuity of ``prior`` is counted over the windows of all
        runs, and stands beside its rarefied value for the smallest number of windows in the table.

    Raises
    ------
    UsageError
        When ``unit`` or ``equalise`` makes no sense.
    NoMatchError
        When there are no results, or none of an engine that was asked for.
    DatasetFileError
        When a file is not whole, settings are mixed, runs differ and ``equalise`` refuses, or nobody is left.
    """
    _check(unit, equalise)
    facts = read_facts(output_dir, engines, primary)
    selected = select_runs(output_dir, bids_dir, facts, primary, unit)
    there = selected.runs.given()
    if equalise == "refuse":
        refuse_unequal(there)
    cut = cuts(there, equalise)
    runs, observed = _observed(selected.runs, cut, primary)
    of_runs, of_people, drawn = _blocks(runs, observed, cut)
    singles = [(number,) for number in range(len(runs.keys))]
    rows = _rows(runs, runs.groups, primary, cut)
    covariates = covariates_of(rows, equalise)
    unneeded = ["run", "session"] if unit == "participant" else ["run"]
    people = _table(rows.drop(columns=unneeded), of_people)
    each = _table(_rows(runs, singles, primary, cut).drop(columns="runs"), of_runs)
    columns = tuple(column for block in of_runs for column in block.columns)
    cohort = Cohort(
        people=people,
        runs=each,
        columns=columns,
        quality=(*COMMON_QUALITY, *(name for engine in runs.facts for name in ENGINE_QUALITY.get(engine, {}))),
        described=meanings(columns, list(dict.fromkeys([*people, *each])), drawn),
        categorical=(),
        left_out=loss_table(selected.losses),
        flow=selected.flow,
        warnings=(*warnings_of(runs, rows), *told_of(there, cut, covariates)),
        regions=region_sets(runs, columns),
        covariates=covariates,
        primary=primary,
        rarefied_windows=drawn,
        sources={engine: tuple(one.path if one else None for one in listed) for engine, listed in runs.facts.items()},
    )
    return _merged(cohort, selected.tables, rows, unit)


def _table(rows: pd.DataFrame, blocks: Sequence[Block]) -> pd.DataFrame:
    """Put measures beside what a row is; their memory is not copied."""
    import pandas as pd

    names = [*map(str, rows.columns), *(column.name for block in blocks for column in block.columns)]
    if twice := sorted(name for name, count in Counter(names).items() if count > 1):
        raise DatasetFileError(
            f"two columns would be named {', '.join(twice[:5])}: a region, a network or a word such as excess share "
            "a name; rename the network with --atlas-networks, and run the participant level again"
        )
    parts = [
        pd.DataFrame(block.values, columns=[column.name for column in block.columns], copy=False) for block in blocks
    ]
    return pd.concat([rows, *parts], axis=1)


def _merged(cohort: Cohort, tables: Sequence[PeopleTable], rows: pd.DataFrame, unit: Unit) -> Cohort:
    """Put the data set's own columns behind the measures."""
    import pandas as pd

    by_session = unit == "session"
    taken = {*cohort.people.columns, *cohort.runs.columns}
    of_people = told_by(tables, rows, taken, by_session=by_session)
    of_runs = told_by(tables, cohort.runs[["participant_id", "session"]], taken, by_session=True)
    absent = (
        ()
        if any(table.name == "participants" for table in tables)
        else ("There is no participants.tsv: nothing is known of the participants but their measures.",)
    )
    return replace(
        cohort,
        people=pd.concat([cohort.people, of_people.columns], axis=1),
        runs=pd.concat([cohort.runs, of_runs.columns], axis=1),
        described={**cohort.described, **of_runs.described, **of_people.described},
        categorical=tuple(dict.fromkeys([*of_people.categorical, *of_runs.categorical])),
        warnings=tuple(dict.fromkeys([*cohort.warnings, *absent, *of_people.warnings])),
    )


def _check(unit: str, equalise: str) -> None:
    """Refuse arguments that make no sense."""
    if unit not in {"participant", "session"}:
        raise UsageError(f"unit is {unit!r}; it must be participant or session")
    if equalise not in {"none", "truncate", "covariate", "refuse"}:
        raise UsageError(f"equalise is {equalise!r}; it must be none, truncate, covariate or refuse")


def _observed(runs: Runs, cut: Mapping[str, int], primary: str) -> tuple[Runs, dict[str, Block]]:
    """Read the values of every run, by engine; cut ones are measured anew, with the pairs that are left."""
    blocks, pairs = {}, dict(runs.pairs)
    for engine, listed in runs.facts.items():
        if engine not in cut:
            blocks[engine] = filled(listed, whole_row)
            continue
        rows = {one.key: truncated_row(one, cut[engine]) for one in listed if one is not None}
        blocks[engine] = filled(listed, partial(_taken, rows))
        pairs[engine] = np.array([rows[key][1] if key in rows else 0 for key in runs.keys], dtype=np.float64)
    return replace(runs, pairs=pairs, weights=weights_of(pairs, primary, runs.groups)), blocks


def _taken(rows: Mapping[Key, tuple[Row, int]], facts: Facts) -> Row:
    return rows[facts.key][0]


def _blocks(
    runs: Runs, observed: Mapping[str, Block], cut: Mapping[str, int]
) -> tuple[list[Block], list[Block], dict[str, int]]:
    """Average runs, with promiscuity of ``prior`` counted over all of a row's windows and rarefied beside it."""
    of_runs = list(observed.values())
    of_people = [averaged(block, runs.pairs[engine], runs.groups) for engine, block in observed.items()]
    drawn: dict[str, int] = {}
    if SPREADING not in observed or not any(one.measure == POOLED for one in observed[SPREADING].columns):
        return of_runs, of_people, drawn
    block, limit, place = observed[SPREADING], cut.get(SPREADING), list(observed).index(SPREADING)
    singles = [(number,) for number in range(len(runs.keys))]
    spread: dict[str, Block] = {}
    for name, groups in (("runs", singles), ("people", runs.groups)):
        sources = [[i for i in group if runs.pairs[SPREADING][i] > 0] for group in groups]
        rows = [[one for i in group if (one := runs.facts[SPREADING][i]) is not None] for group in sources]
        drawn[name] = fewest_windows(rows, limit)
        same = name == "people" and list(groups) == singles
        spread[name] = spread["runs"] if same else spread_block(rows, drawn[name], block, sources, limit)
    half = len(spread["runs"].columns) // 2
    where = [block.columns.index(column) for column in spread["runs"].columns[:half]]
    if spread["people"] is not spread["runs"]:
        of_people[place].values[:, where] = spread["people"].values[:, :half]
    for blocks, name in ((of_runs, "runs"), (of_people, "people")):
        blocks.insert(place + 1, Block(spread[name].columns[half:], spread[name].values[:, half:]))
    return of_runs, of_people, drawn


def _rows(runs: Runs, groups: Sequence[Sequence[int]], primary: str, cut: Mapping[str, int]) -> pd.DataFrame:
    """Say who each row is, of what windows, and of what quality."""
    import pandas as pd

    first = [runs.keys[group[0]] for group in groups]
    told: dict[str, Any] = {
        name: [key[place] for key in first] for place, name in enumerate(("participant_id", "session", "run"))
    }
    told["runs"] = [len(group) for group in groups]
    told["valid_pairs"] = _sums(runs.pairs[primary], groups).astype(np.int64)
    told["repetition_time"] = _means(_of(runs, lambda one: one.tr_s), runs.weights, groups)
    told["window_length"] = _means(_of(runs, lambda one: one.window_s, primary), runs.weights, groups)
    common = common_quality(runs)
    for name, values in zip(COMMON_QUALITY, common.T, strict=True):
        # minutes add up, the others are averages
        told[name] = _sums(values, groups) if name == "kept_minutes" else _means(values, runs.weights, groups)
    for engine, pairs in runs.pairs.items():
        for name in ENGINE_QUALITY.get(engine, {}):
            told[name] = _means(_of(runs, partial(_quality, name), engine), pairs, groups)
    for engine, pairs in runs.pairs.items():
        windows = np.nan_to_num(_of(runs, lambda one: one.windows, engine))
        told[f"{engine}_windows"] = _sums(np.minimum(windows, cut.get(engine, np.inf)), groups).astype(np.int64)
        told[f"{engine}_valid_pairs"] = _sums(pairs, groups).astype(np.int64)
    return pd.DataFrame(told)


def _quality(name: str, facts: Facts) -> float:
    return facts.quality[name]


def _of(runs: Runs, value: Callable[[Facts], float], engine: str | None = None) -> Floats:
    """Take a value of every run, of one engine or of the first that has a result; NaN without any."""
    listed = (
        runs.facts[engine]
        if engine
        else [next(filter(None, every)) for every in zip(*runs.facts.values(), strict=True)]
    )
    return np.array([np.nan if one is None else value(one) for one in listed], dtype=np.float64)


def _sums(values: Floats, groups: Sequence[Sequence[int]]) -> Floats:
    return np.array([values[list(group)].sum() for group in groups])


def _means(values: Floats, weights: Floats, groups: Sequence[Sequence[int]]) -> Floats:
    return np.array([weighted(values[list(group), None], weights[list(group)])[0] for group in groups])
