"""Whether a file is here, or only something that stands for it: every room asks before it reads."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

LFS = b"version https://git-lfs"
ANNEX = (b"/annex/objects", b"../.git/annex", b".git/annex")


def unreadable() -> tuple[type[Exception], ...]:
    """Give what damaged images make readers raise: nibabel's own errors, those of both readers of gzip, and numpy's."""
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    try:
        from isal import isal_zlib

        broken: list[Any] = [zlib.error, isal_zlib.error]
    except ImportError:  # another processor, or an installation without it
        broken = [zlib.error]
    # an offset that is infinite is an ArithmeticError, a code of units that does not exist a LookupError
    return (ImageFileError, HeaderDataError, ArithmeticError, LookupError, OSError, EOFError, ValueError, *broken)


def why_absent(path: Path) -> str | None:
    """Tell a file from what stands for it: nothing, a dangling link, a pointer of git-annex or git LFS.

    Returns
    -------
    str or None
        What is wrong and how to get the content; None when it is here.
    """
    if path.is_symlink() and not path.exists():
        return f"{path}: the content is not here (a dangling link): datalad get {path}"
    if not path.is_file():
        return f"{path} does not exist; check the path"
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        return f"{path} cannot be read ({error.strerror}): check its owner and permissions"
    if start.startswith(LFS):
        return f"{path} is a pointer of git LFS, not the file: git lfs pull --include {path.name}"
    if start.startswith(ANNEX):
        return f"{path} is a pointer of git-annex, not the file: datalad get {path}"
    return None
