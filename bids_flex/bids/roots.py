"""Which folder is fMRIPrep's output, and which participants it holds."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_flex.bids.names import is_label
from bids_flex.content import is_deep
from bids_flex.errors import DatasetFileError, MissingInputError, NoMatchError, NotBidsError, UsageError

if TYPE_CHECKING:
    from bids_flex.config import Selection


SEEN = 20
"""Names that a message lists at most."""


def derivatives_root(bids_dir: Path, derivatives: str | None) -> Path:
    """Find the folder of fMRIPrep's output.

    Parameters
    ----------
    bids_dir : Path
        The data set: raw, with fMRIPrep's output below ``derivatives``, or that output itself (also in the layout
        ``fmriprep/sub-01`` of before 21.0).
    derivatives : str or None
        ``PATH`` or ``NAME=PATH``, when fMRIPrep's output lies elsewhere, or the name of a folder below
        ``derivatives``, when there are several.

    Raises
    ------
    MissingInputError, NotBidsError
        When the folder does not exist, or holds no preprocessed participant.
    UsageError
        When several folders below ``derivatives`` come from fMRIPrep, and none is called ``fmriprep``.
    """
    if not bids_dir.is_dir():
        raise MissingInputError(f"BIDS_DIR {bids_dir} is not a folder; {_seen_instead(bids_dir)}")
    if derivatives is not None:
        named = named_root(bids_dir, derivatives)
        candidates = [named, named / "fmriprep"]
    else:
        candidates = [bids_dir / "derivatives" / "fmriprep", bids_dir, bids_dir / "derivatives", bids_dir / "fmriprep"]
    for candidate in candidates:
        if candidate.is_dir() and _is_preprocessed(candidate):
            return candidate.resolve()
    others = [] if derivatives is not None else _others(bids_dir / "derivatives")
    if len(others) > 1:
        told = ", ".join(str(other.relative_to(bids_dir / "derivatives")) for other in others)
        raise UsageError(
            f"{bids_dir / 'derivatives'} holds several outputs of fMRIPrep: {told}: choose one with --derivatives NAME"
        )
    if others:
        return others[0].resolve()
    looked = ", ".join(str(candidate) for candidate in candidates[: 2 if derivatives is None else 1])
    raw = any(bids_dir.glob("sub-*/**/func"))
    raise NotBidsError(
        f"no fMRIPrep output found (looked in {looked}): "
        + ("this is raw data; run fMRIPrep first, or " if raw else f"{_seen_instead(bids_dir)}, or ")
        + "name its output folder with --derivatives PATH"
    )


def named_root(bids_dir: Path, derivatives: str) -> Path:
    """Find the folder that --derivatives names: a path, or a folder below the data set's own derivatives."""
    path = Path(derivatives.partition("=")[2] if _has_name(derivatives) else derivatives)
    for named in (path, bids_dir / "derivatives" / path):
        if named.is_dir():
            return named
    raise MissingInputError(f"--derivatives {path} is not a folder; {_seen_instead(path)}")


def _seen_instead(path: Path) -> str:
    """Say what there is where a folder was expected: in a container, a wrong mount shows by that."""
    there = next(one for one in (path.absolute(), *path.absolute().parents) if one.is_dir())
    try:
        names = sorted(f"{one.name}/" if one.is_dir() else one.name for one in there.iterdir())
    except OSError as error:
        return f"{there} cannot be listed ({error.strerror}): check its owner"
    listed = ", ".join(names[:SEEN]) + (f", and {len(names) - SEEN} more" if len(names) > SEEN else "")
    return f"{there} holds {listed or 'nothing'}: check the path (and the container's mounts)"


def _has_name(derivatives: str) -> bool:
    """Tell ``NAME=PATH`` from a path that merely holds an equals sign."""
    return re.fullmatch(r"[A-Za-z0-9_]+=.+", derivatives) is not None and not Path(derivatives).is_dir()


def _others(derivatives: Path) -> list[Path]:
    """List the folders below ``derivatives`` that come from fMRIPrep, whatever they are called."""
    folders = sorted(derivatives.glob("*/")) + sorted(derivatives.glob("*/fmriprep/"))
    return [folder for folder in folders if _is_preprocessed(folder) and _made_by_fmriprep(folder)]


def _is_preprocessed(folder: Path) -> bool:
    """Tell derivatives of fMRIPrep from raw data: by preprocessed images, else by the data set's own description."""
    kind = _description(folder).get("DatasetType")
    # raw data say so since 2020: walking through all of them to find nothing can take minutes
    if kind == "raw":
        return False
    participants = sorted(folder.glob("sub-*/"))
    if any(next(one.glob("**/*_desc-preproc_bold.nii*"), None) for one in participants):
        return True
    return bool(participants) and kind == "derivative"


def _made_by_fmriprep(folder: Path) -> bool:
    """Tell whether a data set says that fMRIPrep made it, or does not say what made it."""
    names = [name.lower() for name in _makers(folder)]
    return not names or "fmriprep" in names


def _makers(folder: Path) -> list[str]:
    """Name the programs that a data set says it was made by."""
    makers = _description(folder).get("GeneratedBy", _description(folder).get("PipelineDescription"))
    listed = makers if isinstance(makers, list) else [makers]
    return [str(maker.get("Name", "")) for maker in listed if isinstance(maker, dict)]


def data_set_name(root: Path) -> str:
    """Name a data set for the BIDS URIs of its files: after the program that made it, else after its folder.

    Returns
    -------
    str
        Lower case, letters, digits and underscores, such as ``fmriprep`` or ``xcp_d``.
    """
    # what bids_flex has simulated is named after the folder that it stands for
    makers = (name for name in _makers(root) if not name.startswith("bids_flex"))
    for name in (*makers, root.name):
        if word := re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_"):
            return word
    return "source"


def _description(folder: Path) -> dict[str, Any]:
    """Read a data set's description; empty where there is none that can be read."""
    path = folder / "dataset_description.json"
    # neither a pipe nor a device
    if not path.is_file():
        return {}
    try:
        described = json.loads(path.read_text(encoding="utf8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return described if isinstance(described, dict) else {}


def check_description(root: Path) -> None:
    """Refuse a data set whose description is JSON, but no object: pybids would take it for one.

    Raises
    ------
    DatasetFileError
        Naming the file.
    """
    path = root / "dataset_description.json"
    if not path.is_file():
        return
    try:
        described = json.loads(path.read_text(encoding="utf8"))
    except (OSError, ValueError):
        return  # pybids does without what is no JSON, as we do
    except RecursionError:
        described = None
    if not isinstance(described, dict) or is_deep(described):
        raise DatasetFileError(f"{path} holds no JSON object of a few levels, as a description is: correct it")


def list_participants(root: Path, selection: Selection) -> tuple[list[str], list[str]]:
    """List the participants that are asked for.

    Parameters
    ----------
    root : Path
        fMRIPrep's output.
    selection : Selection
        Who is asked for; nobody means everybody.

    Returns
    -------
    list of str
        Labels, sorted.
    list of str
        What follows ``sub-`` in the names of other folders, and is no label.

    Raises
    ------
    NoMatchError
        When somebody is asked for who is not there.
    """
    present = sorted(one.name.removeprefix("sub-") for one in root.glob("sub-*") if one.is_dir())
    missing = [label for label in selection.participants if label not in present]
    if missing:
        raise NoMatchError(
            f"no participant {', '.join(missing)} in {root}; there is {', '.join(present) or 'no participant at all'}"
        )
    asked = [label for label in present if not selection.participants or label in selection.participants]
    return [label for label in asked if is_label(label)], [label for label in asked if not is_label(label)]
