"""What does not fit together is refused with the numbers that do not fit."""

import numpy as np
import pytest

from bids_flex.errors import UsageError
from bids_flex.stats.curve import Specification, draw_curve
from bids_flex.stats.effects import hedges_g
from bids_flex.stats.linear import fit_contrast
from bids_flex.stats.permutation import freedman_lane, permuted_tests

Y = np.arange(8.0)
DESIGN = np.column_stack([np.ones(8), np.arange(8) % 2])


def test_a_contrast_has_a_weight_for_each_column():
    with pytest.raises(UsageError, match="the contrast has 3 weights, the design 2 columns"):
        fit_contrast(Y, DESIGN, [1, -1, 0])


def test_a_permutation_test_asks_one_thing_of_outcomes_that_families_sort():
    with pytest.raises(UsageError, match=r"the contrast has shape \(2, 2\)"):
        permuted_tests(Y, DESIGN, np.eye(2), np.arange(8)[None])
    with pytest.raises(UsageError, match=r"families have shape \(3,\), there are 1 outcomes"):
        freedman_lane(Y, DESIGN, [0, 1], 9, families=[0, 0, 1])
    with pytest.raises(UsageError, match="rearrange is 'shuffle'"):
        freedman_lane(Y, DESIGN, [0, 1], 9, rearrange="shuffle")


def test_a_curve_is_of_the_same_people():
    ways = [Specification(Y[:n], DESIGN[:n], np.array([0.0, 1.0])) for n in (8, 7)]
    with pytest.raises(UsageError, match="specifications of the same people"):
        draw_curve(ways, 9)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"count": 0}, "n_permutations is 0; it must be at least 1"),
        ({"statistic": "HC3"}, "statistic is 'HC3'; it must be 'hc3' or 'ols'"),
        ({"rearrange": "shuffle"}, "rearrange is 'shuffle'; it must be 'permute' or 'flip'"),
    ],
)
def test_a_curve_is_drawn_in_a_way_that_there_is(words, told):
    """Whatever was not known was taken for a permutation, with HC3."""
    with pytest.raises(UsageError, match=told):
        draw_curve([Specification(Y, DESIGN, np.array([0.0, 1.0]))], **words)


def test_a_specification_without_degrees_of_freedom_draws_nothing():
    """Two people with an outcome, a model of two parameters: nothing is left to tell noise by."""
    few = np.where(np.arange(8) < 2, Y, np.nan)
    ways = [Specification(y, DESIGN, np.array([0.0, 1.0])) for y in (Y, few)]
    drawn = draw_curve(ways, 9)
    assert np.isfinite(drawn.p[:, 0]).all()
    assert np.isnan(drawn.p[:, 1]).all()
    # nor does one in which everybody has the same value, gaps or not
    same = [np.where(np.arange(8) < last, 3.0, np.nan) for last in (6, 8)]
    drawn = draw_curve([Specification(y, DESIGN, np.array([0.0, 1.0])) for y in (Y, *same)], 9)
    for values in (drawn.effect, drawn.t, drawn.p):
        assert np.isnan(values).all(axis=0).tolist() == [False, True, True]


def test_no_spread_is_no_effect_size():
    assert all(np.isnan(value) for value in hedges_g(estimate=0.0, mse=0.0, unscaled_variance=0.5, df=6))
