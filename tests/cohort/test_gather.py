"""One table of people: averages, pooling, who is left out, and files that are not whole."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_flex.cohort import gather
from bids_flex.cohort.average import weighted
from bids_flex.dynamics import rarefied_promiscuity
from bids_flex.errors import DatasetFileError, NoMatchError, UsageError

from .trees import wandering, write_people, write_run


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def bids(tmp_path):
    (tmp_path / "bids").mkdir()
    return tmp_path / "bids"


def one(cohort, name, row=0):
    return cohort.people[name].iloc[row]


def test_a_hand_made_run_gives_its_columns(out, bids):
    # region A1 leaves for network B in window 2 of 5 and comes back: 2 of its 4 pairs change
    write_run(out, "01", wandering(5, {(2, 0): 2}))
    cohort = gather(out, bids)
    assert one(cohort, "participant_id") == "sub-01"
    assert one(cohort, "runs") == 1
    assert one(cohort, "valid_pairs") == 4
    assert one(cohort, "prior_flexibility_A1") == 0.5
    assert one(cohort, "prior_flexibility_A2") == 0
    assert one(cohort, "prior_flexibility_A") == 0.25
    assert one(cohort, "prior_flexibility") == 0.125
    # of 2 networks it takes both: (2 - 1) / (2 - 1)
    assert one(cohort, "prior_promiscuity_A1") == 1
    assert one(cohort, "prior_promiscuity") == 0.25
    assert one(cohort, "prior_flexibility_excess") == pytest.approx(0.025)
    assert one(cohort, "prior_flexibility_z_A1") == pytest.approx(8)
    assert one(cohort, "share_kept") == 0.75
    assert one(cohort, "prior_share_unsettled") == pytest.approx(1 / 5)
    assert one(cohort, "repetition_time") == 2
    assert one(cohort, "window_length") == 60
    assert "session" not in cohort.people


def test_counts_of_mutual_changes_are_divided_by_pairs_and_other_regions(out, bids):
    # A1 and A2 go and come back together: each has 2 mutual changes with 1 region, over 4 pairs and 3 other regions
    write_run(out, "01", wandering(5, {(2, 0): 2, (2, 1): 2}))
    cohort = gather(out, bids)
    assert one(cohort, "prior_cohesion_strength_A1") == pytest.approx(2 / (4 * 3))
    assert one(cohort, "prior_cohesion_strength") == pytest.approx((2 + 2 + 0 + 0) / 4 / (4 * 3))
    assert cohort.described["prior_cohesion_strength"]["Units"] == "1"


def test_runs_are_weighted_by_their_pairs_and_promiscuity_is_pooled(out, bids):
    # run 1: A1 changes at 2 of 4 pairs; run 2: A2 changes at 2 of 8
    write_run(out, "01", wandering(5, {(2, 0): 2}), run="1", fd=0.1)
    write_run(out, "01", wandering(9, {(3, 1): 2}), run="2", fd=0.4)
    cohort = gather(out, bids)
    assert one(cohort, "runs") == 2
    assert one(cohort, "valid_pairs") == 12
    assert one(cohort, "prior_flexibility_A1") == pytest.approx(2 / 12)
    assert one(cohort, "prior_flexibility_A2") == pytest.approx(2 / 12)
    assert one(cohort, "mean_fd") == pytest.approx((4 * 0.1 + 8 * 0.4) / 12)
    assert one(cohort, "kept_minutes") == 24
    # both leave home once over both runs, where an average of runs would say a third and two thirds
    assert one(cohort, "prior_promiscuity_A1") == 1
    assert one(cohort, "prior_promiscuity_A2") == 1
    assert one(cohort, "prior_promiscuity") == 0.5
    assert one(cohort, "prior_promiscuity_A") == 1
    assert cohort.runs["prior_promiscuity_A1"].tolist() == [1, 0]
    assert cohort.runs["run"].tolist() == ["task-rest_run-1", "task-rest_run-2"]
    # pooled: 14 windows are drawn of 14; of runs: 5 of 9 windows miss the one with probability 4/9
    assert cohort.rarefied_windows == {"runs": 5, "people": 14}
    assert one(cohort, "prior_promiscuity_rarefied_A2") == pytest.approx(1)
    assert cohort.runs["prior_promiscuity_rarefied_A2"].tolist() == pytest.approx([0, 5 / 9])


def test_rarefied_promiscuity_is_that_of_the_shortest_in_the_table(out, bids):
    write_run(out, "01", wandering(6, {(2, 0): 2}))
    write_run(out, "02", wandering(20, {(2, 0): 2, (4, 2): 1, (5, 2): 1}))
    cohort = gather(out, bids)
    assert cohort.rarefied_windows["people"] == 6
    assert one(cohort, "prior_promiscuity_rarefied_A1", 0) == 1
    # 6 of 20 windows meet the one with probability 6/20
    assert one(cohort, "prior_promiscuity_rarefied_A1", 1) == pytest.approx(0.3)
    # two marked windows are both missed with probability (18 choose 6) / (20 choose 6)
    assert one(cohort, "prior_promiscuity_rarefied_B1", 1) == pytest.approx(1 - (14 * 13) / (20 * 19))
    both = (0.3 + 1 - (14 * 13) / (20 * 19)) / 4
    assert one(cohort, "prior_promiscuity_rarefied", 1) == pytest.approx(both)


def test_both_engines_stand_beside_each_other(out, bids):
    write_run(out, "01", wandering(5, {(2, 0): 2}))
    write_run(out, "01", wandering(3, {(1, 2): 3}), engine="multilayer", tr=2.0, length=100)
    write_run(out, "02", wandering(5, {}))
    cohort = gather(out, bids)
    assert one(cohort, "multilayer_flexibility_B1") == 1
    assert one(cohort, "multilayer_modularity") == 0.6
    assert one(cohort, "multilayer_communities") == 4.5
    assert one(cohort, "multilayer_valid_pairs") == 2
    assert np.isnan(one(cohort, "multilayer_flexibility", 1))
    assert any("multilayer has no results of 1 run (sub-02_task-rest)" in text for text in cohort.warnings)
    assert {"multilayer_modularity", "multilayer_communities", "prior_share_unsettled"} <= set(cohort.quality)
    alone = gather(out, bids, engines=["prior"])
    assert not [name for name in alone.people if name.startswith("multilayer")]
    first = gather(out, bids, primary="multilayer")
    assert one(first, "valid_pairs") == 2
    assert first.primary == "multilayer"


def test_every_column_is_catalogued_and_described(out, bids):
    write_run(out, "01", wandering(5, {(2, 0): 2}))
    cohort = gather(out, bids)
    named = {column.name: column for column in cohort.columns}
    assert named["prior_flexibility_excess_A"].network == "A"
    assert named["prior_flexibility_z_A1"].region == "A1"
    assert named["prior_flexibility_z_A1"].network == "A"
    assert named["prior_promiscuity_rarefied"].measure == "promiscuity_rarefied"
    assert set(cohort.people) | set(cohort.runs) == set(cohort.described)
    assert set(named) | set(cohort.quality) <= set(cohort.people)
    assert "5 windows in the table of people" in cohort.described["prior_promiscuity_rarefied"]["Description"]


def test_without_surrogates_there_is_no_excess(out, bids):
    write_run(out, "01", wandering(5, {(2, 0): 2}), null=None)
    assert {column.kind for column in gather(out, bids).columns} == {"observed"}


def test_sessions_are_rows_when_asked_for(out, bids):
    for ses, windows in (("a", 5), ("b", 9)):
        write_run(out, "01", wandering(windows, {(2, 0): 2}), ses=ses)
    together, apart = gather(out, bids), gather(out, bids, unit="session")
    assert len(together.people) == 1
    assert apart.people["session"].tolist() == ["a", "b"]
    assert apart.people["prior_flexibility_A1"].tolist() == [2 / 4, 2 / 8]
    assert one(together, "prior_flexibility_A1") == pytest.approx(4 / 12)


def test_a_region_that_was_not_searched_is_missing_and_listed(out, bids):
    labels = wandering(5, {(2, 1): 2})
    labels[:, 0] = 0
    write_run(out, "01", labels)
    write_run(out, "02", wandering(5, {}))
    cohort = gather(out, bids)
    assert np.isnan(one(cohort, "prior_flexibility_A1"))
    assert np.isnan(one(cohort, "prior_promiscuity_rarefied_A1"))
    assert one(cohort, "prior_flexibility_A") == 0.5
    listed = cohort.regions.set_index(["participant_id", "network"])
    assert listed.loc[("sub-01", "A"), ["regions", "searched", "missing"]].tolist() == [2, 1, "A1"]
    assert listed.loc[("sub-02", "A"), ["regions", "searched", "missing"]].tolist() == [2, 2, ""]


def test_other_regions_in_another_run_get_columns_of_their_own(out, bids):
    write_run(out, "01", wandering(5, {(2, 0): 2}))
    write_run(out, "02", wandering(5, {(2, 0): 2}), regions=("A1", "A9", "B1", "B2"))
    cohort = gather(out, bids)
    assert cohort.people["prior_flexibility_A1"].tolist() == [0.5, 0.5]
    assert np.isnan(cohort.people["prior_flexibility_A2"]).tolist() == [False, True]
    assert np.isnan(cohort.people["prior_flexibility_A9"]).tolist() == [True, False]


def test_who_is_in_one_source_only_is_listed(out, bids):
    for label in ("01", "02"):
        write_run(out, label, wandering(5, {(2, 0): 2}))
    write_people(bids, "participant_id age\nsub-02 40\nsub-03 50")
    cohort = gather(out, bids)
    assert cohort.people["participant_id"].tolist() == ["sub-02"]
    assert cohort.left_out[["participant_id", "stage", "reason"]].values.tolist() == [
        ["sub-01", "in table", "not in participants.tsv"],
        ["sub-03", "found", "no results of the participant level"],
    ]
    assert cohort.flow.values.tolist() == [["found", 2, 2], ["usable", 2, 2], ["in table", 1, 1]]


def test_without_participants_tsv_the_table_is_made_all_the_same(out, bids):
    write_run(out, "01", wandering(5, {(2, 0): 2}))
    cohort = gather(out, bids)
    assert len(cohort.people) == 1
    assert any("There is no participants.tsv" in text for text in cohort.warnings)


def test_runs_that_failed_and_runs_without_pairs_are_listed(out, bids):
    write_run(out, "01", wandering(5, {(2, 0): 2}), run="1")
    write_run(out, "01", wandering(2, {}), run="2", gap_after=0)
    (out / "sub-03" / "func").mkdir(parents=True)
    logs = out / "logs" / "x"
    logs.mkdir(parents=True)
    rows = ["run\tstate\treason", "sub-01_task-rest_run-1_space-MNI\tdone\tn/a"]
    rows += ["sub-02_task-rest_space-MNI\tfailed\ttoo short", "sub-01_task-rest_run-3_space-MNI\tinterrupted\tn/a"]
    (logs / "status.tsv").write_text("\n".join(rows) + "\n")
    cohort = gather(out, bids)
    assert one(cohort, "runs") == 1
    told = cohort.left_out.set_index(["participant_id", "run"])["reason"]
    assert told["sub-02", "task-rest"] == "failed: too short"
    assert told["sub-01", "task-rest_run-3"] == "interrupted"
    assert "no two consecutive windows" in told["sub-01", "task-rest_run-2"]
    assert "no finished summary" in told["sub-03", ""]
    assert cohort.flow.values.tolist() == [["found", 3, 4], ["usable", 1, 1], ["in table", 1, 1]]


def test_an_old_failure_is_forgotten_once_the_run_is_done(out, bids):
    write_run(out, "01", wandering(5, {(2, 0): 2}))
    (out / "logs" / "x").mkdir(parents=True)
    (out / "logs" / "x" / "status.tsv").write_text("run\tstate\treason\nsub-01_task-rest_space-MNI\tfailed\tdisk\n")
    assert gather(out, bids).left_out.empty


def test_nothing_at_all_names_the_way(out, bids):
    with pytest.raises(NoMatchError, match="no results of the participant level"):
        gather(out, bids)
    write_run(out, "01", wandering(5, {(2, 0): 2}))
    with pytest.raises(NoMatchError, match=r"no results of the engine multilayer .* there are some of prior"):
        gather(out, bids, primary="multilayer")


def test_two_configurations_are_refused_with_their_runs(out, bids):
    write_run(out, "01", wandering(5, {(2, 0): 2}), settings="one")
    write_run(out, "02", wandering(5, {(2, 0): 2}), settings="other")
    with pytest.raises(DatasetFileError, match=r"1 results with one \(sub-01.*1 results with other \(sub-02"):
        gather(out, bids)


def test_engines_of_two_configurations_are_refused(out, bids):
    write_run(out, "01", wandering(5, {(2, 0): 2}), settings="one")
    write_run(out, "01", wandering(5, {(2, 0): 2}), settings="other", engine="multilayer")
    with pytest.raises(DatasetFileError, match="different settings"):
        gather(out, bids)


def test_one_run_in_two_spaces_is_refused(out, bids):
    write_run(out, "01", wandering(5, {(2, 0): 2}), space="MNI")
    write_run(out, "01", wandering(5, {(2, 0): 2}), space="Other")
    with pytest.raises(DatasetFileError, match="a run was analysed twice"):
        gather(out, bids)


def without_last_line(text):
    return "\n".join([*text.split("\n")[:-2], ""])


def with_a_word(text):
    *lines, last, end = text.split("\n")
    fields = last.split("\t")
    return "\n".join([*lines, "\t".join([*fields[:3], "zzz", *fields[4:]]), end])


@pytest.mark.parametrize("ending", ["prior_dynamics.tsv", "prior_communities.tsv"])
@pytest.mark.parametrize("spoil", [without_last_line, with_a_word, lambda text: text[:-3], lambda _: "", None])
def test_tables_that_are_not_whole_are_named(out, bids, ending, spoil):
    path = write_run(out, "01", wandering(7, {(2, 0): 2}))
    write_run(out, "02", wandering(5, {(2, 0): 2}))
    file = path.with_name(path.name.replace("prior_dynamics.json", ending))
    if spoil is None:
        file.unlink()
    else:
        file.write_text(spoil(file.read_text()))
    with pytest.raises(DatasetFileError, match=r"sub-01.*run the participant level again"):
        gather(out, bids)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"Global": {}}'])
def test_summaries_that_are_not_whole_are_named(out, bids, text):
    write_run(out, "01", wandering(7, {(2, 0): 2})).write_text(text)
    with pytest.raises(DatasetFileError, match=r"sub-01.*run the participant level again"):
        gather(out, bids)


def test_a_summary_without_an_entry_is_named(out, bids):
    path = write_run(out, "01", wandering(7, {(2, 0): 2}))
    told = json.loads(path.read_text())
    del told["Windows"]["ValidPairs"]
    path.write_text(json.dumps(told))
    with pytest.raises(DatasetFileError, match="ValidPairs"):
        gather(out, bids)


def test_names_that_collide_are_refused(out, bids):
    write_run(out, "01", wandering(5, {(2, 0): 2}), regions=("A", "A2", "B1", "B2"))
    with pytest.raises(DatasetFileError, match="two columns would be named prior_cohesion_A"):
        gather(out, bids)


@pytest.mark.parametrize("words", [{"unit": "run"}, {"equalise": "yes"}])
def test_senseless_arguments_are_refused(out, bids, words):
    with pytest.raises(UsageError):
        gather(out, bids, **words)


def test_order_of_files_and_names_does_not_matter(out, bids, tmp_path):
    for label in ("02", "01"):
        write_run(out, label, wandering(5, {(2, 0): 2}))
    shutil.copytree(out, tmp_path / "copy")
    pd.testing.assert_frame_equal(gather(out, bids).people, gather(tmp_path / "copy", bids).people)
    assert gather(out, bids).people["participant_id"].tolist() == ["sub-01", "sub-02"]


values = st.lists(
    st.tuples(st.one_of(st.floats(-5, 5), st.just(float("nan"))), st.integers(0, 300)), min_size=1, max_size=6
)


@given(values)
def test_averages_are_those_of_what_is_there(pairs):
    numbers, weights = np.array(pairs, dtype=float).T
    found = weighted(numbers[:, None], weights)[0]
    there = np.isfinite(numbers) & (weights > 0)
    if not there.any():
        assert np.isnan(found)
        return
    # repeating a value as often as its weight says gives the same plain mean
    repeated = np.repeat(numbers[there], weights[there].astype(int))
    assert found == pytest.approx(repeated.mean(), abs=1e-9)
    assert numbers[there].min() - 1e-12 <= found <= numbers[there].max() + 1e-12


@given(st.lists(st.lists(st.integers(1, 3), min_size=2, max_size=9), min_size=1, max_size=3), st.integers(0, 99))
def test_pooling_runs_is_measuring_their_windows_as_one(tmp_path_factory, runs, seed):
    """Flexibility of pairs and promiscuity of windows: both follow from all runs' labels."""
    folder = tmp_path_factory.mktemp("pooled")
    rng = np.random.default_rng(seed)
    labels = [rng.integers(1, 3, (len(run), 4)) for run in runs]
    for number, one_run in enumerate(labels, start=1):
        write_run(folder, "01", one_run, run=str(number), null=None)
    row = gather(folder, folder).people.iloc[0]
    whole = np.concatenate(labels)
    changes = sum((np.diff(one_run, axis=0) != 0).sum(axis=0) for one_run in labels)
    pairs = sum(len(one_run) - 1 for one_run in labels)
    assert row["prior_flexibility"] == pytest.approx((changes / pairs).mean())
    taken = np.array([len(set(column)) for column in whole.T])
    assert row["prior_promiscuity"] == pytest.approx((taken - 1).mean())
    expected = rarefied_promiscuity(whole, len(whole), 2)
    assert row["prior_promiscuity_rarefied"] == pytest.approx(expected.mean())
