"""The rows of the table of tests: estimates, statistics, effect sizes and evidence of one contrast and outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bids_flex.stats.effects import hedges_g, partial_eta_squared, small_sample_correction
from bids_flex.stats.evidence import bic_bayes_factor, jzs_bayes_factor, tost_g
from bids_flex.stats.linear import ALONE, fit_contrast, residuals
from bids_flex.words import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from bids_flex.stats.linear import Tested
    from bids_flex.stats.matrix import ModelDesign
    from bids_flex.stats.permutation import PermutationResult
    from bids_flex.stats.settings import Settings

    Floats = NDArray[np.float64]

TEST_COLUMNS = {
    "model": "Name of the model",
    "outcome": "Column of the participants' table",
    "engine": "Engine of the communities",
    "measure": "Measure",
    "level": "global, network or region",
    "network": "Network",
    "region": "Region",
    "contrast": "Contrast",
    "test": "t (one row of weights) or F (several)",
    "n": "Rows in the test",
    "n_eff": "1 / (c'(X'X)^-1 c)",
    "estimate": "Value of the contrast, in the outcome's unit",
    "se": "Its standard error, of the permuted statistic's kind",
    "ci_low": "Lower limit of the 95 % interval of the estimate",
    "ci_high": "Upper limit of the 95 % interval of the estimate",
    "kind": "Permuted statistic: hc3 or ols",
    "statistic": "t or F",
    "df1": "Rows of the contrast",
    "df2": "Residual degrees of freedom",
    "p": "Two-sided p of the t or F distribution",
    "p_perm": "p of the permutation test; the data's own order counts, so it is never 0",
    "p_max": "p of the permutation test against the largest statistic of the measure's outcomes",
    "p_adj": "p_perm (or p_max) corrected over the family",
    "family": "Tests that are corrected together",
    "correction": "holm, bh, max-T or none",
    "family_size": "Number of tests in the family",
    "statistic_ols": "t or F of ordinary least squares",
    "se_ols": "Standard error of ordinary least squares",
    "p_ols": "Two-sided p of ordinary least squares",
    "effect_kind": "g (Hedges) or partial eta squared",
    "effect": "Effect size",
    "effect_low": "Lower limit of its 95 % interval",
    "effect_high": "Upper limit of its 95 % interval",
    "effect_low_90": "Lower limit of its 90 % interval",
    "effect_high_90": "Upper limit of its 90 % interval",
    "effect_unadjusted": "g without covariates",
    "bf_kind": "JZS (t) or BIC (F)",
    "bf10": "Bayes factor of an effect against none",
    "bf01": "Bayes factor of none against an effect",
    "tost_bound": "Bound of the equivalence test, in g",
    "tost_p": "p of the equivalence test (two one-sided t tests)",
    "tost_p_hc3": "The same with the HC3 standard error",
    "tost_low": "Lower limit of the 90 % interval that decides like the equivalence test, in g",
    "tost_high": "Upper limit of the 90 % interval that decides like the equivalence test, in g",
    "tost_power": "Power of the equivalence test at 5 % when the true contrast is 0",
    "n_permutations": "Permutations, the data's own order included",
    "exact": "Whether they are all that exist",
    "reason": "Why there is no test, or a test without effect size",
}
"""Columns of the table of tests, and what they hold."""


NO_EFFECT = (
    "1 residual degree of freedom: g and its equivalence test are not defined, take more people or fewer covariates"
)
"""Why a t test has no effect size."""

NO_SPREAD = (
    "nothing varies among the people that this contrast compares: no standard error, and p by permutation at most"
)
"""Why a contrast has no statistic."""


def why_untestable(values: Floats, matrix: Floats, design: ModelDesign, statistic: str) -> str:
    """Say why an outcome cannot be tested among the people who have it, if so."""
    people, parameters = matrix.shape
    if not people:
        return "nobody has a value"
    if people <= parameters:
        return f"{counted(people, 'person', 'people')} with a value cannot carry {counted(parameters, 'parameter')}"
    centred = values - values.mean()
    if np.linalg.norm(centred) <= 1e-12 * np.linalg.norm(values):
        return "the same value for everybody"
    return _wrong_with(matrix, design, statistic)


def _wrong_with(matrix: Floats, design: ModelDesign, statistic: str) -> str:
    """Say what is wrong with the design of the people who have a value, if anything."""
    empty = [name for name, column in zip(design.columns, matrix.T, strict=True) if not column.any()]
    if empty:
        return f"nobody with a value in {', '.join(empty)}"
    if np.linalg.matrix_rank(matrix) < matrix.shape[1]:
        return "covariates repeat each other among the people with a value"
    leverage = (np.linalg.qr(matrix)[0] ** 2).sum(axis=1)
    alone = np.flatnonzero(leverage > 1 - ALONE)
    if alone.size and statistic == "hc3":
        single = (matrix != 0).sum(axis=0) == 1
        names = [name for name, column in zip(design.columns, matrix.T, strict=True) if column[alone].any()]
        own = [name for name, one in zip(design.columns, single, strict=True) if one and name in names]
        return f"one person alone determines {', '.join(own or names)}: HC3 has no variance for that"
    return ""


def contrast_rows(
    y: Floats, matrix: Floats, design: ModelDesign, settings: Settings, permuted: PermutationResult
) -> Iterator[dict[str, Any]]:
    """Describe every contrast of every outcome; ``place`` is the outcome's column in ``y`` (n, m)."""
    inverse = np.linalg.pinv(matrix)
    df = len(matrix) - matrix.shape[1]
    mse = (residuals(y, np.linalg.qr(matrix)[0]) ** 2).sum(axis=0) / df
    for number, (name, weights) in enumerate(design.contrasts.items()):
        robust, plain = (fit_contrast(y, matrix, weights, kind) for kind in ("hc3", "ols"))
        chosen = robust if settings.statistic == "hc3" else plain
        without = _unadjusted(y, matrix, design, weights) if weights.ndim == 1 else np.full(y.shape[1], np.nan)
        for place in range(y.shape[1]):
            row = {"place": place, "contrast": name, "n": len(y), "kind": settings.statistic, **_tested(chosen, place)}
            row |= {"statistic_ols": plain.statistic[place], "se_ols": plain.se[place], "p_ols": plain.p[place]}
            row |= {"p_perm": permuted.p_permutation[number, place], "p_max": permuted.p_max[number, place]}
            row |= {"n_permutations": permuted.n_permutations, "exact": "true" if permuted.exact else "false"}
            if weights.ndim == 2:
                row |= _omnibus(plain, place, len(y))
            else:
                spread = float(((weights @ inverse) ** 2).sum())
                row |= _difference(plain, robust.se[place], place, float(mse[place]), spread, settings)
                row["effect_unadjusted"] = without[place]
                row |= {"reason": NO_EFFECT} if df == 1 else {}
            if not np.isfinite(chosen.statistic[place]):
                row["reason"] = NO_SPREAD
            yield row


