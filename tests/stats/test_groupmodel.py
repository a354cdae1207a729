"""Whole models against statsmodels, scipy and hand-made answers; what cannot be tested says why."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from scipy import stats as scipy_stats

from bids_flex import stats
from bids_flex.errors import DatasetFileError, UsageError


def people(seed=0):
    """An unbalanced cohort: four diagnoses, users in three of them."""
    rng = np.random.default_rng(seed)
    diagnosis = np.repeat(["mdd", "anxiety", "both", "control"], [14, 12, 17, 15])
    n = len(diagnosis)
    user = (rng.random(n) < 0.4) & (diagnosis != "control")
    drug = np.where(diagnosis == "control", "control", np.where(user, "user", "nonuser"))
    return pd.DataFrame(
        {
            "participant_id": [f"{i:02d}" for i in range(n)],
            "diagnosis": diagnosis,
            "user": user.astype(int),
            "drug": drug,
            "sex": np.array(["f", "m"])[rng.integers(0, 2, n)],
            "age": rng.uniform(18, 65, n),
            "F": rng.standard_normal(n) + user,
            "P": rng.standard_normal(n),
        }
    )


F = stats.Outcome("F", "flexibility", "prior")
P = stats.Outcome("P", "promiscuity", "prior")


def fit(table, factor, covariates=(), contrasts=(), outcomes=(F,), corrections=None, **settings):
    settings = {"permutations": 50, **settings}
    written = stats.short_model(table, factor, covariates, contrasts, settings=stats.Settings(**settings))
    return stats.fit_model(stats.read_models(written)[0], table, outcomes, corrections)


def test_omnibus_tests_are_type_3_of_statsmodels():
    table = people()
    found = fit(table, "diagnosis", ["user", "age", "sex"]).tests.set_index("contrast").loc["omnibus"]
    fitted = smf.ols("F ~ C(diagnosis, Sum) + user + age + C(sex, Sum)", table).fit()
    expected = sm.stats.anova_lm(fitted, typ=3).loc["C(diagnosis, Sum)"]
    assert found["statistic_ols"] == pytest.approx(expected["F"], rel=1e-8)
    assert found["p_ols"] == pytest.approx(expected["PR(>F)"], rel=1e-8)
    residual = fitted.ssr
    assert found["effect"] == pytest.approx(expected["sum_sq"] / (expected["sum_sq"] + residual), rel=1e-8)
    reduced = smf.ols("F ~ user + age + C(sex, Sum)", table).fit()
    assert found["bf01"] == pytest.approx(np.exp((fitted.bic - reduced.bic) / 2), rel=1e-8)


def test_interactions_of_unbalanced_factors_are_type_3_of_statsmodels():
    """Cells of two factors; each main effect compares unweighted means of cells."""
    table = people().query("diagnosis != 'control'").reset_index(drop=True)
    cells = [f"{d} {s}" for d in ("anxiety", "both", "mdd") for s in ("f", "m")]
    document = {
        "Name": "cells", "BIDSModelVersion": "1.0.0",
        "Nodes": [{
            "Level": "Dataset", "Name": "n", "GroupBy": [],
            "Transformations": {"Transformer": "pybids-transforms-v1", "Instructions": [
                {"Name": "Factor", "Input": ["diagnosis", "sex"]},
                *({"Name": "Product", "Input": [f"diagnosis.{c.split()[0]}", f"sex.{c.split()[1]}"], "Output": c}
                  for c in cells)]},
            "Model": {"Type": "glm", "X": [*cells, "age"], "Software": {"bids_flex": {"Permutations": 20}}},
            "Contrasts": [
                {"Name": "diagnosis", "ConditionList": cells, "Test": "F",
                 "Weights": [["1/2", "1/2", "-1/2", "-1/2", 0, 0], ["1/2", "1/2", 0, 0, "-1/2", "-1/2"]]},
                {"Name": "sex", "ConditionList": cells, "Test": "F", "Weights": [1, -1, 1, -1, 1, -1]},
                {"Name": "both", "ConditionList": cells, "Test": "F",
                 "Weights": [[1, -1, -1, 1, 0, 0], [1, -1, 0, 0, -1, 1]]}]}],
    }  # fmt: skip
    found = stats.fit_model(stats.read_models(document)[0], table, [F]).tests.set_index("contrast")
    fitted = smf.ols("F ~ C(diagnosis, Sum) * C(sex, Sum) + age", table).fit()
    expected = sm.stats.anova_lm(fitted, typ=3)
    for name, term in (("diagnosis", "C(diagnosis, Sum)"), ("sex", "C(sex, Sum)"),
                       ("both", "C(diagnosis, Sum):C(sex, Sum)")):  # fmt: skip
        assert found.loc[name, "statistic_ols"] == pytest.approx(expected.loc[term, "F"], rel=1e-8)


def test_contrasts_equal_statsmodels():
    table = people()
    found = fit(table, "drug", ["age", "sex"], ["user - nonuser"]).tests.set_index("contrast").loc["user - nonuser"]
    fitted = smf.ols("F ~ C(drug, Treatment('nonuser')) + age + C(sex)", table).fit(cov_type="HC3", use_t=True)
    name = "C(drug, Treatment('nonuser'))[T.user]"
    assert found["estimate"] == pytest.approx(fitted.params[name], rel=1e-8)
    assert found["se"] == pytest.approx(fitted.bse[name], rel=1e-8)
    assert found["p"] == pytest.approx(fitted.pvalues[name], rel=1e-8)
    np.testing.assert_allclose([found["ci_low"], found["ci_high"]], fitted.conf_int().loc[name], rtol=1e-8)


def test_two_groups_by_hand():
    """Without covariates: g by its formula, the JZS factor of the t test, HC3 as Welch's t with n - 1 for n."""
    table = people()
    table = table[table["drug"] != "control"]
    a, b = (table.loc[table["drug"] == level, "F"].to_numpy() for level in ("user", "nonuser"))
    found = fit(table, "drug", (), ["user - nonuser"]).tests.iloc[0]
    t, p = scipy_stats.ttest_ind(a, b)
    assert found["statistic_ols"] == pytest.approx(t, rel=1e-10)
    assert found["p_ols"] == pytest.approx(p, rel=1e-10)
    welch = (a.mean() - b.mean()) / np.sqrt(a.var(ddof=1) / (len(a) - 1) + b.var(ddof=1) / (len(b) - 1))
    assert found["statistic"] == pytest.approx(welch, rel=1e-10)
    assert found["n_eff"] == pytest.approx(len(a) * len(b) / (len(a) + len(b)), rel=1e-10)
    d = t * np.sqrt(1 / len(a) + 1 / len(b))
    assert found["effect"] == pytest.approx(d * stats.small_sample_correction(len(table) - 2), rel=1e-10)
    assert found["effect_unadjusted"] == pytest.approx(found["effect"], rel=1e-10)
    assert found["bf10"] * found["bf01"] == pytest.approx(1)
    pingouin = pytest.importorskip("pingouin")
    assert found["bf10"] == pytest.approx(float(pingouin.bayesfactor_ttest(t, len(a), len(b))), rel=1e-6)
    assert found["effect"] == pytest.approx(pingouin.compute_effsize(a, b, eftype="hedges"), rel=1e-3)


