"""What cannot be analysed has a reason, and the others are done."""

import json
import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from .conftest import LEAN, PRIOR_ALONE, analyse, bids_flex, participant, status
from .results import read, sidecar


def test_bad_runs_have_a_reason_and_the_others_are_done(study, tmp_path):
    spoilt = type(study)(tmp_path / "bids")
    shutil.copytree(study.root, spoilt.root)
    confounds = next(spoilt.func("01").glob("*timeseries.tsv"))
    confounds.write_text("\n".join(confounds.read_text().splitlines()[:-5]) + "\n")
    next(spoilt.func("02").glob("*timeseries.tsv")).unlink()
    bold = next(spoilt.func("03").glob("*preproc_bold.nii.gz"))
    bold.write_bytes(bold.read_bytes()[:-4000])
    bold = next(spoilt.func("04").glob("*preproc_bold.nii.gz"))
    image = nib.load(bold)
    nib.save(image.slicer[..., :25], bold)
    confounds = next(spoilt.func("04").glob("*timeseries.tsv"))
    confounds.write_text("\n".join(confounds.read_text().splitlines()[:26]) + "\n")
    out = tmp_path / "out"
    call = participant(spoilt, out)
    assert call.code == 1
    assert "2 done, 4 failed), exit code 1" in call.err.splitlines()[-1]
    rows = status(out)
    reasons = {name.split("_")[0]: row for name, row in rows.iterrows()}
    assert reasons["sub-01"]["reason"].endswith("they do not belong together; run fMRIPrep again")
    assert "145 rows but the images have 150 volumes" in reasons["sub-01"]["reason"]
    assert "the confounds table of sub-02_task-rest is missing" in reasons["sub-02"]["reason"]
    assert "cannot be read to its end" in reasons["sub-03"]["reason"]
    assert "degrees of freedom are left" in reasons["sub-04"]["reason"]
    assert reasons["sub-05"]["state"] == reasons["sub-06"]["state"] == "done"
    assert not list((out / "sub-01").rglob("*")) if (out / "sub-01").exists() else True


def test_bad_files_have_a_reason_and_the_others_are_done(study, tmp_path):
    spoilt = type(study)(tmp_path / "bids")
    shutil.copytree(study.root, spoilt.root)
    bold = {label: next(spoilt.func(label).glob("*preproc_bold.nii.gz")) for label in ("01", "02", "03", "04", "05")}
    bold["01"].unlink()
    bold["01"].symlink_to("../.git/annex/objects/absent")
    bold["02"].with_name(bold["02"].name.replace(".nii.gz", ".json")).write_text("{")
    shutil.copy(bold["03"], bold["03"].with_name(bold["03"].name.replace("task-rest", "task-rest_task-rest")))
    bold["04"].with_name(bold["04"].name.replace(".nii.gz", ".json")).write_text('{"RepetitionTime": 2000}')
    nib.save(nib.load(bold["05"]).slicer[..., 0], bold["05"])
    call = participant(spoilt, tmp_path / "out", *PRIOR_ALONE)
    assert call.code == 1
    assert "2 done, 5 failed), exit code 1" in call.err.splitlines()[-1]
    rows = status(tmp_path / "out")
    for label, state, told in (
        ("01", "failed", "datalad get"),
        ("02", "failed", "cannot be read as JSON"),
        ("04", "failed", "looks like milliseconds"),
        ("05", "failed", "has 3 dimensions, not 4"),
    ):
        (row,) = (row for name, row in rows.iterrows() if name.startswith(f"sub-{label}"))
        assert row["state"] == state
        assert told in row["reason"]
        assert "\n" not in row["reason"]
    states = {name: row["state"] for name, row in rows.iterrows() if name.startswith("sub-03")}
    assert sorted(states.values()) == ["done", "failed"]
    assert states[next(name for name in states if "task-rest_task-rest" in name)] == "failed"


def test_a_run_shorter_than_a_window_says_so(study, tmp_path):
    call = participant(study, tmp_path, "--participant-label", "01", "--prior-window", "400s")
    assert call.code == 1
    assert "149 volumes (298 s), fewer than one window of 200 (400 s)" in status(tmp_path)["reason"].iloc[0]


