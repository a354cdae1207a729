"""The analysis of a table: every outcome, the omnibus test and the contrasts, corrected over stated families."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_flex.errors import UsageError
from bids_flex.stats.design import make_design, parse_contrasts
from bids_flex.stats.effects import hedges_g, partial_eta_squared
from bids_flex.stats.linear import fit_contrast
from bids_flex.stats.permutation import freedman_lane

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from bids_flex.stats.design import Design

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Analysis:
    """What a model has come to.

    Attributes
    ----------
    tests : pandas.DataFrame
        One row per outcome and test.
    design : Design
        Of the people who have all covariates; an outcome that is missing in some of them has its own smaller one.
    participants : tuple of str
        Who they are, in the order of the design's rows.
    dropped : tuple of (str, str, str)
        Outcome (or ``all``), participant and the column without a value.
    """

    tests: pd.DataFrame
    design: Design
    participants: tuple[str, ...]
    dropped: tuple[tuple[str, str, str], ...]


def analyse(
    table: pd.DataFrame,
    families: Mapping[str, Sequence[str]],
    factor: str,
    covariates: Sequence[str] = (),
    contrasts: Sequence[str] = (),
    categorical: Collection[str] = (),
    n_permutations: int = 10_000,
    seed: int = 0,
) -> Analysis:
    """Compare groups on many outcomes.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per person.
    families : mapping
        Name of each family of outcomes, and its columns. Holm's correction runs over a family's outcomes and contrasts;
        its omnibus tests are a family of their own.
    factor, covariates, contrasts, categorical
        As in :func:`make_design` and :func:`parse_contrasts`.
    n_permutations, seed : int
        Of the permutation tests.

    Returns
    -------
    Analysis

    Raises
    ------
    UsageError, DatasetFileError
        When the model cannot be built.
    """
    import pandas as pd

    design = make_design(table, factor, covariates, categorical)
    weights = parse_contrasts(design, contrasts)
    rows: list[dict[str, Any]] = []
    labels = tuple(str(label) for label in table["participant_id"].iloc[design.rows])
    dropped = [("all", label, column) for label, column in design.dropped]
    for family, outcomes in families.items():
        if missing := [name for name in outcomes if name not in table]:
            raise UsageError(f"no outcome {', '.join(missing)} in the table")
        for outcome in outcomes:
            values = table[outcome].to_numpy(dtype=float)[design.rows]
            here = np.isfinite(values)
            dropped += [(outcome, label, outcome) for label, there in zip(labels, here, strict=True) if not there]
            told = _test_outcome(values[here], design, design.matrix[here], weights, n_permutations, seed)
            rows += [{"outcome": outcome, "family": family, "n": int(here.sum()), **row} for row in told]
    tests = pd.DataFrame(rows)
    tests["p_adjusted"] = _holm(tests)
    return Analysis(tests, design, labels, tuple(dropped))


def _test_outcome(
    values: Floats, design: Design, matrix: Floats, weights: Mapping[str, Floats], n_permutations: int, seed: int
) -> list[dict[str, Any]]:
    """Test one outcome: a row for the omnibus (of three or more levels) and one for each contrast."""
    named: dict[str, Floats] = dict(weights)
    if len(design.levels) > 2:
        named = {"omnibus": design.omnibus(), **named}
    reason = _untestable(values, matrix, len(design.levels))
    if reason:
        return [
            {"contrast": name, "test": "F" if row.ndim == 2 else "t", "reason": reason} for name, row in named.items()
        ]
    permuted = freedman_lane(values, matrix, list(named.values()), n_permutations, seed)
    rows = []
    for place, (name, contrast) in enumerate(named.items()):
        rows.append(
            {
                "contrast": name,
                **_parametric(values, matrix, contrast, len(design.levels)),
                "p_permutation": permuted.p_permutation[place, 0],
                "n_permutations": permuted.n_permutations,
                "exact": "true" if permuted.exact else "false",
            }
        )
    return rows


def _untestable(values: Floats, matrix: Floats, levels: int) -> str:
    """Say why an outcome cannot be tested, if so."""
    if len(values) <= matrix.shape[1]:
        return f"{len(values)} people with a value cannot carry {matrix.shape[1]} parameters"
    if (matrix[:, :levels].sum(axis=0) < 2).any():
        return "a group has fewer than two people with a value"
    if np.linalg.matrix_rank(matrix) < matrix.shape[1]:
        return "covariates repeat each other among the people with a value"
    if np.ptp(values) == 0:
        return "the same value for everybody"
    return ""


def _parametric(values: Floats, matrix: Floats, contrast: Floats, levels: int) -> dict[str, Any]:
    """Compute estimates, HC3 and OLS tests, and effect sizes of one contrast."""
    robust, plain = (fit_contrast(values, matrix, contrast, kind) for kind in ("hc3", "ols"))
    shared = {
        "test": "F" if contrast.ndim == 2 else "t",
        "df1": robust.df1,
        "df2": robust.df2,
        "statistic_hc3": robust.statistic[0],
        "p_hc3": robust.p[0],
        "statistic_ols": plain.statistic[0],
        "p_ols": plain.p[0],
    }
    if contrast.ndim == 2:
        f = float(plain.statistic[0])
        eta, narrow = (partial_eta_squared(f, plain.df1, plain.df2, share) for share in (0.95, 0.90))
        limits = {"eta_squared_low": eta.low, "eta_squared_high": eta.high}
        return {
            **shared,
            "partial_eta_squared": eta.size,
            **limits,
            "eta_squared_low_90": narrow.low,
            "eta_squared_high_90": narrow.high,
        }
    return {**shared, **_difference(values, matrix, contrast, levels, robust.estimate[0], robust.se[0])}


def _difference(
    values: Floats, matrix: Floats, contrast: Floats, levels: int, estimate: float, se: float
) -> dict[str, float]:
    """Describe a difference of two levels: estimate, interval, g with and without covariates."""
    from scipy.stats import t

    margin = float(t.ppf(0.975, len(matrix) - matrix.shape[1])) * se
    adjusted = _g(values, matrix, contrast)
    plain = _g(values, matrix[:, :levels], contrast[:levels])
    return {
        "estimate": estimate,
        "se_hc3": se,
        "estimate_low": estimate - margin,
        "estimate_high": estimate + margin,
        "g": adjusted.size,
        "g_low": adjusted.low,
        "g_high": adjusted.high,
        "g_unadjusted": plain.size,
    }


def _g(values: Floats, matrix: Floats, contrast: Floats) -> Any:  # noqa: ANN401 - an Effect
    """Compute Hedges' g of a contrast."""
    inverse = np.linalg.pinv(matrix)
    residual = values - matrix @ (inverse @ values)
    df = len(matrix) - matrix.shape[1]
    weights = contrast @ inverse
    return hedges_g(float(weights @ values), float(residual @ residual) / df, float(weights @ weights), df)


def _holm(tests: pd.DataFrame) -> Floats:
    """Adjust permutation p values over each family's contrasts, and over its omnibus tests (Holm 1979)."""
    from statsmodels.stats.multitest import multipletests

    adjusted = np.full(len(tests), np.nan)
    if "p_permutation" not in tests:
        return adjusted
    for _, group in tests.groupby(["family", tests["contrast"] == "omnibus"]):
        tested = group.index[group["p_permutation"].notna()]
        if len(tested):
            adjusted[tested] = multipletests(tests.loc[tested, "p_permutation"], method="holm")[1]
    return adjusted
