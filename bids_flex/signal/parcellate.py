"""From a series of volumes to one series per region, volume by volume."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_flex.errors import RunError, UsageError
from bids_flex.signal.atlas import labels_on_grid
from bids_flex.signal.volumes import open_volumes, read_mask
from bids_flex.signal.voxels import despike, plain_means, smoothed_means

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from bids_flex.signal.atlas import Atlas
    from bids_flex.signal.volumes import Volumes

    Floats = NDArray[np.float64]
    Means = Callable[[NDArray[Any]], Floats]
    Walk = Callable[[Volumes, NDArray[np.int64], Means], tuple[Floats, NDArray[np.bool_]]]

BLOCK = 512
"""Voxels that are despiked at a time."""


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
    halves : ndarray, shape (2, T, N), or None
        Means over either half of a region's voxels, if they were asked for; NaN for a poor region, and for one with
        fewer than two voxels.
    """

    series: Floats
    coverage: Floats
    poor: tuple[tuple[str, str], ...]
    halves: Floats | None = None


def parcellate(
    bold: Path,
    mask: Path,
    atlas: Atlas,
    min_coverage: float = 0.5,
    *,
    smoothing_mm: float = 0.0,
    despiked: bool = False,
    skip: int = 0,
    halves_seed: int | None = None,
) -> Parcellated:
    """Average a run's images over the regions of an atlas.

    Voxels are read volume by volume, so that memory does not grow with the length of a run (despiking alone needs
    the series of every voxel at once). A voxel that has no finite value in one volume is left out of all of them.

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
    smoothing_mm : float
        Full width at half maximum of a Gaussian that images are smoothed with first, as nilearn does; 0 for none.
        Voxels without a value count as 0, like those outside of the brain.
    despiked : bool
        Squeeze outliers of every voxel first: see :func:`bids_flex.signal.voxels.despike`.
    skip : int
        Volumes at the start, not in steady state, that despiking leaves alone.
    halves_seed : int, optional
        Split every region's voxels in two as well (see :func:`split_voxels`), by this seed. Smoothing would mix them.

    Raises
    ------
    RunError
        When a file is not readable, the grids differ, the mask is empty, or no region is usable.
    UsageError
        When the width is negative, or halves are wanted of smoothed images.
    """
    if smoothing_mm < 0:
        raise UsageError(f"smoothing is {smoothing_mm:g} mm wide; it must be 0 or more")
    if smoothing_mm > 0 and halves_seed is not None:
        raise UsageError("halves of smoothed regions share what smoothing has spread: smooth, or split, not both")
    images = open_volumes(bold)
    inside, affine = read_mask(mask)
    if inside.shape != images.shape or not np.allclose(affine, images.affine, atol=1e-3):
        raise RunError(
            f"{mask.name} and {bold.name} lie on different grids: the mask must be the one made for the images"
        )
    # flat, in the order of the file's voxels
    drawn = labels_on_grid(atlas, images.shape, images.affine).ravel(order="F")
    places = places_of(np.where(inside.ravel(order="F"), drawn, 0), atlas)
    if not (places >= 0).any():
        raise RunError(f"atlas {atlas.name} and the mask {mask.name} do not overlap: check the atlas's template")
    size = np.bincount(places_of(drawn, atlas) + 1, minlength=len(atlas.index) + 1)[1:]
    walk = partial(_despiked, skip=skip) if despiked else _averaged
    series, found, halves = _means(images, places, len(size), smoothing_mm, walk, halves_seed)
    coverage = np.divide(found, size, out=np.zeros(len(size)), where=size > 0)
    told = without_poor(series, coverage, atlas, min_coverage)
    if halves is not None:
        halves[:, :, np.isnan(told.series).all(axis=0)] = np.nan
    return replace(told, halves=halves)


def places_of(labels: NDArray[np.int64], atlas: Atlas) -> NDArray[np.int64]:
    """Turn labels into places in the atlas's table, -1 outside of all; of the same shape."""
    lookup = np.full(max(int(labels.max(initial=0)), int(atlas.index.max())) + 1, -1)
    lookup[atlas.index] = np.arange(len(atlas.index))
    return np.asarray(lookup[labels])


