"""What an image's header tells, and whether the sidecar says the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bids_flex.content import unreadable, why_absent, why_too_large
from bids_flex.errors import RunError

if TYPE_CHECKING:
    from pathlib import Path

LONGEST_S = 100.0
"""A repetition time above this is one in milliseconds."""


def read_header(bold: Path, stated: object) -> tuple[float, int, tuple[str, ...]]:
    """Read an image's header, and hold it against the repetition time that its sidecar states.

    Parameters
    ----------
    bold : Path
        Images of a run; only the header is read.
    stated : object
        ``RepetitionTime`` as found; None without any.

    Returns
    -------
    float
        Repetition time in seconds.
    int
        Number of volumes.
    tuple of str
        What a reader of the results must know.

    Raises
    ------
    RunError
        When the file is no readable series of volumes, or the repetition time is missing or doubtful.
    """
    import nibabel as nib

    check_images(bold)
    try:
        image = nib.load(bold)
        shape, zooms = image.shape, image.header.get_zooms()
        units = image.header.get_xyzt_units()[1]
        told = why_too_large(image, bold)
    except unreadable() as error:
        raise RunError(f"{bold.name} cannot be read as an image ({error}): copy the file again") from error
    if told:
        raise RunError(f"{told}: copy the file again")
    if len(shape) != 4:
        raise RunError(f"{bold.name} has {len(shape)} dimensions, not 4: it is not a time series of volumes")
    in_header = float(zooms[3]) * {"msec": 1e-3, "usec": 1e-6}.get(units, 1.0)
    tr_s, notes = agreed_tr(bold.name, stated, in_header)
    return tr_s, int(shape[3]), notes


def check_images(bold: Path) -> None:
    """Refuse a file of images that only stands for one, or is empty.

    Raises
    ------
    RunError
        Saying how to get the content.
    """
    if told := why_absent(bold):
        raise RunError(told)
    if bold.stat().st_size == 0:
        raise RunError(f"{bold.name} is empty (0 bytes): copy the file again or run fMRIPrep again")


def agreed_tr(name: str, stated: object, in_header: float) -> tuple[float, tuple[str, ...]]:
    """Hold the repetition time of the sidecar against the header's.

    Parameters
    ----------
    name : str
        Of the file.
    stated : object
        ``RepetitionTime`` as found; None without any.
    in_header : float
        In seconds; 0 or NaN where the header has none.

    Returns
    -------
    float
        Repetition time in seconds.
    tuple of str
        What a reader of the results must know.

    Raises
    ------
    RunError
        When it is missing, no number above 0, in milliseconds, or another in the header.
    """
    if stated is None:
        raise RunError(
            f"{name}: no RepetitionTime in its JSON or any that it inherits from (the header says {in_header:g}): "
            "add RepetitionTime in seconds to the sidecar"
        )
    if isinstance(stated, bool) or not isinstance(stated, int | float) or not stated > 0:
        raise RunError(f"{name}: RepetitionTime is {stated!r}; it must be a number of seconds above 0")
    # no scanner needs a hundred seconds for a volume
    if stated > LONGEST_S:
        # a whole number may be too large for a float
        raise RunError(f"{name}: RepetitionTime is {stated!s:.20}: BIDS wants seconds, this looks like milliseconds")
    if not in_header > 0:  # zero, or no number at all
        return float(stated), ("the header states no repetition time; the sidecar's is used",)
    if in_header > LONGEST_S:
        raise RunError(
            f"{name}: the header's repetition time is {in_header:g} s, which looks like milliseconds whose unit was "
            f"written as seconds (the sidecar says {stated:g} s): correct the header's unit"
        )
    if abs(stated - in_header) > 1e-3 * max(1.0, stated):
        raise RunError(
            f"{name}: RepetitionTime is {stated:g} s in the sidecar but {in_header:g} s in the header: "
            "find out which is true and correct the other"
        )
    return float(stated), ()
