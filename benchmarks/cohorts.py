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
from bank import MINUTES, Condition, read_bank

from bids_flex import stats
from bids_flex.simulate.cohort import CELLS

if TYPE_CHECKING:
    from collections.abc import Sequence

MEDIAN_RATE, SPREAD = 0.5, 0.5
"""Of the population: departures a minute, and the standard deviation of their logarithm."""

OBSERVED = ("prior F", "prior P", "multilayer F", "split-half")
HELD = ("multilayer excess", "multilayer z", "prior excess", "prior z")
NEAR = 12
"""People of the bank that a member of a cohort is drawn from: those whose rates come nearest."""

EFFECTS = (0.0, 0.2, 0.4, 0.8)
"""Of users, in the logarithm of the rate; .4 is .8 standard deviations of the population."""

USUAL = "still-quiet"
UNEQUAL = {
    "equal": USUAL,
    "more motion": "moving-quiet",
    "more noise": "still-noisy",
    "more autocorrelation": "still-slow",
}
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
            "adjusted": "mean displacement" if ask.adjusted else "",
            "outcome": bank.outcomes,
            "share": hits,
            "low": np.clip(hits - half, 0, 1),
            "high": np.clip(hits + half, 0, 1),
            "people": size,
        }
    )


def asked() -> list[Ask]:
    """List what is asked: false positives of both tests, and power over effects and minutes."""
    found = [Ask(test, unequal) for test in ("medication", "diagnosis") for unequal in UNEQUAL]
    found += [Ask(test, "more motion", adjusted=True) for test in ("medication", "diagnosis")]
    found += [Ask("medication", effect=effect, minutes=t) for t in MINUTES for effect in EFFECTS[1:]]
    return found


def agreement(table: pd.DataFrame, outcomes: Sequence[str], seed: int, pairs: int = 400) -> pd.DataFrame:
    """Estimate test-retest ICC(1) over minutes: two people of the bank with nearly one rate are one person twice."""
    rows = []
    for minutes in MINUTES:
        bank = Bank(table, outcomes)
        cell = Condition("still", "quiet", minutes).name
        if bank.smallest([cell]) < 2 * NEAR:
            continue
        observed = _icc(bank, cell, pairs, np.random.default_rng([seed, minutes]))
        again = [
            _icc(bank.drawn_again(of), cell, pairs, of)
            for of in (np.random.default_rng([seed, minutes, number]) for number in range(100))
        ]
        low, high = np.percentile(again, [2.5, 97.5], axis=0)
        rows += [
            {"minutes": minutes, "outcome": name, "icc": observed[k], "low": low[k], "high": high[k]}
            for k, name in enumerate(outcomes)
        ]
    return pd.DataFrame(rows)


