"""What a call asks for: by labels, by a filter file, and by space; and which image of a run that leaves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bids_flex.bids.names import entities_of, is_label
from bids_flex.errors import MissingInputError, RunError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bids_flex.config import Selection

Filter = dict[str, tuple[str | None, ...]]
"""What each entity may be: labels, ``*`` (anything, but there) or None (not there)."""

_LONG = {
    "subject": "sub",
    "session": "ses",
    "acquisition": "acq",
    "ceagent": "ce",
    "reconstruction": "rec",
    "direction": "dir",
    "resolution": "res",
    "density": "den",
    "description": "desc",
}
_SHORT = {
    "sub",
    "ses",
    "task",
    "acq",
    "ce",
    "rec",
    "dir",
    "run",
    "echo",
    "part",
    "cohort",
    "space",
    "res",
    "den",
    "desc",
}
_FIXED = {"datatype": ("func",), "suffix": ("bold",), "extension": ("nii", "nii.gz", ".nii", ".nii.gz")}
_NUMBERS = ("run", "echo")
_NATIVE = "(native)"


def read_filter(path: Path | None) -> Filter:
    """Read a filter file as fMRIPrep takes it; its entry ``bold`` is what counts.

    Parameters
    ----------
    path : Path or None
        A JSON file such as ``{"bold": {"session": "1", "acquisition": null, "direction": ["AP", "PA"]}}``: null means
        that the entity is absent, ``*`` that it is there. Names are pybids' (``acquisition``) or BIDS's (``acq``).

    Returns
    -------
    dict
        Empty without a file.

    Raises
    ------
    MissingInputError
        When there is no such file.
    UsageError
        When it is no JSON, has no entry ``bold``, or holds a name or a label that BIDS does not know.
    """
    if path is None:
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf8"))
    except OSError as error:
        raise MissingInputError(
            f"--bids-filter-file {path}: cannot be read ({error.strerror}); check the path"
        ) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--bids-filter-file {path}: not a JSON file: {error}") from error
    entry = content.get("bold") if isinstance(content, dict) else None
    if not isinstance(entry, dict):
        raise UsageError(f'--bids-filter-file {path}: there is no entry "bold", as in {{"bold": {{"session": "1"}}}}')
    wanted: Filter = {}
    for name, value in entry.items():
        values = tuple(_value(one, f"{path}: {name}") for one in (value if isinstance(value, list) else [value]))
        if name in _FIXED:
            if not set(values) & set(_FIXED[name]):
                raise UsageError(f"--bids-filter-file {path}: {name} must be {' or '.join(_FIXED[name][:2])}")
            continue
        key = _LONG.get(name, name)
        if key not in _SHORT:
            raise UsageError(
                f"--bids-filter-file {path}: no such entity: {name}; there are {', '.join(sorted(_SHORT))}"
            )
        wanted[key] = values
    return wanted


def _value(value: Any, where: str) -> str | None:  # noqa: ANN401 - whatever the JSON holds
    """Check one value of a filter."""
    if value is None or value == "*":
        return None if value is None else "*"
    text = str(value)
    if isinstance(value, bool) or not isinstance(value, str | int) or not is_label(text.replace(".", "")):
        raise UsageError(f"--bids-filter-file {where} is {value!r}: it must be a label, a list of labels, null or *")
    return text


def why_not(entities: Mapping[str, str], selection: Selection, wanted: Filter) -> str | None:
    """Say why an image is not asked for; None when it is.

    Numbers match with and without leading zeros, as in fMRIPrep.

    Parameters
    ----------
    entities : mapping
        Of the image.
    selection : Selection
        Sessions, tasks and runs that are asked for.
    wanted : dict
        As `read_filter` gives it.
    """
    asked: dict[str, tuple[str, ...]] = {"ses": selection.sessions, "task": selection.tasks, "run": selection.runs}
    for key, labels in asked.items():
        if labels and not _matches(key, entities.get(key), labels):
            return f"not asked for: {_told(key, entities)}"
    for key, values in wanted.items():
        if not _matches(key, entities.get(key), values):
            return f"not in the filter file: {_told(key, entities)}"
    return None


def _matches(key: str, label: str | None, values: tuple[str | None, ...]) -> bool:
    """Tell whether a label is one of those wanted."""
    if label is None:
        return None in values
    if key in _NUMBERS:
        return "*" in values or label.lstrip("0") in {value.lstrip("0") for value in values if value is not None}
    return "*" in values or label in values


def _told(key: str, entities: Mapping[str, str]) -> str:
    """Name an entity as a file name does, or say that it is absent."""
    return f"{key}-{entities[key]}" if key in entities else f"no {key}-"


def read_space(text: str | None) -> tuple[str | None, dict[str, str]]:
    """Take a space apart that is written as fMRIPrep writes it: ``MNIPediatricAsym:cohort-3:res-2``.

    Returns
    -------
    str or None
        The template.
    dict
        Its ``cohort`` and ``res``, as far as stated.

    Raises
    ------
    UsageError
        When anything else is stated.

    >>> read_space("MNIPediatricAsym:cohort-3")
    ('MNIPediatricAsym', {'cohort': '3'})
    """
    if text is None:
        return None, {}
    name, *modifiers = text.split(":")
    pairs = [modifier.partition("-") for modifier in modifiers]
    if not is_label(name) or any(key not in {"cohort", "res"} or not is_label(label) for key, _, label in pairs):
        raise UsageError(f"--space {text}: write a template's name, and after colons its cohort- or res-, if any")
    return name, {key: label for key, _, label in pairs}


def choose_image(images: list[Path], selection: Selection, atlas_space: str | None, *, any_space: bool) -> Path:
    """Choose among one run's images: the space asked for, else the atlas's own, and one resolution of it.

    Parameters
    ----------
    images : list of Path
        Preprocessed images of one run.
    selection : Selection
        ``space`` and ``res`` count.
    atlas_space : str or None
        The atlas's template.
    any_space : bool
        Take the only MNI152 space there is, whatever the atlas's.

    Raises
    ------
    RunError
        When that leaves no image, or several.
    """
    asked, modifiers = read_space(selection.space)
    spaces = sorted({_space(image) for image in images})
    wanted = asked or atlas_space
    if wanted is None or (any_space and asked is None and wanted not in spaces):
        standard = [space for space in spaces if space.startswith("MNI152")]
        if len(standard) != 1:
            raise RunError(f"images are in {', '.join(spaces)}: choose one with --space")
        wanted = standard[0]
    if wanted not in spaces:
        whose = "asked for with --space" if asked else "the atlas's space"
        raise RunError(
            f"no images in {wanted} ({whose}); there are {', '.join(spaces)}: choose another --space or --atlas "
            "(--force atlas-space uses an atlas of another template all the same)"
        )
    found = [image for image in images if _space(image) == wanted]
    for key, label in (modifiers | ({"res": selection.res} if selection.res is not None else {})).items():
        found = [image for image in found if entities_of(image).get(key) == label]
        if not found:
            option = "--res" if key == "res" else "--space"
            raise RunError(f"no images in {wanted} with {key}-{label}: choose another {option}")
    if len(found) > 1:
        raise RunError(f"several images in {wanted}: {', '.join(i.name for i in found)}: {_way_out(found, wanted)}")
    return found[0]


def _space(image: Path) -> str:
    """Name the space of an image; there is none in the name of one on the scanner's own grid."""
    return entities_of(image).get("space", _NATIVE)


def _way_out(images: list[Path], space: str) -> str:
    """Say how to choose among images of one space."""
    cohorts, resolutions = ({entities_of(image).get(key) for image in images} for key in ("cohort", "res"))
    if len(cohorts) > 1:
        return f"choose one with --space {space}:cohort-LABEL"
    return "choose one with --res" if len(resolutions) > 1 else "remove all but one"