@pytest.mark.parametrize("kind", ["hc3", "ols"])
def test_every_column_of_a_difference_by_hand(kind):
    """Two groups: limits by the noncentral t distribution, equivalence by statsmodels, bounds turned from g by hand."""
    from statsmodels.stats.weightstats import ttost_ind

    table = people()
    table = table[table["drug"] != "control"]
    a, b = (table.loc[table["drug"] == level, "F"].to_numpy() for level in ("user", "nonuser"))
    found = fit(table, "drug", (), ["user - nonuser"], statistic=kind, equivalence_bound=0.7).tests.iloc[0]
    n, df = len(table), len(table) - 2
    mse = ((len(a) - 1) * a.var(ddof=1) + (len(b) - 1) * b.var(ddof=1)) / df
    plain = np.sqrt(mse * (1 / len(a) + 1 / len(b)))
    robust = np.sqrt(a.var(ddof=1) / (len(a) - 1) + b.var(ddof=1) / (len(b) - 1))
    se, difference = {"hc3": robust, "ols": plain}[kind], a.mean() - b.mean()
    told = ["test", "kind", "n", "df1", "df2", "effect_kind", "bf_kind", "tost_bound", "exact", "n_permutations"]
    assert found[told].tolist() == ["t", kind, n, 1, df, "g", "JZS", 0.7, "false", 50]
    np.testing.assert_allclose(found[["estimate", "se", "se_ols"]].astype(float), [difference, se, plain])
    margin = scipy_stats.t.ppf(0.975, df) * se
    np.testing.assert_allclose([found["ci_low"], found["ci_high"]], [difference - margin, difference + margin])
    j = stats.small_sample_correction(df)
    for column, tail in (
        ("effect_low", 0.975),
        ("effect_high", 0.025),
        ("effect_low_90", 0.95),
        ("effect_high_90", 0.05),
    ):
        noncentrality = found[column] / j / (plain / np.sqrt(mse))
        assert scipy_stats.nct.cdf(difference / plain, df, noncentrality) == pytest.approx(tail, abs=1e-6)
    bound = 0.7 * np.sqrt(mse) / j
    assert found["tost_p"] == pytest.approx(ttost_ind(a, b, -bound, bound)[0], rel=1e-8)
    # users lie above, so that the upper bound decides
    assert found["tost_p_hc3"] == pytest.approx(scipy_stats.t.cdf((difference - bound) / robust, df), rel=1e-8)
    reach = scipy_stats.t.ppf(0.95, df) * plain
    expected = np.array([difference - reach, difference + reach]) * j / np.sqrt(mse)
    np.testing.assert_allclose([found["tost_low"], found["tost_high"]], expected)
    power = 2 * scipy_stats.t.cdf(bound / plain - scipy_stats.t.ppf(0.95, df), df) - 1
    assert found["tost_power"] == pytest.approx(max(power, 0.0), rel=1e-8)


