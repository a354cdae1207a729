"""The functional files of one participant, and what their JSON files state: pybids, in memory, and nothing more."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_flex.bids.names import entities_of
from bids_flex.content import why_absent
from bids_flex.errors import NotBidsError, RunError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bids import BIDSLayout

_READABLE = (".nii", ".nii.gz", ".tsv", ".dtseries.nii", ".ptseries.nii")


@dataclass(frozen=True, slots=True)
class Index:
    """The functional files of one participant.

    Attributes
    ----------
    layout : BIDSLayout
        Knows the metadata of every file, inherited ones included.
    root : Path
        The data set.
    paths : tuple of Path
        Images and tables of the participant, sorted.
    broken : dict of Path to str
        JSON files that cannot be read, and why; their metadata are not in the layout.
    """

    layout: BIDSLayout
    root: Path
    paths: tuple[Path, ...]
    broken: dict[Path, str] = field(default_factory=dict)

    def repetition_time(self, bold: Path) -> Any:  # noqa: ANN401 - whatever the JSON holds; it is checked later
        """Look the repetition time up in an image's sidecar and all that it inherits from; None without any."""
        return (self.layout.get_metadata(str(bold)) or {}).get("RepetitionTime")

    def broken_for(self, path: Path) -> str | None:
        """Say which unreadable JSON file a file would inherit from; None when there is none such."""
        return next((why for sidecar, why in self.broken.items() if _inherits(path, sidecar)), None)


def index_participant(root: Path, participant: str) -> Index:
    """Index the functional files of one participant, with the metadata that they inherit.

    Nothing is written, and no folder of another participant is entered.

    Parameters
    ----------
    root : Path
        The data set.
    participant : str
        A label, without ``sub-``.

    Raises
    ------
    NotBidsError
        When pybids cannot index the folder.
    RunError
        When a file of the participant vanishes meanwhile.
    """
    ignore = [
        # of the top folder only the participant and what may be inherited: other pipelines' folders may lie beside;
        # anchored and escaped: RAD1 must not match RAD10, and nothing in a label is a pattern
        re.compile(rf"^/(?!sub-{re.escape(participant)}(?:/|$))(?![^/]*\.json$)[^/]+"),
        re.compile(r"/(?:figures|anat|fmap|dwi|perf|log|logs|sourcedata|\.git|\.datalad)(?:/|$)"),
        re.compile(r"_(?:xfm|boldref|dseg)\.|\.(?:svg|html|gii|h5|txt|toml|md|bib)$"),
    ]
    broken: dict[Path, str] = {}
    try:
        layout = _layout(root, ignore)
    except (ValueError, OSError, AttributeError, TypeError, RecursionError) as error:
        # pybids gives up at the first JSON file that it cannot read; the runs that do not need it are to go on
        broken = dict(_unreadable(root, participant))
        if not broken and isinstance(error, FileNotFoundError):
            raise RunError(f"{error.filename} vanished while it was being read") from error
        if not broken:
            raise NotBidsError(f"{root}: pybids cannot index participant {participant}: {error}") from error
        skipped = [re.compile(re.escape(f"/{path.relative_to(root).as_posix()}") + "$") for path in broken]
        layout = _layout(root, ignore + skipped)
    paths = (Path(path) for path in layout.files)
    ours = (path for path in paths if path.name.endswith(_READABLE) and f"sub-{participant}" in path.parts)
    return Index(layout, root, tuple(sorted(ours)), broken)


def _layout(root: Path, ignore: list[re.Pattern[str]]) -> BIDSLayout:
    """Index a data set but for what is ignored."""
    from bids import BIDSLayout, BIDSLayoutIndexer

    indexer = BIDSLayoutIndexer(validate=False, ignore=ignore)
    return BIDSLayout(root, validate=False, config=["bids", "derivatives"], indexer=indexer)


def _unreadable(root: Path, participant: str) -> Iterator[tuple[Path, str]]:
    """List the JSON files that concern a participant and hold no JSON object, with what to do about each."""
    for path in [*sorted(root.glob("*.json")), *sorted((root / f"sub-{participant}").rglob("*.json"))]:
        if told := why_absent(path):
            yield path, told
            continue
        try:
            if not isinstance(json.loads(path.read_text(encoding="utf8")), dict):
                yield path, f"{path} cannot be read as JSON (it holds no object): correct it, or restore it"
        except (OSError, ValueError, RecursionError) as error:
            yield path, f"{path} cannot be read as JSON ({error}): correct it, or restore it"


def _inherits(path: Path, sidecar: Path) -> bool:
    """Tell whether a JSON file applies to a file, by the inheritance principle of BIDS."""
    ours, theirs = entities_of(path), entities_of(sidecar)
    same_suffix = _suffix(path) == _suffix(sidecar)
    return same_suffix and sidecar.parent in path.parents and theirs.items() <= ours.items()


def _suffix(path: Path) -> str:
    """Give what stands between the last entity and the extension."""
    return path.name.split(".")[0].split("_")[-1]
