"""Settings of a model: what is read is what was written, every limit on both its sides, and who takes part."""

import dataclasses
import re

import pandas as pd
import pytest

from bids_flex.errors import DatasetFileError
from bids_flex.stats import Settings, read_settings

EVERYTHING = {
    "Permutations": 77,
    "Seed": 5,
    "Statistic": "ols",
    "Rearrange": "flip",
    "Blocks": "site",
    "Exchange": "whole",
    "EquivalenceBound": 0.25,
    "Grouping": "family",
    "Harmonise": "scanner",
    "Rows": {"drug": ["user", "nonuser"], "code": ["1"]},
    "Difference": ["visit", "post", "pre"],
}


def test_every_setting_is_read_and_written():
    found = read_settings(EVERYTHING)
    assert found == Settings(
        permutations=77,
        seed=5,
        statistic="ols",
        rearrange="flip",
        blocks="site",
        exchange="whole",
        equivalence_bound=0.25,
        grouping="family",
        harmonise="scanner",
        rows=(("drug", ("user", "nonuser")), ("code", ("1",))),
        difference=("visit", "post", "pre"),
    )
    assert found.document() == EVERYTHING
    assert len(EVERYTHING) == len(dataclasses.fields(Settings))
    # columns that people must have a value in
    assert found.columns() == ("site", "family", "scanner")


def test_what_is_empty_is_not_written():
    assert read_settings({}) == Settings()
    assert Settings().document() == {
        "Permutations": 10_000,
        "Seed": 0,
        "Statistic": "hc3",
        "Rearrange": "permute",
        "Exchange": "within",
        "EquivalenceBound": 0.5,
    }
    assert Settings().columns() == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Permutations", 1),
        ("Permutations", 10_000_000),
        ("Seed", 0),
        ("Seed", 2**63 - 1),
        ("EquivalenceBound", 1),
        ("EquivalenceBound", 99.5),
        ("EquivalenceBound", 1e-9),
    ],
)
def test_values_at_a_limit_are_taken(name, value):
    assert read_settings({name: value}).document()[name] == value


def test_a_bound_is_a_number_with_a_fraction_and_values_are_texts():
    assert isinstance(read_settings({"EquivalenceBound": 1}).equivalence_bound, float)
    assert read_settings({"Rows": {"code": [1, 2]}}).rows == (("code", ("1", "2")),)


@pytest.mark.parametrize(
    ("name", "values", "told"),
    [
        ("Permutations", [0, 10_000_001, 5.0, True, "9", None], "a whole number from 1 to 10000000"),
        ("Seed", [-1, 2**63, 0.0, True], "a whole number from 0 to 9223372036854775807"),
        ("EquivalenceBound", [0, -1, 100, True, "1", float("nan")], "a positive number in units of g"),
        ("Statistic", ["hc0", "", None], "hc3 or ols"),
        ("Rearrange", ["shuffle"], "permute or flip"),
        ("Exchange", ["some"], "within or whole"),
        ("Blocks", ["", 3, None, ["site"]], "the name of a column"),
        ("Grouping", [""], "the name of a column"),
        ("Harmonise", [""], "the name of a column"),
        (
            "Rows",
            [[], {"drug": "user"}, {"drug": []}, {"drug": ["user"], "code": 1}],
            "columns, each with a list of values",
        ),
        (
            "Difference",
            [[], ["a", "b"], ["a", "b", "c", "d"], ["a", "b", 1], "abc"],
            "a list of a column and two of its levels",
        ),
    ],
)
def test_values_beyond_a_limit_are_refused(name, values, told):
    for value in values:
        with pytest.raises(DatasetFileError, match=rf"^model\.json\.{name} is .*; it must be {re.escape(told)}$"):
            read_settings({name: value}, "model.json")


def test_what_is_not_known_or_lacks_its_blocks_is_refused():
    with pytest.raises(DatasetFileError, match=r"^Software.bids_flex: no setting Block, permutations; there are "):
        read_settings({"permutations": 5, "Block": "site"})
    with pytest.raises(DatasetFileError) as caught:
        read_settings({"Block": "site"})
    assert sorted(str(caught.value).split("there are ")[1].split(", ")) == sorted(EVERYTHING)
    with pytest.raises(DatasetFileError, match=r"^Software.bids_flex: Exchange whole needs Blocks, a column$"):
        read_settings({"Exchange": "whole"})


def test_who_takes_part():
    table = pd.DataFrame({"drug": ["user", "nonuser", "control", None], "code": [1.0, 2.0, 1.0, 1.0]})
    both = Settings(rows=(("drug", ("user", "control")), ("code", ("1",))))
    assert both.select(table).index.tolist() == [0, 2]
    assert Settings(rows=(("drug", ("nonuser",)),)).select(table).index.tolist() == [1]
    assert Settings().select(table) is table
    for rows, told in (
        ((("dose", ("1",)),), "Rows name a column dose, which the table does not have"),
        ((("drug", ("x", "y")),), "no row has drug x or y; there are control, nonuser, user"),
        ((("drug", ("user",)), ("code", ("2",))), "no row has code 2; there are 1"),
    ):
        with pytest.raises(DatasetFileError, match=told):
            Settings(rows=rows).select(table)
    with pytest.raises(DatasetFileError, match="no row has drug user; there are no values"):
        Settings(rows=(("drug", ("user",)),)).select(table.assign(drug=None))
