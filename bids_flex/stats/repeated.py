"""Repeated measures: differences of pairs, intraclass correlations, mixed models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bids_flex.errors import DatasetFileError, UsageError
from bids_flex.stats.design import level_names, numbers
from bids_flex.stats.matrix import build_design
from bids_flex.words import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from bids_flex.stats.matrix import ModelDesign
    from bids_flex.stats.models import GroupModel
    from bids_flex.stats.outcome import Outcome

    Floats = NDArray[np.float64]


SAME = 1e-12
"""Values that differ by less, relative to the largest, differ by rounding alone."""


def differences(
    table: pd.DataFrame, column: str, first: str, second: str, outcomes: Sequence[str]
) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """Take each person's outcome at one level minus that at another.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per participant and level of ``column``, with ``participant_id``.
    column, first, second : str
        The outcome is its value at ``first`` minus that at ``second``.
    outcomes : sequence of str
        Columns that are subtracted; the others are those of the row at ``first``.

    Returns
    -------
    pandas.DataFrame
        One row per participant who has both.
    list of (str, str)
        Participants who are left out, and why.

    Raises
    ------
    DatasetFileError
        When the column or a level is absent, or somebody has a level twice.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"participant_id": "sub-1", "visit": ["pre", "post"], "flexibility": [0.2, 0.3]})
    >>> table, left_out = differences(table, "visit", "post", "pre", ["flexibility"])
    >>> table["flexibility"].round(3).tolist(), left_out
    ([0.1], [])
    """
    if column not in table:
        near = did_you_mean(column, map(str, reversed(table.columns)))
        raise DatasetFileError(f"Difference names a column {column}, which the table does not have: {near}")
    names = level_names(table[column])
    halves = []
    for level in (first, second):
        half = table[(names == level).to_numpy()].set_index("participant_id")
        if half.empty:
            there = ", ".join(sorted(names.dropna().unique())[:20])
            raise DatasetFileError(f"no row has {column} {level}; there are {there or 'no values'}")
        if half.index.has_duplicates:
            twice = ", ".join(map(str, half.index[half.index.duplicated()].unique()[:5]))
            raise DatasetFileError(f"{twice} has several rows of {column} {level}: average them first")
        halves.append(half)
    both = halves[0].index.intersection(halves[1].index, sort=False)
    people = dict.fromkeys(table["participant_id"])
    lost = [
        (str(one), f"no row of {column} {first if one not in halves[0].index else second}")
        for one in people
        if one not in both
    ]
    if both.empty:
        raise DatasetFileError(f"nobody has both {column} {first} and {column} {second}")
    one, other = (half.loc[both] for half in halves)
    taken = {name: numbers(one[name], name) - numbers(other[name], name) for name in outcomes}
    return one.assign(**taken).reset_index(), lost


def intraclass_correlation(values: ArrayLike, confidence: float = 0.95) -> pd.DataFrame:
    """Compute the reliability of k repetitions (McGraw & Wong 1996, doi 10.1037/1082-989X.1.1.30).

    Parameters
    ----------
    values : array, shape (n, k)
        People by runs or sessions. People with a missing value are left out.
    confidence : float
        Of the intervals.

    Returns
    -------
    pandas.DataFrame
        One row each for ``ICC(1,1)`` (one way), ``ICC(A,1)`` (absolute agreement) and ``ICC(C,1)`` (consistency):
        ``kind``, ``icc``, ``ci_low``, ``ci_high``, ``f``, ``df1``, ``df2``, ``p``, ``n``, ``n_dropped``,
        ``repetitions``.

    Raises
    ------
    UsageError
        When there are fewer than two repetitions or fewer than three complete people.

    Examples
    --------
    >>> told = intraclass_correlation([[1, 2], [2, 3], [3, 4], [4, 5]])
    >>> dict(zip(told["kind"], told["icc"].round(3), strict=True))
    {'ICC(1,1)': 0.739, 'ICC(A,1)': 0.769, 'ICC(C,1)': 1.0}
    """
    import pandas as pd
    from scipy.stats import f as f_distribution

    given = np.asarray(values, dtype=np.float64)
    if given.ndim != 2 or given.shape[1] < 2:
        raise UsageError(f"values have shape {given.shape}; people by two or more repetitions are needed")
    x = given[np.isfinite(given).all(axis=1)]
    n, k = x.shape
    if n < 3:
        raise UsageError(f"{n} people have all {k} repetitions; three or more are needed")
    if np.ptp(x) <= SAME * np.abs(x).max():
        x = np.zeros_like(x)
    grand = x.mean()
    between = k * ((x.mean(axis=1) - grand) ** 2).sum() / (n - 1)
    raters = n * ((x.mean(axis=0) - grand) ** 2).sum() / (k - 1)
    within = ((x - x.mean(axis=1, keepdims=True)) ** 2).sum() / (n * (k - 1))
    error = (within * n * (k - 1) - raters * (k - 1)) / ((n - 1) * (k - 1))
    tail = (1 - confidence) / 2

    def simple(kind: str, noise: float, df2: int) -> dict[str, Any]:
        f = _ratio(between, noise)
        low, high = f / f_distribution.isf(tail, n - 1, df2), f * f_distribution.isf(tail, df2, n - 1)
        icc = (between - noise) / (between + (k - 1) * noise) if between + noise > 0 else np.nan
        limits = ((low - 1) / (low + k - 1), (high - 1) / (high + k - 1)) if np.isfinite(f) else (icc, icc)
        return _icc_row(kind, icc, limits, f, n - 1, df2)

    rows = [simple("ICC(1,1)", within, n * (k - 1)), simple("ICC(C,1)", error, (n - 1) * (k - 1))]
    agreement = _agreement(between, raters, error, n, k, tail)
    rows.insert(1, agreement)
    return pd.DataFrame(rows).assign(n=n, n_dropped=len(given) - n, repetitions=k)


def _ratio(between: float, noise: float) -> float:
    """Compute F; people who differ without noise make it infinite, and nothing by nothing is NaN."""
    if noise > 0:
        return between / noise
    return np.inf if between > 0 else np.nan


def _icc_row(kind: str, icc: float, limits: tuple[float, float], f: float, df1: int, df2: int) -> dict[str, Any]:
    """Write one coefficient with its F test of 0."""
    from scipy.stats import f as f_distribution

    p = float(f_distribution.sf(f, df1, df2))
    return {
        "kind": kind, "icc": icc, "ci_low": limits[0], "ci_high": limits[1], "f": f, "df1": df1, "df2": df2, "p": p,
    }  # fmt: skip


def _agreement(between: float, raters: float, error: float, n: int, k: int, tail: float) -> dict[str, Any]:
    """Compute ICC(A,1), whose interval needs Satterthwaite's degrees of freedom."""
    from scipy.stats import f as f_distribution

    whole = between + (k - 1) * error + k * (raters - error) / n
    icc = (between - error) / whole if whole > 0 else np.nan
    f = _ratio(between, error)
    df2 = (n - 1) * (k - 1)
    if not np.isfinite(f) or icc >= 1:
        return _icc_row("ICC(A,1)", icc, (icc, icc), f, n - 1, df2)
    a, b = k * icc / (n * (1 - icc)), 1 + k * icc * (n - 1) / (n * (1 - icc))
    noise = a * raters + b * error
    v = noise**2 / ((a * raters) ** 2 / (k - 1) + (b * error) ** 2 / df2)
    up, down = f_distribution.isf(tail, n - 1, v), f_distribution.isf(tail, v, n - 1)
    rest = k * raters + (k * n - k - n) * error
    low = n * (between - up * error) / (up * rest + n * between)
    high = n * (down * between - error) / (rest + n * down * between)
    return _icc_row("ICC(A,1)", icc, (low, high), f, n - 1, df2)


