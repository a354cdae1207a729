"""Output of fMRIPrep from 1.4 to 25: names, layouts, broken files, and data sets of many files."""

import json
import os
import time
from collections import Counter
from pathlib import Path

import pytest

from bids_flex.bids.inputs import find_runs
from bids_flex.bids.roots import data_set_name, derivatives_root
from bids_flex.cli import parse_config
from bids_flex.errors import NoMatchError, UsageError
from tests.bids.test_inputs import SPACE, add_run, find, image, root  # noqa: F401 - the fixture

FMRIPREP = {"Name": "out", "BIDSVersion": "1.9.0", "DatasetType": "derivative", "GeneratedBy": [{"Name": "fMRIPrep"}]}


def describe(folder: Path, **changes: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset_description.json").write_text(json.dumps(FMRIPREP | changes))


def filtered(folder: Path, tmp_path: Path, **wanted: object):
    path = tmp_path / "filter.json"
    path.write_text(json.dumps({"bold": wanted}))
    return find(folder, "--bids-filter-file", str(path))


def test_the_filter_file_chooses_acquisitions_directions_and_spaces(root, tmp_path):  # noqa: F811
    for name in ("acq-fast_dir-AP", "acq-fast_dir-PA", "dir-AP"):
        add_run(root, f"sub-01_task-rest_{name}")
    add_run(root, "sub-01_task-rest_dir-AP", space="space-MNI152NLin6Asym")
    names = lambda found: [run.name.removesuffix(f"_space-{SPACE}") for run in found.usable]  # noqa: E731
    assert names(filtered(root, tmp_path, acquisition=None)) == ["sub-01_task-rest_dir-AP"]
    assert len(names(filtered(root, tmp_path, acquisition="*"))) == 2
    found = filtered(root, tmp_path, acquisition="*", direction="PA")
    assert names(found) == ["sub-01_task-rest_acq-fast_dir-PA"]
    assert Counter(one.reason for one in found.left_out) == {
        "not in the filter file: dir-AP": 1,
        "not in the filter file: no acq-": 1,
    }
    assert filtered(root, tmp_path, space="MNI152NLin6Asym").usable[0].space == "MNI152NLin6Asym"
    with pytest.raises(NoMatchError, match=r"filter\.json in"):
        filtered(root, tmp_path, acquisition="slow")


def test_a_participant_without_the_session_asked_for_is_left_out(root):  # noqa: F811
    for name in ("sub-01_ses-1_task-rest", "sub-01_ses-2_task-rest", "sub-02_ses-2_task-rest"):
        add_run(root, name)
    found = find(root, "--session-label", "1")
    assert [run.name for run in found.usable] == [f"sub-01_ses-1_task-rest_space-{SPACE}"]
    assert [one.name for one in found.left_out] == ["sub-01_ses-2_task-rest", "sub-02_ses-2_task-rest"]


def test_labels_may_hold_plus_and_cohorts_are_kept_apart(root):  # noqa: F811
    add_run(root, "sub-pre+post_task-rest+movie", space="space-MNIPediatricAsym_cohort-2")
    add_run(root, "sub-pre+post_task-rest+movie", space="space-MNIPediatricAsym_cohort-3")
    (run,) = find(root, "--space", "MNIPediatricAsym:cohort-3").usable
    assert run.name == "sub-pre+post_task-rest+movie_cohort-3_space-MNIPediatricAsym"
    assert "cohort-3" in run.mask.name


def test_old_names_of_the_confounds_are_found(root):  # noqa: F811
    bold = add_run(root, "sub-01_task-rest")
    for ending in ("tsv", "json"):
        table = bold.with_name(f"sub-01_task-rest_desc-confounds_timeseries.{ending}")
        table.rename(bold.with_name(f"sub-01_task-rest_desc-confounds_regressors.{ending}"))
    (run,) = find(root).usable
    assert run.confounds.name == "sub-01_task-rest_desc-confounds_regressors.tsv"
    assert run.confounds_json == run.confounds.with_suffix(".json")


def test_only_single_echoes_are_no_run(root):  # noqa: F811
    bold = add_run(root, "sub-01_task-rest")
    for echo in (1, 2, 3):
        image(bold.with_name(f"sub-01_task-rest_echo-{echo}_desc-preproc_bold.nii.gz"))
    found = find(root)
    assert (len(found.usable), len(found.unusable)) == (1, 0)
    assert [one.reason for one in found.left_out] == ["one echo of several: only their combination is used"] * 3
    bold.unlink()
    (lost,) = find(root).unusable
    assert lost.name == "sub-01_task-rest"
    assert "3 single echoes, and not their combination" in lost.reason


def test_confounds_without_images_are_a_run_that_cannot_be_used(root):  # noqa: F811
    add_run(root, "sub-01_task-rest").unlink()
    add_run(root, "sub-02_task-rest")
    (lost,) = find(root).unusable
    assert (lost.name, lost.reason.split(":")[0]) == (
        "sub-01_task-rest",
        "there is a confounds table, but no preprocessed image (desc-preproc_bold)",
    )


def test_the_only_output_of_fmriprep_among_several_derivatives_is_found(tmp_path):
    old, new = tmp_path / "derivatives" / "fmriprep-20.2.7", tmp_path / "derivatives" / "prep-25"
    other = tmp_path / "derivatives" / "other"
    add_run(old, "sub-01_task-rest")
    describe(old)
    add_run(other, "sub-01_task-rest")
    describe(other, GeneratedBy=[{"Name": "someone else"}])
    assert derivatives_root(tmp_path, None) == old
    add_run(new, "sub-01_task-rest")
    describe(new)
    with pytest.raises(UsageError, match=r"fmriprep-20\.2\.7, prep-25: choose one with --derivatives NAME"):
        derivatives_root(tmp_path, None)
    assert derivatives_root(tmp_path, "prep-25") == new
    assert derivatives_root(tmp_path, str(new)) == new


def test_data_that_say_they_are_raw_are_not_taken_for_derivatives(tmp_path):
    describe(tmp_path, DatasetType="raw")
    add_run(tmp_path, "sub-01_task-rest")
    folder = tmp_path / "derivatives" / "prep-25"
    add_run(folder, "sub-01_task-rest")
    describe(folder)
    assert derivatives_root(tmp_path, None) == folder


def test_the_old_layout_is_read_through(tmp_path):
    folder = tmp_path / "derivatives" / "fmriprep-1.4" / "fmriprep"
    add_run(folder, "sub-01_task-rest")
    describe(folder)
    assert find_runs(parse_config([str(tmp_path), "/out", "participant"]), SPACE).usable[0].root == folder
    found = find_runs(parse_config([str(folder.parent), "/out", "participant"]), SPACE)
    assert found.usable[0].root == folder


def test_folders_of_other_programs_beside_the_participants_are_not_entered(root):  # noqa: F811
    bold = add_run(root, "sub-01_task-rest")
    add_run(root / "other.v1", "sub-01_task-rest")
    add_run(root / "freesurfer", "sub-02_task-rest")
    (root / "freesurfer" / "task-rest_bold.json").write_text("{")
    found = find(root)
    assert [run.bold for run in found.usable] == [bold]
    assert (found.unusable, found.left_out) == ((), ())


@pytest.mark.parametrize("content", ["{", "[1]", "\udcff", ""])
@pytest.mark.parametrize("ending", [f"space-{SPACE}_desc-preproc_bold", "desc-confounds_timeseries"])
def test_an_unreadable_json_fails_its_run_alone(root, ending, content):  # noqa: F811
    for name in ("sub-01_task-rest_run-1", "sub-01_task-rest_run-2", "sub-02_task-rest"):
        add_run(root, name)
    bad = root / "sub-01" / "func" / f"sub-01_task-rest_run-1_{ending}.json"
    bad.write_text(content, errors="surrogateescape")
    found = find(root)
    assert len(found.usable) == 2
    (lost,) = found.unusable
    assert lost.name == "sub-01_task-rest_run-1"
    assert f"{bad} cannot be read as JSON" in lost.reason


def test_an_unreadable_json_that_is_inherited_fails_its_heirs_alone(root):  # noqa: F811
    for task in ("rest", "nback"):
        add_run(root, f"sub-01_task-{task}")
    (root / "task-rest_bold.json").write_text("{")
    found = find(root)
    assert [run.name for run in found.usable] == [f"sub-01_task-nback_space-{SPACE}"]
    assert "task-rest_bold.json cannot be read as JSON" in found.unusable[0].reason


@pytest.mark.parametrize("content", ["{", None])
def test_the_description_of_the_data_set_is_not_needed_beside_images(root, content):  # noqa: F811
    add_run(root, "sub-01_task-rest")
    description = root / "dataset_description.json"
    description.write_text(content) if content else description.unlink()
    assert len(find(root).usable) == 1


ENDINGS = (
    f"space-{SPACE}_desc-preproc_bold.nii.gz",
    f"space-{SPACE}_desc-brain_mask.nii.gz",
    f"space-{SPACE}_desc-preproc_bold.json",
    "desc-confounds_timeseries.tsv",
    "desc-confounds_timeseries.json",
)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_dangling_link_says_how_to_get_the_content(root, ending):  # noqa: F811
    for name in ("sub-01_task-rest", "sub-02_task-rest"):
        add_run(root, name)
    path = root / "sub-01" / "func" / f"sub-01_task-rest_{ending}"
    path.unlink()
    path.symlink_to("../../.git/annex/objects/ab/cd/MD5E-s1--0.nii.gz")
    found = find(root)
    assert [run.entities[0] for run in found.usable] == [("sub", "02")]
    assert f"{path.name}: the content is not here (a dangling link): datalad get {path}" in found.unusable[0].reason


@pytest.mark.parametrize(
    ("pointer", "told"),
    [
        (
            "version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "is a pointer of git LFS, not the file: git lfs pull",
        ),
        ("/annex/objects/MD5E-s1--0.nii.gz\n", "is a pointer of git-annex, not the file: datalad get"),
    ],
)
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_pointer_says_how_to_get_the_content(root, ending, pointer, told):  # noqa: F811
    for name in ("sub-01_task-rest", "sub-02_task-rest"):
        add_run(root, name)
    path = root / "sub-01" / "func" / f"sub-01_task-rest_{ending}"
    path.write_text(pointer)
    found = find(root)
    assert [run.entities[0] for run in found.usable] == [("sub", "02")]
    assert f"{path} {told}" in found.unusable[0].reason


def test_greyordinates_alone_are_a_run_of_another_format(root):  # noqa: F811
    bold = add_run(root, "sub-01_task-rest")
    add_run(root, "sub-02_task-rest")
    bold.unlink()
    (bold.parent / "sub-01_task-rest_space-fsLR_den-91k_bold.dtseries.nii").touch()
    found = find(root)
    assert [run.entities[0] for run in found.usable] == [("sub", "02")]
    assert "--file-format cifti reads its greyordinates" in found.unusable[0].reason


@pytest.mark.parametrize(
    ("described", "folder", "named"),
    [
        ({"GeneratedBy": [{"Name": "XCP-D"}]}, "some where", "xcp_d"),
        ({"PipelineDescription": {"Name": "fMRIPrep"}}, "prep", "fmriprep"),
        ({}, "HALFpipe (2)", "halfpipe_2"),
        ({"GeneratedBy": [{"Name": "bids_flex-simulate"}]}, "fmriprep", "fmriprep"),
        ({"GeneratedBy": [{"Name": "../../"}]}, "--", "source"),
    ],
)
def test_a_data_set_is_named_after_its_program(tmp_path, described, folder, named):
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "dataset_description.json").write_text(json.dumps(described))
    assert data_set_name(tmp_path / folder) == named


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("sub-01_task-rest_task-nback", "task- stands twice in the name"),
        ("sub-01_task-rest_old", "'old' in the name is no entity"),
        ("sub-01_task-re..st", "'task-re..st' in the name is no entity"),
        ("sub-02_task-rest", "the name says sub-02, the folder sub-01"),
        ("sub-01_ses-1_task-rest", None),
    ],
)
def test_a_name_that_names_no_run_is_reported_and_spoils_no_other(root, name, told):  # noqa: F811
    bold = add_run(root, "sub-01_task-rest")
    image(bold.with_name(f"{name}_space-{SPACE}_desc-preproc_bold.nii.gz"))
    found = find(root)
    assert [run.bold for run in found.usable] == [bold]
    assert len(found.unusable) == 1
    if told:
        assert told in found.unusable[0].reason


