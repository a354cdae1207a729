"""BIDS Stats Models documents: read, refused, written from the short form, and their designs."""

import copy
import json

import numpy as np
import pandas as pd
import pytest

from bids_flex import stats
from bids_flex.errors import DatasetFileError


def people(n=36, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "participant_id": [f"{i:02d}" for i in range(n)],
            "drug": np.array(["user", "nonuser", "control"])[np.arange(n) % 3],
            "age": rng.uniform(18, 65, n).round(1),
            "site": np.array(["A", "B"])[rng.integers(0, 2, n)],
            "F": rng.standard_normal(n),
        }
    )


def document(**software):
    return {
        "Name": "study",
        "BIDSModelVersion": "1.0.0",
        "Nodes": [
            {
                "Level": "Dataset",
                "Name": "people",
                "GroupBy": [],
                "Transformations": {
                    "Transformer": "pybids-transforms-v1",
                    "Instructions": [{"Name": "Factor", "Input": ["drug"]}, {"Name": "Demean", "Input": ["age"]}],
                },
                "Model": {"Type": "glm", "X": ["drug.*", "age"], "Software": {"bids_flex": software}},
                "Contrasts": [
                    {
                        "Name": "user over the mean of the others",
                        "ConditionList": ["drug.user", "drug.nonuser", "drug.control"],
                        "Weights": [1, "-1/2", -0.5],
                        "Test": "t",
                    }
                ],
                "DummyContrasts": {"Contrasts": ["age"], "Test": "F"},
            }
        ],
    }


def changed(path, value):
    """Put a value at a place such as ``Nodes.0.Level``; None removes it."""
    given = document()
    *way, last = [int(one) if one.isdigit() else one for one in path.split(".")]
    place = given
    for one in way:
        place = place[one]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return given


def test_a_document_by_hand():
    (model,) = stats.read_models(document(Permutations=99, Blocks="site", EquivalenceBound=0.4))
    assert model.name == "study"
    assert model.settings == stats.Settings(permutations=99, blocks="site", equivalence_bound=0.4)
    table = people()
    design = stats.build_design(model, table)
    # levels come in alphabetical order
    assert design.columns == ("drug.control", "drug.nonuser", "drug.user", "age")
    np.testing.assert_array_equal(design.matrix[:3, :3], [[0, 0, 1], [0, 1, 0], [1, 0, 0]])
    np.testing.assert_allclose(design.matrix[:, 3], table["age"] - table["age"].mean(), atol=1e-12)
    np.testing.assert_array_equal(design.contrasts["user over the mean of the others"], [-0.5, -0.5, 1, 0])
    np.testing.assert_array_equal(design.contrasts["age"], [[0, 0, 0, 1]])
    assert design.factors == ("drug", "drug", "drug", "")


@pytest.mark.parametrize("contrasts", [(), ("user - nonuser",)])
def test_the_short_form_is_the_document_it_writes(contrasts):
    table = people()
    table.loc[3, "age"] = np.nan
    written = json.loads(json.dumps(stats.short_model(table, "drug", ["age", "site"], contrasts)))
    (model,) = stats.read_models(written)
    found, expected = stats.build_design(model, table), stats.make_design(table, "drug", ["age", "site"])
    assert found.columns == expected.columns
    np.testing.assert_allclose(found.matrix, expected.matrix, atol=1e-12)
    np.testing.assert_array_equal(found.rows, expected.rows)
    assert found.dropped == (("03", "no value in age"),)
    named = {"omnibus": expected.omnibus(), **stats.parse_contrasts(expected, contrasts)}
    assert list(found.contrasts) == list(named)
    for name, weights in named.items():
        np.testing.assert_array_equal(found.contrasts[name], weights)


def test_settings_survive_the_document():
    asked = stats.Settings(
        permutations=500,
        seed=3,
        statistic="ols",
        blocks="site",
        exchange="whole",
        rows=(("drug", ("user", "nonuser")),),
    )
    written = stats.short_model(people(), "drug", ["age"], settings=asked)
    (model,) = stats.read_models(json.loads(json.dumps(written)))
    assert model.settings == asked
    design = stats.build_design(model, people())
    assert design.columns == ("drug.nonuser", "drug.user", "age")
    assert len(design.rows) == 24


@pytest.mark.parametrize(
    ("column", "levels"),
    [
        ("drug use (now)", ["a b", "c - d", "e.f"]),
        ("class", ["import", "lambda", "None"]),
        ("1", ["1", "2", "3"]),
        ("__import__('os')", ["0", "1.5", "2"]),
        ("a*b", ["x?", "[y]", "z*"]),
    ],
)
def test_any_text_may_be_a_name(column, levels):
    table = people().assign(**{column: np.array(levels)[np.arange(36) % 3], "age at scan": np.arange(36.0)})
    written = stats.short_model(table, column, ["age at scan"])
    (model,) = stats.read_models(json.loads(json.dumps(written)))
    design = stats.build_design(model, table)
    expected = stats.make_design(table, column, ["age at scan"])
    np.testing.assert_allclose(design.matrix, expected.matrix, atol=1e-12)


