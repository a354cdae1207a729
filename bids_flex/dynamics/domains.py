"""Where in the plane of resolution and coupling each partition is the best of those at hand (CHAMP)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import HalfspaceIntersection

from bids_flex.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

SAME = 1e-10
"""Planes that differ by less than this share of their whole spread are one, and smaller shares of the area are none."""


@dataclass(frozen=True, slots=True, eq=False)
class Domains:
    """Parts of the rectangle of gamma and omega in which one partition has the greatest quality, the widest first.

    Attributes
    ----------
    partition : ndarray of int, shape (D,)
        Which plane is the best there, from 0; the first of equal ones.
    vertices : tuple of ndarray, each shape (V, 2)
        Corners (gamma, omega) of each convex domain, counterclockwise.
    share : ndarray, shape (D,)
        Share of the rectangle's area; they add up to 1, but for rounding.
    of_plane : ndarray of int, shape (P,)
        Domain of each plane, from 0; -1 for a plane that is the best nowhere.
    gamma_range, omega_range : tuple of float
        The rectangle.
    """

    partition: Ints
    vertices: tuple[Floats, ...]
    share: Floats
    of_plane: Ints
    gamma_range: tuple[float, float]
    omega_range: tuple[float, float]


def champ_domains(planes: ArrayLike, gamma_range: tuple[float, float], omega_range: tuple[float, float]) -> Domains:
    """Find where each partition has the greatest quality (CHAMP; Weir et al. 2017).

    The quality of one partition is a plane over gamma and omega. The points above all planes are an intersection of
    half-spaces; its lower faces are the domains. Ties on lines or points (as between partitions that differ only in
    labels across windows, at omega = 0) have no area and make no domain.

    Parameters
    ----------
    planes : array, shape (P, 3)
        Constant, factor of gamma and factor of omega of each partition's raw quality, all of the same network.
    gamma_range, omega_range : tuple of float
        Least and greatest value, at least 0.

    Returns
    -------
    Domains

    Raises
    ------
    UsageError
        When planes have another shape or are not finite, or when a range is empty or below 0.

    References
    ----------
    doi 10.3390/a10030093

    Examples
    --------
    >>> domains = champ_domains([[1, -1, 0], [0, 0, 0]], gamma_range=(0, 2), omega_range=(0, 1))
    >>> domains.partition.tolist(), domains.share.tolist()
    ([0, 1], [0.5, 0.5])
    """
    given = np.asarray(planes, dtype=np.float64)
    if given.ndim != 2 or given.shape[1] != 3 or not len(given):
        raise UsageError(f"planes have shape {given.shape}; they must be (P, 3), P at least 1")
    if not np.isfinite(given).all():
        raise UsageError("planes have entries that are not finite")
    low, high = np.array([_range(gamma_range, "gamma_range"), _range(omega_range, "omega_range")]).T
    scaled = _scaled(given, low, high)
    _, first, kind = np.unique(np.round(scaled / SAME), axis=0, return_index=True, return_inverse=True)
    polygons = [_counterclockwise(corners) for corners in _lower_faces(scaled[first])]
    areas = np.array([_area(polygon) for polygon in polygons])
    kept = np.flatnonzero(areas > SAME)
    kept = kept[np.lexsort((first[kept], -areas[kept]))]
    number = np.full(len(first), -1)
    number[kept] = np.arange(kept.size)
    return Domains(
        partition=first[kept],
        vertices=tuple(low + polygons[k] * (high - low) for k in kept),
        share=areas[kept],
        of_plane=number[kind.ravel()],
        gamma_range=(float(low[0]), float(high[0])),
        omega_range=(float(low[1]), float(high[1])),
    )


def centroid(polygon: ArrayLike) -> Floats:
    """Compute the centre of gravity of a polygon's area; shape (V, 2) to (2,)."""
    here = np.asarray(polygon, dtype=np.float64)
    # near the origin, small polygons far from it lose no digits
    origin = here.mean(axis=0)
    here = here - origin
    following = np.roll(here, -1, axis=0)
    cross = here[:, 0] * following[:, 1] - following[:, 0] * here[:, 1]
    return np.asarray(origin + ((here + following) * cross[:, None]).sum(axis=0) / (3 * cross.sum()))


def _range(given: tuple[float, float], name: str) -> tuple[float, float]:
    """Check that a range goes from a number of at least 0 to a greater one."""
    values = np.asarray(given, dtype=np.float64)
    if values.shape != (2,) or not np.isfinite(values).all() or not 0 <= values[0] < values[1]:
        raise UsageError(f"{name} is {given!r}; it must be (least, greatest), at least 0, finite and not empty")
    return float(values[0]), float(values[1])


def _scaled(planes: Floats, low: Floats, high: Floats) -> Floats:
    """Express planes over the unit square, less their mean, in units of their spread: the best ones stay the best."""
    slopes = planes[:, 1:] * (high - low)
    unit = np.column_stack([planes[:, 0] + planes[:, 1:] @ low, slopes])
    unit -= unit.mean(axis=0)
    spread = np.abs(unit).max()
    # planes that are equal but for rounding have no spread of their own
    return np.zeros_like(unit) if spread <= 1e-13 * np.abs(planes).max() else np.asarray(unit / spread)


def _lower_faces(planes: Floats) -> list[Floats]:
    """Give for each plane the corners, in the unit square, of the part on which no other plane lies above it."""
    number = len(planes)
    above = np.column_stack([planes[:, 1:], np.full(number, -1.0), planes[:, 0]])
    walls = np.array([[-1, 0, 0, 0], [1, 0, 0, -1], [0, -1, 0, 0], [0, 1, 0, -1], [0, 0, 1, -8.0]])
    # no plane exceeds 3 in the square, so that this point lies above all of them and below the lid at 8
    body = HalfspaceIntersection(np.vstack([above, walls]), np.array([0.5, 0.5, 5.0]))
    corners: list[list[Floats]] = [[] for _ in range(number)]
    for point, touching in zip(body.intersections, body.dual_facets, strict=True):
        for plane in touching:
            if plane < number:
                corners[plane].append(point[:2])
    return [np.array(found).reshape(-1, 2) for found in corners]


def _counterclockwise(corners: Floats) -> Floats:
    """Order the corners of a convex polygon around its middle, each but once."""
    kinds = np.unique(np.round(corners, 12), axis=0)
    offset = kinds - kinds.mean(axis=0) if len(kinds) else kinds
    return np.clip(kinds[np.argsort(np.arctan2(offset[:, 1], offset[:, 0]))], 0.0, 1.0)


def _area(polygon: Floats) -> float:
    """Compute the area of a polygon (V, 2)."""
    following = np.roll(polygon, -1, axis=0)
    return float(np.abs(np.sum(polygon[:, 0] * following[:, 1] - following[:, 0] * polygon[:, 1])) / 2)
