"""The atlas that runs are analysed with, kept among their results: the group level and pages draw on it."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import numpy as np

from bids_flex import signal
from bids_flex.bids.atlases import keep_atlas
from bids_flex.workflows.stages import atlas_fingerprint

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from bids_flex.signal import Atlas
    from bids_flex.workflows.stages import Job


def keep_atlas_of(job: Job) -> None:
    """Write table and image of the atlas that a run is analysed with, unless they are there already."""
    atlas = job.atlas
    facts = {"Space": atlas.space or "unknown", "Coordinates": "mm, in the space of the atlas"}
    keep_atlas(
        job.output_dir,
        dict(atlas.entities),
        atlas_fingerprint(atlas),
        lambda: (_table(atlas), *_image(atlas, job.run.bold)),
        facts,
    )


def _table(atlas: Atlas) -> pd.DataFrame:
    """List regions with their networks and where they lie."""
    import pandas as pd

    table = pd.DataFrame({"index": atlas.index, "name": list(atlas.labels)})
    table["network"] = list(atlas.networks) if atlas.networks else np.nan
    table[["x", "y", "z"]] = signal.region_centres(atlas).round(3)
    return table


def _image(atlas: Atlas, source: Path) -> tuple[bytes | None, str]:
    """Give the bytes of the image that draws an atlas, and its ending; series of parcels have only their parcels."""
    if atlas.image is not None:
        ending = next(one for one in (".dlabel.nii", ".nii.gz", ".nii") if atlas.image.name.endswith(one))
        return atlas.image.read_bytes(), ending
    if atlas.coordinates is not None:
        # no time of writing in it: the same atlas gives the same file
        return gzip.compress(signal.drawn_spheres(atlas), mtime=0), ".nii.gz"
    if source.name.endswith(".ptseries.nii"):
        return signal.parcel_map(source, atlas.labels, atlas.index), ".pscalar.nii"
    return None, ""
