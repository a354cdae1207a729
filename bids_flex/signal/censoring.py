"""Which volumes of a run are used: the first are dropped, those with motion are censored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bids_flex.errors import RunError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


def non_steady_state_count(table: pd.DataFrame) -> int:
    """Count the volumes at the start of a run before the signal is in steady state.

    Examples
    --------
    >>> import pandas as pd
    >>> marked = {"non_steady_state_outlier00": [1, 0, 0], "non_steady_state_outlier01": [0, 1, 0]}
    >>> non_steady_state_count(pd.DataFrame(marked))
    2
    """
    marked = [name for name in table if str(name).startswith("non_steady_state_outlier")]
    if not marked:
        return 0
    return int(np.flatnonzero(table[marked].to_numpy().any(axis=1)).max(initial=-1)) + 1


def framewise_displacement(table: pd.DataFrame) -> NDArray[np.float64]:
    """Take framewise displacement in mm, shape (T,); NaN in the first volume, and everywhere without the column.

    Examples
    --------
    >>> import pandas as pd
    >>> framewise_displacement(pd.DataFrame({"framewise_displacement": [np.nan, 0.1, 0.7]})).tolist()
    [nan, 0.1, 0.7]
    """
    return _optional(table, "framewise_displacement")


def std_dvars(table: pd.DataFrame) -> NDArray[np.float64]:
    """Take standardised DVARS, shape (T,); NaN in the first volume, and everywhere without the column.

    Examples
    --------
    >>> import pandas as pd
    >>> std_dvars(pd.DataFrame({"std_dvars": [np.nan, 1.0, 2.0]})).tolist()
    [nan, 1.0, 2.0]
    """
    return _optional(table, "std_dvars")


def _optional(table: pd.DataFrame, name: str) -> NDArray[np.float64]:
    if name not in table:
        return np.full(len(table), np.nan)
    return table[name].to_numpy(dtype=np.float64)


def keep_mask(
    table: pd.DataFrame,
    fd_threshold_mm: float,
    dvars_threshold: float,
    source: str,
    *,
    before: int = 0,
    after: int = 0,
    min_segment: int = 1,
    skip: int = 0,
) -> NDArray[np.bool_]:
    """Tell which volumes are kept.

    A volume above either threshold is censored; so are its neighbours, and then what is left of a run in pieces too
    short to be of use (Power et al. 2014, doi 10.1016/j.neuroimage.2013.08.048). The first volume, which has no value,
    is kept.

    Parameters
    ----------
    table : pandas.DataFrame
        All confounds, (T, columns).
    fd_threshold_mm, dvars_threshold : float
        Largest framewise displacement in mm and standardised DVARS that are kept.
    source : str
        Name of the file, for messages.
    before, after : int
        Volumes before and after each one above a threshold that are censored with it.
    min_segment : int
        Stretches of fewer kept volumes are censored.
    skip : int
        Volumes at the start that are dropped: they are no part of the answer, and censor no neighbours.

    Returns
    -------
    ndarray of bool, shape (T - skip,)
        False for censored volumes.

    Raises
    ------
    RunError
        When the table has neither of the columns, or one lacks values after the first volume, or has absurd ones.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"framewise_displacement": [np.nan, 0.1, 0.7, 0.1, 0.1]})
    >>> keep_mask(table, fd_threshold_mm=0.5, dvars_threshold=1.5, source="example", after=1).tolist()
    [True, True, False, False, True]
    """
    fd, dvars = framewise_displacement(table), std_dvars(table)
    _require_motion(fd, dvars, source, max(1, skip))
    bad = ((fd > fd_threshold_mm) | (dvars > dvars_threshold))[skip:]
    keep = ~_with_neighbours(bad, before, after)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], keep, [False])).astype(int)))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        keep[start:stop] = stop - start >= min_segment
    return keep


def _require_motion(fd: NDArray[np.float64], dvars: NDArray[np.float64], source: str, first: int) -> None:
    """Refuse tables without any measure of motion, holes in one after the first volumes, and values below 0."""
    measures = {"framewise_displacement": fd, "std_dvars": dvars}
    there = {name: values for name, values in measures.items() if not np.isnan(values).all()}
    if not there:
        raise RunError(f"{source} has neither framewise_displacement nor std_dvars: volumes cannot be censored")
    for name, values in there.items():
        odd = np.flatnonzero(np.isinf(values) | (values < 0))
        if odd.size:
            row = int(odd[0])
            raise RunError(
                f"{source}: column {name} is {values[row]:g} in row {row + 1}, which no motion can be: restore the file"
            )
        holes = np.flatnonzero(np.isnan(values[first:])) + first + 1
        if holes.size:
            raise RunError(
                f"{source}: column {name} has no value in row {holes[0]} (and {holes.size - 1} others), so nobody can "
                "tell whether to censor these volumes: restore the file or run fMRIPrep again"
            )


def _with_neighbours(bad: NDArray[np.bool_], before: int, after: int) -> NDArray[np.bool_]:
    """Mark volumes near marked ones too."""
    marked = bad.copy()
    for volume in np.flatnonzero(bad):
        marked[max(0, volume - before) : volume + after + 1] = True
    return marked


def censoring_notes(table: pd.DataFrame) -> tuple[str, ...]:
    """Say which measure of motion a table of confounds lacks, so that nothing was censored by it.

    Examples
    --------
    >>> import pandas as pd
    >>> censoring_notes(pd.DataFrame({"framewise_displacement": [np.nan, 0.1], "std_dvars": [np.nan, 1.0]}))
    ()
    """
    measures = (("framewise_displacement", "framewise displacement"), ("std_dvars", "standardised DVARS"))
    return tuple(
        f"The table of confounds has no {what}: no volume was censored by it."
        for name, what in measures
        if np.isnan(_optional(table, name)).all()
    )