def test_every_column_of_an_omnibus_test_by_hand():
    table = people()
    table["F"] += 1.5 * (table["diagnosis"] == "mdd")
    found = fit(table, "diagnosis").tests.iloc[0]
    groups = [one["F"].to_numpy() for _, one in table.groupby("diagnosis")]
    f, p = scipy_stats.f_oneway(*groups)
    told = ["test", "kind", "n", "df1", "df2", "effect_kind", "bf_kind"]
    assert found[told].tolist() == ["F", "hc3", 58, 3, 54, "partial eta squared", "BIC"]
    np.testing.assert_allclose(found[["statistic_ols", "p_ols"]].astype(float), [f, p])
    for column, tail in (
        ("effect_low", 0.975),
        ("effect_high", 0.025),
        ("effect_low_90", 0.95),
        ("effect_high_90", 0.05),
    ):
        noncentrality = found[column] / (1 - found[column]) * 58
        # the oldest scipy's own functions of this distribution agree to four digits
        assert scipy_stats.ncf.cdf(f, 3, 54, noncentrality) == pytest.approx(tail, abs=1e-4)
    residual = sum(((one - one.mean()) ** 2).sum() for one in groups)
    whole = ((table["F"] - table["F"].mean()) ** 2).sum()
    assert found["bf01"] == pytest.approx((residual / whole) ** 29 * 58**1.5, rel=1e-8)
    assert found["bf10"] * found["bf01"] == pytest.approx(1)
    assert found[["estimate", "se", "ci_low", "ci_high", "n_eff", "effect_unadjusted", "tost_p"]].isna().all()


