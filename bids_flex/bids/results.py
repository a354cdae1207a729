"""Our own derivatives read back: nothing else is needed for the group level."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bids_flex.bids.names import entities_of
from bids_flex.errors import DatasetFileError, MissingInputError, NoMatchError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pandas as pd
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
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def engines_there(output_dir: Path) -> tuple[str, ...]:
    """Name the engines that have left results, sorted."""
    found = output_dir.glob("sub-*/**/func/*_desc-*_dynamics.json")
    return tuple(sorted({entities_of(path)["desc"] for path in found}))


def read_results(output_dir: Path, engine: str) -> tuple[RunResult, ...]:
    """Read the summaries of all runs that one engine has analysed.

    Raises
    ------
    NoMatchError
        When there is none.
    DatasetFileError
        When one cannot be read, or runs were analysed with different settings.
    """
    found = []
    for path in sorted(output_dir.glob(f"sub-*/**/func/*_desc-{engine}_dynamics.json")):
        summary = read_sidecar(path)
        if summary is None or "Global" not in summary:
            raise DatasetFileError(f"{path} is not a whole sidecar of bids_flex: run the participant level again")
        found.append(RunResult(path, entities_of(path), summary))
    if not found:
        if others := engines_there(output_dir):
            raise NoMatchError(
                f"no results of the engine {engine} in {output_dir}: there are some of {', '.join(others)}; "
                "choose it with --primary-engine, or run the participant level with both"
            )
        raise NoMatchError(f"no results of the participant level in {output_dir}: run it first, into the same folder")
    _refuse_mixture(found)
    return tuple(found)


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


def _refuse_mixture(found: list[RunResult]) -> None:
    """Refuse runs that were analysed with different settings: their measures cannot be compared."""
    by_hash: dict[str, list[str]] = {}
    for result in found:
        by_hash.setdefault(str(result.summary.get("SettingsHash")), []).append(result.path.name)
    if len(by_hash) > 1:
        told = "; ".join(f"{len(names)} runs with {key} (such as {names[0]})" for key, names in by_hash.items())
        raise DatasetFileError(f"runs were analysed with different settings: {told}: keep one kind in this folder")


def read_participants(bids_dir: Path) -> tuple[pd.DataFrame, dict[str, dict[str, Any]]]:
    """Read participants.tsv and its data dictionary.

    Returns
    -------
    pandas.DataFrame
        Text in every column, missing where the file says ``n/a``; column ``participant_id`` without ``sub-``.
    dict
        Description of the columns; empty without participants.json.

    Raises
    ------
    MissingInputError, DatasetFileError
        When the file is absent, unreadable, or names a participant twice.
    """
    import pandas as pd

    path = bids_dir / "participants.tsv"
    if not path.is_file():
        raise MissingInputError(f"{path} is missing: BIDS_DIR must be the data set that holds participants.tsv")
    try:
        table = pd.read_csv(path, sep="\t", dtype=str, na_values=["n/a"], keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, OSError) as error:
        raise DatasetFileError(f"{path} is not a table of tab-separated values: {error}") from error
    if "participant_id" not in table.columns:
        raise DatasetFileError(f"{path} has no column participant_id; it has {', '.join(table.columns)}")
    table["participant_id"] = table["participant_id"].str.removeprefix("sub-")
    twice = sorted(table.loc[table["participant_id"].duplicated(), "participant_id"].unique())
    if twice:
        raise DatasetFileError(f"{path} has more than one row for {', '.join(twice)}: keep one of them")
    described = read_sidecar(path.with_suffix(".json")) or {}
    return table, {name: entry for name, entry in described.items() if isinstance(entry, dict)}


def read_communities(result: RunResult) -> pd.DataFrame:
    """Read the labels of one run: windows by regions, missing where a region was not searched."""
    import pandas as pd

    path = result.path.with_name(result.path.name.replace("_dynamics.json", "_communities.tsv"))
    table = pd.read_csv(path, sep="\t", na_values=["n/a"])
    return table.drop(columns=["onset", "duration", "kept_frames"])
