"""From a series of greyordinates to one series per region."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bids_flex.content import unreadable
from bids_flex.errors import RunError
from bids_flex.signal.cifti import load_labels, open_series
from bids_flex.signal.parcellate import places_of, without_poor

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from bids_flex.signal.atlas import Atlas
    from bids_flex.signal.parcellate import Parcellated

    Floats = NDArray[np.float64]

BLOCK = 4096
"""Greyordinates that are read at a time; the series of each lies in one stretch of the file."""


def parcellate_greyordinates(bold: Path, atlas: Atlas, min_coverage: float = 0.5) -> Parcellated:
    """Average a run's greyordinates over the regions of an atlas.

    There is no mask: a greyordinate of a region is covered when the images have it, and its values are finite in
    every volume and not all zero (what lies outside of the scanned volume is written as zeros).

    Parameters
    ----------
    bold : Path
        ``.dtseries.nii``, with any number of vertices that the atlas has too (91k, 170k).
    atlas : Atlas
        Drawn on greyordinates.
    min_coverage : float
        Regions with less of them covered are poor.

    Returns
    -------
    Parcellated
        Coverage is relative to the greyordinates of the atlas.

    Raises
    ------
    RunError
        When the file is not readable, atlas and images have other vertices or voxels, or no region is usable.
    """
    from nibabel import cifti2

    image, brain, _ = open_series(bold)
    if not isinstance(brain, cifti2.BrainModelAxis):
        raise RunError(f"{bold.name} holds no greyordinates: a .dtseries.nii file is needed")
    if atlas.image is None or not atlas.on_greyordinates:
        raise RunError(f"atlas {atlas.name} is not drawn on greyordinates: name a .dlabel.nii file with --atlas")
    values, _, own = load_labels(atlas.image)
    places = places_of(_carry_over(values, own, brain, f"atlas {atlas.name} and {bold.name}"), atlas)
    size = np.bincount(places_of(values, atlas) + 1, minlength=len(atlas.index) + 1)[1:]
    if not (places >= 0).any():
        raise RunError(f"atlas {atlas.name} and {bold.name} do not overlap: check the atlas")
    try:
        series, found = _means(image, places, len(atlas.index))
    except unreadable() as error:
        raise RunError(f"{bold.name} cannot be read to its end ({error}): copy the file again") from error
    coverage = np.divide(found, size, out=np.zeros(len(size)), where=size > 0)
    return without_poor(series, coverage, atlas, min_coverage)


def _means(image: Any, places: NDArray[np.int64], regions: int) -> tuple[Floats, NDArray[np.int64]]:  # noqa: ANN401
    """Average greyordinates over regions, a block at a time; series (T, N) and how many each region has."""
    sums = np.zeros((regions, image.shape[0]))
    found = np.zeros(regions, dtype=np.int64)
    for first in range(0, len(places), BLOCK):
        at = places[first : first + BLOCK]
        if not (at >= 0).any():
            continue
        values = np.asarray(image.dataobj[:, first : first + BLOCK], dtype=np.float64).T
        usable = (at >= 0) & np.isfinite(values).all(axis=1) & (values != 0).any(axis=1)
        np.add.at(sums, at[usable], values[usable])
        found += np.bincount(at[usable], minlength=regions)
    means = np.full(sums.shape, np.nan)
    np.divide(sums, found[:, None], out=means, where=found[:, None] > 0)
    return means.T.copy(), found


def _carry_over(labels: NDArray[np.int64], atlas: Any, images: Any, what: str) -> NDArray[np.int64]:  # noqa: ANN401
    """Find, for every greyordinate of the images, its label in an atlas that may have more or fewer of them."""
    drawn = np.zeros(len(images), dtype=np.int64)
    for name, ours in images.nvertices.items():
        theirs = atlas.nvertices.get(name, ours)
        if theirs != ours:
            raise RunError(
                f"{what} have {theirs} and {ours} vertices on {name}: choose an atlas of the images' density "
                "(91k: 32492 vertices, 170k: 59292)"
            )
        # a structure need not stand in one stretch of the file
        there, here = atlas.name == name, images.name == name
        whole = np.zeros(ours, dtype=np.int64)
        whole[atlas.vertex[there]] = labels[there]
        drawn[here] = whole[images.vertex[here]]
    if atlas.volume_mask.any() and images.volume_mask.any():
        _carry_voxels(labels, atlas, images, drawn, what)
    return drawn


def _carry_voxels(labels: NDArray[np.int64], atlas: Any, images: Any, drawn: NDArray[np.int64], what: str) -> None:  # noqa: ANN401
    """Do so for voxels, in place."""
    if tuple(atlas.volume_shape) != tuple(images.volume_shape) or not np.allclose(
        atlas.affine, images.affine, atol=1e-3
    ):
        raise RunError(f"{what} have voxels on different grids: choose an atlas of the images' density")
    whole = np.zeros(tuple(images.volume_shape), dtype=np.int64)
    whole[tuple(atlas.voxel[atlas.volume_mask].T)] = labels[atlas.volume_mask]
    drawn[images.volume_mask] = whole[tuple(images.voxel[images.volume_mask].T)]