def test_the_same_image_twice_fails_its_run_alone(root):  # noqa: F811
    bold = add_run(root, "sub-01_task-rest")
    add_run(root, "sub-02_task-rest")
    image(bold.with_suffix(""))
    found = find(root)
    assert len(found.usable) == 1
    assert "remove all but one" in found.unusable[0].reason


def test_a_folder_that_is_no_label_is_reported(root):  # noqa: F811
    add_run(root, "sub-01_task-rest")
    (root / "sub-02 (copy)").mkdir()
    found = find(root)
    assert len(found.usable) == 1
    assert [one.name for one in found.unusable] == ["sub-02 (copy)"]


@pytest.mark.parametrize("option", ["--participant-label", "--session-label", "--task-id", "--run-id"])
def test_labels_with_paths_in_them_are_refused(option):
    with pytest.raises(SystemExit, match="2"):
        parse_config(["/in", "/out", "participant", option, "../01"])


@pytest.mark.parametrize(
    ("listing", "space", "usable", "unusable", "left_out"),
    [
        # what fMRIPrep's own tests expect: two runs; three spaces of one; three echoes beside their combination
        ("ds054_outputs.txt", SPACE, 2, 0, 4),
        ("ds210_outputs.txt", SPACE, 1, 0, 3),
        ("ds005_partial_outputs.txt", "MNI152NLin6Asym", 1, 0, 2),
        ("ds005_outputs.txt", SPACE, 0, 2, 0),
    ],
)
def test_the_current_fmriprep(shared, tmp_path, listing, space, usable, unusable, left_out):
    for name in (shared / "layouts" / "fmriprep_ci" / listing).read_text().split():
        path = tmp_path / name
        if "." not in path.name:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("_bold.nii.gz"):
            image(path)
        else:
            path.write_text('{"RepetitionTime": 2.0}' if name.endswith("_bold.json") else "{}")
    describe(tmp_path)
    found = find_runs(parse_config([str(tmp_path), "/out", "participant"]), space)
    assert (len(found.usable), len(found.unusable), len(found.left_out)) == (usable, unusable, left_out)


