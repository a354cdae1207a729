"""What goes with a run's images: confounds, mask, repetition time; the same for voxels, greyordinates and series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bids_flex.bids.index import index_participant
from bids_flex.bids.names import entities_of, join_entities
from bids_flex.content import why_absent
from bids_flex.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bids_flex.bids.index import Index

OUTPUT_ENTITIES = ("space", "cohort", "res", "den", "desc")
"""Entities that tell fMRIPrep's outputs of one run apart; all others name the run."""

TABLES = ("_timeseries.tsv", "_regressors.tsv")
"""How tables of confounds end: today's name, and that of before 20.2."""

GREYORDINATES = "_bold.dtseries.nii"
"""How series of greyordinates end."""


def run_entities(entities: Mapping[str, str]) -> dict[str, str]:
    """Keep the entities that name a run: those that tell fMRIPrep's outputs of it apart are left out."""
    return {key: label for key, label in entities.items() if key not in OUTPUT_ENTITIES}


def find_confounds(index: Index, bold: Path) -> tuple[Path, Path | None]:
    """Find the table of confounds of a run and its description, where there is one.

    Raises
    ------
    RunError
        When the table is missing or not unique, or one of the files is not here or unreadable.
    """
    # before 1.4 and in a few rewritten data sets the description of the confounds is another, or absent
    described_as = {"confounds", "preproc", None}
    ignored = set(OUTPUT_ENTITIES)
    confounds = find_one(index, entities_of(bold), "the confounds table", TABLES, described_as, ignored=ignored)
    described = confounds.with_suffix(".json")
    if told := index.broken_for(bold) or index.broken.get(described):
        raise RunError(told)
    require(confounds, *([described] if described.is_symlink() or described.exists() else []))
    return confounds, described if described.is_file() else None


def require(*files: Path) -> None:
    """Refuse a run of which a file is not here.

    Raises
    ------
    RunError
        Saying how to get the content.
    """
    for file in files:
        if told := why_absent(file):
            raise RunError(told)


def stated_tr(index: Index, bold: Path, bids_dir: Path) -> Any:  # noqa: ANN401 - whatever the JSON holds
    """Look the repetition time up in the sidecars, then in the raw data; None without any."""
    stated = index.repetition_time(bold)
    return raw_tr(bids_dir, index.root, entities_of(bold)) if stated is None else stated


def find_one(
    index: Index,
    entities: dict[str, str],
    what: str,
    endings: tuple[str, ...],
    descriptions: set[str | None],
    *,
    ignored: set[str],
) -> Path:
    """Find the one file that goes with an image, or say which files there are.

    Parameters
    ----------
    index : Index
        Of the participant.
    entities : dict
        Of the image.
    what : str
        How to call the file in a message.
    endings, descriptions : collections of str
        How its name ends, and which ``desc-`` it may have.
    ignored : set of str
        Entities of the image that need not agree.

    Raises
    ------
    RunError
        When there is none, or more than one.
    """
    wanted = {key: label for key, label in entities.items() if key not in ignored}
    found = []
    for path in index.paths:
        if path.name.endswith(endings):
            theirs = entities_of(path)
            # early derivatives wrote label-brain_mask
            described = theirs.pop("desc", theirs.pop("label", None))
            if theirs == wanted and described in descriptions:
                found.append(path)
    if len(found) == 1:
        return found[0]
    name = join_entities(wanted)
    if found:
        raise RunError(f"{what} of {name} is not unique: {', '.join(path.name for path in found)}: remove all but one")
    raise RunError(f"{what} of {name} is missing in {index.root}: run fMRIPrep again or restore the file")


def raw_tr(bids_dir: Path, root: Path, entities: dict[str, str]) -> Any:  # noqa: ANN401 - whatever the JSON holds
    """Look the repetition time up in the raw data set, where old derivatives do not repeat it; None without any.

    Raises
    ------
    RunError
        When a JSON file that states it cannot be read.
    """
    if bids_dir.resolve() == root or not (bids_dir / f"sub-{entities['sub']}").is_dir():
        return None
    index = index_participant(bids_dir.resolve(), entities["sub"])
    if index.unlisted:
        raise RunError(index.unlisted)
    named = run_entities(entities)
    for path in index.paths:
        # the echoes that fMRIPrep combined have one repetition time
        theirs = {key: label for key, label in entities_of(path).items() if key != "echo"}
        if theirs == named and path.name.endswith(("_bold.nii", "_bold.nii.gz")):
            if told := index.broken_for(path):
                raise RunError(told)
            return index.repetition_time(path)
    return None
