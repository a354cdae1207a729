"""From a series of volumes to one series per region."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_flex.errors import RunError
from bids_flex.signal.atlas import labels_on_grid

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from bids_flex.signal.atlas import Atlas


VOLUMES = 20
"""Volumes that are averaged at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class Parcellated:
    """Regional series of one run.

    Attributes
    ----------
    series : ndarray, shape (T, N)
        Mean over a region's voxels inside the brain; NaN everywhere for a poor region.
    coverage : ndarray, shape (N,)
        Voxels inside the brain mask that have a value in every volume, divided by all voxels of the region on the
        images' grid.
    poor : tuple of (str, str)
        Regions that cannot be used, and why.
    """

    series: NDArray[np.float64]
    coverage: NDArray[np.float64]
    poor: tuple[tuple[str, str], ...]


def parcellate(bold: Path, mask: Path, atlas: Atlas, min_coverage: float = 0.5) -> Parcellated:
    """Average a run's images over the regions of an atlas.

    Parameters
    ----------
    bold : Path
        Preprocessed images, 4 dimensions.
    mask : Path
        Brain mask on the same grid.
    atlas : Atlas
        Drawn on the images' grid by nearest neighbour if it has another one.
    min_coverage : float
        Regions with less of them in the brain are poor.

    Raises
    ------
    RunError
        When a file is not readable, the grids differ, the mask is empty, or no region is usable.
    """
    images, brain = _load(bold, 4), _load(mask, 3)
    if brain.shape != images.shape[:3] or not np.allclose(brain.affine, images.affine, atol=1e-3):
        raise RunError(
            f"{mask.name} and {bold.name} lie on different grids: the mask must be the one made for the images"
        )
    inside = _data(brain, mask) > 0
    if not inside.any():
        raise RunError(f"{mask.name} is empty: fMRIPrep found no brain; check the registration")
    values = _data(images, bold)
    if np.issubdtype(values.dtype, np.floating):
        # a voxel that is missing in one volume is missing in the region's mean in all of them
        inside &= np.isfinite(values).all(axis=3)
    drawn = labels_on_grid(atlas, brain.shape, images.affine)
    size = _count(drawn, atlas)
    coverage = np.divide(_count(drawn * inside, atlas), size, out=np.zeros(len(size)), where=size > 0)
    if not coverage.any():
        raise RunError(f"atlas {atlas.name} and the mask {mask.name} do not overlap: check the atlas's template")
    series = _means(values, images.affine, drawn * inside, atlas)
    return _without_poor(series, coverage, atlas, min_coverage)


def _means(
    values: NDArray[Any], affine: NDArray[np.float64], drawn: NDArray[np.int64], atlas: Atlas
) -> NDArray[np.float64]:
    """Average values (x, y, z, T) over the labels of a drawing; NaN for regions without voxels; shape (T, N)."""
    import nibabel as nib
    from nilearn.maskers import NiftiLabelsMasker

    masker = NiftiLabelsMasker(
        labels_img=nib.Nifti1Image(drawn.astype(np.int32), affine),
        background_label=0,
        smoothing_fwhm=None,
        standardize=None,
        detrend=False,
        low_pass=None,
        high_pass=None,
        resampling_target=None,
        strategy="mean",
        keep_masked_labels=False,
        reports=False,
    )
    found = []
    with warnings.catch_warnings():
        # what it says of values that are not finite stands in the list of poor regions
        warnings.simplefilter("ignore")
        masker.fit()
        for first in range(0, values.shape[3], VOLUMES):
            # a few volumes at a time: it turns what it gets into double precision, all at once
            part = values[..., first : first + VOLUMES].astype(np.float64)
            found.append(masker.transform(nib.Nifti1Image(part, affine)))
    # regions without voxels in the brain have no column; region_ids_ says which label a column has
    column = {int(label): number for number, label in masker.region_ids_.items() if number != "background"}
    means = np.concatenate(found)
    series = np.full((len(means), len(atlas.index)), np.nan)
    for place, label in enumerate(atlas.index):
        if int(label) in column:
            series[:, place] = means[:, column[int(label)]]
    return series


def _without_poor(
    series: NDArray[np.float64], coverage: NDArray[np.float64], atlas: Atlas, min_coverage: float
) -> Parcellated:
    """Make poor regions missing and say why."""
    poor = []
    for place, label in enumerate(atlas.labels):
        reason = ""
        if coverage[place] < min_coverage or coverage[place] == 0:
            reason = f"coverage is {coverage[place]:.2f}, {min_coverage:g} is wanted"
        elif not np.isfinite(series[:, place]).all():
            reason = "holds values that are not finite"
        elif np.ptp(series[:, place]) == 0:
            reason = "does not vary"
        if reason:
            poor.append((label, reason))
            series[:, place] = np.nan
    if len(poor) == len(atlas.labels):
        raise RunError(f"no region of {atlas.name} is usable; the first, {poor[0][0]}, {poor[0][1]}")
    return Parcellated(series, coverage, tuple(poor))


def _count(drawn: NDArray[np.int64], atlas: Atlas) -> NDArray[np.int64]:
    """Count the voxels of every region."""
    counts = np.bincount(drawn.ravel(), minlength=int(atlas.index.max()) + 1)
    return counts[atlas.index]


def _load(path: Path, dimensions: int) -> Any:  # noqa: ANN401 - nibabel has no types
    """Open an image and check how many dimensions it has."""
    import nibabel as nib
    from nibabel.filebasedimages import ImageFileError

    try:
        image = nib.load(path)
    except (ImageFileError, OSError, EOFError, ValueError) as error:
        raise RunError(f"{path.name} cannot be read as an image ({error}): copy the file again") from error
    shape = image.shape[:3] if dimensions == 3 and image.shape[3:] == (1,) else image.shape
    if len(shape) != dimensions:
        raise RunError(f"{path.name} has {len(image.shape)} dimensions; {dimensions} are needed")
    return image.slicer[..., 0] if shape != image.shape else image


def _data(image: Any, path: Path) -> NDArray[Any]:  # noqa: ANN401 - nibabel has no types
    """Read an image's values, in the type that they are stored in where no scale is stated."""
    try:
        return np.asanyarray(image.dataobj)
    except (OSError, EOFError, ValueError) as error:
        raise RunError(f"{path.name} cannot be read to its end ({error}): copy the file again") from error
