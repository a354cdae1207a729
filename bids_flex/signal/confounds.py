"""Confounds: fMRIPrep's table, and which of its columns a strategy takes."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_flex.content import why_too_wide
from bids_flex.errors import RunError
from bids_flex.signal.strategies import EXPANSIONS
from bids_flex.words import counted

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from bids_flex.signal.strategies import Strategy

MOTION = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")

LARGEST = 1e100
"""No confound is as large; sums of squares of larger values overflow."""

COSINE_HZ = 1 / 128
"""Frequency below which fMRIPrep's cosine terms model drift."""


def read_confounds(path: Path) -> pd.DataFrame:
    """Read fMRIPrep's table of confounds.

    Raises
    ------
    RunError
        When it cannot be read, its rows are longer than its header, or it holds text.
    """
    import pandas as pd

    if told := why_too_wide(path):
        raise RunError(f"{told}: restore the file")
    try:
        table = pd.read_csv(path, sep="\t", na_values=["n/a"])
    except (ValueError, OSError) as error:
        raise RunError(f"{path.name} is not a table of tab-separated values ({error}): restore the file") from error
    if not isinstance(table.index, pd.RangeIndex):
        # the reader would take the first values of each row for its name, and all others for those of other columns
        raise RunError(f"{path.name} has rows with more values than its header has names: restore the file")
    text = [str(name) for name in table if table[name].dtype == bool or not pd.api.types.is_numeric_dtype(table[name])]
    if text:
        raise RunError(
            f"{path.name}: columns {', '.join(text[:5])} hold text where numbers are needed: restore the file"
        )
    return table


def join_confounds(table: pd.DataFrame, other: pd.DataFrame, source: str) -> pd.DataFrame:
    """Put further columns, such as those of fMRIPost-AROMA, beside fMRIPrep's.

    Parameters
    ----------
    table, other : pandas.DataFrame
        Of the same run, (T, columns).
    source : str
        Name of the other file, for messages.

    Raises
    ------
    RunError
        When they differ in length, or in the values of a column that both have.

    Examples
    --------
    >>> import pandas as pd
    >>> joined = join_confounds(pd.DataFrame({"csf": [1.0, 2.0]}), pd.DataFrame({"mine": [0.0, 1.0]}), "example")
    >>> list(joined)
    ['csf', 'mine']
    """
    if len(other) != len(table):
        raise RunError(f"{source} has {len(other)} rows, fMRIPrep's table of confounds {len(table)}: not the same run")
    both = [name for name in other if name in table]
    differ = [str(name) for name in both if not np.allclose(other[name], table[name], rtol=1e-5, equal_nan=True)]
    if differ:
        raise RunError(
            f"{source}: columns {', '.join(differ[:5])} are in fMRIPrep's table too, with other values: rename them"
        )
    return table.join(other.drop(columns=both))


