"""Consensus and matching: hand fixtures, exhaustive search, identities, planted communities."""

from itertools import permutations
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import adjusted_rand_score, rand_score

from bids_flex import dynamics as d
from bids_flex.dynamics import consensus
from bids_flex.errors import UsageError


def labellings(least=0, windows=5, regions=7):
    shape = st.tuples(st.integers(1, windows), st.integers(1, regions))
    return shape.flatmap(lambda s: arrays(np.int16, s, elements=st.integers(least, 5)))


def same_partition(one, other):
    return ((one[:, None] == one) == (other[:, None] == other)).all()


def kept(before, here):
    return int(((before == here) & (before > 0) & (here > 0)).sum())


@given(labellings())
def test_matching_leaves_windows_and_searched_regions_as_they_are(labels):
    matched = d.match_windows(labels)
    assert matched.dtype == np.int16
    np.testing.assert_array_equal(matched == 0, labels == 0)
    for before, after in zip(labels, matched, strict=True):
        assert same_partition(before, after)
    named = matched[matched > 0]
    kinds, first = np.unique(named, return_index=True)
    assert kinds.tolist() == list(range(1, kinds.size + 1))
    assert (np.diff(first) > 0).all()


@given(labellings())
def test_each_pair_of_windows_keeps_as_much_as_any_renaming_can(labels):
    """Against all renamings, one by one; so changes never become more."""
    matched = d.match_windows(labels)
    for w in range(1, len(labels)):
        before, here = labels[w - 1], labels[w]
        names = np.unique(here[here > 0])
        most = 0
        # five names serve the window before, five more have no partner
        for chosen in permutations(range(1, 11), names.size) if names.size < 4 else ():
            table = np.zeros(6, dtype=int)
            table[names] = chosen
            most = max(most, kept(before, table[here]))
        assert kept(matched[w - 1], matched[w]) >= max(most, kept(before, here))
        if names.size < 4:
            assert kept(matched[w - 1], matched[w]) == most


@given(labellings(least=1))
def test_matching_again_changes_nothing(labels):
    matched = d.match_windows(labels)
    np.testing.assert_array_equal(d.match_windows(matched), matched)
    assert np.nan_to_num(d.flexibility(matched)).mean() <= np.nan_to_num(d.flexibility(labels)).mean() + 1e-12


def test_matching_by_hand():
    labels = [
        [7, 7, 7, 3, 3, 0],
        [3, 3, 3, 7, 7, 7],  # names exchanged
        [3, 3, 4, 4, 4, 4],  # region 2 leaves the first community
    ]
    np.testing.assert_array_equal(d.match_windows(labels), [[1, 1, 1, 2, 2, 0], [1, 1, 1, 2, 2, 2], [1, 1, 2, 2, 2, 2]])


def test_a_community_that_comes_back_keeps_a_label_that_was_right():
    labels = [[1, 1, 2, 2, 3], [1, 1, 1, 1, 3], [1, 1, 2, 2, 3]]
    np.testing.assert_array_equal(d.match_windows(labels), labels)
    # a renaming holds in later windows: 9 and 8 are 1 and 2 in both
    later = [[1, 1, 1, 2, 2], [9, 9, 9, 8, 8], [9, 9, 9, 9, 9], [9, 9, 9, 8, 8]]
    np.testing.assert_array_equal(d.match_windows(later)[3], [1, 1, 1, 2, 2])


def test_association_by_hand():
    partitions = np.array([[1, 1, 2], [1, 2, 2], [1, 1, 1], [1, 1, 2]])
    expected = [[1, 3 / 4, 1 / 4], [3 / 4, 1, 2 / 4], [1 / 4, 2 / 4, 1]]
    np.testing.assert_allclose(consensus._association(partitions), expected, atol=0)