def test_evidence_beyond_all_numbers_is_infinite():
    """Three groups two standard deviations apart, 700 people each: the omnibus factor is below 1e-308."""
    rng = np.random.default_rng(5)
    group = np.arange(2100) % 3
    table = pd.DataFrame({"participant_id": group.astype(str), "group": group})
    (found, *_) = fit(
        table.assign(F=2.0 * group + rng.standard_normal(2100)), "group", permutations=2
    ).tests.itertuples()
    assert (found.contrast, found.bf01, found.bf10) == ("omnibus", 0, np.inf)
    # variances between and within are 8/3 and 1
    assert found.effect == pytest.approx(8 / 11, abs=0.03)
    # hardly any noise: fewer people are enough
    few = table[:120].assign(F=group[:120] + 1e-6 * rng.standard_normal(120))
    (found, *_) = fit(few, "group", permutations=2, statistic="ols").tests.itertuples()
    assert (found.contrast, found.bf01, found.bf10) == ("omnibus", 0, np.inf)
    assert found.effect == pytest.approx(1)


def test_the_slope_of_a_covariate_without_the_others_has_an_intercept():
    """Hedges' g of a slope: by simple regression, which leaves two parameters out of the degrees of freedom."""
    table = people()
    document = stats.short_model(
        table, "drug", ["age", "sex"], ["user - nonuser"], settings=stats.Settings(permutations=9)
    )
    document["Nodes"][0]["DummyContrasts"] = {"Contrasts": ["age"], "Test": "t"}
    found = stats.fit_model(stats.read_models(document)[0], table, [F]).tests.set_index("contrast").loc["age"]
    slope = scipy_stats.linregress(table["age"], table["F"])
    residual = table["F"] - slope.intercept - slope.slope * table["age"]
    expected = stats.small_sample_correction(56) * slope.slope / np.sqrt((residual**2).sum() / 56)
    assert found["effect_unadjusted"] == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize(("factor", "pair"), [("drug", "user - nonuser"), ("diagnosis", "mdd - anxiety")])
def test_unadjusted_g_is_that_of_the_factor_alone(factor, pair):
    """With all of its levels: the noise of those that are not compared counts too."""
    table = people()
    adjusted = fit(table, factor, ["age", "sex"], [pair]).tests.iloc[1]
    alone = fit(table, factor, (), [pair]).tests.iloc[1]
    assert adjusted["effect_unadjusted"] == pytest.approx(alone["effect"], rel=1e-10)
    assert adjusted["effect"] != pytest.approx(alone["effect"], rel=1e-3)


def test_medication_within_patients_adjusted_for_diagnosis():
    table = people()
    rows = (("drug", ("user", "nonuser")),)
    found = fit(table, "drug", ["diagnosis"], ["user - nonuser"], rows=rows).tests.iloc[0]
    patients = table[table["drug"] != "control"]
    fitted = smf.ols("F ~ C(drug) + C(diagnosis)", patients).fit()
    assert found["n"] == len(patients)
    assert found["estimate"] == pytest.approx(fitted.params["C(drug)[T.user]"], rel=1e-8)


