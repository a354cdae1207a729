"""Windows and connectivity against numpy, scikit-learn and hand-made series."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_flex import dynamics as d
from bids_flex.errors import RunError, UsageError


def series(seed=0, volumes=60, regions=5):
    return np.random.default_rng(seed).standard_normal((volumes, regions)).cumsum(axis=0)


def numpy_windows(ts, length, step):
    out = np.stack([np.corrcoef(ts[s : s + length].T) for s in range(0, len(ts) - length + 1, step)])
    out[:, range(ts.shape[1]), range(ts.shape[1])] = 0
    return out


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(3, 20), st.integers(1, 9), st.sampled_from([0.0, 1e4]))
def test_pearson_equals_numpy(seed, length, step, level):
    ts = series(seed) + level
    plan = d.plan_windows(len(ts), 2.0, length, step, unit="volumes")
    found = d.windowed_connectivity(ts, plan)
    np.testing.assert_allclose(found, numpy_windows(ts, length, step), atol=1e-12 if level == 0 else 1e-11)
    np.testing.assert_array_equal(found, found.transpose(0, 2, 1))


HARD = {
    "walk": lambda noise, t: noise.cumsum(axis=0),
    "spike": lambda noise, t: noise * np.where(t == 60, 1e4, 1.0),
    "jump": lambda noise, t: noise + np.where(t > 60, 1e3, 0.0),
    "quiet": lambda noise, t: noise * np.where((t > 40) & (t < 90), 1e-3, 1.0),
    "level": lambda noise, t: noise + 1e4,
}


@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize(("length", "step"), [(30, 1), (31, 2), (90, 5)])
@pytest.mark.parametrize("censored", [0.0, 0.3])
def test_what_overlapping_windows_share_costs_no_accuracy(kind, length, step, censored):
    """Windows are summed up from what they have in common outwards; each is still right to twelve digits."""
    rng = np.random.default_rng(length)
    ts = HARD[kind](rng.standard_normal((140, 6)), np.arange(140)[:, None])
    keep = rng.random(140) >= censored
    keep[45:52] = censored == 0
    plan = d.plan_windows(140, 1.0, length, step, unit="volumes", keep=keep)
    found = d.windowed_connectivity(np.where(keep[:, None], ts, np.nan), plan)
    for window, start in zip(found, plan.starts, strict=True):
        inside = slice(start, start + length)
        expected = np.corrcoef(ts[inside][keep[inside]].T)
        np.fill_diagonal(expected, 0.0)
        np.testing.assert_allclose(window, expected, atol=1e-12 if kind != "level" else 1e-11)
        np.testing.assert_array_equal(window, window.T)


@pytest.mark.parametrize("estimator", ["pearson", "partial", "mtd"])
@pytest.mark.parametrize("unit", [1e-20, 1e20])
def test_the_unit_of_the_series_does_not_matter(estimator, unit):
    keep = np.arange(60) % 11 != 4
    plan = d.plan_windows(60, 2.0, 20, 5, unit="volumes", keep=keep)
    ts = np.where(keep[:, None], series(), np.nan)
    expected = d.windowed_connectivity(ts, plan, estimator)
    np.testing.assert_allclose(d.windowed_connectivity(ts * unit, plan, estimator), expected, atol=1e-12)


def test_a_region_that_stands_still_in_one_window_is_named():
    ts = series(volumes=80)
    ts[20:51, 3] = ts[20, 3]
    with pytest.raises(RunError, match=r"regions \[3\] .* in the window at volume 20"):
        d.windowed_connectivity(ts, d.plan_windows(80, 1.0, 30, 1, unit="volumes"))


def test_reference_series_to_twelve_digits(shared):
    ts = np.load(shared / "reference" / "prior_popovych000.npz")["ts"]
    plan = d.plan_windows(len(ts), 0.72, 60, 0.72)
    assert plan.length == 83
    np.testing.assert_allclose(d.windowed_connectivity(ts, plan), numpy_windows(ts, 83, 1), atol=1e-12)


@pytest.mark.parametrize("shape", ["rect", "gaussian", "tukey"])
def test_weights_are_taper_times_censoring(shape):
    ts = series()
    keep = np.ones(60, dtype=bool)
    keep[[3, 4, 30]] = False
    ts[~keep] = np.nan
    plan = d.plan_windows(60, 2.0, 20, 7, unit="volumes", shape=shape, keep=keep)
    found = d.windowed_connectivity(ts, plan)
    taper = d.window_taper(20, shape)
    for w, start in enumerate(plan.starts):
        rows = slice(start, start + 20)
        weight = taper * keep[rows]
        cov = np.cov(np.nan_to_num(ts[rows]).T, aweights=weight)
        expected = cov / np.sqrt(np.outer(np.diag(cov), np.diag(cov)))
        np.testing.assert_allclose(found[w] + np.eye(5), expected, atol=1e-12)


@pytest.mark.parametrize(("step", "sizes"), [(1, [7, 7, 7, 7, 7, 6]), (8, [3, 3])])
def test_blocks_are_the_whole(monkeypatch, step, sizes):
    """A block holds three windows here, or one group of those that share work: 1 + 20 // 3 of them."""
    ts, plan = series(), d.plan_windows(60, 2.0, 20, step, unit="volumes")
    whole = d.windowed_connectivity(ts, plan)
    monkeypatch.setattr("bids_flex.dynamics.connectivity.BLOCK_BYTES", 8 * 5 * 20 * 3)
    blocks = list(d.iter_windowed_connectivity(ts, plan))
    assert [len(block) for block in blocks] == sizes
    np.testing.assert_array_equal(np.concatenate(blocks), whole)