@given(labellings(least=1, windows=6))
def test_the_fallback_is_most_like_all_others(partitions):
    chosen = consensus._most_alike(partitions.astype(np.int64))
    if partitions.shape[1] == 1:
        return
    alike = [np.mean([rand_score(one, other) for other in partitions]) for one in partitions]
    assert np.mean([rand_score(chosen, other) for other in partitions]) == pytest.approx(max(alike))
    assert same_partition(chosen, partitions[int(np.argmax(np.round(alike, 9)))])


def noisy_restarts(share, restarts=60, windows=6, regions=60, seed=0):
    """Communities that change a little between windows, and labellings in which some regions are anywhere."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(1, 6), regions // 5)[None].repeat(windows, axis=0)
    for w in range(1, windows):
        truth[w] = truth[w - 1]
        truth[w, rng.choice(regions, 4, replace=False)] = rng.integers(1, 6, 4)
    wrong = rng.random((restarts, windows, regions)) < share
    labels = np.where(wrong, rng.integers(1, 6, wrong.shape), truth)
    names = np.array([[rng.permutation(5) + 1 for _ in range(windows)] for _ in range(restarts)])
    return truth, np.take_along_axis(names, labels - 1, axis=2)


def test_what_restarts_share_is_found_whatever_their_names():
    truth, labels = noisy_restarts(0.4)
    found = d.consensus_communities(labels, seed=1)
    for expected, got in zip(truth, found, strict=True):
        assert adjusted_rand_score(expected, got) == 1.0
    # names are matched, so that changes are the planted ones, and far fewer than those of the labellings
    np.testing.assert_allclose(d.flexibility(found), d.flexibility(truth))
    assert found.max() == 5
    assert min(adjusted_rand_score(truth[0], one[0]) for one in labels) < 0.6


def test_only_what_chance_does_not_reach_is_searched(monkeypatch):
    """The null model's greatest entry is at least its mean, which community sizes give exactly."""
    seen, asked = [], []

    def look(fc, **words):
        seen.append(fc[0])
        asked.append((words["null"], words["restarts"], words["threads"]))
        return d.multilayer_communities(fc, **words)

    _, labels = noisy_restarts(0.6, windows=1)
    monkeypatch.setattr(consensus, "multilayer_communities", look)
    d.consensus_communities(labels, threads=3)
    assert set(asked) == {("ng", 25, 3)}
    sizes = np.array([np.bincount(one[0]) for one in labels])
    mean = (sizes * (sizes - 1)).sum() / (len(labels) * 60 * 59)
    share = np.mean([one[0][:, None] == one[0] for one in labels], axis=0)
    np.fill_diagonal(share, 0)
    kept = seen[0] > 0
    np.testing.assert_allclose(seen[0][kept], share[kept])
    assert share[kept].min() > max(share[~kept].max(), mean)
    assert share[~kept].max() > mean


def test_a_region_without_a_place_is_alone():
    truth, labels = noisy_restarts(0.0, windows=1)
    rng = np.random.default_rng(3)
    labels[:, 0, 7] = rng.integers(6, 60, len(labels))
    found = d.consensus_communities(labels)[0]
    assert (found == found[7]).sum() == 1
    rest = np.arange(truth.shape[1]) != 7
    assert same_partition(found[rest], truth[0, rest])


def test_labellings_that_agree_are_kept_even_when_all_is_one_community():
    one = np.array([[1, 1, 1, 1], [1, 1, 2, 2]])
    stack = np.array([one, 3 - one, one])
    stack[1, 0] = 2
    np.testing.assert_array_equal(d.consensus_communities(stack), one)


def test_a_community_that_comes_back_is_a_new_one():
    """Windows are searched one by one: nothing but the regions in common tells what is the same community."""
    one = np.array([[1, 1, 2, 2, 3, 3], [1, 1, 1, 1, 3, 3], [1, 1, 2, 2, 3, 3]])
    expected = [[1, 1, 2, 2, 3, 3], [1, 1, 1, 1, 3, 3], [1, 1, 4, 4, 3, 3]]
    np.testing.assert_array_equal(d.consensus_communities([one, one]), expected)


