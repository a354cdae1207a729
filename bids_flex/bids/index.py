"""The functional files of one participant, and what their JSON files state by the inheritance principle of BIDS."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_flex.bids.names import entities_of
from bids_flex.content import why_absent
from bids_flex.errors import NotBidsError

if TYPE_CHECKING:
    from collections.abc import Iterator

_READABLE = (".nii", ".nii.gz", ".tsv", ".dtseries.nii", ".ptseries.nii")
_OTHER_FOLDERS = {"figures", "anat", "fmap", "dwi", "perf", "log", "logs", "sourcedata", ".git", ".datalad"}
_OTHER_FILES = re.compile(r"_(?:xfm|boldref|dseg)\.")


@dataclass(frozen=True, slots=True)
class Index:
    """The functional files of one participant.

    Attributes
    ----------
    root : Path
        The data set.
    paths : tuple of Path
        Images and tables of the participant, sorted.
    sidecars : tuple of (Path, dict)
        JSON files that may be inherited, from the top of the data set down, and what they state.
    broken : dict of Path to str
        JSON files that cannot be read, and why.
    """

    root: Path
    paths: tuple[Path, ...]
    sidecars: tuple[tuple[Path, dict[str, Any]], ...]
    broken: dict[Path, str]

    def metadata(self, path: Path) -> dict[str, Any]:
        """Bring together what a file's sidecar and all that it inherits from state; the nearest one counts."""
        stated: dict[str, Any] = {}
        for sidecar, content in self.sidecars:
            if _inherits(path, sidecar):
                stated |= content
        return stated

    def repetition_time(self, bold: Path) -> Any:  # noqa: ANN401 - whatever the JSON holds; it is checked later
        """Look the repetition time up in an image's sidecar and all that it inherits from; None without any."""
        return self.metadata(bold).get("RepetitionTime")

    def broken_for(self, path: Path) -> str | None:
        """Say which unreadable JSON file a file would inherit from; None when there is none such."""
        return next((why for sidecar, why in self.broken.items() if _inherits(path, sidecar)), None)


def index_participant(root: Path, participant: str) -> Index:
    """Index the functional files of one participant, with the metadata that they inherit.

    Nothing is written, and no folder of another participant is entered. pybids would do the same in 80 ms, of which
    it keeps 0.8 MB for good: too much for hundreds of people (docs/decisions/0005-index.md).

    Parameters
    ----------
    root : Path
        The data set.
    participant : str
        A label, without ``sub-``.

    Raises
    ------
    NotBidsError
        When a folder cannot be listed.
    """
    files = [*sorted(root.glob("*.json")), *sorted(_files(root / f"sub-{participant}"))]
    paths = tuple(path for path in files if path.name.endswith(_READABLE) and not _OTHER_FILES.search(path.name))
    sidecars: list[tuple[Path, dict[str, Any]]] = []
    broken: dict[Path, str] = {}
    for path in files:
        if path.suffix == ".json":
            content = _read(path)
            if isinstance(content, str):
                broken[path] = content
            else:
                sidecars.append((path, content))
    # of two in one folder, the one that names more entities says more about a file
    sidecars.sort(key=lambda one: (len(one[0].parts), len(entities_of(one[0]))))
    return Index(root, paths, tuple(sidecars), broken)


def _files(folder: Path) -> Iterator[Path]:
    """Walk through a participant's folders, following links, none of them twice: links may lead in circles."""

    def refuse(error: OSError) -> None:
        raise NotBidsError(f"{error.filename} cannot be listed ({error.strerror}): check its owner and permissions")

    seen: set[tuple[int, int]] = set()
    for parent, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        state = Path(parent).stat()
        if (state.st_dev, state.st_ino) in seen:
            folders.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        folders[:] = sorted(name for name in folders if name not in _OTHER_FOLDERS)
        yield from (Path(parent, name) for name in names)


def _read(path: Path) -> dict[str, Any] | str:
    """Read a JSON file, or say why it cannot be read and what to do about it; devices and pipes are no files."""
    if told := why_absent(path):
        return told
    try:
        content = json.loads(path.read_text(encoding="utf8"))
    except (OSError, ValueError, RecursionError) as error:
        return f"{path} cannot be read as JSON ({error}): correct it, or restore it"
    if not isinstance(content, dict):
        return f"{path} cannot be read as JSON (it holds no object): correct it, or restore it"
    return content


def _inherits(path: Path, sidecar: Path) -> bool:
    """Tell whether a JSON file applies to a file, by the inheritance principle of BIDS."""
    ours, theirs = entities_of(path), entities_of(sidecar)
    same_suffix = _suffix(path) == _suffix(sidecar)
    return same_suffix and sidecar.parent in path.parents and theirs.items() <= ours.items()


def _suffix(path: Path) -> str:
    """Give what stands between the last entity and the extension."""
    return path.name.split(".")[0].split("_")[-1]
