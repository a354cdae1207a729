"""Whether null models are calibrated: p values of stationary series, and what censoring does to z."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping

import numpy as np
from scipy import stats

from bids_flex import dynamics, signal
from bids_flex.simulate import SimulationSettings, simulate_series

TR_S = 2.0
BAND_HZ = (0.01, 0.1)
REGIONS, VOLUMES = 49, 240
NETWORKS = np.arange(REGIONS) * 7 // REGIONS + 1
SAME = (NETWORKS[:, None] == NETWORKS) / (NETWORKS[:, None] == NETWORKS).sum(axis=1)
COEFFICIENTS = 0.4 * np.eye(REGIONS) + 0.3 * SAME
"""Of the autoregressions: .7 for what the regions of a network share, .4 for what they do not."""

RESTARTS = 5

Measure = Callable[[np.ndarray], Mapping[str, np.ndarray]]


def innovations(volumes: int, seed: int) -> np.ndarray:
    """Draw what drives the regions: noise of their own, and noise that each network shares; shape (volumes, N)."""
    rng = np.random.default_rng(seed)
    return 0.5 * rng.standard_normal((volumes, 7))[:, NETWORKS - 1] + rng.standard_normal((volumes, REGIONS))


def stationary(seed: int) -> np.ndarray:
    """Simulate a stable autoregression of order 1 with seven networks; shape (T, N)."""
    out = innovations(VOLUMES + 200, seed)
    for volume in range(1, len(out)):
        out[volume] += out[volume - 1] @ COEFFICIENTS
    return out[200:]


def periodic(seed: int) -> np.ndarray:
    """Simulate the same autoregression on a circle: the end goes over into the start, as Fourier has it."""
    spectrum = np.fft.rfft(innovations(VOLUMES, seed), axis=0)
    turn = np.exp(-2j * np.pi * np.fft.rfftfreq(VOLUMES))
    response = np.linalg.inv(np.eye(REGIONS) - turn[:, None, None] * COEFFICIENTS)
    return np.fft.irfft(np.einsum("fi,fij->fj", spectrum, response), n=VOLUMES, axis=0)


def switching(seed: int) -> np.ndarray:
    """Let a third of the regions of such series follow the next network during every other 80 s."""
    steady = stationary(seed)
    moved = np.arange(REGIONS) % 3 == 0
    away = np.arange(VOLUMES) // 40 % 2 == 1
    out = steady.copy()
    out[np.ix_(away, moved)] = np.roll(steady, -7, axis=1)[np.ix_(away, moved)]
    return out


def noisy(seed: int) -> np.ndarray:
    """Simulate steady band-limited networks, and white noise of half the signals' size as scanners add it."""
    settings = SimulationSettings(regions=REGIONS, duration_s=VOLUMES * TR_S, tr_s=TR_S, snr=1.5)
    rng = np.random.default_rng(seed)
    return simulate_series(settings, 0.0, 0.0, rng).series + 0.5 * rng.standard_normal((VOLUMES, REGIONS))


def censored(share: float, seed: int) -> np.ndarray:
    """Censor bursts of one to five volumes until a share of them is gone; shape (T,), True is kept."""
    rng = np.random.default_rng([seed, 1])
    keep = np.ones(VOLUMES, dtype=bool)
    while (~keep).mean() < share:
        start = rng.integers(0, VOLUMES)
        room = round(share * VOLUMES) - (~keep).sum()
        keep[start : start + min(rng.integers(1, 6), room)] = False
    return keep


def engine_of(engine: str, keep: np.ndarray) -> Measure:
    """Give what measures global flexibility of series (T, N) with an engine's own windows."""
    length = dynamics.to_volumes(60 if engine == "prior" else 100, TR_S)
    step = 1 if engine == "prior" else length // 2
    plan = dynamics.plan_windows(VOLUMES, TR_S, length, step, unit="volumes", keep=keep)

    def measure(series: np.ndarray) -> Mapping[str, np.ndarray]:
        fc = dynamics.windowed_connectivity(series, plan)
        if engine == "prior":
            labels = dynamics.prior_communities(fc, NETWORKS)[0]
        else:
            labels = dynamics.multilayer_communities(fc, restarts=RESTARTS, threads=1).labels
        return {"flexibility": dynamics.flexibility(labels, plan.pairs).mean()}

    return measure


