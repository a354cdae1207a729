"""Models of groups as BIDS Stats Models documents: read, checked, and written from the short form.

Nothing in a model is ever evaluated: names are looked up, weights are numbers or fractions.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from reprlib import repr as brief
from typing import TYPE_CHECKING, Any

from bids_flex.errors import DatasetFileError
from bids_flex.stats.design import make_design, parse_contrasts, variable
from bids_flex.stats.settings import Settings, read_settings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    import pandas as pd

VERSION = "1.0.0"
"""Of the BIDS Stats Models specification that is written."""

INSTRUCTIONS = {
    "Factor": {"Input"},
    "Demean": {"Input"},
    "Scale": {"Input", "Demean", "Rescale"},
    "Product": {"Input", "Output"},
}
"""Transformations that are understood, and their fields."""

# Fraction("1e999999999") would be worked out in full
_FRACTION = re.compile(r"\s*([+-]?\d{1,15})\s*/\s*(\d{1,15})\s*")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One transformation of the table's columns."""

    name: str
    inputs: tuple[str, ...]
    output: str = ""
    demean: bool = True
    rescale: bool = False


@dataclass(frozen=True, slots=True)
class ModelContrast:
    """A contrast: rows of weights over conditions; ``F`` or ``t``."""

    name: str
    conditions: tuple[str, ...]
    weights: tuple[tuple[float, ...], ...]
    test: str


@dataclass(frozen=True, slots=True)
class GroupModel:
    """One dataset-level node.

    Attributes
    ----------
    name : str
        Of the document and its node (``<model>`` alone, or ``<model>_<node>`` when there are several).
    predictors : tuple of str
        Columns of the design in order; ``1`` is the intercept. Patterns with ``*`` and ``?`` are allowed.
    contrasts : tuple of ModelContrast
        Tests to make.
    instructions : tuple of Instruction
        Transformations in order.
    settings : Settings
        What stands under ``Model.Software.bids_flex``.
    """

    name: str
    predictors: tuple[str, ...]
    contrasts: tuple[ModelContrast, ...]
    instructions: tuple[Instruction, ...] = ()
    settings: Settings = field(default_factory=Settings)


def read_models(document: Mapping[str, Any], where: str = "model") -> tuple[GroupModel, ...]:
    """Read a BIDS Stats Models document; every dataset-level node is a model of its own.

    Parameters
    ----------
    document : mapping
        The parsed JSON.
    where : str
        Its file, for messages.

    Raises
    ------
    DatasetFileError
        When the document is not valid, holds fields that nobody would heed, or asks for what is not done here.

    References
    ----------
    https://bids-standard.github.io/stats-models

    Examples
    --------
    >>> import pandas as pd
    >>> from bids_flex import stats
    >>> people = {"participant_id": ["sub-1", "sub-2", "sub-3", "sub-4"], "group": ["a", "a", "b", "b"]}
    >>> (model,) = stats.read_models(stats.short_model(pd.DataFrame(people), "group", contrasts=["b - a"]))
    >>> [contrast.name for contrast in model.contrasts]
    ['b - a']
    """
    from bsmschema.models import BIDSStatsModel
    from pydantic import ValidationError

    try:
        valid = BIDSStatsModel.model_validate(document)
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:5])
        raise DatasetFileError(f"{where} is no BIDS Stats Model: {told}") from error
    unknown = list(_unknown(document, valid.model_dump(exclude_unset=True)))
    if unknown:
        raise DatasetFileError(f"{where}: BIDS Stats Models know no {', '.join(unknown)}: correct or remove it")
    nodes = valid.Nodes
    if not nodes:
        raise DatasetFileError(f"{where} has no nodes: add one of level Dataset")
    if valid.Edges:
        raise DatasetFileError(f"{where}: Edges join nodes of several levels; here every Dataset node stands alone")
    if valid.Input:
        raise DatasetFileError(
            f"{where}: Input ({', '.join(valid.Input)}) would not be heeded, since runs are chosen at the participant "
            "level (--task-id, --run-id, --session-label): remove it"
        )
    names = [node.Name for node in nodes]
    if len(set(names)) < len(names):
        raise DatasetFileError(f"{where}: two nodes have one name ({', '.join(sorted(names))})")
    titles = [valid.Name if len(nodes) == 1 else f"{valid.Name}_{node.Name}" for node in nodes]
    return tuple(_node(node, title, where) for node, title in zip(nodes, titles, strict=True))


