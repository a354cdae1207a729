"""The engines as data: how each searches, what it writes beside the measures, and what must be said about it.

Everything else in this room treats engines alike. To add one, write its functions and a row of :data:`ENGINES`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_flex import dynamics
from bids_flex.errors import RunError
from bids_flex.workflows.landscapes import landscape_columns, landscape_facts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    from bids_flex.config import EngineName, Science

    Floats = NDArray[np.float64]
    Labels = NDArray[np.int16]

MOST_ITERATIONS = 1000
"""Limit of the ``prior`` engine; the labels of windows that never settle depend on it."""


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """What a search needs beside connectivity.

    Attributes
    ----------
    science : Science
        The settings.
    networks : ndarray of int, shape (N,)
        Network of each region, from 1; numbers may be missing.
    pairs : ndarray of bool, shape (W - 1,)
        Which pairs of consecutive windows count.
    onsets_s : ndarray, shape (W,)
        Start of each window.
    seed : callable
        Gives the seed of what random numbers are drawn for, such as ``search``.
    restarts : int
        How often to search; an engine without chance searches once.
    threads : int
        No number depends on it.
    """

    science: Science
    networks: NDArray[np.int64]
    pairs: NDArray[np.bool_]
    onsets_s: Floats
    seed: Callable[[str], int]
    restarts: int
    threads: int


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What R searches have come to: labels (R, W, N), details as arrays by name, and what a reader must know."""

    labels: Labels
    details: dict[str, NDArray[Any]]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Further:
    """What an engine writes beside the measures: further tables, column by column, and facts for their sidecars."""

    tables: dict[str, dict[str, NDArray[Any]]] = field(default_factory=dict)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Engine:
    """One way to follow communities over time.

    Attributes
    ----------
    name : str
        As in the settings and in ``desc-``.
    restarts, null_restarts : callable
        Searches of a run and of each of its surrogates, by the settings.
    search : callable
        Blocks of windows (W, N, N) and a task to what was found.
    partitions : callable
        What was found to one labelling (W, N) for each table of communities, by ``desc-``.
    further : callable
        Whole connectivity and what was found to further tables.
    facts : callable
        What was found, and the spread of its measures over restarts, to entries of the summary.
    notes : callable
        Settings and confounds to what must be said about every result.
    caution : str
        What must be said when people are compared.
    chances : callable
        Settings to what random numbers are drawn for, as in the seeds of the summary.
    same_labels : bool
        Whether labels are networks, the same in every run and person.
    """

    name: EngineName
    restarts: Callable[[Science], int]
    null_restarts: Callable[[Science], int]
    search: Callable[[Iterable[Floats], Task], Found]
    partitions: Callable[[Found, Task], dict[str, Labels]]
    further: Callable[[Floats, Found, Task], Further]
    facts: Callable[[Mapping[str, Any], Mapping[str, Floats], Science], dict[str, Any]]
    notes: Callable[[Science, Iterable[str]], tuple[str, ...]]
    caution: str
    chances: Callable[[Science], tuple[str, ...]]
    same_labels: bool


def _once(_: Science) -> int:
    return 1


def _search_prior(blocks: Iterable[Floats], task: Task) -> Found:
    """Reassign regions window by window; networks keep their numbers, also where one has lost all its regions."""
    there = np.unique(task.networks)
    # the engine wants networks 1..K without gaps
    dense = np.searchsorted(there, task.networks) + 1
    fisher = task.science.prior.estimator != "mtd"
    found = [dynamics.prior_communities(block, dense, MOST_ITERATIONS, fisher=fisher) for block in blocks]
    labels = there[np.concatenate([one for one, _ in found]) - 1].astype(np.int16)
    iterations = np.concatenate([count for _, count in found])
    unsettled = int((iterations >= MOST_ITERATIONS).sum())
    told = f"{unsettled} of {len(iterations)} windows had not settled after {MOST_ITERATIONS} iterations."
    return Found(labels[None], {"iterations": iterations}, (told,) if unsettled else ())


def _prior_partitions(found: Found, _: Task) -> dict[str, Labels]:
    return {"prior": found.labels[0]}


def _nothing_further(_: Floats, __: Found, ___: Task) -> Further:
    return Further()


def _prior_facts(details: Mapping[str, Any], _: Mapping[str, Floats], __: Science) -> dict[str, Any]:
    """Say how the search ended."""
    iterations = details["iterations"]
    convergence = {
        "MeanIterations": float(iterations.mean()),
        "MaxIterations": int(iterations.max()),
        "WindowsNotConverged": int((iterations >= MOST_ITERATIONS).sum()),
    }
    return {"Convergence": convergence}


