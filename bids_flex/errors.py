"""What can go wrong, by whose mistake, and the exit code that says so.

Every message tells what is wrong, where (file, column, participant) and what to do about it.
"""

from __future__ import annotations

import os
from typing import ClassVar


class BidsFlexError(Exception):
    """Base of every error that bids_flex raises on purpose; its own exit code means a defect of ours."""

    exit_code: ClassVar[int] = 70


class RunError(BidsFlexError):
    """One run cannot be analysed; the others go on."""

    exit_code: ClassVar[int] = 1


class UsageError(BidsFlexError):
    """The command line, a configuration file or a function's arguments make no sense."""

    exit_code: ClassVar[int] = 2


class NotBidsError(BidsFlexError):
    """The input folder is not a BIDS data set, or not the kind of data set that is needed."""

    exit_code: ClassVar[int] = 16


class NoMatchError(BidsFlexError):
    """The data set is readable, but nothing in it matches what was asked for."""

    exit_code: ClassVar[int] = 18


class DatasetFileError(BidsFlexError):
    """A file that serves the whole data set (atlas, participants.tsv, model, strategy) is bad."""

    exit_code: ClassVar[int] = 65


class MissingInputError(BidsFlexError):
    """An input path that was named does not exist."""

    exit_code: ClassVar[int] = 66


class OutputError(BidsFlexError):
    """The output or work folder cannot be written."""

    exit_code: ClassVar[int] = 73


def unreachable(error: PermissionError) -> MissingInputError:
    """Say of a path that this user may not even look at it; asking whether a file exists may be refused anywhere."""
    return MissingInputError(
        f"{error.filename} cannot be reached ({error.strerror}): this is user {os.getuid()}; "
        "check who may enter its folders"
    )
