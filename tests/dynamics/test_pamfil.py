"""Estimates of resolution and coupling: hand fixtures, planted block models, the published program's kin."""

import igraph
import numpy as np
import pytest

from bids_flex import dynamics as d
from bids_flex.errors import RunError, UsageError


def planted(p, theta_out, kinds=4, windows=12, regions=160, seed=0):
    """Poisson weights of a degree-corrected block model; regions copy their community with probability p."""
    rng = np.random.default_rng(seed)
    theta_in = kinds - (kinds - 1) * theta_out
    strength = rng.uniform(60, 180, regions)
    labels, fc = [rng.integers(1, kinds + 1, regions)], []
    for _ in range(windows - 1):
        labels.append(np.where(rng.random(regions) < p, labels[-1], rng.integers(1, kinds + 1, regions)))
    for one in labels:
        theta = np.where(one[:, None] == one, theta_in, theta_out)
        # communities of equal strength: only then are the model's strengths those that its weights add up to
        k = strength / np.bincount(one, strength)[one]
        upper = np.triu(rng.poisson(80 * regions * theta * np.outer(k, k) / kinds**2), 1)
        fc.append((upper + upper.T).astype(float))
    contrast = np.log(theta_in / theta_out)
    truth = (theta_in - theta_out) / contrast, np.log(1 + kinds * p / (1 - p)) / (2 * contrast)
    return np.array(fc), np.array(labels), truth


def two_pairs():
    """Two pairs of regions: weight 3 within, 1 between; strengths 5, 2m = 20, two communities of strength 10."""
    one = np.array([[0, 3, 1, 1], [3, 0, 1, 1], [1, 1, 0, 3], [1, 1, 3, 0]], dtype=float)
    return np.array([one, one, one])


def test_by_hand():
    # within: 12 of 20, expected (100 + 100) / 20 = 10; between: 8, expected 10; one of 8 changes
    labels = [[1, 1, 2, 2], [1, 1, 2, 2], [1, 1, 2, 2]]
    gamma, omega = d.pamfil_estimate(two_pairs(), labels)
    assert gamma == pytest.approx((1.2 - 0.8) / np.log(1.5))
    assert omega == np.inf
    # negative weights do not count
    lesser = two_pairs()
    lesser[1] *= -1
    assert d.pamfil_estimate(lesser, labels)[0] == pytest.approx((1.2 - 0.8) / np.log(1.5))


@pytest.mark.parametrize("unit", [1e-12, 1e12])
def test_the_unit_of_weights_does_not_matter(unit):
    """Sums within are held against sums that are expected; what is nothing but rounding is so in any unit."""
    labels = [[1, 1, 2, 2], [1, 1, 2, 2], [2, 2, 1, 1]]
    assert d.pamfil_estimate(two_pairs() * unit, labels) == pytest.approx(d.pamfil_estimate(two_pairs(), labels))
    one_in_each = [[1, 1, 1, 1], [2, 2, 2, 2], [1, 1, 1, 1]]
    half = np.random.default_rng(1).uniform(0, 1, (3, 4, 4)) * unit
    assert np.isnan(d.pamfil_estimate(half + half.transpose(0, 2, 1), one_in_each)).all()


def test_coupling_by_hand():
    """All change at one of four steps; s = 3/4 and K = 2 give p = 1/2, or p = 2/3 - 1/3 = 1/3 where 3 steps count."""
    fc = np.repeat(two_pairs()[:1], 5, axis=0)
    labels = np.array([[1, 1, 2, 2]] * 4 + [[2, 2, 1, 1]])
    contrast = np.log(1.5)
    assert d.pamfil_estimate(fc, labels)[1] == pytest.approx(np.log(3) / (2 * contrast))
    counted = d.pamfil_estimate(fc, labels, pairs=[True, False, True, True])[1]
    assert counted == pytest.approx(np.log(2) / (2 * contrast))


@pytest.mark.parametrize(("p", "theta_out"), [(0.9, 0.5), (0.5, 0.25), (0.0, 0.5)])
def test_planted_parameters_are_recovered(p, theta_out):
    """Six thousand steps tell p to about .006, which is what the slack of omega is for."""
    fc, labels, (gamma, omega) = planted(p, theta_out, windows=40)
    told = d.pamfil_estimate(fc, labels)
    assert told[0] == pytest.approx(gamma, rel=0.01)
    assert told[1] == pytest.approx(omega, rel=0.06, abs=0.025)


