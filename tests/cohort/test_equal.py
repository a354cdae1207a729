"""Runs that differ in repetition time, window or length: detected, refused, cut, or named as covariates."""

import numpy as np
import pytest

from bids_flex.cohort import gather
from bids_flex.errors import DatasetFileError

from .trees import wandering, write_run


@pytest.fixture
def unequal(tmp_path):
    """Two people: 6 and 9 windows; in the first 6 windows of both, A1 changes at 2 of 5 pairs."""
    out = tmp_path / "out"
    write_run(out, "01", wandering(6, {(2, 0): 2}))
    write_run(out, "02", wandering(9, {(2, 0): 2, (7, 1): 2}))
    return out


def test_differences_are_told_with_names(unequal):
    told = gather(unequal, unequal).warnings
    assert any("numbers of windows before censoring: 6 (sub-01_task-rest); 9 (sub-02_task-rest)" in t for t in told)
    assert any("numbers of valid window pairs: 5 (sub-01_task-rest); 8 (sub-02_task-rest)" in t for t in told)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"tr": 3.0}, r"repetition times: 2 s \(sub-01_task-rest\); 3 s \(sub-02_task-rest\)"),
        ({"length": 90.0}, r"window lengths: 60 s \(sub-01_task-rest\); 90 s \(sub-02_task-rest\)"),
    ],
)
def test_each_difference_is_refused_by_its_name(tmp_path, changes, told):
    write_run(tmp_path, "01", wandering(6, {(2, 0): 2}))
    write_run(tmp_path, "02", wandering(6, {(2, 0): 2}), **changes)
    assert any("measures depend on it" in text for text in gather(tmp_path, tmp_path).warnings)
    with pytest.raises(DatasetFileError, match=told):
        gather(tmp_path, tmp_path, equalise="refuse")


def test_length_is_refused_and_what_censoring_took_is_not(unequal, tmp_path):
    with pytest.raises(DatasetFileError, match="numbers of windows before censoring"):
        gather(unequal, unequal, equalise="refuse")
    out = tmp_path / "censored"
    write_run(out, "01", wandering(7, {(2, 0): 2}))
    write_run(out, "02", wandering(6, {(2, 0): 2}), gap_after=3)
    cohort = gather(out, out, equalise="refuse")
    assert cohort.people["valid_pairs"].tolist() == [6, 4]
    assert any("numbers of valid window pairs" in text for text in cohort.warnings)


def test_many_lengths_are_told_as_a_range(tmp_path):
    for number in range(6):
        write_run(tmp_path, f"0{number}", wandering(5 + number, {}))
    told = gather(tmp_path, tmp_path).warnings
    assert any("5 (such as sub-00_task-rest) to 10 (such as sub-05_task-rest)" in text for text in told)


def test_cut_runs_are_measured_anew(unequal):
    whole, cut = gather(unequal, unequal), gather(unequal, unequal, equalise="truncate")
    assert whole.people["prior_flexibility_A1"].tolist() == [2 / 5, 2 / 8]
    assert whole.people["prior_flexibility_A2"].tolist() == [0, 2 / 8]
    # of the longer run the first 6 windows are left, which are those of the shorter one
    for name in (
        "prior_flexibility",
        "prior_flexibility_A1",
        "prior_dwell",
        "prior_promiscuity_A",
        "prior_integration",
    ):
        assert cut.people[name].iloc[0] == pytest.approx(whole.people[name].iloc[0])
        assert cut.people[name].iloc[1] == pytest.approx(cut.people[name].iloc[0])
    assert cut.people["prior_persistence"].tolist() == pytest.approx([0.9, 0.9])
    assert cut.people["prior_promiscuity_rarefied"].tolist() == [0.25, 0.25]
    assert cut.people["valid_pairs"].tolist() == [5, 5]
    assert cut.people["prior_windows"].tolist() == [6, 6]
    assert {column.kind for column in cut.columns} == {"observed"}
    assert any("cut to its first 6 windows" in text and "excess and z are left out" in text for text in cut.warnings)


def test_equal_runs_are_left_as_they_are(tmp_path):
    for label in ("01", "02"):
        write_run(tmp_path, label, wandering(6, {(2, 0): 2}))
    cut = gather(tmp_path, tmp_path, equalise="truncate")
    assert "prior_flexibility_excess" in cut.people
    assert not any("cut" in text for text in cut.warnings)


def test_a_gap_within_the_cut_does_not_count(tmp_path):
    write_run(tmp_path, "01", wandering(4, {}))
    # A1 changes once across the gap, which is no pair, and once on its way back, which is one of 2
    write_run(tmp_path, "02", wandering(8, {(2, 0): 2, (6, 0): 2}), gap_after=1)
    cut = gather(tmp_path, tmp_path, equalise="truncate")
    assert cut.people["valid_pairs"].tolist() == [3, 2]
    assert cut.people["prior_flexibility_A1"].tolist() == [0, 1 / 2]


def test_multilayer_is_cut_with_its_best_labelling_and_says_so(tmp_path):
    write_run(tmp_path, "01", wandering(4, {(1, 2): 3}), engine="multilayer")
    write_run(tmp_path, "02", wandering(6, {(1, 2): 3}), engine="multilayer")
    cut = gather(tmp_path, tmp_path, primary="multilayer", equalise="truncate")
    assert cut.people["multilayer_flexibility_B1"].tolist() == pytest.approx([2 / 3, 2 / 3])
    assert any("labelling of highest quality alone" in text for text in cut.warnings)


def test_a_region_that_was_not_searched_stays_missing_after_the_cut(tmp_path):
    labels = wandering(9, {(2, 1): 2})
    labels[:, 0] = 0
    write_run(tmp_path, "01", labels)
    write_run(tmp_path, "02", wandering(6, {(2, 0): 2}))
    cut = gather(tmp_path, tmp_path, equalise="truncate")
    assert np.isnan(cut.people["prior_flexibility_A1"].iloc[0])
    assert cut.people["prior_flexibility_A"].iloc[0] == pytest.approx(2 / 5)


def test_covariates_are_the_columns_that_vary(unequal, tmp_path):
    cohort = gather(unequal, unequal, equalise="covariate")
    assert cohort.covariates == ("valid_pairs",)
    assert any("valid_pairs differ between runs and are to be covariates" in text for text in cohort.warnings)
    write_run(unequal, "03", wandering(6, {}), tr=3.0, length=63.0)
    cohort = gather(unequal, unequal, equalise="covariate")
    assert cohort.covariates == ("valid_pairs", "repetition_time")
    assert gather(unequal, unequal).covariates == ()
    assert set(cohort.covariates) <= set(cohort.people)


def test_runs_of_unequal_length_are_named_where_labels_are_not_shared(tmp_path):
    for run, windows in (("1", 4), ("2", 6)):
        write_run(tmp_path, "01", wandering(windows, {(1, 2): 3}), engine="multilayer", run=run)
    cohort = gather(tmp_path, tmp_path, primary="multilayer")
    assert any("an average of runs with unequal numbers of windows" in t and t.endswith("01.") for t in cohort.warnings)
