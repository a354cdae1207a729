"""Linear models and effect sizes against statsmodels, scipy and published figures."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats as scipy_stats

from bids_flex import stats
from bids_flex.errors import UsageError


def data(seed=0, n=40, outcomes=3):
    rng = np.random.default_rng(seed)
    group = np.repeat([0, 1, 2], [n // 2, n // 4, n - n // 2 - n // 4])
    design = np.column_stack([(group == k).astype(float) for k in range(3)] + [rng.standard_normal(n)])
    return rng.standard_normal((n, outcomes)) * (1 + group)[:, None], design


PAIR = np.array([1.0, 0, -1, 0])
OMNIBUS = np.array([[1.0, -1, 0, 0], [1, 0, -1, 0]])


@pytest.mark.parametrize(("kind", "cov"), [("ols", "nonrobust"), ("hc3", "HC3")])
def test_t_and_f_equal_statsmodels(kind, cov):
    y, x = data()
    pair, omnibus = stats.fit_contrast(y, x, PAIR, kind), stats.fit_contrast(y, x, OMNIBUS, kind)
    for outcome in range(3):
        fitted = sm.OLS(y[:, outcome], x).fit(cov_type=cov, use_t=True)
        t, f = fitted.t_test(PAIR), fitted.f_test(OMNIBUS)
        np.testing.assert_allclose(pair.estimate[outcome], t.effect[0], rtol=1e-10)
        np.testing.assert_allclose(pair.se[outcome], t.sd[0, 0], rtol=1e-10)
        np.testing.assert_allclose(pair.statistic[outcome], t.tvalue[0, 0], rtol=1e-10)
        np.testing.assert_allclose(pair.p[outcome], t.pvalue, rtol=1e-10)
        np.testing.assert_allclose(omnibus.statistic[outcome], f.fvalue, rtol=1e-10)
        np.testing.assert_allclose(omnibus.p[outcome], f.pvalue, rtol=1e-8)
        assert (omnibus.df1, omnibus.df2) == (f.df_num, f.df_denom) == (2, 36)
    assert (pair.df1, pair.df2) == (1, 36)
    # several rows have no one value
    assert np.isnan([omnibus.estimate, omnibus.se]).tolist() == [[True] * 3] * 2


def test_two_groups_are_the_t_test_and_three_the_anova():
    y, x = data()
    groups = [y[x[:, k] == 1, 0] for k in range(3)]
    two = stats.fit_contrast(np.concatenate(groups[:2]), x[x[:, 2] == 0][:, :2], [1, -1])
    assert two.p[0] == pytest.approx(scipy_stats.ttest_ind(*groups[:2]).pvalue, rel=1e-12)
    three = stats.fit_contrast(y[:, 0], x[:, :3], OMNIBUS[:, :3])
    assert three.statistic[0] == pytest.approx(scipy_stats.f_oneway(*groups).statistic, rel=1e-12)


def test_hedges_g_by_hand():
    a, b = np.array([5.0, 6, 7, 8, 9]), np.array([3.0, 4, 5, 6, 7])
    # means differ by 2, pooled variance 2.5; J(8) by its gamma functions is 0.90304...
    found = stats.hedges_g(2.0, 2.5, 1 / 5 + 1 / 5, 8)
    from math import gamma, sqrt

    j = gamma(4) / (sqrt(4) * gamma(3.5))
    assert found.size == pytest.approx(j * 2 / sqrt(2.5), rel=1e-12)
    t = scipy_stats.ttest_ind(a, b).statistic
    for limit, tail in ((found.low, 0.975), (found.high, 0.025)):
        noncentrality = limit / j / sqrt(0.4)
        assert scipy_stats.nct.cdf(t, 8, noncentrality) == pytest.approx(tail, abs=1e-6)


def test_partial_eta_squared_of_a_published_example():
    # Smithson (2003, p. 44): F(1, 158) = 4.1, eta squared .025; 90 % interval of the noncentrality excludes 0
    found = stats.partial_eta_squared(4.1, 1, 158, 0.90)
    assert found.size == pytest.approx(4.1 / (4.1 + 158), rel=1e-12)
    assert scipy_stats.ncf.cdf(4.1, 1, 158, found.low * 160 / (1 - found.low)) == pytest.approx(0.95, abs=1e-6)
    assert scipy_stats.ncf.cdf(4.1, 1, 158, found.high * 160 / (1 - found.high)) == pytest.approx(0.05, abs=1e-6)


def test_an_interval_without_effect_begins_at_zero():
    assert stats.partial_eta_squared(0.5, 2, 60).low == 0.0
    assert np.isnan(stats.partial_eta_squared(np.nan, 2, 60).size)


@pytest.mark.parametrize(
    ("y", "x", "told"),
    [
        (np.zeros(5), np.ones((4, 1)), "are needed"),
        (np.array([1, np.nan, 3, 4]), np.ones((4, 1)), "must be finite"),
        (np.zeros(4), np.ones((4, 2)), "do not repeat"),
        (np.zeros(2), np.eye(2), "more rows than columns"),
    ],
)
def test_impossible_models_are_refused(y, x, told):
    with pytest.raises(UsageError, match=told):
        stats.fit_contrast(y, x, np.ones(x.shape[1]))


def test_a_statistic_that_is_none_is_refused():
    """It was taken for HC3 here, and for ordinary least squares by the permutations."""
    y, x = data()
    with pytest.raises(UsageError, match="statistic is 'OLS'; it must be 'hc3' or 'ols'"):
        stats.fit_contrast(y, x, PAIR, "OLS")


def test_one_residual_degree_of_freedom_has_no_g():
    """Gamma(0) is infinite, so the formula of J gave 0: two groups that differ by 5 sd had a g of 0."""
    assert np.isnan(stats.small_sample_correction(1))
    assert all(np.isnan(value) for value in stats.hedges_g(5.0, 1.0, 1.5, 1))
    # Gamma(1) / (sqrt(1) Gamma(1/2)): the first that there is
    assert stats.small_sample_correction(2) == pytest.approx(1 / np.sqrt(np.pi), rel=1e-12)


@pytest.mark.filterwarnings("error")
def test_who_determines_a_mean_alone_has_no_hc3():
    """Two people beside one: 0 / 0 up to rounding passed for a standard error, with a warning on the terminal."""
    design = np.array([[1.0, 0], [1, 0], [0, 1]])
    told = stats.fit_contrast([0.1, 0.3, 0.7], design, [1, -1], "hc3")
    assert np.isnan([told.se[0], told.statistic[0], told.p[0]]).all()
    several = stats.fit_contrast([0.1, 0.3, 0.7], design, np.eye(2), "hc3")
    assert np.isnan([several.statistic[0], several.p[0]]).all()


@pytest.mark.parametrize("df", [2, 3, 50])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_effects_of_all_but_perfect_fits_have_limits_in_proportion(df, sign):
    """Far out an interval grows with t alone: ten times t, ten times the limits; scipy's search never ends there."""
    near = stats.hedges_g(sign * 9_999.0, 1.0, 1.0, df)
    far = stats.hedges_g(sign * 99_990.0, 1.0, 1.0, df)
    # scipy itself keeps three digits just before the limit
    assert np.allclose(np.array(far) / 10, near, rtol=5e-3)
    steep = stats.partial_eta_squared(1e12, 2, df + 5)
    assert 0.99 < steep.low <= steep.size <= steep.high <= 1


