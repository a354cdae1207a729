"""Specification curves: by hand, against the tests of single specifications, and on cohorts without any effect."""

import numpy as np
import pytest
from scipy.stats import binom

from bids_flex.stats import fit_contrast, freedman_lane, hedges_g
from bids_flex.stats.curve import (
    Draws,
    Specification,
    arrangements,
    curve_test,
    draw_curve,
    each_p,
    explained,
    null_curve,
)

CONTRAST = np.array([-1.0, 1.0, 0.0])


def cohort(rng, people=20, specifications=4, effect=0.0, lost=0):
    """Groups of two, an age, and outcomes that share what is a person's own; some people lack some outcomes."""
    group = np.arange(people) % 2
    design = np.column_stack([group == 0, group == 1, rng.normal(size=people)]).astype(float)
    own = rng.normal(size=people)
    found = []
    for _ in range(specifications):
        y = own + rng.normal(size=people) + effect * group
        y[rng.permutation(people)[:lost]] = np.nan
        found.append(Specification(y, design, CONTRAST))
    return found


@pytest.mark.parametrize("lost", [0, 2])
def test_the_first_arrangement_is_the_data_and_all_specifications_are_tested_as_alone(lost):
    specifications = cohort(np.random.default_rng(1), lost=lost)
    draws = draw_curve(specifications, 200, seed=3)
    plain = draw_curve(specifications, 200, seed=3, statistic="ols")
    for place, one in enumerate(specifications):
        there = np.isfinite(one.y)
        y, design = one.y[there], one.design[there]
        for values, kind in ((draws, "hc3"), (plain, "ols")):
            alone = fit_contrast(y, design, one.contrast, kind)
            assert values.t[0, place] == pytest.approx(alone.statistic[0], rel=1e-9)
            assert values.p[0, place] == pytest.approx(alone.p[0], rel=1e-9)
        residual = y - design @ np.linalg.pinv(design) @ y
        mse = float(residual @ residual) / (len(y) - 3)
        estimate = fit_contrast(y, design, one.contrast).estimate[0]
        spread = float(((CONTRAST @ np.linalg.pinv(design)) ** 2).sum())
        assert draws.effect[0, place] == pytest.approx(hedges_g(estimate, mse, spread, len(y) - 3).size, rel=1e-9)


def test_specifications_of_the_same_people_have_the_p_of_the_permutation_test():
    specifications = cohort(np.random.default_rng(2), people=6, specifications=3)
    draws = draw_curve(specifications, 1000)
    y = np.column_stack([one.y for one in specifications])
    # 6 people have 720 orders: all are used by both
    alone = freedman_lane(y, specifications[0].design, [CONTRAST], 1000)
    assert alone.exact
    assert len(draws.t) == alone.n_permutations == 720
    np.testing.assert_allclose(each_p(draws), alone.p_permutation[0])


def test_gaps_go_with_people_to_the_rows_of_others():
    """Every arrangement by hand: the residuals of those who have an outcome, on the rows that they come to."""
    (one,) = cohort(np.random.default_rng(3), people=9, specifications=1, lost=2)
    draws = draw_curve([one], 40, seed=5)
    there = np.flatnonzero(np.isfinite(one.y))
    nuisance = one.design[there] @ np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    residual = one.y[there] - nuisance @ np.linalg.pinv(nuisance) @ one.y[there]
    for places, t in zip(arrangements(9, 40, seed=5)[0], draws.t[:, 0], strict=True):
        expected = fit_contrast(residual, one.design[places[there]], CONTRAST, "hc3")
        assert t == pytest.approx(expected.statistic[0], rel=1e-7)


def test_an_arrangement_that_leaves_a_group_without_people_has_no_result():
    design = np.array([[1.0, 0], [1, 0], [1, 0], [0, 1], [0, 1], [0, 1]])
    y = np.array([1.0, 2.0, np.nan, 3.0, np.nan, np.nan])
    draws = draw_curve([Specification(y, design, np.array([-1.0, 1.0]))], 720, statistic="ols")
    # three people are all in one group in 2 of the 20 choices of their rows
    assert np.isnan(draws.t[:, 0]).mean() == pytest.approx(2 / 20)


def test_signs_are_a_persons_own():
    design, some = np.ones((5, 1)), np.array([1.0, np.nan, 2.0, np.nan, 4.0])
    whole = np.array([1.0, 3.0, 2.0, 5.0, 4.0])
    draws = draw_curve([Specification(y, design, np.ones(1)) for y in (some, whole)], 100, rearrange="flip")
    assert len(draws.t) == 32
    # everybody keeps the own place
    assert (arrangements(5, 100, rearrange="flip")[0] == np.arange(5)).all()
    for signs, t in zip(arrangements(5, 100, rearrange="flip")[1], draws.t, strict=True):
        there = np.isfinite(some)
        expected = fit_contrast((some * signs)[there], design[there], np.ones(1), "hc3").statistic[0]
        assert t[0] == pytest.approx(expected, abs=1e-9)
        assert t[1] == pytest.approx(fit_contrast(whole * signs, design, np.ones(1), "hc3").statistic[0], abs=1e-9)


