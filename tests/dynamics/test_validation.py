"""What null models and engines can tell, on series whose truth is known: the figures of docs/validation-dynamics.md."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from scipy.linalg import solve_discrete_lyapunov

from bids_flex import dynamics as d

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def load(name):
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", BENCHMARKS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def nulls():
    return load("nulls")


@pytest.fixture(scope="module")
def recovery():
    return load("recovery")


def test_what_phase_surrogates_keep_hangs_on_the_common_phase(nulls):
    """The counter-test: a random phase for each region keeps every spectrum as well, and no correlation."""
    ts = nulls.stationary(0)
    assert d.correlation_change(ts, d.phase_surrogate(ts, 0)) < 1e-10
    spectrum = np.fft.rfft(ts, axis=0)
    turn = np.exp(2j * np.pi * np.random.default_rng(0).random(spectrum.shape))
    turn[[0, -1]] = 1.0
    apart = np.fft.irfft(spectrum * turn, n=len(ts), axis=0)
    np.testing.assert_allclose(np.abs(np.fft.rfft(apart, axis=0)), np.abs(spectrum), atol=1e-8)
    assert d.correlation_change(ts, apart) > 0.2


def test_the_autoregressions_of_the_simulations_have_their_closed_form(nulls):
    """Stationary covariance solves S = A'SA + innovations', on the line and on the circle."""
    same = nulls.NETWORKS[:, None] == nulls.NETWORKS
    expected = solve_discrete_lyapunov(nulls.COEFFICIENTS.T, np.eye(49) + 0.25 * same)
    for make in (nulls.stationary, nulls.periodic):
        found = np.mean([series.T @ series / len(series) for series in map(make, range(20))], axis=0)
        assert found[same].mean() == pytest.approx(expected[same].mean(), rel=0.06)
        assert found[~same].mean() == pytest.approx(0, abs=0.03)
        assert np.diag(found).mean() == pytest.approx(np.diag(expected).mean(), rel=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["prior", "multilayer"])
def test_p_values_of_stationary_series_are_uniform(nulls, engine):
    z, rank = nulls.many(nulls.stationary, 0.0, engine, 200, 39)
    # the counter-test below stays under 1e-6 with fewer runs
    assert stats.kstest(rank, "uniform").pvalue > 0.001
    assert abs(z.mean()) < 0.25


@pytest.mark.slow
def test_p_values_of_switching_series_are_not(nulls):
    """The counter-test: what the test above would see if the null did not hold."""
    _, rank = nulls.many(nulls.switching, 0.0, "prior", 60, 39)
    assert stats.kstest(rank, "uniform").pvalue < 1e-6


@pytest.mark.slow
def test_kept_volumes_in_the_gaps_keep_z_near_zero_and_splines_do_not(nulls):
    mirrored, _ = nulls.many(nulls.stationary, 0.1, "prior", 30, 39)
    splines, _ = nulls.many(nulls.stationary, 0.1, "prior", 30, 39, mirrored=False)
    assert abs(mirrored.mean()) < 0.6
    assert splines.mean() < -1.2


@pytest.mark.slow
def test_raw_flexibility_ranks_regions_where_noise_is_low_and_excess_does_not(recovery):
    quiet = [recovery.recovered(replace(recovery.PRIOR, snr=2.5), 19, seed) for seed in range(5)]
    noisy = [recovery.recovered(replace(recovery.PRIOR, snr=0.7), 19, seed) for seed in range(5)]
    assert np.mean([one["raw F"] for one in quiet]) > 0.5
    assert np.mean([one["raw F"] for one in noisy]) < np.mean([one["raw F"] for one in quiet]) - 0.2
    assert np.mean([one["z"] for one in quiet]) < 0.3
    assert min(one["ceiling"] for one in quiet) > 0.5
