"""Designs from tables."""

import numpy as np
import pandas as pd
import pytest

from bids_flex import stats
from bids_flex.errors import DatasetFileError, UsageError


def people(n=30, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "participant_id": [f"{i:02d}" for i in range(n)],
            "drug": np.array(["user", "nonuser", "control"])[np.arange(n) % 3],
            "age": rng.uniform(18, 65, n).round(1).astype(str),
            "site": np.array(["A", "B"])[rng.integers(0, 2, n)],
            "flexibility": rng.standard_normal(n),
            "promiscuity": rng.standard_normal(n),
        }
    )


def test_cell_means_and_centred_covariates():
    table = people()
    design = stats.make_design(table, "drug", ["age", "site"])
    assert design.columns == ("drug.control", "drug.nonuser", "drug.user", "age", "site.B")
    assert design.levels == ("control", "nonuser", "user")
    np.testing.assert_allclose(design.matrix[:, 3:].mean(axis=0), 0, atol=1e-12)
    assert (design.matrix[:, :3].sum(axis=1) == 1).all()


def test_levels_may_be_numbers_words_of_code_or_hold_spaces():
    table = people()
    for levels in (["0", "1", "2"], ["class", "import", "lambda"], ["a b", "a - b", "c"]):
        table["drug"] = np.array(levels)[np.arange(30) % 3]
        design = stats.make_design(table, "drug")
        assert design.levels == tuple(sorted(levels))
        named = stats.parse_contrasts(design, [f"{levels[0]} - {levels[2]}"])
        (weights,) = named.values()
        assert weights[design.levels.index(levels[0])] == 1
        assert weights[design.levels.index(levels[2])] == -1


def test_contrasts_by_hand():
    """Without any named, all pairs in alphabetical order; the omnibus holds each level against the first."""
    design = stats.make_design(people(), "drug", ["age"])
    assert design.omnibus().tolist() == [[1, -1, 0, 0], [1, 0, -1, 0]]
    assert {name: row.tolist() for name, row in stats.parse_contrasts(design).items()} == {
        "control - nonuser": [1, -1, 0, 0],
        "control - user": [1, 0, -1, 0],
        "nonuser - user": [0, 1, -1, 0],
    }
    # two levels are enough to compare
    two = stats.make_design(people().query("drug != 'user'"), "drug")
    assert two.omnibus().tolist() == [[1, -1]]
    assert [row.tolist() for row in stats.parse_contrasts(two).values()] == [[1, -1]]


def test_who_lacks_a_value_is_left_out_with_the_column_named():
    table = people(9).astype({"flexibility": object})
    table.loc[1, "drug"] = None
    table.loc[[1, 4], "age"] = None
    design = stats.make_design(table, "drug", ["age"])
    assert design.dropped == (("01", "drug, age"), ("04", "age"))
    assert design.rows.tolist() == [0, 2, 3, 5, 6, 7, 8]
    # centred over those who are left
    age = table["age"].iloc[design.rows].astype(float)
    np.testing.assert_allclose(design.matrix[:, -1], age - age.mean(), atol=1e-12)
    np.testing.assert_array_equal(design.matrix[:, :3].sum(axis=0), [3, 1, 3])


@pytest.mark.parametrize(
    ("change", "covariates", "error", "told"),
    [
        ({}, ["weight"], UsageError, "no column weight: there are participant_id, drug"),
        ({}, ["age", "age"], UsageError, "column age is named twice"),
        ({"drug": "user"}, [], DatasetFileError, r"column drug has one level or none among the 30 people .*\(user\)"),
        ({"drug": None}, [], DatasetFileError, r"among the 0 people .*\(nobody\)"),
        ({"drug": np.arange(30.0)}, [], DatasetFileError, "column drug has another value for each of the 30"),
        ({"age": "40"}, ["age"], DatasetFileError, "covariate age is the same for everybody"),
        ({"age": ["old", *["40"] * 29]}, ["age"], DatasetFileError, r"column age holds numbers and text \('old'\)"),
        ({"half": np.arange(30.0), "double": np.arange(30.0) * 2}, ["half", "double"], DatasetFileError,
         "column double is explained by half: drop"),
        ({"id": [f"p{i}" for i in range(30)]}, ["id"], DatasetFileError, "30 people cannot carry a model of 32"),
    ],
)  # fmt: skip
def test_impossible_models_are_refused(change, covariates, error, told):
    with pytest.raises(error, match=told):
        stats.make_design(people().assign(**change), "drug", covariates)


def test_an_unknown_contrast_lists_the_levels():
    design = stats.make_design(people(), "drug")
    with pytest.raises(UsageError, match=r"no contrast of drug.*\(control, nonuser, user\)"):
        stats.parse_contrasts(design, ["user - placebo"])


# what is too large for a number is infinite to newer versions of pandas, and text to older ones
@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("inf", "covariate age holds an infinite number"),
        ("-inf", "covariate age holds an infinite number"),
        ("1e999", r"age holds (an infinite number|numbers and text \('1e999'\))"),
    ],
)
def test_infinity_is_no_value_of_a_covariate(value, told):
    table = people().assign(age="31")
    table.loc[3, "age"] = value
    with pytest.raises(DatasetFileError, match=told):
        stats.make_design(table, "drug", ["age"])
