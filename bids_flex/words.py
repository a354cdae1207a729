"""Words that messages and pages share: numbers with their nouns, and names that were misspelt."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

SHOWN = 20
"""Names that a message lists of many."""


def counted(number: int, one: str, many: str = "") -> str:
    """Write a number before its noun, which is singular where there is one.

    Parameters
    ----------
    number : int
        How many.
    one, many : str
        The noun (and what follows it) for one, and for others; with an s by default.

    Examples
    --------
    >>> counted(1, "run"), counted(3, "run"), counted(1, "run is", "runs are")
    ('1 run', '3 runs', '1 run is')
    """
    return f"{number} {one if number == 1 else many or one + 's'}"


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
