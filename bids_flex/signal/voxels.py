"""What may be done to single voxels before regions are averaged: smoothing in space, squeezing of outliers in time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Means = Callable[[NDArray[Any]], Floats]

SQUEEZED_FROM, SQUEEZED_TO = 2.5, 4.0
"""Standard deviations from which outliers are squeezed, and which none exceeds afterwards."""

ROUNDS = 5
"""Rounds of the robust fit; five more move no value by a tenth of a standard deviation, even beside spikes of 30."""


def plain_means(places: NDArray[np.int64], regions: int) -> tuple[NDArray[np.int64], Means]:
    """Say which voxels the means of regions need, and how these are taken.

    Parameters
    ----------
    places : ndarray of int, shape (V,)
        Region of each voxel, -1 for none.
    regions : int
        Number of regions.

    Returns
    -------
    ndarray of int, shape (M,)
        Voxels that are needed, one region after the other.
    callable
        From the values of these voxels (M,) to the mean of every region (regions,); 0 for regions without voxels.
    """
    order = np.argsort(places, kind="stable")
    voxels = order[np.searchsorted(places[order], 0) :]
    rows, starts, counts = np.unique(places[voxels], return_index=True, return_counts=True)

    def means(values: NDArray[Any]) -> Floats:
        found = np.zeros(regions)
        found[rows] = np.add.reduceat(values, starts, dtype=np.float64) / counts
        return found

    return voxels, means


def smoothed_means(
    places: NDArray[np.int64],
    regions: int,
    shape: tuple[int, int, int],
    affine: Floats,
    fwhm_mm: float,
    usable: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], Means]:
    """Say the same of the means over smoothed images.

    A Gaussian filter is its own transpose, at the borders too (where values are mirrored). So the mean over a region
    of a smoothed volume is the volume's product with the smoothed region, and no volume is ever smoothed.

    Parameters
    ----------
    places : ndarray of int, shape (V,)
        Region of each voxel, -1 for none; the first axis runs fastest.
    regions : int
        Number of regions.
    shape : tuple of int
        Of a volume.
    affine : ndarray, shape (4, 4)
        From voxels to mm.
    fwhm_mm : float
        Full width at half maximum, the same along every axis.
    usable : ndarray of bool, shape (V,)
        False for voxels that count as 0.

    Returns
    -------
    ndarray of int, callable
        As :func:`plain_means`.
    """
    from scipy.ndimage import find_objects, gaussian_filter
    from scipy.sparse import csr_array

    sigma = fwhm_mm / (np.sqrt(8 * np.log(2)) * np.sqrt((affine[:3, :3] ** 2).sum(axis=0)))
    reach = np.floor(4 * sigma + 0.5).astype(int)  # where scipy cuts the kernel off
    drawn = places.reshape(shape, order="F") + 1
    numbers = np.arange(len(places)).reshape(shape, order="F")
    counts = usable.reshape(shape, order="F")
    boxes: list[tuple[slice, ...] | None] = list(find_objects(drawn, max_label=regions))
    shares, columns = [np.empty(0)], [np.empty(0, dtype=np.int64)]
    ends = [0]
    for region, box in enumerate(boxes, start=1):
        if box is not None:
            wide = tuple(slice(max(0, part.start - r), part.stop + r) for part, r in zip(box, reach, strict=True))
            member = (drawn[wide] == region).astype(float)
            smooth = gaussian_filter(member / member.sum(), sigma)
            there = (smooth > 0) & counts[wide]
            shares.append(smooth[there])
            columns.append(numbers[wide][there])
        ends.append(ends[-1] + len(shares[-1]) * (box is not None))
    voxels, among = np.unique(np.concatenate(columns), return_inverse=True)
    weights = csr_array((np.concatenate(shares), among, ends), shape=(regions, len(voxels)))
    return voxels, lambda values: np.asarray(weights @ values.astype(np.float64))


def despike(series: NDArray[np.floating]) -> Floats:
    """Squeeze what sticks out of the series of voxels, as AFNI's 3dDespike does.

    A parabola and sines and cosines of up to T / 30 cycles are fitted to every series. Residuals, in units of
    sqrt(pi / 2) times their median absolute value, that exceed 2.5 are drawn in, to no more than 4:
    s' = 2.5 + 1.5 tanh((s - 2.5) / 1.5). The fit is made robust by Huber's modified residuals: the curve is fitted
    anew to series that are squeezed around the last one (AFNI minimises absolute residuals instead).
    The rule: Cox 1996, doi 10.1006/cbmr.1996.0014. The fit: Huber 1981, doi 10.1002/0471725250, section 7.8.

    Parameters
    ----------
    series : ndarray, shape (T, V)
        Finite values.

    Returns
    -------
    ndarray, shape (T, V)
        Values that do not stick out are unchanged.
    """
    volumes, room = len(series), SQUEEZED_TO - SQUEEZED_FROM
    time = np.linspace(-1, 1, volumes)
    angles = np.pi * np.outer(time, np.arange(1, volumes // 30 + 1))
    basis = np.linalg.qr(np.hstack([np.vander(time, 3), np.sin(angles), np.cos(angles)]))[0]
    # one row per voxel: medians are found within contiguous memory
    given = np.ascontiguousarray(np.asarray(series, dtype=np.float64).T)
    out = given.copy()
    # what is less than the rounding of the fit is no spread
    floor = 1e-12 * np.abs(given).max(axis=1, keepdims=True)
    for _ in range(ROUNDS):
        fit = out @ basis @ basis.T
        residual = given - fit
        sd = np.sqrt(np.pi / 2) * np.median(np.abs(residual), axis=1, keepdims=True)
        out[:] = given
        # few values stick out: only they are computed
        voxel, volume = np.nonzero((np.abs(residual) > SQUEEZED_FROM * sd) & (sd > floor))
        spread, away = sd[voxel, 0], residual[voxel, volume]
        squeezed = SQUEEZED_FROM + room * np.tanh((np.abs(away) / spread - SQUEEZED_FROM) / room)
        out[voxel, volume] = fit[voxel, volume] + np.sign(away) * squeezed * spread
    return np.asarray(out.T)
