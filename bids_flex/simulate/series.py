"""Regional signals whose communities are known at every moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import signal

from bids_flex.simulate.settings import NETWORKS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bids_flex.simulate.settings import SimulationSettings

    Floats = NDArray[np.float64]

BAND_HZ = (0.01, 0.1)


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Signals of one run and the truth behind them.

    Attributes
    ----------
    series : ndarray, shape (T, N)
        Signals of about unit variance.
    membership : ndarray of int, shape (T, N)
        Network of each region at each volume, 1..7.
    """

    series: Floats
    membership: NDArray[np.int16]


def simulate_series(settings: SimulationSettings, rate: float, network_rate: float, rng: np.random.Generator) -> Series:
    """Simulate the regional signals of one run.

    A region follows its network's signal and has one of its own; ``rate`` times a minute it leaves home and follows
    another network for a while.

    Parameters
    ----------
    settings : SimulationSettings
        Length, regions, signal-to-noise ratio.
    rate, network_rate : float
        Departures per minute, everywhere and in ``settings.effect_network``.
    rng : numpy.random.Generator
        Source of all chance.
    """
    home = np.array([NETWORKS.index(name) for name in settings.region_networks])
    rates = np.where(home == NETWORKS.index(settings.effect_network), network_rate, rate)
    membership = np.stack(
        [walk(settings, network, per_minute, rng) for network, per_minute in zip(home, rates, strict=True)]
    )
    shared = band_limited(len(NETWORKS), settings, rng)
    own = band_limited(settings.regions, settings, rng)
    followed = np.take_along_axis(shared, membership, axis=0)
    mixed = settings.snr * followed + own
    return Series((mixed / np.hypot(settings.snr, 1.0)).T, (membership.T + 1).astype(np.int16))


def walk(settings: SimulationSettings, home: int, per_minute: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Walk one region between its home network and others; shape (T,)."""
    path = np.full(settings.volumes, home)
    # gaps and stays are drawn even at rate 0, so that only the rate tells people apart
    elsewhere = np.array([network for network in range(len(NETWORKS)) if network != home])
    time_s = 0.0
    while True:
        time_s += float(rng.exponential(60.0)) / per_minute if per_minute > 0 else np.inf
        if time_s >= settings.duration_s:
            return path
        # a gamma distribution of shape 4: stays of about the mean, seldom very short ones
        until_s = time_s + float(rng.gamma(4.0, settings.away_s / 4.0))
        path[int(time_s / settings.tr_s) : int(until_s / settings.tr_s)] = rng.choice(elsewhere)
        time_s = until_s


def band_limited(count: int, settings: SimulationSettings, rng: np.random.Generator) -> Floats:
    """Draw signals as blood flow shows them: AR(1) noise, smoothed by a haemodynamic response, within 0.01-0.1 Hz.

    Returns
    -------
    ndarray, shape (count, T)
        Zero mean, unit variance.
    """
    # a minute before and after keeps the edges of the filters out of the run
    margin = int(np.ceil(60.0 / settings.tr_s))
    white = rng.standard_normal((count, settings.volumes + 2 * margin))
    slow = signal.lfilter([1.0], [1.0, -0.5], white, axis=1)
    response = haemodynamic_response(settings.tr_s)
    smooth = signal.lfilter(response, [1.0], slow, axis=1)
    band = signal.butter(3, BAND_HZ, btype="bandpass", fs=1 / settings.tr_s, output="sos")
    inside = signal.sosfiltfilt(band, smooth, axis=1)[:, margin:-margin]
    inside = inside - inside.mean(axis=1, keepdims=True)
    return np.asarray(inside / inside.std(axis=1, keepdims=True))


def haemodynamic_response(tr_s: float) -> Floats:
    """Sample a double-gamma response (peak at 5 s, undershoot at 15 s) at every volume, sum 1."""
    from scipy.stats import gamma

    times_s = np.arange(0.0, 30.0, tr_s)
    response = gamma.pdf(times_s, 6) - gamma.pdf(times_s, 16) / 6
    return np.asarray(response / response.sum())
