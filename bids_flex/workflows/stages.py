"""What the nodes of a run's graph do that all engines share: images to clean series; files between nodes.

Nodes read files of the work folder, call the science and write one file. Regions that cannot be searched (poor
coverage, no variance) are dropped before the engines and come back as missing values; networks keep their numbers
however many of their regions are left.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_flex import dynamics, signal
from bids_flex.bids.further import further_confounds
from bids_flex.errors import DatasetFileError, RunError
from bids_flex.words import counted

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from bids_flex.bids.inputs import Run
    from bids_flex.config import Science
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
    further: Path | None = None


def seed_of(job: Job, engine: str, purpose: str) -> int:
    """Derive a seed from the user's and from what it is for, whichever other runs there are."""
    digest = hashlib.sha256(f"{job.run.name} {engine} {purpose}".encode()).digest()
    words = [int(word) for word in np.frombuffer(digest, dtype="<u4")]
    return int(np.random.SeedSequence(job.science.random_seed, spawn_key=words).generate_state(1)[0])


def halves_seed(job: Job) -> int:
    """Give the seed of the halves that voxels of regions are split into."""
    return seed_of(job, "prior", "halves")


def atlas_fingerprint(atlas: Atlas) -> str:
    """Name an atlas by its content: the image (or coordinates), the regions and their networks."""
    digest = hashlib.sha256(repr((atlas.name, atlas.labels, atlas.networks, atlas.space)).encode())
    digest.update(np.ascontiguousarray(atlas.index).tobytes())
    if isinstance(atlas.image, Path):
        digest.update(atlas.image.read_bytes())
    elif atlas.coordinates is not None:
        digest.update(np.ascontiguousarray(atlas.coordinates).tobytes())
    return digest.hexdigest()[:12]


def require_networks(atlas: Atlas, science: Science) -> None:
    """Refuse an atlas that cannot serve the engines.

    Raises
    ------
    DatasetFileError
        When the atlas names no networks, which the ``prior`` engine starts from.
    """
    if atlas.networks is None and "prior" in science.engines:
        raise DatasetFileError(
            f"atlas {atlas.name} names no networks, and the prior engine starts from them: "
            "add a column 'network' to its table, or choose --engine multilayer"
        )


def network_numbers(atlas: Atlas) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Give the networks of an atlas numbers from 1, in the order in which its table names them.

    Without networks, all regions have number 1, and there is no name.
    """
    if atlas.networks is None:
        return np.ones(len(atlas.labels), dtype=np.int64), ()
    names = tuple(dict.fromkeys(atlas.networks))
    return np.array([names.index(name) + 1 for name in atlas.networks]), names


def parcellate_run(job: Job, folder: Path) -> Path:
    """Average the images over regions, volume by volume."""
    notes = signal.check_space(job.atlas, job.run.space, force=job.science.any_space)
    settings = job.science.denoise
    if job.science.input.file_format == "cifti":
        found = signal.parcellate_greyordinates(job.run.bold, job.atlas, settings.min_coverage)
    else:
        found = signal.parcellate(
            job.run.bold,
            job.run.mask,
            job.atlas,
            min_coverage=settings.min_coverage,
            smoothing_mm=settings.smoothing_mm,
            despiked=settings.despike,
            skip=_dropped(job, signal.read_confounds(job.run.confounds))[0] if settings.despike else 0,
            halves_seed=halves_seed(job) if job.science.split_half else None,
        )
    return save(
        folder / "parcellated.npz",
        {"series": found.series, "coverage": found.coverage, **_named_halves(found.halves)},
        {"poor": found.poor, "notes": [*job.run.notes, *notes]},
    )


def _named_halves(halves: Floats | None) -> dict[str, Floats]:
    return {} if halves is None else {"halves": halves}


def require_minutes(job: Job, keep: NDArray[np.bool_]) -> None:
    """Refuse a run with less time left than is asked for."""
    minutes = float(keep.sum()) * job.run.tr_s / 60
    if minutes < job.science.min_minutes:
        raise RunError(
            f"{minutes:.1f} minutes are left after censoring, fewer than --min-time {job.science.min_minutes:g}: "
            "leave the run out, or lower the limit"
        )


def clean_run(job: Job, parcellated: Path, folder: Path) -> Path:
    """Drop the first volumes that are not in steady state, mark frames to censor, and clean the series."""
    arrays, facts = load(parcellated)
    table, further = _confounds(job, len(arrays["series"]))
    skip, notes = _dropped(job, table)
    source, settings = job.run.confounds.name, job.science.denoise
    chosen = signal.select_confounds(table, _metadata(job.run), job.strategy, source, settings.high_pass_hz, skip)
    thresholds = (settings.fd_threshold_mm, settings.dvars_threshold)
    keep = signal.keep_mask(table, *thresholds, source, **censoring_of(job), skip=skip)
    require_minutes(job, keep)
    raw = arrays["series"][skip:]
    clean = partial(
        signal.clean_series,
        confounds=chosen.to_numpy(dtype=float)[skip:],
        keep=keep,
        tr=job.run.tr_s,
        high_pass_hz=settings.high_pass_hz,
        low_pass_hz=settings.low_pass_hz,
    )
    cleaned = clean(raw)
    halves = np.array([clean(half[skip:]).series for half in arrays["halves"]]) if "halves" in arrays else None
    series, present = searched(cleaned.series, keep)
    static = dynamics.static_correlation(series, keep)
    motion = {"fd": signal.framewise_displacement(table)[skip:], "dvars": signal.std_dvars(table)[skip:]}
    quality = signal.quality_figures(
        **motion,
        keep=keep,
        series=cleaned.series,
        static=static,
        tr_s=job.run.tr_s,
        degrees_of_freedom=cleaned.degrees_of_freedom,
    )
    return save(
        folder / "cleaned.npz",
        {
            "series": cleaned.series,
            "unfiltered": cleaned.unfiltered,
            "static": full_matrix(static, present),
            "keep": keep,
            "tsnr": signal.temporal_snr(raw, keep),
            **motion,
            **_named_halves(halves),
        },
        {
            "skipped_volumes": skip,
            "confounds": list(chosen.columns),
            "further_confounds": further,
            "quality": quality,
            "notes": [*facts["notes"], *notes, *signal.censoring_notes(table), *cleaned.notes],
        },
    )


def _confounds(job: Job, volumes: int) -> tuple[pd.DataFrame, str | None]:
    """Read a run's confounds and what was asked to stand beside them; the name of the other file, if there is one."""
    table = signal.read_confounds(job.run.confounds)
    if len(table) != volumes:
        raise RunError(
            f"{job.run.confounds.name} has {len(table)} rows but the images have {volumes} volumes: "
            "they do not belong together; run fMRIPrep again"
        )
    if job.further is None:
        return table, None
    path = further_confounds(job.further, job.run)
    return signal.join_confounds(table, signal.read_confounds(path), path.name), path.name