def test_poor_regions_are_missing_and_named(study, tmp_path):
    spoilt = type(study)(tmp_path / "bids")
    shutil.copytree(study.root, spoilt.root)
    drawn = nib.load(spoilt.atlas).get_fdata()
    mask = next(spoilt.func("01").glob("*brain_mask.nii.gz"))
    inside = nib.load(mask).get_fdata() * (drawn != 5)
    nib.save(nib.Nifti1Image(inside.astype(np.uint8), nib.load(mask).affine), mask)
    bold = next(spoilt.func("01").glob("*preproc_bold.nii.gz"))
    image = nib.load(bold)
    values = np.asarray(image.dataobj).copy()
    values[drawn == 9] = 777
    nib.save(nib.Nifti1Image(values, image.affine, image.header), bold)
    out = tmp_path / "out"
    assert participant(spoilt, out, "--participant-label", "01").code == 0
    told = sidecar(out)
    assert told["Regions"]["Searched"] == 26
    assert list(told["Regions"]["Missing"].values()) == ["coverage is 0.00, 0.5 is wanted", "does not vary"]
    table = read(out, "01", "desc-prior_dynamics")
    assert np.flatnonzero(table["flexibility"].isna()).tolist() == [4, 8]
    assert read(out, "01", "stat-mean_timeseries").iloc[:, 4].isna().all()
    assert read(out, "01", "desc-prior_communities").iloc[:, 3 + 4].isna().all()


def test_an_atlas_of_another_template_is_refused_unless_forced(study, tmp_path):
    words = ["--atlas-space", "MNI152NLin6Asym", "--participant-label", "01"]
    assert participant(study, tmp_path / "a", *words).code == 1
    assert "no images in MNI152NLin6Asym (the atlas's space)" in status(tmp_path / "a")["reason"].iloc[0]
    assert participant(study, tmp_path / "b", *words, "--force", "atlas-space").code == 0
    assert any("used all the same" in text for text in sidecar(tmp_path / "b")["Warnings"])


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (["--participant-label", "99"], 18, "no participant 99"),
        (["--task-id", "nback"], 18, "task-nback"),
        (["--atlas", "nowhere.nii.gz"], 66, "does not exist"),
        (["--denoise", "99P"], 66, "there is no strategy '99P'"),
        (["--derivatives", "nowhere"], 66, "is not a folder"),
    ],
)
def test_what_cannot_begin_says_why(study, tmp_path, options, code, told):
    call = participant(study, tmp_path, *options)
    assert call.code == code
    assert told in call.err
    assert f"exit code {code}" in call.err.splitlines()[-1]


def test_without_the_default_atlas_the_way_out_is_named(study, tmp_path):
    call = bids_flex(study.root, tmp_path, "participant", TEMPLATEFLOW_HOME=str(tmp_path / "tf"))
    assert call.code == 66
    assert "bids_flex-atlas fetch Schaefer2018" in call.err
    assert "--atlas Dosenbach2010" in call.err
    assert not (tmp_path / "tf").exists()


def test_an_atlas_without_networks_is_refused_before_any_run(study, tmp_path):
    copy = tmp_path / "plain.nii.gz"
    shutil.copy(study.atlas, copy)
    table = pd.read_csv(study.atlas.with_name(study.atlas.name.replace(".nii.gz", ".tsv")), sep="\t")
    table.drop(columns="network").to_csv(tmp_path / "plain.tsv", sep="\t", index=False)
    call = bids_flex(study.root, tmp_path / "out", "participant", "--atlas", copy, *LEAN)
    assert call.code == 65
    assert "names no networks, and the prior engine starts from them: add a column 'network'" in call.err
    # the other engine needs none
    words = ["--engine", "multilayer", "--atlas", copy, "--atlas-space", "MNI152NLin2009cAsym"]
    analyse(study, tmp_path / "free", *words)
    told = json.loads(next((tmp_path / "free").rglob("*_desc-multilayer_dynamics.json")).read_text())
    assert told["Networks"] == {}
    assert told["Global"]["flexibility"] > 0
    assert told["Global"]["recruitment"] is None
    table.drop(index=0).to_csv(tmp_path / "plain.tsv", sep="\t", index=False)
    call = bids_flex(study.root, tmp_path / "out", "participant", "--atlas", copy, *LEAN)
    assert call.code == 65
    assert "does not describe plain.nii.gz: 1 label without a row (1)" in call.err


def test_an_output_that_cannot_be_written_is_found_first(study, tmp_path):
    (tmp_path / "file").write_text("")
    call = participant(study, tmp_path / "file" / "out")
    assert call.code == 73
    assert "cannot be written" in call.err


def test_raw_data_is_recognised(study, tmp_path):
    raw = tmp_path / "raw"
    shutil.copytree(study.root, raw, ignore=shutil.ignore_patterns("derivatives"))
    call = bids_flex(raw, tmp_path / "out", "participant", "--atlas", study.atlas)
    assert call.code == 16
    assert "this is raw data; run fMRIPrep first" in call.err


def test_empty_images_of_others_fail_by_name(shared, tmp_path):
    atlas = shared / "atlas" / "xcpengine_schaefer100x7MNI.nii.gz"
    words = ["--atlas", atlas, "--atlas-space", "MNI152NLin2009cAsym"]
    call = bids_flex(shared / "layouts" / "ds000001-fmriprep", tmp_path, "participant", *words)
    assert call.code == 1
    rows = status(tmp_path)
    assert len(rows) == 12
    assert rows["reason"].str.contains(r"is empty \(0 bytes\)").all()
