"""A bank of simulated people whose rates of switching are known, measured once, from which cohorts are drawn.

People are added to a file one after the other, so that the work can be interrupted and continued, or done in pieces on
several machines (``--piece 1/4``). A bank that another version, or other settings, have made is refused.
"""

from __future__ import annotations

import argparse
import gzip
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from noise import Cell, signals

from bids_flex import __version__, dynamics, signal
from bids_flex.signal.quality import lag1_autocorrelation
from bids_flex.simulate.scans import FD_RADIUS_MM, draw_motion, framewise_displacement
from bids_flex.simulate.series import walk
from bids_flex.simulate.settings import SimulationSettings

TR_S = 2.0
REGIONS = 70
RATES = (0.1, 2.0)
"""Departures a minute: people are spread evenly over the logarithm between these."""

MOTION = {"still": 0.6, "moving": 1.4}
"""Scale of motion: mean displacement of about .07 and .16 mm, of which up to a twentieth of the volumes is censored."""

NOISE = {"quiet": (1.5, 0.5), "noisy": (1.0, 0.5), "slow": (1.5, 0.9)}
"""Signal over noise of each region, and autocorrelation of the noise."""

MINUTES = (5, 10, 20, 30)
ARTEFACT = 0.5
THERMAL = 0.3
LEVELS = {"": slice(None), " of a network": slice(REGIONS // 7), " of a region": slice(1)}
"""Regions that an outcome is the mean of: all, the first network's ten, or the first one alone."""


@dataclass(frozen=True)
class Condition:
    """How the people of a cell were scanned."""

    motion: str
    noise: str
    minutes: int

    @property
    def name(self) -> str:
        """Name the cell."""
        return f"{self.motion}-{self.noise}-{self.minutes}"


@dataclass(frozen=True)
class Sizes:
    """How large a bank is: people of a cell, those with surrogates, surrogates, restarts with and without."""

    people: int = 1000
    held: int = 200
    surrogates: int = 49
    restarts: int = 10
    null_restarts: int = 5


def conditions(names: list[str] | None = None) -> list[Condition]:
    """List the cells, all or those that are named."""
    found = [Condition(m, n, t) for t in (10, 5, 20, 30) for m in MOTION for n in NOISE]
    if names and (unknown := set(names) - {one.name for one in found}):
        raise SystemExit(f"no such cells: {', '.join(sorted(unknown))}; there are {', '.join(c.name for c in found)}")
    return [one for one in found if not names or one.name in names]


def simulate(cell: Condition, rate: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Simulate both halves of the regions of a person (2, T, N), before cleaning, and the motion (T, 6)."""
    snr, phi = NOISE[cell.noise]
    settings = SimulationSettings(regions=REGIONS, duration_s=cell.minutes * 60.0, tr_s=TR_S)
    shape = Cell(snr=snr, phi=0.5, regions=REGIONS, minutes=float(cell.minutes))
    home = np.arange(REGIONS) * 7 // REGIONS
    membership = np.stack([walk(settings, int(network), rate, rng) for network in home], axis=1)
    followed = np.take_along_axis(signals(7, shape, rng), membership, axis=1)
    own = Cell(snr=snr, phi=phi, regions=REGIONS, minutes=float(cell.minutes))
    noise = np.sqrt(2) / snr * np.array([signals(REGIONS, own, rng) for _ in range(2)])
    noise += np.sqrt(2) * THERMAL * rng.standard_normal(noise.shape)
    motion = draw_motion(settings.volumes, MOTION[cell.motion] * rng.lognormal(0.0, 0.3), rng)
    return followed + _artefact(motion, rng) + noise, motion


def _artefact(motion: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Let regions follow the head's place, each in its own way, and darken together when it moves fast; (T, N)."""
    displaced = np.hstack([motion[:, :3], motion[:, 3:] * FD_RADIUS_MM])
    moved = np.nan_to_num(framewise_displacement(motion))
    return ARTEFACT * (displaced @ rng.standard_normal((6, REGIONS)) - 4 * np.outer(moved, rng.random(REGIONS)))


def expanded(motion: np.ndarray) -> np.ndarray:
    """Give the 24 regressors of motion: parameters, derivatives, and squares of both."""
    change = np.vstack([np.zeros((1, 6)), np.diff(motion, axis=0)])
    return np.hstack([motion, change, motion**2, change**2])


def person(cell: Condition, number: int, sizes: Sizes) -> dict[str, float]:
    """Simulate a person, clean the run as the app does, and measure it."""
    key = [list(MOTION).index(cell.motion), list(NOISE).index(cell.noise), cell.minutes, number]
    rng = np.random.default_rng(key)
    rate = float(np.exp(rng.uniform(*np.log(RATES))))
    halves, motion = simulate(cell, rate, rng)
    fd = framewise_displacement(motion)
    keep = ~(fd > 0.5)
    # cleaning is linear and knows no other region, so that the mean of clean halves is the clean mean
    both = signal.clean_series(np.hstack([*halves]), expanded(motion), keep, TR_S)
    parts = np.split(both.series, 2, axis=1)
    ways, whole = _ways(keep), np.mean(parts, axis=0)
    observed, fc = _measured(whole, ways, sizes.restarts, seed=number)
    labels = [_prior(dynamics.windowed_connectivity(part, ways[0])) for part in parts]
    split = dynamics.split_half_flexibility(*labels, ways[0].starts, ways[0].length, ways[0].step)
    there = fc[np.isfinite(fc)]
    told = {
        "rate": rate,
        "mean_fd": float(np.nanmean(fd)),
        "share_kept": float(keep.mean()),
        "mean_absolute_r": float(np.abs(there).mean()),
        "lag1": float(np.nanmean(lag1_autocorrelation(whole))),
        **observed,
        "split-half": float(np.nanmean(split)),
    }
    if number < sizes.held:
        unfiltered = np.mean(np.split(both.unfiltered, 2, axis=1), axis=0)
        told |= _held(whole, unfiltered, keep, ways, sizes, number)
    return told


def _ways(keep: np.ndarray) -> tuple[dynamics.WindowPlan, dynamics.WindowPlan]:
    """Lay the windows of both engines, as the app does by default."""
    return (
        dynamics.plan_windows(len(keep), TR_S, 30, 1, unit="volumes", keep=keep),
        dynamics.plan_windows(len(keep), TR_S, 50, 25, unit="volumes", keep=keep),
    )


def _prior(fc: np.ndarray) -> np.ndarray:
    return dynamics.prior_communities(fc, np.arange(REGIONS) * 7 // REGIONS + 1)[0]


def _measured(
    series: np.ndarray, ways: tuple[dynamics.WindowPlan, dynamics.WindowPlan], restarts: int, seed: int
) -> tuple[dict[str, float], np.ndarray]:
    """Measure with both engines; connectivity in the windows of ``multilayer`` as well."""
    first = _prior(dynamics.windowed_connectivity(series, ways[0]))
    fc = dynamics.windowed_connectivity(series, ways[1])
    second = dynamics.multilayer_communities(fc, restarts=restarts, seed=seed, threads=1).labels
    found = {
        "prior P": float(dynamics.promiscuity(first, 7).mean()),
        "multilayer P": float(dynamics.promiscuity(second).mean()),
    }
    for engine, labels, way in (("prior", first, ways[0]), ("multilayer", second, ways[1])):
        # (N,) or, for multilayer, (restarts, N)
        each = dynamics.flexibility(labels, way.pairs)
        found |= {f"{engine} F{level}": float(each[..., where].mean()) for level, where in LEVELS.items()}
    return found, fc


def _held(
    whole: np.ndarray,
    unfiltered: np.ndarray,
    keep: np.ndarray,
    ways: tuple[dynamics.WindowPlan, dynamics.WindowPlan],
    sizes: Sizes,
    number: int,
) -> dict[str, float]:
    """Hold flexibility of both engines against surrogates, searched as often as the observed run."""
    draw = dynamics.series_surrogates("phase", unfiltered, signal.Refilter(keep, TR_S, 0.01, 0.1), keep)

    def measure(series: np.ndarray) -> dict[str, np.ndarray]:
        found, _ = _measured(series, ways, sizes.null_restarts, seed=number)
        return {name: np.array(value) for name, value in found.items() if " F" in name}

    null = dynamics.null_distribution(draw, measure, sizes.surrogates, number, 1)
    found = {}
    for name, one in dynamics.compare(measure(whole), null).items():
        found |= {name.replace(" F", " excess"): float(one.excess), name.replace(" F", " z"): float(one.z)}
    return found


def header(sizes: Sizes) -> dict[str, object]:
    """Say what a bank was made by and with; people and those with surrogates may grow."""
    fixed = {name: value for name, value in asdict(sizes).items() if name not in {"people", "held"}}
    return {"version": __version__, "regions": REGIONS, "rates": list(RATES), "motion": MOTION, **fixed} | {
        "noise": {name: list(value) for name, value in NOISE.items()},
        "artefact": [ARTEFACT, THERMAL],
    }


def open_bank(folder: Path, sizes: Sizes) -> None:
    """Begin a bank, or refuse one that was made otherwise.

    Raises
    ------
    SystemExit
        When another version or other settings have made it.
    """
    path = folder / "bank.json"
    wanted = json.loads(json.dumps(header(sizes)))
    if path.exists():
        told = json.loads(path.read_text())
        different = [f"{key} was {told.get(key)}, now {wanted[key]}" for key in wanted if told.get(key) != wanted[key]]
        if different:
            raise SystemExit(f"{folder} holds a bank that was made otherwise ({'; '.join(different)}): remove it")
        return
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(wanted, indent=2) + "\n")


def read_bank(folder: Path) -> pd.DataFrame:
    """Read all people; the last line of an interrupted piece may be torn, and does not count."""
    rows = []
    for path in sorted(folder.glob("people-*.jsonl*")):
        text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
        for line in text.splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:
                continue
    table = pd.DataFrame(rows)
    if table.empty:
        return pd.DataFrame(columns=["cell", "number", "rate"])
    # a person with surrogates may have been measured without them before
    last = table.sort_values("surrogates").drop_duplicates(["cell", "number"], keep="last")
    return last.sort_values(["cell", "number"], ignore_index=True)


def pack(bank: Path, table: pd.DataFrame, folder: Path) -> None:
    """Keep a bank as one small file, which others can check and go on from; the same people give the same bytes."""
    folder.mkdir(exist_ok=True)
    lines = [json.dumps(row.dropna().to_dict()) for _, row in table.astype(object).iterrows()]
    (folder / "people-packed.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))
    (folder / "bank.json").write_bytes((bank / "bank.json").read_bytes())


def fill(folder: Path, sizes: Sizes, cells: list[Condition], piece: tuple[int, int]) -> None:
    """Measure whoever is missing: number after number, those with surrogates first, of this piece alone."""
    open_bank(folder, sizes)
    known = read_bank(folder)
    done = {(one.cell, one.number): one.surrogates for one in known.itertuples()}
    path = folder / f"people-{piece[0]}of{piece[1]}.jsonl"
    torn = path.exists() and not path.read_text().endswith("\n")
    with path.open("a") as file:
        file.write("\n" if torn else "")
        for number in range(sizes.people):
            for cell in cells:
                wanted = number < sizes.held
                if number % piece[1] == piece[0] - 1 and done.get((cell.name, number), -1) < wanted:
                    told: dict[str, object] = {"cell": cell.name, "number": number, "surrogates": int(wanted)}
                    told |= {name: float(f"{value:.6g}") for name, value in person(cell, number, sizes).items()}
                    file.write(json.dumps(told) + "\n")
                    file.flush()


def main() -> None:
    """Fill the bank, or a piece of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("build/bank"))
    for name, value in asdict(Sizes()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value)
    parser.add_argument("--piece", default="1/1", help="such as 2/4: the second of four calls that may run together")
    parser.add_argument("--cells", nargs="+", metavar="MOTION-NOISE-MINUTES", help="only these (default: all 24)")
    given = vars(parser.parse_args())
    first, last = (int(part) for part in given.pop("piece").split("/"))
    folder, cells = given.pop("folder"), conditions(given.pop("cells"))
    fill(folder, Sizes(**given), cells, (first, last))


if __name__ == "__main__":
    main()
