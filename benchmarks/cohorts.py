"""False positives, power and reliability of whole studies: cohorts drawn from a bank of simulated people.

Every member of a cohort has a true rate of switching, drawn from a population; whoever of the bank comes near it stands
in. Intervals allow for the reuse of the bank: cohorts are also drawn from bootstrapped banks, and what these differ by
beyond chance is added to the binomial variance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from bank import LEVELS, MINUTES
from scipy.stats import norm
from scipy.stats import t as student

from bids_flex import stats
from bids_flex.simulate.cohort import CELLS

if TYPE_CHECKING:
    from collections.abc import Sequence


MEDIAN_RATE, SPREAD = 0.5, 0.5
"""Of the population: departures a minute, and the standard deviation of their logarithm."""

GLOBAL = ("prior F", "prior P", "multilayer F", "multilayer P", "split-half")
GLOBAL_HELD = ("prior excess", "prior z", "multilayer excess", "multilayer z")
"""Outcomes of everybody, and of those who have surrogates; the mean over all regions."""

OBSERVED = (*GLOBAL, *(f"{engine} F{level}" for engine in ("prior", "multilayer") for level in LEVELS if level))
HELD = (*GLOBAL_HELD, *(f"{name}{level}" for name in GLOBAL_HELD for level in LEVELS if level))
NEAR = 12
"""People of the bank that a member of a cohort is drawn from: those whose rates come nearest."""

LEVEL = 0.05
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
        return self.values[cell][self._first(cell, wanted) + rng.integers(0, NEAR, len(wanted))]

    def expected(self, cell: str, wanted: np.ndarray) -> np.ndarray:
        """Give the mean of who may be drawn for each wanted rate, over all of these; shape (outcomes,)."""
        near = np.lib.stride_tricks.sliding_window_view(self.values[cell][:, :-1], NEAR, axis=0)
        return np.asarray(near.mean(axis=2)[self._first(cell, wanted)].mean(axis=0))

    def _first(self, cell: str, wanted: np.ndarray) -> np.ndarray:
        rates = self.rates[cell]
        return np.clip(np.searchsorted(rates, wanted) - NEAR // 2, 0, len(rates) - NEAR)

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


def tested(ask: Ask, bank: Bank, rng: np.random.Generator) -> stats.Tested:
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
        contrast = PAIR
    else:
        x = (diagnosis[:, None] == np.array(["mdd", "anxiety", "comorbid", "control"])).astype(float)
        x = np.column_stack([x, user - user.mean()])
        contrast = np.hstack([np.eye(3), -np.ones((3, 1)), np.zeros((3, 1))])
    if ask.adjusted:
        x = np.column_stack([x, fd - fd.mean()])
        contrast = np.concatenate([contrast, np.zeros((*contrast.shape[:-1], 1))], axis=-1)
    return stats.fit_contrast(y, x, contrast, "hc3")


def true_difference(ask: Ask, bank: Bank) -> np.ndarray:
    """Give what the higher rate of users makes of every outcome: means over the population's quantiles."""
    usual, _ = cells_of(ask)
    wanted = np.log(MEDIAN_RATE) + SPREAD * norm.ppf((np.arange(2000) + 0.5) / 2000)
    return bank.expected(usual, wanted + ask.effect) - bank.expected(usual, wanted)


def covered(found: Sequence[stats.Tested], truth: np.ndarray) -> np.ndarray:
    """Give the share of 95 % intervals that hold the truth; NaN for tests of several rows."""
    held = [np.abs(one.estimate - truth) <= student.ppf(0.975, one.df2) * one.se for one in found]
    return np.where(np.isnan(found[0].se), np.nan, np.mean(held, axis=0))


def shares(ask: Ask, bank: Bank, cohorts: int, seed: int, resamples: int = 40) -> pd.DataFrame:
    """Give the share of p < .05 of every outcome, with intervals that allow for the reuse of the bank."""
    size = bank.smallest(cells_of(ask))
    if size < NEAR:
        return pd.DataFrame()
    rng = np.random.default_rng([seed, 0])
    found = [tested(ask, bank, rng) for _ in range(cohorts)]
    hits = np.mean([one.p < LEVEL for one in found], axis=0)
    each = max(cohorts // resamples, 5)
    again = []
    for number in range(resamples):
        of = np.random.default_rng([seed, 1, number])
        drawn = bank.drawn_again(of)
        again.append(np.mean([tested(ask, drawn, of).p < LEVEL for _ in range(each)], axis=0))
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
            "covered": covered(found, true_difference(ask, bank)),
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
