"""Permutation tests against exact enumeration, scipy, and their own promise."""

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from bids_flex import stats
from bids_flex.errors import UsageError
from bids_flex.stats.linear import wald
from bids_flex.stats.orders import _arrangements
from bids_flex.stats.permutation import _wald, permuted_tests


def two_groups(sizes):
    return np.column_stack([np.arange(sum(sizes)) < sizes[0], np.arange(sum(sizes)) >= sizes[0]]).astype(float)


def test_exact_enumeration_equals_scipy():
    y = np.random.default_rng(1).standard_normal(9)
    found = stats.freedman_lane(y, two_groups((4, 5)), [[1.0, -1.0]], statistic="ols")
    expected = scipy_stats.permutation_test(
        (y[:4], y[4:]), lambda a, b, axis: np.abs(scipy_stats.ttest_ind(a, b, axis=axis).statistic),
        n_resamples=np.inf, alternative="greater", vectorized=True,
    )  # fmt: skip
    assert found.exact
    assert found.n_permutations == 126  # 9! / (4! 5!)
    assert found.p_permutation[0, 0] == pytest.approx(expected.pvalue, abs=1e-12)


def test_with_a_covariate_all_orders_are_different():
    rng = np.random.default_rng(2)
    x = np.column_stack([two_groups((3, 3)), rng.standard_normal(6)])
    y = rng.standard_normal(6)
    contrast = np.array([1.0, -1.0, 0.0])
    found = stats.freedman_lane(y, x, [contrast])
    assert found.exact
    assert found.n_permutations == 720
    # the definition: permute what the nuisance model leaves, put its fit back, refit the whole model
    nuisance = np.column_stack([np.ones(6), x[:, 2]])
    fit = nuisance @ np.linalg.lstsq(nuisance, y, rcond=None)[0]
    null = [
        stats.fit_contrast(fit + (y - fit)[list(order)], x, contrast, "hc3").statistic[0]
        for order in permutations(range(6))
    ]
    expected = np.mean(np.abs(null) >= np.abs(found.statistic[0, 0]) * (1 - 1e-10))
    assert found.p_permutation[0, 0] == pytest.approx(expected, abs=1e-12)


def test_f_of_one_row_is_t_squared():
    rng = np.random.default_rng(3)
    y, x = rng.standard_normal((20, 2)), np.column_stack([two_groups((12, 8)), rng.standard_normal(20)])
    t, f = [1.0, -1.0, 0.0], [[1.0, -1.0, 0.0]]
    for kind in ("hc3", "ols"):
        found = stats.freedman_lane(y, x, [t, f], 500, statistic=kind)
        np.testing.assert_allclose(found.statistic[0] ** 2, found.statistic[1])
        np.testing.assert_array_equal(found.p_permutation[0], found.p_permutation[1])


def test_any_number_of_threads_gives_the_same(monkeypatch):
    monkeypatch.setattr("bids_flex.stats.permutation.CHUNK_VALUES", 1000)
    rng = np.random.default_rng(4)
    y, x = rng.standard_normal((30, 5)), two_groups((18, 12))
    one, four = (stats.freedman_lane(y, x, [[1.0, -1.0]], 999, seed=7, threads=n) for n in (1, 4))
    np.testing.assert_array_equal(one.p_max, four.p_max)
    np.testing.assert_array_equal(one.p_permutation, four.p_permutation)


def test_p_is_never_zero_and_max_is_never_smaller():
    y = np.random.default_rng(5).standard_normal((40, 6))
    y[:20, 0] += 50
    found = stats.freedman_lane(y, two_groups((20, 20)), [[1.0, -1.0]], 200)
    assert found.p_permutation[0, 0] == 1 / 200
    assert (found.p_max >= found.p_permutation).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.floats(-100, 100), st.floats(0.01, 100))
def test_shifting_and_scaling_change_nothing(seed, shift, scale):
    rng = np.random.default_rng(seed)
    y, x = rng.standard_normal(14), np.column_stack([two_groups((8, 6)), rng.standard_normal(14)])
    other = x * [1, 1, scale]
    first = stats.freedman_lane(y, x, [[1.0, -1.0, 0.0]], 100, seed=1)
    second = stats.freedman_lane(y * scale + shift, other, [[1.0, -1.0, 0.0]], 100, seed=1)
    np.testing.assert_allclose(first.statistic, second.statistic, rtol=1e-6)
    # an order whose statistic ties but for rounding may fall on either side
    np.testing.assert_allclose(first.p_permutation, second.p_permutation, atol=1.5 / 100)