def held_against_null(
    series: np.ndarray, keep: np.ndarray, engine: str, surrogates: int, seed: int, *, mirrored: bool = True
) -> tuple[float, float]:
    """Clean, search, measure and repeat with phase surrogates; z, and the randomised rank of the observed value.

    Ranks of n surrogates and the observed value are discrete, ties (which are real: flexibility is a count) more so.
    The rank is drawn evenly among ties and within its step of 1 / (n + 1), which is uniform on (0, 1) exactly if the
    null model holds.
    """
    cleaned = signal.clean_series(series, np.empty((VOLUMES, 0)), keep, TR_S)
    refilter = signal.Refilter(keep, TR_S, *BAND_HZ)
    draw = dynamics.series_surrogates("phase", cleaned.unfiltered, refilter, keep if mirrored else None)
    measure = engine_of(engine, keep)
    observed = measure(cleaned.series)
    null = dynamics.null_distribution(draw, measure, surrogates, seed)
    values = null["flexibility"]
    tied = np.isclose(values, observed["flexibility"], rtol=1e-10, atol=0)
    below = (~tied & (values < observed["flexibility"])).sum()
    rank = (below + np.random.default_rng([seed, 2]).random() * (1 + tied.sum())) / (1 + len(values))
    # z itself, also where the app would not give it
    return float(dynamics.compare(observed, null)["flexibility"].z), float(rank)


def many(
    make: Callable[[int], np.ndarray],
    share: float,
    engine: str,
    simulations: int,
    surrogates: int,
    *,
    mirrored: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Do so for many simulations; z and ranks, each of shape (simulations,)."""
    found = [
        held_against_null(make(seed), censored(share, seed), engine, surrogates, seed, mirrored=mirrored)
        for seed in range(simulations)
    ]
    return np.array([z for z, _ in found]), np.array([rank for _, rank in found])


def row(z: np.ndarray, rank: np.ndarray) -> str:
    """Write down how z and ranks are spread."""
    z = z[np.isfinite(z)]
    error = z.std(ddof=1) / np.sqrt(z.size)
    outside = ((rank < 0.025) | (rank > 0.975)).mean()
    return f"{z.mean():+.2f} | {error:.2f} | {z.std(ddof=1):.2f} | {outside:.1%}"


SPREAD = "mean z | its standard error | sd z | outside the middle 95 %"


def uniform(simulations: int, surrogates: int) -> None:
    """Print whether the ranks of observed values are uniform."""
    print(f"| engine | series | KS statistic | KS p | {SPREAD} |")
    print("|---" * 8 + "|")
    for engine in ("prior", "multilayer"):
        for make in (periodic, stationary, switching):
            z, rank = many(make, 0.0, engine, simulations, surrogates)
            test = stats.kstest(rank, "uniform")
            figures = f"{test.statistic:.3f} | {test.pvalue:.2g} | {row(z, rank)}"
            print(f"| {engine} | {make.__name__} | {figures} |", flush=True)


def censoring(simulations: int, surrogates: int) -> None:
    """Print what censoring does to z without switching, gaps filled with kept volumes or left as cleaned."""
    print(f"| engine | series | gaps | censored | {SPREAD} |")
    print("|---" * 8 + "|")
    for engine, make in (("prior", stationary), ("prior", noisy), ("multilayer", stationary)):
        for gaps in ("volumes", "splines"):
            for share in (0.0, 0.1, 0.2, 0.3, 0.4):
                z, rank = many(make, share, engine, simulations, surrogates, mirrored=gaps == "volumes")
                print(f"| {engine} | {make.__name__} | {gaps} | {share:.0%} | {row(z, rank)} |", flush=True)


def main() -> None:
    """Print one of the tables, or both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", choices=("uniform", "censoring", "both"), default="both")
    parser.add_argument("--simulations", type=int, default=200, help="runs for each row of the table uniform")
    parser.add_argument("--censored", type=int, default=40, help="runs for each row of the table censoring")
    parser.add_argument("--surrogates", type=int, default=39, help="for each run")
    given = parser.parse_args()
    if given.table != "censoring":
        uniform(given.simulations, given.surrogates)
    if given.table != "uniform":
        censoring(given.censored, given.surrogates)


if __name__ == "__main__":
    main()
