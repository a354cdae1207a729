"""The data set's own tables beside our measures."""

from pathlib import Path

import numpy as np
import pytest

from bids_flex.cohort import gather
from bids_flex.errors import DatasetFileError

from .trees import wandering, write_people, write_run


@pytest.fixture
def out(tmp_path):
    """Two people, of whom the second has two sessions."""
    folder = tmp_path / "out"
    write_run(folder, "01", wandering(5, {(2, 0): 2}), ses="a")
    for ses in ("a", "b"):
        write_run(folder, "02", wandering(5, {(2, 0): 2}), ses=ses)
    return folder


@pytest.fixture
def bids(tmp_path):
    folder = tmp_path / "bids"
    write_people(
        folder,
        "participant_id group age\nsub-01 1 20\nsub-02 2 n/a",
        described={"group": {"Levels": {"1": "patient", "2": "control"}}, "age": {"Units": "year"}, "odd": "text"},
    )
    return folder


def test_columns_levels_and_missing_values_are_kept(out, bids):
    cohort = gather(out, bids)
    assert cohort.people["group"].tolist() == ["1", "2"]
    assert cohort.people["age"].iloc[0] == "20"
    assert cohort.people["age"].isna().tolist() == [False, True]
    assert cohort.categorical == ("group",)
    assert cohort.described["group"]["Levels"] == {"1": "patient", "2": "control"}
    assert cohort.described["age"]["Units"] == "year"
    assert cohort.runs["group"].tolist() == ["1", "2", "2"]
    assert set(cohort.people) | set(cohort.runs) == set(cohort.described)


def test_values_that_levels_do_not_name_are_told(out, bids):
    write_people(bids, "participant_id group\nsub-01 1\nsub-02 7", described={"group": {"Levels": {"1": "patient"}}})
    assert any(
        "column group holds 7, which its dictionary's Levels do not name" in t for t in gather(out, bids).warnings
    )


def test_session_tables_of_each_participant_and_at_the_top(out, bids):
    write_people(bids, "session_id mood\nses-a 3", "sub-01/sub-01_sessions.tsv")
    write_people(bids, "session_id mood\nses-a 4\nses-b 5", "sub-02/sub-02_sessions.tsv")
    (bids / "sessions.json").write_text('{"mood": {"LongName": "Mood"}}')
    apart = gather(out, bids, unit="session")
    assert apart.people[["participant_id", "session", "mood", "group"]].values.tolist() == [
        ["sub-01", "a", "3", "1"],
        ["sub-02", "a", "4", "2"],
        ["sub-02", "b", "5", "2"],
    ]
    assert apart.described["mood"]["LongName"] == "Mood"
    # one row per participant has no place for two moods
    together = gather(out, bids)
    assert "mood" not in together.people
    assert together.runs["mood"].tolist() == ["3", "4", "5"]
    assert any("several sessions of 1 participant (such as sub-02)" in text for text in together.warnings)


def test_an_entry_without_a_description_is_given_one(out, bids):
    write_people(bids, "participant_id score\nsub-01 3\nsub-02 5", "phenotype/bai.tsv")
    (bids / "phenotype" / "bai.json").write_text('{"score": {"LongName": "Score", "Levels": {"3": "low"}}}')
    assert gather(out, bids).described["score"] == {
        "Description": "Column score of bai.tsv, which does not describe it",
        "LongName": "Score",
        "Levels": {"3": "low"},
        "Source": "bai.tsv",
    }


def test_a_top_table_of_sessions(out, bids):
    write_people(bids, "participant_id session_id mood\nsub-01 ses-a 3\nsub-02 ses-b 5", "sessions.tsv")
    mood = gather(out, bids, unit="session").people["mood"]
    assert mood.isna().tolist() == [False, True, False]
    assert mood.iloc[[0, 2]].tolist() == ["3", "5"]
    # one session each in that table: it serves participants too
    assert gather(out, bids).people["mood"].tolist() == ["3", "5"]


def test_phenotypes_by_participant_and_by_session(out, bids):
    write_people(bids, "participant_id score\nsub-02 9", "phenotype/madrs.tsv", described={"score": {"Units": "1"}})
    write_people(bids, "participant_id session_id score\nsub-02 ses-b 8", "phenotype/bai.tsv")
    cohort = gather(out, bids, unit="session")
    # files come in the order of their names; the second has its own name before the column that is taken
    assert cohort.people["score"].isna().tolist() == [True, True, False]
    assert cohort.people["score"].iloc[2] == "8"
    assert cohort.people["madrs_score"].tolist()[1:] == ["9", "9"]
    assert cohort.described["madrs_score"]["Units"] == "1"


