"""Repeated measures against statsmodels, pingouin and published figures."""

import numpy as np
import pandas as pd
import pytest

from bids_flex import stats
from bids_flex.errors import DatasetFileError, UsageError

SHROUT_FLEISS = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]])
"""Six targets, four judges (Shrout & Fleiss 1979, table 2)."""


def test_intraclass_correlations_of_shrout_and_fleiss():
    found = stats.intraclass_correlation(SHROUT_FLEISS).set_index("kind")
    # their table 4: .17, .29, .71
    assert round(found.loc["ICC(1,1)", "icc"], 2) == 0.17
    assert round(found.loc["ICC(A,1)", "icc"], 2) == 0.29
    assert round(found.loc["ICC(C,1)", "icc"], 2) == 0.71


def test_intervals_and_tests_of_shrout_and_fleiss():
    """As R's psych documents them for these data; the 90 % limits are those at which F is as extreme as it may be."""
    from scipy.stats import f as f_distribution

    found = stats.intraclass_correlation(SHROUT_FLEISS)
    assert found["kind"].tolist() == ["ICC(1,1)", "ICC(A,1)", "ICC(C,1)"]
    np.testing.assert_allclose(found[["ci_low", "ci_high"]], [[-0.13, 0.72], [0.02, 0.76], [0.34, 0.95]], atol=0.005)
    np.testing.assert_allclose(found["f"], [1.8, 11.0, 11.0], atol=0.05)
    assert found[["df1", "df2"]].to_numpy().tolist() == [[5, 18], [5, 15], [5, 15]]
    np.testing.assert_allclose(found["p"], [0.16477, 0.00013, 0.00013], atol=5e-6)
    assert found[["n", "n_dropped", "repetitions"]].to_numpy().tolist() == [[6, 0, 4]] * 3
    for _, one in stats.intraclass_correlation(SHROUT_FLEISS, 0.9).iloc[[0, 2]].iterrows():
        for limit, tail in ((one["ci_low"], 0.05), (one["ci_high"], 0.95)):
            against = one["f"] * (1 - limit) / (1 + 3 * limit)
            assert f_distribution.sf(against, one["df1"], one["df2"]) == pytest.approx(tail, rel=1e-9)


def test_intraclass_correlations_equal_pingouins():
    pingouin = pytest.importorskip("pingouin")
    rng = np.random.default_rng(0)
    values = rng.standard_normal((20, 3)) + rng.standard_normal((20, 1)) + [0, 0.5, 1]
    long = pd.DataFrame({"p": np.repeat(np.arange(20), 3), "run": np.tile(np.arange(3), 20), "v": values.ravel()})
    expected = pingouin.intraclass_corr(long, "p", "run", "v").iloc[:3]
    found = stats.intraclass_correlation(values)
    np.testing.assert_allclose(found["icc"], expected["ICC"].astype(float), rtol=1e-8)
    np.testing.assert_allclose(found["f"], expected["F"].astype(float), rtol=1e-8)
    limits = np.array([list(one) for one in expected["CI95%" if "CI95%" in expected else "CI95"]], dtype=float)
    np.testing.assert_allclose(found[["ci_low", "ci_high"]], limits, atol=0.0051)


def test_people_without_all_runs_are_left_out_of_the_correlation():
    holes = np.vstack([SHROUT_FLEISS.astype(float), [1, np.nan, 2, 3]])
    found = stats.intraclass_correlation(holes)
    np.testing.assert_allclose(found["icc"], stats.intraclass_correlation(SHROUT_FLEISS)["icc"])
    assert list(found["n_dropped"]) == [1, 1, 1]


