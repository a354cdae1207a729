"""The loop over surrogates, and observed values beside null ones."""

import itertools
import signal
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bids_flex import dynamics as d
from bids_flex.errors import RunError, UsageError

NETWORKS = np.repeat([1, 2, 3], 4)


def series(volumes=120, seed=0):
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((volumes, 3))[:, NETWORKS - 1]
    return shared + rng.standard_normal((volumes, 12)) + np.arange(12)


def plan(volumes=120, step=5, keep=None):
    return d.plan_windows(volumes, 2.0, 20, step, unit="volumes", keep=keep)


def measure(ts):
    labels, _ = d.prior_communities(d.windowed_connectivity(ts, plan()), NETWORKS)
    return d.profile(labels, NETWORKS, step_s=10.0, n_communities=3).regions


def noise(seed):
    return np.random.default_rng(seed).standard_normal((50, 4))


def moments(ts):
    return {"mean": ts.mean(), "sd": ts.std(axis=0)}


@pytest.mark.parametrize("kind", ["phase", "var", "iaaft"])
def test_the_loop_is_a_loop(kind):
    """The oracle: seeds spawned, surrogates drawn, measured and stacked one after the other."""
    ts = series()
    draw = d.series_surrogates(kind, ts)
    one = {"phase": d.phase_surrogate, "var": d.var_surrogate, "iaaft": d.iaaft_surrogate}[kind]
    seeds = [int(child.generate_state(1, np.uint64)[0]) for child in np.random.SeedSequence(5).spawn(4)]
    rows = [measure(one(ts, seed)) for seed in seeds]
    for threads in (1, 2, 3):
        found = d.null_distribution(draw, measure, 4, seed=5, threads=threads)
        assert set(found) == set(rows[0])
        for name, values in found.items():
            np.testing.assert_array_equal(values, np.stack([row[name] for row in rows]))


def test_one_surrogate_is_enough():
    (seed,) = np.random.SeedSequence(3).spawn(1)
    found = d.null_distribution(noise, moments, 1, seed=3)
    np.testing.assert_array_equal(found["sd"], [noise(int(seed.generate_state(1, np.uint64)[0])).std(axis=0)])


def test_more_surrogates_begin_with_the_same_ones():
    few, many = (d.null_distribution(noise, moments, n, seed=1) for n in (3, 7))
    np.testing.assert_array_equal(few["sd"], many["sd"][:3])
    assert many["sd"].shape == (7, 4)
    assert many["mean"].shape == (7,)
    assert np.unique(many["mean"]).size == 7
    np.testing.assert_array_equal(
        d.null_distribution(noise, moments, 3)["sd"], d.null_distribution(noise, moments, 3, seed=0)["sd"]
    )
    assert not np.isin(d.null_distribution(noise, moments, 7, seed=2)["mean"], many["mean"]).any()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_no_more_surrogates_live_than_there_are_threads(threads):
    lock, alive, most = threading.Lock(), set(), []

    def draw(seed):
        made = noise(seed)
        with lock:
            alive.add(seed)
            most.append(len(alive))
        weakref.finalize(made, alive.discard, seed)
        return made

    def view(ts):
        time.sleep(0.002)
        # a measure that is a view of the surrogate must not keep it
        return {"first": ts[0]}

    d.null_distribution(draw, view, 40, threads=threads)
    assert len(most) == 40
    assert max(most) <= threads
    assert not alive


def test_threads_work_at_the_same_time():
    """Two surrogates that wait for each other: with one thread at a time they would never end."""
    meeting = threading.Barrier(2, timeout=20)

    def wait(ts):
        meeting.wait()
        return {"x": 1.0}

    assert d.null_distribution(noise, wait, 2, threads=2)["x"].tolist() == [1, 1]


@pytest.fixture
def pool(monkeypatch):
    """Events of the pool of surrogates, which surrogates can wait for: 200 were handed in; it was told to end."""

    class Watched(ThreadPoolExecutor):
        full, ended, count = threading.Event(), threading.Event(), itertools.count(1)

        def submit(self, *given):
            future = super().submit(*given)
            if next(self.count) == 200:
                self.full.set()
            return future

        def shutdown(self, wait=True, *, cancel_futures=False):
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            self.ended.set()
            super().shutdown(wait=wait)

    monkeypatch.setattr("bids_flex.dynamics.nulls.ThreadPoolExecutor", Watched)
    return Watched


def test_an_error_is_raised_and_the_rest_never_starts(pool):
    seeds, started = [], []
    d.null_distribution(seeds.append, lambda _: {"x": 0.0}, 1, threads=1)

    def fails(seed):
        started.append(seed)
        if seed != seeds[0]:
            assert pool.ended.wait(60)
        raise RunError("surrogate 'phase' is bad")

    pool.ended.clear()
    with pytest.raises(RunError, match="surrogate 'phase' is bad"):
        d.null_distribution(lambda seed: seed, fails, 200, threads=2)
    # each thread had one, and the thread of the first had time for another
    assert len(started) <= 3


