"""Correlations with quality, and harmonised sites."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats

from bids_flex import stats
from bids_flex.errors import DatasetFileError, UsageError


def people(n=50, seed=0):
    rng = np.random.default_rng(seed)
    fd = rng.gamma(4, 0.05, n)
    age = rng.uniform(18, 65, n) + 60 * fd
    return pd.DataFrame(
        {"F": fd + 0.3 * rng.standard_normal(n), "P": rng.standard_normal(n), "mean_fd": fd, "age": age}
    )


def test_plain_correlations_equal_scipy():
    table = people()
    found = stats.quality_correlations(table, ["F", "P"])
    for row in found.itertuples():
        expected = scipy_stats.pearsonr(table[row.measure], table["mean_fd"])
        interval = expected.confidence_interval(0.95)
        np.testing.assert_allclose([row.r, row.p], [expected.statistic, expected.pvalue], rtol=1e-8)
        np.testing.assert_allclose([row.ci_low, row.ci_high], interval, rtol=1e-8)
    np.testing.assert_allclose(found["p_adj"], scipy_stats.false_discovery_control(found["p"]))


def test_measures_that_are_quality_itself_correlate_fully():
    """Up or down; rounding leaves some correlations at exactly 1, where t is infinite."""
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"mean_fd": rng.gamma(4, 0.05, 40)})
    table = table.assign(**{f"m{k}": k * table["mean_fd"] + k for k in range(-9, 10) if k})
    found = stats.quality_correlations(table, [name for name in table if name != "mean_fd"])
    np.testing.assert_allclose(found["r"], np.repeat([-1, 1], 9), atol=1e-12)
    np.testing.assert_allclose(found[["ci_low", "ci_high"]], np.repeat([[-1, -1], [1, 1]], 9, axis=0), atol=1e-9)
    assert (np.abs(found["r"]) == 1).any()
    assert (found["p"] < 1e-100).all()


def test_partial_correlations_are_those_of_residuals():
    table = people()
    found = stats.quality_correlations(table, ["F"], adjust_for=table[["age"]]).set_index("kind")
    one, other = (
        table[name] - np.polyval(np.polyfit(table["age"], table[name], 1), table["age"]) for name in ("F", "mean_fd")
    )
    assert found.loc["partial", "r"] == pytest.approx(np.corrcoef(one, other)[0, 1], rel=1e-8)
    assert found.loc["partial", "df"] == 47
    pingouin = pytest.importorskip("pingouin")
    expected = pingouin.partial_corr(table, "F", "mean_fd", "age").iloc[0]
    assert found.loc["partial", "r"] == pytest.approx(expected["r"], rel=1e-6)
    p = expected["p-val" if "p-val" in expected else "p_val"]
    assert found.loc["partial", "p"] == pytest.approx(p, rel=1e-6)


def test_a_design_with_cell_means_counts_its_rank():
    """Cell means hold the intercept already."""
    table = people()
    cells = np.column_stack([np.arange(50) < 20, np.arange(50) >= 20]).astype(float)
    found = stats.quality_correlations(table, ["F"], adjust_for=cells).set_index("kind")
    assert found.loc["plain", "df"] == 48
    assert found.loc["partial", "df"] == 47


def test_missing_values_cost_their_own_pair_alone():
    table = people()
    table.loc[[1, 2], "F"] = np.nan
    found = stats.quality_correlations(table.assign(Q=1.0), ["F", "P", "Q"]).set_index("measure")
    assert list(found["n"]) == [48, 50, 50]
    assert found.loc["Q", "reason"] == "one of them does not vary beyond the other columns"
    assert np.isnan(found.loc["Q", "p_adj"])


def test_impossible_correlations_are_refused():
    with pytest.raises(UsageError, match="no column Z"):
        stats.quality_correlations(people(), ["Z"])
    with pytest.raises(UsageError, match="adjust_for has shape"):
        stats.quality_correlations(people(), ["F"], adjust_for=np.ones(3))
    found = stats.quality_correlations(people().head(3), ["F"])
    assert "too few" in found["reason"].iloc[0]


def sites(seed=0, n=120, m=30):
    """Three sites that shift and stretch; the tested group has a true effect of 1 and lies unevenly over sites."""
    rng = np.random.default_rng(seed)
    site = np.repeat(["A", "B", "C"], [50, 40, 30])
    group = (rng.random(n) < np.repeat([0.1, 0.5, 0.9], [50, 40, 30])).astype(float)
    truth = rng.standard_normal((n, m)) + group[:, None]
    shift = np.repeat([0.0, 2.0, -1.0], [50, 40, 30]) + 0.0
    stretch = np.repeat([1.0, 1.5, 0.7], [50, 40, 30])
    return truth * stretch[:, None] + shift[:, None], pd.Series(site), np.column_stack([1 - group, group])


def test_sites_go_and_the_tested_difference_stays():
    pytest.importorskip("neuroHarmonize")
    values, site, design = sites()
    found = stats.harmonise(values, site, design)
    indicators = (site.to_numpy()[:, None] == ["B", "C"]).astype(float)
    full = np.column_stack([design, indicators])
    betas = np.linalg.lstsq(full, found, rcond=None)[0]
    assert np.abs(betas[2:].mean(axis=1)).max() < 0.1
    before = np.linalg.lstsq(full, values, rcond=None)[0]
    assert np.abs(before[2:].mean(axis=1)).max() > 0.9
    difference = betas[1] - betas[0]
    assert abs(difference.mean() - 1) < 0.15
    # without protection what lies unevenly over sites goes with them
    kept, bare = (
        np.linalg.lstsq(design, one, rcond=None)[0] for one in (found, stats.harmonise(values, site, np.ones((120, 1))))
    )
    assert (bare[1] - bare[0]).mean() < (kept[1] - kept[0]).mean() - 0.2


def test_harmonising_leaves_missing_and_constant_values_and_the_global_random_state():
    pytest.importorskip("neuroHarmonize")
    values, site, design = sites()
    values[:, 0] = 3.0
    values[[4, 70], 1] = np.nan
    np.random.seed(5)  # noqa: NPY002 - the state that must not change
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    found = stats.harmonise(values, site, design)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    np.testing.assert_array_equal(found[:, 0], 3.0)
    assert np.isnan(found[[4, 70], 1]).all()
    assert np.isfinite(np.delete(found[:, 1], [4, 70])).all()


def test_the_unit_of_outcomes_does_not_matter_to_sites():
    """Shares that vary by a hundredth are harmonised as numbers a thousand times as large are."""
    pytest.importorskip("neuroHarmonize")
    values, site, design = sites(m=4)
    whole = stats.harmonise(values, site, design)
    np.testing.assert_allclose(stats.harmonise(values * 1e-3, site, design), whole * 1e-3, rtol=1e-6, atol=1e-9)


def test_an_outcome_alone_has_the_same_mean_and_spread_at_every_site():
    """No priors are shared, so that nothing is shrunk; one that some people lack is alone, and spoils no other."""
    pytest.importorskip("neuroHarmonize")
    values, site, _ = sites(m=3)
    alone = pd.Series(stats.harmonise(values[:, :1], site, np.ones((120, 1)))[:, 0]).groupby(site)
    np.testing.assert_allclose(alone.mean(), alone.mean().iloc[0], atol=1e-9)
    np.testing.assert_allclose(alone.std(), alone.std().iloc[0], rtol=1e-9)
    holes = values[:, [0, 0]] * 2
    holes[5, 0], holes[:, 1] = np.nan, np.nan
    found = stats.harmonise(np.column_stack([values, holes]), site, np.ones((120, 1)))
    np.testing.assert_array_equal(found[:, :3], stats.harmonise(values, site, np.ones((120, 1))))
    rest = np.arange(120) != 5
    alone = pd.Series(found[rest, 3]).groupby(site[rest].to_numpy())
    np.testing.assert_allclose(alone.mean(), alone.mean().iloc[0], atol=1e-9)
    assert np.isnan(found[:, 4]).all()


def test_a_site_in_the_design_is_not_protected():
    """The model may hold the site as well: what it explains is not kept."""
    pytest.importorskip("neuroHarmonize")
    values, site, design = sites()
    more = np.column_stack([design, site == "B"])
    np.testing.assert_allclose(stats.harmonise(values, site, more), stats.harmonise(values, site, design))


def test_models_may_ask_for_harmonised_outcomes():
    pytest.importorskip("neuroHarmonize")
    values, site, design = sites(m=2)
    table = pd.DataFrame({"participant_id": [f"{i}" for i in range(120)], "group": design[:, 1].astype(int),
                          "site": site, "F": values[:, 0], "P": values[:, 1]})  # fmt: skip
    asked = stats.Settings(harmonise="site", permutations=20)
    (model,) = stats.read_models(stats.short_model(table, "group", settings=asked))
    result = stats.fit_model(model, table, [stats.Outcome("F", "x"), stats.Outcome("P", "x")])
    np.testing.assert_allclose(result.table[["F", "P"]], stats.harmonise(values, site, result.design.matrix))


@pytest.mark.parametrize(
    ("labels", "told"), [(["A"] * 120, "all rows are of site A"), (["A"] * 119 + ["B"], "site B has one person")]
)
def test_sites_that_cannot_be_harmonised_are_refused(labels, told):
    pytest.importorskip("neuroHarmonize")
    values, _, design = sites()
    with pytest.raises(DatasetFileError, match=told):
        stats.harmonise(values, pd.Series(labels), design)
