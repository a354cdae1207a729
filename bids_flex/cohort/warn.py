"""What a reader of the table must know, beside how runs differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bids_flex.cohort.people import few
from bids_flex.words import counted

if TYPE_CHECKING:
    import pandas as pd

    from bids_flex.cohort.select import Runs

FEW_MINUTES, BETTER_MINUTES = 10.0, 20.0


def warnings_of(runs: Runs, rows: pd.DataFrame) -> tuple[str, ...]:
    """Say which engine lacks runs, whose runs are of several tasks or lengths, and who has little data."""
    told = []
    for engine, listed in runs.facts.items():
        lacking = [_name(runs, number) for number, one in enumerate(listed) if one is None]
        if lacking:
            many = counted(len(lacking), "run")
            told.append(f"{engine} has no results of {many} ({few(lacking)}): its measures are n/a there.")
        none = [_name(runs, i) for i, one in enumerate(listed) if one is not None and one.pairs == 0]
        if none:
            many = counted(len(none), "run")
            told.append(f"{engine} has no valid pair of windows in {many} ({few(none)}), not counted there.")
    tasks = sorted({part for key in runs.keys for part in key[2].split("_") if part.startswith("task-")})
    if len(tasks) > 1:
        told.append(f"Runs are of several tasks ({', '.join(tasks)}), which are averaged.")
    if unequal := _unequal_labels(runs):
        told.append(
            "Promiscuity of multilayer is an average of runs with unequal numbers of windows, on which it depends: "
            f"{few(unequal)}."
        )
    unknown = rows.loc[~np.isfinite(rows["mean_fd"]), "participant_id"].tolist()
    if unknown:
        told.append(f"Motion is not known of {counted(len(unknown), 'participant')} ({few(unknown)}).")
    return (*told, *_minutes(rows))


def _name(runs: Runs, number: int) -> str:
    participant, session, run = runs.keys[number]
    return "_".join(part for part in (participant, f"ses-{session}" if session else "", run) if part)


def _unequal_labels(runs: Runs) -> list[str]:
    """Name the participants whose runs of ``multilayer`` have unequal numbers of windows."""
    found = []
    for group in runs.groups:
        given = (runs.facts.get("multilayer", [None] * len(runs.keys))[number] for number in group)
        if len({one.windows for one in given if one is not None}) > 1:
            found.append(runs.keys[group[0]][0])
    return found


def _minutes(rows: pd.DataFrame) -> list[str]:
    """Say who has little usable data (Yang et al. 2021)."""
    each = rows["kept_minutes"] / rows["runs"]
    short, middling = int((each < FEW_MINUTES).sum()), int(((each >= FEW_MINUTES) & (each < BETTER_MINUTES)).sum())
    told = []
    if short:
        told.append(f"{_share(short, rows)} fewer than 10 usable minutes a run (Yang 2021 wants 20 to 30).")
    if middling:
        told.append(f"{_share(middling, rows)} 10 to 20 usable minutes a run (Yang 2021 wants 20 to 30).")
    return told


def _share(number: int, rows: pd.DataFrame) -> str:
    """Say how many of all rows have something."""
    return f"{number} of {counted(len(rows), 'row')} {'has' if number == 1 else 'have'}"