def _prior_notes(science: Science, confounds: Iterable[str]) -> tuple[str, ...]:
    noise = (
        "Flexibility of the prior engine also rises with noise, without any switching: compare it between people only "
        "beside motion and other measures of quality. Its excess and z say whether there is more than noise, not how "
        "much; switching lowers them."
    )
    affinity = (
        "Global signal regression makes anticorrelations, and the prior engine takes |r|: they count as affinity."
    )
    amsterdam = (
        "Preset amsterdam approximates the pipeline of Broeders et al. (2024); atlas, window, covariates, tests and "
        "effect sizes of that study are not public."
    )
    halves = (
        "Noise that the two halves of a region's voxels do not share hardly raises split-half flexibility, and lowers "
        "it where regions switch: only a difference in the direction of raw flexibility confirms that. Noise that the "
        "halves do share, such as motion, is not removed."
    )
    checks = (
        (True, noise),
        (science.split_half, halves),
        (any("global_signal" in name for name in confounds), affinity),
        (science.preset == "amsterdam", amsterdam),
    )
    return tuple(text for holds, text in checks if holds)


def _no_chance(_: Science) -> tuple[str, ...]:
    return ()


def _multilayer_chances(science: Science) -> tuple[str, ...]:
    """Name the seeds; Pamfil's estimate is one of ``ng`` alone."""
    settings = science.multilayer
    swept = ("sweep", "estimate") if settings.modularity_null == "ng" else ("sweep",)
    return ("search", "consensus", *(swept if settings.sweep else ()))


def _search_multilayer(blocks: Iterable[Floats], task: Task) -> Found:
    """Maximise temporal modularity, many times."""
    settings = task.science.multilayer
    found = dynamics.multilayer_communities(
        np.concatenate(list(blocks)),
        settings.gamma,
        settings.omega,
        settings.modularity_null,
        settings.optimiser,
        restarts=task.restarts,
        seed=task.seed("search"),
        threads=task.threads,
        a=settings.a,
    )
    details = {"quality": found.quality, "seeds": found.seeds, "a": np.array(found.a)}
    return Found(found.labels, details, found.warnings)


def _multilayer_partitions(found: Found, task: Task) -> dict[str, Labels]:
    """Give the labelling of highest quality (the first, where there is no quality), and the consensus of all."""
    best = int(np.argmax(np.nan_to_num(found.details["quality"], nan=-np.inf)))
    agreed = dynamics.consensus_communities(found.labels, task.seed("consensus"), task.threads)
    return {"multilayerbest": found.labels[best], "multilayerconsensus": agreed}


def _multilayer_further(fc: Floats, found: Found, task: Task) -> Further:
    """Tabulate restarts, windows and, if it is asked for, the sweep over resolution and coupling."""
    spread = dynamics.profile(found.labels, task.networks, task.pairs, step_s=1.0).spread
    restarts = {"seed": found.details["seeds"], "quality": found.details["quality"], **spread}
    tables = {"restarts": restarts, "windows": _by_window(fc, found, task)}
    settings = task.science.multilayer
    if settings.sweep is None:
        return Further(tables)
    grid, null = settings.sweep, settings.modularity_null
    landscape = dynamics.sweep(
        fc,
        grid.gammas,
        grid.omegas,
        null,
        settings.optimiser,
        restarts=grid.restarts,
        seed=task.seed("sweep"),
        threads=task.threads,
        a=settings.a,
        pairs=task.pairs,
    )
    facts = {"Optimiser": settings.optimiser, "Restarts": grid.restarts, **landscape_facts(landscape)}
    if null == "ng":
        facts["Pamfil"] = _estimated(fc, task)
    return Further({**tables, "sweep": landscape_columns(landscape)}, {"sweep": {"Sweep": facts}})


def _by_window(fc: Floats, found: Found, task: Task) -> dict[str, NDArray[Any]]:
    """Give quality and number of communities of every window by itself, over restarts."""
    settings = task.science.multilayer
    model = dynamics.modularity(fc, settings.gamma, settings.omega, settings.modularity_null, settings.a)
    quality = dynamics.window_quality(model, found.labels)
    kinds = np.array([[np.unique(window).size for window in one] for one in found.labels])
    sd = quality.std(axis=0, ddof=1) if len(quality) > 1 else np.full(len(fc), np.nan)
    return {
        "onset": task.onsets_s,
        "window_quality_mean": quality.mean(axis=0),
        "window_quality_sd": sd,
        "window_communities_mean": kinds.mean(axis=0),
    }