def test_nothing_above_chance_leaves_the_most_typical_labelling():
    """All pairs share a community equally often, so that the greatest chance, at least the mean, is no less."""
    stack = np.ones((30, 1, 6), dtype=int)
    stack[np.arange(30), 0, np.arange(30) % 6] = 2
    np.testing.assert_array_equal(d.consensus_communities(stack), [[1, 2, 2, 2, 2, 2]])
    # two labellings: a pair that both join by chance is enough, and the first is as typical as the second
    two = [[[1, 1, 1, 1, 2]], [[1, 1, 1, 2, 2]]]
    np.testing.assert_array_equal(d.consensus_communities(two), two[0])


def test_searches_that_never_agree_end_with_the_most_typical(monkeypatch):
    rounds = []

    def quarrel(fc, **words):
        rounds.append(words["seed"])
        labels = np.ones((25, 1, fc.shape[1]), dtype=np.int16)
        labels[:10, 0, :20] = 2
        labels[10:, 0, :30] = 2
        return SimpleNamespace(labels=labels)

    _, stack = noisy_restarts(0.2, windows=1)
    monkeypatch.setattr(consensus, "multilayer_communities", quarrel)
    found = d.consensus_communities(stack)
    assert len(set(rounds)) == consensus.ROUNDS
    np.testing.assert_array_equal(found[0], np.repeat([1, 2], 30))


def test_regions_that_were_not_searched_stay_so():
    truth, labels = noisy_restarts(0.3)
    labels[:, 2, 10:13] = 0
    labels[:, 4] = 0
    found = d.consensus_communities(labels)
    np.testing.assert_array_equal(found == 0, labels[0] == 0)
    assert adjusted_rand_score(truth[2][found[2] > 0], found[2][found[2] > 0]) == 1.0


def test_one_labelling_is_its_own_consensus():
    labels = np.array([[1, 1, 2, 2, 3], [2, 2, 1, 1, 1], [1, 1, 2, 2, 3]])
    np.testing.assert_array_equal(d.consensus_communities(labels[None]), d.match_windows(labels))
    assert same_partition(d.consensus_communities(labels[None])[1], labels[1])


def test_the_seed_decides_and_threads_do_not():
    _, labels = noisy_restarts(0.75, restarts=20)
    one, two = (d.consensus_communities(labels, seed=4, threads=n) for n in (1, 2))
    np.testing.assert_array_equal(one, two)
    assert any((d.consensus_communities(labels, seed=s) != one).any() for s in range(5))


def test_real_searches_agree_with_their_consensus(shared):
    """Real labellings of one brain: the consensus is nearer to them than they are to each other."""
    data = np.load(shared / "reference" / "multilayer_popovych000.npz")
    plan = d.plan_windows(len(data["ts"]), 1.0, int(data["window"]), int(data["step"]), unit="volumes")
    found = d.multilayer_communities(d.windowed_connectivity(data["ts"], plan), omega=0.5, restarts=30, seed=1)
    agreed = d.consensus_communities(found.labels, seed=1)
    ours, theirs = [], []
    for w in range(len(agreed)):
        ours += [adjusted_rand_score(agreed[w], one[w]) for one in found.labels]
        theirs += [adjusted_rand_score(found.labels[r, w], found.labels[r - 1, w]) for r in range(30)]
    assert np.mean(ours) > np.mean(theirs)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: d.match_windows([1, 2]), r"must be \(W, N\)"),
        (lambda: d.match_windows(np.empty((0, 3), dtype=int)), "none of them 0"),
        (lambda: d.match_windows([[1, -1]]), "go down to -1"),
        (lambda: d.match_windows([[1.5, 1.0]]), "must be integers"),
        (lambda: d.match_windows([np.arange(1, 40_000)]), "39999 communities"),
        (lambda: d.consensus_communities([[1, 2]]), r"must be \(R, W, N\)"),
        (lambda: d.consensus_communities([[[1, 2]], [[0, 2]]]), "region 0 of window 0 is 0"),
    ],
)
def test_senseless_labels_are_refused(call, told):
    with pytest.raises(UsageError, match=told):
        call()