def test_blocks_keep_their_people():
    blocks = np.array([0, 1, 0, 1, 0, 1, 0, 1])
    places, _ = arrangements(8, 50, seed=1, blocks=blocks)
    assert (blocks[places] == blocks).all()
    assert len(np.unique(places, axis=0)) > 1


def test_a_curve_is_tested_by_hand():
    effect = np.array([[0.5, 0.7, -0.1], [-0.9, -0.6, 0.2], [0.1, 0.3, 0.2], [0.0, -0.5, 0.5]])
    p = np.array([[0.01, 0.04, 0.5], [0.001, 0.01, 0.02], [0.5, 0.5, 0.5], [0.9, 0.01, 0.01]])
    found = curve_test(Draws(effect, effect, p))
    # medians .5, -.6, .2, 0: two are as far from 0; shares 2/3, 2/3 (below), 0, 1/3: two are as large
    assert found.specifications == 3
    assert (found.median, found.share, found.sign) == pytest.approx((0.5, 2 / 3, 1.0))
    assert (found.p_median, found.p_share) == (0.5, 0.5)
    assert found.share_null == pytest.approx((2 / 3 + 2 / 3 + 0 + 1 / 3) / 4)
    part = curve_test(Draws(effect, effect, p), np.array([False, True, True]))
    assert (part.specifications, part.median) == (2, pytest.approx(0.3))
    low, high = null_curve(Draws(effect, effect, p))
    assert low.shape == high.shape == (3,)
    assert (low <= high).all()


def test_what_has_no_result_is_no_part_of_the_curve():
    effect = np.array([[0.5, np.nan], [0.1, np.nan]])
    found = curve_test(Draws(effect, effect, effect))
    assert (found.specifications, found.median, found.p_median) == (1, 0.5, 0.5)
    assert curve_test(Draws(effect[:, 1:], effect[:, 1:], effect[:, 1:])).specifications == 0


def test_variance_lies_between_levels_or_within():
    effects = np.array([1.0, 1.0, 3.0, 3.0])
    assert explained(effects, ["a", "a", "b", "b"]) == pytest.approx(1.0)
    assert explained(effects, ["a", "b", "a", "b"]) == pytest.approx(0.0)
    assert explained(np.array([0.0, 2.0, 2.0, 4.0]), ["a", "a", "b", "b"]) == pytest.approx(0.5)
    assert np.isnan(explained(np.ones(3), ["a", "b", "b"]))


def test_an_effect_is_found_and_the_curve_is_the_same_for_the_same_seed():
    specifications = cohort(np.random.default_rng(4), people=40, specifications=6, effect=2.5, lost=3)
    draws = draw_curve(specifications, 500, seed=1)
    found = curve_test(draws)
    assert found.p_median == 1 / 500
    assert found.p_share < 0.01
    assert (found.share, found.sign) == (1.0, 1.0)
    again = draw_curve(specifications, 500, seed=1)
    np.testing.assert_array_equal(draws.t, again.t)


def rejections(cohorts, people, specifications, count, lost, seed):
    rng = np.random.default_rng(seed)
    found = [
        curve_test(draw_curve(cohort(rng, people, specifications, lost=lost), count, seed=at)) for at in range(cohorts)
    ]
    return [sum(getattr(one, name) <= 0.05 for one in found) for name in ("p_median", "p_share")]


def within(count, cohorts):
    """Limits of the number of rejections at 5 % that one in a thousand runs of a calibrated test leaves."""
    return binom.ppf(0.0005, cohorts, 0.05) <= count <= binom.ppf(0.9995, cohorts, 0.05)


def test_without_an_effect_the_curve_is_found_in_five_of_a_hundred_cohorts():
    median, share = rejections(200, 16, 6, 60, 2, seed=7)
    assert within(median, 200)
    # most shares are ties at 0, so this test may reject more rarely
    assert share <= binom.ppf(0.9995, 200, 0.05)


@pytest.mark.slow
@pytest.mark.parametrize(("people", "lost"), [(24, 0), (40, 6)])
def test_without_an_effect_the_curve_is_calibrated(people, lost):
    """Cohorts without an effect, without gaps, and with gaps that differ between universes."""
    median, share = rejections(500, people, 16, 200, lost, seed=people)
    assert within(median, 500)
    assert share <= binom.ppf(0.9995, 500, 0.05)
    assert share >= 0.01 * 500, "a test that never rejects would not be too frequent either"
