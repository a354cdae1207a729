"""Who is not in the table, and why: one list, and the numbers of people and runs at each stage."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bids_flex.bids.summaries import entities_of_run, participant_folders, read_statuses
from bids_flex.cohort.facts import run_label

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    import pandas as pd

    from bids_flex.cohort.facts import Facts, Key


class Loss(NamedTuple):
    """A participant, session or run that was left out: at which stage, and why."""

    participant_id: str
    session: str
    run: str
    stage: str
    reason: str


def unfinished(output_dir: Path, keys: Collection[Key]) -> list[Loss]:
    """List runs that the participant level has begun and not finished, as our own logs and folders tell."""
    lost: dict[Key, Loss] = {}
    done = set(keys)
    for status in read_statuses(output_dir):
        entities = entities_of_run(status.run)
        if "sub" not in entities:
            continue
        key = (f"sub-{entities['sub']}", entities.get("ses", ""), run_label(entities))
        if key in done or status.state in {"done", "skipped"}:
            continue
        reason = f"{status.state}: {status.reason}" if status.reason not in {"", "n/a"} else status.state
        lost[key] = Loss(*key, "usable", reason)
    named = {key[0] for key in (*done, *lost)}
    again = "its folder has no finished summary: run the participant level again"
    begun = (f"sub-{label}" for label in participant_folders(output_dir))
    folders = [Loss(name, "", "", "usable", again) for name in begun if name not in named]
    return sorted([*lost.values(), *folders])


def without_pairs(facts: Mapping[str, Mapping[Key, Facts]]) -> list[Loss]:
    """List runs that no engine has a valid pair of windows of."""
    keys = sorted({key for by_key in facts.values() for key in by_key})
    told = "no two consecutive windows have enough data: measures of change are n/a"
    return [
        Loss(*key, "usable", told)
        for key in keys
        if not any(key in by_key and by_key[key].pairs > 0 for by_key in facts.values())
    ]


def loss_table(losses: Iterable[Loss]) -> pd.DataFrame:
    """Give the list as a table; what is not said is empty."""
    import pandas as pd

    return pd.DataFrame(list(losses), columns=list(Loss._fields), dtype=str)


def flow_table(stages: Mapping[str, Iterable[Key]]) -> pd.DataFrame:
    """Count participants and runs at each stage; a participant without any run known is one without runs."""
    import pandas as pd

    rows = []
    for stage, keys in stages.items():
        known = set(keys)
        rows.append((stage, len({key[0] for key in known}), len({key for key in known if key[2] or key[1]})))
    return pd.DataFrame(rows, columns=["stage", "participants", "runs"])
