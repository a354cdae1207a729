"""The functional files of participants, by pybids, and what their JSON files state by inheritance."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_flex.bids.names import entities_of
from bids_flex.bids.roots import check_description
from bids_flex.content import why_absent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_READABLE = (".nii", ".nii.gz", ".tsv", ".dtseries.nii", ".ptseries.nii")
_OTHERS = (
    re.compile(r"/(?:figures|anat|fmap|dwi|perf|log|logs|sourcedata|\.git|\.datalad)(?:/|$)"),
    re.compile(r"_(?:xfm|boldref|dseg)\.|\.(?:svg|html|gii|h5|txt|toml|md|bib)$"),
    # participant, session, datatype, file: deeper than that lead only links in circles
    re.compile(r"^(?:/[^/]+){5}"),
)
AT_ONCE = 200
"""Participants in one database of pybids: starting one takes 60 ms, a participant in it 2 ms."""


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
    unlisted : str or None
        Why the participant's folders could not be listed; there are no paths then.
    """

    root: Path
    paths: tuple[Path, ...] = ()
    sidecars: tuple[tuple[Path, dict[str, Any]], ...] = ()
    broken: dict[Path, str] = field(default_factory=dict)
    unlisted: str | None = None

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


def index_participants(root: Path, participants: Iterable[str]) -> Iterator[tuple[str, Index]]:
    """Index the functional files of participants, with the metadata that they inherit.

    pybids lists the files, in memory and without entering other participants' folders. It does not read the JSON files:
    it would give up at the first that is broken, and wait for ever at one that is a pipe.

    Parameters
    ----------
    root : Path
        The data set.
    participants : iterable of str
        Labels, without ``sub-``.

    Yields
    ------
    str
        A label.
    Index
        What there is of this participant.
    """
    inherited = sorted(root.glob("*.json"))
    labels = list(participants)
    for start in range(0, len(labels), AT_ONCE):
        some = labels[start : start + AT_ONCE]
        try:
            listed = _list(root, some)
        except OSError:
            # one of them; which one is told when each is listed alone
            yield from ((label, _index_alone(root, label, inherited)) for label in some)
            continue
        yield from ((label, _index(root, listed[label], inherited)) for label in some)


def index_participant(root: Path, participant: str) -> Index:
    """Index one participant, as :func:`index_participants` does."""
    return next(index for _, index in index_participants(root, [participant]))


def _index_alone(root: Path, participant: str, inherited: Sequence[Path]) -> Index:
    """Index one participant of whom it is not known whether the folders can be listed."""
    try:
        return _index(root, _list(root, [participant])[participant], inherited)
    except FileNotFoundError as error:
        return Index(root, unlisted=f"{error.filename} vanished while it was being read")
    except OSError as error:
        told = f"{error.filename} cannot be listed ({error.strerror}): check its owner and permissions"
        return Index(root, unlisted=told)


def _list(root: Path, participants: Sequence[str]) -> dict[str, list[Path]]:
    """List the files of participants."""
    from bids import BIDSLayout, BIDSLayoutIndexer

    check_description(root)
    # anchored and escaped: RAD1 must not match RAD10, and nothing in a label is a pattern
    wanted = "|".join(re.escape(label) for label in participants)
    elsewhere = re.compile(rf"^/(?!sub-(?:{wanted})(?:/|$))")
    indexer = BIDSLayoutIndexer(validate=False, index_metadata=False, ignore=[elsewhere, *_OTHERS])
    layout = BIDSLayout(root, validate=False, config=["bids", "derivatives"], indexer=indexer)
    listed: dict[str, list[Path]] = {label: [] for label in participants}
    for path in map(Path, layout.files):
        listed[path.relative_to(root).parts[0].removeprefix("sub-")].append(path)
    return listed


def _index(root: Path, files: Iterable[Path], inherited: Sequence[Path]) -> Index:
    """Sort a participant's files, and read what they inherit."""
    files = sorted(files)
    sidecars: list[tuple[Path, dict[str, Any]]] = []
    broken: dict[Path, str] = {}
    for path in (*inherited, *(path for path in files if path.suffix == ".json")):
        content = _read(path)
        if isinstance(content, str):
            broken[path] = content
        else:
            sidecars.append((path, content))
    # of two in one folder, the one that names more entities says more about a file
    sidecars.sort(key=lambda one: (len(one[0].parts), len(entities_of(one[0]))))
    return Index(root, tuple(path for path in files if path.name.endswith(_READABLE)), tuple(sidecars), broken)


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
