"""From a table of people to a design matrix, its contrasts, and a list of who is left out and why."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from bids_flex.errors import DatasetFileError, UsageError
from bids_flex.words import counted, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """A linear model of one factor and covariates.

    Attributes
    ----------
    matrix : ndarray, shape (n, p)
        One column of 0 and 1 per level of the factor (cell means), then the covariates, centred.
    columns : tuple of str
        Names of the columns.
    rows : ndarray of int, shape (n,)
        Places in the table of the people in the model.
    dropped : tuple of (str, str)
        Participants who are left out, and the column that they have no value in.
    levels : tuple of str
        Levels of the factor, in alphabetical order.
    factor : str
        Column of the factor.
    """

    matrix: Floats
    columns: tuple[str, ...]
    rows: NDArray[np.int64]
    dropped: tuple[tuple[str, str], ...]
    levels: tuple[str, ...]
    factor: str

    def omnibus(self) -> Floats:
        """Give the contrast that no two levels differ; shape (levels - 1, p)."""
        contrast = np.zeros((len(self.levels) - 1, self.matrix.shape[1]))
        contrast[:, 0] = 1.0
        contrast[np.arange(len(contrast)), np.arange(1, len(self.levels))] = -1.0
        return contrast

    def pair(self, first: str, second: str) -> Floats:
        """Give the contrast of two levels; shape (p,)."""
        contrast = np.zeros(self.matrix.shape[1])
        contrast[self.levels.index(first)] = 1.0
        contrast[self.levels.index(second)] = -1.0
        return contrast


def make_design(
    table: pd.DataFrame, factor: str, covariates: Sequence[str] = (), categorical: Collection[str] = ()
) -> Design:
    """Build the design of one factor and covariates.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per person, with ``participant_id``; text or numbers, missing values allowed.
    factor : str
        Column whose levels are compared; numbers are names of levels too.
    covariates : sequence of str
        Columns to adjust for. Numbers are centred; text is coded against its first level, and centred too, so that the
        levels' means are those of an average person.
    categorical : collection of str
        Columns of numbers that are codes of categories.

    Raises
    ------
    UsageError
        When a column is absent, or named twice.
    DatasetFileError
        When the factor has one level, covariates are collinear or constant, or there are too few people.

    Examples
    --------
    >>> import pandas as pd
    >>> people = {"participant_id": [f"sub-{n}" for n in range(1, 7)], "age": [20, 30, 40, 25, 35, 45]}
    >>> table = pd.DataFrame({**people, "group": ["patient"] * 3 + ["control"] * 3})
    >>> design = make_design(table, "group", covariates=["age"])
    >>> design.columns, design.matrix[0].tolist()
    (('group.control', 'group.patient', 'age'), [0.0, 1.0, -12.5])
    """
    _check_columns(table, factor, covariates)
    used = table[[factor, *covariates]]
    missing = used.isna()
    dropped = tuple(
        (str(label), ", ".join(str(name) for name in used.columns[gone]))
        for label, gone in zip(table["participant_id"], missing.to_numpy(), strict=True)
        if gone.any()
    )
    rows = np.flatnonzero(~missing.any(axis=1).to_numpy())
    people = used.iloc[rows]
    names = level_names(people[factor])
    levels = tuple(sorted(names.unique()))
    if 2 < len(levels) == len(rows):
        raise DatasetFileError(
            f"column {factor} has another value for each of the {len(rows)} people, and names no groups: compare by a "
            "column of groups, and adjust for this one as a covariate"
        )
    if len(levels) < 2:
        raise DatasetFileError(
            f"column {factor} has one level or none among the {len(rows)} people with all values "
            f"({', '.join(levels) or 'nobody'}): two or more are needed to compare"
        )
    matrix = [(names == level).to_numpy(dtype=float) for level in levels]
    columns = [variable(factor, level) for level in levels]
    for name in covariates:
        for label, values in _covariate(people[name], name, as_category=name in categorical):
            matrix.append(values - values.mean())
            columns.append(label)
    built = np.column_stack(matrix)
    check_rank(built, columns)
    return Design(built, tuple(columns), rows, dropped, levels, factor)


def _check_columns(table: pd.DataFrame, factor: str, covariates: Sequence[str]) -> None:
    """Check that all columns are there, once."""
    wanted = [factor, *covariates]
    absent = [name for name in wanted if name not in table]
    if absent:
        raise UsageError(f"no column {', '.join(absent)}: {did_you_mean(absent[0], map(str, table.columns))}")
    twice = sorted({name for name in wanted if wanted.count(name) > 1})
    if twice:
        raise UsageError(f"column {', '.join(twice)} is named twice: a column is either the factor or one covariate")


def variable(column: str, level: str) -> str:
    """Name the indicator of a factor's level, as BIDS Stats Models do."""
    return f"{column}.{level}"