def test_partial_is_the_shrunk_precision():
    from sklearn.covariance import LedoitWolf
    from sklearn.preprocessing import StandardScaler

    ts, plan = series(), d.plan_windows(60, 2.0, 30, 30, unit="volumes")
    found = d.windowed_connectivity(ts, plan, "partial")
    precision = LedoitWolf(assume_centered=True).fit(StandardScaler().fit_transform(ts[30:])).precision_
    scale = np.sqrt(np.diag(precision))
    expected = -precision / np.outer(scale, scale)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(found[1], expected, atol=1e-12)


def test_mtd_by_hand():
    ts = series()
    keep = np.ones(60, dtype=bool)
    keep[5] = False
    plan = d.plan_windows(60, 2.0, 10, 10, unit="volumes", keep=keep)
    change = np.diff(ts, axis=0)
    both = keep[1:] & keep[:-1]
    change /= change[both].std(axis=0)
    rows = [i for i in range(9) if both[i]]
    expected = np.einsum("ta,tb->ab", change[rows], change[rows]) / len(rows)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(d.windowed_connectivity(ts, plan, "mtd")[0], expected, atol=1e-12)


def test_static_correlation_is_that_of_the_kept_volumes():
    ts = series()
    keep = np.arange(60) % 7 != 0
    expected = np.corrcoef(ts[keep].T) - np.eye(5)
    np.testing.assert_allclose(d.static_correlation(ts, keep), expected, atol=1e-12)


def test_tapers_by_their_formulas():
    """A bell whose standard deviation is a fifth of the window; flanks of a cosine at a quarter of it and more."""
    x = np.arange(9) - 4.0
    np.testing.assert_allclose(d.window_taper(9, "gaussian"), np.exp(-0.5 * (x / (8 / 5)) ** 2))
    flank = (1 - np.cos(np.pi * np.arange(1, 3) / 2.5)) / 2
    np.testing.assert_allclose(d.window_taper(9, "tukey"), [*flank, 1, 1, 1, 1, 1, *flank[::-1]])
    assert d.window_taper(3, "rect").tolist() == [1, 1, 1]


def test_windows_start_at_every_step_as_long_as_they_fit():
    plan = d.plan_windows(260, 1.5, 60, 1.5)
    assert (plan.length, plan.step, plan.n_windows) == (40, 1, 221)
    assert plan.starts[[0, -1]].tolist() == [0, 220]
    assert plan.pairs.all()
    assert len(plan.pairs) == 220
    assert plan.step_s == 1.5


