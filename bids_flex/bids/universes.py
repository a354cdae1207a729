"""The table of universes of a multiverse: what each has chosen, and where its data set lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bids_flex.bids.outputs import write_table
from bids_flex.bids.results import read_sidecar
from bids_flex.errors import DatasetFileError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

TABLE = "universes.tsv"
FOLDER = "universes"
HASH_LENGTH = 8
"""Digits of the settings' hash that name a universe; its data set lies in a folder of that name."""

NAME = {
    "LongName": "Universe",
    "Description": "First eight digits of the hash of its settings (SettingsHash of its sidecars), and name of its "
    "folder in universes",
}


@dataclass(frozen=True, slots=True)
class UniverseTable:
    """The universes of an output folder.

    Attributes
    ----------
    names : tuple of str
        Of the universes, in the order of the grid.
    choices : tuple of str
        What they differ in.
    levels : tuple of dict
        For each universe, what it has chosen; a choice that its engine does not know is absent.
    """

    names: tuple[str, ...]
    choices: tuple[str, ...]
    levels: tuple[dict[str, str], ...]


def universe_folder(output_dir: Path, name: str) -> Path:
    """Name the folder of a universe's data set."""
    return output_dir / FOLDER / name


def write_universes(output_dir: Path, table: UniverseTable, extra: Mapping[str, Any]) -> None:
    """Write the table of universes.

    Raises
    ------
    OutputError
        When the disk refuses.
    """
    import pandas as pd

    columns = {name: [levels.get(name) for levels in table.levels] for name in table.choices}
    described = {"universe": NAME, **choice_columns(table.choices)}
    write_table(output_dir / TABLE, pd.DataFrame({"universe": list(table.names), **columns}), extra, described)


def choice_columns(choices: Sequence[str]) -> dict[str, dict[str, str]]:
    """Describe the columns of choices."""
    return {
        name: {
            "LongName": name.replace("_", " ").capitalize(),
            "Description": f"What the universe has chosen, as --{name.replace('_', '-')} of the command line (of its "
            "engine); n/a where its engine has no such choice",
        }
        for name in choices
    }


def read_universes_table(output_dir: Path) -> UniverseTable | None:
    """Read the table of universes; None when the folder holds no multiverse.

    Raises
    ------
    DatasetFileError
        When it is not whole.
    """
    import pandas as pd

    path = output_dir / TABLE
    if not path.exists():
        return None
    try:
        table = pd.read_csv(path, sep="\t", dtype=str, na_values=["n/a"], keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DatasetFileError(f"{path} cannot be read ({error}): run the participant level again") from error
    names = table.get("universe", pd.Series(dtype=str))
    sound = names.str.fullmatch(rf"[0-9a-f]{{{HASH_LENGTH}}}").fillna(value=False)
    if not len(names) or not sound.all() or names.duplicated().any() or "engine" not in table:
        raise DatasetFileError(f"{path} is not a whole table of universes: run the participant level again")
    choices = tuple(name for name in table.columns if name != "universe")
    levels = tuple(
        {name: str(row[name]) for name in choices if isinstance(row[name], str)} for row in table.to_dict("records")
    )
    return UniverseTable(tuple(names), choices, levels)


def universes_facts(output_dir: Path) -> dict[str, Any]:
    """Read what the sidecar of the table says of the grid."""
    return read_sidecar((output_dir / TABLE).with_suffix(".json")) or {}
