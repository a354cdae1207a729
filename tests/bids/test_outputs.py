"""Whole files or none, tables with their dictionaries."""

import json
import os
import stat

import numpy as np
import pandas as pd
import pytest

from bids_flex.bids import outputs
from bids_flex.bids.outputs import (
    TEMPORARY,
    check_writable,
    column_dictionary,
    private_folder,
    remove_leftovers,
    write_atomic,
    write_dataset,
    write_json,
    write_table,
)
from bids_flex.errors import OutputError


def test_a_file_appears_whole_and_readable(tmp_path):
    write_atomic(tmp_path / "a" / "b.txt", "text\n")
    assert (tmp_path / "a" / "b.txt").read_text() == "text\n"
    assert stat.S_IMODE((tmp_path / "a" / "b.txt").stat().st_mode) == 0o666 & ~outputs._umask()
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["b.txt"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    write_atomic(tmp_path / "b.txt", "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"b\.txt cannot be written \(No space left on device\)"):
        write_atomic(tmp_path / "b.txt", "new")
    assert (tmp_path / "b.txt").read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["b.txt"]


def test_a_folder_that_cannot_be_written_is_found_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"out cannot be written: .*file is a file"):
        check_writable(tmp_path / "file" / "out")


def test_numbers_survive_json_and_nan_becomes_null(tmp_path):
    write_json(tmp_path / "a.json", {"x": np.float64(0.1), "n": np.int16(3), "bad": float("nan"), "list": np.arange(2)})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": 0.1, "n": 3, "bad": None, "list": [0, 1]}


def test_a_table_says_what_its_columns_mean(tmp_path):
    table = pd.DataFrame({"region": ["a", "b"], "flexibility": [0.25, np.nan]})
    write_table(tmp_path / "t.tsv", table, {"Extra": 1})
    assert (tmp_path / "t.tsv").read_text() == "region\tflexibility\na\t0.25\nb\tn/a\n"
    described = json.loads((tmp_path / "t.json").read_text())
    assert described == {name: column_dictionary()[name] for name in table} | {"Extra": 1}


def test_a_column_without_a_meaning_is_a_defect(tmp_path):
    with pytest.raises(KeyError, match="mystery"):
        write_table(tmp_path / "t.tsv", pd.DataFrame({"mystery": [1]}), {})
    assert not list(tmp_path.iterdir())


def test_the_data_set_is_described_once(tmp_path):
    write_dataset(tmp_path, tmp_path / "fmriprep", "first")
    write_dataset(tmp_path, tmp_path / "other", "second")
    assert (tmp_path / "README.md").read_text() == "first"
    described = json.loads((tmp_path / "dataset_description.json").read_text())
    assert described["DatasetType"] == "derivative"
    assert described["DatasetLinks"]["fmriprep"] == (tmp_path / "fmriprep").as_uri()


def test_a_leftover_goes_but_a_file_in_work_stays(tmp_path):
    left = tmp_path / f"{TEMPORARY}left"
    left.write_text("half")

    def parts():
        yield "first"
        remove_leftovers(tmp_path)
        assert not left.exists()
        yield " second"

    write_atomic(tmp_path / "table.tsv", parts())
    assert [path.name for path in tmp_path.iterdir()] == ["table.tsv"]
    assert (tmp_path / "table.tsv").read_text() == "first second"


def test_a_private_folder_is_made_private_and_a_link_is_refused(tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    private_folder(tmp_path / "open")
    assert (tmp_path / "open").stat().st_mode & 0o777 == 0o700
    (tmp_path / "link").symlink_to(tmp_path / "open")
    with pytest.raises(OutputError, match="is a link"):
        private_folder(tmp_path / "link")


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_file_in_place_of_the_output_folder_is_named(tmp_path, name):
    """Who owns it was said instead."""
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot be written: .*/file is a file; name a folder"):
        check_writable(tmp_path / name)
