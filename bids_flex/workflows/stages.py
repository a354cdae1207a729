"""What each node of a run's graph does: read files of the work folder, call the science, write one file.

Regions that cannot be searched (poor coverage, no variance) are dropped before the engine and come back as missing
values; networks keep their numbers however many of their regions are left.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_flex import dynamics, signal
from bids_flex.errors import DatasetFileError, RunError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bids_flex.bids.inputs import Run
    from bids_flex.config import Duration, Science
    from bids_flex.dynamics import WindowPlan
    from bids_flex.signal import Atlas, Strategy

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Job:
    """One run to analyse, with everything that decides its numbers."""

    run: Run
    science: Science
    atlas: Atlas
    strategy: Strategy
    output_dir: Path
    settings_hash: str
    fingerprint: str


def atlas_fingerprint(atlas: Atlas) -> str:
    """Name an atlas by its content: the image (or coordinates), the regions and their networks."""
    digest = hashlib.sha256(repr((atlas.name, atlas.labels, atlas.networks, atlas.space)).encode())
    digest.update(np.ascontiguousarray(atlas.index).tobytes())
    if isinstance(atlas.image, Path):
        digest.update(atlas.image.read_bytes())
    else:
        digest.update(np.ascontiguousarray(atlas.coordinates).tobytes())
    return digest.hexdigest()[:12]


def network_numbers(atlas: Atlas) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Give the networks of an atlas numbers from 1, in the order in which its table names them.

    Raises
    ------
    DatasetFileError
        When the atlas names no networks, which the ``prior`` engine starts from.
    """
    if atlas.networks is None:
        raise DatasetFileError(
            f"atlas {atlas.name} names no networks, and the prior engine starts from them: "
            "add a column 'network' to its table"
        )
    names = tuple(dict.fromkeys(atlas.networks))
    return np.array([names.index(name) + 1 for name in atlas.networks]), names


def parcellate_run(job: Job, folder: Path) -> Path:
    """Average the images over regions, volume by volume."""
    notes = signal.check_space(job.atlas, job.run.space, force=job.science.any_space)
    found = signal.parcellate(job.run.bold, job.run.mask, job.atlas, min_coverage=job.science.denoise.min_coverage)
    return _save(
        folder / "parcellated.npz",
        {"series": found.series, "coverage": found.coverage},
        {"poor": found.poor, "notes": [*job.run.notes, *notes]},
    )


def clean_run(job: Job, parcellated: Path, folder: Path) -> Path:
    """Drop the first volumes that are not in steady state, mark frames to censor, and clean the series."""
    arrays, facts = load(parcellated)
    table = signal.read_confounds(job.run.confounds)
    volumes = len(arrays["series"])
    if len(table) != volumes:
        raise RunError(
            f"{job.run.confounds.name} has {len(table)} rows but the images have {volumes} volumes: "
            "they do not belong together; run fMRIPrep again"
        )
    settings = job.science.denoise
    skip = signal.non_steady_state_count(table)
    confounds = signal.select_confounds(
        table, _metadata(job.run), job.strategy, job.run.confounds.name, settings.high_pass_hz
    )
    keep = signal.keep_mask(table, settings.fd_threshold_mm, settings.dvars_threshold, job.run.confounds.name)[skip:]
    cleaned = signal.clean_series(
        arrays["series"][skip:],
        confounds.to_numpy(dtype=float)[skip:],
        keep,
        job.run.tr_s,
        high_pass_hz=settings.high_pass_hz,
        low_pass_hz=settings.low_pass_hz,
    )
    series, _, present = _searched(cleaned.series, keep)
    static = dynamics.static_correlation(series, keep)
    quality = signal.quality_figures(
        fd=signal.framewise_displacement(table)[skip:],
        dvars=signal.std_dvars(table)[skip:],
        keep=keep,
        series=cleaned.series,
        static=static,
        tr_s=job.run.tr_s,
        degrees_of_freedom=cleaned.degrees_of_freedom,
    )
    return _save(
        folder / "cleaned.npz",
        {
            "series": cleaned.series,
            "static": _full_matrix(static, present),
            "keep": keep,
            "fd": signal.framewise_displacement(table)[skip:],
            "dvars": signal.std_dvars(table)[skip:],
        },
        {
            "skipped_volumes": skip,
            "confounds": list(confounds.columns),
            "quality": quality,
            "notes": [*facts["notes"], *cleaned.notes],
        },
    )


def _metadata(run: Run) -> dict[str, Any]:
    """Read the description of a run's confounds, if there is one."""
    if run.confounds_json is None:
        return {}
    try:
        described = json.loads(run.confounds_json.read_text(encoding="utf8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{run.confounds_json} is not readable JSON ({error}): restore the file") from error
    if not isinstance(described, dict):
        raise RunError(f"{run.confounds_json} holds no JSON object: restore the file")
    return described


def _searched(series: Floats, keep: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.bool_], NDArray[np.bool_]]:
    """Take the regions that have a series; returns it, the kept frames and which regions they are."""
    present = np.asarray(np.isfinite(series[keep]).all(axis=0))
    if present.sum() < 2:
        raise RunError(f"only {present.sum()} of {present.size} regions have a usable series: check mask and coverage")
    return series[:, present], keep, present


