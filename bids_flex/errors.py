"""What can go wrong, by whose mistake, and the exit code that says so.

Every message tells what is wrong, where (file, column, participant) and what to do about it.
"""

from __future__ import annotations

import os
from difflib import get_close_matches
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable

SHOWN = 20
"""Names that a message lists of many."""


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


def did_you_mean(name: str, there: Iterable[str], what: str = "there are") -> str:
    """Say after a name that is not there which are like it, and what there is.

    Examples
    --------
    >>> did_you_mean("diagnosys", ["age", "diagnosis", "sex"])
    'did you mean diagnosis? there are age, diagnosis, sex'
    """
    names = list(there)
    # the case alone is the commonest mistake, and the one that counts letters as strangers
    cases = {one.casefold(): one for one in reversed(names)}
    near = [cases[one] for one in get_close_matches(name.casefold(), cases, n=3, cutoff=0.6)]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    asked = f"did you mean {' or '.join(near)}? " if near else ""
    return f"{asked}{what} {', '.join(names[:SHOWN]) or 'none'}{more}"