def test_rows_stay_within_their_blocks():
    x, blocks = two_groups((6, 6)), np.array([0, 1] * 6)
    orders, exact = stats.make_orders(x, 200, 0, blocks)
    assert not exact
    assert (blocks[orders] == blocks).all()
    assert (orders[0] == np.arange(12)).all()
    # each block holds 3 rows of each group: 20 arrangements, 400 together
    assert len(stats.make_orders(x, 400, 0, blocks)[0]) == 400
    assert len(np.unique(stats.make_orders(x, 400, 0, blocks)[0], axis=0)) == 400


def test_whole_blocks_move_together():
    blocks = np.repeat([0, 1, 2, 3], 2)
    x = np.column_stack([np.repeat([1.0, 0.0], 4), np.repeat([0.0, 1.0], 4)])
    orders, exact = stats.make_orders(x, 100, 0, blocks, "whole")
    assert exact
    assert len(orders) == 6  # which two of four blocks come first
    assert {tuple(order // 2) for order in orders} == {tuple(np.repeat(b, 2)) for b in (
        (0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2), (1, 2, 0, 3), (1, 3, 0, 2), (2, 3, 0, 1))}  # fmt: skip


def test_unequal_variances_in_unequal_groups():
    """HC3 holds 5 %; permuted OLS does not. 400 null data sets at once: outcomes are independent columns."""
    rng = np.random.default_rng(6)
    sizes, sds = (10, 40), (2.0, 1.0)
    y = rng.standard_normal((50, 400)) * np.repeat(sds, sizes)[:, None]
    share = {
        kind: (
            stats.freedman_lane(y, two_groups(sizes), [[1.0, -1.0]], 400, statistic=kind).p_permutation < 0.05
        ).mean()
        for kind in ("hc3", "ols")
    }
    assert 0.025 < share["hc3"] < 0.08  # 5 % within 2.5 binomial standard errors
    assert share["ols"] > 0.12


@pytest.mark.slow
@pytest.mark.parametrize("sds", [(2.0, 1.0, 1.0), (1.0, 2.0, 1.0), (1.0, 1.0, 1.0)])
def test_the_level_holds_in_groups_like_the_studys(sds):
    """49, 101 and 57 people, a covariate that differs between groups: 2,000 null data sets, 1,000 orders each."""
    rng = np.random.default_rng(7)
    sizes = (49, 101, 57)
    group = np.repeat([0, 1, 2], sizes)
    covariate = rng.standard_normal(207) + 0.5 * group
    x = np.column_stack([*(group == k for k in range(3)), covariate - covariate.mean()]).astype(float)
    y = rng.standard_normal((207, 2000)) * np.array(sds)[group][:, None]
    omnibus = np.array([[1.0, -1, 0, 0], [1.0, 0, -1, 0]])
    found = stats.freedman_lane(y, x, [np.array([1.0, -1, 0, 0]), omnibus], 1000)
    share = (found.p_permutation < 0.05).mean(axis=1)
    assert ((share > 0.037) & (share < 0.065)).all(), share


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"n_permutations": 0}, "at least 1"),
        ({"statistic": "median"}, "'hc3' or 'ols'"),
        ({"blocks": [1, 2]}, "blocks have shape"),
        ({"blocks": [1] * 8, "exchange": "some"}, "'within' or 'whole'"),
    ],
)
def test_senseless_arguments_are_refused(options, told):
    with pytest.raises(UsageError, match=told):
        stats.freedman_lane(np.arange(8.0), two_groups((4, 4)), [[1.0, -1.0]], **options)


def refitted(y, x, contrast, orders, signs, kind):
    """The definition, one arrangement at a time: rearrange what the reduced model leaves, refit the whole model."""
    from scipy.linalg import null_space

    reduced = x @ null_space(np.atleast_2d(contrast))
    fit = reduced @ np.linalg.lstsq(reduced, y, rcond=None)[0] if reduced.shape[1] else np.zeros_like(y)
    return np.array(
        [
            stats.fit_contrast(fit + sign[:, None] * (y - fit)[order], x, contrast, kind).statistic
            for order, sign in zip(orders, signs, strict=True)
        ]
    )


