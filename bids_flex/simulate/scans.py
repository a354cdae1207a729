"""Voxels: a brain with tissues and regions, head motion, and images that show all of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bids_flex.simulate.series import band_limited

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bids_flex.simulate.settings import SimulationSettings

    Floats = NDArray[np.float64]

BOX_MM = np.array([[-90.0, 90.0], [-126.0, 90.0], [-72.0, 108.0]])
"""Corners of the box that the template's brain fills."""

BASELINE = 10_000.0
AMPLITUDE = 100.0
"""A region's signal has an sd of one per cent of the baseline."""

FD_RADIUS_MM = 50.0


@dataclass(frozen=True, slots=True, eq=False)
class Brain:
    """The grid and what lies where.

    Attributes
    ----------
    affine : ndarray, shape (4, 4)
        From voxels to mm.
    tissue : ndarray of int, shape (x, y, z)
        0 outside, 1 cerebrospinal fluid, 2 white matter, 3 grey matter.
    regions : ndarray of int, shape (x, y, z)
        1..N in grey matter, 0 elsewhere.
    depth : ndarray, shape (x, y, z)
        0 in the middle of the brain, 1 at its edge.
    """

    affine: Floats
    tissue: NDArray[np.int16]
    regions: NDArray[np.int16]
    depth: Floats


def make_brain(settings: SimulationSettings) -> Brain:
    """Make an ellipsoid with ventricles, white matter, and a shell of grey matter cut into regions.

    Neighbouring regions belong to the same network, and every region has voxels.
    """
    shape = tuple(int(n) for n in np.ceil((BOX_MM[:, 1] - BOX_MM[:, 0]) / settings.voxel_mm))
    affine = np.diag([*[settings.voxel_mm] * 3, 1.0])
    affine[:3, 3] = BOX_MM[:, 0] + settings.voxel_mm / 2
    places = np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3] + affine[:3, 3]
    centre, radius = BOX_MM.mean(axis=1), (BOX_MM[:, 1] - BOX_MM[:, 0]) / 2 * 0.85
    depth = np.sqrt((((places - centre) / radius) ** 2).sum(axis=-1))
    tissue = np.zeros(shape, dtype=np.int16)
    for number, edge in ((3, 1.0), (2, 0.65), (1, 0.35)):
        tissue[depth < edge] = number
    return Brain(affine, tissue, _cut(settings, np.asarray(places, dtype=np.float64), tissue == 3), depth)


def _cut(settings: SimulationSettings, places: Floats, grey: NDArray[np.bool_]) -> NDArray[np.int16]:
    """Cut grey matter into compact regions of nearly equal size: halve it again and again along its longest side."""
    regions = np.zeros(grey.shape, dtype=np.int16)
    voxels = np.argwhere(grey)
    where = places[grey]
    pieces = [(np.arange(len(voxels)), 0, settings.regions)]
    while pieces:
        members, first, count = pieces.pop()
        if count == 1:
            regions[tuple(voxels[members].T)] = first + 1
            continue
        side = int(np.argmax(np.ptp(where[members], axis=0)))
        ordered = members[np.argsort(where[members, side], kind="stable")]
        left = count // 2
        cut = len(ordered) * left // count
        pieces += [(ordered[:cut], first, left), (ordered[cut:], first + left, count - left)]
    return regions


def draw_motion(volumes: int, scale: float, rng: np.random.Generator) -> Floats:
    """Draw realignment parameters: slow drift, and now and then a jerk.

    Parameters
    ----------
    volumes : int
        Length of the run.
    scale : float
        How much the head moves; at 0 not at all.
    rng : numpy.random.Generator
        Source of all chance.

    Returns
    -------
    ndarray, shape (T, 6)
        Three translations in mm, three rotations in radians.
    """
    steps = rng.standard_normal((volumes, 6)) * 0.012
    jerks = (rng.random(volumes) < 0.012)[:, None] * rng.standard_normal((volumes, 6)) * 0.3
    motion = np.cumsum(steps, axis=0) * 0.5 + rng.standard_normal((volumes, 6)) * 0.01
    motion += np.cumsum(jerks - np.vstack([np.zeros((2, 6)), jerks[:-2]]), axis=0)
    motion[:, 3:] /= FD_RADIUS_MM
    return np.asarray(scale * motion)


def framewise_displacement(motion: Floats) -> Floats:
    """Compute displacement since the previous volume in mm (Power et al. 2012); NaN in the first; shape (T,)."""
    change = np.abs(np.diff(motion, axis=0))
    return np.concatenate([[np.nan], change[:, :3].sum(axis=1) + FD_RADIUS_MM * change[:, 3:].sum(axis=1)])


def paint(
    brain: Brain, series: Floats, motion: Floats, settings: SimulationSettings, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Paint the images of a run.

    Parameters
    ----------
    brain : Brain
        The grid.
    series : ndarray, shape (T, N)
        Regional signals.
    motion : ndarray, shape (T, 6)
        Realignment parameters.
    settings : SimulationSettings
        Noise and motion.
    rng : numpy.random.Generator
        Source of all chance.

    Returns
    -------
    ndarray of float32, shape (x, y, z, T)
        Zero outside the brain. Without noise and motion, a region's voxels hold 10,000 + 100 x its signal.
    """
    inside = brain.tissue > 0
    tissue, region, depth = brain.tissue[inside], brain.regions[inside], brain.depth[inside]
    volumes = len(series)
    values = np.full((len(tissue), volumes), BASELINE)
    grey = tissue == 3
    values[grey] += AMPLITUDE * series.T[region[grey] - 1]
    if settings.noise > 0:
        values += _drift(len(tissue), volumes, rng)
        # heart and lungs: shared by fluid and white matter, fainter in grey matter
        physiology = band_limited(2, settings, rng)
        share = np.stack([np.where(tissue == 1, 1.0, 0.15), np.where(tissue == 2, 1.0, 0.15)])
        values += AMPLITUDE * settings.noise * 0.5 * share.T @ physiology
        values += AMPLITUDE * settings.noise * rng.standard_normal(values.shape)
    values += _motion_artefact(depth, motion, rng)
    values[:, : settings.non_steady_volumes] *= 1.3
    images = np.zeros((*inside.shape, volumes), dtype=np.float32)
    images[inside] = values
    return images


def _drift(voxels: int, volumes: int, rng: np.random.Generator) -> Floats:
    """Let every voxel drift: a line and half a period of a cosine; shape (voxels, T)."""
    time = np.linspace(-1.0, 1.0, volumes)
    weights = rng.standard_normal((voxels, 2)) * AMPLITUDE
    return np.asarray(weights @ np.stack([time, np.cos(np.pi * time)]))


def _motion_artefact(depth: Floats, motion: Floats, rng: np.random.Generator) -> Floats:
    """Let motion show: voxels change with the head's place, and the brain's edge darkens when it moves fast."""
    if not motion.any():
        return np.zeros((len(depth), len(motion)))
    displaced = np.hstack([motion[:, :3], motion[:, 3:] * FD_RADIUS_MM])
    maps = rng.standard_normal((len(depth), 6)) * AMPLITUDE * depth[:, None]
    moved = np.nan_to_num(framewise_displacement(motion))
    return np.asarray(maps @ displaced.T - AMPLITUDE * 2.0 * np.outer(depth**2, moved))
