"""Atlases: regions, their names and networks, and the voxels that they cover on an image's grid."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bids_flex.errors import DatasetFileError, MissingInputError, RunError
from bids_flex.signal.atlas_files import (
    Regions,
    beside,
    check_match,
    image_labels,
    networks_in_names,
    read_regions,
    settled_networks,
    sidecar,
)
from bids_flex.signal.cifti import dlabel_regions
from bids_flex.signal.networks import apply_networks
from bids_flex.signal.registry import choose, find_entry, registry, require_files

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bids_flex.signal.registry import Entry

RADIUS_MM = 4.0
"""Radius of the spheres around coordinates."""

_ENTITY = re.compile(r"(tpl|space|atlas|seg|scale)-([A-Za-z0-9+]+)")


@dataclass(frozen=True, slots=True, eq=False)
class Atlas:
    """A set of regions, drawn in an image, on greyordinates, as spheres around coordinates, or only named.

    Attributes
    ----------
    name : str
        Value of the ``atlas-`` entity.
    entities : tuple of (str, str)
        ``atlas``, and ``seg`` and ``scale`` where there are any.
    image : Path or None
        Integer labels: NIfTI, or CIFTI with the ending ``.dlabel.nii``; None for an atlas of coordinates.
    coordinates : ndarray, shape (N, 3), or None
        Centres of the regions in mm. Without them and without an image, regions have only names: those of series.
    index : ndarray of int, shape (N,)
        Label of each region in the image.
    labels : tuple of str
        Name of each region.
    networks : tuple of str or None
        Network of each region.
    space : str or None
        Template that the atlas is drawn on; None when it is unknown.
    """

    name: str
    entities: tuple[tuple[str, str], ...]
    image: Path | None
    coordinates: NDArray[np.float64] | None
    index: NDArray[np.int64]
    labels: tuple[str, ...]
    networks: tuple[str, ...] | None
    space: str | None

    @property
    def on_greyordinates(self) -> bool:
        """Whether it is drawn on the vertices and voxels of CIFTI files."""
        return self.image is not None and self.image.name.endswith(".dlabel.nii")


def load_atlas(choice: str, table: Path | None = None, space: str | None = None, networks: Path | None = None) -> Atlas:
    """Load an atlas by name or from a file, and check it.

    Parameters
    ----------
    choice : str
        A name of the registry (``Dosenbach2010``, ``Schaefer2018[_seg-17n][_scale-400]``), or the path of a file of
        integer labels: NIfTI, or CIFTI with the ending ``.dlabel.nii``.
    table : Path, optional
        Tab-separated table with the columns ``index``, ``label`` or ``name``, and optionally ``network``; by default
        the file beside the image with the ending ``.tsv``. A CIFTI file names its regions itself.
    space : str, optional
        Template, where neither name nor sidecar of the file tell it, or a named atlas is drawn on several.
    networks : Path, optional
        Table that merges, renames or assigns networks: see :func:`bids_flex.signal.networks.apply_networks`.

    Raises
    ------
    MissingInputError
        When a file does not exist, or TemplateFlow's files are not here.
    DatasetFileError
        When image or table are bad, or do not belong together.
    UsageError
        When an atlas is known, but not in this size, with these networks or on this template.

    Examples
    --------
    >>> atlas = load_atlas("Dosenbach2010")
    >>> len(atlas.labels), atlas.networks[0], atlas.coordinates.shape
    (160, 'cerebellum', (160, 3))
    """
    known = None if Path(choice).exists() else find_entry(choice)
    if known is not None:
        return _known(*known, space, networks)
    if not choice.endswith((".nii", ".nii.gz")):
        names = ", ".join(sorted(registry()))
        raise MissingInputError(
            f"there is no atlas {choice!r}: name one of {names} (bids_flex-atlas list says more), or a NIfTI or "
            "dlabel file"
        )
    # not resolved: the table lies beside the link that a data set shows, not beside the content that it points to
    return _from_file(Path(choice).absolute(), table, space, networks)


def _known(entry: Entry, seg: str | None, scale: str | None, space: str | None, networks: Path | None) -> Atlas:
    """Load an atlas of the registry; nothing is ever downloaded."""
    if entry.name == "Dosenbach2010":
        return _dosenbach(networks)
    if entry.source == "file":
        raise MissingInputError(f"atlas {entry.name}: {entry.obtained}")
    chosen = choose(entry, seg, scale, space)
    require_files(chosen)
    atlas = _from_file(chosen.image, chosen.table, chosen.space, networks)
    entities = (("atlas", entry.name), ("seg", chosen.seg), ("scale", chosen.scale))
    return replace(atlas, name=entry.name, entities=entities)


def _dosenbach(networks: Path | None) -> Atlas:
    """Load the 160 coordinates of Dosenbach et al. (2010), which ship inside nilearn."""
    from nilearn.datasets import fetch_coords_dosenbach_2010

    fetched = fetch_coords_dosenbach_2010(ordered_regions=True)
    # 'sensorimotor' and 'occipital' regions carry names such as 'post occipital 160'
    labels = tuple("_".join(str(label).split()) for label in fetched["labels"])
    found = tuple(str(network) for network in fetched["networks"])
    return Atlas(
        name="Dosenbach2010",
        entities=(("atlas", "Dosenbach2010"), ("scale", "160")),
        image=None,
        coordinates=fetched["rois"].to_numpy(dtype=np.float64),
        index=np.arange(1, len(labels) + 1),
        labels=labels,
        networks=apply_networks(networks, labels, found) if networks else found,
        space=None,
    )


def _from_file(image: Path, table: Path | None, space: str | None, renamed: Path | None) -> Atlas:
    """Load an atlas from its image and table."""
    own = beside(image)
    if image.name.endswith(".dlabel.nii"):
        regions, template = dlabel_regions(image, table or (own if own.exists() else None)), "fsLR"
    else:
        present, template = image_labels(image), None
        regions = read_regions(table or own)
        check_match(str(table or own), image.name, regions.index.tolist(), present)
    networks = (
        apply_networks(renamed, regions.labels, regions.networks)
        if renamed
        else settled_networks(table or own, regions)
    )
    named = dict(_ENTITY.findall(image.name))
    name = named.get("atlas") or re.sub(r"[^A-Za-z0-9]", "", image.name.split(".")[0])
    entities = (("atlas", name), *((key, named[key]) for key in ("seg", "scale") if key in named))
    known = space or named.get("tpl") or named.get("space") or sidecar(image).get("Space") or template
    return Atlas(
        name=name,
        entities=entities,
        image=image,
        coordinates=None,
        index=regions.index,
        labels=regions.labels,
        networks=networks,
        space=known,
    )


def named_atlas(name: str, labels: tuple[str, ...], table: Path | None = None, networks: Path | None = None) -> Atlas:
    """Make an atlas of names alone, for series that come without an image.

    Parameters
    ----------
    name : str
        Value of the ``atlas-`` entity.
    labels : tuple of str
        Regions, where no table names them.
    table, networks : Path, optional
        As for :func:`load_atlas`; without a table, networks are taken from names as Schaefer writes them.

    Raises
    ------
    MissingInputError, DatasetFileError
        When a table is missing or bad, or there is neither a table nor a name.

    Examples
    --------
    >>> named_atlas("mine", ("LH_Vis_1", "LH_Vis_2", "RH_Default_1")).networks
    ('Vis', 'Vis', 'Default')
    """
    if table is None and not labels:
        raise DatasetFileError(f"series of {name} have no names for their regions: name a table with --atlas-table")
    index = np.arange(1, len(labels) + 1)
    regions = read_regions(table) if table else Regions(index, labels, networks_in_names(labels), stated=False)
    settled = (
        apply_networks(networks, regions.labels, regions.networks)
        if networks
        else settled_networks(table or Path(name), regions)
    )
    return Atlas(
        name=name,
        entities=(("atlas", name),),
        image=None,
        coordinates=None,
        index=regions.index,
        labels=regions.labels,
        networks=settled,
        space=None,
    )


def check_space(atlas: Atlas, space: str | None, *, force: bool = False) -> tuple[str, ...]:
    """Hold the template of an atlas against that of the images.

    Returns
    -------
    tuple of str
        What a reader of the results must know.

    Raises
    ------
    RunError
        When they are known and differ: a neighbouring template mislabels about a tenth of the voxels.

    Examples
    --------
    >>> check_space(load_atlas("Dosenbach2010"), "MNI152NLin6Asym")
    ('Dosenbach2010: coordinates in MNI space on images in MNI152NLin6Asym; a mismatch cannot be ruled out',)
    """
    if atlas.space == space and space is not None:
        return ()
    if atlas.space is None or space is None:
        which = "coordinates in MNI space" if atlas.coordinates is not None else "an atlas of unknown template"
        return (f"{atlas.name}: {which} on images in {space or 'an unknown space'}; a mismatch cannot be ruled out",)
    if force:
        return (f"{atlas.name} is drawn on {atlas.space}, the images are in {space}: used all the same, as asked",)
    raise RunError(
        f"atlas {atlas.name} is drawn on {atlas.space}, but the images are in {space}: choose --space {atlas.space} "
        "or an atlas of that template (--force atlas-space uses it all the same)"
    )


def labels_on_grid(atlas: Atlas, shape: tuple[int, ...], affine: NDArray[np.float64]) -> NDArray[np.int64]:
    """Draw an atlas on an image's grid: images by nearest neighbour, coordinates as spheres (the nearest centre wins).

    Parameters
    ----------
    atlas : Atlas
        What to draw.
    shape : tuple of int
        Of the grid, 3 dimensions.
    affine : ndarray, shape (4, 4)
        From voxels to mm.

    Returns
    -------
    ndarray of int, shape ``shape``
        Labels as in ``atlas.index``, 0 for background.

    Examples
    --------
    >>> affine = np.array([[3.0, 0, 0, -90], [0, 3, 0, -126], [0, 0, 3, -72], [0, 0, 0, 1]])
    >>> grid = labels_on_grid(load_atlas("Dosenbach2010"), (61, 73, 61), affine)
    >>> len(np.unique(grid)) - 1
    160
    """
    if atlas.coordinates is not None:
        return _spheres(atlas.coordinates, atlas.index, shape, affine)
    if atlas.image is None or atlas.on_greyordinates:
        raise RunError(f"atlas {atlas.name} is not drawn on voxels alone: choose another, or --file-format cifti")
    import nibabel as nib

    image = nib.load(atlas.image)
    values = np.asanyarray(image.dataobj)
    if values.shape == shape and np.allclose(image.affine, affine, atol=1e-4):
        return np.asarray(values, dtype=np.int64)
    # a second and 100 MiB that most runs need not pay
    from nilearn.image import resample_img

    labelled = nib.Nifti1Image(values.astype(np.int32), image.affine)
    drawn = resample_img(
        labelled,
        target_affine=affine,
        target_shape=shape,
        interpolation="nearest",
        copy_header=True,
        force_resample=True,
    )
    return np.asarray(drawn.dataobj, dtype=np.int64)


def _spheres(
    centres: NDArray[np.float64], index: NDArray[np.int64], shape: tuple[int, ...], affine: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Give every voxel within the radius of a centre to the nearest one."""
    from scipy.spatial import cKDTree

    voxels = np.indices(shape).reshape(3, -1).T
    places = voxels @ affine[:3, :3].T + affine[:3, 3]
    distance, found = cKDTree(centres).query(places, distance_upper_bound=RADIUS_MM + 1e-9)
    inside, nearest = np.isfinite(distance), np.asarray(found)
    drawn = np.zeros(len(places), dtype=np.int64)
    drawn[inside] = index[nearest[inside]]
    return drawn.reshape(shape)
