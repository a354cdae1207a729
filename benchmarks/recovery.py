"""How well node flexibility is recovered: planted switching, both engines, raw and against phase surrogates."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from bids_flex import dynamics, signal
from bids_flex.simulate import SimulationSettings
from bids_flex.simulate.series import band_limited

BAND_HZ = (0.01, 0.1)
Measure = Callable[[np.ndarray], Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Case:
    """One row of a table: an engine, its settings, and the data: regions leave home 0 to ``rate`` times a minute."""

    engine: str
    snr: float = 1.5
    rate: float = 1.0
    window_s: float = 60.0
    gamma: float = 1.0
    omega: float = 1.0


PRIOR = Case("prior")
MULTILAYER = Case("multilayer", window_s=100.0)
CASES = {
    "noise": [replace(case, snr=snr) for case in (PRIOR, MULTILAYER) for snr in (2.5, 1.5, 1.0, 0.7)],
    "switching": [replace(case, rate=rate) for case in (PRIOR, MULTILAYER) for rate in (0.25, 0.5, 1.0, 2.0)],
    "window length": [
        *(replace(PRIOR, window_s=s) for s in (30.0, 45.0, 60.0, 100.0)),
        *(replace(MULTILAYER, window_s=s) for s in (40.0, 60.0, 100.0, 140.0)),
    ],
    "gamma": [replace(MULTILAYER, gamma=gamma) for gamma in (0.8, 1.0, 1.25)],
    "omega": [replace(MULTILAYER, omega=omega) for omega in (0.25, 0.5, 1.0, 2.0, 4.0)],
}


def planted(settings: SimulationSettings, rate: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Simulate series (T, N) of regions that visit other networks, their membership (T, N) and home networks (N,)."""
    rng = np.random.default_rng(seed)
    home = np.arange(settings.regions) * 7 // settings.regions
    rates = rng.permutation(np.linspace(0, rate, settings.regions))
    membership = np.stack([_walk(settings, *one, rng) for one in zip(home, rates, strict=True)], axis=1)
    followed = np.take_along_axis(band_limited(7, settings, rng).T, membership, axis=1)
    series = settings.snr * followed + band_limited(settings.regions, settings, rng).T
    return series / np.hypot(settings.snr, 1.0), membership + 1, home + 1


def _walk(settings: SimulationSettings, home: int, per_minute: float, rng: np.random.Generator) -> np.ndarray:
    """Walk one region between home and other networks, about 40 s away at a time; shape (T,)."""
    path = np.full(settings.volumes, home)
    time_s = 0.0
    while per_minute > 0:
        time_s += rng.exponential(60.0 / per_minute)
        if time_s >= settings.duration_s:
            break
        until_s = time_s + rng.gamma(4.0, settings.away_s / 4.0)
        visited = (home + rng.integers(1, 7)) % 7
        path[int(time_s / settings.tr_s) : int(until_s / settings.tr_s)] = visited
        time_s = until_s
    return path


def engine_of(case: Case, plan: dynamics.WindowPlan, networks: np.ndarray, restarts: int) -> Measure:
    """Give what measures node flexibility of series (T, N)."""

    def prior(series: np.ndarray) -> Mapping[str, np.ndarray]:
        labels, _ = dynamics.prior_communities(dynamics.windowed_connectivity(series, plan), networks)
        return {"flexibility": dynamics.flexibility(labels, plan.pairs)}

    def multilayer(series: np.ndarray) -> Mapping[str, np.ndarray]:
        fc = dynamics.windowed_connectivity(series, plan)
        found = dynamics.multilayer_communities(fc, case.gamma, case.omega, restarts=restarts, threads=1)
        return {"flexibility": dynamics.flexibility(found.labels, plan.pairs).mean(axis=0)}

    return prior if case.engine == "prior" else multilayer


def plan_of(engine: str, window_s: float, tr_s: float, keep: np.ndarray) -> dynamics.WindowPlan:
    """Lay the windows: a step of one volume for prior, of half a window for multilayer."""
    length = dynamics.to_volumes(window_s, tr_s)
    step = 1 if engine == "prior" else length // 2
    return dynamics.plan_windows(len(keep), tr_s, length, step, unit="volumes", keep=keep)


def window_labels(membership: np.ndarray, plan: dynamics.WindowPlan) -> np.ndarray:
    """Give each region the network that it is in for most of each window; shape (W, N)."""
    inside = membership[plan.starts[:, None] + np.arange(plan.length)]
    return np.stack([(inside == network).sum(axis=1) for network in range(1, 8)]).argmax(axis=0) + 1


def recovered(case: Case, surrogates: int, seed: int) -> dict[str, float]:
    """Correlate, over regions, estimates of one simulated run with how often its regions really changed network."""
    settings = SimulationSettings(regions=70, duration_s=600.0, tr_s=2.0, snr=case.snr)
    series, membership, networks = planted(settings, case.rate, seed)
    truth = (np.diff(membership, axis=0) != 0).sum(axis=0)
    keep = np.ones(len(series), dtype=bool)
    cleaned = signal.clean_series(series, np.empty((len(series), 0)), keep, settings.tr_s)
    plan = plan_of(case.engine, case.window_s, settings.tr_s, keep)
    # as the app does: 100 restarts for the value itself, 10 where it meets surrogates
    raw = engine_of(case, plan, networks, restarts=100)(cleaned.series)["flexibility"]
    measure = engine_of(case, plan, networks, restarts=10)
    draw = dynamics.series_surrogates("phase", cleaned.unfiltered, signal.Refilter(keep, settings.tr_s, *BAND_HZ))
    null = dynamics.null_distribution(draw, measure, surrogates, seed)
    found = dynamics.compare(measure(cleaned.series), null)["flexibility"]
    correlate = partial(_correlation, truth)
    return {
        "ceiling": correlate(dynamics.flexibility(window_labels(membership, plan), plan.pairs)),
        "raw F": correlate(raw),
        "excess": correlate(found.excess),
        "z": correlate(found.z),
        "mean F": float(raw.mean()),
        "null F": float(found.mean.mean()),
    }


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Compute Pearson r over the regions that have both; NaN when one does not vary."""
    there = np.isfinite(first) & np.isfinite(second)
    if there.sum() < 3 or np.ptp(first[there]) == 0 or np.ptp(second[there]) == 0:
        return float("nan")
    return float(np.corrcoef(first[there], second[there])[0, 1])


def main() -> None:
    """Print a table for each thing that varies: means over runs, and in brackets their standard deviation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=10, help="runs for each row")
    parser.add_argument("--surrogates", type=int, default=49, help="for each run")
    given = parser.parse_args()
    settings = ("engine", "snr", "rate", "window_s", "gamma", "omega")
    correlations, means = ("ceiling", "raw F", "excess", "z"), ("mean F", "null F")
    for varied, cases in CASES.items():
        print(f"\n{varied}\n\n| {' | '.join([*settings, *correlations, *means])} |")
        print("|---" * (len(settings) + len(correlations) + len(means)) + "|")
        for case in cases:
            rows = [recovered(case, given.surrogates, seed) for seed in range(given.simulations)]
            values = {name: np.array([row[name] for row in rows]) for name in rows[0]}
            cells = [str(getattr(case, name)) for name in settings]
            cells += [f"{values[name].mean():.2f} ({values[name].std(ddof=1):.2f})" for name in correlations]
            cells += [f"{values[name].mean():.3f}" for name in means]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