def grow(folder: Path, participants: int, figures: int) -> int:
    """Write a data set whose files are links to two of them; return how many there are."""
    bold = add_run(folder, "sub-0000_task-rest")
    describe(folder)
    (folder / "task-rest_bold.json").write_text('{"RepetitionTime": 2.0}')
    count = 7
    for number in range(1, participants):
        for inner in ("func", "anat", "figures"):
            (folder / f"sub-{number:04}" / inner).mkdir(parents=True)
        func = folder / f"sub-{number:04}" / "func"
        for run in range(4):
            for file in bold.parent.iterdir():
                os.link(file, func / file.name.replace("sub-0000_task-rest", f"sub-{number:04}_task-rest_run-{run}"))
                count += 1
        for figure in range(figures):
            os.link(
                bold, func.parent / ("figures" if figure % 2 else "anat") / f"sub-{number:04}_desc-{figure}_T1w.svg"
            )
            count += 1
    return count


@pytest.mark.slow
def test_one_participant_among_fifty_thousand_files(tmp_path, capsys):
    folder = tmp_path / "derivatives" / "fmriprep"
    count = grow(folder, 250, 185)
    assert count > 50_000
    before = sum(len(files) for _, _, files in os.walk(tmp_path))
    start = time.perf_counter()
    found = find_runs(parse_config([str(tmp_path), "/out", "participant", "--participant-label", "0123"]), SPACE)
    seconds = time.perf_counter() - start
    with capsys.disabled():
        print(f"\n{count} files, one participant: {len(found.usable)} runs in {seconds:.2f} s")
    assert len(found.usable) == 4
    assert seconds < 2
    assert sum(len(files) for _, _, files in os.walk(tmp_path)) == before  # no index was written
