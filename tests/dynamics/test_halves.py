"""Split-half flexibility by hand, against its definition written out, and on simulated truth."""

import numpy as np
import pytest

from bids_flex import dynamics
from bids_flex.errors import UsageError
from bids_flex.simulate.series import band_limited
from bids_flex.simulate.settings import SimulationSettings


def slow(first, second, starts, length, step):
    """The definition, pair by pair."""
    lag = -(-length // step)
    grid = {start // step: number for number, start in enumerate(starts)}
    count = max(grid) + 1 - lag

    def pair(labels, place):
        place %= count
        if place not in grid or place + lag not in grid:
            return None
        return labels[grid[place]], labels[grid[place + lag]]

    def shares(region, shift):
        one, other = first[:, region], second[:, region]
        both = [(pair(one, p), pair(other, p - shift)) for p in range(count)]
        both = [(a, b) for a, b in both if a and b]
        return np.mean([a == b for a, b in both]), np.mean([a == b and a[0] != a[1] for a, b in both])

    out, together = [], []
    for region in range(first.shape[1]):
        chance = np.mean([shares(region, shift)[1] for shift in range(lag, count - lag + 1)])
        out.append(shares(region, 0)[1] - chance)
        together.append(shares(region, 0)[0])
    return np.array(out) / np.mean(together)


@pytest.mark.parametrize(("length", "step"), [(6, 1), (6, 2), (7, 3)])
def test_it_is_the_definition(length, step):
    rng = np.random.default_rng(1)
    first, second = rng.integers(1, 3, (2, 60, 4))
    starts = np.delete(np.arange(62), [20, 41]) * step
    found = dynamics.split_half_flexibility(first, second, starts, length, step)
    np.testing.assert_allclose(found, slow(first, second, starts, length, step), atol=1e-12)


def test_one_change_by_hand():
    # 12 windows, lag 2: pairs 0..9; both halves change 1 -> 2 at window 6, seen by pairs 4 and 5
    labels = np.repeat([1, 2], 6)[:, None]
    # shifts 2..8 of ten pairs: pairs 4 and 5 meet themselves at none of them
    assert dynamics.split_half_flexibility(labels, labels, np.arange(12), 2, 1) == pytest.approx([0.2])


def test_changes_of_one_half_alone_do_not_count():
    rng = np.random.default_rng(0)
    steady = np.ones((300, 1), dtype=int)
    wild = rng.integers(1, 4, (300, 1))
    assert dynamics.split_half_flexibility(steady, wild, np.arange(300), 5, 1) == [0.0]
    # independent halves: C is 2/27 with an error of .015 in 295 pairs, A is 1/9; over 2,000 regions the error is .003
    first, second = rng.integers(1, 4, (2, 300, 2000))
    assert abs(dynamics.split_half_flexibility(first, second, np.arange(300), 5, 1).mean()) < 0.012


def test_what_cannot_be_measured_is_missing():
    labels = np.ones((20, 2), dtype=int)
    labels[:, 1] = 0
    np.testing.assert_array_equal(dynamics.split_half_flexibility(labels, labels, np.arange(20), 4, 1), [0.0, np.nan])
    # 10 windows of length 4 leave 6 pairs, fewer than twice the lag
    assert np.isnan(dynamics.split_half_flexibility(labels[:10], labels[:10], np.arange(10), 4, 1)).all()
    # the halves never agree
    assert np.isnan(dynamics.split_half_flexibility(labels, labels + 1, np.arange(20), 4, 1)).all()


@pytest.mark.parametrize(
    ("shape", "starts", "length"),
    [
        ((8, 3), np.arange(9), 2),
        ((9, 2), np.arange(9), 2),
        ((9, 3), np.arange(9) + 0.5, 2),
        ((9, 3), np.maximum(np.arange(9), 1), 2),
        ((9, 3), np.arange(9), 0),
    ],
)
def test_arguments_that_do_not_fit_are_refused(shape, starts, length):
    with pytest.raises(UsageError, match=r"halves|starts"):
        dynamics.split_half_flexibility(np.ones((9, 3), dtype=int), np.ones(shape, dtype=int), starts, length, 1)


def test_noise_makes_raw_flexibility_and_no_split_half():
    settings = SimulationSettings(regions=49, duration_s=600.0)
    networks = np.arange(49) * 7 // 49 + 1
    plan = dynamics.plan_windows(300, 2.0, 30, 1, unit="volumes")
    raw, split = [], []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        shared = band_limited(7, settings, rng)[networks - 1]
        noise = np.sqrt(2) * np.array([band_limited(49, settings, rng) for _ in range(2)])
        first, second = (shared[None] + noise).transpose(0, 2, 1)
        labels = [
            dynamics.prior_communities(dynamics.windowed_connectivity(one, plan), networks)[0]
            for one in (first, second, (first + second) / 2)
        ]
        raw.append(dynamics.flexibility(labels[2]).mean())
        split.append(np.nanmean(dynamics.split_half_flexibility(*labels[:2], plan.starts, 30, 1)))
    assert np.mean(raw) > 0.04
    assert abs(np.mean(split)) < 0.04
