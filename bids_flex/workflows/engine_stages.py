"""What the nodes of a run's graph do once for each engine: windows, communities, measures, null models."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_flex import dynamics, signal
from bids_flex.workflows.engines import ENGINES, Task
from bids_flex.workflows.stages import expand, full_matrix, load, network_numbers, save, searched, seed_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from bids_flex.config import Duration, EngineSettings
    from bids_flex.dynamics import Profile, WindowPlan
    from bids_flex.workflows.engines import Engine
    from bids_flex.workflows.stages import Job

    Floats = NDArray[np.float64]

HELD = (
    *("flexibility", "promiscuity", "cohesion", "disjointedness", "cohesion_strength", "recruitment", "integration"),
    "dwell",
)
"""Measures that are held against surrogates; switches per minute and persistence are flexibility in other units."""

LEVELS = ("regions", "networks", "whole")


def _settings(job: Job, engine: str) -> EngineSettings:
    """Give the settings of an engine, which graphs know by its name as text."""
    return job.science.engine(ENGINES[engine].name)


def window_volumes(job: Job, engine: str) -> int:
    """Count the volumes of an engine's windows."""
    return max(3, _volumes(_settings(job, engine).window, job.run.tr_s))


def step_volumes(job: Job, engine: str) -> int:
    """Count the volumes from one window's start to the next."""
    step = _settings(job, engine).step
    return max(1, window_volumes(job, engine) // 2 if step.unit == "windows" else _volumes(step, job.run.tr_s))


def most_windows(job: Job, engine: str) -> int:
    """Count an engine's windows over a whole run, before anything is known of its volumes."""
    return max(0, (job.run.volumes - window_volumes(job, engine)) // step_volumes(job, engine) + 1)


def plan_of(job: Job, engine: str, keep: NDArray[np.bool_]) -> WindowPlan:
    """Lay the windows of an engine over a run."""
    settings = _settings(job, engine)
    return dynamics.plan_windows(
        len(keep),
        job.run.tr_s,
        window_volumes(job, engine),
        step_volumes(job, engine),
        unit="volumes",
        shape=settings.shape,
        keep=keep,
        min_kept=settings.min_kept,
    )


def _volumes(duration: Duration, tr_s: float) -> int:
    """Express a duration in volumes, halves rounded up."""
    return dynamics.to_volumes(duration.value, tr_s, "s" if duration.unit == "s" else "volumes")


def connect_run(job: Job, engine: str, cleaned: Path, folder: Path) -> Path:
    """Compute connectivity in every window, block by block, into a scratch file."""
    arrays, _ = load(cleaned)
    plan = plan_of(job, engine, arrays["keep"])
    series, present = searched(arrays["series"], arrays["keep"])
    regions = int(present.sum())
    path = folder / "connectivity.npy"
    scratch = np.lib.format.open_memmap(path, mode="w+", dtype=np.float64, shape=(plan.n_windows, regions, regions))
    start = 0
    for block in dynamics.iter_windowed_connectivity(series, plan, _settings(job, engine).estimator):
        scratch[start : start + len(block)] = block
        start += len(block)
    scratch.flush()
    return path


def search_run(job: Job, engine: str, cleaned: Path, connectivity: Path, folder: Path, threads: int) -> Path:
    """Find the communities of every window."""
    arrays, _ = load(cleaned)
    by = ENGINES[engine]
    _, present = searched(arrays["series"], arrays["keep"])
    plan = plan_of(job, engine, arrays["keep"])
    task = _task(job, by, present, plan, by.restarts(job.science), threads)
    windows = np.load(connectivity, mmap_mode="r")
    found = by.search([windows], task)
    further = by.further(windows, found, task)
    labels = {f"labels_{name}": _labels(one, present) for name, one in by.partitions(found, task).items()}
    tables = {f"{name}:{column}": values for name, table in further.tables.items() for column, values in table.items()}
    return save(
        folder / "communities.npz",
        {"labels": _labels(found.labels, present), "present": present, **found.details, **labels, **tables},
        {
            "details": list(found.details),
            "warnings": list(found.warnings),
            "tables": {name: list(table) for name, table in further.tables.items()},
            "facts": further.facts,
        },
    )


def _task(job: Job, engine: Engine, present: NDArray[np.bool_], plan: WindowPlan, restarts: int, threads: int) -> Task:
    """Say what an engine needs to know."""
    numbers, _ = network_numbers(job.atlas)
    seed = partial(seed_of, job, engine.name)
    onsets_s = np.asarray(plan.starts * job.run.tr_s, dtype=np.float64)
    return Task(job.science, numbers[present], plan.pairs, onsets_s, seed, restarts, threads)


def _labels(found: NDArray[np.int16], present: NDArray[np.bool_]) -> NDArray[np.int16]:
    """Put regions back in their places; those that were not searched have label 0."""
    whole = np.zeros((*found.shape[:-1], present.size), dtype=np.int16)
    whole[..., present] = found
    return whole


def measure_run(job: Job, engine: str, cleaned: Path, communities: Path, folder: Path) -> Path:
    """Measure how much the communities change, for regions, networks and the whole brain."""
    found, clean = load(communities)[0], load(cleaned)[0]
    present = found["present"]
    plan = plan_of(job, engine, clean["keep"])
    told = _profile(job, engine, found["labels"][..., present], present, plan)
    if job.science.split_half and ENGINES[engine].same_labels:
        told = _with_halves(job, engine, told, clean["halves"][..., present], present, plan)
    arrays: dict[str, Any] = {f"regions.{name}": expand(values, present) for name, values in told.regions.items()}
    arrays |= {f"networks.{name}": values for name, values in told.networks.items()}
    arrays |= {f"spread.{name}": values for name, values in told.spread.items()}
    arrays["allegiance"] = full_matrix(told.allegiance, present)
    arrays["normalised_integration"] = told.normalised_integration
    return save(folder / "measures.npz", arrays, {"measures": list(told.regions), "whole": told.whole})


def _with_halves(
    job: Job, engine: str, told: Profile, halves: Floats, present: NDArray[np.bool_], plan: WindowPlan
) -> Profile:
    """Add what both halves of the regions tell; regions with one voxel have no halves, and no value."""
    whole = np.asarray(np.isfinite(halves[:, plan.keep]).all(axis=(0, 1)))
    split = present.copy()
    split[present] = whole
    by = ENGINES[engine]
    task = _task(job, by, split, plan, restarts=1, threads=1)
    first, second = (
        by.search(
            dynamics.iter_windowed_connectivity(half[:, whole], plan, _settings(job, engine).estimator), task
        ).labels[0]
        for half in halves
    )
    found = np.full(len(whole), np.nan)
    found[whole] = dynamics.split_half_flexibility(first, second, plan.starts, plan.length, plan.step)
    numbers, _ = network_numbers(job.atlas)
    return dynamics.with_measure(told, "split_half_flexibility", found, numbers[present])


def _profile(job: Job, engine: str, labels: NDArray[np.int16], present: NDArray[np.bool_], plan: WindowPlan) -> Profile:
    """Measure labels of the regions that were searched; without networks, nothing is said about them."""
    numbers, names = network_numbers(job.atlas)
    told = dynamics.profile(
        labels,
        numbers[present],
        plan.pairs,
        step_s=plan.step_s,
        n_communities=len(names) if ENGINES[engine].same_labels else None,
    )
    if not names:
        for name in ("recruitment", "integration"):
            told.regions[name][:] = np.nan
            told.whole[name] = float("nan")
    return told


def hold_run(
    job: Job, engine: str, cleaned: Path, connectivity: Path, communities: Path, folder: Path, threads: int
) -> Path:
    """Hold the measures against those of surrogates; surrogates are searched as often as the observed run is here."""
    count = getattr(job.science.surrogates, engine)
    path = folder / "null.npz"
    if not count:
        return save(path, {}, {"surrogates": 0})
    arrays, facts = load(cleaned)
    found = load(communities)[0]
    present = found["present"]
    plan = plan_of(job, engine, arrays["keep"])
    restarts = ENGINES[engine].null_restarts(job.science)
    observed = _held(_profile(job, engine, found["labels"][:restarts, :, present], present, plan))
    draw, measure = _null_model(job, engine, arrays, connectivity, plan)
    null = dynamics.null_distribution(draw, measure, count, seed_of(job, engine, "surrogates"), threads)
    permuted = job.science.surrogates.kind == "temporal"
    held = dynamics.compare(
        observed,
        null,
        censored_share=facts["quality"]["share_censored"],
        undefined=[name for name in observed if permuted and name.partition(".")[2] in dynamics.ORDER_FREE],
    )
    values = {
        f"{name}.{part}": expand(value, present) if name.startswith("regions.") else value
        for name, one in held.items()
        for part, value in zip(("null_mean", "null_sd", "excess", "z", "p_hi", "p_lo", "p"), _parts(one), strict=True)
    }
    change = float(null["correlation_change"].max()) if "correlation_change" in null else None
    return save(path, values, {"surrogates": count, "restarts": restarts, "correlation_change": change})


def _parts(held: dynamics.NullStatistics) -> tuple[Floats, ...]:
    return held.mean, held.sd, held.excess, held.z, held.p_hi, held.p_lo, held.p


def _held(told: Profile) -> dict[str, Any]:
    """Name the measures that are held against surrogates, with their level before a dot."""
    return {f"{level}.{name}": getattr(told, level)[name] for level in LEVELS for name in HELD}


def _null_model(
    job: Job, engine: str, arrays: Mapping[str, Any], connectivity: Path, plan: WindowPlan
) -> tuple[Callable[[int], Any], Callable[[Any], Mapping[str, Any]]]:
    """Give what draws a surrogate and what measures it, in one thread each."""
    by, kind, keep = ENGINES[engine], job.science.surrogates.kind, arrays["keep"]
    _, present = searched(arrays["series"], keep)
    task = _task(job, by, present, plan, by.null_restarts(job.science), threads=1)

    def of_windows(blocks: Any) -> Mapping[str, Any]:  # noqa: ANN401 - blocks of windows, one after the other
        return _held(_profile(job, engine, by.search(blocks, task).labels, present, plan))

    if kind == "temporal":
        return dynamics.window_surrogates(np.load(connectivity), plan), lambda windows: of_windows([windows])
    settings = job.science.denoise
    # series that were filtered elsewhere are what surrogates are made of; a second filter would narrow their band
    taken = job.science.input.type == "timeseries"
    refilter = None if taken else signal.Refilter(keep, job.run.tr_s, settings.high_pass_hz, settings.low_pass_hz)
    made = dynamics.series_surrogates(kind, arrays["unfiltered"][:, present], refilter, keep)

    def of_series(series: Floats) -> Mapping[str, Any]:
        return of_windows(dynamics.iter_windowed_connectivity(series, plan, _settings(job, engine).estimator))

    return made.unfiltered, made.measured(of_series)