def _icc(bank: Bank, cell: str, pairs: int, rng: np.random.Generator) -> np.ndarray:
    """Draw pairs of different people near one rate of the population, and compute ICC(1) of every outcome."""
    rates, values = bank.rates[cell], bank.values[cell][:, :-1]
    wanted = np.log(MEDIAN_RATE) + SPREAD * rng.standard_normal(pairs)
    first = np.clip(np.searchsorted(rates, wanted) - NEAR // 2, 0, len(rates) - NEAR)
    chosen = first[:, None] + np.array([rng.permutation(NEAR)[:2] for _ in range(pairs)])
    both = values[chosen]
    between = 2 * both.mean(axis=1).var(axis=0, ddof=1)
    within = ((both[:, 0] - both[:, 1]) ** 2 / 2).mean(axis=0)
    return np.asarray((between - within) / (between + within))


def draw(found: pd.DataFrame, icc: pd.DataFrame, folder: Path) -> None:
    """Draw false positives, power and reliability, each with its intervals."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "bids_flex", "svg.fonttype": "none"}):
        none = found[(found["effect"] == 0) & (found["adjusted"] == "")]
        figure = Figure(figsize=(9, 4.5), layout="constrained")
        for axes, test in zip(figure.subplots(1, 2, sharey=True), ("medication", "diagnosis"), strict=True):
            for place, (outcome, here) in enumerate(none[none["test"] == test].groupby("outcome", sort=False)):
                at = np.array([list(UNEQUAL).index(one) for one in here["unequal"]]) + (place - 3.5) * 0.1
                error = [here["share"] - here["low"], here["high"] - here["share"]]
                axes.errorbar(at, here["share"], error, fmt="o", ms=3, lw=1, label=outcome)
            axes.axhline(0.05, color="0.6", lw=0.8)
            axes.set_xticks(range(len(UNEQUAL)), [name.replace(" ", "\n") for name in UNEQUAL])
            axes.set(title=f"{test}, no effect", ylim=(0, 1))
        axes.legend(fontsize=7)
        figure.supylabel("share of p < .05")
        figure.savefig(folder / "false-positives.svg", metadata={"Date": None, "Title": "False positives"})
        figure = Figure(figsize=(9, 3.5), layout="constrained")
        power = found[(found["test"] == "medication") & (found["effect"] > 0)]
        for axes, effect in zip(figure.subplots(1, 3, sharey=True), EFFECTS[1:], strict=True):
            for outcome, here in power[power["effect"] == effect].groupby("outcome", sort=False):
                ordered = here.sort_values("minutes")
                error = [ordered["share"] - ordered["low"], ordered["high"] - ordered["share"]]
                axes.errorbar(ordered["minutes"], ordered["share"], error, fmt="o-", ms=3, lw=1, label=outcome)
            axes.set(title=f"effect {effect / SPREAD:g} sd", xlabel="minutes", ylim=(0, 1))
        axes.legend(fontsize=7)
        figure.supylabel("power")
        figure.savefig(folder / "power.svg", metadata={"Date": None, "Title": "Power over minutes"})
        figure = Figure(figsize=(5, 3.5), layout="constrained")
        axes = figure.subplots()
        for outcome, here in icc.groupby("outcome", sort=False):
            axes.errorbar(
                here["minutes"],
                here["icc"],
                [here["icc"] - here["low"], here["high"] - here["icc"]],
                fmt="o-",
                label=outcome,
            )
        axes.set(xlabel="minutes", ylabel="ICC(1)", ylim=(-0.3, 1))
        axes.legend(fontsize=7)
        figure.savefig(folder / "reliability.svg", metadata={"Date": None, "Title": "Reliability over minutes"})


def markdown(table: pd.DataFrame) -> str:
    """Write shares (or ICC) with intervals, one column for each outcome."""
    value = "icc" if "icc" in table else "share"
    cell = [f"{row[value]:.2f} [{row['low']:.2f}, {row['high']:.2f}]" for _, row in table.iterrows()]
    settings = [name for name in ("test", "unequal", "effect", "minutes", "adjusted") if name in table]
    wide = table.assign(cell=cell).pivot_table(
        index=settings, columns="outcome", values="cell", aggfunc="first", sort=False
    )
    wide = wide.fillna("n/a").reset_index()
    lines = [f"| {' | '.join(wide.columns)} |", "|---" * len(wide.columns) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(map(str, row))} |" for row in wide.itertuples(index=False))])


def page(found: pd.DataFrame, icc: pd.DataFrame, table: pd.DataFrame, words: str, cohorts: int) -> str:
    """Write the page: words, then tables and figures."""
    counts = table.groupby("cell")["number"].size()
    held = int(table.groupby("cell")["surrogates"].sum().min()) if len(table) else 0
    none, some = found[found["effect"] == 0], found[found["effect"] > 0]
    made = "*Made by `make calibration`.*"
    size = (
        f"{len(counts)} cells of {counts.min()} to {counts.max()} people, at least {held} of each with surrogates; "
        f"{cohorts} cohorts of 207 for each line. In brackets: 95 % intervals."
    )
    return "\n\n".join(
        [
            words.rstrip(),
            MARK,
            size,
            "## False positives",
            markdown(none),
            f"![False positives](false-positives.svg)\n\n{made}",
            "## Power",
            markdown(some),
            f"![Power](power.svg)\n\n{made}",
            "## Reliability",
            markdown(icc),
            f"![Reliability](reliability.svg)\n\n{made}",
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
    icc = pd.concat([agreement(table, names, 1) for names in (OBSERVED, HELD)], ignore_index=True)
    folder = given.page.parent
    draw(found, icc, folder)
    found.round(4).to_csv(folder / "cohorts.tsv", sep="\t", index=False)
    words = given.page.read_text().partition(MARK)[0] if given.page.exists() else "# Cohorts\n"
    given.page.write_text(page(found, icc, table, words, given.cohorts) + "\n")


if __name__ == "__main__":
    main()
