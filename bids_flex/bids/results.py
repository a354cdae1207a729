"""Our own derivatives read back: nothing else is needed for the group level."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bids_flex.errors import DatasetFileError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class RunResult:
    """The summary of one run and one engine.

    Attributes
    ----------
    path : Path
        The sidecar that it was read from; the tables lie beside it.
    entities : dict
        What names the run.
    summary : dict
        Content of the sidecar.
    """

    path: Path
    entities: dict[str, str]
    summary: dict[str, Any]


def read_sidecar(path: Path) -> dict[str, Any] | None:
    """Read a sidecar of ours; None when there is none, or when it is not whole."""
    try:
        content = json.loads(path.read_text(encoding="utf8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def read_sweeps(output_dir: Path) -> list[tuple[Path, dict[str, NDArray[np.float64]], dict[str, Any]]]:
    """Read the sweeps over resolution and coupling of all runs whose analysis is whole.

    Returns
    -------
    list of (Path, dict, dict)
        The table's file, its columns and what its sidecar says of the sweep.

    Raises
    ------
    DatasetFileError
        When one cannot be read.
    """
    import pandas as pd

    found = []
    for sidecar in sorted(output_dir.glob("sub-*/**/func/*_desc-multilayer_dynamics.json")):
        path = sidecar.with_name(sidecar.name.replace("_dynamics.json", "_sweep.tsv"))
        if not path.exists():
            continue
        facts = (read_sidecar(path.with_suffix(".json")) or {}).get("Sweep")
        if facts is None:
            raise DatasetFileError(f"{path} has no whole sidecar: run the participant level again")
        table = pd.read_csv(path, sep="\t", na_values=["n/a"])
        found.append((path, {name: table[name].to_numpy(dtype=float) for name in table.columns}, facts))
    return found
