"""Equivalence tests and Bayes factors against statsmodels, pingouin and published figures."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats as scipy_stats
from statsmodels.stats.weightstats import ttost_ind, ttost_paired

from bids_flex import stats
from bids_flex.errors import UsageError


def test_tost_equals_statsmodels():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal(18), rng.standard_normal(25) + 0.2
    df = 41
    pooled = (17 * a.var(ddof=1) + 24 * b.var(ddof=1)) / df
    se = np.sqrt(pooled * (1 / 18 + 1 / 25))
    found = stats.tost(a.mean() - b.mean(), se, 0.8, df)
    assert found.p == pytest.approx(ttost_ind(a, b, -0.8, 0.8)[0], rel=1e-10)
    paired = stats.tost(a.mean() - b[:18].mean(), (a - b[:18]).std(ddof=1) / np.sqrt(18), 0.8, 17)
    assert paired.p == pytest.approx(ttost_paired(a, b[:18], -0.8, 0.8)[0], rel=1e-10)


def test_tost_equals_pingouin():
    pingouin = pytest.importorskip("pingouin")
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal(18), rng.standard_normal(25)
    expected = pingouin.tost(a, b, bound=0.7)
    pooled = (17 * a.var(ddof=1) + 24 * b.var(ddof=1)) / 41
    found = stats.tost(a.mean() - b.mean(), np.sqrt(pooled * (1 / 18 + 1 / 25)), 0.7, 41)
    assert found.p == pytest.approx(float(expected["pval" if "pval" in expected else "p_val"].iloc[0]), rel=1e-6)


@pytest.mark.parametrize("estimate", [0.0, 0.1, 0.19, 0.25, -0.4])
def test_the_interval_decides_like_the_test(estimate):
    found = stats.tost_g(estimate, 0.12, 0.5, 60)
    assert (found.p < 0.05) == (found.low > -0.5 and found.high < 0.5)


def test_the_bound_is_in_g():
    """At an estimate of exactly the bound in g, one of the two t tests has p one half."""
    mse, df = 0.37, 30
    estimate = 0.5 * np.sqrt(mse) / stats.small_sample_correction(df)
    assert stats.hedges_g(estimate, mse, 0.1, df).size == pytest.approx(0.5)
    assert stats.tost_g(estimate, np.sqrt(mse * 0.1), mse, df).p == pytest.approx(0.5)


def test_the_interval_is_as_wide_as_alpha_says():
    """At alpha .01 it reaches t(.99) standard errors to each side, in g."""
    mse, df, se = 0.37, 30, 0.2
    found = stats.tost_g(0.1, se, mse, df, alpha=0.01)
    reach = scipy_stats.t.ppf(0.99, df) * se * stats.small_sample_correction(df) / np.sqrt(mse)
    assert (found.high - found.low) / 2 == pytest.approx(reach)


def test_the_power_is_how_often_equivalence_is_found():
    """20,000 pairs of groups without a difference."""
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal((2, 20_000, 60))
    mse = (a.var(axis=1, ddof=1) + b.var(axis=1, ddof=1)) / 2
    found = [
        stats.tost_g(float(d), float(np.sqrt(v / 30)), float(v), 118)
        for d, v in zip((a.mean(axis=1) - b.mean(axis=1))[:4000], mse[:4000], strict=True)
    ]
    power = found[0].power
    # closed form: P(|T| < sqrt(30) / 2 / J - t(.95))
    j = stats.small_sample_correction(118)
    margin = np.sqrt(30) / 2 / j - scipy_stats.t.ppf(0.95, 118)
    assert power == pytest.approx(2 * scipy_stats.t.cdf(margin, 118) - 1, rel=1e-10)
    share = np.mean([one.p < 0.05 for one in found])
    assert abs(share - power) < 3 * np.sqrt(power * (1 - power) / 4000)


def test_too_few_people_have_no_power():
    assert stats.tost_g(0.0, 0.5, 1.0, 6).power == 0.0


def test_a_bound_must_be_positive():
    with pytest.raises(UsageError, match="it must be positive"):
        stats.tost(0.0, 1.0, 0.0, 10)


@pytest.mark.parametrize(
    ("t", "n_eff", "df", "scale", "bf10", "digits"),
    [
        # R package BayesFactor, manual: ttestBF of the sleep data, paired, r = sqrt(2) / 2
        (-4.062127683382037, 10, 9, np.sqrt(0.5), 17.25888, 5e-7),
        # Rouder et al. 2009: t(79) = 2.03, n = 80, r = 1: 1.56 for the null
        (2.03, 80, 79, 1.0, 1 / 1.56, 5e-3),
    ],
)
def test_published_bayes_factors(t, n_eff, df, scale, bf10, digits):
    assert stats.jzs_bayes_factor(t, n_eff, df, scale) == pytest.approx(bf10, rel=digits)


@pytest.mark.parametrize(("t", "n1", "n2"), [(0.0, 20, 20), (3.5, 20, 20), (1.2, 49, 101), (9.0, 15, 60)])
def test_bayes_factors_equal_pingouins(t, n1, n2):
    pingouin = pytest.importorskip("pingouin")
    expected = float(pingouin.bayesfactor_ttest(t, n1, n2))
    assert stats.jzs_bayes_factor(t, n1 * n2 / (n1 + n2), n1 + n2 - 2) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize(("t", "n", "df"), [(0.0, 9.0, 30), (0.3, 9.0, 30), (2.0, 25.0, 200), (-5.0, 40.0, 205)])
def test_bayes_factors_equal_an_integral_over_effects(t, n, df):
    """The other way to write it: noncentral t densities over the Cauchy prior, not an integral over variances."""
    from scipy.integrate import quad

    def weighted(delta):
        # derivative of the distribution function: the library's density is no number far out
        steps = scipy_stats.nct.cdf([t + 1e-4, t - 1e-4], df, delta * np.sqrt(n))
        return (steps[0] - steps[1]) / 2e-4 * scipy_stats.cauchy.pdf(delta, scale=0.707)

    centre = t / np.sqrt(n)
    edges = centre + np.array([-7, -3, 0, 3, 7]) / np.sqrt(n)
    total = sum(quad(weighted, low, high, epsrel=1e-10)[0] for low, high in pairwise(edges))
    assert stats.jzs_bayes_factor(t, n, df) == pytest.approx(total / scipy_stats.t.pdf(t, df), rel=1e-5)


def test_bic_bayes_factor_is_the_difference_of_bic():
    import statsmodels.api as sm

    rng = np.random.default_rng(3)
    y, x = rng.standard_normal(40), np.column_stack([np.ones(40), rng.standard_normal((40, 2))])
    full, reduced = sm.OLS(y, x).fit(), sm.OLS(y, x[:, :1]).fit()
    found = stats.bic_bayes_factor(reduced.ssr, full.ssr, 40, 2)
    assert found == pytest.approx(np.exp((full.bic - reduced.bic) / 2), rel=1e-10)


def test_nothing_comes_of_nothing():
    assert np.isnan(stats.jzs_bayes_factor(np.nan, 10, 18))
    assert np.isnan(stats.bic_bayes_factor(0.0, 0.0, 10, 1))
    assert np.isnan(stats.tost_g(0.1, 0.0, 0.0, 10).p)
