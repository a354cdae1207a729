"""Whether a file is here, and is what it says it is: every room asks before it reads."""

from __future__ import annotations

import zlib
from math import prod
from typing import TYPE_CHECKING, Any

from bids_flex.words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LFS = b"version https://git-lfs"
ANNEX = (b"/annex/objects", b"../.git/annex", b".git/annex")

MOST_VOXELS = 512**3
"""Of one volume: what no atlas, mask or functional image exceeds, and what fits into a gigabyte of memory."""

MOST_COLUMNS = 100_000
"""Of a table: several times what the widest tables of phenotypes have."""

LARGEST_LABEL = 2**24 - 1
"""Of an atlas: labels are places in a table that is looked up, so that a large one costs memory."""

DEEPEST = 100
"""Levels that JSON may be nested."""

LARGEST_TOML, MOST_DOTS = 1 << 20, 100
"""Bytes of a file of settings, and dots in a line of it: a name of 100,000 parts would take gigabytes to read."""

PACKED_AT_MOST = 1032
"""Bytes that one byte of gzip can stand for."""


def unreadable() -> tuple[type[Exception], ...]:
    """Give what damaged images make readers raise: nibabel's own errors, those of gzip, of XML and of numpy."""
    from xml.parsers.expat import ExpatError

    from nibabel.cifti2.cifti2 import Cifti2HeaderError
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    try:
        from isal import isal_zlib

        broken: list[Any] = [zlib.error, isal_zlib.error]
    except ImportError:  # another processor, or an installation without it
        broken = [zlib.error]
    # an offset that is infinite is an ArithmeticError, a code of units that does not exist a LookupError
    named = (ImageFileError, HeaderDataError, Cifti2HeaderError, ExpatError, *broken)
    return (*named, ArithmeticError, LookupError, OSError, EOFError, ValueError)


def is_there(path: Path) -> bool:
    """Tell whether anything has this name: a link to nowhere or a folder is no file, but somebody meant one."""
    return path.exists() or path.is_symlink()


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
        is_folder = f"{path} is a folder, not a file: move it away, or restore the file"
        return is_folder if path.is_dir() else f"{path} does not exist; check the path"
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


def why_too_large(image: Any, path: Path) -> str | None:  # noqa: ANN401 - nibabel has no types
    """Tell an image whose header claims more voxels than there can be: reading it would fill the memory.

    Parameters
    ----------
    image : nibabel image
        Of which only the header has been read.
    path : Path
        Of its file.

    Returns
    -------
    str or None
        What is wrong; None when its size is credible.
    """
    shape: Sequence[int] = image.shape
    if prod(shape[:3]) > MOST_VOXELS:
        return f"{path.name} claims {' x '.join(map(str, shape))} voxels, more than {MOST_VOXELS:,} in a volume"
    stored = image.dataobj
    file = path if image.file_map["image"].filename is None else type(path)(image.file_map["image"].filename)
    with file.open("rb") as stream:
        most = PACKED_AT_MOST if stream.read(2) == b"\x1f\x8b" else 1
    claimed = int(getattr(stored, "offset", 0)) + prod(shape) * stored.dtype.itemsize
    if claimed > most * file.stat().st_size:
        size = file.stat().st_size
        return f"{path.name} cannot be read to its end: it claims {claimed:,} bytes, more than its {size:,} can hold"
    return None


def why_too_wide(path: Path) -> str | None:
    """Tell a table with more columns than can be meant: reading it would take minutes and gigabytes.

    Returns
    -------
    str or None
        What is wrong; None when its first line is credible.
    """
    columns, size = 1, 1 << 16
    with path.open("rb") as file:
        while part := file.readline(size):
            columns += part.count(b"\t")
            if columns > MOST_COLUMNS:
                return f"{path} has more than {MOST_COLUMNS:,} columns"
            if part.endswith(b"\n"):
                break
    return None


def why_ragged(path: Path, *, named: bool = True) -> str | None:
    """Tell a table that was cut within a line, or spoilt: readers would fill up what is missing, and rename columns.

    Parameters
    ----------
    path : Path
        The table, of values between tabulators.
    named : bool
        Whether its first line holds names.

    Returns
    -------
    str or None
        What is wrong; None when each line has a value for each name of the first, and no name stands there twice.
    """
    content = path.read_bytes()
    if b"\0" in content:
        return f"{path} holds NUL bytes: it is damaged, or not saved as UTF-8"
    lines = content.splitlines()
    names = lines[0].split(b"\t") if lines else []
    if named and (twice := {name for name in names if names.count(name) > 1}):
        told = ", ".join(sorted(name.decode(errors="replace") for name in twice))
        return f"{path} has more than one column {told}: rename or remove one"
    for number, line in enumerate(lines, start=1):
        found = line.count(b"\t") + 1
        # a value in quotes may hold tabs and ends of lines
        if line.strip() and found != len(names) and b'"' not in content:
            first = counted(len(names), "name" if named else "value")
            return f"{path}: line {number} has {counted(found, 'value')}, the first line has {first}: correct it"
    return None


def why_no_toml(path: Path) -> str | None:
    """Tell a file of settings that could not be read in reasonable time.

    Returns
    -------
    str or None
        What is wrong; None when its size, and that of the names in it, is credible.
    """
    with path.open("rb") as file:
        content = file.read(LARGEST_TOML + 1)
    if len(content) > LARGEST_TOML:
        return f"it has more than {LARGEST_TOML:,} bytes"
    if any(line.count(b".") > MOST_DOTS for line in content.splitlines()):
        return f"one of its lines has more than {MOST_DOTS} dots"
    return None


def is_deep(value: Any) -> bool:  # noqa: ANN401 - any JSON
    """Tell whether JSON is nested deeper than anything that is meant: walking through it would exhaust the stack."""
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return False
    return True
