"""From a model and a table to a design matrix, its contrasts, and a list of who is left out and why."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import numpy as np

from bids_flex.errors import DatasetFileError
from bids_flex.stats.design import check_rank, level_names, numbers, variable
from bids_flex.words import did_you_mean

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from bids_flex.stats.models import GroupModel, Instruction, ModelContrast

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ModelDesign:
    """A model's design for a table.

    Attributes
    ----------
    matrix : ndarray, shape (n, p)
        Full rank.
    columns : tuple of str
        Names of its columns.
    rows : ndarray of int, shape (n,)
        Places in the table of the rows in the model.
    dropped : tuple of (str, str)
        Participants who are left out, and why.
    contrasts : dict
        Name to weights, of shape (p,) for t and (k, p) for F.
    factors : tuple of str
        For each column of the design the factor whose level it is; empty for others.
    """

    matrix: Floats
    columns: tuple[str, ...]
    rows: NDArray[np.int64]
    dropped: tuple[tuple[str, str], ...]
    contrasts: dict[str, Floats]
    factors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a name of the model comes from: a column of the table, or a level of one."""

    column: str
    level: str | None = None


def build_design(model: GroupModel, table: pd.DataFrame) -> ModelDesign:
    """Build the design of a model.

    Parameters
    ----------
    model : GroupModel
        From :func:`read_models`.
    table : pandas.DataFrame
        One row per person (or per person and session), with ``participant_id``.

    Raises
    ------
    DatasetFileError
        When a name is not there, a level has nobody, columns are collinear or constant, or people are too few.

    Examples
    --------
    >>> import pandas as pd
    >>> from bids_flex import stats
    >>> people = pd.DataFrame({"participant_id": ["sub-1", "sub-2", "sub-3", "sub-4"], "group": ["a", "a", "b", "b"]})
    >>> (model,) = stats.read_models(stats.short_model(people, "group", contrasts=["b - a"]))
    >>> stats.build_design(model, people).columns
    ('group.a', 'group.b')
    """
    table = table.reset_index(drop=True)
    taking_part = model.settings.select(table).index.to_numpy()
    people = table.loc[taking_part]
    sources = _sources(model, people)
    predictors = _expand(model.predictors, sources, model)
    used = tuple(dict.fromkeys([*_columns_of(predictors, sources), *model.settings.columns()]))
    if absent := [name for name in used if name not in people]:
        near = did_you_mean(absent[0], map(str, reversed(people.columns)))
        raise DatasetFileError(f"model {model.name}: the table has no column {', '.join(absent)}: {near}")
    missing = people[list(used)].isna()
    gone = missing.any(axis=1).to_numpy()
    dropped = tuple(
        (str(label), "no value in " + ", ".join(str(name) for name in missing.columns[lost]))
        for label, lost in zip(people["participant_id"], missing.to_numpy(), strict=True)
        if lost.any()
    )
    kept = people[~gone]
    if not len(kept):
        raise DatasetFileError(f"model {model.name}: nobody has values in all of {', '.join(used) or 'its columns'}")
    values = _variables(model, kept, sources)
    columns = [np.ones(len(kept)) if name == "1" and name not in values else values[name] for name in predictors]
    matrix = np.column_stack(columns)
    check_rank(matrix, predictors)
    contrasts = {one.name: _weights(one, predictors, model) for one in model.contrasts}
    factors = tuple(_factor_of(sources.get(name, ())) for name in predictors)
    return ModelDesign(matrix, predictors, taking_part[~gone], dropped, contrasts, factors)


def _factor_of(parts: tuple[_Source, ...]) -> str:
    """Name the factor (or the product of factors) that a column is a level of."""
    return " * ".join(one.column for one in parts) if parts and all(one.level is not None for one in parts) else ""


def _sources(model: GroupModel, people: pd.DataFrame) -> dict[str, tuple[_Source, ...]]:
    """Find every name that the model may use, and the columns it is made of."""
    found: dict[str, tuple[_Source, ...]] = {str(name): (_Source(str(name)),) for name in people.columns}
    for one in model.instructions:
        for name in one.inputs:
            if name not in found:
                raise DatasetFileError(_no_name(model, name, found, f"transformation {one.name}"))
        if one.name == "Factor":
            for column in one.inputs:
                found |= _levels(column, people, found, model)
        elif one.name == "Product":
            if one.output in found:
                raise DatasetFileError(f"model {model.name}: the Output {one.output} of Product is a name already")
            found[one.output] = tuple(part for name in one.inputs for part in found[name])
    return found


