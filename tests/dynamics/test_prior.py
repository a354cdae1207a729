"""The prior engine against the original program, against its definition, and against hand-made windows."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_flex import dynamics as d
from bids_flex.dynamics import _kernels
from bids_flex.errors import UsageError

CASES = ("tiny_k2", "tiny_k3_singleton", "synth0", "synth1", "synth2", "synth3", "popovych000", "popovych007",
         "rapidtide_schaefer100")  # fmt: skip


def transcription(fc, networks, max_iterations=1000):
    """The definition, word by word, with every mean taken anew."""
    labels = np.array(networks)
    f = np.abs(np.arctanh(np.clip(fc, -1 + 1e-7, 1 - 1e-7)))
    previous = None
    regions = np.arange(len(labels))
    for iteration in range(1, max_iterations + 1):
        cost = np.full(len(labels), np.inf)
        for i in regions:
            own = (labels == labels[i]) & (regions != i)
            other = labels != labels[i]
            if own.any() and other.any():
                inside, outside = f[i, own].mean(), f[i, other].mean()
                if inside + outside > 0:
                    cost[i] = (inside - outside) / (inside + outside)
        worst = int(np.argmin(cost))
        if worst == previous:
            return labels, iteration
        means = [
            f[worst, (labels == k) & (regions != worst)].mean() if ((labels == k) & (regions != worst)).any() else -1.0
            for k in range(1, max(networks) + 1)
        ]
        labels[worst] = int(np.argmax(means)) + 1
        previous = worst
    return labels, max_iterations


@pytest.mark.parametrize("case", CASES)
def test_labels_and_iterations_of_the_original_program(shared, case):
    reference = np.load(shared / "reference" / f"prior_{case}.npz")
    plan = d.plan_windows(len(reference["ts"]), 1.0, int(reference["window"]), int(reference["step"]), unit="volumes")
    fc = d.windowed_connectivity(reference["ts"], plan)
    labels, iterations = d.prior_communities(fc, reference["init"])
    np.testing.assert_array_equal(labels, reference["labels"])
    np.testing.assert_array_equal(iterations, reference["iterations"])
    networks, k = reference["init"], int(reference["K"])
    allegiance = d.allegiance(labels)
    cohesion = d.cohesion(labels)
    measured = {
        "flexibility": d.flexibility(labels),
        "promiscuity": d.promiscuity(labels, k),
        "cohesion": cohesion.cohesion,
        "disjointedness": cohesion.disjointedness,
        "cohesion_strength": cohesion.strength,
        "recruitment": d.recruitment(allegiance, networks),
        "integration": d.integration(allegiance, networks),
    }
    for name, values in measured.items():
        np.testing.assert_allclose(values, reference[name], atol=1e-12, err_msg=name)
    for name in ("flexibility", "promiscuity"):
        assert measured[name].mean() == pytest.approx(float(reference[f"global_{name}"]), abs=1e-12)


def correlations(seed, windows=3, regions=8, volumes=12):
    series = np.random.default_rng(seed).standard_normal((windows, volumes, regions))
    fc = np.stack([np.corrcoef(one.T) for one in series])
    fc = (fc + fc.transpose(0, 2, 1)) / 2
    fc[:, range(regions), range(regions)] = 0
    return fc


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 12), st.integers(1, 5))
def test_the_kernel_does_what_the_definition_says(seed, regions, networks):
    fc = correlations(seed, regions=regions)
    start = np.arange(regions) % min(networks, regions) + 1
    labels, iterations = d.prior_communities(fc, start)
    for window, found, count in zip(fc, labels, iterations, strict=True):
        expected, expected_count = transcription(window, start)
        np.testing.assert_array_equal(found, expected)
        assert count == expected_count


def test_a_misplaced_region_moves_home():
    fc = np.full((1, 6, 6), 0.1)
    fc[:, :3, :3] = fc[:, 3:, 3:] = 0.8
    labels, iterations = d.prior_communities(fc, [1, 1, 2, 2, 2, 2])
    assert labels.tolist() == [[1, 1, 1, 2, 2, 2]]
    assert labels.dtype == np.int16
    # the region moves; then all are equally well placed, the first one is "worst", "moves" home, and is worst again
    assert iterations.tolist() == [3]


def test_ties_go_to_the_first():
    fc = np.full((1, 4, 4), 0.5)
    labels, iterations = d.prior_communities(fc, [1, 1, 2, 2])
    # all costs are zero: region 0 is worst; network 1 (one other member) and 2 tie, network 1 wins
    assert labels.tolist() == [[1, 1, 2, 2]]
    assert iterations.tolist() == [2]


def test_windows_without_any_strength_stay_as_they_are():
    labels, iterations = d.prior_communities(np.zeros((2, 4, 4)), [1, 1, 2, 2])
    assert labels.tolist() == [[1, 1, 2, 2]] * 2
    assert iterations.tolist() == [2, 2]


def test_no_network_becomes_empty():
    # the last region of a network has no cost, so it is never the worst
    labels, _ = d.prior_communities(correlations(4, windows=200, regions=5), [1, 1, 2, 2, 3])
    assert all(set(window) == {1, 2, 3} for window in labels.tolist())


def test_the_limit_holds():
    fc = correlations(1, windows=30, regions=20)
    free = d.prior_communities(fc, np.arange(20) % 4 + 1)[1]
    limited = d.prior_communities(fc, np.arange(20) % 4 + 1, max_iterations=5)[1]
    np.testing.assert_array_equal(limited, np.minimum(free, 5))


def test_what_never_settles_ends_after_a_thousand_iterations():
    """A window that goes round in circles: by the definition too, it has not settled after two thousand."""
    fc, networks = correlations(1, windows=15)[14:], np.arange(8) % 2 + 1
    assert transcription(fc[0], networks, 2000)[1] == 2000
    labels, iterations = d.prior_communities(fc, networks)
    assert iterations.tolist() == [1000]
    np.testing.assert_array_equal(labels[0], transcription(fc[0], networks, 1000)[0])
    assert d.prior_communities(fc, networks, 1001)[1].tolist() == [1001]


def test_one_iteration_is_the_least():
    # in the hand-made window above, the first iteration moves the misplaced region, and nothing is checked any more
    fc = np.full((1, 6, 6), 0.1)
    fc[:, :3, :3] = fc[:, 3:, 3:] = 0.8
    labels, iterations = d.prior_communities(fc, [1, 1, 2, 2, 2, 2], max_iterations=1)
    assert (labels.tolist(), iterations.tolist()) == ([[1, 1, 1, 2, 2, 2]], [1])
    with pytest.raises(UsageError, match="max_iterations is 0; it must be at least 1"):
        d.prior_communities(fc, [1, 1, 2, 2, 2, 2], max_iterations=0)


def test_windows_are_searched_in_blocks_and_each_but_once(monkeypatch):
    """Between two calls of the kernel Ctrl-C is heard."""
    sizes = []

    def look(block, *rest):
        sizes.append(len(block))
        return _kernels.prior(block, *rest)

    monkeypatch.setattr("bids_flex.dynamics.prior._kernels", SimpleNamespace(prior=look))
    fc = correlations(2, windows=130, regions=5)
    found, _ = d.prior_communities(fc, [1, 1, 2, 2, 2])
    assert sizes == [64, 64, 2]
    np.testing.assert_array_equal(found[128:], d.prior_communities(fc[128:], [1, 1, 2, 2, 2])[0])


def test_wrong_networks_are_listed_up_to_ten():
    with pytest.raises(UsageError, match=r"not \[2, 3, 4, 5, 6, 7, 8, 9, 10, 11\]$"):
        d.prior_communities(np.zeros((1, 12, 12)), np.arange(2, 14))


def test_other_kinds_of_numbers_serve():
    fc = np.zeros((1, 4, 4), dtype=np.float32)
    fc[0, 0, 3] = fc[0, 3, 0] = 0.5
    found, _ = d.prior_communities(fc, np.array([1, 1, 2, 2], dtype=np.int64))
    expected, _ = d.prior_communities(fc.astype(float), [1, 1, 2, 2])
    np.testing.assert_array_equal(found, expected)
    integers, _ = d.prior_communities((fc * 2).astype(int), [1, 1, 2, 2], fisher=False)
    np.testing.assert_array_equal(integers, expected)


def test_a_perfect_correlation_is_strong_and_finite():
    fc = np.full((1, 4, 4), 0.2)
    fc[0, 0, 3] = fc[0, 3, 0] = 1.0
    labels, _ = d.prior_communities(fc, [1, 1, 2, 2])
    assert labels[0, 0] == labels[0, 3]


def test_unbounded_connectivity_is_taken_as_it_is():
    fc = correlations(2)
    scaled, _ = d.prior_communities(fc * 1e6, [1, 1, 1, 1, 2, 2, 2, 2], fisher=False)
    plain, _ = d.prior_communities(fc, [1, 1, 1, 1, 2, 2, 2, 2], fisher=False)
    np.testing.assert_array_equal(scaled, plain)


@pytest.mark.parametrize(
    ("spoil", "networks", "told"),
    [
        (lambda fc: fc[0], [1, 1, 2], "it must be"),
        (lambda fc: fc[:, :2, :2], [1, 1, 2], "it must be"),
        (lambda fc: fc, [1, 1, 3], "numbered 1..K without gaps"),
        (lambda fc: fc, [0, 1, 2], "numbered 1..K"),
        (lambda fc: fc[:, :1, :1], [1], "at least 2 regions"),
    ],
)
def test_senseless_arguments_are_refused(spoil, networks, told):
    with pytest.raises(UsageError, match=told):
        d.prior_communities(spoil(correlations(0, regions=3)), networks)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.99])
def test_a_bad_window_is_named(value):
    fc = correlations(0, windows=80, regions=4)
    fc[70, 1, 2] = value
    with pytest.raises(UsageError, match="window 70 of fc is not finite and symmetric"):
        d.prior_communities(fc, [1, 1, 2, 2])


@pytest.mark.parametrize("count", [1, 7, 8, 1001])
def test_strengths_are_fisher_z_to_fourteen_digits(count):
    """The kernel has a logarithm of its own; from 1e-9 to 1 - 1e-7, where r is clipped."""
    rng = np.random.default_rng(count)
    r = np.concatenate(
        [rng.uniform(-1, 1, count), 1 - 10.0 ** rng.uniform(-9, 0, count), 10.0 ** rng.uniform(-9, 0, count)]
    )
    found = np.empty(r.size, dtype=np.int64)
    _kernels.strengths(r, found)
    expected = np.arctanh(np.minimum(np.abs(r), 1 - 1e-7))
    np.testing.assert_allclose(found / 2.0**46, expected, rtol=0, atol=2e-14)
