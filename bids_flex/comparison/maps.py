"""Results of regions as images: one map for each measure, contrast and statistic, on the atlas's own grid."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_flex.bids.names import as_label
from bids_flex.bids.outputs import write_atomic

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from bids_flex.bids.atlases import KeptAtlas

    Floats = NDArray[np.float64]
    Draw = Callable[[str, Floats], tuple[bytes, str]]

STATISTICS = {"effect": "estimate", "statistic": "statistic", "size": "effect", "pcorrected": "p_adj"}
"""``stat-`` of a map, and the column of the table of tests that it shows; ``statistic`` is named t or F."""


def write_maps(folder: Path, stem: str, tests: pd.DataFrame, atlas: KeptAtlas | None) -> list[str]:
    """Draw the tests of regions.

    Parameters
    ----------
    folder : Path
        ``group/maps``.
    stem : str
        ``model-NAME``; maps of an earlier call with this stem are removed.
    tests : pandas.DataFrame
        The table of tests.
    atlas : KeptAtlas or None
        As the participant level has left it.

    Returns
    -------
    list of str
        Names of the files: NIfTI on the grid of the atlas, CIFTI where the atlas is drawn on greyordinates or parcels.
        Places without a tested region are NaN. Empty when the outputs hold no image of the atlas.

    Raises
    ------
    OutputError
        When the disk refuses.
    """
    for old in folder.glob(f"{stem}_engine-*_statmap.*"):
        old.unlink()
    regions = tests[tests["level"] == "region"]
    if atlas is None or atlas.image is None or regions.empty:
        return []
    draw = (_nifti if atlas.on_voxels else _cifti)(atlas.image)
    contrasts: dict[str, str] = {}
    for name in regions["contrast"].unique():
        contrasts[name] = as_label(name, list(contrasts.values()))
    written = []
    for (engine, measure, contrast), rows in regions.groupby(["engine", "measure", "contrast"], sort=False):
        start = f"{stem}_engine-{engine}_measure-{as_label(str(measure))}_contrast-{contrasts[str(contrast)]}"
        for statistic, column in STATISTICS.items():
            values = _by_index(rows, column, atlas)
            if np.isnan(values).all():
                continue
            called = rows["test"].dropna().iloc[0] if statistic == "statistic" else statistic
            content, ending = draw(f"{contrast}: {column}", values)
            written.append(f"{start}_stat-{called}_statmap{ending}")
            write_atomic(folder / written[-1], content)
    return written


def _by_index(rows: pd.DataFrame, column: str, atlas: KeptAtlas) -> Floats:
    """Give the value of every label of the image, NaN for background and what was not tested."""
    index = atlas.regions["index"].to_numpy(dtype=np.int64)
    known = rows.set_index("region")[column].astype(float)
    values = np.full(int(index.max()) + 1, np.nan)
    values[index] = known.reindex(atlas.regions["name"]).to_numpy()
    return values


def _nifti(image: Path) -> Draw:
    """Draw on voxels."""
    import nibabel as nib

    loaded: Any = nib.load(image)
    labels = np.asarray(loaded.dataobj).astype(np.int64)

    def draw(name: str, values: Floats) -> tuple[bytes, str]:
        drawn = nib.Nifti1Image(_looked_up(values, labels), loaded.affine)
        drawn.header["descrip"] = name.encode("ascii", "replace")[:79]
        drawn.header.set_xyzt_units("mm")
        # no time of writing in it: the same result gives the same file
        return gzip.compress(drawn.to_bytes(), compresslevel=6, mtime=0), ".nii.gz"

    return draw


def _cifti(image: Path) -> Draw:
    """Draw on greyordinates or parcels."""
    import nibabel as nib
    from nibabel import cifti2

    loaded: Any = nib.load(image)
    axis = loaded.header.get_axis(1)
    labels = np.asarray(loaded.dataobj)[:1].astype(np.int64)
    ending = ".pscalar.nii" if isinstance(axis, cifti2.ParcelsAxis) else ".dscalar.nii"

    def draw(name: str, values: Floats) -> tuple[bytes, str]:
        return bytes(
            cifti2.Cifti2Image(_looked_up(values, labels), (cifti2.ScalarAxis([name]), axis)).to_bytes()
        ), ending

    return draw


def _looked_up(values: Floats, labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Put values where their labels are; labels that the table of regions does not name get none."""
    known = np.append(values, np.nan).astype(np.float32)
    return np.asarray(known[np.where(labels < len(values), labels, len(values))])
