"""Finding fMRIPrep's runs, and saying why others cannot be used."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_flex.bids.inputs import find_runs, fingerprint
from bids_flex.bids.roots import derivatives_root
from bids_flex.cli import parse_config
from bids_flex.errors import MissingInputError, NoMatchError, NotBidsError

SPACE = "MNI152NLin2009cAsym"


def image(path: Path, tr: float = 2.0, shape: tuple[int, ...] = (2, 2, 2, 5)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = nib.Nifti1Image(np.zeros(shape, dtype=np.int16), np.eye(4))
    if len(shape) == 4:
        picture.header.set_zooms((1, 1, 1, tr))
    nib.save(picture, path)


def add_run(root: Path, name: str, *, space: str = f"space-{SPACE}", tr: float = 2.0) -> Path:
    """Write one run as fMRIPrep 25 names it; ``name`` holds the run's entities."""
    entities = dict(part.split("-", 1) for part in name.split("_"))
    folder = root / f"sub-{entities['sub']}" / (f"ses-{entities['ses']}" if "ses" in entities else "") / "func"
    stem = f"{name}_{space}" if space else name
    bold = folder / f"{stem}_desc-preproc_bold.nii.gz"
    image(bold, tr)
    image(folder / f"{stem}_desc-brain_mask.nii.gz", shape=(2, 2, 2))
    bold.with_name(f"{stem}_desc-preproc_bold.json").write_text(json.dumps({"RepetitionTime": tr}))
    (folder / f"{name}_desc-confounds_timeseries.tsv").write_text("a\n" + "0\n" * 5)
    (folder / f"{name}_desc-confounds_timeseries.json").write_text("{}")
    return bold


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "derivatives" / "fmriprep"
    folder.mkdir(parents=True)
    described = {"Name": "fMRIPrep", "BIDSVersion": "1.9.0", "DatasetType": "derivative"}
    (folder / "dataset_description.json").write_text(json.dumps(described))
    return folder


def find(root: Path, *options: str, space: str | None = SPACE):
    return find_runs(parse_config([str(root.parents[1]), "/out", "participant", *options]), space)


def test_a_run_comes_with_all_its_files(root):
    bold = add_run(root, "sub-01_task-rest")
    (run,) = find(root).usable
    assert run.name == f"sub-01_task-rest_space-{SPACE}"
    assert (run.bold, run.root, run.tr_s, run.volumes, run.notes) == (bold, root, 2.0, 5, ())
    assert run.mask.name == f"sub-01_task-rest_space-{SPACE}_desc-brain_mask.nii.gz"
    assert run.confounds.name == "sub-01_task-rest_desc-confounds_timeseries.tsv"
    assert run.confounds_json == run.confounds.with_suffix(".json")


def test_labels_are_anchored_and_no_patterns(root):
    for label in ("RAD1", "RAD10", "RAD"):
        add_run(root, f"sub-{label}_task-rest")
    assert [run.entities[0][1] for run in find(root, "--participant-label", "RAD1").usable] == ["RAD1"]


def test_selection_by_session_task_and_run(root):
    for name in (
        "ses-1_task-rest_run-01",
        "ses-1_task-rest_run-02",
        "ses-2_task-rest_run-01",
        "ses-2_task-nback_run-01",
    ):
        add_run(root, f"sub-01_{name}")
    assert len(find(root).usable) == 4
    chosen = find(root, "--session-label", "ses-2", "--task-id", "rest", "--run-id", "1").usable
    assert [run.name for run in chosen] == [f"sub-01_ses-2_task-rest_run-01_space-{SPACE}"]


def test_echoes_and_other_descriptions_are_left_out(root):
    bold = add_run(root, "sub-01_task-rest")
    image(bold.with_name(f"sub-01_task-rest_echo-1_space-{SPACE}_desc-preproc_bold.nii.gz"))
    image(bold.with_name(f"sub-01_task-rest_space-{SPACE}_desc-smoothAROMAnonaggr_bold.nii.gz"))
    found = find(root)
    assert [run.bold for run in found.usable] == [bold]
    assert not found.unusable