def plan_of(job: Job, keep: NDArray[np.bool_]) -> WindowPlan:
    """Lay the windows of the ``prior`` engine over a run."""
    settings = job.science.prior
    return dynamics.plan_windows(
        len(keep),
        job.run.tr_s,
        _volumes(settings.window, job.run.tr_s),
        _volumes(settings.step, job.run.tr_s),
        unit="volumes",
        shape=settings.shape,
        keep=keep,
        min_kept=settings.min_kept,
    )


def _volumes(duration: Duration, tr_s: float) -> int:
    """Express a duration in volumes, halves rounded up."""
    return int(np.floor(duration.value / (tr_s if duration.unit == "s" else 1.0) + 0.5))


def connect_run(job: Job, cleaned: Path, folder: Path) -> Path:
    """Compute connectivity in every window, block by block, into a scratch file that only the search reads."""
    arrays, _ = load(cleaned)
    plan = plan_of(job, arrays["keep"])
    series, _, present = _searched(arrays["series"], arrays["keep"])
    regions = int(present.sum())
    path = folder / "connectivity.npy"
    scratch = np.lib.format.open_memmap(path, mode="w+", dtype=np.float64, shape=(plan.n_windows, regions, regions))
    start = 0
    for block in dynamics.iter_windowed_connectivity(series, plan):
        scratch[start : start + len(block)] = block
        start += len(block)
    scratch.flush()
    return path


def search_run(job: Job, cleaned: Path, connectivity: Path, folder: Path) -> Path:
    """Find the communities of every window with the ``prior`` engine."""
    arrays, _ = load(cleaned)
    present = _searched(arrays["series"], arrays["keep"])[2]
    numbers, _ = network_numbers(job.atlas)
    there = np.unique(numbers[present])
    # the engine wants networks 1..K without gaps; a network that has lost all its regions leaves one
    dense = np.searchsorted(there, numbers[present]) + 1
    scratch = np.load(connectivity, mmap_mode="r")
    found, iterations = dynamics.prior_communities(scratch, dense)
    labels = np.zeros((len(found), numbers.size), dtype=np.int16)
    labels[:, present] = there[found - 1]
    return _save(folder / "communities.npz", {"labels": labels, "iterations": iterations, "present": present}, {})


def measure_run(job: Job, cleaned: Path, communities: Path, folder: Path) -> Path:
    """Measure how much the communities change, for every region."""
    keep = load(cleaned)[0]["keep"]
    found = load(communities)[0]
    present = found["present"]
    numbers, names = network_numbers(job.atlas)
    plan = plan_of(job, keep)
    labels = found["labels"][:, present]
    pairs = plan.pairs
    allegiance = dynamics.allegiance(labels)
    cohesion = dynamics.cohesion(labels, pairs)
    flexibility = dynamics.flexibility(labels, pairs)
    regions = {
        "flexibility": flexibility,
        "switches_per_minute": dynamics.switches_per_minute(flexibility, plan.step_s),
        "promiscuity": dynamics.promiscuity(labels, n_communities=len(names)),
        "cohesion": cohesion.cohesion,
        "disjointedness": cohesion.disjointedness,
        "cohesion_strength": cohesion.strength,
        "recruitment": dynamics.recruitment(allegiance, numbers[present]),
        "integration": dynamics.integration(allegiance, numbers[present]),
        "dwell": dynamics.dwell(labels, plan.step_s / 60, pairs),
    }
    measures = {name: _expand(values, present) for name, values in regions.items()}
    return _save(
        folder / "measures.npz",
        {**measures, "allegiance": _full_matrix(allegiance, present)},
        {"measures": list(measures)},
    )


def _expand(values: Floats, present: NDArray[np.bool_]) -> Floats:
    """Put regions back in their places; those that were not searched are missing."""
    whole = np.full(present.size, np.nan)
    whole[present] = values
    return whole


def _full_matrix(values: Floats, present: NDArray[np.bool_]) -> Floats:
    """Do the same for a matrix of regions by regions."""
    whole = np.full((present.size, present.size), np.nan)
    whole[np.ix_(present, present)] = values
    return whole


def _save(path: Path, arrays: dict[str, Any], facts: dict[str, Any]) -> Path:
    """Write arrays, and facts about them as JSON text, into one file; nothing in it is ever unpickled."""
    np.savez(path, **arrays, facts=np.array(json.dumps(facts)))
    return path


def load(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read arrays and facts that a stage has written."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return arrays, json.loads(str(arrays.pop("facts")))