def test_whole_numbers_are_levels_however_they_were_read():
    table = people().assign(code=np.arange(36) % 3 + 1)
    holes = table.assign(code=table["code"].astype(float).where(table.index != 5))
    assert stats.make_design(table, "code").levels == ("1", "2", "3")
    assert stats.make_design(holes, "code").levels == ("1", "2", "3")
    (model,) = stats.read_models(stats.short_model(table, "code"))
    assert stats.build_design(model, holes).dropped == (("05", "no value in code"),)


def test_products_and_scaling_by_hand():
    given = document()
    node = given["Nodes"][0]
    node["Transformations"]["Instructions"] = [
        {"Name": "Factor", "Input": ["drug"]},
        {"Name": "Scale", "Input": ["age"]},
        {"Name": "Product", "Input": ["drug.user", "age"], "Output": "user by age"},
    ]
    node["Model"]["X"] = [1, "drug.user", "age", "user by age"]
    node["Contrasts"] = []
    node["DummyContrasts"] = {"Contrasts": ["user by age"], "Test": "t"}
    table = people()
    design = stats.build_design(stats.read_models(given)[0], table)
    z = (table["age"] - table["age"].mean()) / table["age"].std()
    user = (table["drug"] == "user").to_numpy(dtype=float)
    np.testing.assert_allclose(design.matrix, np.column_stack([np.ones(36), user, z, user * z]), atol=1e-12)
    # a product of a level and a number is a level of nothing; one of two levels is a level of both factors
    assert design.factors == ("", "drug", "", "")
    node["Transformations"]["Instructions"][0]["Input"] = ["drug", "site"]
    node["Transformations"]["Instructions"][2]["Input"] = ["drug.user", "site.B"]
    assert stats.build_design(stats.read_models(given)[0], table).factors == ("", "drug", "", "drug * site")


def test_every_dataset_node_is_a_model():
    given = document()
    given["Nodes"].append({**copy.deepcopy(given["Nodes"][0]), "Name": "again"})
    assert [one.name for one in stats.read_models(given)] == ["study_people", "study_again"]


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("Name", None, "no BIDS Stats Model: Name: Field required"),
        ("Nodes", [], "has no nodes"),
        ("Nodes.0.Level", "Region", "Nodes.0.Level"),
        ("Nodes.0.Level", "Run", r"node people: no level Run \(only Dataset\)"),
        ("Nodes.0.Model.Type", "meta", r"no type meta \(only glm\)"),
        ("Nodes.0.GroupBy", ["session"], "leave it empty"),
        ("Nodes.0.Model.Formula", "1 + drug", "no formula is evaluated"),
        ("Nodes.0.Model.Weights", [1], r"know no Nodes\[0\].Model.Weights"),
        ("Nodes.0.Model.Software", {"FSL": {}}, "settings of FSL would not be heeded"),
        ("Nodes.0.Model.Software", {"bids_flex": {"Permutation": 5}}, "no setting Permutation; there are Permutations"),
        ("Nodes.0.Model.Software", {"bids_flex": {"Permutations": 0}}, "Permutations is 0; it must be a whole number"),
        ("Nodes.0.Model.Software", {"bids_flex": {"Permutations": True}}, "Permutations is True"),
        ("Nodes.0.Model.Software", {"bids_flex": {"Statistic": "hc0"}}, "it must be hc3 or ols"),
        ("Nodes.0.Model.Software", {"bids_flex": {"Exchange": "whole"}}, "needs Blocks"),
        ("Nodes.0.Model.Software", {"bids_flex": {"EquivalenceBound": -1}}, "a positive number"),
        ("Nodes.0.Model.Software", {"bids_flex": {"Rows": {"drug": "user"}}}, "each with a list of values"),
        ("Nodes.0.Model.Software", {"bids_flex": {"Difference": ["session"]}}, "a column and two of its levels"),
        ("Nodes.0.Model.Software", {"bids_flex": {"Blocks": 3}}, "the name of a column"),
        ("Nodes.0.Transformations.Instructions", [{"Name": "Convolve"}], "transformation 'Convolve' is not known"),
        ("Nodes.0.Transformations.Instructions", [{"Name": []}], r"transformation \[\] is not known"),
        ("Nodes.0.Transformations.Instructions", [{"Name": {}}], r"transformation \{\} is not known"),
        ("Nodes.0.Transformations.Instructions", [{"Name": "Factor"}], "needs Input"),
        (
            "Nodes.0.Transformations.Instructions",
            [{"Name": "Scale", "Input": ["age"], "Demean": "yes"}],
            "true or false",
        ),
        ("Nodes.0.Transformations.Instructions", [{"Name": "Product", "Input": ["age"], "Output": "x"}], "two or more"),
        ("Nodes.0.Transformations.Instructions", [{"Name": "Product", "Input": ["age", "F"]}], "one name as Output"),
        ("Nodes.0.Transformations.Instructions", [{"Name": "Factor", "Input": ["drug"], "By": 1}], "knows no By"),
        ("Nodes.0.Contrasts.0.Weights", [1, -1], "one weight for each"),
        ("Nodes.0.Contrasts.0.Weights", [1, "1/0", 1], "no number and no fraction"),
        ("Nodes.0.Contrasts.0.Weights", [1, "__import__('os')", 1], "no number and no fraction"),
        ("Nodes.0.Contrasts.0.Weights", [[1, 0, -1], [1, -1, 0]], "has 2 rows"),
        ("Nodes.0.Contrasts.0.Test", "pass", "asks for no test"),
        ("Nodes.0.Contrasts.0.Name", "age", "two contrasts have the name age"),
        ("Edges", [{"Source": "people", "Destination": "people"}], "stands alone"),
        ("Nodes.0.Model.X", ["age", "age"], "names a column twice"),
        ("Input", {"task": ["rest"]}, r"Input \(task\) would not be heeded"),
    ],
)
def test_documents_that_are_not_heeded_are_refused(path, value, told):
    with pytest.raises(DatasetFileError, match=told):
        stats.read_models(changed(path, value))