def _dropped(job: Job, table: pd.DataFrame) -> tuple[int, tuple[str, ...]]:
    """Count the volumes at the start that are dropped; say so where fMRIPrep marks more of them."""
    marked, asked = signal.non_steady_state_count(table), job.science.denoise.dummy_scans
    if asked is None or asked >= marked:
        return marked if asked is None else asked, ()
    many = counted(marked, "volume")
    note = f"fMRIPrep marks {many} at the start as not in steady state; {asked or 'none'} dropped, as asked."
    return asked, (note,)


def censoring_of(job: Job) -> dict[str, int]:
    """Say how many neighbours are censored and how long stretches must be: what strategy or settings ask more of."""
    return {
        name: max(getattr(job.science.denoise, setting), getattr(job.strategy, setting))
        for name, setting in (("before", "censor_before"), ("after", "censor_after"), ("min_segment", "min_segment"))
    }


def _metadata(run: Run) -> dict[str, Any]:
    """Read the description of a run's confounds, if there is one."""
    if run.confounds_json is None:
        return {}
    try:
        described = json.loads(run.confounds_json.read_text(encoding="utf8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{run.confounds_json} is not readable JSON ({error}): restore the file") from error
    if not isinstance(described, dict):
        raise RunError(f"{run.confounds_json} holds no JSON object: restore the file")
    return described


def searched(series: Floats, keep: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.bool_]]:
    """Take the regions that have a series, and tell which they are."""
    present = np.asarray(np.isfinite(series[keep]).all(axis=0))
    if present.sum() < 2:
        raise RunError(f"only {present.sum()} of {present.size} regions have a usable series: check mask and coverage")
    return series[:, present], present


def expand(values: Floats, present: NDArray[np.bool_]) -> Floats:
    """Put regions back in their places; those that were not searched are missing."""
    whole = np.full(present.size, np.nan)
    whole[present] = values
    return whole


def full_matrix(values: Floats, present: NDArray[np.bool_]) -> Floats:
    """Do the same for a matrix of regions by regions."""
    whole = np.full((present.size, present.size), np.nan)
    whole[np.ix_(present, present)] = values
    return whole


def save(path: Path, arrays: dict[str, Any], facts: dict[str, Any]) -> Path:
    """Write arrays, and facts about them as JSON text, into one file; nothing in it is ever unpickled."""
    np.savez(path, **arrays, facts=np.array(json.dumps(facts)))
    return path


def load(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read arrays and facts that a stage has written."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return arrays, json.loads(str(arrays.pop("facts")))
