"""Where a call's runs come from: images of voxels, greyordinates, or series that others have made; and their atlas."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_flex import dynamics, signal
from bids_flex.bids.greyordinates import find_greyordinates
from bids_flex.bids.inputs import Runs, find_runs
from bids_flex.bids.roots import derivatives_root
from bids_flex.bids.series import find_series, series_root
from bids_flex.errors import UsageError
from bids_flex.workflows import stages

if TYPE_CHECKING:
    from bids_flex.config import Config
    from bids_flex.signal import Atlas
    from bids_flex.workflows.stages import Job

AS_THEY_ARE = (
    "Series were read as they are (--input-type timeseries): nothing was cleaned here, degrees of freedom are not "
    "known, and surrogates are made of the series as they are, filtered or not."
)


def find_sources(config: Config) -> tuple[Atlas, Runs]:
    """Find atlas and runs; what serves the whole data set is read, and found wanting, first.

    Raises
    ------
    BidsFlexError
        When an atlas is bad or does not suit the kind of file, or nothing is found.
    """
    chosen, given = config.science.atlas, config.science.input
    table, networks = (Path(path) if path else None for path in (chosen.table, chosen.networks))
    if given.type == "timeseries":
        found = find_series(config)
        if not found.runs.usable:
            # nothing can be named after what is not there; the reasons go into the status table
            empty = signal.Atlas(
                name=found.atlas,
                entities=(("atlas", found.atlas),),
                image=None,
                coordinates=None,
                index=np.empty(0, dtype=int),
                labels=(),
                networks=(),
                space=None,
            )
            return empty, found.runs
        atlas = signal.named_atlas(found.atlas, found.labels, table, networks)
        stages.require_networks(atlas, config.science)
        return atlas, found.runs
    # a wrong folder is the first thing to tell: the atlas may lie in it
    source_root(config)
    atlas = signal.load_atlas(chosen.name, table, chosen.space, networks)
    stages.require_networks(atlas, config.science)
    cifti = given.file_format == "cifti"
    if cifti != atlas.on_greyordinates:
        wanted = "a .dlabel.nii file" if cifti else "no .dlabel.nii file, or --file-format cifti"
        raise UsageError(f"atlas {atlas.name} does not suit --file-format {given.file_format}: name {wanted}")
    return atlas, find_greyordinates(config) if cifti else find_runs(config, atlas.space)


def source_root(config: Config) -> Path:
    """Find the data set that runs come from."""
    find = series_root if config.science.input.type == "timeseries" else derivatives_root
    return find(config.bids_dir, config.derivatives)


def parcellate_or_read(job: Job, folder: Path) -> Path:
    """Average images over regions, or read series that others have made of them."""
    return _read(job, folder) if job.science.input.type == "timeseries" else stages.parcellate_run(job, folder)


def clean_or_take(job: Job, parcellated: Path, folder: Path) -> Path:
    """Clean a run's series, or take those that others have cleaned as they are."""
    do = _take if job.science.input.type == "timeseries" else stages.clean_run
    return do(job, parcellated, folder)


def _read(job: Job, folder: Path) -> Path:
    """Read a run's series instead of averaging images."""
    run = job.run
    table = signal.read_table(run.bold)
    keep = signal.read_mask(run.mask) if run.mask != run.bold else None
    volumes = len(table.values if keep is None else keep)
    # why it does not fit is among the notes since the run was found
    fd = signal.read_displacement(run.confounds, volumes)[0] if run.confounds != run.bold else None
    found = signal.arrange(table, job.atlas, run.bold.name, keep, fd)
    unknown = np.full(len(job.atlas.labels), np.nan)
    arrays = {"series": found.series, "coverage": unknown, "keep": found.keep, "fd": found.fd}
    return stages.save(folder / "parcellated.npz", arrays, {"poor": found.poor, "notes": list(run.notes)})


def _take(job: Job, parcellated: Path, folder: Path) -> Path:
    """Take a run's series as clean, and describe them as those that are cleaned here."""
    arrays, facts = stages.load(parcellated)
    keep = arrays["keep"]
    stages.require_minutes(job, keep)
    taken = signal.take_clean(arrays["series"], keep)
    series, present = stages.searched(taken.series, keep)
    static = dynamics.static_correlation(series, keep)
    unknown = np.full(len(keep), np.nan)
    quality = signal.quality_figures(
        fd=arrays["fd"],
        dvars=unknown,
        keep=keep,
        series=taken.series,
        static=static,
        tr_s=job.run.tr_s,
        degrees_of_freedom=taken.degrees_of_freedom,
    )
    told: dict[str, Any] = {
        "skipped_volumes": 0,
        "confounds": [],
        "further_confounds": None,
        "quality": quality,
        "notes": [*facts["notes"], AS_THEY_ARE],
    }
    kept = {
        "series": taken.series,
        "unfiltered": taken.unfiltered,
        "static": stages.full_matrix(static, present),
        "keep": keep,
        "fd": arrays["fd"],
        "dvars": unknown,
        "tsnr": np.full(len(job.atlas.labels), np.nan),
    }
    return stages.save(folder / "cleaned.npz", kept, told)
