"""Null models: what they keep, what they change, what they say."""

import numpy as np
import pytest

from bids_flex import dynamics as d
from bids_flex.errors import RunError, UsageError


def series(volumes=200, regions=5, seed=0, rho=0.6):
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((regions, regions)) + 2 * np.eye(regions)
    out = np.zeros((volumes + 50, regions))
    for t in range(1, len(out)):
        out[t] = rho * out[t - 1] + mixing @ rng.standard_normal(regions)
    return out[50:] + np.arange(regions) * 10


def cross_spectra(ts):
    spectrum = np.fft.rfft(ts - ts.mean(axis=0), axis=0)
    return spectrum[:, :, None] * spectrum[:, None, :].conj()


@pytest.mark.parametrize("volumes", [200, 201])
def test_phase_keeps_all_second_order_statistics(volumes):
    ts = series(volumes)
    found = d.phase_surrogate(ts, seed=1)
    assert found.shape == ts.shape
    np.testing.assert_allclose(found.mean(axis=0), ts.mean(axis=0), atol=1e-10)
    np.testing.assert_allclose(np.cov(found.T), np.cov(ts.T), atol=1e-10)
    scale = np.abs(cross_spectra(ts)).max()
    np.testing.assert_allclose(cross_spectra(found) / scale, cross_spectra(ts) / scale, atol=1e-10)
    assert abs(np.corrcoef(found[:, 0], ts[:, 0])[0, 1]) < 0.5
    np.testing.assert_array_equal(found, d.phase_surrogate(ts, seed=1))
    assert np.abs(found - d.phase_surrogate(ts, seed=2)).max() > 1


@pytest.mark.parametrize("volumes", [260, 259])
def test_phase_on_a_real_scan(shared, volumes):
    ts = np.load(shared / "reference" / "prior_rapidtide_schaefer100.npz")["ts"][:volumes]
    found = d.phase_surrogate(ts, seed=3)
    assert d.correlation_change(ts, found) < 1e-10
    power = np.abs(np.fft.rfft(ts, axis=0))
    np.testing.assert_allclose(np.abs(np.fft.rfft(found, axis=0)) / power.max(), power / power.max(), atol=1e-10)


def test_var_follows_the_fitted_model():
    """Long series: the surrogate's lag-0 and lag-1 covariances are those of the series, an independent fit's too."""
    ts = series(20_000, regions=3, rho=0.7)
    found = d.var_surrogate(ts, seed=0)
    np.testing.assert_allclose(np.cov(found.T), np.cov(ts.T), rtol=0.1, atol=0.6)

    def lagged(x):
        x = x - x.mean(axis=0)
        return x[1:].T @ x[:-1] / len(x)

    np.testing.assert_allclose(lagged(found), lagged(ts), rtol=0.1, atol=0.6)
    np.testing.assert_allclose(found.mean(axis=0), ts.mean(axis=0), atol=0.3)


def test_var_is_refused_where_it_cannot_be_fitted():
    with pytest.raises(RunError, match=r"24 volumes cannot carry .* 5 regions, 25 are wanted: use surrogate 'phase'"):
        d.var_surrogate(series(24), seed=0)
    growing = np.exp(np.arange(100) * 0.1)[:, None] + np.random.default_rng(0).standard_normal((100, 1)) * 1e-3
    with pytest.raises(RunError, match=r"not stationary .*: use surrogate 'phase'"):
        d.var_surrogate(growing, seed=0)


@pytest.mark.parametrize("volumes", [400, 401])
def test_iaaft_keeps_values_and_almost_all_correlations(volumes):
    ts = np.exp(series(volumes) / 10)
    found = d.iaaft_surrogate(ts, seed=0)
    np.testing.assert_array_equal(np.sort(found, axis=0), np.sort(ts, axis=0))
    assert d.correlation_change(ts, found) < 0.05
    assert abs(np.corrcoef(found[:, 0], ts[:, 0])[0, 1]) < 0.5
    theirs, ours = (np.abs(np.fft.rfft(x - x.mean(axis=0), axis=0)) for x in (ts, found))
    assert np.corrcoef(theirs.ravel(), ours.ravel())[0, 1] > 0.98


