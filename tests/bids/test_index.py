"""A participant's files and what they inherit: as pybids finds them, and safe where a data set is not."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from bids_flex.bids.index import index_participant
from bids_flex.errors import DatasetFileError

FILES = {
    "dataset_description.json": {"Name": "x", "BIDSVersion": "1.9.0", "DatasetType": "derivative"},
    "task-rest_bold.json": {"RepetitionTime": 2.0, "TaskName": "rest", "EchoTime": 0.03},
    "sub-1/sub-1_task-rest_bold.json": {"EchoTime": 0.02},
    "sub-1/ses-1/func/sub-1_ses-1_task-rest_space-A_desc-preproc_bold.json": {"EchoTime": 0.01, "Sources": ["x"]},
    "sub-1/ses-1/func/sub-1_ses-1_task-rest_space-A_desc-preproc_bold.nii.gz": None,
    "sub-1/ses-1/func/sub-1_ses-1_task-rest_space-B_desc-preproc_bold.nii.gz": None,
    "sub-1/ses-1/func/sub-1_ses-1_task-nback_space-B_desc-preproc_bold.nii.gz": None,
    "sub-1/ses-1/func/sub-1_ses-1_task-rest_space-B_boldref.nii.gz": None,
    "sub-1/ses-1/func/sub-1_ses-1_task-rest_desc-confounds_timeseries.tsv": None,
    "sub-1/ses-2/func/sub-1_ses-2_task-rest_space-A_desc-preproc_bold.nii.gz": None,
    "sub-1/ses-2/anat/sub-1_ses-2_desc-preproc_T1w.nii.gz": None,
    "sub-10/func/sub-10_task-rest_space-A_desc-preproc_bold.nii.gz": None,
}


@pytest.fixture
def root(tmp_path):
    for name, content in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x" if content is None else json.dumps(content))
    return tmp_path


def test_paths_and_metadata_are_those_of_pybids(root):
    from bids import BIDSLayout, BIDSLayoutIndexer

    ignore = [re.compile("^/sub-10/"), re.compile("/anat/"), re.compile("_boldref")]
    indexer = BIDSLayoutIndexer(validate=False, ignore=ignore)
    layout = BIDSLayout(root, validate=False, config=["bids", "derivatives"], indexer=indexer)
    theirs = {Path(path) for path in layout.files if path.endswith((".nii.gz", ".tsv"))}
    index = index_participant(root, "1")
    assert set(index.paths) == theirs
    assert len(theirs) == 5
    stated = [index.metadata(path) for path in index.paths]
    assert stated == [layout.get_metadata(str(path)) for path in index.paths]


def test_of_two_sidecars_in_one_folder_the_one_that_names_more_counts(root):
    (root / "task-rest_space-A_bold.json").write_text('{"RepetitionTime": 1.5}')
    index = index_participant(root, "1")
    in_space = index.metadata(root / "sub-1/ses-1/func/sub-1_ses-1_task-rest_space-A_desc-preproc_bold.nii.gz")
    assert in_space == {"RepetitionTime": 1.5, "TaskName": "rest", "EchoTime": 0.01, "Sources": ["x"]}
    assert index.repetition_time(root / "sub-1/ses-1/func/sub-1_ses-1_task-rest_space-B_bold.nii.gz") == 2.0


def test_links_in_circles_end_and_links_to_folders_are_followed(root):
    func = root / "sub-1" / "ses-1" / "func"
    for name in "abcde":
        (func / name).symlink_to(root / "sub-1")
    (root / "elsewhere").mkdir()
    (root / "elsewhere" / "sub-1_task-rest_space-A_desc-preproc_bold.nii.gz").write_text("x")
    (root / "sub-1" / "func").symlink_to(root / "elsewhere")
    assert len(index_participant(root, "1").paths) == 6


@pytest.mark.parametrize("kind", ["device", "pipe", "dangling", "nested", "list"])
def test_a_sidecar_that_is_no_json_object_is_told_for_the_files_that_inherit_it(root, kind):
    sidecar = root / "sub-1" / "sub-1_task-rest_bold.json"
    sidecar.unlink()
    if kind == "pipe":
        os.mkfifo(sidecar)
    elif kind in {"device", "dangling"}:
        sidecar.symlink_to("/dev/zero" if kind == "device" else root / "nowhere")
    else:
        sidecar.write_text("[" * 100_000 if kind == "nested" else "[1]")
    index = index_participant(root, "1")
    assert list(index.broken) == [sidecar]
    names = {path.name for path in index.paths if index.broken_for(path)}
    assert len(names) == 3
    assert all("task-rest" in name and name.endswith("_bold.nii.gz") for name in names)


@pytest.mark.parametrize("content", ['"x"', "[1]", "5", '{"a":' * 200 + "1" + "}" * 200, "[" * 100_000])
def test_a_description_that_is_no_object_is_refused_before_pybids_takes_it_for_one(root, content):
    (root / "dataset_description.json").write_text(content)
    with pytest.raises(DatasetFileError, match=r"dataset_description\.json holds no JSON object"):
        index_participant(root, "1")
