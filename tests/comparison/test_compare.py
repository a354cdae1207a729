"""Models on tables of people, made of trees whose numbers follow by hand."""

import json

import numpy as np
import pytest

from bids_flex.cohort import gather
from bids_flex.comparison import compare, find_models, write_comparison
from bids_flex.comparison.models import adjusted, without
from bids_flex.config import GroupSettings
from bids_flex.errors import DatasetFileError
from bids_flex.stats import read_models
from tests.cohort.trees import wandering, write_people, write_run

MODEL = {
    "Name": "drug",
    "BIDSModelVersion": "1.0.0",
    "Nodes": [
        {
            "Level": "Dataset",
            "Name": "dataset",
            "GroupBy": [],
            "Transformations": {
                "Transformer": "pybids-transforms-v1",
                "Instructions": [
                    {"Name": "Factor", "Input": ["drug"]},
                    {"Name": "Demean", "Input": ["age", "mean_fd"]},
                ],
            },
            "Model": {"Type": "glm", "X": ["drug.no", "drug.yes", "age", "mean_fd"]},
            "Contrasts": [
                {"Name": "d", "ConditionList": ["drug.no", "drug.yes"], "Weights": [-1, 1], "Test": "t"},
            ],
        }
    ],
}


def moves(number):
    """Person ``number`` changes one region at 2 of 8 pairs for each unit: flexibility 2 number / 8 / 4."""
    return wandering(9, {(2 * step + 1, 0): 2 for step in range(number)})


def study(out, bids, sessions=("",)):
    """Eight people, four of whom take a drug and change more; displacement differs from person to person."""
    rows = []
    for number in range(8):
        label, drug = f"{number:02d}", number >= 4
        rows.append(f"sub-{label} {'yes' if drug else 'no'} {20 + number % 3}")
        for place, ses in enumerate(sessions):
            steps = (number % 2) + 1 + 2 * drug - (place == 1 and number % 2)
            for engine in ("prior", "multilayer"):
                write_run(out, label, moves(steps), ses=ses, engine=engine, fd=0.1 + 0.02 * number)
    write_people(bids, "\n".join(["participant_id drug age", *rows]))


@pytest.fixture
def folders(tmp_path):
    (tmp_path / "bids").mkdir()
    return tmp_path / "out", tmp_path / "bids"


def asked(cohort, **changes):
    settings = GroupSettings(**{"groups": ("drug",), "permutations": 50, **changes})
    return find_models(settings, cohort, seed=0)


def test_the_primary_family_is_that_of_the_primary_engine(folders):
    study(*folders)
    cohort = gather(*folders)
    (model,) = asked(cohort)
    found = compare(model, cohort, 0.2)
    tests = found.result.tests.set_index(["outcome", "contrast"])
    # users change at 2 (1 + 2) and 2 (2 + 2), others at 2 and 4 of 8 pairs of one in four regions
    expected = np.mean([2, 4, 2, 4]) / 8 / 4 - np.mean([6, 8, 6, 8]) / 8 / 4
    assert tests.loc[("prior_flexibility", "no - yes"), "estimate"] == pytest.approx(expected, abs=1e-12)
    families = tests["family"].str.partition(":")[0]
    assert set(families[families.str.startswith("primary")].index.get_level_values(0)) == {
        "prior_flexibility", "prior_promiscuity",
    }  # fmt: skip
    assert families["multilayer_flexibility", "no - yes"] == "global, other engine"
    assert families["prior_flexibility_A1", "no - yes"] == "regions"
    assert found.flow.iloc[-1].tolist() == ["in model", 8, 8]
    assert found.mixed.empty


def test_without_high_motion_only_those_who_lie_still_are_asked(folders):
    study(*folders)
    cohort = gather(*folders)
    (model,) = asked(cohort)
    table = compare(model, cohort, 0.19).sensitivity
    still = table[table["analysis"] == "mean displacement at most 0.19 mm"].set_index("outcome")
    # persons 0 to 4 have .10 to .18 mm; one user alone has no variance for HC3
    assert (still["n"] == 5).all()
    assert "one person alone determines drug.yes" in still.loc["prior_flexibility", "reason"]
    assert still.loc["prior_promiscuity", "reason"] == "the same value for everybody"
    others = table[table["analysis"] == "the other engine (multilayer)"].set_index("outcome")
    assert others.loc["multilayer_flexibility", "n"] == 8
    assert not table["outcome"].isin(["prior_flexibility_excess", "prior_flexibility_z"]).any()


