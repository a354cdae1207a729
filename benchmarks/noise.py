"""Noise or switching? What measures say of series whose noise and switching are known, and of halves of their regions.

Runs are added to a file one after the other, so that the work can be interrupted and continued; the page is made of
what the file holds.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import signal as filters
from scipy import stats as scipy_stats

from bids_flex import __version__, dynamics
from bids_flex.simulate import SimulationSettings
from bids_flex.simulate.series import BAND_HZ, haemodynamic_response, walk

if TYPE_CHECKING:
    from collections.abc import Mapping

TR_S = 2.0
SURROGATES = 9
RESTARTS = 10
KEYS = ("prior F", "null", "excess", "multilayer F", "null ", "excess ", "split-half", "truth")
CANDIDATES = {
    "profile": "soft assignments: log of the variance of profiles over that of surrogates",
    "halves' profile": "the same, as covariance between halves",
    "undivided": "split-half without the division by A",
    "beyond null": "split-half minus its mean over surrogates",
    "in time": "split-half of odd and even volumes",
    "steady": "changes that last a window's length before and after",
    "within-state": "F minus that of a null model with the connectivity within states, from halves",
}
"""What was tried beside split-half flexibility, and how it is computed."""


@dataclass(frozen=True)
class Cell:
    """What is simulated, and how it is measured.

    ``snr``: sd of a network's signal over that of a region's own noise. ``rate``: times a minute that a region leaves
    home, for ``away_s`` on average. ``phi``: first-order autoregression of signals and noise, before the haemodynamic
    response. ``shared``: sd of bursts, like those of motion, that all regions and both halves share, over the signal's.
    ``windows_s``: of ``prior`` and of ``multilayer``. ``step``: of ``prior``, in volumes; 0 is half a window.
    """

    snr: float = 1.5
    rate: float = 0.0
    away_s: float = 40.0
    phi: float = 0.5
    shared: float = 0.0
    regions: int = 70
    windows_s: tuple[float, float] = (60.0, 100.0)
    step: int = 1
    minutes: float = 10.0
    gsr: bool = False


VARIED: dict[str, tuple[str, tuple[object, ...]]] = {
    "away_s": ("Stay away from home (s)", (20.0, 80.0)),
    "phi": ("Autocorrelation", (0.0, 0.9)),
    "shared": ("Noise that all share, like motion", (0.5, 1.0)),
    "regions": ("Regions", (35, 140)),
    "windows_s": ("Windows of prior and multilayer (s)", ((30.0, 60.0), (100.0, 140.0))),
    "step": ("Step of prior (volumes; 0: half a window)", (5, 0)),
    "minutes": ("Minutes", (5.0, 20.0, 30.0)),
    "gsr": ("Global signal regression", (True,)),
}
"""Settings that are varied by themselves, at snr 1.5, without switching and with one departure a minute."""

MAIN = [Cell(snr=snr, rate=rate) for snr in (2.5, 1.5, 1.0, 0.7) for rate in (0.0, 0.5, 1.0, 2.0)]
OTHERS = {
    name: [replace(Cell(rate=rate), **{name: value}) for rate in (0.0, 1.0) for value in values]
    for name, (_, values) in VARIED.items()
}


def signals(count: int, cell: Cell, rng: np.random.Generator) -> np.ndarray:
    """Draw autoregressive noise, smoothed by a haemodynamic response, within 0.01-0.1 Hz; shape (T, count), sd 1."""
    volumes, margin = round(cell.minutes * 60 / TR_S), 60
    white = rng.standard_normal((volumes + 2 * margin, count))
    slow = filters.lfilter([1.0], [1.0, -cell.phi], white, axis=0)
    smooth = filters.lfilter(haemodynamic_response(TR_S), [1.0], slow, axis=0)
    band = filters.butter(3, BAND_HZ, btype="bandpass", fs=1 / TR_S, output="sos")
    inside = filters.sosfiltfilt(band, smooth, axis=0)[margin:-margin]
    return (inside - inside.mean(axis=0)) / inside.std(axis=0)


def bursts(cell: Cell, rng: np.random.Generator) -> np.ndarray:
    """Draw bursts that all regions share, each with its own weight; shape (T, N), sd about 1."""
    volumes = round(cell.minutes * 60 / TR_S)
    jerks = (rng.random(volumes) < 0.03) * rng.standard_normal(volumes)
    band = filters.butter(3, BAND_HZ, btype="bandpass", fs=1 / TR_S, output="sos")
    shape = filters.sosfiltfilt(band, jerks)
    return np.outer(shape / max(shape.std(), 1e-12), rng.normal(1.0, 0.5, cell.regions))


def simulate(cell: Cell, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Simulate both halves (2, T, N), the membership (T, N) and the home networks (N,)."""
    rng = np.random.default_rng(seed)
    settings = SimulationSettings(
        regions=cell.regions, duration_s=cell.minutes * 60, tr_s=TR_S, away_s=cell.away_s, snr=cell.snr
    )
    home = np.arange(cell.regions) * 7 // cell.regions
    membership = np.stack([walk(settings, int(network), cell.rate, rng) for network in home], axis=1)
    followed = cell.snr * np.take_along_axis(signals(7, cell, rng), membership, axis=1)
    # the region's noise is the mean of its halves', which have twice the variance
    noise = np.sqrt(2) * np.array([signals(cell.regions, cell, rng) for _ in range(2)])
    common = cell.shared * cell.snr * bursts(cell, rng) if cell.shared else 0.0
    return followed + common + noise, membership + 1, home + 1