def test_the_atlas_space_is_taken_and_another_must_be_asked_for(root):
    add_run(root, "sub-01_task-rest")
    add_run(root, "sub-01_task-rest", space="space-MNI152NLin6Asym")
    assert find(root).usable[0].space == SPACE
    assert find(root, "--space", "MNI152NLin6Asym").usable[0].space == "MNI152NLin6Asym"
    (left_out,) = find(root, space="MNI152NLin2009aSym").unusable
    assert "no images in MNI152NLin2009aSym (the atlas's space)" in left_out.reason
    assert "MNI152NLin2009cAsym, MNI152NLin6Asym" in left_out.reason
    (undecided,) = find(root, space=None).unusable
    assert "choose one with --space" in undecided.reason


def test_force_takes_the_only_standard_space_whatever_the_atlas(root):
    add_run(root, "sub-01_task-rest")
    add_run(root, "sub-01_task-rest", space="space-T1w")
    assert find(root, space="MNI152NLin6Asym").unusable
    assert find(root, "--force", "atlas-space", space="MNI152NLin6Asym").usable[0].space == SPACE


def test_several_resolutions_want_a_choice(root):
    add_run(root, "sub-01_task-rest", space=f"space-{SPACE}_res-1")
    add_run(root, "sub-01_task-rest", space=f"space-{SPACE}_res-2")
    (undecided,) = find(root).unusable
    assert "choose one with --res" in undecided.reason
    assert dict(find(root, "--res", "2").usable[0].entities)["res"] == "2"
    assert "with res-3" in find(root, "--res", "3").unusable[0].reason


@pytest.mark.parametrize(
    ("ending", "told"),
    [
        ("desc-confounds_timeseries.tsv", "the confounds table of sub-01_task-rest is missing"),
        (f"space-{SPACE}_desc-brain_mask.nii.gz", f"the brain mask of sub-01_task-rest_space-{SPACE} is missing"),
        (f"space-{SPACE}_desc-preproc_bold.json", "no RepetitionTime in its JSON"),
    ],
)
def test_a_missing_file_fails_its_run_alone(root, ending, told):
    add_run(root, "sub-01_task-rest")
    add_run(root, "sub-02_task-rest")
    (root / "sub-01" / "func" / f"sub-01_task-rest_{ending}").unlink()
    found = find(root)
    assert [run.entities[0] for run in found.usable] == [("sub", "02")]
    assert [one.name for one in found.unusable] == ["sub-01_task-rest"]
    assert told in found.unusable[0].reason


@pytest.mark.parametrize(
    ("stated", "in_header", "told"),
    [
        (2.0, 2.5, "is 2 s in the sidecar but 2.5 s in the header"),
        (2000, 2.0, "looks like milliseconds"),
        (2.0, 2000.0, "which looks like milliseconds whose unit was written as seconds"),
        (101, 101.0, "looks like milliseconds"),
        (0, 2.0, "must be a number of seconds above 0"),
        ("2", 2.0, "is '2'; it must be a number"),
    ],
)
def test_a_doubtful_repetition_time_fails_the_run(root, stated, in_header, told):
    bold = add_run(root, "sub-01_task-rest", tr=in_header)
    bold.with_name(bold.name.replace(".nii.gz", ".json")).write_text(json.dumps({"RepetitionTime": stated}))
    assert told in find(root).unusable[0].reason


def test_the_repetition_time_is_inherited_or_taken_from_the_raw_data(root):
    bold = add_run(root, "sub-01_task-rest")
    sidecar = bold.with_name(bold.name.replace(".nii.gz", ".json"))
    sidecar.unlink()
    (root / "task-rest_bold.json").write_text('{"RepetitionTime": 2.0}')
    assert find(root).usable[0].tr_s == 2.0
    (root / "task-rest_bold.json").unlink()
    assert find(root).unusable
    raw = root.parents[1]
    (raw / "dataset_description.json").write_text('{"Name": "raw", "BIDSVersion": "1.9.0"}')
    image(raw / "sub-01" / "func" / "sub-01_task-rest_bold.nii.gz")
    (raw / "task-rest_bold.json").write_text('{"RepetitionTime": 2.0}')
    assert find(root).usable[0].tr_s == 2.0