@pytest.mark.parametrize(
    ("length", "step", "unit", "expected"),
    [(5, 3, "s", (3, 2)), (1, 0.1, "s", (3, 1)), (27, 1, "volumes", (27, 1)), (3.5, 2.5, "volumes", (4, 3))],
)
def test_durations_round_half_up_and_have_a_least(length, step, unit, expected):
    plan = d.plan_windows(100, 2.0, length, step, unit=unit)
    assert (plan.length, plan.step) == expected


def test_a_dropped_window_takes_the_pairs_on_both_its_sides():
    keep = np.ones(50, dtype=bool)
    keep[20:30] = False
    plan = d.plan_windows(50, 2.0, 10, 5, unit="volumes", keep=keep)
    # windows at 0 5 10 | 15 keeps 5 of 10: just enough | 20 keeps none | 25 keeps 5 | 30 35 40
    assert plan.starts.tolist() == [0, 5, 10, 15, 25, 30, 35, 40]
    assert plan.kept_frames.tolist() == [10, 10, 10, 5, 5, 10, 10, 10]
    assert plan.dropped == ((20, "0% of its volumes are kept, 50% are wanted"),)
    assert plan.pairs.tolist() == [True, True, True, False, True, True, True]


@pytest.mark.parametrize(
    ("call", "error", "told"),
    [
        (lambda: d.plan_windows(20, 2.0, 60, 2), RunError, r"20 volumes \(40 s\), fewer than one window of 30"),
        (lambda: d.plan_windows(20, 2.0, 20, 2, keep=np.zeros(20)), RunError, "no window keeps 50%"),
        (lambda: d.plan_windows(20, 0.0, 20, 2), UsageError, "must be above 0"),
        (lambda: d.plan_windows(20, 2.0, 0, 2), UsageError, "must be above 0, not 2.0, 0 and 2"),
        (lambda: d.plan_windows(20, 2.0, 20, 0), UsageError, "must be above 0, not 2.0, 20 and 0"),
        (lambda: d.plan_windows(20, 2.0, 20, 2, unit="min"), UsageError, "unit is 'min'"),
        (lambda: d.plan_windows(20, 2.0, 20, 2, shape="round"), UsageError, "window shape is 'round'"),
        (lambda: d.plan_windows(20, 2.0, 20, 2, keep=[True]), UsageError, "keep has shape"),
        (lambda: d.plan_windows(20, 2.0, 20, 2, min_kept=0), UsageError, "min_kept is 0"),
    ],
)
def test_impossible_windows_are_refused(call, error, told):
    with pytest.raises(error, match=told):
        call()


@pytest.mark.parametrize(
    ("spoil", "estimator", "error", "told"),
    [
        (lambda ts: ts[:-1], "pearson", UsageError, r"must be \(T, N\) with T = 60"),
        (lambda ts: ts[:, :1], "pearson", UsageError, "at least 2"),
        (lambda ts: ts * np.array([1, 0, 1, 1, 1]), "pearson", RunError, r"regions \[1\] .* do not vary"),
        (lambda ts: ts * np.array([1, 0, 1, 1, 1]), "partial", RunError, r"regions \[1\] .* do not vary"),
        (lambda ts: ts * np.array([1, 0, 1, 1, 1]), "mtd", RunError, r"regions \[1\] .* do not vary"),
        (lambda ts: np.where(np.arange(5) == 3, np.nan, ts), "pearson", RunError, r"regions \[3\] .* not finite"),
        (lambda ts: ts, "cosine", UsageError, "estimator is 'cosine'"),
    ],
)
def test_impossible_series_are_refused(spoil, estimator, error, told):
    plan = d.plan_windows(60, 2.0, 20, 5, unit="volumes")
    with pytest.raises(error, match=told):
        d.windowed_connectivity(spoil(series()), plan, estimator)


def test_partial_refuses_tapered_windows():
    plan = d.plan_windows(60, 2.0, 20, 5, unit="volumes", shape="gaussian")
    with pytest.raises(UsageError, match="rectangular windows only"):
        d.windowed_connectivity(series(), plan, "partial")