def level_names(values: pd.Series) -> pd.Series:
    """Write levels as text; whole numbers without a fraction, however the table was read; missing ones stay missing.

    Examples
    --------
    >>> import pandas as pd
    >>> level_names(pd.Series([1.0, 2.0, np.nan])).tolist()
    ['1', '2', nan]
    """

    def name(value: object) -> object:
        return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)

    return values.map(name, na_action="ignore")


def numbers(values: pd.Series, name: str) -> Floats:
    """Read a column of numbers.

    Raises
    ------
    DatasetFileError
        When it holds text; the message shows one such value.
    """
    import pandas as pd

    read = pd.to_numeric(values, errors="coerce")
    wrong = read.isna() & values.notna()
    if wrong.any():
        what = "text" if wrong.all() else "numbers and text"
        raise DatasetFileError(
            f"column {name} holds {what} ({values[wrong].iloc[0]!r}): correct it, or write n/a for missing"
        )
    return np.asarray(read.to_numpy(dtype=np.float64))


def _covariate(values: pd.Series, name: str, *, as_category: bool) -> list[tuple[str, Floats]]:
    """Code a covariate as one column of numbers, or one for each category but the first."""
    import pandas as pd

    if not as_category and pd.to_numeric(values, errors="coerce").notna().any():
        found = numbers(values, name)
        if np.isinf(found).any():
            raise DatasetFileError(f"covariate {name} holds an infinite number: correct it, or write n/a for missing")
        return [(name, found)]
    names = level_names(values)
    return [(variable(name, level), (names == level).to_numpy(dtype=float)) for level in sorted(names.unique())[1:]]


def check_rank(matrix: Floats, columns: Sequence[str]) -> None:
    """Check that a model can be estimated.

    Raises
    ------
    DatasetFileError
        When people are too few, or columns are constant or explained by others; the message names them.
    """
    people, parameters = matrix.shape
    if people <= parameters:
        who = counted(people, "person", "people")
        raise DatasetFileError(f"{who} cannot carry a model of {counted(parameters, 'parameter')}: drop covariates")
    spread = np.linalg.norm(matrix, axis=0)
    constant = [name for name, size in zip(columns, spread, strict=True) if size < 1e-10]
    if constant:
        raise DatasetFileError(f"covariate {', '.join(constant)} is the same for everybody: drop it")
    scaled = matrix / spread
    for place in range(1, parameters):
        before = scaled[:, :place]
        shares = np.linalg.lstsq(before, scaled[:, place], rcond=None)[0]
        if np.linalg.norm(scaled[:, place] - before @ shares) < 1e-8:
            by = ", ".join(name for name, share in zip(columns, shares, strict=False) if abs(share) > 1e-8)
            raise DatasetFileError(f"column {columns[place]} is explained by {by}: drop one of them")


def parse_contrasts(design: Design, contrasts: Sequence[str] = ()) -> dict[str, Floats]:
    """Read contrasts such as ``user - nonuser``; without any, compare all pairs of levels.

    Returns
    -------
    dict
        Name of each contrast, and its weights of shape (p,).

    Raises
    ------
    UsageError
        When a text is not the difference of two levels; the message lists them.

    Examples
    --------
    >>> import pandas as pd
    >>> people = {"participant_id": ["sub-1", "sub-2", "sub-3", "sub-4"], "group": ["a", "a", "b", "b"]}
    >>> weights = parse_contrasts(make_design(pd.DataFrame(people), "group"), ["b - a"])
    >>> {name: row.tolist() for name, row in weights.items()}
    {'b - a': [-1.0, 1.0]}
    """
    pairs = {f"{a} - {b}": (a, b) for a in design.levels for b in design.levels if a != b}
    if not contrasts:
        return {f"{a} - {b}": design.pair(a, b) for a, b in combinations(design.levels, 2)}
    found = {}
    for text in contrasts:
        name = " ".join(text.split())
        if name not in pairs:
            raise UsageError(
                f"{text!r} is no contrast of {design.factor}: write 'A - B' with two of its levels "
                f"({', '.join(design.levels)})"
            )
        found[name] = design.pair(*pairs[name])
    return found