def test_the_raw_echoes_of_a_combined_run_tell_its_repetition_time(root):
    bold = add_run(root, "sub-01_task-rest")
    bold.with_name(bold.name.replace(".nii.gz", ".json")).unlink()
    func = root.parents[1] / "sub-01" / "func"
    for echo in (1, 2):
        image(func / f"sub-01_task-rest_echo-{echo}_bold.nii.gz")
        (func / f"sub-01_task-rest_echo-{echo}_bold.json").write_text('{"RepetitionTime": 2.0}')
    assert find(root).usable[0].tr_s == 2.0
    (func / "sub-01_task-rest_echo-1_bold.json").write_text("{")
    assert "cannot be read as JSON" in find(root).unusable[0].reason


@pytest.mark.parametrize("tr", [0.0, float("nan")])
def test_a_header_without_repetition_time_is_noted(root, tr):
    bold = add_run(root, "sub-01_task-rest")
    image(bold, tr=tr)
    assert "states no repetition time" in find(root).usable[0].notes[0]


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda bold: bold.write_bytes(b""), "is empty (0 bytes)"),
        (lambda bold: bold.write_bytes(b"no image"), "cannot be read as an image"),
        (lambda bold: image(bold, shape=(2, 2, 2)), "has 3 dimensions, not 4"),
    ],
)
def test_a_bad_image_fails_its_run_alone(root, spoil, told):
    spoil(add_run(root, "sub-01_task-rest"))
    add_run(root, "sub-02_task-rest")
    found = find(root)
    assert len(found.usable) == 1
    assert told in found.unusable[0].reason


def test_nothing_matched_lists_what_there_is(root):
    add_run(root, "sub-01_task-rest")
    with pytest.raises(NoMatchError, match=r"no participant 09 in .*; there is 01"):
        find(root, "--participant-label", "09")
    with pytest.raises(NoMatchError, match=r"task-nback in .*; there is sub: 01; task: rest; space: MNI"):
        find(root, "--task-id", "nback")
    with pytest.raises(NoMatchError, match=r"^no preprocessed run matches task-nback, run-1 in /"):
        find(root, "--task-id", "nback", "--run-id", "1")


def test_raw_data_is_told_from_derivatives(tmp_path, root):
    raw = tmp_path / "raw"
    image(raw / "sub-01" / "func" / "sub-01_task-rest_bold.nii.gz")
    with pytest.raises(NotBidsError, match="this is raw data; run fMRIPrep first"):
        derivatives_root(raw, None)
    with pytest.raises(MissingInputError, match="is not a folder"):
        derivatives_root(tmp_path / "absent", None)
    with pytest.raises(MissingInputError, match="--derivatives"):
        derivatives_root(raw, str(tmp_path / "absent"))
    add_run(root, "sub-01_task-rest")
    assert derivatives_root(tmp_path, None) == root
    assert derivatives_root(raw, str(root)) == root
    assert derivatives_root(raw, f"fmriprep={root}") == root
    assert derivatives_root(root, None) == root
    assert derivatives_root(raw, str(root.parent)) == root  # the old layout: out/fmriprep/sub-01


def test_the_fingerprint_follows_the_files(root):
    add_run(root, "sub-01_task-rest")
    (run,) = find(root).usable
    before = fingerprint(run)
    assert before == fingerprint(run)
    run.confounds.write_text("a\n" + "1\n" * 6)
    assert fingerprint(run) != before


@pytest.mark.parametrize(
    ("layout", "usable", "unusable", "told"),
    [
        ("real-rest", 1, 0, ""),
        ("layouts/ds000001-fmriprep", 0, 12, "is empty (0 bytes)"),
        ("layouts/fmridenoise_dummy_complete", 0, 32, "is empty (0 bytes)"),
        ("layouts/pybids_ds005/ds005", 0, 12, "the brain mask of"),
        ("layouts/synthetic", 0, 30, "more than its 352 can hold"),
    ],
)
def test_data_sets_that_others_made(shared, layout, usable, unusable, told):
    found = find_runs(parse_config([str(shared / layout), "/out", "participant"]), SPACE)
    assert (len(found.usable), len(found.unusable)) == (usable, unusable)
    assert all(told in one.reason for one in found.unusable)