def _estimated(fc: Floats, task: Task) -> dict[str, Any]:
    """Estimate resolution and coupling from the network itself (Pamfil et al. 2019), or say why that is impossible."""
    settings = task.science.multilayer
    start = (settings.gamma, settings.omega)
    try:
        fit = dynamics.pamfil_fixed_point(
            fc,
            *start,
            optimiser=settings.optimiser,
            seed=task.seed("estimate"),
            threads=task.threads,
            pairs=task.pairs,
        )
    except RunError as error:
        return {"Gamma": None, "Omega": None, "Reason": str(error)}
    told = {"Gamma": fit.gamma, "Omega": fit.omega, "Rounds": fit.rounds, "Settled": bool(fit.settled)}
    constant = {"Reason": "no region changes its community: the estimate of omega is infinite"}
    return told | constant if np.isinf(fit.omega) else told


def _multilayer_facts(details: Mapping[str, Any], spread: Mapping[str, Floats], science: Science) -> dict[str, Any]:
    """Say what was maximised, and how far restarts agree."""
    settings = science.multilayer
    conventional = settings.gamma == settings.omega == 1
    chosen = "conventional: gamma = omega = 1, not chosen on these data" if conventional else "chosen by the user"
    a = float(details["a"])
    modularity = {
        "Null": settings.modularity_null,
        "Gamma": settings.gamma,
        "Omega": settings.omega,
        "ResolutionAndCoupling": chosen,
        "Optimiser": settings.optimiser,
        "Restarts": len(details["quality"]),
    }
    if settings.modularity_null == "uniform":
        modularity |= {"A": a, "Threshold": settings.gamma * a}
    return {
        "Modularity": modularity,
        "OverRestarts": {
            "Quality": spread_of(details["quality"]),
            "Communities": spread_of(spread["n_communities"]),
            "Flexibility": spread_of(spread["flexibility"]),
        },
    }


def _multilayer_notes(science: Science, _: Iterable[str]) -> tuple[str, ...]:
    settings = science.multilayer
    baseline = (
        "Flexibility of the multilayer engine is well above zero without any switching too: its excess over surrogates "
        "is what switching adds. It saturates beyond one switch a minute, shrinks with noise, and told simulated "
        "people of up to 30 minutes not apart (ICC about 0): it says of a run or a group whether there is more than "
        "noise."
    )
    left_out = "The modularity null ng leaves negative weights out."
    return (baseline, left_out) if settings.modularity_null == "ng" else (baseline,)


def spread_of(values: Floats) -> dict[str, float]:
    """Describe values over restarts: mean, standard deviation (n/a for one), smallest and largest."""
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
    return {"Mean": float(np.mean(values)), "Sd": sd, "Min": float(np.min(values)), "Max": float(np.max(values))}


PRIOR = Engine(
    name="prior",
    restarts=_once,
    null_restarts=_once,
    search=_search_prior,
    partitions=_prior_partitions,
    further=_nothing_further,
    facts=_prior_facts,
    notes=_prior_notes,
    caution="Flexibility of the prior engine also rises with noise, without any switching: a group that is noisier "
    "looks more flexible. Read the quality family beside the primary one.",
    chances=_no_chance,
    same_labels=True,
)

MULTILAYER = Engine(
    name="multilayer",
    restarts=lambda science: science.multilayer.restarts,
    null_restarts=lambda science: min(science.multilayer.restarts, science.surrogates.multilayer_restarts),
    search=_search_multilayer,
    partitions=_multilayer_partitions,
    further=_multilayer_further,
    facts=_multilayer_facts,
    notes=_multilayer_notes,
    caution="Flexibility of the multilayer engine is well above zero without any switching, and differs with noise: "
    "look at its excess over surrogates too, and read the quality family beside the primary one.",
    chances=_multilayer_chances,
    same_labels=False,
)

ENGINES: dict[str, Engine] = {engine.name: engine for engine in (PRIOR, MULTILAYER)}
"""All engines, in the order in which they run."""


def engines_of(science: Science) -> tuple[Engine, ...]:
    """Give the engines that settings ask for, in the order in which they run, whatever the order of the words."""
    return tuple(engine for name, engine in ENGINES.items() if name in science.engines)
