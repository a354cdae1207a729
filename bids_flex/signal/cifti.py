"""CIFTI-2 files: atlases that are drawn on greyordinates (dlabel), series of greyordinates or parcels."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_flex.content import MOST_VOXELS, unreadable, why_too_large
from bids_flex.errors import DatasetFileError, RunError
from bids_flex.signal.atlas_files import (
    Regions,
    check_content,
    check_largest,
    check_match,
    few,
    networks_in_names,
    read_regions,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray


def dlabel_regions(path: Path, table: Path | None = None) -> Regions:
    """Read which regions a CIFTI file of labels draws; its first map counts.

    Parameters
    ----------
    path : Path
        ``.dlabel.nii``.
    table : Path, optional
        As for images, with networks for example; by default the file's own list of names.

    Raises
    ------
    MissingInputError, DatasetFileError
        When the file is not here or is no such file, names two regions alike, or the table does not describe it.
    """
    values, axis, _ = load_labels(path)
    present = {int(value) for value in np.unique(values) if value != 0}
    if table is not None:
        regions = read_regions(table)
        check_match(str(table), path.name, regions.index.tolist(), present)
        return regions
    named = {int(key): str(name).strip() for key, (name, _) in axis.label[0].items() if key != 0}
    check_match(f"the list of labels in {path.name}", "its own map", sorted(present & set(named)), present)
    # names without a greyordinate stay: they are regions with a coverage of 0, and are named as such
    labels = tuple(named.values())
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise DatasetFileError(f"{path} names {few(twice)} more than once: give it a table with --atlas-table")
    return Regions(np.array(list(named), dtype=np.int64), labels, networks_in_names(labels), stated=False)


def load_labels(path: Path) -> tuple[NDArray[np.int64], Any, Any]:
    """Read a map of labels.

    Returns
    -------
    ndarray of int, LabelAxis, BrainModelAxis
        Labels, shape (greyordinates,); the file's list of names; its greyordinates.

    Raises
    ------
    MissingInputError, DatasetFileError
        When the file is not here, or is no map of whole numbers on greyordinates.
    """
    from nibabel import cifti2

    check_content(path)
    image, axes = _open(path, DatasetFileError)
    if not isinstance(axes[0], cifti2.LabelAxis) or not isinstance(axes[1], cifti2.BrainModelAxis):
        raise DatasetFileError(f"{path} is no map of labels on greyordinates: a .dlabel.nii file is needed")
    try:
        values = np.asanyarray(image.dataobj[0])
    except unreadable() as error:
        raise DatasetFileError(f"{path} cannot be read to its end ({error}): copy the file again") from error
    if not np.array_equal(values, np.round(values)) or (values < 0).any():
        raise DatasetFileError(f"{path} holds values that are no labels")
    check_largest(str(path), values)
    return values.astype(np.int64), axes[0], axes[1]


def _open(path: Path, kind: type[Exception]) -> tuple[Any, list[Any]]:
    """Open a CIFTI-2 file and read what its two dimensions stand for."""
    import nibabel as nib

    axes: list[Any] = []
    # nibabel takes the XML to be complete: a part that is not there is None, and is asked for its own parts
    broken: tuple[type[Exception], ...] = (*unreadable(), AttributeError, TypeError, AssertionError)
    try:
        image = nib.load(path)
        if isinstance(image, nib.Cifti2Image):
            axes = [image.header.get_axis(number) for number in image.header.mapped_indices]
    except broken as error:
        raise kind(f"{path.name} cannot be read as an image ({error}): copy the file again") from error
    if told := why_too_large(image, path):
        raise kind(f"{told}: copy the file again")
    if not isinstance(image, nib.Cifti2Image) or len(image.shape) != 2:
        raise kind(f"{path.name} is no CIFTI-2 file of 2 dimensions: choose --file-format nifti for images of voxels")
    described = tuple(len(axis) for axis in axes)
    if described != image.shape:
        raise kind(f"{path.name} describes {described} values and holds {image.shape}: copy the file again")
    for axis in axes:
        if isinstance(axis, nib.cifti2.BrainModelAxis) and (told := _why_no_places(axis)):
            raise kind(f"{path.name} lists {told}: copy the file again")
    return image, axes


def _why_no_places(axis: Any) -> str | None:  # noqa: ANN401 - nibabel has no types
    """Tell greyordinates that are no places of a brain: one that is listed twice would count twice in its region."""
    for name, count in axis.nvertices.items():
        vertices = axis.vertex[axis.name == name]
        if count > MOST_VOXELS or vertices.max(initial=0) >= count:
            return f"vertex {vertices.max(initial=0)} of {count:,} of {name}"
        if np.unique(vertices).size < len(vertices):
            return f"a vertex of {name} twice"
    if not (inside := axis.volume_mask).any():
        return None
    voxels, shape = axis.voxel[inside], tuple(axis.volume_shape)
    if prod(shape) > MOST_VOXELS or (voxels >= shape).any():
        return f"voxel {tuple(voxels.max(axis=0).tolist())} of a volume of {shape}"
    return "a voxel twice" if np.unique(np.ravel_multi_index(voxels.T, shape)).size < len(voxels) else None


def open_series(path: Path) -> tuple[Any, Any, float]:
    """Open a CIFTI file of series (dtseries, ptseries).

    Returns
    -------
    Cifti2Image, axis, float
        The image, shape (T, places); its second axis; the repetition time in seconds (0 when the header has none).

    Raises
    ------
    RunError
        When the file is not readable or holds no series.
    """
    from nibabel import cifti2

    image, (time, places) = _open(path, RunError)
    if not isinstance(time, cifti2.SeriesAxis):
        raise RunError(f"{path.name} holds no series: its rows are no points in time")
    step = float(time.step) if time.unit.upper() == "SECOND" else 0.0
    return image, places, step


def parcel_map(path: Path, labels: Sequence[str], index: NDArray[np.int64]) -> bytes:
    """Draw regions on the parcels of a file of series, as the bytes of a ``.pscalar.nii`` file.

    Parameters
    ----------
    path : Path
        ``.ptseries.nii``, whose parcels are named as the regions are.
    labels : sequence of str
        Names of the regions.
    index : ndarray of int, shape (N,)
        Label of each region; parcels that are no region get 0.
    """
    from nibabel import cifti2

    axis = open_series(path)[1]
    known = dict(zip(labels, index.tolist(), strict=True))
    values = np.array([[known.get(str(name), 0) for name in axis.name]], dtype=np.float32)
    return bytes(cifti2.Cifti2Image(values, (cifti2.ScalarAxis(["index"]), axis)).to_bytes())