def select_confounds(
    table: pd.DataFrame, metadata: dict[str, Any], strategy: Strategy, source: str, high_pass_hz: float, skip: int = 0
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
    skip : int
        Volumes at the start that will be dropped; they may lack values.

    Returns
    -------
    pandas.DataFrame
        Columns without missing values; derivatives, which have none in the first volume, repeat the second.

    Raises
    ------
    RunError
        When columns are missing, hold missing values after the first volume, or absurd ones.

    Examples
    --------
    >>> import pandas as pd
    >>> from bids_flex import signal
    >>> rng = np.random.default_rng(0)
    >>> moves = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
    >>> endings = ("", "_derivative1", "_power2", "_derivative1_power2")
    >>> names = [move + ending for move in moves for ending in endings]
    >>> table = pd.DataFrame(rng.standard_normal((9, 26)), columns=[*names, "csf", "white_matter"])
    >>> signal.select_confounds(table, {}, signal.load_strategy("24P+2P"), "example", high_pass_hz=0.01).shape
    (9, 26)
    """
    wanted = [name + ending for name in MOTION for ending in EXPANSIONS[strategy.motion]]
    for name in ("white_matter", "csf", "global_signal"):
        wanted += [name + ending for ending in EXPANSIONS[getattr(strategy, name)]]
    if len(table) <= max(1, skip):
        raise RunError(
            f"{source} has {counted(len(table), 'row')}, {skip} of them not in steady state: nothing is left"
        )
    missing = [name for name in wanted if name not in table]
    if missing:
        raise RunError(
            f"{source} lacks {', '.join(missing[:6])}{', ...' if len(missing) > 6 else ''}, which strategy "
            f"{strategy.name} needs: choose another --denoise or run fMRIPrep again"
        )
    wanted += _matching(table, strategy, source)
    wanted += _compcor(table, metadata, strategy, source)
    if (strategy.cosines or strategy.compcor_components or strategy.compcor_variance) and high_pass_hz < COSINE_HZ:
        wanted += [str(name) for name in table if str(name).startswith("cosine")]
    chosen = table[list(dict.fromkeys(wanted))].astype(float)
    absurd = chosen.abs() > LARGEST
    if absurd.any(axis=None):
        row, place = (int(number) for number in np.argwhere(absurd.to_numpy())[0])
        raise RunError(
            f"{source}: column {chosen.columns[place]} is {chosen.to_numpy()[row, place]:g} in row {row + 1}, which no "
            "confound can be: restore the file, or run fMRIPrep again"
        )
    first = max(1, skip)
    holes = [name for name in chosen if chosen[name].iloc[first:].isna().any()]
    if holes:
        row = int(np.flatnonzero(chosen[holes[0]].iloc[first:].isna())[0]) + first + 1
        raise RunError(
            f"{source}: column {holes[0]} has no value in row {row} (and {len(holes) - 1} other columns): "
            "restore the file, or run fMRIPrep again"
        )
    chosen.iloc[:first] = chosen.iloc[:first].fillna(chosen.iloc[first])
    return chosen


def _matching(table: pd.DataFrame, strategy: Strategy, source: str) -> list[str]:
    """Find the further columns that a strategy names; every name or pattern must find something."""
    found: list[str] = []
    for pattern in strategy.columns:
        names = [str(name) for name in table if fnmatchcase(str(name), pattern)]
        if not names:
            aroma = "aroma" in pattern
            raise RunError(
                f"{source} has no column {pattern}, which strategy {strategy.name} needs: "
                + ("fMRIPrep before 23.1 writes them with --use-aroma, fMRIPost-AROMA since; " if aroma else "")
                + "name the folder of further confounds by --custom-confounds, or choose another --denoise"
            )
        found += names
    return found


def _compcor(table: pd.DataFrame, metadata: dict[str, Any], strategy: Strategy, source: str) -> list[str]:
    """Find the first components of white matter and cerebrospinal fluid, by what the JSON file says of their masks."""
    found: list[str] = []
    count, share = strategy.compcor_components, strategy.compcor_variance
    for mask, prefix in (("WM", "w_comp_cor_"), ("CSF", "c_comp_cor_")) if count or share else ():
        told = {
            name: entry
            for name, entry in metadata.items()
            if isinstance(entry, dict) and entry.get("Method") == "aCompCor" and entry.get("Mask") == mask
        }
        # since 21.0 the name tells the mask; before, only the JSON file did
        there = [str(name) for name in table if (name in told if told else str(name).startswith(prefix))]
        # by number: a name such as a_comp_cor_100 would come before a_comp_cor_99
        names = sorted(there, key=lambda name: int(re.sub(r"\D", "", name) or 0))
        if share:
            count = _count_for(share, [told.get(name, {}).get("CumulativeVarianceExplained") for name in names])
        if len(names) < max(count, 1):
            wanted = f"{share:.0%} of its variance" if share else f"{count} of them"
            raise RunError(
                f"{source}: {len(names)} CompCor components of {mask} are described, too few for {wanted}, which "
                f"strategy {strategy.name} needs: choose another --denoise, or restore the JSON file beside the table"
            )
        found += names[:count]
    return found


def _count_for(share: float, cumulative: list[object]) -> int:
    """Count the components that explain a share of variance; one more than there are if they do not, or do not say."""
    reached = [isinstance(value, int | float) and value >= share for value in cumulative]
    return reached.index(True) + 1 if True in reached else len(reached) + 1
