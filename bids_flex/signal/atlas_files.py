"""What an atlas's files hold, and what is refused: images, tables, sidecars, networks."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_flex.content import LARGEST_LABEL, unreadable, why_absent, why_ragged, why_too_large, why_too_wide
from bids_flex.errors import DatasetFileError, MissingInputError
from bids_flex.words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

_SCHAEFER_REGION = re.compile(r"(?:(?:7|17)Networks_)?(?:LH|RH)_(?P<network>[A-Za-z]+)_.+")
MISSING = ("", "n/a", "nan", "None")
"""What tables write where a region belongs to no network."""


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """What a table says of an atlas's regions.

    Attributes
    ----------
    index : ndarray of int, shape (N,)
        Labels in the image.
    labels : tuple of str
        Names.
    networks : tuple of str or None
        Networks, empty where there is none.
    stated : bool
        Whether networks stand in a table; else they were taken from the names.
    """

    index: NDArray[np.int64]
    labels: tuple[str, ...]
    networks: tuple[str, ...] | None
    stated: bool


def beside(image: Path) -> Path:
    """Name the table that lies beside an image."""
    return image.with_name(re.sub(r"(\.dlabel)?\.nii(\.gz)?$", "", image.name) + ".tsv")


def sidecar(image: Path) -> dict[str, Any]:
    """Read the JSON file beside an image, if there is a readable one."""
    try:
        content = json.loads(beside(image).with_suffix(".json").read_text(encoding="utf8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def few(values: Sequence[Any]) -> str:
    """List a few of many."""
    return ", ".join(str(value) for value in values[:5]) + (", ..." if len(values) > 5 else "")


def check_content(path: Path) -> None:
    """Refuse what only stands for a file.

    Raises
    ------
    MissingInputError
        Saying how to get the content.
    """
    if told := why_absent(path):
        raise MissingInputError(told)


def image_labels(image: Path) -> set[int]:
    """List the labels of an image, its background (0) aside.

    Raises
    ------
    MissingInputError, DatasetFileError
        When the file is not here, is no image of 3 dimensions with an invertible affine, or holds other values.
    """
    import nibabel as nib

    check_content(image)
    try:
        loaded = nib.load(image)
        if told := why_too_large(loaded, image):
            raise DatasetFileError(f"{told}: fetch it again")
        if len(loaded.shape) != 3:
            raise DatasetFileError(
                f"{image} has {len(loaded.shape)} dimensions; an atlas has 3, with one integer per voxel"
            )
        values = np.asanyarray(loaded.dataobj)
    except unreadable() as error:
        raise DatasetFileError(f"{image} cannot be read as an image ({error}): copy or fetch it again") from error
    check_affine(image, loaded.affine)
    unique = np.unique(values)
    if not np.array_equal(unique, np.round(unique)) or (unique < 0).any():
        raise DatasetFileError(f"{image} holds values that are no labels (such as {unique[unique % 1 != 0][:1]})")
    check_largest(str(image), unique)
    return {int(value) for value in unique if value != 0}


def check_largest(source: str, labels: NDArray[Any]) -> None:
    """Refuse labels that no look-up table can hold.

    Raises
    ------
    DatasetFileError
        When one is above 16,777,215.
    """
    if labels.size and labels.max() > LARGEST_LABEL:
        raise DatasetFileError(f"{source} holds label {labels.max():.0f}; labels go up to {LARGEST_LABEL}: renumber it")


def check_affine(image: Path, affine: NDArray[np.float64]) -> None:
    """Refuse an image that does not say where its voxels lie.

    Raises
    ------
    DatasetFileError
        When the affine is not finite or cannot be inverted.
    """
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise DatasetFileError(f"{image} has an affine that cannot be inverted: its voxels lie nowhere; fetch it again")


def check_match(table: str, image: str, index: Sequence[int], present: set[int]) -> None:
    """Hold a table of regions against the labels of an image.

    Raises
    ------
    DatasetFileError
        Naming what only one of the two has.
    """
    missing = sorted(set(index) - present)
    unnamed = sorted(present - set(index))
    if missing or unnamed:
        told = [f"{counted(len(missing), 'row')} without voxels (index {few(missing)})"] if missing else []
        told += [f"{counted(len(unnamed), 'label')} without a row ({few(unnamed)})"] if unnamed else []
        raise DatasetFileError(f"{table} does not describe {image}: {' and '.join(told)}; use the table made for it")


def read_tsv(path: Path, *needed: str) -> pd.DataFrame:
    """Read a table as text.

    Raises
    ------
    MissingInputError, DatasetFileError
        When it is not here, is no table, or lacks a column.
    """
    import pandas as pd

    check_content(path)
    if told := why_too_wide(path):
        raise DatasetFileError(f"{told}: it is no table for an atlas")
    if told := why_ragged(path):
        raise DatasetFileError(told)
    try:
        table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, OSError) as error:
        raise DatasetFileError(f"{path} cannot be read as a tab-separated table ({error})") from error
    for column in needed:
        if column not in table:
            raise DatasetFileError(f"{path} has no column {column!r}; it has {', '.join(map(str, table.columns))}")
    return table


def read_regions(path: Path) -> Regions:
    """Read an atlas's table: labels of the image, names of the regions, their networks.

    Returns
    -------
    Regions
        Rows of the background (index 0) are left out.

    Raises
    ------
    MissingInputError, DatasetFileError
        When it is not here, or no table of regions that differ by index and name.
    """
    table = read_tsv(path)
    try:
        index = table["index"].astype(int)
    except (ValueError, OverflowError, KeyError) as error:
        raise DatasetFileError(f"{path} is no table of regions: a column 'index' of whole numbers is needed") from error
    column = next((name for name in ("label", "name") if name in table), None)
    if column is None:
        raise DatasetFileError(f"{path} has no column 'label' or 'name'; it has {', '.join(table.columns)}")
    check_largest(str(path), index.to_numpy())
    background = index == 0
    table, index = table[~background], index[~background]
    names = table[column].str.strip()
    for what, values in (("index", index), (column, names)):
        twice = values[values.duplicated()].unique()
        if len(twice):
            raise DatasetFileError(f"{path}: column {what!r} names {few(list(twice))} more than once")
    if (names == "").any():
        raise DatasetFileError(f"{path}: column {column!r} is empty for index {few(index[names == ''].tolist())}")
    stated = next((table[name] for name in ("network", "network_label") if name in table), None)
    networks = networks_in_names(tuple(names)) if stated is None else _plain(stated)
    return Regions(np.asarray(index, dtype=np.int64), tuple(names), networks, stated is not None)


def _plain(stated: pd.Series[str]) -> tuple[str, ...]:
    """Strip names, and make all ways of saying nothing one."""
    return tuple("" if name in MISSING else name for name in stated.str.strip())


def networks_in_names(names: tuple[str, ...]) -> tuple[str, ...] | None:
    """Take networks from names as Schaefer writes them; empty for other names, None if there is none such."""
    found = [_SCHAEFER_REGION.fullmatch(name) for name in names]
    return tuple(match["network"] if match else "" for match in found) if any(found) else None


def settled_networks(source: Path, regions: Regions) -> tuple[str, ...] | None:
    """Refuse networks that only some regions have; those that only names suggest are given up instead.

    Raises
    ------
    DatasetFileError
        Naming regions without a network.
    """
    if regions.networks is None:
        return None
    without = [label for label, network in zip(regions.labels, regions.networks, strict=True) if not network]
    if without and regions.stated:
        raise DatasetFileError(
            f"{source}: column 'network' is empty for {few(without)}; fill it in, or assign them with --atlas-networks"
        )
    return None if without else regions.networks