def test_no_contrast_is_no_model():
    given = changed("Nodes.0.Contrasts", [])
    del given["Nodes"][0]["DummyContrasts"]
    with pytest.raises(DatasetFileError, match="nothing to test"):
        stats.read_models(given)


@pytest.mark.parametrize(
    ("path", "value", "change", "told"),
    [
        ("Nodes.0.Model.X", ["drug.*", "weight"], {}, "no variable weight: there are"),
        ("Nodes.0.Model.X", ["drug.placebo", "age"], {}, "no variable drug.placebo: there are drug, drug.control"),
        ("Nodes.0.Model.X", ["drug", "age"], {}, r"column drug holds text \('user'\).*named by its levels"),
        ("Nodes.0.Model.X", [1, "drug.*", "age"], {}, "column drug.user is explained by 1, drug.control, drug.nonuser"),
        ("Nodes.0.Contrasts.0.ConditionList", ["drug.user", "site", "age"], {}, "names site, which X does not hold"),
        ("Nodes.0.Contrasts.0.Weights", [0, 0, 0], {}, "all 0 or repeat"),
        (
            "Nodes.0.Transformations.Instructions",
            [{"Name": "Factor", "Input": ["drog"]}],
            {},
            "no variable drog: did you mean drug.? there are",
        ),
        ("Name", "study", {"age": ["old", *range(35)]}, r"column age holds numbers and text \('old'\)"),
        ("Name", "study", {"age": 40}, "covariate age is the same for everybody"),
        ("Name", "study", {"age": np.nan}, "nobody has values in all of drug, age"),
        ("Name", "study", {"age": [np.nan, 1, 2] * 12}, "level user of drug has nobody among the 24"),
        ("Name", "study", {"drug.user": 1}, "drug.user is a column of the table and a level"),
        ("Nodes.0.Model.Software", {"bids_flex": {"Blocks": "scanner"}}, {}, "no column scanner"),
        (
            "Nodes.0.Model.Software",
            {"bids_flex": {"Rows": {"drug": ["x"]}}},
            {},
            "no row has drug x; there are control",
        ),
        ("Nodes.0.Model.Software", {"bids_flex": {"Rows": {"dose": ["x"]}}}, {}, "Rows name a column dose"),
    ],
)
def test_models_that_do_not_fit_the_table_are_refused(path, value, change, told):
    (model,) = stats.read_models(changed(path, value))
    with pytest.raises(DatasetFileError, match=told):
        stats.build_design(model, people().assign(**change))


def test_a_table_smaller_than_the_model_is_refused():
    (model,) = stats.read_models(document())
    with pytest.raises(DatasetFileError, match="4 people cannot carry a model of 4"):
        stats.build_design(model, people().head(4))


def test_two_nodes_of_one_name_are_refused():
    given = document()
    given["Nodes"].append(copy.deepcopy(given["Nodes"][0]))
    with pytest.raises(DatasetFileError, match=r"two nodes have one name \(people, people\)"):
        stats.read_models(given)