def cleaned(halves: np.ndarray, cell: Cell) -> np.ndarray:
    """Regress the mean over the brain out of each region, if that is asked for."""
    if not cell.gsr:
        return halves
    out = halves - halves.mean(axis=1, keepdims=True)
    whole = out.mean(axis=(0, 2))
    return out - whole[None, :, None] * (np.einsum("htn,t->hn", out, whole) / (whole @ whole))[:, None]


@dataclass(frozen=True, eq=False)
class Ways:
    """How the runs of a cell are measured."""

    prior: dynamics.WindowPlan
    multilayer: dynamics.WindowPlan
    sparse: dynamics.WindowPlan
    networks: np.ndarray


def ways_of(cell: Cell, networks: np.ndarray) -> Ways:
    """Lay the windows."""
    volumes = round(cell.minutes * 60 / TR_S)
    lengths = [dynamics.to_volumes(seconds, TR_S) for seconds in cell.windows_s]

    def plan(count: int, tr: float, length: int, step: int) -> dynamics.WindowPlan:
        return dynamics.plan_windows(count, tr, length, step, unit="volumes")

    return Ways(
        plan(volumes, TR_S, lengths[0], cell.step or lengths[0] // 2),
        plan(volumes, TR_S, lengths[1], lengths[1] // 2),
        plan(volumes // 2, 2 * TR_S, max(lengths[0] // 2, 3), 1),
        networks,
    )


def prior_labels(fc: np.ndarray, ways: Ways) -> np.ndarray:
    """Search every window; shape (W, N)."""
    return dynamics.prior_communities(fc, ways.networks)[0]


def split(first: np.ndarray, second: np.ndarray, plan: dynamics.WindowPlan) -> float:
    """Give split-half flexibility, mean over regions."""
    return float(np.mean(dynamics.split_half_flexibility(first, second, plan.starts, plan.length, plan.step)))


def profiles(fc: np.ndarray, networks: np.ndarray) -> np.ndarray:
    """Give each region's mean connectivity to the other members of every network; shape (W, N, 7)."""
    member = (networks[:, None] == np.arange(1, 8)).astype(float)
    return fc @ member / (member.sum(axis=0) - member)


def undivided(first: np.ndarray, second: np.ndarray, plan: dynamics.WindowPlan) -> float:
    """Give split-half flexibility before the division by the share on which halves agree."""
    lag = -(-plan.length // plan.step)
    if len(first) - lag < 1:
        return float("nan")
    agree = (first[:-lag] == second[:-lag]) & (first[lag:] == second[lag:])
    return split(first, second, plan) * float(agree.mean())


def steady(labels: np.ndarray, plan: dynamics.WindowPlan) -> float:
    """Count changes that last: the same community in two windows apart, then the same other one in two."""
    lag = -(-plan.length // plan.step)
    if len(labels) <= 3 * lag:
        return float("nan")
    a, b, c, d = (labels[k * lag : len(labels) - (3 - k) * lag] for k in range(4))
    return float(((a == b) & (b != c) & (c == d)).mean())


def measured(halves: np.ndarray, ways: Ways) -> dict[str, float]:
    """Measure a run, observed or surrogate."""
    whole = halves.mean(axis=0)
    fc = dynamics.windowed_connectivity(whole, ways.prior)
    labels = prior_labels(fc, ways)
    apart = [dynamics.windowed_connectivity(half, ways.prior) for half in halves]
    first, second = (prior_labels(one, ways) for one in apart)
    odd, even = (prior_labels(dynamics.windowed_connectivity(x, ways.sparse), ways) for x in _interleaved(whole))
    coarse = dynamics.windowed_connectivity(whole, ways.multilayer)
    found = dynamics.multilayer_communities(coarse, restarts=RESTARTS, threads=1).labels
    soft, *of_halves = (profiles(one, ways.networks) for one in (fc, *apart))
    away = [one - one.mean(axis=0) for one in of_halves]
    return {
        "prior F": float(dynamics.flexibility(labels).mean()),
        "multilayer F": float(dynamics.flexibility(found).mean()),
        "split-half": split(first, second, ways.prior),
        "undivided": undivided(first, second, ways.prior),
        "in time": split(odd, even, ways.sparse),
        "steady": steady(labels, ways.prior),
        "profile": float(soft.var(axis=0).mean()),
        "halves' profile": float((away[0] * away[1]).mean()),
    }


def _interleaved(series: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    count = len(series) // 2 * 2
    return series[0:count:2], series[1:count:2]


def within_state(halves: np.ndarray, cell: Cell, ways: Ways, rng: np.random.Generator) -> float:
    """Give F of series whose regions stay at home, with the connectivity that regions have within their states.

    One half says who is together, the other how strongly; the mean r gives the noise of simulated halves.
    """
    apart = [dynamics.windowed_connectivity(half, ways.prior)[::5] for half in halves]
    labels = [prior_labels(one, ways) for one in apart]
    strength = []
    for who, fc in ((labels[0], apart[1]), (labels[1], apart[0])):
        same = (who[:, :, None] == who[:, None]) & ~np.eye(who.shape[1], dtype=bool)
        strength.append(fc[same].mean())
    r = float(np.clip(np.mean(strength), 0.02, 0.98))
    found = []
    for _ in range(5):
        shared = np.sqrt(r / (1 - r)) * signals(7, cell, rng)[:, ways.networks - 1]
        series = shared + signals(cell.regions, cell, rng) / np.sqrt(2)
        found.append(
            dynamics.flexibility(prior_labels(dynamics.windowed_connectivity(series, ways.prior), ways)).mean()
        )
    return float(np.mean(found))


def truth(membership: np.ndarray, plan: dynamics.WindowPlan) -> float:
    """Give the share of pairs, one window apart, between which regions really change their network."""
    inside = membership[plan.starts[:, None] + np.arange(plan.length)]
    most = np.stack([(inside == network).sum(axis=1) for network in range(1, 8)]).argmax(axis=0)
    lag = -(-plan.length // plan.step)
    return float((most[lag:] != most[:-lag]).mean())


def run(cell: Cell, seed: int) -> dict[str, float]:
    """Simulate one run of a cell and measure it beside its surrogates."""
    raw, membership, networks = simulate(cell, seed)
    ways, halves = ways_of(cell, networks), cleaned(raw, cell)
    observed = measured(halves, ways)
    both = np.concatenate(list(halves), axis=1)
    null = [measured(_surrogate(both, (seed, number)), ways) for number in range(SURROGATES)]
    mean = {name: float(np.mean([one[name] for one in null])) for name in observed}
    state = within_state(halves, cell, ways, np.random.default_rng([seed, 9]))
    return {
        "prior F": observed["prior F"],
        "null": mean["prior F"],
        "excess": observed["prior F"] - mean["prior F"],
        "multilayer F": observed["multilayer F"],
        "null ": mean["multilayer F"],
        "excess ": observed["multilayer F"] - mean["multilayer F"],
        "split-half": observed["split-half"],
        "truth": truth(membership, ways.prior),
        **{name: _log_ratio(observed[name], mean[name]) for name in ("profile", "halves' profile")},
        "undivided": observed["undivided"],
        "beyond null": observed["split-half"] - mean["split-half"],
        "in time": observed["in time"],
        "steady": observed["steady"],
        "within-state": observed["prior F"] - state,
    }


def _surrogate(both: np.ndarray, key: tuple[int, int]) -> np.ndarray:
    """Draw surrogates of both halves together, which keeps what they share; shape (2, T, N)."""
    seed = int(np.random.SeedSequence(key).generate_state(1)[0])
    return np.array(np.split(dynamics.phase_surrogate(both, seed), 2, axis=1))


def _log_ratio(observed: float, expected: float) -> float:
    """Compare two variances; a covariance between halves may be below 0, and then tells nothing."""
    return float(np.log(observed / expected)) if observed > 0 and expected > 0 else float("nan")


Found = dict[str, list[dict[str, float]]]


def key_of(cell: Cell) -> str:
    """Name a cell."""
    return json.dumps(asdict(cell), sort_keys=True)


def load(path: Path) -> Found:
    """Read what has been done; refuse what another version has done."""
    found: Found = {}
    if path.exists():
        for line in path.read_text().splitlines():
            try:
                told = json.loads(line)
            except ValueError:
                continue  # the last line of an interrupted call
            if told["version"] != __version__:
                raise SystemExit(f"{path} was begun by version {told['version']}, this is {__version__}: remove it")
            found.setdefault(told["cell"], []).append(told["values"])
    return found


def extend(path: Path, cells: list[Cell], runs: int) -> None:
    """Simulate until every cell has so many runs, one run of every cell after the other."""
    found = load(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.read_text().endswith("\n"):
        path.write_text("".join(f"{line}\n" for line in path.read_text().splitlines()[:-1]))
    with path.open("a") as file:
        for number in range(runs):
            for cell in cells:
                if len(found.get(key_of(cell), [])) <= number:
                    told = {"version": __version__, "cell": key_of(cell), "values": run(cell, number)}
                    file.write(json.dumps(told) + "\n")
                    file.flush()


def spread(values: list[float], digits: int = 3) -> str:
    """Write a mean and its 95 % interval."""
    there = np.array([value for value in values if value is not None and np.isfinite(value)])
    if there.size < 2:
        return "n/a"
    half = scipy_stats.t.ppf(0.975, there.size - 1) * there.std(ddof=1) / np.sqrt(there.size)
    return f"{there.mean():.{digits}f} ± {half:.{digits}f}"


def table(cells: Mapping[tuple[str, ...], Cell], names: tuple[str, ...], keys: tuple[str, ...], found: Found) -> str:
    """Write a table: a row for each cell that has runs."""
    lines = [f"| {' | '.join([*names, *keys])} |", "|---" * (len(names) + len(keys)) + "|"]
    for settings, cell in cells.items():
        runs = found.get(key_of(cell), [])
        if len(runs) > 1:
            lines.append(f"| {' | '.join([*settings, *(spread([one[key] for one in runs]) for key in keys)])} |")
    return "\n".join(lines)


def page(found: Found, words: str) -> str:
    """Write the page: what was found in words, and the tables."""
    main = {(f"{cell.snr:g}", f"{cell.rate:g}"): cell for cell in MAIN}
    parts = [words.rstrip(), "\n## Noise and switching\n", table(main, ("snr", "rate"), KEYS, found)]
    parts += ["\n## What else was tried for `prior`\n"]
    parts += ["".join(f"- `{name}`: {what}\n" for name, what in CANDIDATES.items())]
    parts += [table(main, ("snr", "rate"), tuple(CANDIDATES), found)]
    keys = (*KEYS, "profile", "halves' profile")
    for name, (title, _) in VARIED.items():
        base = {Cell(rate=rate): None for rate in (0.0, 1.0)}
        cells = sorted([*base, *OTHERS[name]], key=lambda cell: (cell.rate, str(getattr(cell, name)).zfill(8)))
        named = {(str(getattr(cell, name)), f"{cell.rate:g}"): cell for cell in cells}
        parts += [f"\n## {title}\n", table(named, (name, "rate"), keys, found)]
    counts = [len(found.get(key_of(cell), [])) for cell in (*MAIN, *(one for each in OTHERS.values() for one in each))]
    parts += [f"\nRuns of each cell: {min(counts)} to {max(counts)}.\n"]
    return "\n".join(parts)


def main() -> None:
    """Simulate, then write the page if it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10, help="of each cell (default 10)")
    parser.add_argument("--bank", type=Path, default=Path("build/noise/runs.jsonl"), help="file that runs are added to")
    parser.add_argument(
        "--only",
        choices=("main", "others", "all"),
        default="all",
        help="noise and switching alone, or what else varies",
    )
    parser.add_argument("--page", type=Path, help="write the tables below the words that this file begins with")
    given = parser.parse_args()
    others = [one for each in OTHERS.values() for one in each]
    cells = {"main": MAIN, "others": others, "all": [*MAIN, *others]}[given.only]
    extend(given.bank, cells, given.runs)
    told = given.page.read_text().partition("\n## Noise and switching")[0] if given.page else ""
    text = page(load(given.bank), told)
    if given.page:
        given.page.write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()