def test_an_interruption_cancels_what_waits(pool):
    started, number = [], itertools.count(1)

    def interrupt():
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    def slow(ts):
        started.append(1)
        assert pool.full.wait(60)
        # exactly one of the threads draws the third number
        if (mine := next(number)) == 3:
            interrupt()
            # one that arrives just before the main thread begins to wait does not wake it
            while not pool.ended.wait(5):
                interrupt()
        elif mine > 3:
            assert pool.ended.wait(60)
        return {"x": 0.0}

    # tests that were started in the background are deaf to Ctrl-C
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            d.null_distribution(noise, slow, 200, threads=2)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(started) <= 4


def test_measures_must_be_alike():
    shapes = iter([3, 3, 4])
    with pytest.raises(UsageError, match="surrogate 2 has measures"):
        d.null_distribution(noise, lambda ts: {"x": np.zeros(next(shapes))}, 3, threads=1)


def test_surrogates_are_refiltered():
    keep = np.arange(120) % 10 > 0

    def refilter(ts):
        return np.where(keep[:, None], ts * 2, np.nan)

    found = d.series_surrogates("phase", series(), refilter)(3)
    expected = d.phase_surrogate(series(), 3) * 2
    np.testing.assert_array_equal(found[keep], expected[keep])
    assert np.isnan(found[~keep]).all()


def test_gaps_are_filled_with_kept_volumes_from_both_sides():
    """Eleven volumes: the first one, 4 and 5, and the last two are censored."""
    ts = np.stack([np.arange(11.0), np.arange(11.0) ** 2], axis=1)
    keep = np.array([False, True, True, True, False, False, True, True, True, False, False])
    ts -= ts[keep].mean(axis=0)
    ts[~keep] = 1e6
    found = d.series_surrogates("phase", ts + 7, keep=keep)
    expected = ts.copy()
    expected[0] = ts[2]
    # a third and two thirds of a quarter turn: cos 30 and sin 30 degrees, then the other way round
    near, far = np.sqrt(3) / 2, 0.5
    expected[4] = near * ts[2] + far * ts[8]
    expected[5] = far * ts[1] + near * ts[7]
    expected[9], expected[10] = ts[7], ts[6]
    np.testing.assert_allclose(found.source, expected + 7)
    np.testing.assert_array_equal(found(3), d.phase_surrogate(found.source, 3))
    np.testing.assert_array_equal(d.series_surrogates("phase", ts + 7, keep=keep.astype(int)).source, found.source)
    np.testing.assert_array_equal(d.series_surrogates("phase", ts).source, ts)


@given(arrays(bool, 60, elements=st.booleans()).filter(lambda keep: keep.any()))
def test_filled_gaps_hold_nothing_that_was_censored(keep):
    ts = series(60)
    ts[~keep] = np.inf
    # what is not finite would be refused; what is huge would be seen
    found = d.series_surrogates("phase", np.where(keep[:, None], ts, 1e9), keep=keep).source
    np.testing.assert_array_equal(found[keep], ts[keep])
    mean = ts[keep].mean(axis=0)
    assert (np.abs(found - mean).max(axis=0) <= np.sqrt(2) * np.abs(ts[keep] - mean).max(axis=0) + 1e-9).all()


@pytest.mark.parametrize(("kind", "low", "high"), [("phase", 0, 1e-10), ("var", 0.01, 1), ("iaaft", 1e-4, 0.05)])
def test_changes_of_static_correlations_reach_the_caller(kind, low, high):
    draw = d.series_surrogates(kind, series(400), lambda ts: ts + 1)
    plain = d.null_distribution(draw, moments, 3, seed=2)
    found = d.null_distribution(draw.unfiltered, draw.measured(moments), 3, seed=2)
    change = found.pop("correlation_change")
    assert change.shape == (3,)
    assert (change >= low).all()
    assert (change <= high).all()
    assert set(found) == set(plain)
    for name, values in plain.items():
        np.testing.assert_array_equal(values, found[name])


def test_permuted_windows_are_searched_anew_or_their_labels_permuted():
    """``prior`` searches every window by itself: permuting connectivity or labels is the same."""
    apart = plan(step=20)
    fc = d.windowed_connectivity(series(), apart)
    labels, _ = d.prior_communities(fc, NETWORKS)

    def of_labels(one):
        return d.profile(one, NETWORKS, step_s=40.0, n_communities=3).regions

    def of_connectivity(one):
        return of_labels(d.prior_communities(one, NETWORKS)[0])

    found = d.null_distribution(d.window_surrogates(labels, apart), of_labels, 5)
    for name, values in d.null_distribution(d.window_surrogates(fc, apart), of_connectivity, 5).items():
        np.testing.assert_array_equal(values, found[name])
        if name in d.ORDER_FREE:
            assert np.ptp(values, axis=0) == pytest.approx(0, abs=1e-12)
    with pytest.raises(UsageError, match="overlap"):
        d.window_surrogates(labels, plan(step=5))