def test_runs_that_repeat_exactly_correlate_fully():
    found = stats.intraclass_correlation(np.repeat(np.arange(5.0)[:, None], 2, axis=1))
    np.testing.assert_allclose(found[["icc", "ci_low", "ci_high"]], 1)
    assert np.isinf(found["f"]).all()
    assert (found["p"] == 0).all()


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6 / 3])
def test_what_differs_between_nobody_has_no_reliability(value):
    """Nothing by nothing: it had a coefficient of NaN from 1 to 1, at p = 0; and rounding had one of its own."""
    found = stats.intraclass_correlation(np.full((7, 3), value))
    assert found[["icc", "ci_low", "ci_high", "f", "p"]].isna().all(axis=None)
    rounded = np.full((7, 3), value)
    rounded[::2, 1] = np.nextafter(value, 2 * value)
    assert value == 0 or stats.intraclass_correlation(rounded)["p"].isna().all()


@pytest.mark.parametrize("values", [np.zeros((5, 1)), np.zeros(5), np.full((5, 2), np.nan)])
def test_too_few_repetitions_are_refused(values):
    with pytest.raises(UsageError, match="needed"):
        stats.intraclass_correlation(values)


def sessions(seed=0, n=24):
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(n), 2)
    group = np.array(["user", "control", "nonuser"])[person % 3]
    session = np.tile(["pre", "post"], n)
    y = rng.standard_normal(n)[person] + 0.7 * rng.standard_normal(2 * n) + 0.5 * (session == "post")
    return pd.DataFrame(
        {"participant_id": [f"{p:02d}" for p in person], "drug": group, "session": session, "F": y / 100}
    )


def mixed(table, grouping="participant_id"):
    settings = stats.Settings(grouping=grouping)
    (model,) = stats.read_models(stats.short_model(table, "drug", ["session"], settings=settings))
    return stats.mixed_model(model, table, [stats.Outcome("F", "flexibility")])


def test_the_mixed_model_equals_statsmodels():
    import statsmodels.formula.api as smf

    table = sessions()
    found = mixed(table).set_index("contrast")
    scaled = table.assign(F=table["F"] * 100)
    fitted = smf.mixedlm("F ~ C(drug) + C(session)", scaled, groups="participant_id").fit()
    assert found.loc["control - user", "estimate"] == pytest.approx(-fitted.params["C(drug)[T.user]"] / 100, rel=1e-4)
    assert found.loc["control - user", "se"] == pytest.approx(fitted.bse["C(drug)[T.user]"] / 100, rel=1e-4)
    assert found.loc["control - user", "p"] == pytest.approx(fitted.pvalues["C(drug)[T.user]"], rel=1e-3)
    assert found["test"].to_dict() == {
        "omnibus": "chi2",
        "control - nonuser": "z",
        "control - user": "z",
        "nonuser - user": "z",
    }
    limits = -fitted.conf_int().loc["C(drug)[T.user]"].to_numpy()[::-1] / 100
    np.testing.assert_allclose(found.loc["control - user", ["ci_low", "ci_high"]].astype(float), limits, rtol=1e-3)
    assert found["variance_between"].iloc[0] == pytest.approx(fitted.cov_re.iloc[0, 0] / 1e4, rel=1e-2)
    wald = fitted.wald_test("C(drug)[T.nonuser] = 0, C(drug)[T.user] = 0", scalar=True)
    assert found.loc["omnibus", "statistic"] == pytest.approx(float(wald.statistic), rel=1e-3)
    assert found["variance_within"].iloc[0] == pytest.approx(fitted.scale / 1e4, rel=1e-3)
    assert list(found["groups"].unique()) == [24]


def test_balanced_sessions_give_the_paired_t():
    """Within people the mixed model of a balanced design is the paired test."""
    from scipy import stats as scipy_stats

    table = sessions(3, 60)
    given = stats.short_model(table, "session", settings=stats.Settings(grouping="participant_id"))
    found = stats.mixed_model(stats.read_models(given)[0], table, [stats.Outcome("F")]).iloc[0]
    wide = table.pivot_table(index="participant_id", columns="session", values="F")
    expected = scipy_stats.ttest_rel(wide["post"], wide["pre"])
    assert found["statistic"] == pytest.approx(expected.statistic, rel=1e-3)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_people_who_do_not_differ_beyond_their_runs_are_told(share):
    """Noise that two sessions have by themselves, or of which the second undoes the first."""
    rng = np.random.default_rng(2)
    own, undone = rng.standard_normal(48), np.repeat(rng.standard_normal(24), 2) * np.tile([1.0, -1.0], 24)
    found = mixed(sessions().assign(F=(1 - share) * own + (0.3 + share) * undone))
    (reason,) = set(found["reason"])
    # the optimiser may stop at the boundary, or search on beyond it
    assert reason in {
        "people do not differ beyond their runs: the variance of the intercepts is 0",
        "the optimiser did not converge",
    }
    assert share or np.allclose(found["variance_between"], 0, atol=1e-3)