def test_z_is_not_compared_where_pairs_differ(folders):
    study(*folders)
    write_run(folders[0], "00", wandering(12, {(2, 0): 2}), engine="multilayer")
    cohort = gather(*folders)
    (model,) = asked(cohort)
    table = compare(model, cohort, 1.0).sensitivity.set_index("analysis")
    assert table.loc["z of multilayer", "reason"] == "numbers of valid pairs differ, and z grows with them"
    assert table.loc["excess of multilayer", "estimate"].notna().any()


def test_sessions_move_as_whole_people_and_have_a_mixed_model(folders, tmp_path):
    study(*folders, sessions=("1", "2"))
    cohort = gather(*folders, unit="session")
    assert len(cohort.people) == 16
    (model,) = asked(cohort, unit="session", permutations=1000)
    assert (model.model.settings.blocks, model.model.settings.exchange) == ("participant_id", "whole")
    found = compare(model, cohort, 1.0)
    row = found.result.tests.set_index(["outcome", "contrast"]).loc[("prior_flexibility", "no - yes")]
    # eight people, four in each group: 8! / (4! 4!) = 70 different orders, of which two are as extreme as this one
    assert (row["n"], row["n_permutations"], bool(row["exact"])) == (16, 70, True)
    assert row["p_perm"] == pytest.approx(2 / 70)
    mixed = found.mixed.set_index("outcome").loc["prior_flexibility"]
    assert (mixed["n"], mixed["groups"]) == (16, 8)
    # with as many sessions of everybody the mixed model's estimate is the difference of means
    assert mixed["estimate"] == pytest.approx(row["estimate"], rel=1e-6)
    write_comparison(tmp_path / "group", found, cohort, "caution", None)
    told = json.loads((tmp_path / "group" / "model-drug.json").read_text())
    assert any("Rows are sessions" in text for text in told["Warnings"])
    assert (tmp_path / "group" / "model-drug_stat-mixed.tsv").exists()


def test_unequal_runs_become_covariates_of_every_model(folders, tmp_path):
    study(*folders)
    write_run(folders[0], "00", moves(1)[:7])
    write_run(folders[0], "05", moves(3)[:8])
    cohort = gather(*folders, equalise="covariate")
    assert "valid_pairs" in cohort.covariates
    file = tmp_path / "model.json"
    file.write_text(json.dumps(MODEL))
    for model in asked(cohort, models=(str(file),), groups=()):
        assert "valid_pairs" in model.model.predictors
        assert "valid_pairs" in compare(model, cohort, 1.0).result.design.columns


def test_two_models_of_one_name_are_refused(folders, tmp_path):
    study(*folders)
    file = tmp_path / "model.json"
    file.write_text(json.dumps(MODEL))
    with pytest.raises(DatasetFileError, match="two models have the name drug: give each its own Name"):
        asked(gather(*folders), models=(str(file),))


def test_quality_leaves_a_model_where_it_is_the_outcome_unless_it_is_weighed():
    (model,) = read_models(MODEL)
    changed = without(model, ["mean_fd", "drug.no"], "quality")
    assert changed.predictors == ("drug.no", "drug.yes", "age")
    assert [one.inputs for one in changed.instructions] == [("drug",), ("age",)]
    assert changed.name == "drug: quality"
    again = adjusted(changed, ["mean_fd", "age"], "motion")
    assert again.predictors == ("drug.no", "drug.yes", "age", "mean_fd")
    assert [one.inputs for one in again.instructions][-1] == ("mean_fd",)


def test_measures_that_go_along_with_quality_are_told(folders):
    study(*folders)
    cohort = gather(*folders)
    (model,) = asked(cohort)
    table = compare(model, cohort, 1.0).correlations.set_index(["measure", "quality", "kind"])
    people = cohort.people
    expected = people["prior_flexibility"].corr(people["mean_fd"])
    assert table.loc[("prior_flexibility", "mean_fd", "plain"), "r"] == pytest.approx(expected)
    within = people[["prior_flexibility", "mean_fd"]] - people.groupby("drug")[
        ["prior_flexibility", "mean_fd"]
    ].transform("mean")
    partial = within["prior_flexibility"].corr(within["mean_fd"])
    assert table.loc[("prior_flexibility", "mean_fd", "partial"), "r"] == pytest.approx(partial)