def test_what_a_null_model_says_nothing_about_is_missing():
    observed = {"flexibility": 0.5, "promiscuity": [0.2, 0.3]}
    null = {"flexibility": np.array([0.1, 0.3]), "promiscuity": np.zeros((2, 2)), "correlation_change": np.zeros(2)}
    found = d.compare(observed, null, undefined=d.ORDER_FREE)
    assert set(found) == {"flexibility", "promiscuity"}
    assert found["flexibility"].excess == pytest.approx(0.3)
    for values in (found["promiscuity"].mean, found["promiscuity"].excess, found["promiscuity"].p):
        assert values.shape == (2,)
        assert np.isnan(values).all()
    assert d.compare(observed, null)["promiscuity"].mean.tolist() == [0, 0]


@pytest.mark.parametrize(("share", "given_"), [(0.0, True), (0.3, True), (0.31, False)])
def test_z_is_not_given_for_runs_that_are_mostly_filled(share, given_):
    found = d.compare({"x": 3.0}, {"x": np.array([1.0, 2.0, 0.0])}, censored_share=share)["x"]
    assert found.z == pytest.approx(2.0 if given_ else np.nan, nan_ok=True)
    assert found.excess == pytest.approx(2.0)
    assert found.p == pytest.approx(0.5)


def test_null_statistics_by_hand():
    found = d.null_statistics([3.0, 0.0, 2.0, np.nan], [[1, 1, 2, 1], [2, 1, 2, 1], [3, 1, 2, 1]])
    np.testing.assert_allclose(found.mean, [2, 1, 2, 1])
    np.testing.assert_allclose(found.sd, [1, 0, 0, 0])
    np.testing.assert_allclose(found.excess, [1, -1, 0, np.nan])
    np.testing.assert_allclose(found.z, [1, np.nan, np.nan, np.nan])
    np.testing.assert_allclose(found.p_hi, [0.5, 1, 1, np.nan])
    np.testing.assert_allclose(found.p_lo, [1, 0.25, 1, np.nan])
    np.testing.assert_allclose(found.p, [1, 0.5, 1, np.nan])


def test_rounding_neither_makes_a_spread_nor_breaks_a_tie():
    """0.1 + 0.2 is not 0.3, but counts as it; three equal values whose mean is rounded have no spread."""
    found = d.null_statistics([0.3, 0.3], [[0.1 + 0.2, 0.1], [0.3, 0.1], [0.1 + 0.2, 0.1]])
    assert found.sd.tolist() == [0, 0]
    assert np.isnan(found.z).all()
    assert found.p_hi.tolist() == [1, 0.25]
    assert found.p_lo.tolist() == [1, 1]


def test_a_surrogate_without_a_value_leaves_none():
    found = d.null_statistics(1.0, [0.0, np.nan, 2.0])
    assert np.isnan([found.mean, found.sd, found.z, found.p]).all()


@given(arrays(float, (9, 3), elements=st.floats(-5, 5)), arrays(float, 3, elements=st.floats(-5, 5)))
def test_p_lies_between_its_bounds(null, observed):
    found = d.null_statistics(observed, null)
    assert (found.p >= 2 / 10 - 1e-12).all()
    assert (found.p <= 1).all()
    assert (found.p_hi + found.p_lo >= 1.1 - 1e-12).all()


@given(arrays(float, 19, elements=st.floats(-5, 5), unique=True))
def test_p_is_valid_by_symmetry(values):
    """Each of n + 1 exchangeable values in turn is the observed one: no share of p at most a exceeds a."""
    p = [d.null_statistics(value, np.delete(values, k)).p for k, value in enumerate(values)]
    for level in np.unique(p):
        assert np.mean(np.array(p) <= level + 1e-9) <= level + 1e-9


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: d.series_surrogates("temporal", series()), "must be one of phase, var, iaaft"),
        (lambda: d.series_surrogates("phase", np.full((9, 2), np.nan)), "has gaps"),
        (lambda: d.series_surrogates("phase", series(), keep=np.ones(3, bool)), r"keep has shape \(3,\)"),
        (lambda: d.series_surrogates("phase", series(), keep=np.zeros(120, bool)), "with 0 kept volumes"),
        (lambda: d.null_distribution(noise, moments, 0), "at least 1 surrogate"),
        (lambda: d.compare({"x": 1.0}, {"y": np.zeros(3)}), "no null values of x"),
        (lambda: d.null_statistics([1.0], [[1.0]]), "n of at least 2"),
        (lambda: d.null_statistics([1.0], [[1.0, 2.0], [1.0, 2.0]]), r"\(n, \*\(1,\)\)"),
        (lambda: d.null_statistics([1.0], [[1.0], [2.0]], 1.5), "between 0 and 1"),
    ],
)
def test_senseless_arguments_are_refused(call, told):
    with pytest.raises(UsageError, match=told):
        call()


def test_an_autoregression_is_refused_before_any_surrogate():
    with pytest.raises(RunError, match=r"59 volumes cannot carry .* 12 regions"):
        d.series_surrogates("var", series(), keep=np.arange(120) < 59)
