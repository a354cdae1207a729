"""Entities and file names: taken apart and put together, in the order of BIDS 1.11."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

ENTITY_ORDER = (
    *("sub", "ses", "task", "acq", "ce", "rec", "dir", "run", "echo", "cohort", "space", "res"),
    *("atlas", "seg", "scale", "stat", "desc"),
)
"""The entities that our names may hold, in their order."""

LONGEST = 60
"""Characters of a label that is made of a name."""

_LABEL = "[A-Za-z0-9+]+"
_ENTITY = re.compile(rf"(?P<key>[a-z]+)-(?P<label>{_LABEL})")


def is_label(text: str) -> bool:
    """Tell whether a text can be the label of an entity: letters, digits and plus signs.

    >>> is_label("MNI152NLin6Asym"), is_label("pre+post"), is_label("../01")
    (True, True, False)
    """
    return re.fullmatch(_LABEL, text) is not None


def as_label(name: str, taken: Collection[str] = ()) -> str:
    """Make a label for a file's name: letters and digits, another than those that are taken.

    >>> as_label("user - non_user"), as_label("user = non_user", ["userNonUser"])
    ('userNonUser', 'userNonUser2')
    """
    words = "".join(letter if letter.isascii() and letter.isalnum() else " " for letter in name).split()
    # a name may be longer than file systems take
    label = "".join([words[0], *(word[0].upper() + word[1:] for word in words[1:])])[:LONGEST] if words else "unnamed"
    number = 2
    unique = label
    while unique in taken:
        unique, number = f"{label}{number}", number + 1
    return unique


def naming_fault(path: Path) -> str | None:
    """Say why a file's name does not name one run; None when it does.

    >>> from pathlib import Path
    >>> naming_fault(Path("sub-01_task-rest_run-1_run-2_bold.nii.gz"))
    'run- stands twice in the name'
    """
    stem = re.sub(r"\.(?:nii|tsv|json)(?:\.gz)?$", "", path.name)
    keys = []
    for part in stem.split("_")[:-1]:
        found = _ENTITY.fullmatch(part)
        if found is None:
            return f"{part!r} in the name is no entity (key-label; letters, digits and + only)"
        if found["key"] in keys:
            return f"{found['key']}- stands twice in the name"
        keys.append(found["key"])
    named = entities_of(path)
    for key in ("sub", "ses"):
        folders = [part for part in path.parts[:-1] if part.startswith(f"{key}-")]
        if folders and folders[-1] != f"{key}-{named.get(key)}":
            return f"the name says {key}-{named.get(key, '(nothing)')}, the folder {folders[-1]}"
    return None


def entities_of(path: Path) -> dict[str, str]:
    """Take the entities from a file name, as written (``run-01`` stays ``01``; parts that are no entity are ignored).

    >>> from pathlib import Path
    >>> entities_of(Path("sub-01_task-rest_run-02_desc-preproc_bold.nii.gz"))
    {'sub': '01', 'task': 'rest', 'run': '02', 'desc': 'preproc'}
    """
    parts = path.name.split(".")[0].split("_")[:-1]
    return {found["key"]: found["label"] for found in map(_ENTITY.fullmatch, parts) if found}


def join_entities(entities: Mapping[str, str] | Iterable[tuple[str, str]]) -> str:
    """Put entities together in the order of BIDS; those that BIDS does not order come last, sorted.

    >>> join_entities({"run": "1", "sub": "01", "task": "rest"})
    'sub-01_task-rest_run-1'
    """
    known = dict(entities)
    order = [key for key in ENTITY_ORDER if key in known] + sorted(set(known) - set(ENTITY_ORDER))
    return "_".join(f"{key}-{known[key]}" for key in order)