def split_voxels(places: NDArray[np.int64], shape: tuple[int, int, int], seed: int) -> NDArray[np.int64]:
    """Split the voxels of every region in two halves that lie in the same places.

    The voxels of a region are cut in two along their longest side again and again, until pairs of neighbours are left.
    Chance says which of a pair goes where, so that the halves cover the region alike. The third of the last three
    voxels, if a part comes down to three, goes to either half.

    Parameters
    ----------
    places : ndarray of int, shape (V,)
        Region of each voxel, -1 for none; the first axis runs fastest.
    shape : tuple of int
        Of a volume.
    seed : int
        Of the choice within pairs.

    Returns
    -------
    ndarray of int, shape (V,)
        0 and 1; -1 outside of all regions, and for the voxel of a region that has only one.
    """
    rng = np.random.default_rng(seed)
    where = np.stack(np.unravel_index(np.arange(len(places)), shape, order="F"), axis=1)
    half = np.full(len(places), -1, dtype=np.int64)
    order = np.argsort(places, kind="stable")
    ends = np.flatnonzero(np.diff(places[order], append=places.max(initial=-1) + 1)) + 1
    for members in np.split(order, ends[:-1]):
        if len(members) > 1 and places[members[0]] >= 0:
            _deal(members, where, half, rng)
    return half


def _deal(
    members: NDArray[np.int64], where: NDArray[np.int64], half: NDArray[np.int64], rng: np.random.Generator
) -> None:
    """Deal the voxels of one region out to the halves, pair by pair."""
    parts = [members]
    while parts:
        part = parts.pop()
        if len(part) <= 3:
            half[rng.permutation(part)] = (np.arange(len(part)) + rng.integers(2)) % 2
            continue
        side = int(np.argmax(np.ptp(where[part], axis=0)))
        along = part[np.argsort(where[part, side], kind="stable")]
        # parts of even size leave no voxel over but the last
        cut = len(along) // 4 * 2
        parts += [along[:cut], along[cut:]]


def _with_halves(
    voxels: NDArray[np.int64], means: Means, there: NDArray[np.int64], half: NDArray[np.int64], regions: int
) -> Means:
    """Take the means of halves beside those of regions, from the same voxels: regions, first halves, second ones."""
    among = np.where(half[voxels] >= 0, half[voxels] * regions + there[voxels], -1)
    order, of_halves = plain_means(among, 2 * regions)
    return lambda values: np.concatenate([means(values), of_halves(values[order])])


def _means(
    images: Volumes,
    places: NDArray[np.int64],
    regions: int,
    smoothing_mm: float,
    walk: Walk,
    halves_seed: int | None = None,
) -> tuple[Floats, NDArray[np.int64], Floats | None]:
    """Average over regions, once more without the voxels that lack a value, if any do.

    Returns the series (T, N), NaN for regions without voxels, the number of voxels of each, and the series of halves
    (2, T, N), NaN where a region has none, if a seed for them is given.
    """
    usable = np.ones(len(places), dtype=bool)
    while True:
        there = np.where(usable, places, -1)
        if smoothing_mm > 0:
            voxels, means = smoothed_means(there, regions, images.shape, images.affine, smoothing_mm, usable)
        else:
            voxels, means = plain_means(there, regions)
        if halves_seed is not None:
            half = split_voxels(there, images.shape, halves_seed)
            means = _with_halves(voxels, means, there, half, regions)
        sums, broken = walk(images, voxels, means)
        if not broken.any():
            break
        usable[voxels[broken]] = False
    found = np.bincount(there + 1, minlength=regions + 1)[1:]
    series = sums * images.slope + images.inter * means(np.ones(len(voxels)))
    series, *parts = np.split(series, series.shape[1] // regions, axis=1)
    series[:, found == 0] = np.nan
    if not parts:
        return series, found, None
    halves = np.array(parts)
    halves[:, :, found < 2] = np.nan
    return series, found, halves


def _averaged(images: Volumes, voxels: NDArray[np.int64], means: Means) -> tuple[Floats, NDArray[np.bool_]]:
    """Average one volume after the other; tell which voxels lack a value somewhere."""
    found = []
    broken = np.zeros(len(voxels), dtype=bool)
    for volume in images:
        values = volume[voxels]
        with np.errstate(invalid="ignore"):  # some bit patterns of NaN complain when they are converted
            found.append(means(values))
        # a mean is finite exactly when all its terms are: single voxels are looked at only when it is not
        if not np.isfinite(found[-1]).all():
            broken |= ~np.isfinite(values)
    return np.array(found), broken


def _despiked(
    images: Volumes, voxels: NDArray[np.int64], means: Means, *, skip: int
) -> tuple[Floats, NDArray[np.bool_]]:
    """Do the same with voxels whose outliers are squeezed first."""
    held = np.empty((images.count, len(voxels)), dtype=np.float32)
    for number, volume in enumerate(images):
        held[number] = volume[voxels]
    broken = np.asarray(~np.isfinite(held).all(axis=0))
    if not broken.any():
        for first in range(0, len(voxels), BLOCK):
            part = slice(first, first + BLOCK)
            held[skip:, part] = despike(held[skip:, part])
    return np.array([means(values) for values in held]), broken


def without_poor(series: Floats, coverage: Floats, atlas: Atlas, min_coverage: float) -> Parcellated:
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
