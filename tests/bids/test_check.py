"""bids_flex-check finds what was broken on purpose, and nothing else."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from bids_flex.bids.check import check_outputs
from bids_flex.bids.outputs import write_dataset, write_table
from bids_flex.bids.results import read_sidecar
from bids_flex.bids.selection import read_filter
from bids_flex.check_cli import main
from bids_flex.errors import UsageError

COMMON = {
    "Sources": ["bids:fmriprep:sub-01/func/x_bold.nii.gz"],
    "Atlas": {"Name": "Sim", "Regions": 2},
    "Settings": {"windows": {"length": 30}},
    "SettingsHash": "a",
    "InputFingerprint": {"x": 1},
    "SoftwareVersion": "0.1.0",
}
STEM = "sub-01/func/sub-01_task-rest_space-S_atlas-Sim"
DYNAMICS, COMMUNITIES = f"{STEM}_desc-prior_dynamics", f"{STEM}_desc-prior_communities"


def link(out, **links):
    path = out / "dataset_description.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "DatasetLinks": links}))


@pytest.fixture
def out(tmp_path):
    """A whole folder with two tables of two regions."""
    write_dataset(tmp_path, None, "readme")
    link(tmp_path, fmriprep="file:///elsewhere", atlases="file://" + str(tmp_path / "atlases"), beside="atlases")
    table = pd.DataFrame({"region": ["A", "B"], "flexibility": [0.25, None]})
    write_table(tmp_path / f"{DYNAMICS}.tsv", table, COMMON)
    windows = pd.DataFrame({"onset": [0.0], "duration": [60.0], "kept_frames": [30], "A": [1], "B": [2]})
    each = {name: {"LongName": name, "Description": "Community", "Levels": {"1": "x", "2": "y"}} for name in "AB"}
    write_table(tmp_path / f"{COMMUNITIES}.tsv", windows, COMMON, each)
    return tmp_path


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_a_whole_folder_has_no_faults(out, capsys):
    assert check_outputs(out) == (2, [])
    assert main([str(out)]) == 0
    assert capsys.readouterr().out == "2 tables, 0 faults\n"


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        (f"{DYNAMICS}.tsv", "0.25", "1.25", "above its maximum 1"),
        (f"{DYNAMICS}.tsv", "0.25", "-0.25", "below its minimum 0"),
        (f"{DYNAMICS}.tsv", "0.25", "often", "no number"),
        (f"{DYNAMICS}.tsv", "flexibility", "flex", "flex is described nowhere"),
        (f"{DYNAMICS}.tsv", "flexibility", "flex", "flexibility is described but not there"),
        (f"{DYNAMICS}.tsv", "B\tn/a\n", "", "1 rows, but the atlas has 2"),
        (f"{DYNAMICS}.json", '"SettingsHash": "a"', '"SettingsHash": "b"', "SettingsHash is not that"),
        (f"{DYNAMICS}.json", '"x": 1', '"x": 2', "InputFingerprint is not that"),
        (f"{DYNAMICS}.json", '"Sources"', '"Source"', "no Sources"),
        (f"{DYNAMICS}.json", "{", "", "cannot be read"),
        (f"{COMMUNITIES}.tsv", "\t1\t2", "\t1\t7", "none of its levels"),
        (f"{COMMUNITIES}.json", '"Regions": 2', '"Regions": 3', "2 columns of regions, but the atlas has 3"),
    ],
)
def test_what_is_broken_is_named_with_its_file(out, file, old, new, told):
    edit(out / file, old, new)
    faults = check_outputs(out)[1]
    assert any(told in fault and fault.startswith(STEM) for fault in faults), faults
    assert main([str(out)]) == 1


@pytest.mark.parametrize("lost", [".tsv", ".json"])
def test_a_lost_half_of_a_table_is_a_fault(out, lost):
    (out / f"{DYNAMICS}{lost}").unlink()
    assert len(check_outputs(out)[1]) == 1


def test_other_folders_have_their_own_exit_codes(out, tmp_path):
    assert main([str(tmp_path / "nowhere")]) == 66
    described = out / "dataset_description.json"
    described.write_text(json.dumps({"DatasetType": "derivative", "GeneratedBy": [{"Name": "fMRIPrep"}]}))
    assert main([str(out)]) == 16
    described.unlink()
    assert main([str(out)]) == 16


def test_json_nested_a_hundred_thousand_deep_is_an_ordinary_error(out):
    bomb = out / f"{DYNAMICS}.json"
    bomb.write_text("[" * 100_000 + "]" * 100_000)
    assert any("nested too deeply" in fault for fault in check_outputs(out)[1])
    assert read_sidecar(bomb) is None
    with pytest.raises(UsageError, match="not a JSON file"):
        read_filter(bomb)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("bids:fmriprep:sub-01/func/not_here_bold.nii.gz", None),
        (f"bids::{DYNAMICS}.tsv", None),
        ("bids:atlases:a%20b.nii.gz", None),
        ("bids:beside:a%20b.nii.gz", None),
        ("bids::sub-02/func/x.tsv", "is not there"),
        ("bids:atlases:c.nii.gz", "is not there"),
        ("bids:atlases:../dataset_description.json", "is not there"),
        ("bids:xcp_d:sub-01/x.tsv", "DatasetLinks"),
        ("sub-01/func/x_bold.nii.gz", "is no BIDS URI"),
        ("bids:x_bold.nii.gz", "is no BIDS URI"),
    ],
)
def test_sources_lead_somewhere(out, source, told):
    (out / "atlases").mkdir()
    (out / "atlases" / "a b.nii.gz").write_text("x")
    edit(out / f"{DYNAMICS}.json", COMMON["Sources"][0], source)
    faults = check_outputs(out)[1]
    if told is None:
        assert faults == []
    else:
        assert [told in fault and fault.startswith(f"{DYNAMICS}.json: its source {source} ") for fault in faults] == [
            True
        ]
