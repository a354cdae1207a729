"""Which regions of each network every row of people has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from bids_flex.cohort.people import Column
    from bids_flex.cohort.select import Runs


def region_sets(runs: Runs, columns: Sequence[Column]) -> pd.DataFrame:
    """List, for each row and network, how many regions there are, how many were searched in every run, and the others.

    Returns
    -------
    pandas.DataFrame
        ``participant_id``, ``session``, ``network``, ``regions``, ``searched``, ``missing`` (names with commas; empty).
    """
    import pandas as pd

    network = {one.region: one.network for one in columns if one.level == "region"}
    members: dict[str, list[str]] = {}
    for region, name in network.items():
        members.setdefault(name, []).append(region)
    missing = [_missing(runs, number) for number in range(len(runs.keys))]
    rows: list[tuple[Any, ...]] = []
    for group in runs.groups:
        label, session, _ = runs.keys[group[0]]
        session = session if len({runs.keys[number][1] for number in group}) == 1 else ""
        lost = set().union(*(missing[number] for number in group))
        for name, regions in members.items():
            absent = [region for region in regions if region in lost] if lost else []
            rows.append((label, session, name, len(regions), len(regions) - len(absent), ", ".join(absent)))
    return pd.DataFrame(rows, columns=["participant_id", "session", "network", "regions", "searched", "missing"])


def _missing(runs: Runs, number: int) -> set[str]:
    """Name the regions that a run was not searched in, by any engine."""
    results = (listed[number] for listed in runs.facts.values())
    return {region for one in results if one is not None for region in one.missing}
