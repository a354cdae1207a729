"""Images read volume by volume: the header by nibabel, the voxels straight from the file."""

from __future__ import annotations

import gzip
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_flex.content import unreadable, why_too_large
from bids_flex.errors import MissingInputError, RunError
from bids_flex.signal.atlas_files import check_content

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

try:
    from isal import igzip

    _open_gzip: Any = igzip.open
except ImportError:  # another processor, or an installation without it: the standard library does the same, slower
    _open_gzip = gzip.open


PART = 1 << 20
"""Bytes that are read at once where they are not kept."""

SURPLUS = 64
"""Mebibytes that may follow the last volume; a few bytes of gzip can stand for terabytes of zeros."""


@dataclass(frozen=True, slots=True, eq=False)
class Volumes:
    """A series of volumes in a NIfTI file, of which only the header has been read.

    Attributes
    ----------
    path : Path
        As it was named.
    file : Path
        Where the voxels are (another file than the header for ``.hdr`` and ``.img``).
    shape : tuple of int
        Of one volume.
    count : int
        Number of volumes.
    affine : ndarray, shape (4, 4)
        From voxels to mm.
    dtype : numpy.dtype
        As stored, with its byte order.
    offset : int
        Bytes before the first volume.
    slope, inter : float
        Stored values are multiplied by the one before the other is added.
    """

    path: Path
    file: Path
    shape: tuple[int, int, int]
    count: int
    affine: NDArray[np.float64]
    dtype: np.dtype[Any]
    offset: int
    slope: float
    inter: float

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Give the stored values of one volume after the other, flat, the first axis running fastest.

        Every volume comes in the same memory: whoever wants to keep one copies it.

        Raises
        ------
        RunError
            When the file ends early or is damaged.
        """
        volume = np.empty(int(np.prod(self.shape)), dtype=self.dtype)
        done = 0
        try:
            with closing(_open(self.file)) as stream:
                _fill(stream, np.empty(self.offset, dtype=np.uint8))
                while done < self.count:
                    _fill(stream, volume)
                    done += 1
                    yield volume
                # the checksum comes last, and is only looked at when somebody reads to the end
                for _ in range(SURPLUS):
                    if not stream.read(PART):
                        return
                raise ValueError(f"it goes on for more than {SURPLUS} MiB after its last volume")
        except unreadable() as error:
            raise RunError(
                f"{self.path.name} cannot be read to its end ({error}, after {done} of {self.count} volumes): "
                "copy the file again"
            ) from error


def open_volumes(path: Path) -> Volumes:
    """Read the header of a 4-D image.

    Raises
    ------
    RunError
        When the file is not here, no NIfTI image of numbers, or has not 4 dimensions.
    """
    image = load_image(path)
    if len(image.shape) != 4:
        raise RunError(f"{path.name} has {len(image.shape)} dimensions; 4 are needed")
    stored = image.dataobj
    dtype = np.dtype(stored.dtype)
    if dtype.kind not in "iuf" or not hasattr(stored, "offset"):
        raise RunError(f"{path.name} holds {dtype}, not one number per voxel: it is no preprocessed series")
    if min(image.shape) < 1:
        raise RunError(f"{path.name} holds no volume (its header says {image.shape}): run fMRIPrep again")
    file = Path(image.file_map["image"].filename or path)
    x, y, z, count = (int(length) for length in image.shape)
    scale = (float(stored.slope), float(stored.inter))
    return Volumes(path, file, (x, y, z), count, np.asarray(image.affine), dtype, int(stored.offset), *scale)


def read_mask(path: Path) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Read a brain mask of 3 dimensions, or 4 of which the last has length 1.

    Returns
    -------
    ndarray of bool, shape (x, y, z)
        True where the mask is above 0.
    ndarray, shape (4, 4)
        From voxels to mm.

    Raises
    ------
    RunError
        When it cannot be read, has other dimensions, or is empty.
    """
    image = load_image(path)
    shape = image.shape[:3] if image.shape[3:] == (1,) else image.shape
    if len(shape) != 3:
        raise RunError(f"{path.name} has {len(image.shape)} dimensions {image.shape}; a mask has 3")
    try:
        inside = np.asanyarray(image.dataobj).reshape(shape) > 0
        _check_end(image, path)
    except unreadable() as error:
        raise RunError(f"{path.name} cannot be read to its end ({error}): copy the file again") from error
    if not inside.any():
        raise RunError(f"{path.name} is empty: fMRIPrep found no brain; check the registration")
    return inside, np.asarray(image.affine)


def load_image(path: Path) -> Any:  # noqa: ANN401 - nibabel has no types
    """Open an image without reading its voxels.

    Raises
    ------
    RunError
        When the content is not here, or it is no image.
    """
    import nibabel as nib

    try:
        check_content(path)
        image = nib.load(path)
        told = why_too_large(image, path)
    except MissingInputError as error:
        raise RunError(str(error)) from error
    except unreadable() as error:
        raise RunError(f"{path.name} cannot be read as an image ({error}): copy the file again") from error
    if told:
        raise RunError(f"{told}: copy the file again")
    return image


def _check_end(image: Any, path: Path) -> None:  # noqa: ANN401 - nibabel has no types
    """Read a file once more up to its checksum, which nibabel does not look at; what follows it is of no interest."""
    claimed = int(image.dataobj.offset) + int(np.prod(image.shape)) * image.dataobj.dtype.itemsize
    with closing(_open(Path(image.file_map["image"].filename or path))) as stream:
        for _ in range(claimed // PART + 2):
            if not stream.read(PART):
                return


def _open(file: Path) -> Any:  # noqa: ANN401 - isal and gzip share no type
    """Open a file that may be compressed; its first two bytes tell."""
    with file.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    return _open_gzip(file, "rb") if packed else file.open("rb", buffering=0)


def _fill(stream: Any, values: NDArray[Any]) -> None:  # noqa: ANN401
    """Read until an array is full."""
    view = values.view(np.uint8).data
    while view:
        read = stream.readinto(view)
        if not read:
            raise EOFError("the file ends early")
        view = view[read:]
