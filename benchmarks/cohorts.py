"""False positives, power and reliability of whole studies: cohorts drawn from a bank of simulated people.

Every member of a cohort has a true rate of switching, drawn from a population; whoever of the bank comes near it stands
in. Intervals allow for the reuse of the bank: cohorts are also drawn from bootstrapped banks, and what these differ by
beyond chance is added to the binomial variance.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from bank import LEVELS, MINUTES, read_bank

from bids_flex import stats
from bids_flex.simulate.cohort import CELLS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEDIAN_RATE, SPREAD = 0.5, 0.5
"""Of the population: departures a minute, and the standard deviation of their logarithm."""

GLOBAL = ("prior F", "prior P", "multilayer F", "multilayer P", "split-half")
GLOBAL_HELD = ("prior excess", "prior z", "multilayer excess", "multilayer z")
"""Outcomes of everybody, and of those who have surrogates; the mean over all regions."""

OBSERVED = (*GLOBAL, *(f"{engine} F{level}" for engine in ("prior", "multilayer") for level in LEVELS if level))
HELD = (*GLOBAL_HELD, *(f"{name}{level}" for name in GLOBAL_HELD for level in LEVELS if level))
NEAR = 12
"""People of the bank that a member of a cohort is drawn from: those whose rates come nearest."""

EFFECTS = (0.0, 0.2, 0.4, 0.8)
"""Of users, in the logarithm of the rate; .4 is .8 standard deviations of the population."""

USUAL = "still-quiet"
UNEQUAL = {
    "equal": USUAL,
    "motion": "moving-quiet",
    "noise": "still-noisy",
    "autocorrelation": "still-slow",
    "motion, noise": "moving-noisy",
    "motion, autocorrelation": "moving-slow",
}
"""What one group has more of than the other."""

ADJUSTED = "motion (adjusted)"
PAIR = np.array([-1.0, 1.0, 0.0])


@dataclass(frozen=True)
class Ask:
    """Cohorts of one kind: who differs in what, the effect of users, the length of scans, and what is tested."""

    test: str
    unequal: str = "equal"
    effect: float = 0.0
    minutes: int = 10
    adjusted: bool = False


class Bank:
    """People of the bank by cell, sorted by their true rates.

    Parameters
    ----------
    table : pandas.DataFrame
        As of :func:`bank.read_bank`.
    outcomes : sequence of str
        Only people who have all of these take part.
    """

    def __init__(self, table: pd.DataFrame, outcomes: Sequence[str]) -> None:
        self.outcomes = tuple(outcomes)
        there = table.dropna(subset=[*outcomes, "rate"]) if set(outcomes) <= set(table) else table.iloc[:0]
        self.rates: dict[str, np.ndarray] = {}
        self.values: dict[str, np.ndarray] = {}
        for cell, people in there.groupby("cell"):
            ordered = people.sort_values("rate")
            self.rates[str(cell)] = np.log(ordered["rate"].to_numpy())
            self.values[str(cell)] = ordered[[*outcomes, "mean_fd"]].to_numpy(dtype=float)

    def drawn_again(self, rng: np.random.Generator) -> Bank:
        """Draw a bootstrapped bank: as many people of every cell, with replacement."""
        found = Bank(pd.DataFrame(columns=["cell", "rate"]), ())
        found.outcomes = self.outcomes
        for cell, rates in self.rates.items():
            chosen = np.sort(rng.integers(0, len(rates), len(rates)))
            found.rates[cell], found.values[cell] = rates[chosen], self.values[cell][chosen]
        return found

    def near(self, cell: str, wanted: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw for each wanted rate one of the people of a cell who come nearest; outcomes and displacement."""
        rates = self.rates[cell]
        size = min(NEAR, len(rates))
        first = np.clip(np.searchsorted(rates, wanted) - size // 2, 0, len(rates) - size)
        return self.values[cell][first + rng.integers(0, size, len(wanted))]

    def smallest(self, cells: Sequence[str]) -> int:
        """Count the people of the smallest of some cells."""
        return min((len(self.rates.get(cell, ())) for cell in cells), default=0)


def people() -> tuple[np.ndarray, np.ndarray]:
    """List diagnosis (n,) and medication (n,) of the study's people."""
    cells = [cell for cell, count in CELLS.items() for _ in range(count)]
    return np.array([cell[0] for cell in cells]), np.array([cell[1] for cell in cells])


def cells_of(ask: Ask) -> tuple[str, str]:
    """Name the cells of the usual people, and of those who differ."""
    return f"{USUAL}-{ask.minutes}", f"{UNEQUAL[ask.unequal]}-{ask.minutes}"


def p_values(ask: Ask, bank: Bank, rng: np.random.Generator) -> np.ndarray:
    """Draw a cohort and test it by HC3 with its parametric p, since permutations of so many cohorts would take days."""
    diagnosis, medication = people()
    user = medication == "user"
    other = user if ask.test == "medication" else diagnosis == "mdd"
    wanted = np.log(MEDIAN_RATE) + SPREAD * rng.standard_normal(len(user)) + ask.effect * user
    usual, unusual = cells_of(ask)
    values = np.where(other[:, None], bank.near(unusual, wanted, rng), bank.near(usual, wanted, rng))
    y, fd = values[:, :-1], values[:, -1]
    if ask.test == "medication":
        x = (medication[:, None] == np.array(["nonuser", "user", "control"])).astype(float)
        contrast = np.zeros(3)
        contrast[:3] = PAIR
    else:
        x = (diagnosis[:, None] == np.array(["mdd", "anxiety", "comorbid", "control"])).astype(float)
        x = np.column_stack([x, user - user.mean()])
        contrast = np.hstack([np.eye(3), -np.ones((3, 1)), np.zeros((3, 1))])
    if ask.adjusted:
        x = np.column_stack([x, fd - fd.mean()])
        contrast = np.concatenate([contrast, np.zeros((*contrast.shape[:-1], 1))], axis=-1)
    return stats.fit_contrast(y, x, contrast, "hc3").p


def shares(ask: Ask, bank: Bank, cohorts: int, seed: int, resamples: int = 40) -> pd.DataFrame:
    """Give the share of p < .05 of every outcome, with intervals that allow for the reuse of the bank."""
    size = bank.smallest(cells_of(ask))
    if size < NEAR:
        return pd.DataFrame()
    rng = np.random.default_rng([seed, 0])
    hits = np.mean([p_values(ask, bank, rng) < 0.05 for _ in range(cohorts)], axis=0)
    each = max(cohorts // resamples, 5)
    again = []
    for number in range(resamples):
        of = np.random.default_rng([seed, 1, number])
        drawn = bank.drawn_again(of)
        again.append(np.mean([p_values(ask, drawn, of) < 0.05 for _ in range(each)], axis=0))
    within = np.mean(again, axis=0) * (1 - np.mean(again, axis=0)) / each
    beyond = np.maximum(np.var(again, axis=0, ddof=1) - within, 0.0)
    half = 1.96 * np.sqrt(hits * (1 - hits) / cohorts + beyond)
    return pd.DataFrame(
        {
            "test": ask.test,
            "unequal": ask.unequal,
            "effect": ask.effect,
            "minutes": ask.minutes,
            "adjusted": ask.adjusted,
            "outcome": bank.outcomes,
            "share": hits,
            "low": np.clip(hits - half, 0, 1),
            "high": np.clip(hits + half, 0, 1),
            "people": size,
        }
    )


def asked() -> list[Ask]:
    """List what is asked: false positives of both tests over minutes, and power over effects and minutes."""
    tests = ("medication", "diagnosis")
    found = [Ask(test, unequal, minutes=t) for test in tests for unequal in UNEQUAL for t in MINUTES]
    found += [Ask(test, "motion", minutes=t, adjusted=True) for test in tests for t in MINUTES]
    found += [Ask("medication", effect=effect, minutes=t) for effect in EFFECTS[1:] for t in MINUTES]
    return found


def agreement(table: pd.DataFrame, outcomes: Sequence[str], groups: int = 20) -> pd.DataFrame:
    """Estimate test-retest ICC(1) over minutes: people of the bank with nearly one rate are one person again and again.

    Intervals leave out a twentieth of the bank at a time (a bootstrap would call copies of a person reliable).
    """
    rows = []
    for minutes in MINUTES:
        bank, cell = Bank(table, outcomes), f"{USUAL}-{minutes}"
        if bank.smallest([cell]) < 2 * NEAR:
            continue
        rates, values = bank.rates[cell], bank.values[cell][:, :-1]
        observed, group = icc(rates, values), np.arange(len(rates)) % groups
        without = np.array([icc(rates[group != one], values[group != one]) for one in range(groups)])
        half = 1.96 * np.sqrt((groups - 1) * without.var(axis=0))
        rows += [
            {"minutes": minutes, "outcome": name, "icc": observed[k], "low": observed[k] - half[k]}
            | {"high": observed[k] + half[k]}
            for k, name in enumerate(outcomes)
        ]
    return pd.DataFrame(rows)


def icc(rates: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Compute ICC(1) of outcomes (n, m) from neighbours in sorted rates (n,), weighted as the population has them.

    The bank has its rates evenly spread, so that the population's density is the weight. The variance of neighbours is
    that within a person; that of their means, less what the former leaves in them, is that between people.
    """
    near = np.lib.stride_tricks.sliding_window_view(values, NEAR, axis=0)
    middle = rates[NEAR // 2 : NEAR // 2 + len(near)]
    weight = np.exp(-0.5 * ((middle - np.log(MEDIAN_RATE)) / SPREAD) ** 2)
    weight /= weight.sum()
    mean, within = near.mean(axis=2), weight @ near.var(axis=2, ddof=1)
    between = weight @ (mean - weight @ mean) ** 2 - within / NEAR
    return np.asarray(between / (between + within))


def whiskers(axes: Axes, x: np.ndarray, here: pd.DataFrame, value: str, label: str) -> None:
    """Draw values with their intervals."""
    error = [here[value] - here["low"], here["high"] - here[value]]
    axes.errorbar(x, here[value], error, fmt="o-" if len(x) == len(MINUTES) else "o", ms=3, lw=1, label=label)


def plain(found: pd.DataFrame) -> pd.DataFrame:
    """Leave networks, regions and adjusted tests to the tables: figures with all of them cannot be read."""
    whole = found[found["outcome"].isin([*GLOBAL, *GLOBAL_HELD])]
    return whole[~whole["adjusted"]] if "adjusted" in whole else whole


def draw_false(found: pd.DataFrame) -> Figure:
    """Draw the share of false positives by what is unequal, at ten minutes."""
    from matplotlib.figure import Figure

    none = plain(found).query("effect == 0 and minutes == 10")
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, test in zip(panels, ("medication", "diagnosis"), strict=True):
        for place, (outcome, here) in enumerate(none[none["test"] == test].groupby("outcome", sort=False)):
            at = np.array([list(UNEQUAL).index(one) for one in here["unequal"]]) + (place - 4) * 0.09
            whiskers(axes, at, here, "share", str(outcome))
        axes.axhline(0.05, color="0.6", lw=0.8)
        axes.set_xticks(range(len(UNEQUAL)), [name.replace(", ", ",\n") for name in UNEQUAL], fontsize=8)
        axes.set(title=f"{test}, no effect", xlabel="what one group has more of", ylim=(0, 1))
    panels[-1].legend(fontsize=7)
    figure.supylabel("share of p < .05")
    return figure


def draw_power(found: pd.DataFrame) -> Figure:
    """Draw power over minutes, a panel for each effect."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.8), layout="constrained")
    panels = figure.subplots(1, len(EFFECTS) - 1, sharey=True)
    for axes, effect in zip(panels, EFFECTS[1:], strict=True):
        here = plain(found).query("effect == @effect").sort_values("minutes")
        for outcome, one in here.groupby("outcome", sort=False):
            whiskers(axes, one["minutes"].to_numpy(), one, "share", str(outcome))
        axes.axhline(0.05, color="0.6", lw=0.8)
        axes.set(title=f"effect {effect / SPREAD:g} sd", xlabel="minutes", ylim=(0, 1))
    panels[0].legend(fontsize=7)
    figure.supylabel("power")
    return figure


def draw_reliability(found: pd.DataFrame) -> Figure:
    """Draw ICC over minutes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axes = figure.subplots()
    for outcome, here in plain(found).groupby("outcome", sort=False):
        whiskers(axes, here["minutes"].to_numpy(), here, "icc", str(outcome))
    axes.axhline(0, color="0.6", lw=0.8)
    axes.set(xlabel="minutes", ylabel="ICC(1)", ylim=(-0.3, 1), xlim=(3, 42))
    axes.legend(fontsize=7, loc="right")
    return figure


def draw(found: pd.DataFrame, agreed: pd.DataFrame, folder: Path) -> None:
    """Save the figures; the same numbers give the same bytes."""
    import matplotlib as mpl

    figures = {
        "false-positives": (draw_false(found), "False positives"),
        "power": (draw_power(found), "Power over minutes"),
        "reliability": (draw_reliability(agreed), "Reliability over minutes"),
    }
    with mpl.rc_context({"svg.hashsalt": "bids_flex", "svg.fonttype": "none"}):
        for name, (figure, title) in figures.items():
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None, "Title": title})


def markdown(table: pd.DataFrame, rows: Sequence[str], column: str) -> str:
    """Write shares (or ICC) with their intervals; one column for each value of a setting."""
    value = "icc" if "icc" in table else "share"
    cell = [f"{row[value]:.2f} [{row['low']:.2f}, {row['high']:.2f}]" for _, row in table.iterrows()]
    wide = table.assign(cell=cell).pivot_table(
        index=list(rows), columns=column, values="cell", aggfunc="first", sort=False
    )
    wide = wide.fillna("n/a").reset_index()
    lines = [f"| {' | '.join(map(str, wide.columns))} |", "|---" * len(wide.columns) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(map(str, row))} |" for row in wide.itertuples(index=False))])


def false_positives(found: pd.DataFrame, test: str) -> str:
    """Write the table of a test without effect: ten minutes whatever is unequal, then every length of scan."""
    none = found.query("effect == 0 and test == @test")
    named = none.assign(unequal=np.where(none["adjusted"], ADJUSTED, none["unequal"]))
    ten, over = named.query("minutes == 10"), plain(none)
    return (
        f"### {test.capitalize()}, ten minutes, by what one group has more of\n\n"
        f"{markdown(ten, ['outcome'], 'unequal')}\n\n### {test.capitalize()}, by minutes of scan\n\n"
        f"{markdown(over[over['unequal'].isin(['equal', 'motion', 'noise'])], ['unequal', 'outcome'], 'minutes')}"
    )


def page(found: pd.DataFrame, agreed: pd.DataFrame, table: pd.DataFrame, words: str, cohorts: int) -> str:
    """Write the page: words, then tables and figures."""
    counts = table.groupby("cell")["number"].size()
    held = int(table.groupby("cell")["surrogates"].sum().min()) if len(table) else 0
    made = "*Made by `make calibration`.*"
    size = (
        f"{len(counts)} cells of {counts.min()} to {counts.max()} people, at least {held} of each with surrogates; "
        f"{cohorts:,} cohorts of 207 for each share. In brackets: 95 % intervals. Everything, with the lines left out "
        "here: [cohorts.tsv](cohorts.tsv) and [reliability.tsv](reliability.tsv)."
    )
    return "\n\n".join(
        [
            words.rstrip(),
            MARK,
            size,
            "## False positives",
            f"![False positives](false-positives.svg)\n\n{made}",
            false_positives(found, "medication"),
            false_positives(found, "diagnosis"),
            "## Power",
            f"![Power](power.svg)\n\n{made}",
            markdown(found[found["effect"] > 0], ["effect", "outcome"], "minutes"),
            "## Reliability",
            f"![Reliability](reliability.svg)\n\n{made}",
            markdown(agreed, ["outcome"], "minutes"),
        ]
    )


MARK = "## Size of the bank"


def main() -> None:
    """Draw cohorts, and write tables, figures and the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bank", type=Path, default=Path("build/bank"))
    parser.add_argument("--cohorts", type=int, default=2000)
    parser.add_argument("--page", type=Path, default=Path("docs/validation/cohorts.md"), help="keeps its first words")
    given = parser.parse_args()
    table = read_bank(given.bank)
    banks = [Bank(table, names) for names in (OBSERVED, HELD)]
    found = pd.concat(
        [shares(ask, bank, given.cohorts, seed) for seed, ask in enumerate(asked()) for bank in banks],
        ignore_index=True,
    )
    agreed = pd.concat([agreement(table, names) for names in (OBSERVED, HELD)], ignore_index=True)
    if found.empty or agreed.empty:
        raise SystemExit(f"{given.bank} has no cell with {2 * NEAR} people who have surrogates: fill it first")
    folder = given.page.parent
    draw(found, agreed, folder)
    found.round(4).to_csv(folder / "cohorts.tsv", sep="\t", index=False)
    agreed.round(4).to_csv(folder / "reliability.tsv", sep="\t", index=False)
    words = given.page.read_text().partition(MARK)[0] if given.page.exists() else "# Cohorts\n"
    given.page.write_text(page(found, agreed, table, words, given.cohorts) + "\n")


if __name__ == "__main__":
    main()
