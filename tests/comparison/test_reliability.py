"""Intraclass correlations of the runs that people have in common."""

import numpy as np
import pytest

from bids_flex.cohort import gather
from bids_flex.comparison import reliability
from tests.cohort.trees import wandering, write_people, write_run

MOVES = {"01": (1, 2), "02": (3, 3), "03": (4, 2), "04": (0, 1)}


def people(folder, moves=MOVES):
    for label, counts in moves.items():
        for run, count in enumerate(counts, start=1):
            write_run(folder, label, wandering(9, {(2 * step + 1, 0): 2 for step in range(count)}), run=str(run))
    write_people(folder, "participant_id age\n" + "\n".join(f"sub-{label} 30" for label in moves))
    return gather(folder, folder)


def one_way(values):
    """ICC(1,1) by hand: mean squares between and within people."""
    n, k = values.shape
    between = k * ((values.mean(axis=1) - values.mean()) ** 2).sum() / (n - 1)
    within = ((values - values.mean(axis=1, keepdims=True)) ** 2).sum() / (n * (k - 1))
    return (between - within) / (between + (k - 1) * within)


def test_runs_of_all_people_are_held_together(tmp_path):
    table = reliability(people(tmp_path))
    row = table[(table["measure"] == "prior_flexibility") & (table["kind"] == "ICC(1,1)")].iloc[0]
    # a move there and back changes one of four regions at 2 of 8 pairs
    assert row["icc"] == pytest.approx(one_way(np.array(list(MOVES.values())) / 16))
    assert (row["n"], row["n_dropped"], row["repetitions"]) == (4, 0, 2)
    assert row["named"] == "task-rest_run-1, task-rest_run-2"


def test_people_who_lack_a_run_are_counted_and_runs_of_few_do_not_count(tmp_path):
    table = reliability(people(tmp_path, {**MOVES, "05": (2,), "06": (1, 1, 3)}))
    row = table[(table["measure"] == "prior_flexibility") & (table["kind"] == "ICC(1,1)")].iloc[0]
    assert (row["n"], row["n_dropped"], row["repetitions"]) == (5, 1, 2)


def test_too_few_people_have_a_reason(tmp_path):
    table = reliability(people(tmp_path, {"01": (1, 2), "02": (2, 3)}))
    assert table["icc"].isna().all()
    assert table["reason"].str.contains("three or more are needed").all()


def test_people_who_are_all_alike_have_a_reason(tmp_path):
    """Nobody differs, in no run: there is nothing to be reliable, and no p of 0 that says otherwise."""
    table = reliability(people(tmp_path, dict.fromkeys(("01", "02", "03", "04"), (1, 1))))
    assert len(table)
    assert table[["icc", "ci_low", "ci_high", "p"]].isna().all(axis=None)
    assert set(table["reason"]) == {"the same value for everybody in each run"}


def test_one_run_each_gives_no_table(tmp_path):
    assert reliability(people(tmp_path, {"01": (1,), "02": (2,), "03": (2,)})).empty