def test_repeated_estimation_ends_at_the_planted_parameters():
    fc, labels, (gamma, omega) = planted(0.9, 0.4, windows=8, regions=80)
    fit = d.pamfil_fixed_point(fc, 1.0, 1.0, restarts=4, seed=2)
    assert fit.settled
    assert fit.gamma == pytest.approx(gamma, rel=0.1)
    assert fit.omega == pytest.approx(omega, rel=0.2)
    assert (fit.gamma, fit.omega) == d.pamfil_estimate(fc, fit.labels)
    same = fit.labels[:, :, None] == fit.labels[:, None]
    assert (same == (labels[:, :, None] == labels[:, None])).mean() > 0.97
    once = d.pamfil_fixed_point(fc, 1.0, 20.0, restarts=4, rounds=1, seed=2)
    assert (once.rounds, once.settled) == (1, False)


def test_communities_that_stay_settle_at_an_infinite_coupling():
    fit = d.pamfil_fixed_point(two_pairs(), restarts=4)
    assert fit.settled
    assert fit.omega == np.inf
    assert fit.gamma == pytest.approx(0.4 / np.log(1.5))


def test_one_window_has_no_coupling():
    gamma, omega = d.pamfil_estimate(two_pairs()[:1], [[1, 1, 2, 2]])
    assert gamma == pytest.approx(0.4 / np.log(1.5))
    assert np.isnan(omega)
    fit = d.pamfil_fixed_point(two_pairs()[:1], restarts=4)
    assert fit.settled
    assert np.isnan(fit.omega)
    no_pair = d.pamfil_estimate(two_pairs(), [[1, 1, 2, 2]] * 3, pairs=[False, False])
    assert np.isnan(no_pair[1])


@pytest.mark.parametrize(
    "labels",
    [
        [[1, 1, 1, 1]] * 3,  # one community
        [[1, 1, 1, 1], [2, 2, 2, 2], [1, 1, 1, 1]],  # one in every window
        [[1, 2, 3, 4]] * 3,  # nothing within
        [[1, 2, 1, 2]] * 3,  # less within than between
    ],
)
def test_what_has_no_estimate_is_nan(labels):
    assert np.isnan(d.pamfil_estimate(two_pairs(), labels)).all()


def test_separate_communities_have_no_estimate():
    fc = two_pairs()
    fc[fc == 1] = 0
    assert np.isnan(d.pamfil_estimate(fc, [[1, 1, 2, 2]] * 3)).all()


def test_changes_at_random_or_more_need_no_coupling():
    labels = [[1, 1, 2, 2], [2, 2, 1, 1], [1, 1, 2, 2]]
    assert d.pamfil_estimate(two_pairs(), labels)[1] == 0.0


def test_another_program_estimates_the_same():
    theirs = pytest.importorskip("modularitypruning.parameter_estimation_utilities")
    fc, labels, _ = planted(0.7, 0.4, kinds=3, windows=4, regions=24)
    windows, regions = labels.shape
    edges, weights = [], []
    for w in range(windows):
        for i, j in zip(*np.nonzero(np.triu(fc[w])), strict=True):
            edges.append((w * regions + int(i), w * regions + int(j)))
            weights.append(float(fc[w, i, j]))
    within = igraph.Graph(windows * regions, edges, edge_attrs={"weight": weights})
    links = [(e, e + regions) for e in range((windows - 1) * regions)]
    between = igraph.Graph(windows * regions, links, directed=True, edge_attrs={"weight": [1.0] * len(links)})
    layer = np.repeat(np.arange(windows), regions).tolist()
    expected = theirs.gamma_omega_estimate(within, between, layer, tuple((labels.ravel() - 1).tolist()))
    assert d.pamfil_estimate(fc, labels) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("call", "error", "told"),
    [
        (lambda fc: d.pamfil_estimate(fc, [[1, 1, 2, 2]] * 3, null="signed"), UsageError, "block model of positive"),
        (lambda fc: d.pamfil_fixed_point(fc, null="uniform"), UsageError, "no other null model"),
        (lambda fc: d.pamfil_fixed_point(fc, rounds=0), UsageError, "rounds is 0"),
        (lambda fc: d.pamfil_fixed_point(fc, gamma=-1.0), UsageError, "gamma must be at least 0"),
        (lambda fc: d.pamfil_estimate(fc, [[0, 1, 2, 2]] * 3), UsageError, "from 1 on"),
        (lambda fc: d.pamfil_estimate(fc, [[1, 1, 2, 2]] * 2), UsageError, "is needed"),
        (lambda fc: d.pamfil_estimate(-fc, [[1, 1, 2, 2]] * 3), RunError, "no window has any weight"),
        (lambda fc: d.pamfil_fixed_point(fc, gamma=0.0, restarts=2), RunError, "start from another gamma"),
    ],
)
def test_senseless_arguments_are_refused(call, error, told):
    with pytest.raises(error, match=told):
        call(two_pairs())
