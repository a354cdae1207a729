"""Landscapes over resolution and coupling: identities, hand fixtures, one network for many, planted communities."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from bids_flex import dynamics as d
from bids_flex.errors import RunError, UsageError

NULLS = ("ng", "signed", "gomez", "uniform")


def random_network(seed, windows=4, regions=9):
    """Signed windows, the first without any positive weight."""
    rng = np.random.default_rng(seed)
    fc = rng.uniform(-1, 1, (windows, regions, regions))
    fc = (fc + fc.transpose(0, 2, 1)) / 2
    fc[0] = -np.abs(fc[0])
    fc[:, range(regions), range(regions)] = 0
    return fc, rng.integers(1, 4, (windows, regions))


def planted(windows=6, regions=32, seed=0):
    """Four communities, of which one region in twenty changes between windows; the rest is noise."""
    rng = np.random.default_rng(seed)
    labels, truth, fc = np.repeat(np.arange(4), regions // 4), [], []
    for _ in range(windows):
        labels = np.where(rng.random(regions) < 0.05, rng.integers(0, 4, regions), labels)
        jitter = rng.standard_normal((regions, regions)) * 0.1
        window = 0.05 + 0.5 * (labels[:, None] == labels) + (jitter + jitter.T) / 2
        np.fill_diagonal(window, 0)
        truth.append(labels)
        fc.append(window)
    return np.array(fc), np.array(truth)


def height(planes, gamma, omega):
    return planes @ np.array([1.0, gamma, omega])


@given(st.integers(0, 10_000), st.sampled_from(NULLS), st.floats(0, 3), st.floats(0, 3), st.integers(1, 4))
def test_planes_are_raw_quality_everywhere(seed, null, gamma, omega, windows):
    fc, labels = random_network(seed, windows)
    if null == "ng" and windows == 1:
        fc = -fc
    stack = np.array([labels, np.ones_like(labels), labels.max() - labels + 1])
    two_mu = d.modularity(fc, gamma, omega, null).two_mu
    raw = d.multilayer_quality(fc, stack, gamma, omega, null) * two_mu
    planes = d.quality_planes(fc, stack, null)
    np.testing.assert_allclose(height(planes, gamma, omega), raw, atol=1e-9)
    np.testing.assert_allclose(d.quality_planes(fc, labels, null), planes[0])


def test_planes_by_hand():
    """Two pairs with weight 3 within and -1 between, two windows; the last region changes."""
    one = np.array([[0, 3, -1, -1], [3, 0, -1, -1], [-1, -1, 0, 3], [-1, -1, 3, 0]], dtype=float)
    labels = [[1, 1, 2, 2], [1, 1, 2, 1]]
    # W+: k 3, 2m 12; W-: k 2, 2m 8, counted 12/20 by signed; communities of 2 and 2, then of 3 and 1 regions
    within, between = [12, 6], [0, 4]
    expected, minus = [(36 + 36) / 12, (81 + 9) / 12], [(16 + 16) / 8, (36 + 4) / 8]
    np.testing.assert_allclose(d.quality_planes([one, one], labels, "ng"), [sum(within), -sum(expected), 6])
    signed = [sum(within) - 0.6 * sum(between), -sum(expected) + 0.6 * sum(minus), 6]
    np.testing.assert_allclose(d.quality_planes([one, one], labels, "signed"), signed)
    gomez = [sum(within) - sum(between), -sum(expected) + sum(minus), 6]
    np.testing.assert_allclose(d.quality_planes([one, one], labels, "gomez"), gomez)
    # uniform: the mean of the positive entries is 3, or what is given; 8 and 10 pairs, the diagonal included
    np.testing.assert_allclose(d.quality_planes([one, one], labels, "uniform"), [18 - 4, -3 * 18, 6])
    np.testing.assert_allclose(d.quality_planes([one, one], labels, "uniform", 0.5), [18 - 4, -9, 6])


@pytest.mark.parametrize("null", NULLS)
def test_a_sweep_tells_what_single_searches_would(null):
    fc, _ = random_network(3)
    fixed = 0.3 if null == "uniform" else None
    pairs = np.array([True, False, True])
    found = d.sweep(fc, [0.5, 1.5], [0.2, 1.0, 2.0], null, restarts=4, seed=8, a=fixed, pairs=pairs)
    np.testing.assert_array_equal(found.gamma, [0.5, 0.5, 0.5, 1.5, 1.5, 1.5])
    np.testing.assert_array_equal(found.omega, [0.2, 1.0, 2.0, 0.2, 1.0, 2.0])
    assert found.best.shape == (6, 4, 9)
    for p in range(6):
        gamma, omega, best = found.gamma[p], found.omega[p], found.best[p]
        model = d.modularity(fc, gamma, omega, null, fixed)
        assert found.two_mu[p] == pytest.approx(model.two_mu)
        assert found.quality_best[p] == pytest.approx(d.quality_of(model, best))
        assert height(found.planes[p], gamma, omega) == pytest.approx(found.quality_best[p] * model.two_mu)
        seed = int(np.random.SeedSequence(8).spawn(6)[p].generate_state(1, np.uint64)[0])
        alone = d.multilayer_communities(fc, gamma, omega, null, restarts=4, seed=seed, a=fixed)
        assert found.quality_mean[p] == pytest.approx(np.mean(alone.quality))
        assert found.quality_sd[p] == pytest.approx(np.std(alone.quality, ddof=1))
        assert found.n_communities_mean[p] == np.mean([np.unique(one).size for one in alone.labels])
        # the pairs that count are those between windows 0 and 1, 2 and 3
        changes = alone.labels[:, [1, 3]] != alone.labels[:, [0, 2]]
        assert found.flexibility_mean[p] == pytest.approx(changes.mean())
        assert found.flexibility_sd[p] == pytest.approx(changes.mean(axis=(1, 2)).std(ddof=1))
    assert found.null == null
    assert found.a == 0.3 if null == "uniform" else np.isnan(found.a)


def test_uniform_takes_a_from_the_run_once():
    fc, _ = random_network(1)
    found = d.sweep(fc, [0.5, 1.0], [0.5], "uniform", restarts=1)
    assert found.a == pytest.approx(fc[fc > 0].mean())
    assert np.isnan(found.quality_sd).all()
    assert np.isnan(found.flexibility_sd).all()


def test_extremes_are_told():
    """Without resolution positive weights make one community; far beyond, every region is alone."""
    fc, _ = planted()
    found = d.sweep(np.abs(fc), [0.0, 40.0], [0.1], "ng", restarts=2)
    assert found.fewest.tolist() == [1, 32]
    np.testing.assert_allclose(found.alone, [0.0, 1.0])
    pair = np.array([[[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]], dtype=float)
    one = d.sweep(pair, [0.5], [0.0], "ng", restarts=1)
    assert one.fewest.tolist() == [3]
    np.testing.assert_allclose(one.alone, [0.5])
    assert np.isnan(one.flexibility_mean).all()


def test_the_seed_decides_and_threads_do_not():
    fc, _ = random_network(2, windows=6, regions=30)
    words = (fc, [0.8, 1.2], [0.1, 0.5])
    one, two = (d.sweep(*words, restarts=3, seed=5, threads=n) for n in (1, 2))
    for name in ("best", "planes", "quality_mean", "flexibility_sd"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert (one.best != d.sweep(*words, restarts=3, seed=6).best).any()


@pytest.mark.parametrize("null", NULLS)
def test_pooled_runs_are_one_network_without_couplings_between_them(null):
    fixed = 0.4 if null == "uniform" else None
    runs = [random_network(seed, windows)[0] for seed, windows in ((1, 3), (2, 5))]
    swept = [d.sweep(fc, [0.7, 1.3], [0.3, 0.9], null, restarts=3, seed=1, a=fixed) for fc in runs]
    pooled = d.pool(swept)
    whole = np.concatenate(runs)
    for p in range(4):
        omega = np.full(7, pooled.omega[p])
        omega[2] = 0.0
        labels = np.concatenate([one.best[p] for one in swept])
        assert d.multilayer_quality(whole, labels, pooled.gamma[p], omega, null, fixed) == pytest.approx(
            pooled.quality_best[p]
        )
        raw = pooled.quality_best[p] * pooled.two_mu[p]
        assert height(pooled.planes[p], pooled.gamma[p], pooled.omega[p]) == pytest.approx(raw)
    np.testing.assert_allclose(pooled.flexibility_mean, (swept[0].flexibility_mean + swept[1].flexibility_mean) / 2)
    for name in ("n_communities_mean", "alone"):
        np.testing.assert_allclose(getattr(pooled, name), np.mean([getattr(one, name) for one in swept], axis=0))
    np.testing.assert_array_equal(pooled.fewest, np.minimum(swept[0].fewest, swept[1].fewest))
    assert pooled.best.shape == (4, 0, 0)


def test_pooling_by_hand():
    fc, _ = random_network(1)
    one = d.sweep(fc, [1.0], [0.5], restarts=2)
    one = replace(one, quality_mean=np.array([0.4]), quality_sd=np.array([0.03]), two_m=90.0, links=20.0)
    other = replace(one, quality_mean=np.array([0.1]), quality_sd=np.array([0.04]), two_m=40.0, links=20.0)
    one, other = replace(one, flexibility_sd=np.array([0.3])), replace(other, flexibility_sd=np.array([0.4]))
    pooled = d.pool([one, other])
    # 2 mu are 100 and 50
    np.testing.assert_allclose(pooled.two_mu, [150.0])
    np.testing.assert_allclose(pooled.quality_mean, [(0.4 * 100 + 0.1 * 50) / 150])
    np.testing.assert_allclose(pooled.quality_sd, [np.hypot(3.0, 2.0) / 150])
    np.testing.assert_allclose(pooled.flexibility_sd, [0.25])


def test_pooling_one_run_or_one_twice_changes_no_choice():
    fc, _ = planted()
    one = d.sweep(fc, [0.6, 1.0, 1.4], [0.1, 0.5], restarts=3)
    for pooled in (d.pool([one]), d.pool([one, one])):
        np.testing.assert_allclose(pooled.quality_mean, one.quality_mean)
        here, there = (d.champ_domains(each.planes, (0, 2), (0, 1)) for each in (one, pooled))
        np.testing.assert_allclose(here.share, there.share)
        assert d.recommend(one, here) == pytest.approx(d.recommend(pooled, there))


def test_the_widest_domain_holds_the_planted_communities():
    fc, truth = planted()
    found = d.sweep(fc, np.arange(0.2, 3.1, 0.2), [0.05, 0.2, 0.5, 1.0], restarts=5, seed=3)
    domains = d.champ_domains(found.planes, (0.2, 3.0), (0.05, 1.0))
    gamma, omega = d.recommend(found, domains)
    again = d.multilayer_communities(fc, gamma, omega, restarts=10, seed=9)
    best = again.labels[again.quality.argmax()]
    assert np.mean([adjusted_rand_score(t, b) for t, b in zip(truth, best, strict=True)]) > 0.97
    # of the partitions at hand, the recommended point's own is the best there
    chosen = height(found.planes, gamma, omega).argmax()
    assert domains.of_plane[chosen] >= 0
    assert found.fewest[chosen] > 1


def made(planes, fewest, alone):
    """A landscape of given planes, of which only what the choice looks at is filled in."""
    empty = np.zeros(len(planes))
    return d.Landscape(
        *[empty] * 8, np.array(planes, dtype=float), np.array(fewest), np.array(alone), np.empty((len(planes), 0, 0)),
        1.0, 1.0, "signed", float("nan"),
    )  # fmt: skip


def test_the_choice_by_hand():
    """Three strips of gamma, meeting at 1 and 3: the widest is one community, the next has many regions alone."""
    planes = [[0, 0, 0], [1, -1, 0], [-3, 1, 0]]
    domains = d.champ_domains(planes, (0, 9), (0, 2))
    np.testing.assert_allclose(domains.share, [6 / 9, 2 / 9, 1 / 9])
    assert d.recommend(made(planes, [2, 2, 2], [0.5, 0, 0.1]), domains) == pytest.approx((6.0, 1.0))
    assert d.recommend(made(planes, [2, 2, 1], [0.1, 0, 0.0]), domains) == pytest.approx((2.0, 1.0))
    assert d.recommend(made(planes, [8, 2, 1], [0.2, 0, 0.0]), domains) == pytest.approx((0.5, 1.0))
    with pytest.raises(RunError, match="another range of gamma"):
        d.recommend(made(planes, [8, 1, 1], [0.2, 0, 0.0]), domains)


def test_the_table_has_a_row_per_grid_point():
    planes = [[0, 0, 0], [1, -1, 0], [-9, 0, 0], [0, 0, 0]]
    table = d.landscape_table(made(planes, [2] * 4, [0] * 4), d.champ_domains(planes, (0, 4), (0, 1)))
    assert list(table) == [
        *("gamma", "omega", "quality_mean", "quality_sd", "quality_best", "n_communities_mean"),
        *("flexibility_mean", "flexibility_sd", "domain", "domain_share"),
    ]
    assert table["domain"].tolist() == [1, 2, 0, 1]
    np.testing.assert_allclose(table["domain_share"], [0.75, 0.25, 0, 0.75])


FC = random_network(0)[0]
SMALL = d.sweep(FC, [1.0], [1.0], restarts=1)


@pytest.mark.parametrize(
    ("call", "error", "told"),
    [
        (lambda: d.sweep(FC, [], [1.0]), UsageError, "gammas has shape"),
        (lambda: d.sweep(FC, [1.0], []), UsageError, "omegas has shape"),
        (lambda: d.sweep(FC, 1.0, [1.0]), UsageError, "a list of at least 1"),
        (lambda: d.sweep(FC, [-1.0], [1.0]), UsageError, "gammas must be at least 0"),
        (lambda: d.sweep(FC, [1.0], [np.nan]), UsageError, "omegas must be at least 0 and finite"),
        (lambda: d.sweep(FC, [1.0, 1.0], [1.0]), UsageError, "more than once"),
        (lambda: d.sweep(FC, [1.0], [1.0], restarts=0), UsageError, "restarts is 0"),
        (lambda: d.sweep(FC, [1.0], [1.0], null="other"), UsageError, "must be one of ng"),
        (lambda: d.sweep(FC, [1.0], [1.0], a=0.5), UsageError, "a fixes the null model"),
        (lambda: d.sweep(FC, [1.0], [1.0], pairs=[True]), UsageError, "pairs"),
        (lambda: d.sweep(0 * FC, [1.0], [1.0]), RunError, "no window has any weight"),
        (lambda: d.sweep(-np.abs(FC), [1.0], [1.0], null="ng"), RunError, "'ng' uses"),
        (lambda: d.quality_planes(FC, [[1, 2]]), UsageError, "is needed"),
        (lambda: d.pool([]), UsageError, "at least 1"),
        (lambda: d.pool([SMALL, d.sweep(FC, [1.0], [2.0], restarts=1)]), UsageError, "landscape 1 has another grid"),
        (lambda: d.pool([SMALL, d.sweep(FC, [1.0], [1.0], "ng", restarts=1)]), UsageError, "null model 'ng'"),
        (lambda: d.recommend(SMALL, d.champ_domains(np.eye(3), (0, 1), (0, 1))), UsageError, "of 3 planes"),
        (lambda: d.landscape_table(SMALL, d.champ_domains(np.eye(3), (0, 1), (0, 1))), UsageError, "1 grid points"),
    ],
)
def test_senseless_arguments_are_refused(call, error, told):
    with pytest.raises(error, match=told):
        call()