def mixed_model(model: GroupModel, table: pd.DataFrame, outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """Fit the model with a random intercept of ``settings.grouping``, by restricted maximum likelihood (statsmodels).

    Parameters
    ----------
    model : GroupModel
        Whose settings name the column of the random intercept, such as ``participant_id``.
    table : pandas.DataFrame
        One row per person and session.
    outcomes : sequence of Outcome
        What to test.

    Returns
    -------
    pandas.DataFrame
        One row per outcome and contrast: ``outcome``, ``contrast``, ``test`` (z or chi2), ``n``, ``groups``,
        ``estimate``, ``se``, ``ci_low``, ``ci_high``, ``statistic``, ``df1``, ``p``, ``variance_between``,
        ``variance_within``, ``reason``. Wald tests: p is a little small when groups are few.

    Raises
    ------
    UsageError
        When the model names no grouping.
    DatasetFileError
        When the model cannot be built.
    """
    import pandas as pd

    if not model.settings.grouping:
        raise UsageError(f"model {model.name} names no Grouping, the column of the random intercept")
    table = table.reset_index(drop=True)
    design = build_design(model, table)
    people = table.iloc[design.rows]
    groups = people[model.settings.grouping].astype(str).to_numpy()
    rows: list[dict[str, Any]] = []
    for outcome in outcomes:
        y = numbers(people[outcome.column], outcome.column)
        here = np.isfinite(y)
        told = {"model": model.name, "outcome": outcome.column, "engine": outcome.engine, "measure": outcome.measure,
                "level": outcome.level, "network": outcome.network, "region": outcome.region,
                "n": int(here.sum()), "groups": len(set(groups[here]))}  # fmt: skip
        rows += [{**told, **row} for row in _mixed_rows(y[here], design.matrix[here], groups[here], design)]
    return pd.DataFrame(rows)


def _mixed_rows(y: Floats, matrix: Floats, groups: NDArray[Any], design: ModelDesign) -> list[dict[str, Any]]:
    """Fit one outcome and test the contrasts."""
    import warnings

    from statsmodels.regression.mixed_linear_model import MixedLM
    from statsmodels.tools.sm_exceptions import ConvergenceWarning

    names = {name: {"contrast": name, "test": "chi2" if w.ndim == 2 else "z"} for name, w in design.contrasts.items()}
    reason = _why_no_mixed_model(y, matrix, groups)
    if reason:
        return [{**told, "reason": reason} for told in names.values()]
    # the optimiser's steps are absolute, and measures may be small
    scale = float(y.std())
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ConvergenceWarning)
        fitted = MixedLM(y / scale, matrix, groups=groups).fit(reml=True)
    between = float(np.asarray(fitted.cov_re)[0, 0])
    note = "" if fitted.converged else "the optimiser did not converge"
    if not note and any("boundary" in str(one.message) for one in told):
        note = "people do not differ beyond their runs: the variance of the intercepts is 0"
    covariance = np.asarray(fitted.cov_params())[: matrix.shape[1], : matrix.shape[1]]
    shared = {"variance_between": between * scale**2, "variance_within": float(fitted.scale) * scale**2, "reason": note}
    betas = np.asarray(fitted.fe_params)
    return [
        {**names[name], **_wald(weights, betas * scale, covariance * scale**2), **shared}
        for name, weights in design.contrasts.items()
    ]


