"""Atlases: regions, their names and networks, and the voxels that they cover on an image's grid."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_flex.errors import DatasetFileError, MissingInputError, RunError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

RADIUS_MM = 4.0
"""Radius of the spheres around coordinates."""

_SCHAEFER = re.compile(r"Schaefer2018(?:_seg-(?P<seg>7|17)n?)?(?:_scale-(?P<scale>[1-9]\d*))?")
_SCHAEFER_REGION = re.compile(r"(?:(?:7|17)Networks_)?(?:LH|RH)_(?P<network>[A-Za-z]+)_.+")
_ENTITY = re.compile(r"(tpl|space|atlas|seg|scale)-([A-Za-z0-9+]+)")


@dataclass(frozen=True, slots=True, eq=False)
class Atlas:
    """A set of regions, drawn in an image or as spheres around coordinates.

    Attributes
    ----------
    name : str
        Value of the ``atlas-`` entity.
    entities : tuple of (str, str)
        ``atlas``, and ``seg`` and ``scale`` where there are any.
    image : Path or None
        Integer labels; None for an atlas of coordinates.
    coordinates : ndarray, shape (N, 3), or None
        Centres of the regions in mm.
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


def load_atlas(choice: str, table: Path | None = None, space: str | None = None) -> Atlas:
    """Load an atlas by name or from a file, and check it.

    Parameters
    ----------
    choice : str
        ``Dosenbach2010``, ``Schaefer2018[_seg-17n][_scale-400]``, or the path of a NIfTI file of integer labels.
    table : Path, optional
        Tab-separated table with the columns ``index``, ``label`` or ``name``, and optionally ``network``; by default
        the file beside the image with the ending ``.tsv``.
    space : str, optional
        Template, where neither name nor sidecar of the file tell it.

    Raises
    ------
    MissingInputError
        When a file does not exist, or TemplateFlow's files are not here.
    DatasetFileError
        When image or table are bad, or do not belong together.
    """
    if choice == "Dosenbach2010":
        return _dosenbach()
    found = _SCHAEFER.fullmatch(choice)
    if found is not None and not Path(choice).exists():
        return _schaefer(found["seg"] or "7", found["scale"] or "200")
    if not choice.endswith((".nii", ".nii.gz")):
        raise MissingInputError(
            f"there is no atlas {choice!r}: name Dosenbach2010, Schaefer2018[_seg-17n][_scale-400], or a NIfTI file"
        )
    # not resolved: the table lies beside the link that a data set shows, not beside the content that it points to
    image = Path(choice).absolute()
    return _from_file(image, table or _beside(image), space)


def _beside(image: Path) -> Path:
    """Name the table that lies beside an image."""
    return image.with_name(image.name.removesuffix(".gz").removesuffix(".nii") + ".tsv")


def _dosenbach() -> Atlas:
    """Load the 160 coordinates of Dosenbach et al. (2010), which ship inside nilearn."""
    from nilearn.datasets import fetch_coords_dosenbach_2010

    fetched = fetch_coords_dosenbach_2010(ordered_regions=True)
    # 'sensorimotor' and 'occipital' regions carry names such as 'post occipital 160'
    labels = tuple("_".join(str(label).split()) for label in fetched["labels"])
    return Atlas(
        name="Dosenbach2010",
        entities=(("atlas", "Dosenbach2010"), ("scale", "160")),
        image=None,
        coordinates=fetched["rois"].to_numpy(dtype=np.float64),
        index=np.arange(1, len(labels) + 1),
        labels=labels,
        networks=tuple(str(network) for network in fetched["networks"]),
        space=None,
    )


def _schaefer(seg: str, scale: str) -> Atlas:
    """Take Schaefer's atlas from TemplateFlow's files, if they are here; nothing is ever downloaded.

    The client itself is not imported: without a cache it writes one below HOME, and with one it indexes all templates
    for seconds (docs/decisions/0002-templateflow.md).
    """
    template, desc = "MNI152NLin2009cAsym", f"{scale}Parcels{seg}Networks"
    home = _templateflow_home()
    image = home / f"tpl-{template}" / f"tpl-{template}_res-02_atlas-Schaefer2018_desc-{desc}_dseg.nii.gz"
    table = image.with_name(f"tpl-{template}_atlas-Schaefer2018_desc-{desc}_dseg.tsv")
    # a client without network leaves empty files behind
    if not all(file.is_file() and file.stat().st_size for file in (image, table)):
        raise MissingInputError(
            f"atlas Schaefer2018 ({scale} regions, {seg} networks) is not in TemplateFlow's folder {home}. "
            "Where there is a network, fetch it with\n"
            f"    templateflow get {template} --atlas Schaefer2018 --desc {desc} --suffix dseg\n"
            "(and set TEMPLATEFLOW_HOME to the same folder there and here); without one, use --atlas Dosenbach2010"
        )
    atlas = _from_file(image, table, template)
    entities = (("atlas", "Schaefer2018"), ("seg", f"{seg}n"), ("scale", scale))
    return Atlas("Schaefer2018", entities, atlas.image, None, atlas.index, atlas.labels, atlas.networks, atlas.space)


