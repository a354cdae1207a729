"""What the columns of the tables mean, as BIDS data dictionaries."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from bids_flex.bids.outputs import column_dictionary

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bids_flex.cohort.people import Column

_KIND = {
    "observed": "",
    "excess": ", minus its mean over surrogates (the observed value has as many restarts as each surrogate)",
    "z": ", minus its mean over surrogates and divided by their standard deviation",
}


@cache
def cohort_dictionary() -> dict[str, dict[str, str]]:
    """Read what columns of group tables mean, those of runs among them."""
    text = resources.files("bids_flex.data").joinpath("cohort_columns.json").read_text(encoding="utf8")
    own: dict[str, dict[str, str]] = json.loads(text)
    return {**column_dictionary(), **own}


def meanings(columns: Sequence[Column], names: Iterable[str], drawn: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    """Describe every column of the tables.

    Parameters
    ----------
    columns : sequence of Column
        Measures.
    names : iterable of str
        All columns.
    drawn : mapping of str to int
        Windows drawn for rarefied promiscuity, by table.
    """
    measures = {column.name: column for column in columns}
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        column = measures.get(name)
        found[name] = _measure(column, drawn) if column else _other(name)
    return found


def _measure(column: Column, drawn: Mapping[str, int]) -> dict[str, Any]:
    """Describe a measure's column."""
    known = cohort_dictionary()[column.measure]
    where = {
        "global": "mean over all searched regions",
        "network": f"mean over the searched regions of network {column.network}",
        "region": f"region {column.region}" + (f" of network {column.network}" if column.network else ""),
    }[column.level]
    text, unit = known["Description"], known.get("Units", "1")
    if column.measure == "cohesion_strength":
        text, unit = f"{text}, divided by valid pairs and by the number of other regions", "1"
    if column.measure == "promiscuity_rarefied":
        text += "; " + ", ".join(f"{windows} windows in the table of {table}" for table, windows in drawn.items())
    return {
        "LongName": f"{known['LongName']} ({column.engine}{'' if column.kind == 'observed' else f', {column.kind}'})",
        "Description": f"{text}{_KIND[column.kind]}; {where}",
        "Units": "1" if column.kind == "z" else unit,
        "Engine": column.engine,
        "Measure": column.measure,
        "Kind": column.kind,
        "Level": column.level,
        **({"Network": column.network} if column.network else {}),
        **({"Region": column.region} if column.region else {}),
    }


def _other(name: str) -> dict[str, Any]:
    """Describe a column that is no measure."""
    known = cohort_dictionary()
    if name in known:
        return dict(known[name])
    engine, _, what = name.partition("_")
    return {**known[what], "Description": f"{known[what]['Description']}, of the engine {engine}"}
