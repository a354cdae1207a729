"""The tables of a cohort as files, each with its data dictionary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bids_flex.bids.outputs import ROWS_AT_ONCE, write_table, write_table_parts
from bids_flex.cohort.describe import cohort_dictionary
from bids_flex.cohort.long import long_table

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    import pandas as pd

    from bids_flex.cohort.people import Cohort

IDS = ("participant_id", "session", "run", "runs")


def write_cohort(folder: Path, cohort: Cohort) -> None:
    """Write every table of a cohort.

    Parameters
    ----------
    folder : Path
        ``group``.
    cohort : Cohort
        As of :func:`~bids_flex.cohort.gather`.

    Raises
    ------
    OutputError
        When the disk refuses; each file is whole or not there.
    """
    extra: dict[str, Any] = {
        "PrimaryEngine": cohort.primary,
        "RarefiedWindows": dict(cohort.rarefied_windows),
        "Warnings": list(cohort.warnings),
    }
    regions = {column.name for column in cohort.columns if column.level == "region"}
    for name, table in (("participants", cohort.people), ("runs", cohort.runs)):
        wide = "" if name == "participants" else "wide"
        plain = [column for column in table.columns if column not in regions]
        _write_wide(folder / f"{name}{'_desc-' + wide if wide else ''}_dynamics.tsv", table, plain, cohort, extra)
        if regions:
            ids = [column for column in IDS if column in table.columns]
            listed = [*ids, *(column for column in table.columns if column in regions)]
            _write_wide(folder / f"{name}_desc-{wide}regions_dynamics.tsv", table, listed, cohort, extra)
    write_long(folder / "runs_dynamics.tsv", cohort)
    known = cohort_dictionary()
    write_table(folder / "participants_regions.tsv", _missing(cohort.regions), {}, known)
    write_table(folder / "participants_leftout.tsv", _missing(cohort.left_out), {}, known)
    write_table(folder / "participants_flow.tsv", cohort.flow, {}, known)


def write_long(path: Path, cohort: Cohort) -> None:
    """Write the long table run by run; memory does not grow with their number."""
    write_table_parts(path, long_table(cohort), {"Warnings": list(cohort.warnings)}, cohort_dictionary())


def _write_wide(
    path: Path, table: pd.DataFrame, columns: Collection[str], cohort: Cohort, extra: dict[str, Any]
) -> None:
    """Write some columns of a table, a part of the rows at a time."""

    def parts() -> Iterator[pd.DataFrame]:
        for start in range(0, len(table), ROWS_AT_ONCE):
            yield _missing(table.iloc[start : start + ROWS_AT_ONCE][list(columns)])

    write_table_parts(path, parts(), extra, cohort.described)


def _missing(table: pd.DataFrame) -> pd.DataFrame:
    """Say n/a where a text is empty."""
    texts = [name for name in ("session", "run", "missing", "network") if name in table.columns]
    return table.assign(**{name: table[name].where(table[name] != "") for name in texts})