@pytest.mark.parametrize("paired", [True, False])
def test_paired_and_one_sample_designs_equal_scipy(paired):
    rng = np.random.default_rng(1)
    first, second = rng.standard_normal((2, 11)) + np.array([[0.6], [0.0]])
    labels = [f"{i:02d}" for i in range(11)]
    both = pd.DataFrame({"participant_id": labels * 2, "session": ["post"] * 11 + ["pre"] * 11,
                         "F": np.concatenate([first, second])})  # fmt: skip
    software = {"Rearrange": "flip", "Statistic": "ols"}
    if paired:
        software["Difference"] = ["session", "post", "pre"]
    document = {"Name": "m", "BIDSModelVersion": "1.0.0", "Nodes": [{
        "Level": "Dataset", "Name": "n", "GroupBy": [],
        "Model": {"Type": "glm", "X": [1], "Software": {"bids_flex": software}},
        "DummyContrasts": {"Contrasts": [1], "Test": "t"}}]}  # fmt: skip
    table = both if paired else both[:11].assign(F=first - second)
    result = stats.fit_model(stats.read_models(document)[0], table, [F])
    found = result.tests.iloc[0]
    expected = scipy_stats.ttest_rel(first, second)
    assert found["statistic"] == pytest.approx(expected.statistic, rel=1e-10)
    assert found["p"] == pytest.approx(expected.pvalue, rel=1e-10)
    exact = scipy_stats.permutation_test((first, second), lambda a, b, axis: np.abs((a - b).mean(axis=axis)),
                                         permutation_type="samples", n_resamples=np.inf, alternative="greater",
                                         vectorized=True)  # fmt: skip
    assert found["exact"] == "true"
    assert found["n_permutations"] == 2**11
    assert found["p_perm"] == pytest.approx(exact.pvalue, abs=1e-12)


def test_families_are_corrected_and_written_out():
    table = people()
    result = fit(table, "drug", ["age"], outcomes=[F, P], corrections={"primary": "bh"}, permutations=999)
    pairs = result.tests[result.tests["test"] == "t"]
    p = pairs["p_perm"].to_numpy()
    np.testing.assert_allclose(pairs["p_adj"], scipy_stats.false_discovery_control(p, method="bh"))
    assert (pairs["family_size"] == 6).all()
    assert list(result.families["family"]) == ["primary (omnibus)", "primary"]
    assert result.families["members"][0] == "F: omnibus; P: omnibus"
    assert list(result.families["tests"]) == [2, 6]


def test_holm_by_hand():
    np.testing.assert_allclose(stats.adjust([0.01, np.nan, 0.04, 0.03]), [0.03, np.nan, 0.06, 0.06])
    np.testing.assert_allclose(stats.adjust([0.01, 0.04, 0.03], "bh"), [0.03, 0.04, 0.04])
    np.testing.assert_allclose(stats.adjust([0.01, 0.04], "none"), [0.01, 0.04])
    with pytest.raises(UsageError, match="'holm', 'bh' or 'none'"):
        stats.adjust([0.1], "max-T")


def test_regions_that_some_people_lack_have_their_own_permutation():
    table = people()
    rng = np.random.default_rng(2)
    for region in range(6):
        table[f"r{region}"] = rng.standard_normal(len(table))
    table.loc[[3, 9], "r4"] = np.nan
    table.loc[[7], "r5"] = np.nan
    outcomes = [
        stats.Outcome(f"r{k}", "flexibility", "prior", "region", region=f"r{k}", family="regions") for k in range(6)
    ]
    result = fit(table, "drug", ["age"], ["user - nonuser"], outcomes, {"regions": "max-T"}, permutations=200)
    tests = result.tests[result.tests["contrast"] == "user - nonuser"].set_index("outcome")
    whole, part = tests.loc[["r0", "r1", "r2", "r3"]], tests.loc[["r4", "r5"]]
    assert set(whole["family"]) == {"regions: prior flexibility, user - nonuser"}
    assert set(part["family"]) == {"regions: prior flexibility, user - nonuser (incomplete)"}
    assert (whole["p_adj"] == whole["p_max"]).all()
    assert (whole["p_max"] >= whole["p_perm"]).all()
    assert (whole["p_max"] > whole["p_perm"]).any()
    np.testing.assert_allclose(part["p_adj"], scipy_stats.false_discovery_control(part["p_perm"]))
    assert list(tests["n"]) == [58, 58, 58, 58, 56, 57]
    assert list(result.dropped["outcome"]) == ["r4", "r4", "r5"]
    # what is tested together is the same as alone
    alone = fit(table, "drug", ["age"], ["user - nonuser"], outcomes[4:5], {"regions": "max-T"}, permutations=200)
    assert alone.tests["p_perm"].iloc[1] == tests["p_perm"]["r4"]


