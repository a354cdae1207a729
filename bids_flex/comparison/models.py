"""The models of a call: the short form written out, files read, and small changes for sensitivity analyses."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_flex.bids.names import as_label
from bids_flex.comparison.short import short_documents
from bids_flex.content import is_deep
from bids_flex.errors import DatasetFileError, MissingInputError
from bids_flex.stats import GroupModel, Instruction, read_models

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from bids_flex.cohort import Cohort
    from bids_flex.config import GroupSettings


@dataclass(frozen=True, slots=True)
class Asked:
    """A model, and the BIDS Stats Models document that it was read from."""

    model: GroupModel
    document: dict[str, Any]


def find_models(asked: GroupSettings, cohort: Cohort, seed: int) -> tuple[Asked, ...]:
    """Read the models that a call names, in the order of the files, the short form first.

    Raises
    ------
    MissingInputError
        When a file is not there.
    DatasetFileError
        When one is no model, or two have the same name.
    UsageError
        When the short form names what the table does not have.
    """
    documents = [(document, "the short form") for document in short_documents(asked, cohort, seed)]
    documents += [(_read(Path(name)), name) for name in asked.models]
    found = [
        Asked(_with_covariates(model, cohort.covariates), document)
        for document, where in documents
        for model in read_models(document, where)
    ]
    # files are named after models, by letters and digits alone
    names = [as_label(one.model.name) for one in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DatasetFileError(f"two models have the name {', '.join(twice)}: give each its own Name")
    return tuple(found)


def _read(path: Path) -> dict[str, Any]:
    """Read a model's file."""
    try:
        document = json.loads(path.read_text(encoding="utf8"))
    except OSError as error:
        raise MissingInputError(f"--model {path} cannot be read ({error.strerror}): name a JSON file") from error
    except (ValueError, RecursionError) as error:
        raise DatasetFileError(f"{path} is not JSON ({error}): correct it") from error
    if not isinstance(document, dict) or is_deep(document):
        raise DatasetFileError(f"{path} holds no JSON object of a few levels: a BIDS Stats Models document is one")
    return document


def _with_covariates(model: GroupModel, names: Sequence[str]) -> GroupModel:
    """Add covariates that a model does not have yet, centred."""
    new = tuple(name for name in names if name not in model.predictors)
    if not new:
        return model
    return replace(
        model,
        predictors=(*model.predictors, *new),
        instructions=(*model.instructions, Instruction("Demean", new)),
    )


def adjusted(model: GroupModel, names: Sequence[str], called: str) -> GroupModel:
    """Give a model further covariates, and another name."""
    return replace(_with_covariates(model, names), name=f"{model.name}: {called}")


def without(model: GroupModel, names: Collection[str], called: str) -> GroupModel:
    """Take covariates out of a model; those that a contrast weighs stay.

    Parameters
    ----------
    model : GroupModel
        As read.
    names : collection of str
        Covariates that cannot be in it, because they are outcomes.
    called : str
        What the new model is about.
    """
    weighed = {condition for contrast in model.contrasts for condition in contrast.conditions}
    gone = set(names) - weighed
    instructions = tuple(
        replace(one, inputs=kept)
        for one in model.instructions
        if (kept := tuple(name for name in one.inputs if name not in gone))
    )
    predictors = tuple(name for name in model.predictors if name not in gone)
    return replace(model, predictors=predictors, instructions=instructions, name=f"{model.name}: {called}")


def require_people(bids_dir: Path) -> None:
    """Refuse models without participants.tsv, which says who is in which group.

    Raises
    ------
    MissingInputError
        When there is none.
    """
    path = bids_dir / "participants.tsv"
    if not path.is_file():
        raise MissingInputError(f"{path} is missing: BIDS_DIR must be the data set that holds participants.tsv")