def _templateflow_home() -> Path:
    """Name TemplateFlow's folder as its client does."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 - never fails without HOME
    return Path(os.environ.get("TEMPLATEFLOW_HOME") or Path(cache) / "templateflow").absolute()


def _from_file(image: Path, table: Path, space: str | None) -> Atlas:
    """Load an atlas from its image and table."""
    present = _image_labels(image)
    index, labels, networks = _read_table(table)
    missing = sorted(set(index.tolist()) - present)
    unnamed = sorted(present - set(index.tolist()))
    if missing or unnamed:
        told = [f"{len(missing)} rows without voxels (index {_few(missing)})"] if missing else []
        told += [f"{len(unnamed)} labels without a row ({_few(unnamed)})"] if unnamed else []
        raise DatasetFileError(
            f"{table} does not describe {image.name}: {' and '.join(told)}; use the table made for it"
        )
    named = dict(_ENTITY.findall(image.name))
    name = named.get("atlas") or re.sub(r"[^A-Za-z0-9]", "", image.name.split(".")[0])
    entities = (("atlas", name), *((key, named[key]) for key in ("seg", "scale") if key in named))
    described = _sidecar(image)
    known = space or named.get("tpl") or named.get("space") or described.get("Space")
    return Atlas(name, entities, image, None, index, labels, networks, known)


def _few(values: list[Any]) -> str:
    """List a few of many."""
    return ", ".join(str(value) for value in values[:5]) + (", ..." if len(values) > 5 else "")


def _sidecar(image: Path) -> dict[str, Any]:
    """Read the JSON file beside an image, if there is a readable one."""
    try:
        content = json.loads(_beside(image).with_suffix(".json").read_text(encoding="utf8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _image_labels(image: Path) -> set[int]:
    """List the labels of an image, its background (0) aside."""
    import nibabel as nib
    from nibabel.filebasedimages import ImageFileError

    check_content(image)
    try:
        values = np.asanyarray(nib.load(image).dataobj)
    except (ImageFileError, OSError, EOFError, ValueError) as error:
        raise DatasetFileError(f"{image} cannot be read as an image ({error}): copy or fetch it again") from error
    if values.ndim != 3:
        raise DatasetFileError(f"{image} has {values.ndim} dimensions; an atlas has 3, with one integer per voxel")
    unique = np.unique(values)
    if not np.array_equal(unique, np.round(unique)) or (unique < 0).any():
        raise DatasetFileError(f"{image} holds values that are no labels (such as {unique[unique % 1 != 0][:1]})")
    return {int(value) for value in unique if value != 0}


def check_content(path: Path) -> None:
    """Tell a file from what stands for it: nothing, a dangling link, a pointer of git-annex or git LFS.

    Raises
    ------
    MissingInputError
        Saying how to get the content.
    """
    if path.is_symlink() and not path.exists():
        raise MissingInputError(f"{path}: the content is not here (a dangling link): datalad get {path}")
    if not path.is_file():
        raise MissingInputError(f"{path} does not exist; check the path")
    with path.open("rb") as file:
        start = file.read(64)
    if start.startswith(b"version https://git-lfs"):
        raise MissingInputError(f"{path} is a pointer of git LFS, not the file: git lfs pull --include {path.name}")
    if start.startswith((b"/annex/objects", b"../.git/annex", b".git/annex")):
        raise MissingInputError(f"{path} is a pointer of git-annex, not the file: datalad get {path}")


def _read_table(path: Path) -> tuple[NDArray[np.int64], tuple[str, ...], tuple[str, ...] | None]:
    """Read an atlas's table: labels of the image, names of the regions, their networks."""
    import pandas as pd

    check_content(path)
    try:
        table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False, encoding="utf-8-sig")
        index = table["index"].astype(int)
    except (ValueError, KeyError, OSError) as error:
        raise DatasetFileError(f"{path} is no table of regions: a column 'index' of whole numbers is needed") from error
    column = next((name for name in ("label", "name") if name in table), None)
    if column is None:
        raise DatasetFileError(f"{path} has no column 'label' or 'name'; it has {', '.join(table.columns)}")
    background = index == 0
    table, index = table[~background], index[~background]
    names = table[column].str.strip()
    for what, values in (("index", index), (column, names)):
        twice = values[values.duplicated()].unique()
        if len(twice):
            raise DatasetFileError(f"{path}: column {what!r} names {_few(list(twice))} more than once")
    if (names == "").any():
        raise DatasetFileError(f"{path}: column {column!r} is empty for index {_few(index[names == ''].tolist())}")
    return np.asarray(index, dtype=np.int64), tuple(names), _networks(path, table, names)


def _networks(path: Path, table: pd.DataFrame, names: pd.Series[str]) -> tuple[str, ...] | None:
    """Take networks from their column, else from names as Schaefer writes them."""
    if "network" in table:
        networks = table["network"].str.strip()
        unnamed = names[(networks == "") | (networks == "n/a")]
        if len(unnamed):
            raise DatasetFileError(f"{path}: column 'network' is empty for {_few(list(unnamed))}")
        return tuple(networks)
    found = [_SCHAEFER_REGION.fullmatch(name) for name in names]
    parsed = tuple(match["network"] for match in found if match is not None)
    return parsed if len(parsed) == len(names) else None


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
    """
    if atlas.coordinates is not None:
        return _spheres(atlas.coordinates, atlas.index, shape, affine)
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