def _why_no_mixed_model(y: Floats, matrix: Floats, groups: NDArray[Any]) -> str:
    """Say why a mixed model cannot be fitted, if so."""
    if len(y) <= matrix.shape[1] or np.linalg.matrix_rank(matrix) < matrix.shape[1]:
        return "too few rows with a value, or covariates that repeat each other among them"
    if len(set(groups)) == len(groups):
        return "nobody has two rows with a value: there is nothing for a random intercept"
    if np.ptp(y) == 0:
        return "the same value for everybody"
    return ""


def _wald(weights: Floats, betas: Floats, covariance: Floats) -> dict[str, Any]:
    """Test a contrast of fixed effects."""
    from scipy.stats import chi2, norm

    rows = np.atleast_2d(weights)
    estimate, spread = rows @ betas, rows @ covariance @ rows.T
    if weights.ndim == 2:
        statistic = float(estimate @ np.linalg.solve(spread, estimate))
        return {"statistic": statistic, "df1": len(rows), "p": float(chi2.sf(statistic, len(rows)))}
    se = float(np.sqrt(spread[0, 0]))
    z, margin = float(estimate[0]) / se, float(norm.ppf(0.975)) * se
    return {"estimate": float(estimate[0]), "se": se, "ci_low": float(estimate[0]) - margin,
            "ci_high": float(estimate[0]) + margin, "statistic": z, "df1": 1,
            "p": float(2 * norm.sf(abs(z)))}  # fmt: skip