@pytest.mark.parametrize("make", [d.phase_surrogate, d.var_surrogate, d.iaaft_surrogate])
def test_the_seed_decides_and_neither_unit_nor_precision_does(make):
    """Units of a power of two, which change no digit; series of single precision are computed in double."""
    ts = series(100, regions=3)
    found = make(ts, 4)
    np.testing.assert_array_equal(make(ts, 4), found)
    assert (make(ts, 5) != found).any()
    np.testing.assert_allclose(make(ts * 2.0**-40, 4), found * 2.0**-40, rtol=1e-9)
    short = ts.astype(np.float32)
    np.testing.assert_array_equal(make(short, 4), make(short.astype(np.float64), 4))


def test_four_volumes_are_the_fewest():
    ts = series(4, regions=2)
    np.testing.assert_allclose(np.cov(d.phase_surrogate(ts, 1).T), np.cov(ts.T), atol=1e-10)
    with pytest.raises(UsageError, match=r"ts has shape \(3, 2\); it must be \(T, N\) with at least 4 volumes"):
        d.phase_surrogate(ts[:3], 1)


def test_residuals_are_centred_region_by_region():
    """Slow drifts, up in one region and down in the other, leave residuals whose means are not 0 by themselves."""
    ts = series(60, regions=2) + np.outer(np.arange(60), [0.5, -0.5])
    model = d.fit_autoregression(ts)
    centred = ts - ts.mean(axis=0)
    left = centred[1:] - centred[:-1] @ model.coefficients
    assert np.abs(left.mean(axis=0)).min() > 1e-3
    np.testing.assert_allclose(model.residuals, left - left.mean(axis=0), atol=1e-10)


def test_iaaft_refuses_to_change_correlations():
    """Twelve volumes cannot keep both their values and their correlations."""
    few = np.random.default_rng(0).standard_normal((12, 3))
    with pytest.raises(RunError, match=r"changes a static correlation by 0\.\d+: use surrogate 'phase'"):
        d.iaaft_surrogate(few, 0)


def test_windows_are_permuted_only_without_overlap():
    fc = np.arange(8.0)[:, None, None] * np.ones((8, 2, 2))
    apart = d.plan_windows(80, 2.0, 10, 10, unit="volumes")
    found = d.permuted_windows(fc, apart, seed=1)[:, 0, 0]
    assert sorted(found) == list(range(8))
    assert found.tolist() != list(range(8))
    with pytest.raises(UsageError, match="overlap at a step of 5"):
        d.permuted_windows(fc, d.plan_windows(40, 2.0, 10, 5, unit="volumes"), seed=1)
    with pytest.raises(UsageError, match="8 windows, but the plan has 4"):
        d.permuted_windows(fc, d.plan_windows(40, 2.0, 10, 10, unit="volumes"), seed=1)


def test_one_fit_serves_many_simulations():
    ts = series(200)
    model = d.fit_autoregression(ts)
    np.testing.assert_array_equal(d.simulate_autoregression(model, 200, 7), d.var_surrogate(ts, 7))
    assert len(d.simulate_autoregression(model, 50, 7)) == 50


def test_an_autoregression_is_found_again():
    """The closed form: the coefficients that the data were simulated with."""
    truth = np.array([[0.5, 0.2], [0.0, 0.3]])
    rng = np.random.default_rng(0)
    ts = np.zeros((50_000, 2))
    for t in range(1, len(ts)):
        ts[t] = ts[t - 1] @ truth + rng.standard_normal(2)
    model = d.fit_autoregression(ts + 100)
    np.testing.assert_allclose(model.coefficients, truth, atol=0.02)
    np.testing.assert_allclose(np.cov(model.residuals.T), np.eye(2), atol=0.02)
    np.testing.assert_allclose(model.mean, 100, atol=0.1)
    again = d.fit_autoregression(d.simulate_autoregression(model, 50_000, 1))
    np.testing.assert_allclose(again.coefficients, truth, atol=0.03)
    np.testing.assert_allclose(again.mean, 100, atol=0.1)


def test_filled_volumes_do_not_carry_an_autoregression():
    with pytest.raises(RunError, match=r"24 volumes cannot carry .* 5 regions"):
        d.fit_autoregression(series(100), kept_volumes=24)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: d.phase_surrogate(np.zeros(5), 0), r"must be \(T, N\)"),
        (lambda: d.phase_surrogate(np.full((9, 2), np.nan), 0), "has gaps"),
    ],
)
def test_senseless_arguments_are_refused(call, told):
    with pytest.raises(UsageError, match=told):
        call()