def _tested(tested: Tested, place: int) -> dict[str, Any]:
    """Write the statistic and, of one row of weights, the estimate with its interval."""
    from scipy.stats import t

    estimate, se = tested.estimate[place], tested.se[place]
    margin = float(t.ppf(0.975, tested.df2)) * se
    return {
        "test": "F" if np.isnan(estimate) else "t",
        "estimate": estimate,
        "se": se,
        "ci_low": estimate - margin,
        "ci_high": estimate + margin,
        "statistic": tested.statistic[place],
        "df1": tested.df1,
        "df2": tested.df2,
        "p": tested.p[place],
    }


def _omnibus(plain: Tested, place: int, n: int) -> dict[str, Any]:
    """Write effect size and evidence of an F test."""
    f = float(plain.statistic[place])
    wide, narrow = (partial_eta_squared(f, plain.df1, plain.df2, share) for share in (0.95, 0.90))
    # RSS without the contrast over RSS with it
    bf01 = bic_bayes_factor(1 + f * plain.df1 / plain.df2, 1.0, n, plain.df1) if np.isfinite(f) else np.nan
    return {
        "effect_kind": "partial eta squared",
        "effect": wide.size,
        "effect_low": wide.low,
        "effect_high": wide.high,
        "effect_low_90": narrow.low,
        "effect_high_90": narrow.high,
        "bf_kind": "BIC",
        "bf01": bf01,
        "bf10": _turned(bf01),
    }


def _turned(factor: float) -> float:
    """Turn a Bayes factor round; one that is too small for a number becomes infinity."""
    return 1 / factor if factor else np.inf


def _difference(
    plain: Tested, se_hc3: float, place: int, mse: float, spread: float, settings: Settings
) -> dict[str, Any]:
    """Write effect size and evidence of a t test; ``spread`` is c'(X'X)^-1 c."""
    estimate, df = float(plain.estimate[place]), plain.df2
    wide, narrow = (hedges_g(estimate, mse, spread, df, share) for share in (0.95, 0.90))
    bound = settings.equivalence_bound
    equal = tost_g(estimate, float(plain.se[place]), mse, df, bound)
    bf10 = jzs_bayes_factor(float(plain.statistic[place]), 1 / spread, df)
    return {
        "n_eff": 1 / spread,
        "effect_kind": "g",
        "effect": wide.size,
        "effect_low": wide.low,
        "effect_high": wide.high,
        "effect_low_90": narrow.low,
        "effect_high_90": narrow.high,
        "bf_kind": "JZS",
        "bf10": bf10,
        "bf01": _turned(bf10),
        "tost_bound": bound,
        "tost_p": equal.p,
        "tost_p_hc3": tost_g(estimate, float(se_hc3), mse, df, bound).p,
        "tost_low": equal.low,
        "tost_high": equal.high,
        "tost_power": equal.power,
    }


def _unadjusted(y: Floats, matrix: Floats, design: ModelDesign, weights: Floats) -> Floats:
    """Compute g of a contrast with its own factor alone in the model (and an intercept); shape (m,)."""
    touched = np.flatnonzero(weights)
    factors = {design.factors[column] for column in touched} - {""}
    own = [c for c, factor in enumerate(design.factors) if c in touched or factor in factors]
    reduced = matrix[:, own]
    ones = np.ones((len(matrix), 1))
    if np.linalg.matrix_rank(np.column_stack([reduced, ones])) > len(own):
        reduced = np.column_stack([reduced, ones])
    inverse = np.linalg.pinv(reduced)
    row = np.append(weights[own], np.zeros(reduced.shape[1] - len(own))) @ inverse
    df = len(matrix) - reduced.shape[1]
    mse = (residuals(y, np.linalg.qr(reduced)[0]) ** 2).sum(axis=0) / df
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(small_sample_correction(df) * (row @ y) / np.sqrt(mse))
