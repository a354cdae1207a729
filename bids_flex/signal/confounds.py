"""Confounds: which of fMRIPrep's columns a strategy takes, and which volumes are censored."""

from __future__ import annotations

from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bids_flex.errors import DatasetFileError, MissingInputError, RunError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

Terms = Literal["", "basic", "power2", "derivatives", "full"]

MOTION = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
EXPANSIONS: dict[str, tuple[str, ...]] = {
    "": (),
    "basic": ("",),
    "power2": ("", "_power2"),
    "derivatives": ("", "_derivative1"),
    "full": ("", "_derivative1", "_power2", "_derivative1_power2"),
}
"""Columns that fMRIPrep derives from a basic one, by the names that nilearn gives the choices."""

COSINE_HZ = 1 / 128
"""Frequency below which fMRIPrep's cosine terms model drift."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """Which confounds are regressed out; read from a TOML file.

    Attributes
    ----------
    name, description : str
        What it is called, and what it does in a sentence for the methods section.
    citations : tuple of str
        DOIs.
    motion, white_matter, csf, global_signal : {"", "basic", "power2", "derivatives", "full"}
        The columns themselves, with squares, with derivatives, or with all of them.
    compcor_components : int
        Number of anatomical CompCor components, each of white matter and cerebrospinal fluid.
    cosines : bool
        fMRIPrep's drift terms; they are left out when the filter removes those frequencies anyway.
    """

    name: str
    description: str = ""
    citations: tuple[str, ...] = ()
    motion: Terms = ""
    white_matter: Terms = ""
    csf: Terms = ""
    global_signal: Terms = ""
    compcor_components: int = 0
    cosines: bool = False


def strategy_names() -> tuple[str, ...]:
    """List the strategies that ship with bids_flex."""
    folder = resources.files("bids_flex.data").joinpath("strategies")
    return tuple(sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml")))


def load_strategy(choice: str) -> Strategy:
    """Load a strategy by name or from a TOML file.

    Raises
    ------
    MissingInputError
        When there is no such strategy.
    DatasetFileError
        When the file is wrong; the message names the entry.
    """
    import tomllib

    if choice in strategy_names():
        text = resources.files("bids_flex.data").joinpath("strategies", f"{choice}.toml").read_text(encoding="utf8")
    elif choice.endswith(".toml") and Path(choice).is_file():
        text = Path(choice).read_text(encoding="utf8")
    else:
        raise MissingInputError(f"there is no strategy {choice!r}: name {', '.join(strategy_names())} or a .toml file")
    try:
        return _strategy(tomllib.loads(text), choice)
    except tomllib.TOMLDecodeError as error:
        raise DatasetFileError(f"{choice} is not a TOML file: {error}") from error


def _strategy(table: dict[str, Any], source: str) -> Strategy:
    """Check the entries of a strategy."""
    known = {field.name for field in fields(Strategy)}
    if unknown := sorted(set(table) - known):
        raise DatasetFileError(f"{source}: no such entry: {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    for name in ("motion", "white_matter", "csf", "global_signal"):
        if table.get(name, "") not in EXPANSIONS:
            raise DatasetFileError(
                f"{source}: {name} is {table[name]!r}; it must be {', '.join(map(repr, EXPANSIONS))}"
            )
    components = table.get("compcor_components", 0)
    if type(components) is not int or components < 0:
        raise DatasetFileError(f"{source}: compcor_components is {components!r}; it must be a whole number from 0")
    if not isinstance(table.get("name"), str) or not table["name"]:
        raise DatasetFileError(f"{source}: a strategy needs a name")
    return Strategy(**{**table, "citations": tuple(table.get("citations", ()))})


def read_confounds(path: Path) -> pd.DataFrame:
    """Read fMRIPrep's table of confounds.

    Raises
    ------
    RunError
        When it cannot be read or holds text.
    """
    import pandas as pd

    try:
        table = pd.read_csv(path, sep="\t", na_values=["n/a"])
    except (ValueError, OSError) as error:
        raise RunError(f"{path.name} is not a table of tab-separated values ({error}): restore the file") from error
    text = [str(column) for column in table if not pd.api.types.is_numeric_dtype(table[column])]
    if text:
        raise RunError(
            f"{path.name}: columns {', '.join(text[:5])} hold text where numbers are needed: restore the file"
        )
    return table


def select_confounds(
    table: pd.DataFrame, metadata: dict[str, Any], strategy: Strategy, source: str, high_pass_hz: float
) -> pd.DataFrame:
    """Take the columns that a strategy asks for.

    Parameters
    ----------
    table : pandas.DataFrame
        All confounds, (T, columns).
    metadata : dict
        Content of the JSON file beside the table; it tells which mask a CompCor component comes from.
    strategy : Strategy
        What to take.
    source : str
        Name of the file, for messages.
    high_pass_hz : float
        Lower edge of the band; cosine terms are left out when it is above 1/128 Hz.

    Returns
    -------
    pandas.DataFrame
        Columns without missing values; derivatives, which have none in the first volume, repeat the second.

    Raises
    ------
    RunError
        When columns are missing, or hold missing values after the first volume.
    """
    wanted = [name + ending for name in MOTION for ending in EXPANSIONS[strategy.motion]]
    for name in ("white_matter", "csf", "global_signal"):
        wanted += [name + ending for ending in EXPANSIONS[getattr(strategy, name)]]
    missing = [name for name in wanted if name not in table]
    if missing:
        raise RunError(
            f"{source} lacks {', '.join(missing[:6])}{', ...' if len(missing) > 6 else ''}, which strategy "
            f"{strategy.name} needs: choose another --denoise or run fMRIPrep again"
        )
    wanted += _compcor(table, metadata, strategy, source)
    if (strategy.cosines or strategy.compcor_components) and high_pass_hz < COSINE_HZ:
        wanted += [str(name) for name in table if str(name).startswith("cosine")]
    chosen = table[wanted].astype(float)
    chosen.iloc[:1] = chosen.iloc[:1].fillna(chosen.iloc[1])
    holes = [name for name in wanted if chosen[name].isna().any()]
    if holes:
        row = int(np.flatnonzero(chosen[holes[0]].isna())[0]) + 1
        raise RunError(f"{source}: column {holes[0]} has no value in row {row} (and {len(holes) - 1} other columns)")
    return chosen


def _compcor(table: pd.DataFrame, metadata: dict[str, Any], strategy: Strategy, source: str) -> list[str]:
    """Find the first components of white matter and cerebrospinal fluid, by what the JSON file says of their masks."""
    count = strategy.compcor_components
    if count == 0:
        return []
    found: list[str] = []
    for mask, prefix in (("WM", "w_comp_cor_"), ("CSF", "c_comp_cor_")):
        told = [
            name
            for name, entry in metadata.items()
            if isinstance(entry, dict) and entry.get("Method") == "aCompCor" and entry.get("Mask") == mask
        ]
        # since 21.0 the name tells the mask; before, only the JSON file did
        names = sorted(name for name in told or map(str, table) if name in table and (told or name.startswith(prefix)))
        if len(names) < count:
            raise RunError(
                f"{source}: {len(names)} CompCor components of {mask} are described, strategy {strategy.name} needs "
                f"{count}: choose another --denoise, or restore the JSON file beside the table"
            )
        found += names[:count]
    return found


def non_steady_state_count(table: pd.DataFrame) -> int:
    """Count the volumes at the start of a run before the signal is in steady state."""
    marked = [name for name in table if str(name).startswith("non_steady_state_outlier")]
    if not marked:
        return 0
    return int(np.flatnonzero(table[marked].to_numpy().any(axis=1)).max(initial=-1)) + 1


def framewise_displacement(table: pd.DataFrame) -> NDArray[np.float64]:
    """Take framewise displacement in mm, shape (T,); NaN in the first volume, and everywhere without the column."""
    return _optional(table, "framewise_displacement")


def std_dvars(table: pd.DataFrame) -> NDArray[np.float64]:
    """Take standardised DVARS, shape (T,); NaN in the first volume, and everywhere without the column."""
    return _optional(table, "std_dvars")


def _optional(table: pd.DataFrame, name: str) -> NDArray[np.float64]:
    if name not in table:
        return np.full(len(table), np.nan)
    return table[name].to_numpy(dtype=np.float64)


def keep_mask(table: pd.DataFrame, fd_threshold_mm: float, dvars_threshold: float, source: str) -> NDArray[np.bool_]:
    """Tell which volumes are kept: those not above either threshold. The first, which has no value, is kept.

    Raises
    ------
    RunError
        When the table has neither of the columns.
    """
    fd, dvars = framewise_displacement(table), std_dvars(table)
    if np.isnan(fd).all() and np.isnan(dvars).all():
        raise RunError(f"{source} has neither framewise_displacement nor std_dvars: volumes cannot be censored")
    return ~((fd > fd_threshold_mm) | (dvars > dvars_threshold))
