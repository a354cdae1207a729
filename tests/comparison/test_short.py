"""The short form: which models it stands for."""

import numpy as np
import pytest

from bids_flex.cohort import gather
from bids_flex.comparison import compare, find_models
from bids_flex.config import GroupSettings
from bids_flex.errors import DatasetFileError, UsageError
from tests.cohort.trees import wandering, write_people, write_run

PEOPLE = """\
participant_id dx drug user site
sub-00 ill yes 1 a
sub-01 ill yes 1 b
sub-02 ill no 0 a
sub-03 ill no 0 b
sub-04 well never 0 a
sub-05 well never 0 b
sub-06 well never 0 a
sub-07 ill yes 1 b
sub-08 ill no 0 a
sub-09 well never 0 b
"""
STEPS = (3, 4, 1, 2, 1, 0, 2, 4, 1, 1)


@pytest.fixture
def cohort(tmp_path):
    for number, steps in enumerate(STEPS):
        labels = wandering(9, {(2 * step + 1, 0): 2 for step in range(steps)})
        write_run(tmp_path, f"{number:02d}", labels, fd=0.1 + 0.01 * number)
    write_people(tmp_path, PEOPLE.strip())
    return gather(tmp_path, tmp_path)


def models(cohort, **settings):
    return find_models(GroupSettings(**{"permutations": 50, **settings}), cohort, seed=0)


def estimate(model, cohort, contrast):
    tests = compare(model, cohort, 1.0).result.tests.set_index(["outcome", "contrast"])
    return tests.loc[("prior_flexibility", contrast), "estimate"]


def test_every_column_has_a_model_with_the_contrasts_of_its_levels(cohort):
    found = models(cohort, groups=("dx", "site"), contrasts=("a - b", "ill - well"), covariates=("dx", "mean_fd"))
    assert [one.model.name for one in found] == ["dx", "site"]
    assert [[c.name for c in one.model.contrasts] for one in found] == [["ill - well"], ["a - b"]]
    # a column is no covariate of itself
    assert found[0].model.predictors == ("dx.ill", "dx.well", "mean_fd")
    assert found[1].model.predictors == ("site.a", "site.b", "dx.well", "mean_fd")


def test_medication_is_adjusted_for_and_the_marginal_model_stands_beside_it(cohort):
    adjusted, marginal = models(cohort, groups=("dx",), medication="user")
    assert [adjusted.model.name, marginal.model.name] == ["dx", "dx-marginal"]
    # a person changes one of four regions at 2 steps of 8 pairs
    flexible = np.array(STEPS) / 16
    ill = np.array([line.split()[1] == "ill" for line in PEOPLE.splitlines()[1:]])
    user = np.array([int(line.split()[3]) for line in PEOPLE.splitlines()[1:]])
    assert estimate(marginal, cohort, "ill - well") == pytest.approx(flexible[ill].mean() - flexible[~ill].mean())
    # only the ill take it: with medication in the model, diagnoses are those of people without it
    expected = flexible[ill & (user == 0)].mean() - flexible[~ill].mean()
    assert estimate(adjusted, cohort, "ill - well") == pytest.approx(expected)


def test_medication_itself_has_one_model(cohort):
    assert [one.model.name for one in models(cohort, groups=("user", "dx"), medication="user")] == [
        "user", "dx", "dx-marginal",
    ]  # fmt: skip


def test_only_some_take_part_and_the_model_is_named_after_them(cohort):
    (model,) = models(cohort, groups=("drug",), only=("drug=yes,no", "site=a"))
    assert model.model.name == "drug-yes-no-a"
    (within,) = models(cohort, groups=("drug",), only=("drug=yes,no",))
    assert estimate(within, cohort, "no - yes") == pytest.approx((4 / 3 - 11 / 3) / 16)
    assert compare(within, cohort, 1.0).flow.iloc[-1]["participants"] == 6


@pytest.mark.parametrize(
    ("settings", "kind", "told"),
    [
        ({"groups": ("dx", "drug"), "contrasts": ("ill - never",)}, UsageError, "is no contrast of dx or drug"),
        ({"groups": ("dx", "weight"), "contrasts": ("ill - well",)}, UsageError, "--groups names a column weight"),
        ({"groups": ("drug",), "only": ("drug",)}, UsageError, "write COLUMN=LEVEL"),
        ({"groups": ("drug",), "only": ("pill=1",)}, UsageError, "--only names a column pill"),
        ({"groups": ("drug",), "only": ("drug=often",)}, DatasetFileError, "no row has drug often; there are never"),
        ({"groups": ("dx",), "medication": "pill"}, UsageError, "--medication names a column pill"),
    ],
)
def test_what_is_not_there_is_named(cohort, settings, kind, told):
    with pytest.raises(kind, match=told):
        models(cohort, **settings)


@pytest.mark.parametrize(
    ("option", "settings"),
    [
        ("--groups", {"groups": ("Drug", "drugg")}),
        ("--covariates", {"groups": ("dx",), "covariates": ("drugg", "mean_fd")}),
        ("--medication", {"groups": ("dx",), "medication": "drugg"}),
        ("--harmonise", {"groups": ("dx",), "harmonise": "drugg"}),
        ("--only", {"groups": ("dx",), "only": ("drugg=yes",)}),
    ],
)
def test_a_misspelt_column_names_the_nearest_and_those_of_the_data_set(cohort, option, settings):
    """Forty measures were listed, and no column of participants.tsv; some options listed nothing."""
    with pytest.raises(UsageError) as told:
        models(cohort, **settings)
    assert f"{option} names a column " in str(told.value)
    assert "did you mean drug" in str(told.value)
    assert "the data set's tables have dx, drug, user, site; the quality of data is mean_fd" in str(told.value)


def test_sites_are_taken_out_and_the_tested_columns_kept(cohort):
    pytest.importorskip("neuroHarmonize", reason="the extra harmonise is not installed")
    (model,) = models(cohort, groups=("dx",), harmonise="site")
    assert model.document["Nodes"][0]["Model"]["Software"]["bids_flex"]["Harmonise"] == "site"
    (plain,) = models(cohort, groups=("dx",))
    sites = []
    for one in (plain, model):
        result = compare(one, cohort, 1.0).result
        indicators = np.column_stack([result.design.matrix, (cohort.people["site"] == "b").to_numpy(dtype=float)])
        sites.append(np.linalg.lstsq(indicators, result.table["prior_flexibility"], rcond=None)[0][-1])
    assert abs(sites[1]) < abs(sites[0]) / 10
    # as many of both groups from either site, near enough: what is tested stays
    assert estimate(model, cohort, "ill - well") == pytest.approx(estimate(plain, cohort, "ill - well"), rel=0.02)