def _unknown(given: Any, kept: Any, path: str = "") -> Iterator[str]:  # noqa: ANN401 - any JSON
    """Name the fields that validation let pass without reading them."""
    if isinstance(given, dict) and isinstance(kept, dict):
        for key, value in given.items():
            here = f"{path}.{key}" if path else str(key)
            if key not in kept:
                yield here
            else:
                yield from _unknown(value, kept[key], here)
    elif isinstance(given, list) and isinstance(kept, list):
        for place, (one, other) in enumerate(zip(given, kept, strict=True)):
            yield from _unknown(one, other, f"{path}[{place}]")


def _node(node: Any, title: str, where: str) -> GroupModel:  # noqa: ANN401 - bsmschema's Node
    """Read one node and refuse what is not done here."""
    here = f"{where}, node {node.Name}"
    refused = {
        f"level {node.Level} (only Dataset)": node.Level != "Dataset",
        f"type {node.Model.Type} (only glm)": node.Model.Type != "glm",
        f"GroupBy {node.GroupBy} (leave it empty)": bool(set(node.GroupBy) - {"contrast"}),
        "Formula (list the columns in X: no formula is evaluated)": node.Model.Formula is not None,
        "HRF": node.Model.HRF is not None,
        "Options": node.Model.Options is not None,
    }
    if asked := [what for what, is_asked in refused.items() if is_asked]:
        raise DatasetFileError(f"{here}: no {'; no '.join(asked)}")
    software = node.Model.Software or {}
    if others := sorted(set(software) - {"bids_flex"}):
        raise DatasetFileError(f"{here}: Software settings of {', '.join(others)} would not be heeded: remove them")
    instructions = tuple(
        _instruction(one, here) for one in (node.Transformations.Instructions if node.Transformations else ())
    )
    predictors = tuple(str(one) for one in node.Model.X)
    if len(set(predictors)) < len(predictors):
        raise DatasetFileError(f"{here}: X names a column twice")
    contrasts = tuple(_contrasts(node, predictors, here))
    names = [one.name for one in contrasts]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DatasetFileError(f"{here}: two contrasts have the name {', '.join(twice)}")
    if not contrasts:
        raise DatasetFileError(f"{here}: no contrast, so nothing to test: add Contrasts or DummyContrasts")
    settings = read_settings(software.get("bids_flex", {}), f"{here}, Software.bids_flex")
    return GroupModel(title, predictors, contrasts, instructions, settings)


def _instruction(given: Any, here: str) -> Instruction:  # noqa: ANN401 - any JSON
    """Read one transformation."""
    name = given.get("Name") if isinstance(given, dict) else None
    if not isinstance(name, str) or name not in INSTRUCTIONS:
        told = f"transformation {brief(name)} is not known; there are {', '.join(INSTRUCTIONS)}"
        raise DatasetFileError(f"{here}: {told}")
    if unknown := sorted(set(given) - INSTRUCTIONS[name] - {"Name"}):
        raise DatasetFileError(f"{here}: {name} knows no {', '.join(unknown)}")
    inputs = given.get("Input")
    if not isinstance(inputs, list) or not inputs or not all(isinstance(one, str) for one in inputs):
        raise DatasetFileError(f"{here}: {name} needs Input, a list of names")
    switches = {key: given.get(key, True) for key in ("Demean", "Rescale")} if name == "Scale" else {}
    if not all(isinstance(value, bool) for value in switches.values()):
        raise DatasetFileError(f"{here}: Demean and Rescale of Scale are true or false")
    output = given.get("Output", "")
    if name == "Product" and not (isinstance(output, str) and output and len(inputs) > 1):
        raise DatasetFileError(f"{here}: Product needs two or more names in Input and one name as Output")
    return Instruction(name, tuple(inputs), output, switches.get("Demean", True), switches.get("Rescale", False))


