"""Designs from tables, and whole analyses."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

from bids_flex import stats
from bids_flex.errors import DatasetFileError, UsageError


def people(n=30, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "participant_id": [f"{i:02d}" for i in range(n)],
            "drug": np.array(["user", "nonuser", "control"])[np.arange(n) % 3],
            "age": rng.uniform(18, 65, n).round(1).astype(str),
            "site": np.array(["A", "B"])[rng.integers(0, 2, n)],
            "flexibility": rng.standard_normal(n),
            "promiscuity": rng.standard_normal(n),
        }
    )


def test_cell_means_and_centred_covariates():
    table = people()
    design = stats.make_design(table, "drug", ["age", "site"])
    assert design.columns == ("drug.control", "drug.nonuser", "drug.user", "age", "site.B")
    assert design.levels == ("control", "nonuser", "user")
    np.testing.assert_allclose(design.matrix[:, 3:].mean(axis=0), 0, atol=1e-12)
    assert (design.matrix[:, :3].sum(axis=1) == 1).all()


def test_the_whole_analysis_equals_statsmodels():
    table = people()
    found = stats.analyse(table, {"primary": ["flexibility"]}, "drug", ["age", "site"], n_permutations=50).tests
    numbers = table.assign(age=table["age"].astype(float))
    fitted = smf.ols("flexibility ~ C(drug) + age + C(site)", numbers).fit()
    robust = fitted.get_robustcov_results("HC3", use_t=True)
    row = found[found["contrast"] == "control - user"].iloc[0]
    assert row["estimate"] == pytest.approx(-fitted.params["C(drug)[T.user]"], rel=1e-10)
    assert row["p_ols"] == pytest.approx(fitted.pvalues["C(drug)[T.user]"], rel=1e-10)
    assert row["p_hc3"] == pytest.approx(robust.pvalues[2], rel=1e-10)
    omnibus = found[found["contrast"] == "omnibus"].iloc[0]
    expected = fitted.f_test("C(drug)[T.nonuser] = 0, C(drug)[T.user] = 0")
    assert omnibus["statistic_ols"] == pytest.approx(expected.fvalue, rel=1e-10)
    assert omnibus["partial_eta_squared"] == pytest.approx(expected.fvalue * 2 / (expected.fvalue * 2 + 25), rel=1e-10)


def test_holm_runs_over_outcomes_and_contrasts_of_a_family():
    table = people()
    table.loc[table["drug"] == "user", "flexibility"] += 3
    found = stats.analyse(table, {"primary": ["flexibility", "promiscuity"]}, "drug", n_permutations=999).tests
    pairs = found[found["contrast"] != "omnibus"].sort_values("p_permutation")
    expected = np.maximum.accumulate(np.minimum(pairs["p_permutation"] * np.arange(6, 0, -1), 1))
    np.testing.assert_allclose(pairs["p_adjusted"], expected)
    omnibus = found[found["contrast"] == "omnibus"].sort_values("p_permutation")
    expected = np.maximum.accumulate(np.minimum(omnibus["p_permutation"] * [2, 1], 1))
    np.testing.assert_allclose(omnibus["p_adjusted"], expected)


def test_people_are_dropped_only_for_values_that_the_model_uses():
    table = people()
    table.loc[3, "age"] = None
    table.loc[4, "site"] = None
    table.loc[5, "flexibility"] = np.nan
    found = stats.analyse(table, {"primary": ["flexibility", "promiscuity"]}, "drug", ["age"], n_permutations=20)
    assert found.dropped == (("all", "03", "age"), ("flexibility", "05", "flexibility"))
    sizes = found.tests.groupby("outcome")["n"].first()
    assert sizes["flexibility"] == 28
    assert sizes["promiscuity"] == 29


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda t: t.assign(flexibility=0.5), "the same value for everybody"),
        (lambda t: t.assign(flexibility=np.nan), "0 people with a value"),
        (lambda t: t.assign(flexibility=t["flexibility"].where(t["drug"] != "user")), "fewer than two people"),
    ],
)
def test_an_outcome_that_cannot_be_tested_says_why(spoil, reason):
    found = stats.analyse(spoil(people()), {"primary": ["flexibility", "promiscuity"]}, "drug", n_permutations=20).tests
    untested = found[found["outcome"] == "flexibility"]
    assert len(untested) == 4
    assert untested["reason"].str.contains(reason).all()
    assert found[found["outcome"] == "promiscuity"]["p_adjusted"].notna().all()


def test_levels_may_be_numbers_words_of_code_or_hold_spaces():
    table = people()
    for levels in (["0", "1", "2"], ["class", "import", "lambda"], ["a b", "a - b", "c"]):
        table["drug"] = np.array(levels)[np.arange(30) % 3]
        design = stats.make_design(table, "drug")
        assert design.levels == tuple(sorted(levels))
        named = stats.parse_contrasts(design, [f"{levels[0]} - {levels[2]}"])
        (weights,) = named.values()
        assert weights[design.levels.index(levels[0])] == 1
        assert weights[design.levels.index(levels[2])] == -1


@pytest.mark.parametrize(
    ("change", "covariates", "error", "told"),
    [
        ({}, ["weight"], UsageError, "no column weight; there are participant_id, drug"),
        ({}, ["age", "age"], UsageError, "column age is named twice"),
        ({"drug": "user"}, [], DatasetFileError, r"column drug has one level or none among the 30 people .*\(user\)"),
        ({"drug": None}, [], DatasetFileError, r"among the 0 people .*\(nobody\)"),
        ({"age": "40"}, ["age"], DatasetFileError, "covariate age is the same for everybody"),
        ({"age": ["old", *["40"] * 29]}, ["age"], DatasetFileError, r"column age holds numbers and text \('old'\)"),
        ({"half": np.arange(30.0), "double": np.arange(30.0) * 2}, ["half", "double"], DatasetFileError,
         "column double is explained by half: drop"),
        ({"id": [f"p{i}" for i in range(30)]}, ["id"], DatasetFileError, "30 people cannot carry a model of 32"),
    ],
)  # fmt: skip
def test_impossible_models_are_refused(change, covariates, error, told):
    with pytest.raises(error, match=told):
        stats.make_design(people().assign(**change), "drug", covariates)


def test_an_unknown_contrast_lists_the_levels():
    design = stats.make_design(people(), "drug")
    with pytest.raises(UsageError, match=r"no contrast of drug.*\(control, nonuser, user\)"):
        stats.parse_contrasts(design, ["user - placebo"])