def test_groups_without_spread_have_no_variance_whatever_rounding_leaves():
    # thirds are no binary numbers: what is left of them is about 1e-17
    y = np.array([1 / 3, 1 / 3, 1 / 3, 2 / 3, 2 / 3, 2 / 3, 0.1, 0.7, 0.3])
    design = np.kron(np.eye(3), np.ones((3, 1)))
    squares = (0.8 / 3) ** 2 + (1 / 3) ** 2 + (0.2 / 3) ** 2
    pair = stats.fit_contrast(y, design, [-1, 1, 0], "hc3")
    assert (pair.estimate[0], pair.se[0], pair.statistic[0]) == (pytest.approx(1 / 3), 0, np.inf)
    # of these two, only the third group varies: residuals over 1 - 1/3, weighted by 1/3
    other = stats.fit_contrast(y, design, [-1, 0, 1], "hc3")
    assert other.se[0] == pytest.approx(np.sqrt(squares) / 2)
    plain = stats.fit_contrast(y, design, [-1, 1, 0], "ols")
    assert plain.se[0] == pytest.approx(np.sqrt(squares / 6 * 2 / 3))
    alike = stats.fit_contrast(np.append([1 / 3] * 6, y[6:]), design, [-1, 1, 0], "hc3")
    assert np.isnan(alike.statistic[0])