def _contrasts(node: Any, predictors: tuple[str, ...], here: str) -> Iterator[ModelContrast]:  # noqa: ANN401
    """Read the contrasts, dummy contrasts included."""
    for one in node.Contrasts or ():
        conditions = tuple(str(name) for name in one.ConditionList)
        rows = one.Weights if one.Weights and isinstance(one.Weights[0], list) else [one.Weights]
        weights = tuple(tuple(_number(value, one.Name, here) for value in row) for row in rows)
        if any(len(row) != len(conditions) for row in weights):
            raise DatasetFileError(f"{here}: contrast {one.Name} needs one weight for each of its conditions")
        if one.Test == "t" and len(weights) > 1:
            raise DatasetFileError(f"{here}: contrast {one.Name} has {len(weights)} rows: write F, or one row")
        yield ModelContrast(one.Name, conditions, weights, _test(one.Test, one.Name, here))
    if node.DummyContrasts:
        for name in node.DummyContrasts.Contrasts or predictors:
            test = _test(node.DummyContrasts.Test, "of DummyContrasts", here)
            yield ModelContrast(str(name), (str(name),), ((1.0,),), test)


def _test(test: str, name: str, here: str) -> str:
    """Refuse contrasts that are not tested."""
    if test == "pass":
        raise DatasetFileError(f"{here}: contrast {name} asks for no test (pass): write t or F, or remove it")
    return test


def _number(value: Any, name: str, here: str) -> float:  # noqa: ANN401 - any JSON
    """Read a weight: a number, or a fraction such as ``1/3``."""
    found = _FRACTION.fullmatch(value) if isinstance(value, str) else None
    try:
        number = int(found[1]) / int(found[2]) if found else float(value)
        if not math.isfinite(number):
            raise ValueError("not finite")
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        told = f"weight {brief(value)} of contrast {name} is no number and no fraction"
        raise DatasetFileError(f"{here}: {told}") from error
    return number


def short_model(
    table: pd.DataFrame,
    factor: str,
    covariates: Sequence[str] = (),
    contrasts: Sequence[str] = (),
    categorical: Collection[str] = (),
    name: str = "",
    settings: Settings | None = None,
) -> dict[str, Any]:
    """Write the BIDS Stats Models document that the short form stands for.

    Parameters
    ----------
    table, factor, covariates, contrasts, categorical
        As in :func:`make_design` and :func:`parse_contrasts`.
    name : str
        Of the model; the factor's by default.
    settings : Settings, optional
        Written under ``Software.bids_flex``.

    Returns
    -------
    dict
        Reading it with :func:`read_models` and building its design gives what :func:`make_design` gives.

    Examples
    --------
    >>> import pandas as pd
    >>> people = {"participant_id": ["sub-1", "sub-2", "sub-3", "sub-4"], "group": ["a", "a", "b", "b"]}
    >>> document = short_model(pd.DataFrame(people), "group", contrasts=["b - a"])
    >>> document["Nodes"][0]["Model"]["X"]
    ['group.a', 'group.b']
    """
    asked = settings or Settings()
    kept = asked.select(table)
    design = make_design(kept, factor, covariates, categorical)
    names = [variable(factor, level) for level in design.levels]
    adjusting = list(design.columns[len(names) :])
    coded = [one for one in covariates if one not in design.columns]
    instructions: list[dict[str, Any]] = [{"Name": "Factor", "Input": [factor, *coded]}]
    if adjusting:
        instructions.append({"Name": "Demean", "Input": adjusting})
    told: list[dict[str, Any]] = []
    if len(names) > 2:
        rows = design.omnibus()[:, : len(names)].astype(int).tolist()
        told.append({"Name": "omnibus", "ConditionList": names, "Weights": rows, "Test": "F"})
    for text, row in parse_contrasts(design, contrasts).items():
        weights = {one: int(value) for one, value in zip(names, row, strict=False) if value}
        told.append({"Name": text, "ConditionList": list(weights), "Weights": list(weights.values()), "Test": "t"})
    node = {
        "Level": "Dataset",
        "Name": "dataset",
        "GroupBy": [],
        "Transformations": {"Transformer": "pybids-transforms-v1", "Instructions": instructions},
        "Model": {"Type": "glm", "X": [*names, *adjusting], "Software": {"bids_flex": asked.document()}},
        "Contrasts": told,
    }
    return {"Name": name or factor, "BIDSModelVersion": VERSION, "Nodes": [node]}