def test_any_number_of_threads_gives_the_same_table():
    table = people()
    (model,) = stats.read_models(stats.short_model(table, "drug", ["age"], settings=stats.Settings(permutations=200)))
    one, three = (stats.fit_model(model, table, [F, P], threads=n).tests for n in (1, 3))
    pd.testing.assert_frame_equal(one, three, check_exact=True)


def test_blocks_reach_the_permutations():
    """Two sites of three people each: 20 arrangements within each, of which a block holds 1 + 2 or 2 + 1."""
    table = pd.DataFrame({"participant_id": list("abcdef"), "drug": ["u", "n", "n", "u", "u", "n"],
                          "site": [1, 1, 1, 2, 2, 2], "F": [1.0, 2, 4, 8, 9, 3]})  # fmt: skip
    found = fit(table, "drug", blocks="site", statistic="ols", permutations=100).tests.iloc[0]
    assert found["n_permutations"] == 9


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda t: t.assign(F=0.1), "the same value for everybody"),
        (lambda t: t.assign(F=np.nan), "nobody has a value"),
        (lambda t: t.assign(F=np.inf), "nobody has a value"),
        (lambda t: t.assign(F=t["F"].where(t.index < 4)), "4 people with a value cannot carry 4 parameters"),
        (lambda t: t.assign(F=t["F"].where(t["drug"] != "user")), "nobody with a value in drug.user"),
        (
            lambda t: t.assign(F=t["F"].where((t["drug"] != "user") | (t.index == t.index[t["drug"] == "user"][0]))),
            "one person alone determines drug.user",
        ),
        (lambda t: t.assign(F=t["F"].where(t["age"] == 30)), "cannot carry|repeat each other|nobody"),
    ],
)
def test_an_outcome_that_cannot_be_tested_says_why(spoil, reason):
    table = people()
    table.loc[table.index[:30], "age"] = 30.0
    found = fit(spoil(table), "drug", ["age"], outcomes=[F, P]).tests
    untested = found[found["outcome"] == "F"]
    assert len(untested) == 4
    assert untested["reason"].str.contains(reason).all()
    assert untested["p_adj"].isna().all()
    others = found[found["outcome"] == "P"]
    assert others["p_adj"].notna().all()
    assert list(others["family_size"]) == [1, 3, 3, 3]


@pytest.mark.parametrize(
    ("outcomes", "error", "told"),
    [
        ([], UsageError, "no outcome is named"),
        ([stats.Outcome("Q")], UsageError, "no outcome Q in the table"),
        ([F, F], UsageError, "outcome F is named twice"),
        ([stats.Outcome("sex")], DatasetFileError, "column sex holds text"),
    ],
)
def test_impossible_outcomes_are_refused(outcomes, error, told):
    with pytest.raises(error, match=told):
        fit(people(), "drug", outcomes=outcomes)


def test_columns_are_those_that_are_described():
    assert list(fit(people(), "drug").tests.columns) == list(stats.TEST_COLUMNS)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("groups", "covariates", "kind"), [("aab", [], "ols"), ("aabb", ["age"], "hc3")])
def test_one_residual_degree_of_freedom_has_a_test_but_no_g_and_says_why(groups, covariates, kind):
    """The table said g = 0 from 0 to 0, no p of equivalence, and nothing in ``reason``."""
    table = people().iloc[: len(groups)].assign(group=list(groups))
    found = fit(table, "group", covariates, statistic=kind).tests.iloc[0]
    assert found["df2"] == 1
    assert np.isfinite([found["estimate"], found["statistic"], found["p"], found["p_perm"]]).all()
    without = ["effect", "effect_low", "effect_high", "effect_low_90", "effect_high_90"]
    without += ["tost_p", "tost_low", "tost_high", "tost_power"]
    assert found[without].isna().all()
    assert found["reason"].startswith("1 residual degree of freedom: g and its equivalence test are not defined")