@pytest.mark.parametrize("kind", ["ols", "hc3"])
@pytest.mark.parametrize(
    "contrast", [np.array([1.0, -1, 0, 0.3]), np.array([[1.0, -1, 0, 0], [1, 0, -1, 0], [0, 0, 0, 1]])]
)
@pytest.mark.parametrize("rearrange", ["permute", "flip"])
def test_p_values_equal_refitting_every_arrangement(kind, contrast, rearrange):
    rng = np.random.default_rng(8)
    group = np.repeat([0, 1, 2], [7, 9, 6])
    x = np.column_stack([*(group == k for k in range(3)), rng.standard_normal(22)]).astype(float)
    y = rng.standard_normal((22, 5)) + 0.5 * group[:, None]
    found = stats.freedman_lane(
        y, x, [contrast], 150, seed=3, statistic=kind, rearrange=rearrange, families=["a", "a", "b", "b", "b"]
    )
    orders, signs = np.tile(np.arange(22), (150, 1)), np.ones((150, 22))
    if rearrange == "permute":
        orders = stats.make_orders(x, 150, 3)[0]
    else:
        signs = stats.make_flips(22, 150, 3)[0]
    null = np.abs(refitted(y, x, contrast, orders, signs, kind))
    size = null[0] * (1 - 1e-10)
    np.testing.assert_array_equal(found.p_permutation[0], (null >= size).mean(axis=0))
    for family in (slice(0, 2), slice(2, 5)):
        expected = (null[:, family].max(axis=1)[:, None] >= size[family]).mean(axis=0)
        np.testing.assert_array_equal(found.p_max[0, family], expected)


@pytest.mark.parametrize("kind", ["ols", "hc3"])
@pytest.mark.parametrize("chunk", [1, 2_000, 1_000_000])
def test_given_arrangements_have_the_t_of_refitting_each(kind, chunk, monkeypatch):
    """With its sign, one row of results for each arrangement, in pieces of any size; nothing for a constant."""
    monkeypatch.setattr("bids_flex.stats.permutation.CHUNK_VALUES", chunk)
    rng = np.random.default_rng(12)
    x = np.column_stack([two_groups((7, 9)), rng.standard_normal(16)])
    y, contrast = rng.standard_normal((16, 3)), np.array([1.0, -1, 0.2])
    orders, signs = stats.make_orders(x, 40, 1)[0], stats.make_flips(16, 40, 1)[0]
    places, own = np.argsort(orders, axis=1), np.tile(np.arange(16), (40, 1))
    for here, flips, rows in ((places, None, orders), (own, signs, own)):
        found = permuted_tests(y, x, contrast, here, flips, kind)
        expected = refitted(y, x, contrast, rows, np.ones((40, 16)) if flips is None else flips, kind)
        np.testing.assert_allclose(found, expected, rtol=1e-8)
    y[:, 1] = 3.0
    found = permuted_tests(y, x, contrast, places, None, kind)
    assert np.isnan(found).all(axis=0).tolist() == [False, True, False]
    with pytest.raises(UsageError, match=r"shape \(1, 3\): one row of weights is needed"):
        permuted_tests(y, x, contrast[None], places)
    with pytest.raises(UsageError, match="statistic is 'HC3'; it must be 'hc3' or 'ols'"):
        permuted_tests(y, x, contrast, places, statistic="HC3")


def test_f_by_elimination_is_f_by_its_definition():
    """b' V^-1 b / k of one, two and four rows, V given by its lower triangle; NaN where V is singular."""
    rng = np.random.default_rng(13)
    for k in (1, 2, 4):
        root = rng.standard_normal((5, k, k))
        v, b = root @ root.transpose(0, 2, 1), rng.standard_normal((k, 5))
        spread = np.array([v[:, i, j] for i in range(k) for j in range(i + 1)])
        found = _wald(b[:, None], spread[:, None])
        np.testing.assert_allclose(found[0], wald(b, v), rtol=1e-9)
    # V = [[2, 1], [1, 1]] has the inverse [[1, -1], [-1, 2]]: (25 - 40 + 32) / 2; rows that repeat each other have no F
    assert _wald(np.array([[[5.0]], [[4.0]]]), np.array([[[2.0]], [[1.0]], [[1.0]]])) == pytest.approx(8.5)
    assert np.isnan(_wald(np.ones((2, 1, 1)), np.ones((3, 1, 1)))).all()


def test_the_datas_own_order_alone_says_nothing():
    found = stats.freedman_lane(np.arange(8.0), two_groups((4, 4)), [[1.0, -1.0]], 1)
    assert (found.n_permutations, found.p_permutation[0, 0], found.p_max[0, 0]) == (1, 1.0, 1.0)