def test_a_mixed_model_says_of_what_it_is():
    settings = stats.Settings(grouping="participant_id")
    (model,) = stats.read_models(stats.short_model(sessions(), "drug", ["session"], name="visits", settings=settings))
    outcome = stats.Outcome("F", "flexibility", "prior", "region", "Vis", "LH_Vis_1")
    found = stats.mixed_model(model, sessions(), [outcome])
    told = ["model", "outcome", "engine", "measure", "level", "network", "region", "n", "groups", "reason"]
    assert (
        found[told].to_numpy().tolist()
        == [["visits", "F", "prior", "flexibility", "region", "Vis", "LH_Vis_1", 48, 24, ""]] * 4
    )
    assert found["contrast"].tolist() == ["omnibus", "control - nonuser", "control - user", "nonuser - user"]
    assert found["df1"].tolist() == [2, 1, 1, 1]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda t: t.assign(F=t["F"].where(t.index.isin([0, 1, 2, 4]))), "too few rows"),
        (lambda t: t.assign(F=1.0), "the same value"),
        (lambda t: t.assign(F=np.nan), "too few rows"),
        (lambda t: t.assign(F=t["F"].where(t["session"].eq("pre") | t["participant_id"].eq("zz"))), "too few|two rows"),
    ],
)
def test_an_outcome_without_a_mixed_model_says_why(spoil, reason):
    found = mixed(spoil(sessions()))
    assert found["reason"].str.contains(reason).all()
    assert len(found) == 4


def test_a_mixed_model_needs_its_grouping():
    with pytest.raises(UsageError, match="names no Grouping"):
        mixed(sessions(), "")


def test_differences_by_hand():
    table = pd.DataFrame({"participant_id": ["a", "a", "b", "b", "c"], "session": [2, 1, 1, 2, 1]})
    table = table.assign(age=[30, 30, 40, 40, 50], F=[5.0, 3, 1, 7, 9])
    found, lost = stats.differences(table, "session", "2", "1", ["F"])
    assert list(found["participant_id"]) == ["a", "b"]
    assert list(found["F"]) == [2.0, 6.0]
    assert list(found["age"]) == [30, 40]
    assert lost == [("c", "no row of session 2")]
    # people come in the order of their first level's rows
    other, _ = stats.differences(table.iloc[::-1], "session", "2", "1", ["F"])
    assert list(other["participant_id"]) == ["b", "a"]
    assert list(other["F"]) == [6.0, 2.0]


@pytest.mark.parametrize(
    ("change", "first", "told"),
    [
        ({}, "post", "no row has session post; there are 1, 2"),
        ({"participant_id": ["a", "a", "a", "b", "c"]}, "2", "a has several rows of session 1"),
        ({"participant_id": ["a", "b", "b", "c", "c"], "session": [2, 1, 1, 1, 1]}, "2", "several rows"),
        ({"participant_id": list("abcde")}, "2", "nobody has both"),
    ],
)
def test_impossible_pairs_are_refused(change, first, told):
    table = pd.DataFrame({"participant_id": ["a", "a", "b", "b", "c"], "session": [2, 1, 1, 2, 1], "F": 0.0})
    with pytest.raises(DatasetFileError, match=told):
        stats.differences(table.assign(**change), "session", first, "1", ["F"])
    with pytest.raises(DatasetFileError, match="a column visit, which"):
        stats.differences(table, "visit", "2", "1", ["F"])