def _levels(
    column: str, people: pd.DataFrame, found: dict[str, tuple[_Source, ...]], model: GroupModel
) -> dict[str, tuple[_Source, ...]]:
    """Name the levels of a factor."""
    if column not in people:
        raise DatasetFileError(f"model {model.name}: Factor takes columns of the table, {column} is none")
    levels = sorted(level_names(people[column]).dropna().unique())
    named: dict[str, tuple[_Source, ...]] = {variable(column, one): (_Source(column, one),) for one in levels}
    if clash := sorted(set(named) & set(found)):
        raise DatasetFileError(
            f"model {model.name}: {clash[0]} is a column of the table and a level of {column}: rename one"
        )
    return named


def _expand(predictors: tuple[str, ...], sources: dict[str, tuple[_Source, ...]], model: GroupModel) -> tuple[str, ...]:
    """Replace patterns by the names that they match."""
    out: list[str] = []
    for name in predictors:
        if name in sources or name == "1":
            out.append(name)
            continue
        matched = [one for one in sources if fnmatchcase(one, name)] if set(name) & set("*?") else []
        if not matched:
            raise DatasetFileError(_no_name(model, name, sources, "X"))
        out += [one for one in matched if one not in out]
    return tuple(out)


def _no_name(model: GroupModel, name: str, sources: dict[str, tuple[_Source, ...]], where: str) -> str:
    """Say that a name is not there, and which are like it."""
    stem = name.split(".", maxsplit=1)[0]
    # columns of the data set and levels come last in the table, and are what is looked for
    near = [one for one in sources if one.startswith(stem)] or list(reversed(sources))
    return f"model {model.name}, {where}: no variable {name}: {did_you_mean(name, near)}"


def _columns_of(predictors: tuple[str, ...], sources: dict[str, tuple[_Source, ...]]) -> list[str]:
    """Name the columns of the table that the predictors are made of."""
    return [part.column for name in predictors for part in sources.get(name, ())]


def _variables(model: GroupModel, people: pd.DataFrame, sources: dict[str, tuple[_Source, ...]]) -> dict[str, Floats]:
    """Compute every variable of the model by running its transformations over the people in it."""
    wanted = set(_expand(model.predictors, sources, model))
    wanted |= {name for one in model.instructions for name in one.inputs if one.name == "Product"}
    values: dict[str, Floats] = {}
    for name in wanted & set(sources):
        if len(sources[name]) == 1 and name != "1":
            values[name] = _variable(sources[name][0], people, model)
    for one in model.instructions:
        _apply(one, values)
    return values


def _variable(source: _Source, people: pd.DataFrame, model: GroupModel) -> Floats:
    """Compute one column of numbers, or the indicator of a level."""
    if source.level is None:
        try:
            return numbers(people[source.column], source.column)
        except DatasetFileError as error:
            raise DatasetFileError(
                f"model {model.name}: {error}; a factor is named by its levels after a Factor transformation"
            ) from error
    here = (level_names(people[source.column]) == source.level).to_numpy(dtype=np.float64)
    if not here.any():
        raise DatasetFileError(
            f"model {model.name}: level {source.level} of {source.column} has nobody among the {len(people)} rows with "
            "all values: leave it out or complete the table"
        )
    return np.asarray(here)


def _apply(one: Instruction, values: dict[str, Floats]) -> None:
    """Run one transformation in place; what no predictor needs is not computed."""
    if one.name == "Product":
        values[one.output] = np.prod([values[name] for name in one.inputs], axis=0)
    elif one.name in {"Demean", "Scale"}:
        for name in one.inputs:
            if name not in values:
                continue
            centre = values[name].mean() if one.demean else 0.0
            spread = values[name].std(ddof=1) if one.rescale else 1.0
            values[name] = (values[name] - centre) / (spread or 1.0)


def _weights(contrast: ModelContrast, predictors: tuple[str, ...], model: GroupModel) -> Floats:
    """Write a contrast over the design's columns."""
    if absent := [name for name in contrast.conditions if name not in predictors]:
        raise DatasetFileError(
            f"model {model.name}: contrast {contrast.name} names {', '.join(absent)}, which X does not hold; "
            f"there are {', '.join(predictors)}"
        )
    rows = np.zeros((len(contrast.weights), len(predictors)))
    for row, weights in zip(rows, contrast.weights, strict=True):
        for name, weight in zip(contrast.conditions, weights, strict=True):
            row[predictors.index(name)] += weight
    if np.linalg.matrix_rank(rows) < len(rows):
        raise DatasetFileError(
            f"model {model.name}: the rows of contrast {contrast.name} are all 0 or repeat each other"
        )
    return rows if contrast.test == "F" else rows[0]