def test_all_sign_flips_equal_scipys_one_sample_test():
    y = np.random.default_rng(9).standard_normal(10) + 0.4
    found = stats.freedman_lane(y, np.ones((10, 1)), [[1.0]], rearrange="flip", statistic="ols")
    expected = scipy_stats.permutation_test(
        (y,), lambda d, axis: np.abs(d.mean(axis=axis)), permutation_type="samples", n_resamples=np.inf,
        alternative="greater", vectorized=True,
    )  # fmt: skip
    assert found.exact
    assert found.n_permutations == 1024
    assert found.p_permutation[0, 0] == pytest.approx(expected.pvalue, abs=1e-12)


def test_a_pairs_own_orders_are_its_differences_signs():
    """Two rows a person, exchanged within people, and the sign flips of the differences are one test."""
    rng = np.random.default_rng(10)
    before, after = rng.standard_normal((2, 8))
    people = np.tile(np.eye(8), (2, 1))
    x = np.column_stack([people, np.repeat([1.0, 0.0], 8)])
    contrast = np.eye(9)[8]
    long = stats.freedman_lane(
        np.concatenate([after, before]), x, [contrast], 300, statistic="ols", blocks=np.tile(np.arange(8), 2)
    )
    short = stats.freedman_lane(after - before, np.ones((8, 1)), [[1.0]], statistic="ols", rearrange="flip")
    assert long.exact
    assert short.exact
    assert long.statistic[0, 0] == pytest.approx(short.statistic[0, 0], rel=1e-10)
    assert long.p_permutation[0, 0] == short.p_permutation[0, 0]


def test_blocks_change_sign_as_a_whole():
    blocks = ["a", "b", "a", "c", "b"]
    flips, exact = stats.make_flips(5, 8, 0, blocks, "whole")
    assert exact
    assert len(np.unique(flips, axis=0)) == 8
    assert (flips[0] == 1).all()
    assert (flips[:, 0] == flips[:, 2]).all()
    assert (flips[:, 1] == flips[:, 4]).all()
    drawn, exact = stats.make_flips(40, 100, 0)
    assert not exact
    assert (drawn[0] == 1).all()


@pytest.mark.parametrize("y", [[3, 1, 2, 2, 0, 1, 3, 4], [3, 1, 0, 2, 0, 1, 3, 4]])
def test_statistics_that_tie_count_as_reached(y):
    """Whole numbers: many arrangements give the very same t, however it is rounded."""
    from itertools import combinations

    y = np.array(y, dtype=float)
    found = stats.freedman_lane(y / 3, two_groups((4, 4)), [[1.0, -1.0]], statistic="ols")
    halves = [abs(2 * sum(y[list(one)]) - y.sum()) for one in combinations(range(8), 4)]
    assert found.p_permutation[0, 0] == np.mean([half >= halves[0] for half in halves])


def test_a_perfect_separation_has_the_smallest_p():
    # with thirds, the standard error is what rounding leaves
    for kind, y in product(("ols", "hc3"), (np.repeat([0.0, 1.0], 5), np.repeat([1 / 3, 0.7], 5))):
        found = stats.freedman_lane(y, two_groups((5, 5)), [[1.0, -1.0]], statistic=kind)
        assert found.p_permutation[0, 0] == pytest.approx(2 / 252)


def test_a_constant_outcome_has_no_p_and_spoils_no_other():
    y = np.random.default_rng(11).standard_normal((20, 3))
    other = stats.freedman_lane(y[:, [0, 2]], two_groups((9, 11)), [[1.0, -1.0]], 100)
    y[:, 1] = 0.1
    found = stats.freedman_lane(y, two_groups((9, 11)), [[1.0, -1.0]], 100)
    for values in (found.statistic, found.p_parametric, found.p_permutation, found.p_max):
        assert np.isnan(values).tolist() == [[False, True, False]]
    np.testing.assert_array_equal(found.p_max[0, [0, 2]], other.p_max[0])


def test_a_row_that_stands_alone_is_refused_by_hc3():
    with pytest.raises(UsageError, match="one row alone \\(row 0\\)"):
        stats.freedman_lane(np.arange(6.0), two_groups((1, 5)), [[1.0, -1.0]])


def test_places_of_three_kinds_are_filled_in_every_way_that_can_be_told_apart():
    """Two places of one kind and two that are alone of theirs: 4! / 2! ways, each a permutation."""
    found = list(_arrangements([(1,), (2,), (1,), (3,)]))
    assert len(found) == len(set(found)) == 12
    assert all(sorted(one) == [0, 1, 2, 3] for one in found)
    # within places of one kind, data keep their order
    assert all(one[0] < one[2] for one in found)
