"""What may be done to single voxels before regions are averaged: smoothing in space, squeezing of outliers in time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    Floats = NDArray[np.float64]

SQUEEZED_FROM, SQUEEZED_TO = 2.5, 4.0
"""Standard deviations from which outliers are squeezed, and which none exceeds afterwards."""

ROUNDS = 5
"""Rounds of the robust fit; five more move no value by a tenth of a standard deviation, even beside spikes of 30."""


def mean_weights(places: NDArray[np.int64], regions: int) -> csr_array:
    """Say with which weight every voxel enters the mean of every region.

    Parameters
    ----------
    places : ndarray of int, shape (V,)
        Region of each voxel, -1 for none.
    regions : int
        Number of regions.

    Returns
    -------
    scipy.sparse.csr_array, shape (regions, V)
        Rows sum to 1; those of regions without voxels are empty.
    """
    from scipy.sparse import csr_array

    used = np.flatnonzero(places >= 0)
    rows = places[used]
    share = 1.0 / np.bincount(rows, minlength=regions).clip(1)
    return csr_array((share[rows], (rows, used)), shape=(regions, len(places)))


def smoothed_weights(
    places: NDArray[np.int64], regions: int, shape: tuple[int, int, int], affine: Floats, fwhm_mm: float
) -> csr_array:
    """Say with which weight every voxel enters the mean of every region over smoothed images.

    A Gaussian filter is its own transpose, at the borders too (where values are mirrored). So the mean over a region
    of a smoothed volume is the volume's product with the smoothed region: smoothing costs nothing per volume.

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

    Returns
    -------
    scipy.sparse.csr_array, shape (regions, V)
    """
    from scipy.ndimage import find_objects, gaussian_filter
    from scipy.sparse import csr_array, vstack

    sigma = fwhm_mm / (np.sqrt(8 * np.log(2)) * np.sqrt((affine[:3, :3] ** 2).sum(axis=0)))
    reach = np.floor(4 * sigma + 0.5).astype(int)  # where scipy cuts the kernel off
    drawn = places.reshape(shape, order="F") + 1
    numbers = np.arange(len(places)).reshape(shape, order="F")
    rows = []
    boxes: list[tuple[slice, ...] | None] = list(find_objects(drawn, max_label=regions))
    for region, box in enumerate(boxes, start=1):
        if box is None:
            rows.append(csr_array((1, len(places))))
            continue
        wide = tuple(slice(max(0, part.start - r), part.stop + r) for part, r in zip(box, reach, strict=True))
        member = (drawn[wide] == region).astype(float)
        smooth = gaussian_filter(member / member.sum(), sigma)
        there = smooth > 0
        rows.append(csr_array((smooth[there], (np.zeros(there.sum(), int), numbers[wide][there])), (1, len(places))))
    return csr_array(vstack(rows))


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
