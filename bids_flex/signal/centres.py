"""Where regions lie: a point inside each, in mm, and a drawing of those that are only coordinates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bids_flex.signal.atlas import labels_on_grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bids_flex.signal.atlas import Atlas

MNI_SHAPE = (91, 109, 91)
"""The grid of 2 mm that images in MNI space mostly have."""

MNI_AFFINE = np.array([[2.0, 0, 0, -90], [0, 2, 0, -126], [0, 0, 2, -72], [0, 0, 0, 1]])


def region_centres(atlas: Atlas) -> NDArray[np.float64]:
    """Find a point inside every region: of its voxels, the one nearest to their mean.

    Parameters
    ----------
    atlas : Atlas
        Drawn on voxels, or of coordinates.

    Returns
    -------
    ndarray, shape (N, 3)
        In mm; NaN where the atlas does not say where a region lies: on greyordinates, or of names alone.

    Examples
    --------
    >>> from bids_flex import signal
    >>> signal.region_centres(signal.load_atlas("Dosenbach2010"))[0].tolist()
    [18.0, -81.0, -33.0]
    """
    if atlas.coordinates is not None:
        return atlas.coordinates
    centres = np.full((len(atlas.labels), 3), np.nan)
    if atlas.image is None or atlas.on_greyordinates:
        return centres
    import nibabel as nib

    image = nib.load(atlas.image)
    values = np.asarray(image.dataobj).astype(np.int64)
    voxels = np.argwhere(values)
    owners = values[tuple(voxels.T)]
    order = np.argsort(owners, kind="stable")
    voxels, owners = voxels[order], owners[order]
    first, last = (np.searchsorted(owners, atlas.index, side) for side in ("left", "right"))
    for place, (start, stop) in enumerate(zip(first, last, strict=True)):
        if stop > start:
            own = voxels[start:stop]
            nearest = own[((own - own.mean(axis=0)) ** 2).sum(axis=1).argmin()]
            centres[place] = image.affine[:3, :3] @ nearest + image.affine[:3, 3]
    return centres


def drawn_spheres(atlas: Atlas) -> bytes:
    """Draw an atlas of coordinates on the grid of 2 mm in MNI space, as the bytes of a NIfTI file (not compressed).

    The same atlas gives the same bytes.
    """
    import nibabel as nib

    labels = labels_on_grid(atlas, MNI_SHAPE, MNI_AFFINE).astype(np.int16)
    image = nib.Nifti1Image(labels, MNI_AFFINE)
    image.header.set_xyzt_units("mm")
    return bytes(image.to_bytes())
