"""What a group analysis starts from: a table of people, and what each of its columns holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pandas as pd

Level = Literal["global", "network", "region"]
Kind = Literal["observed", "null_mean", "null_sd", "excess", "z", "p"]
"""Columns of a table of people are of three kinds: observed, excess, z; the long table of runs has them all."""


def few(names: Sequence[str]) -> str:
    """Name three, and count the others.

    >>> few(["sub-01", "sub-02", "sub-03", "sub-04"])
    'sub-01, sub-02, sub-03 and 1 more'
    """
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


@dataclass(frozen=True, slots=True)
class Column:
    """A measure's column of the table.

    Attributes
    ----------
    name : str
        Of the column: ``ENGINE_MEASURE[_KIND][_NETWORK or _REGION]``; the kind of observed values is not written.
    engine, measure : str
        Whose, and which.
    kind : {"observed", "excess", "z"}
        As measured, or compared with null models.
    level : {"global", "network", "region"}
        Mean of all searched regions, of those of a network, or one region.
    network, region : str
        Empty where the level has none.
    """

    name: str
    engine: str
    measure: str
    kind: Kind = "observed"
    level: Level = "global"
    network: str = ""
    region: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Cohort:
    """Everyone with results, as tables.

    Attributes
    ----------
    people : pandas.DataFrame
        One row per participant (or participant and session): ``participant_id``, ``session`` where sessions are kept
        apart, ``runs``, ``valid_pairs``, quality, every measure, then the columns of the data set's own tables as text.
    runs : pandas.DataFrame
        The same measures, one row per run, before any averaging.
    columns : tuple of Column
        The measures' columns of both tables.
    quality : tuple of str
        The quality columns of both tables.
    described : mapping
        Meaning of every column of both tables, as a BIDS data dictionary.
    categorical : tuple of str
        Columns of the data set's tables whose dictionary names levels.
    left_out : pandas.DataFrame
        ``participant_id``, ``session``, ``run``, ``stage``, ``reason``: whoever is in one source only or was excluded.
    flow : pandas.DataFrame
        ``stage``, ``participants``, ``runs``: how many were found, usable, and are in the table.
    warnings : tuple of str
        What a reader of the table must know.
    regions : pandas.DataFrame
        ``participant_id``, ``session``, ``network``, ``regions`` (of the atlas), ``searched`` (in every run) and
        ``missing`` (names): the region sets of each network and row of ``people``.
    covariates : tuple of str
        Columns that differ because runs do, to be added to every model; empty unless ``equalise`` is ``covariate``.
    primary : str
        The primary engine; ``valid_pairs`` is of this one.
    rarefied_windows : mapping of str to int
        Windows drawn for rarefied promiscuity, of the tables ``people`` and ``runs``.
    sources : mapping of str to tuple of Path or None
        By engine, the summary of each row of ``runs``.
    """

    people: pd.DataFrame
    runs: pd.DataFrame
    columns: tuple[Column, ...]
    quality: tuple[str, ...]
    described: Mapping[str, Mapping[str, Any]]
    categorical: tuple[str, ...]
    left_out: pd.DataFrame
    flow: pd.DataFrame
    warnings: tuple[str, ...]
    regions: pd.DataFrame
    covariates: tuple[str, ...] = ()
    primary: str = "prior"
    rarefied_windows: Mapping[str, int] = field(default_factory=dict)
    sources: Mapping[str, tuple[Path | None, ...]] = field(default_factory=dict)
