"""Curves of universes, made of trees whose numbers follow by hand."""

import numpy as np
import pandas as pd
import pytest

from bids_flex.bids.check import check_outputs
from bids_flex.bids.outputs import write_dataset
from bids_flex.cohort import gather
from bids_flex.comparison import compare, find_models
from bids_flex.config import GroupSettings
from bids_flex.errors import DatasetFileError, UsageError
from bids_flex.multiverse.curves import Member, compare_universes
from bids_flex.multiverse.write import write_curves, write_members
from tests.cohort.trees import wandering, write_people, write_run

ASKED = GroupSettings(groups=("drug",), covariates=("age",), contrasts=("yes - no",), permutations=600)
UNIVERSES = {
    "aaaaaaaa": ("prior", "60s", 0),
    "bbbbbbbb": ("prior", "100s", 1),
    "cccccccc": ("multilayer", "60s", 2),
    "dddddddd": ("multilayer", "100s", 3),
}
CHOICES = ("engine", "window")


def moves(number):
    return wandering(9, {(2 * step + 1, 0): 2 for step in range(number)})


def steps_of(person, universe):
    """Users change more; how much anybody does differs between universes."""
    return (person * (1, 3, 1)[universe] + universe) % 4 // 2 + 2 * (person >= 5)


@pytest.fixture
def members(tmp_path):
    """Four universes of ten people; the last has nobody, and the second lacks person 03."""
    bids = tmp_path / "bids"
    bids.mkdir()
    rows = [f"sub-{n:02d} {'yes' if n >= 5 else 'no'} {20 + n % 3 + n % 2}" for n in range(10)]
    write_people(bids, "\n".join(["participant_id drug age", *rows]))
    found = []
    for name, (engine, window, number) in UNIVERSES.items():
        levels = {"engine": engine, "window": window}
        if number == 3:
            found.append(Member(name, levels, None, "there are no results"))
            continue
        out = tmp_path / "out" / "universes" / name
        for person in range(10):
            if (number, person) != (1, 3):
                write_run(out, f"{person:02d}", moves(steps_of(person, number)), engine=engine, fd=0.1 + 0.01 * person)
        cohort = gather(out, bids, engines=[engine], primary=engine)
        found.append(Member(name, levels, cohort))
    return found


def one_curve(curves, measure="flexibility"):
    table = curves.curve
    return table[table["measure"] == measure].set_index("universe")


def test_each_universe_has_the_numbers_of_its_own_group_level(members):
    (curves,) = compare_universes(members, ASKED, seed=0)
    assert curves.people == 10
    for one in members[:3]:
        (model,) = find_models(ASKED, one.cohort, seed=0)
        alone = compare(model, one.cohort, 1.0).result.tests
        for measure in ("flexibility", "promiscuity"):
            outcome = f"{one.levels['engine']}_{measure}"
            (row,) = alone[(alone["outcome"] == outcome) & (alone["contrast"] == "yes - no")].to_dict("records")
            mine = one_curve(curves, measure).loc[one.name]
            for name in ("estimate", "ci_low", "ci_high", "effect", "effect_low", "effect_high", "p", "n"):
                assert mine[name] == pytest.approx(row[name], rel=1e-9), (one.name, name)


def test_a_curve_is_sorted_and_gaps_stay_in_it(members):
    (curves,) = compare_universes(members, ASKED, seed=0)
    curve = one_curve(curves)
    assert set(curve.index) == set(UNIVERSES)
    effects = curve["effect"].dropna()
    assert effects.is_monotonic_increasing
    assert curve["rank"].tolist()[:3] == [1, 2, 3]
    assert np.isnan(curve.loc["dddddddd", "rank"])
    assert curve.loc["dddddddd", "reason"] == "there are no results"
    assert curve["lacking"].to_dict() == {"aaaaaaaa": 0, "bbbbbbbb": 1, "cccccccc": 0, "dddddddd": 10}
    assert curve["n"].to_dict() == {"aaaaaaaa": 10, "bbbbbbbb": 9, "cccccccc": 10, "dddddddd": 0}
    gaps = curves.gaps
    assert gaps[gaps["universe"] == "bbbbbbbb"][["participant_id", "reason"]].to_numpy().tolist() == [
        ["sub-03", "no results of the participant level"]
    ]
    assert (gaps["universe"] == "dddddddd").sum() == 10
    assert len(gaps) == 11


