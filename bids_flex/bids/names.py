"""Entities and file names: taken apart and put together, in the order of BIDS 1.11."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

ENTITY_ORDER = (
    *("sub", "ses", "task", "acq", "ce", "rec", "dir", "run", "echo", "cohort", "space", "res"),
    *("atlas", "seg", "scale", "stat", "desc"),
)
"""The entities that our names may hold, in their order."""

_ENTITY = re.compile(r"(?P<key>[a-z]+)-(?P<label>[A-Za-z0-9+]+)")


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
