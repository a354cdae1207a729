"""All measures of a run at once: against the measures one by one, by hand, and their identities."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bids_flex import dynamics as d
from bids_flex.errors import UsageError

NETWORKS = np.array([1, 1, 2, 4, 4])

stacks = st.tuples(st.integers(1, 3), st.integers(2, 6)).flatmap(
    lambda shape: st.tuples(
        arrays(np.int16, (*shape, 5), elements=st.integers(1, 4)),
        arrays(bool, (shape[1] - 1,), elements=st.booleans()),
    )
)


def test_by_hand():
    """Two restarts of three windows and three regions; the second restart never changes."""
    labels = np.array([[[1, 1, 2], [2, 2, 2], [2, 1, 2]], [[1, 1, 2]] * 3])
    found = d.profile(labels, [1, 1, 2], step_s=30.0)
    np.testing.assert_allclose(found.regions["flexibility"], [0.25, 0.5, 0])
    np.testing.assert_allclose(found.regions["switches_per_minute"], [0.5, 1.0, 0])
    np.testing.assert_allclose(found.regions["promiscuity"], [0.5, 0.5, 0])
    np.testing.assert_allclose(found.regions["cohesion"], [0.25, 0.25, 0])
    np.testing.assert_allclose(found.regions["disjointedness"], [0, 0.25, 0])
    np.testing.assert_allclose(found.regions["cohesion_strength"], [0.5, 0.5, 0])
    # windows per stay 3/2, 3/3, 3/1 in the first restart, 3 in the second; half a minute each
    np.testing.assert_allclose(found.regions["dwell"], [(1.5 + 3) / 4, (1 + 3) / 4, 1.5])
    # regions 0 and 1 share 2 + 3 of 6 windows, 0 and 2 share 2 + 0, 1 and 2 share 1 + 0
    np.testing.assert_allclose(found.allegiance, [[1, 5 / 6, 2 / 6], [5 / 6, 1, 1 / 6], [2 / 6, 1 / 6, 1]])
    np.testing.assert_allclose(found.regions["recruitment"], [5 / 6, 5 / 6, np.nan])
    np.testing.assert_allclose(found.regions["integration"], [2 / 6, 1 / 6, 3 / 12])
    np.testing.assert_allclose(found.networks["flexibility"], [0.375, 0])
    np.testing.assert_allclose(found.networks["recruitment"], [5 / 6, np.nan])
    assert found.whole["recruitment"] == pytest.approx(5 / 6)
    assert found.whole["flexibility"] == pytest.approx(0.25)
    assert found.whole["persistence"] == pytest.approx(0.75)
    np.testing.assert_allclose(found.spread["flexibility"], [0.5, 0])
    np.testing.assert_array_equal(found.spread["n_communities"], [2, 2])
    # of five communities, four others can be taken; two of the three ways to draw two windows have both communities
    more = d.profile(labels, [1, 1, 2], step_s=30.0, n_communities=5, rarefied_windows=2)
    np.testing.assert_allclose(more.regions["promiscuity"], [1 / 8, 1 / 8, 0])
    np.testing.assert_allclose(more.regions["promiscuity_rarefied"], [2 / 3 / 8, 2 / 3 / 8, 0], atol=1e-12)
    np.testing.assert_allclose(more.networks["promiscuity_rarefied"], [2 / 3 / 8, 0], atol=1e-12)


@given(stacks)
def test_restarts_are_averaged_and_networks_are_means(given_):
    labels, pairs = given_
    found = d.profile(labels, NETWORKS, pairs, step_s=2.0, n_communities=4, rarefied_windows=2)
    each = [d.profile(one, NETWORKS, pairs, step_s=2.0, n_communities=4, rarefied_windows=2) for one in labels]
    for name, values in found.regions.items():
        np.testing.assert_allclose(values, np.mean([one.regions[name] for one in each], axis=0), atol=1e-12)
        expected = [values[:2].mean(), values[2], np.nan, values[3:].mean()]
        np.testing.assert_allclose(found.networks[name], expected, atol=1e-12)
    np.testing.assert_allclose(found.spread["flexibility"], [one.whole["flexibility"] for one in each])
    assert found.whole["persistence"] == pytest.approx(1 - found.whole["flexibility"], nan_ok=True)
    np.testing.assert_allclose(
        found.regions["flexibility"], found.regions["cohesion"] + found.regions["disjointedness"]
    )


@given(stacks)
def test_one_restart_is_the_measures_one_by_one(given_):
    labels, pairs = given_[0][0], given_[1]
    found = d.profile(labels, NETWORKS, pairs, step_s=90.0)
    allegiance = d.allegiance(labels)
    for name, expected in {
        "flexibility": d.flexibility(labels, pairs),
        "promiscuity": d.promiscuity(labels),
        "cohesion_strength": d.cohesion(labels, pairs).strength,
        "recruitment": d.recruitment(allegiance, NETWORKS),
        "integration": d.integration(allegiance, NETWORKS),
        "dwell": d.dwell(labels, 1.5, pairs),
    }.items():
        np.testing.assert_allclose(found.regions[name], expected)
    assert "promiscuity_rarefied" not in found.regions
    between = d.normalised_integration(allegiance, NETWORKS)
    np.testing.assert_allclose(found.normalised_integration[np.ix_([0, 1, 3], [0, 1, 3])], between)
    assert np.isnan(found.normalised_integration[2]).all()


def test_regions_that_were_not_searched_count_nowhere():
    labels = np.array([[1, 1, 0], [2, 1, 0], [2, 1, 0]])
    found = d.profile(labels, [1, 1, 1], step_s=60.0)
    np.testing.assert_allclose(found.regions["flexibility"], [0.5, 0, np.nan])
    assert found.networks["flexibility"] == pytest.approx([0.25])
    assert found.whole["flexibility"] == pytest.approx(0.25)
    assert found.spread["n_communities"].tolist() == [2]


@given(stacks, st.randoms())
def test_order_free_measures_are_free_of_order(given_, random):
    labels = given_[0]
    order = list(range(labels.shape[1]))
    random.shuffle(order)
    found, other = (
        d.profile(one, NETWORKS, step_s=2.0, n_communities=4, rarefied_windows=2) for one in (labels, labels[:, order])
    )
    for name in set(found.regions) & d.ORDER_FREE:
        np.testing.assert_allclose(found.regions[name], other.regions[name], atol=1e-12)
    assert set(found.regions) - d.ORDER_FREE == {
        "flexibility", "switches_per_minute", "cohesion", "disjointedness", "cohesion_strength", "dwell",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: d.profile(np.ones((3, 2), int), [1], step_s=1.0), "are needed"),
        (lambda: d.profile(np.ones(3, int), [1], step_s=1.0), "are needed"),
        (lambda: d.profile(np.ones((3, 2), int), [0, 1], step_s=1.0), "whole numbers from 1"),
        (lambda: d.profile(np.ones((3, 2), int), [1, 1], step_s=0.0), "above 0 seconds"),
    ],
)
def test_senseless_arguments_are_refused(call, told):
    with pytest.raises(UsageError, match=told):
        call()
