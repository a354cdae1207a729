"""Whether the group tests keep their promises: level, family-wise error, power, equivalence, on simulated cohorts."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats as scipy_stats

from bids_flex import stats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIZES = (49, 101, 57)
"""Users, nonusers and controls of the study."""

DIAGNOSES = (49, 46, 55, 57)
"""Depression, anxiety, both, and controls; the 49 users are among the first three."""

SPREADS = ((1.0, 1.0, 1.0), (2.0, 1.0, 1.0), (1.0, 2.0, 1.0))
ORDERS = 500
PAIR = np.array([1.0, -1.0, 0.0, 0.0])
OMNIBUS = np.array([[1.0, -1.0, 0.0, 0.0], [1.0, 0.0, -1.0, 0.0]])

Shares = dict[str, float]


def groups(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw a design of three groups and a covariate that goes along with them; the groups and the matrix (n, 4)."""
    group = np.repeat(np.arange(3), SIZES)
    covariate = rng.standard_normal(len(group)) + 0.5 * group
    return group, np.column_stack([group[:, None] == np.arange(3), covariate - covariate.mean()]).astype(float)


def level(spread: tuple[float, ...], cohorts: int, seed: int) -> Shares:
    """Count p < .05 of the pair and the omnibus, of both statistics, where nothing differs but the spread."""
    found: dict[str, list[float]] = {}
    for number in range(cohorts):
        rng = np.random.default_rng([seed, number])
        group, x = groups(rng)
        y = np.array(spread)[group] * rng.standard_normal(len(group)) + 0.6 * x[:, 3]
        for kind in ("hc3", "ols"):
            told = stats.freedman_lane(y, x, [PAIR, OMNIBUS], ORDERS, number, statistic=kind, threads=1)
            for name, p in zip(("t", "F"), told.p_permutation[:, 0], strict=True):
                found.setdefault(f"{kind} {name}", []).append(p)
    return {name: float(np.mean(np.array(p) < 0.05)) for name, p in found.items()}


def family_wise(cohorts: int, seed: int, regions: int = 400) -> Shares:
    """Count cohorts with any p_max < .05 over correlated regions (r about .5 in each of eight networks)."""
    hits = []
    for number in range(cohorts):
        rng = np.random.default_rng([seed, number])
        _, x = groups(rng)
        shared = rng.standard_normal((len(x), 8)).repeat(regions // 8, axis=1)
        y = shared + rng.standard_normal((len(x), regions))
        hits.append((stats.freedman_lane(y, x, [PAIR], ORDERS, number, threads=2).p_max < 0.05).any())
    return {"any region": float(np.mean(hits))}


def power(size: float, cohorts: int, seed: int) -> Shares:
    """Count findings of users against nonusers who differ by ``size`` standard deviations, and their expected share."""
    hits, expected = [], []
    for number in range(cohorts):
        rng = np.random.default_rng([seed, number])
        group, x = groups(rng)
        y = rng.standard_normal(len(group)) + size * (group == 0)
        hits.append(stats.freedman_lane(y, x, [PAIR], ORDERS, number, threads=1).p_permutation[0, 0] < 0.05)
        df, shift = len(x) - 4, size / np.sqrt(PAIR @ np.linalg.inv(x.T @ x) @ PAIR)
        edge = scipy_stats.t.ppf(0.975, df)
        expected.append(scipy_stats.nct.sf(edge, df, shift) + scipy_stats.nct.cdf(-edge, df, shift))
    return {"found": float(np.mean(hits)), "theory": float(np.mean(expected))}


def cohort(rng: np.random.Generator, effect: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw the study: diagnoses without an effect, 49 users with one; diagnosis (n,), user (n,), outcome (n,)."""
    diagnosis = np.repeat(np.arange(4), DIAGNOSES)
    user = np.zeros(len(diagnosis))
    user[rng.choice(sum(DIAGNOSES[:3]), 49, replace=False)] = 1.0
    return diagnosis, user, rng.standard_normal(len(diagnosis)) + effect * user


def diagnosis(effect: float, cohorts: int, seed: int) -> Shares:
    """Test four diagnoses without an effect, with and without user in the model; equivalence and Bayes factors."""
    contrast = np.zeros((3, 5))
    contrast[:, 3], contrast[range(3), range(3)] = -1.0, 1.0
    found: dict[str, list[float]] = {}
    for number in range(cohorts):
        names, user, y = cohort(np.random.default_rng([seed, number]), effect)
        cells = (names[:, None] == np.arange(4)).astype(float)
        full = np.column_stack([cells, user - user.mean()])
        for name, x in (("marginal omnibus", cells), ("adjusted omnibus", full)):
            told = stats.freedman_lane(y, x, [contrast[:, : x.shape[1]]], ORDERS, number, threads=1)
            found.setdefault(name, []).append(told.p_permutation[0, 0] < 0.05)
        plain = stats.fit_contrast(y, full, contrast)
        bf01 = stats.bic_bayes_factor(1 + plain.statistic[0] * 3 / plain.df2, 1.0, len(y), 3)
        found.setdefault("BF01 > 1", []).append(bf01 > 1)
        pair = stats.fit_contrast(y, full, contrast[0])
        mse = float(((y - full @ np.linalg.lstsq(full, y, rcond=None)[0]) ** 2).sum() / pair.df2)
        equal = stats.tost_g(float(pair.estimate[0]), float(pair.se[0]), mse, pair.df2)
        found.setdefault("equivalent", []).append(equal.p < 0.05)
        found.setdefault("equivalent, theory", []).append(equal.power)
    return {name: float(np.mean(values)) for name, values in found.items()}


def tables(cohorts: int) -> Iterator[tuple[str, Callable[[], Shares]]]:
    """Name what is measured, and how."""
    for spread in SPREADS:
        yield f"level, sd {spread}", lambda spread=spread: level(spread, cohorts, 1)
    yield "family-wise error, 400 regions", lambda: family_wise(cohorts, 2)
    for size in (0.3, 0.5):
        yield f"power, users differ by {size} sd", lambda size=size: power(size, cohorts, 3)
    # three times as many, since two shares near .05 are told apart, and each line draws its own people
    for place, effect in enumerate((0.0, 0.5, 0.8)):
        yield (
            f"diagnosis, users differ by {effect} sd",
            lambda effect=effect, place=place: diagnosis(effect, 3 * cohorts, 104 + place),
        )


def main() -> None:
    """Print the table of shares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohorts", type=int, default=1000, help="simulated data sets of each line (default 1000)")
    parser.add_argument("--only", default="", help="lines whose name begins so")
    asked = parser.parse_args()
    print("| what | share |\n|---|---|")
    for name, measure in tables(asked.cohorts):
        if not name.startswith(asked.only):
            continue
        for what, share in measure().items():
            print(f"| {name}: {what} | {share:.3f} |", flush=True)


if __name__ == "__main__":
    main()
