"""Atlases that are known by name: what there is, and where their files lie."""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from bids_flex.errors import MissingInputError, UsageError

_CHOICE = re.compile(r"(?P<name>[A-Za-z0-9]+?)(?:_seg-(?P<seg>[A-Za-z0-9]+))?(?:_scale-(?P<scale>[1-9]\d*))?")


@dataclass(frozen=True, slots=True)
class Entry:
    """One atlas of the registry.

    Attributes
    ----------
    name, title : str
        What it is called, and what it is.
    source : str
        ``templateflow``, ``nilearn``, or ``file`` for one that only its owner can hand over.
    spaces, segs, scales : tuple of str
        Templates, sets of networks and numbers of regions; the first of each is taken unless another is asked for.
    image, table : str or None
        Paths below TemplateFlow's folder, with fields to fill in.
    licence, citation, obtained : str
        What its owners ask for, and how to get it.
    """

    name: str
    title: str
    source: str
    spaces: tuple[str, ...]
    segs: tuple[str, ...]
    scales: tuple[str, ...]
    image: str | None
    table: str | None
    licence: str
    citation: str
    obtained: str


@dataclass(frozen=True, slots=True)
class Chosen:
    """One atlas of TemplateFlow in one template: its entities, and the two files that hold it."""

    entry: Entry
    space: str
    seg: str
    scale: str
    image: Path
    table: Path

    @property
    def full_name(self) -> str:
        """The name that chooses exactly this one."""
        return f"{self.entry.name}_seg-{self.seg}_scale-{self.scale}"


@cache
def registry() -> dict[str, Entry]:
    """Read the atlases that are known by name.

    Examples
    --------
    >>> registry()["Dosenbach2010"].source
    'nilearn'
    """
    text = resources.files("bids_flex.data").joinpath("atlases.toml").read_text(encoding="utf8")
    return {name: _entry(name, table) for name, table in tomllib.loads(text).items()}


def _entry(name: str, table: dict[str, Any]) -> Entry:
    """Turn a table of the registry into a record."""
    lists = ("spaces", "segs", "scales")
    rest: dict[str, Any] = {
        key: tuple(value) if key in lists else value for key, value in table.items() if key != "from"
    }
    files: dict[str, Any] = {"image": None, "table": None}
    return Entry(name=name, source=table["from"], **(files | rest))


def find_entry(choice: str) -> tuple[Entry, str | None, str | None] | None:
    """Find a name such as ``Schaefer2018_seg-17n_scale-400`` in the registry.

    Returns
    -------
    tuple of Entry, str or None, str or None, or None
        The atlas, and the networks and the scale where the name says them; None for a name that is not there.

    Raises
    ------
    UsageError
        When the atlas is known, but not with these networks or this scale.
    """
    # 4S is known by the names that its data set gives to the sizes, such as 4S156Parcels
    sized = re.fullmatch(r"4S(\d+)(?:Parcels)?", choice)
    found = _CHOICE.fullmatch(f"4S_scale-{sized[1]}" if sized else choice)
    entry = registry().get(found["name"]) if found else None
    if found is None or entry is None:
        return None
    seg, scale = found["seg"], found["scale"]
    if seg is not None and f"{seg.removesuffix('n')}n" in entry.segs:
        seg = f"{seg.removesuffix('n')}n"
    for key, label, known in (("seg", seg, entry.segs), ("scale", scale, entry.scales)):
        if label is not None and label not in known:
            raise UsageError(f"there is no atlas {choice}: {key} is {' or '.join(known) or 'not a choice'}")
    return entry, seg, scale


def choose(entry: Entry, seg: str | None, scale: str | None, space: str | None = None) -> Chosen:
    """Name the files of an atlas of TemplateFlow.

    Raises
    ------
    UsageError
        When it is not drawn on the template that is asked for.
    """
    if entry.image is None or entry.table is None:
        raise UsageError(f"atlas {entry.name} is not in TemplateFlow; {entry.obtained}")
    if space is not None and space not in entry.spaces:
        raise UsageError(f"atlas {entry.name} is not drawn on {space}: there is {', '.join(entry.spaces)}")
    fields = {
        "space": space or entry.spaces[0],
        "seg": seg or (entry.segs[0] if entry.segs else ""),
        "scale": scale or entry.scales[0],
    }
    paths = (
        templateflow_home() / path.format(**fields, networks=fields["seg"].removesuffix("n"))
        for path in (entry.image, entry.table)
    )
    image, table = paths
    return Chosen(entry, **fields, image=image, table=table)


def is_here(file: Path) -> bool:
    """Tell whether a file of TemplateFlow has content: a client without a network leaves empty ones behind."""
    # below a HOME that is closed to this user there is nothing that could be used, as in one that does not exist
    return os.path.isfile(file) and file.stat().st_size > 0  # noqa: PTH113 - pathlib raises there


def require_files(chosen: Chosen) -> None:
    """Refuse an atlas whose files are not here.

    The client itself is not imported: without a cache it writes one below HOME, and with one it indexes all templates
    for seconds (docs/decisions/0002-templateflow.md).

    Raises
    ------
    MissingInputError
        Naming the exact command that gets them where there is a network.
    """
    missing = [file for file in (chosen.image, chosen.table) if not is_here(file)]
    if missing:
        space = "" if chosen.space == chosen.entry.spaces[0] else f" --atlas-space {chosen.space}"
        raise MissingInputError(
            f"atlas {chosen.full_name} is not in TemplateFlow's folder {templateflow_home()} (no {missing[0].name}). "
            "Where there is a network, fetch it with\n"
            f"    bids_flex-atlas fetch {chosen.full_name}{space}\n"
            "(and set TEMPLATEFLOW_HOME to the same folder there and here); without one, use --atlas Dosenbach2010"
        )


def templateflow_home() -> Path:
    """Name TemplateFlow's folder as its client does."""
    cache_home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 - never fails without HOME
    return Path(os.environ.get("TEMPLATEFLOW_HOME") or Path(cache_home) / "templateflow").absolute()
