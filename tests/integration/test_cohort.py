"""The table of people on what the app itself has written."""

import json

import numpy as np
import pandas as pd
import pytest

from bids_flex.cohort import gather, long_table
from bids_flex.cohort.blocks import truncated_row, whole_row
from bids_flex.cohort.facts import read_facts


@pytest.fixture(scope="module")
def cohort(study, done):
    return gather(done, study.root)


def test_the_table_repeats_the_participants_files(cohort, done):
    assert cohort.people["participant_id"].tolist() == [f"sub-0{n}" for n in range(1, 7)]
    assert cohort.flow["runs"].tolist() == [6, 6, 6]
    for engine in ("prior", "multilayer"):
        for row in cohort.people.to_dict("records"):
            path = next((done / row["participant_id"]).rglob(f"*_desc-{engine}_dynamics.json"))
            told = json.loads(path.read_text())
            regions = pd.read_csv(path.with_suffix(".tsv"), sep="\t", na_values=["n/a"]).set_index("region")
            assert row[f"{engine}_flexibility"] == told["Global"]["flexibility"]
            assert row[f"{engine}_promiscuity_SomMot"] == told["Networks"]["SomMot"]["promiscuity"]
            assert row[f"{engine}_dwell_z"] == pytest.approx(told["NullModel"]["Global"]["dwell"]["z"], nan_ok=True)
            for name in regions.index:
                excess = row[f"{engine}_recruitment_excess_{name}"]
                assert excess == pytest.approx(regions.loc[name, "recruitment_excess"], nan_ok=True)
            most = told["Windows"]["ValidPairs"] * (told["Regions"]["Searched"] - 1)
            assert row[f"{engine}_cohesion_strength"] == pytest.approx(told["Global"]["cohesion_strength"] / most)
            assert row[f"{engine}_valid_pairs"] == told["Windows"]["ValidPairs"]
            assert row["share_kept"] == 1 - told["Quality"]["share_censored"]


def test_the_data_sets_columns_and_levels_are_there(cohort, study):
    people = pd.read_csv(study.root / "participants.tsv", sep="\t", dtype=str, na_values=["n/a"], keep_default_na=False)
    assert cohort.people["antidepressant"].tolist() == people["antidepressant"].tolist()
    described = json.loads((study.root / "participants.json").read_text())
    assert set(cohort.categorical) == {name for name, entry in described.items() if "Levels" in entry}


def test_labels_give_the_measures_again(done):
    """What a cut run would be measured by is what the participant level has measured, when nothing is cut."""
    for facts in read_facts(done, None, "prior")["prior"].values():
        (layout, again), pairs = truncated_row(facts, facts.windows)
        whole, values = whole_row(facts)
        known = dict(zip(whole.columns, values, strict=True))
        assert pairs == facts.pairs
        assert len(layout.columns) > 9 * 28
        told = np.array([known[column] for column in layout.columns])
        np.testing.assert_allclose(again, told, rtol=1e-10, atol=1e-12)


def test_rarefied_promiscuity_of_all_windows_is_promiscuity(cohort):
    fewest = cohort.people["prior_windows"] == cohort.rarefied_windows["people"]
    short, longer = cohort.people[fewest], cohort.people[~fewest]
    assert np.allclose(short["prior_promiscuity_rarefied"], short["prior_promiscuity"])
    assert (longer["prior_promiscuity_rarefied"] <= longer["prior_promiscuity"] + 1e-12).all()


def test_the_long_table_adds_up(cohort):
    long = pd.concat(long_table(cohort), ignore_index=True)
    regions = long[(long["level"] == "region") & (long["measure"] == "flexibility")]
    means = regions.groupby(["engine", "participant_id"])["observed"].mean()
    whole = long[(long["level"] == "global") & (long["measure"] == "flexibility")]
    assert means.to_numpy() == pytest.approx(
        whole.set_index(["engine", "participant_id"])["observed"].loc[means.index].to_numpy()
    )
    held = long.dropna(subset=["null_mean", "excess"])
    assert len(held) > 6 * 2 * 8 * 28
    # of prior, which has no restarts, the observed value is the one that is held against surrogates
    prior = held[held["engine"] == "prior"]
    assert np.allclose(prior["observed"] - prior["null_mean"], prior["excess"], atol=1e-10)
