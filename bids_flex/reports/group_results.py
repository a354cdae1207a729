"""A model's results as the group page needs them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_flex.bids.results import read_sidecar
from bids_flex.errors import DatasetFileError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from bids_flex.bids.atlases import KeptAtlas

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ModelResults:
    """What a model has left in ``group``.

    Attributes
    ----------
    folder : Path
        ``group``.
    stem : str
        ``model-NAME``.
    told : dict
        ``model-NAME.json``.
    document : dict
        The BIDS Stats Models document.
    atlas : KeptAtlas or None
        That regions are drawn on.
    """

    folder: Path
    stem: str
    told: dict[str, Any]
    document: dict[str, Any]
    atlas: KeptAtlas | None

    def table(self, name: str) -> pd.DataFrame:
        """Read one of the model's tables.

        Raises
        ------
        DatasetFileError
            When it is missing or not whole.
        """
        return read_table(self.folder / f"{self.stem}_stat-{name}.tsv")

    @property
    def primary(self) -> str:
        """The primary engine."""
        return str(self.told["PrimaryEngine"])


def read_table(path: Path, words: Sequence[str] = ()) -> pd.DataFrame:
    """Read a table of ours; labels of participants and sessions stay text, and so do the columns that are named.

    Raises
    ------
    DatasetFileError
        When it is missing or not whole.
    """
    import pandas as pd

    text = dict.fromkeys(("participant_id", "session", "run", "network", "region", "reason", "missing", *words), str)
    try:
        return pd.read_csv(path, sep="\t", na_values=["n/a"], keep_default_na=False, dtype=text)
    except (OSError, ValueError) as error:
        raise DatasetFileError(f"{path} cannot be read ({error}): run the group level again") from error


def rows_of(table: pd.DataFrame) -> list[Any]:
    """List the rows of a table as tuples with names."""
    return list(table.itertuples())


def find_models(folder: Path, atlas: KeptAtlas | None) -> list[ModelResults]:
    """List the models that have results, sorted by name; one without its last file is not whole, and not listed."""
    found = []
    for path in sorted(folder.glob("model-*_smdl.json")):
        stem = path.name.removesuffix("_smdl.json")
        told, document = read_sidecar(folder / f"{stem}.json"), read_sidecar(path)
        if told is not None and document is not None:
            found.append(ModelResults(folder, stem, told, document, atlas))
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Who is in which group of a model, and what is adjusted for.

    Attributes
    ----------
    names : tuple of str
        Levels of the model's first factor; one name for all where it has none.
    members : ndarray of int, shape (n,)
        Place of each row's level.
    covariates : ndarray, shape (n, q)
        The design's other columns, and the factor's, whose effects stay, in ``factor``.
    factor : ndarray, shape (n, k)
        The design's columns of the factor; of ones where it has none.
    """

    names: tuple[str, ...]
    members: NDArray[np.int64]
    covariates: Floats
    factor: Floats

    def adjusted(self, values: Floats) -> Floats:
        """Take the covariates' effects out of values (n,), their mean left in; NaN stays."""
        there = np.isfinite(values)
        design = np.column_stack([self.factor, self.covariates])[there]
        weights = np.linalg.lstsq(design, values[there], rcond=None)[0][self.factor.shape[1] :]
        out = np.full(len(values), np.nan)
        centred = self.covariates - self.covariates.mean(axis=0)
        out[there] = values[there] - centred[there] @ weights
        return out


def groups_of(model: ModelResults) -> Groups:
    """Tell the groups of a model from its design and document."""
    design = model.table("design")
    matrix = design[[name for name in design.columns if name not in {"participant_id", "session"}]]
    factor = _first_factor(model.document)
    own = [name for name in matrix.columns if factor and name.startswith(f"{factor}.")]
    rest = matrix[[name for name in matrix.columns if name not in own]].to_numpy(dtype=float)
    if len(own) < 2 or not (matrix[own].sum(axis=1) == 1).all():
        ones = np.ones((len(matrix), 1))
        return Groups(("everybody",), np.zeros(len(matrix), dtype=np.int64), matrix.to_numpy(dtype=float), ones)
    members = matrix[own].to_numpy(dtype=float).argmax(axis=1)
    return Groups(
        tuple(name.removeprefix(f"{factor}.") for name in own), members, rest, matrix[own].to_numpy(dtype=float)
    )


def _first_factor(document: dict[str, Any]) -> str:
    """Name the column whose levels a model compares: the first that is made a factor."""
    for node in document.get("Nodes", []):
        for one in node.get("Transformations", {}).get("Instructions", []):
            if one.get("Name") == "Factor" and one.get("Input"):
                return str(one["Input"][0])
    return ""
