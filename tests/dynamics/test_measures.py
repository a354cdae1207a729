"""Measures against fixtures, identities and hand-made labels."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bids_flex import dynamics as d
from bids_flex.errors import UsageError

labellings = st.tuples(st.integers(2, 8), st.integers(2, 7)).flatmap(
    lambda shape: arrays(np.int16, shape, elements=st.integers(1, 4))
)


def partner(labels):
    return arrays(bool, (len(labels) - 1,), elements=st.booleans())


with_pairs = labellings.flatmap(lambda labels: st.tuples(st.just(labels), partner(labels)))


@given(with_pairs)
def test_flexibility_is_cohesion_plus_disjointedness(given_):
    labels, pairs = given_
    found = d.cohesion(labels, pairs)
    np.testing.assert_allclose(d.flexibility(labels, pairs), found.cohesion + found.disjointedness)


@given(with_pairs)
def test_persistence_is_what_flexibility_leaves(given_):
    labels, pairs = given_
    if pairs.any():
        assert d.persistence(labels, pairs) == pytest.approx(1 - d.flexibility(labels, pairs).mean())


@given(with_pairs, st.permutations([1, 2, 3, 4]))
def test_one_relabelling_of_a_run_changes_nothing(given_, names):
    labels, pairs = given_
    other = np.array([0, *names], dtype=np.int16)[labels]
    for measure in (d.flexibility, d.cohesion):
        np.testing.assert_array_equal(measure(labels, pairs), measure(other, pairs))
    np.testing.assert_array_equal(d.promiscuity(labels, 4), d.promiscuity(other, 4))
    np.testing.assert_array_equal(d.dwell(labels, 0.5, pairs), d.dwell(other, 0.5, pairs))


@given(labellings, st.data())
def test_allegiance_survives_a_relabelling_of_every_window(labels, data):
    names = [data.draw(st.permutations([1, 2, 3, 4])) for _ in labels]
    other = np.stack([np.array([0, *n])[row] for n, row in zip(names, labels, strict=True)])
    found = d.allegiance(labels)
    np.testing.assert_array_equal(found, d.allegiance(other))
    np.testing.assert_array_equal(found, found.T)
    assert (np.diag(found) == 1).all()
    networks = np.arange(labels.shape[1]) % 2 + 1
    np.testing.assert_array_equal(d.recruitment(found, networks), d.recruitment(d.allegiance(other), networks))


@given(labellings)
def test_many_labellings_are_measured_like_one_each(labels):
    stack = np.stack([labels, labels[::-1], labels])
    for measure in (d.flexibility, d.promiscuity, lambda x: d.dwell(x, 1.0), lambda x: d.cohesion(x).strength):
        np.testing.assert_array_equal(measure(stack), np.stack([measure(one) for one in stack]))
    np.testing.assert_allclose(d.allegiance(stack), np.mean([d.allegiance(one) for one in stack], axis=0))


@given(labellings)
def test_rarefied_to_all_windows_promiscuity_is_itself(labels):
    np.testing.assert_allclose(d.rarefied_promiscuity(labels, len(labels), 4), d.promiscuity(labels, 4), atol=1e-12)
    np.testing.assert_allclose(d.rarefied_promiscuity(labels, 1, 4), 0.0, atol=1e-12)


def test_rarefied_promiscuity_is_the_mean_over_all_draws():
    from itertools import combinations

    labels = np.array([[1, 1], [1, 2], [2, 3], [3, 3], [3, 1]])
    draws = [d.promiscuity(labels[list(rows)], 3) for rows in combinations(range(5), 3)]
    np.testing.assert_allclose(d.rarefied_promiscuity(labels, 3, 3), np.mean(draws, axis=0))


def test_promiscuity_counts_the_communities_itself():
    """Two communities, one, and labels that do not begin at 1; what was not searched is no community."""
    for labels, expected in (
        ([[1, 1], [1, 2]], [0, 1]),
        ([[0, 1], [1, 2]], [0, 1]),
        ([[1, 1], [1, 1]], [0, 0]),
        ([[2, 7], [2, 2]], [0, 1]),
        ([[1, 1, 1], [1, 2, 3]], [0, 1 / 2, 1 / 2]),
    ):
        np.testing.assert_array_equal(d.promiscuity(labels), expected)
    for labels, expected in (([[1, 1], [1, 2]], [0, 1]), ([[1, 1], [1, 1]], [0, 0])):
        np.testing.assert_allclose(d.rarefied_promiscuity(labels, 2), expected, atol=1e-12)
    # of the three ways to draw two windows, two have both communities of region 1
    np.testing.assert_allclose(d.rarefied_promiscuity([[1, 1], [1, 2], [1, 2]], 2), [0, 2 / 3], atol=1e-12)


def test_windows_that_were_not_searched_never_count():
    labels = np.array([[1, 0, 1], [1, 0, 0], [2, 0, 1], [2, 0, 2]])
    np.testing.assert_array_equal(d.flexibility(labels), [1 / 3, np.nan, 1.0])
    np.testing.assert_array_equal(d.promiscuity(labels, 3), [0.5, np.nan, 0.5])
    np.testing.assert_array_equal(d.cohesion(labels).strength, [0, np.nan, 0])
    # region 0 and 2 are both searched in windows 0, 2 and 3, and together in 0 and 3
    np.testing.assert_array_equal(d.allegiance(labels)[0], [1, np.nan, 2 / 3])


def test_a_gap_is_neither_a_change_nor_a_stay():
    """Stays of 1, 2 and 1 windows; of four pairs, the last two have both windows, and one of them a change."""
    labels = np.array([[1], [0], [1], [1], [2]])
    assert d.flexibility(labels) == pytest.approx([1 / 2])
    assert d.persistence(labels) == pytest.approx(1 / 2)
    found = d.cohesion(labels)
    assert (found.cohesion.tolist(), found.disjointedness.tolist(), found.strength.tolist()) == ([0], [0.5], [0])
    assert d.dwell(labels, 3.0) == pytest.approx([4 / 3 * 3.0])


def test_dwell_by_hand():
    # stays of 2, 1 and 3 windows; then with the pair (2, 3) not counting: 2, 1, 1, 2
    labels = np.array([[1], [1], [2], [1], [1], [1]])
    assert d.dwell(labels, 0.5) == pytest.approx([6 / 3 * 0.5])
    assert d.dwell(labels, 0.5, [True, True, False, True, True]) == pytest.approx([6 / 3 * 0.5])
    assert d.dwell(labels, 0.5, [True, True, True, False, True]) == pytest.approx([6 / 4 * 0.5])


def test_community_sizes_and_switches_by_hand():
    np.testing.assert_array_equal(d.community_sizes([[1, 1, 3], [0, 2, 2]], 3), [[2, 0, 1], [0, 2, 0]])
    assert d.switches_per_minute([0.25], step_s=15.0).tolist() == [1.0]


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: d.flexibility([1, 2]), "labels have shape"),
        (lambda: d.flexibility([[1, -1]]), "labels run from -1"),
        (lambda: d.flexibility([[1, 1], [1, 2]], pairs=[True, True]), "2 windows have 1 pairs"),
        (lambda: d.promiscuity([[1], [2], [3]], 2), "takes 3 communities"),
        (lambda: d.rarefied_promiscuity([[1], [2]], 0), "at least 1"),
        (lambda: d.recruitment(np.eye(3), [1, 2]), "they must be"),
    ],
)
def test_senseless_arguments_are_refused(call, told):
    with pytest.raises(UsageError, match=told):
        call()


def _fixtures(shared):
    return json.loads((shared / "reference" / "measures_fixtures.json").read_text())["fixtures"]


def _nan(values):
    return np.array(
        [
            [np.nan if x is None else x for x in row] if isinstance(row, list) else row
            for row in [np.nan if row is None else row for row in values]
        ],
        dtype=float,
    )


def _compute(fixture):
    labels = np.array(fixture["labels"])
    labels = labels + (labels.min() == 0)
    networks = fixture.get("networks")
    pairs = None
    if "valid_pairs" in fixture:
        pairs = [[w, w + 1] in fixture["valid_pairs"] for w in range(len(labels) - 1)]
    allegiance = d.allegiance(labels)
    return {
        "flexibility": lambda: d.flexibility(labels, pairs),
        "promiscuity": lambda: d.promiscuity(labels, fixture.get("K")),
        "recruitment": lambda: d.recruitment(allegiance, networks),
        "integration": lambda: d.integration(allegiance, networks),
        "allegiance": lambda: allegiance,
        "network_allegiance": lambda: d.network_allegiance(allegiance, networks),
        "normalised_integration": lambda: d.normalised_integration(allegiance, networks),
    }[fixture["measure"]]()


def test_fixtures_of_other_programs(shared):
    simple = [f for f in _fixtures(shared) if f["measure"] not in {"persistence", "cohesion", "Q"}]
    assert len(simple) == 15
    for fixture in simple:
        np.testing.assert_allclose(_compute(fixture), _nan(fixture["expected"]), atol=1e-12, err_msg=fixture["name"])


def test_fixtures_of_cohesion_and_persistence(shared):
    for fixture in _fixtures(shared):
        labels = np.array(fixture["labels"]) + (np.min(fixture["labels"]) == 0)
        if fixture["measure"] == "cohesion":
            found = d.cohesion(labels)
            expected = fixture["expected"]
            np.testing.assert_allclose(d.flexibility(labels), expected["flexibility"], atol=1e-12)
            np.testing.assert_allclose(found.cohesion, expected["cohesion"], atol=1e-12)
            np.testing.assert_allclose(found.disjointedness, expected["disjointedness"], atol=1e-12)
            np.testing.assert_allclose(found.strength, expected["cohesion_strength"], atol=1e-12)
        if fixture["measure"] == "persistence":
            assert d.persistence(labels) == pytest.approx(fixture["expected"]["global_"], abs=1e-12)