def test_a_phenotype_with_a_measures_name_gets_its_own_before_it(out, bids):
    write_people(bids, "participant_id mean_fd\nsub-01 9\nsub-02 8", "phenotype/motion.tsv")
    cohort = gather(out, bids)
    assert cohort.people["motion_mean_fd"].tolist() == ["9", "8"]
    assert cohort.people["mean_fd"].tolist() == pytest.approx([0.1, 0.1])


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("participants.tsv", "participant_id mean_fd\nsub-01 9", "column mean_fd has the name of a measure"),
        ("participants.tsv", "participant_id x\nsub-01 9\nsub-01 8", "more than one row for sub-01"),
        ("participants.tsv", "id x\nsub-01 9", "has no column participant_id; it has id, x"),
        ("participants.tsv", "participant_id,x\nsub-01,9", "participant_id,x: its columns must stand apart by tabs"),
        ("participants.tsv", "participant_id x\nn/a 9", "line 2 has no participant_id"),
        ("participants.tsv", "participant_id x\nsub-01 9 8", "line 2 has 3 values, the first line has 2 names"),
        ("participants.tsv", 'participant_id x\n"sub-01" 9 8', "more values than its header"),
        ("participants.tsv", "participant_id x y\nsub-01 9 8\n\nsub-02 9", "line 4 has 2 values, the first line has 3"),
        ("participants.tsv", "participant_id x x\nsub-01 9 8", "more than one column x: rename or remove one"),
        ("participants.tsv", "participant_id x\nsub-01 9\0", "participants.tsv holds NUL bytes"),
        ("participants.tsv", "participant_id x\nsub-77 9", "nobody with results is in participants.tsv"),
        ("phenotype/a.tsv", "participant_id x\nsub-01 9\nsub-01 8", "a.tsv has more than one row for sub-01"),
        (
            "sub-02/sub-02_sessions.tsv",
            "session_id x\nses-a 9\nses-a 8",
            "sub-02_sessions.tsv has more than one row for a",
        ),
        ("sub-02/sub-02_sessions.tsv", "session x\nses-a 9", "has no column session_id"),
        (
            "sub-02/sub-02_sessions.tsv",
            "participant_id session_id x\nsub-01 ses-a 9",
            "names other participants than sub-02",
        ),
        (
            "sessions.tsv",
            "participant_id session_id x\n01 ses-a 9\nsub-01 a 8",
            "more than one row for sub-01 session a",
        ),
    ],
)
def test_bad_tables_are_named(out, bids, name, text, told):
    write_people(bids, text, name)
    with pytest.raises(DatasetFileError, match=told):
        gather(out, bids)


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.symlink_to("nowhere")], ids=["folder", "link"])
@pytest.mark.parametrize(
    "name",
    [
        "participants.tsv",
        "participants.json",
        "sessions.tsv",
        "sessions.json",
        "sub-02/sub-02_sessions.tsv",
        "phenotype/a.tsv",
    ],
)
def test_what_has_the_name_of_a_table_or_dictionary_and_is_no_file_is_named(out, bids, name, make):
    """A link whose content is elsewhere, or a folder: results without it would be others, and nobody would know."""
    (bids / name).parent.mkdir(exist_ok=True)
    (bids / name).unlink(missing_ok=True)
    make(bids / name)
    with pytest.raises(DatasetFileError, match=name):
        gather(out, bids)


def test_a_broken_dictionary_is_named(out, bids):
    (bids / "participants.json").write_text("{")
    with pytest.raises(DatasetFileError, match=r"participants\.json is not JSON"):
        gather(out, bids)


def test_an_empty_table_of_people_is_named(out, bids):
    (bids / "participants.tsv").write_text("")
    with pytest.raises(DatasetFileError, match=r"participants\.tsv is not a table"):
        gather(out, bids)


def test_measures_stay_numbers(out, bids):
    cohort = gather(out, bids)
    numbers = [*cohort.quality, *(column.name for column in cohort.columns)]
    assert all(np.issubdtype(kind, np.floating) for kind in cohort.people[numbers].dtypes)