def test_the_curve_is_tested_and_taken_apart(members):
    (curves,) = compare_universes(members, ASKED, seed=0)
    test = curves.tests.set_index("measure").loc["flexibility"]
    curve = one_curve(curves)
    assert (test["universes"], test["specifications"], test["draws"]) == (4, 3, 600)
    assert test["median"] == pytest.approx(curve["effect"].median())
    assert test["share"] == pytest.approx((curve["p"] < 0.05).sum() / 3)
    assert test["sign"] == "positive"
    assert test["p_median"] < 0.05
    assert (curve["significant"].dropna() == np.where(curve["p"].dropna() < 0.05, "true", "false")).all()
    parts = curves.influence[curves.influence["measure"] == "flexibility"].set_index(["choice", "level"])
    assert parts["with_level"].to_dict() == {
        ("engine", "prior"): 2, ("engine", "multilayer"): 1, ("window", "60s"): 2, ("window", "100s"): 1,
    }  # fmt: skip
    without = curve.loc[["aaaaaaaa", "bbbbbbbb"], "effect"].median()
    assert parts.loc[("engine", "multilayer"), "median_without"] == pytest.approx(without)
    assert parts.loc[("engine", "prior"), "median_with"] == pytest.approx(without)
    assert parts.loc[("engine", "multilayer"), "influence"] == pytest.approx(test["median"] - without)
    assert parts["explained"].between(0, 1).all()


def test_a_universe_may_have_all_people_and_no_variance(members, tmp_path):
    out = tmp_path / "same"
    for person in range(10):
        write_run(out, f"{person:02d}", moves(1), engine="prior", fd=0.1)
    same = Member("eeeeeeee", {"engine": "prior", "window": "30s"}, gather(out, tmp_path / "bids", engines=["prior"]))
    (curves,) = compare_universes([*members, same], ASKED, seed=0)
    row = one_curve(curves).loc["eeeeeeee"]
    assert row["reason"] == "the same value for everybody"
    assert np.isnan(row["effect"])
    assert curves.tests.set_index("measure").loc["flexibility", "specifications"] == 3
    alone = compare_universes([same], ASKED, seed=0)[0]
    assert alone.curve["reason"].tolist() == ["the same value for everybody"] * 2
    assert alone.tests["specifications"].tolist() == [0, 0]
    assert alone.tests["median"].isna().all()
    assert alone.influence.empty


def test_the_files_fit_their_dictionaries(members, tmp_path):
    (curves,) = compare_universes(members, ASKED, seed=0)
    folder = tmp_path / "written" / "group"
    write_dataset(folder.parent, None, "")
    write_members(folder, members, CHOICES)
    write_curves(folder, curves, CHOICES)
    tables, faults = check_outputs(folder.parent)
    assert faults == []
    assert tables == 5
    read = pd.read_csv(folder / "multiverse-drug_stat-curve.tsv", sep="\t", na_values=["n/a"], keep_default_na=False)
    # two measures in four universes, and the excess in the two of multilayer
    assert read["measure"].value_counts().to_dict() == {"flexibility": 4, "promiscuity": 4, "flexibility_excess": 2}
    assert read["effect"].tolist() == pytest.approx(curves.curve["effect"].tolist(), nan_ok=True)
    listed = pd.read_csv(folder / "multiverse_universes.tsv", sep="\t", na_values=["n/a"], keep_default_na=False)
    assert listed["participants"].tolist() == [10, 9, 10, 0]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"permutations": 499}, "a curve is held against 500 at least"),
        ({"unit": "session"}, "curves are of participants"),
    ],
)
def test_what_no_curve_can_be_made_of_is_refused(members, changes, told):
    settings = GroupSettings(**{"groups": ("drug",), "permutations": 600, **changes})
    with pytest.raises(UsageError, match=told):
        compare_universes(members, settings, seed=0)


def test_a_multiverse_without_results_says_so(members):
    with pytest.raises(DatasetFileError, match=r"no universe has results \(there are no results\)"):
        compare_universes(members[3:], ASKED, seed=0)
