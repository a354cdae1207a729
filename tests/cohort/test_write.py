"""Tables as files: the long one repeats what each run's files say, the wide ones what the cohort holds."""

import json

import numpy as np
import pandas as pd
import pytest

from bids_flex.cohort import gather, long_table, write_cohort

from .trees import wandering, write_people, write_run


@pytest.fixture
def cohort(tmp_path):
    out, bids = tmp_path / "out", tmp_path / "bids"
    write_run(out, "01", wandering(5, {(2, 0): 2, (2, 1): 2}), run="1")
    write_run(out, "01", wandering(9, {(3, 1): 2}), run="2")
    write_run(out, "01", wandering(3, {(1, 2): 3}), engine="multilayer", run="1")
    write_people(bids, "participant_id group\nsub-01 n/a", described={"group": {"Levels": {"x": "y"}}})
    return gather(out, bids)


def read(path):
    return pd.read_csv(path, sep="\t", na_values=["n/a"], keep_default_na=False)


def test_the_long_table_has_a_row_for_every_run_place_and_measure(cohort):
    long = pd.concat(long_table(cohort), ignore_index=True)
    key = ["participant_id", "session", "run", "engine", "level", "network", "region", "measure"]
    assert not long.duplicated(key).any()
    # 9 measures and the rarefied one at 1 + 2 + 4 places and persistence, twice; without the rarefied one, once
    assert len(long) == 2 * (10 * 7 + 1) + (9 * 7 + 1)
    row = long[(long["engine"] == "prior") & (long["region"] == "A1") & (long["measure"] == "flexibility")].iloc[0]
    assert row["run"] == "task-rest_run-1"
    assert row["network"] == "A"
    assert row[["observed", "null_mean", "null_sd", "excess", "z", "p"]].tolist() == pytest.approx(
        [0.5, 0.1, 0.05, 0.4, 8, 0.04]
    )
    assert row[["windows", "valid_pairs", "repetition_time", "share_kept"]].tolist() == [5, 4, 2, 0.75]


def test_every_wide_value_of_a_run_is_in_the_long_table(cohort):
    long = pd.concat(long_table(cohort), ignore_index=True)
    first = long[long["run"] == "task-rest_run-1"].fillna({"network": "", "region": ""})
    index = first.set_index(["engine", "measure", "level", "network", "region"])
    for column in cohort.columns:
        told = index.loc[(column.engine, column.measure, column.level, column.network, column.region), column.kind]
        assert told == pytest.approx(cohort.runs[column.name].iloc[0], nan_ok=True)


def test_after_a_cut_the_long_table_has_no_null_values(tmp_path):
    write_run(tmp_path, "01", wandering(5, {(2, 0): 2}))
    write_run(tmp_path, "02", wandering(9, {(7, 0): 2}))
    long = pd.concat(long_table(gather(tmp_path, tmp_path, equalise="truncate")))
    assert long[["null_mean", "null_sd", "excess", "z", "p"]].isna().all(axis=None)
    told = long[(long["region"] == "A1") & (long["measure"] == "flexibility")]
    assert told["observed"].tolist() == [0.5, 0]


def test_files_repeat_the_cohort_and_describe_themselves(cohort, tmp_path):
    folder = tmp_path / "group"
    write_cohort(folder, cohort)
    people = read(folder / "participants_dynamics.tsv")
    regions = read(folder / "participants_desc-regions_dynamics.tsv")
    assert people["participant_id"].tolist() == ["sub-01"]
    assert people["group"].isna().all()
    both = {**people.iloc[0], **regions.iloc[0]}
    assert set(both) == set(cohort.people)
    for column in cohort.columns:
        assert both[column.name] == pytest.approx(cohort.people[column.name].iloc[0], rel=1e-11, nan_ok=True)
    assert "prior_flexibility_A1" not in people
    runs = read(folder / "runs_desc-wide_dynamics.tsv")
    assert runs["run"].tolist() == ["task-rest_run-1", "task-rest_run-2"]
    assert np.allclose(
        read(folder / "runs_desc-wideregions_dynamics.tsv")["prior_flexibility_A1"], cohort.runs["prior_flexibility_A1"]
    )
    assert len(read(folder / "runs_dynamics.tsv")) == sum(map(len, long_table(cohort)))
    for path in folder.glob("*.tsv"):
        told = json.loads(path.with_suffix(".json").read_text())
        assert set(read(path).columns) <= set(told), path.name
    assert json.loads((folder / "participants_dynamics.json").read_text())["group"]["Levels"] == {"x": "y"}
    assert len(read(folder / "participants_flow.tsv")) == 3


def test_tables_written_in_parts_are_the_same_table(tmp_path, monkeypatch):
    from bids_flex.bids import outputs

    table = pd.DataFrame({"run": [str(i) for i in range(7)], "seconds": np.arange(7) / 3})
    outputs.write_table(tmp_path / "whole.tsv", table, {})
    monkeypatch.setattr(outputs, "ROWS_AT_ONCE", 2)
    outputs.write_table(tmp_path / "parts.tsv", table, {})
    assert (tmp_path / "parts.tsv").read_bytes() == (tmp_path / "whole.tsv").read_bytes()


def test_a_failure_half_way_leaves_no_file(tmp_path):
    from bids_flex.bids.outputs import write_table_parts

    def parts():
        yield pd.DataFrame({"run": ["1"]})
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        write_table_parts(tmp_path / "x.tsv", parts(), {})
    assert not list(tmp_path.iterdir())
