"""Options about volumes, voxels and confounds, quality tables, and runs whose masks or confounds are bad."""

import json
import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bids_flex import signal
from bids_flex.errors import RunError

from .conftest import PRIOR_ALONE, Study, analyse, bids_flex, participant, status

AFTER_SKIP = 150 - 4


def table(out, ending):
    return pd.read_csv(next(out.rglob(f"sub-01*_{ending}.tsv")), sep="\t", na_values=["n/a"])


def sidecar(out, ending):
    return json.loads(next(out.rglob(f"sub-01*_{ending}.json")).read_text())


@pytest.fixture
def spoilt(study, tmp_path):
    """A copy of the study that may be changed."""
    shutil.copytree(study.root, tmp_path / "bids")
    return Study(tmp_path / "bids")


def confounds_file(study, label):
    return next(study.func(label).glob("*timeseries.tsv"))


def test_options_reach_the_library(study, tmp_path):
    """The clean series of a call equal those of the library with the same choices."""
    options = ["--dummy-scans", "4", "--censor-before", "1", "--censor-after", "2", "--min-segment", "5"]
    options += ["--smoothing", "12", "--despike", "--fd-thresh", "0.2"]
    analyse(study, tmp_path, *PRIOR_ALONE, *options)
    func = study.func("01")
    confounds = signal.read_confounds(confounds_file(study, "01"))
    keep = signal.keep_mask(confounds, 0.2, 1.5, "f", before=1, after=2, min_segment=5, skip=4)
    assert 0 < keep.sum() < AFTER_SKIP == len(keep)
    found = signal.parcellate(
        next(func.glob("*preproc_bold.nii.gz")), next(func.glob("*brain_mask.nii.gz")),
        signal.load_atlas(str(study.atlas)), smoothing_mm=12, despiked=True, skip=4,
    )  # fmt: skip
    chosen = signal.select_confounds(confounds, {}, signal.load_strategy("24P+2P"), "f", 0.01).to_numpy()[4:]
    expected = signal.clean_series(found.series[4:], chosen, keep, 2.0).series
    written = table(tmp_path, "stat-mean_timeseries").to_numpy()
    np.testing.assert_allclose(written, expected, rtol=1e-9, atol=1e-9)
    settings = sidecar(tmp_path, "stat-mean_timeseries")["Settings"]["denoise"]
    assert (settings["smoothing_mm"], settings["despike"], settings["censor_after"]) == (12, True, 2)


def test_fewer_dummy_scans_than_marked_are_noted(study, tmp_path):
    analyse(study, tmp_path, *PRIOR_ALONE, "--dummy-scans", "0")
    assert len(table(tmp_path, "stat-mean_timeseries")) == 150
    assert "marks 1 volume at the start as not in steady state; none dropped" in " ".join(
        sidecar(tmp_path, "desc-prior_dynamics")["Warnings"]
    )


def test_quality_tables_agree_with_the_series(done, study):
    run, regions = table(done, "desc-run_quality"), table(done, "desc-regions_quality")
    frames = table(done, "desc-confounds_quality")
    series = table(done, "stat-mean_timeseries").to_numpy()
    assert len(run) == 1
    row = run.iloc[0]
    fd = frames["framewise_displacement"]
    assert row["mean_fd"] == pytest.approx(fd.mean(), rel=1e-9)
    assert row["median_fd"] == pytest.approx(fd.median(), rel=1e-9)
    assert row["share_censored"] == pytest.approx(1 - frames["kept"].mean())
    assert row["kept_minutes"] == pytest.approx(frames["kept"].sum() * 2 / 60)
    r = np.corrcoef(series[frames["kept"] == 1].T)
    assert row["mean_absolute_r"] == pytest.approx(np.abs(r[~np.eye(len(r), dtype=bool)]).mean(), rel=1e-9)
    assert row["usable_regions"] == len(regions) == 28
    assert row["median_tsnr"] == pytest.approx(regions["tsnr"].median())
    assert row["mean_coverage"] == pytest.approx(regions["coverage"].mean())
    assert row["lag1_autocorrelation"] == pytest.approx(regions["lag1_autocorrelation"].mean())
    raw = signal.parcellate(
        next(study.func("01").glob("*preproc_bold.nii.gz")), next(study.func("01").glob("*brain_mask.nii.gz")),
        signal.load_atlas(str(study.atlas)),
    ).series[150 - len(frames) :][frames["kept"] == 1, 3]  # fmt: skip
    volumes = np.flatnonzero(frames["kept"])
    residual = raw - np.polyval(np.polyfit(volumes, raw, 1), volumes)
    assert regions["tsnr"][3] == pytest.approx(raw.mean() / np.sqrt((residual**2).sum() / (len(raw) - 2)), rel=1e-6)
    described = sidecar(done, "desc-run_quality")
    assert all({"LongName", "Description"} <= set(described[name]) for name in run)
    assert described["longest_gap"]["Units"] == "s"


def test_aroma_from_another_program(spoilt, tmp_path):
    """Components of fMRIPost-AROMA lie in its own folder; a run without them says so and harms no other."""
    aroma = tmp_path / "aroma"
    rng = np.random.default_rng(0)
    for label in ("01", "02"):
        func = aroma / f"sub-{label}" / "func"
        func.mkdir(parents=True)
        columns = pd.DataFrame({f"aroma_motion_{k:02d}": rng.standard_normal(150) for k in (1, 5, 9)})
        columns.to_csv(func / f"sub-{label}_task-rest_desc-confounds_timeseries.tsv", sep="\t", index=False)
    words = ["--denoise", "aroma", *PRIOR_ALONE, "--custom-confounds", aroma]
    call = participant(spoilt, tmp_path / "out", *words, "--participant-label", "01", "02", "03")
    assert call.code == 1
    rows = status(tmp_path / "out")
    assert rows["state"].tolist() == ["done", "done", "failed"]
    assert "further confounds of sub-03_task-rest are missing" in rows["reason"].iloc[2]
    told = sidecar(tmp_path / "out", "stat-mean_timeseries")["Cleaning"]
    assert told["ConfoundColumns"] == ["white_matter", "csf", *(f"aroma_motion_0{k}" for k in (1, 5, 9))]
    assert told["FurtherConfounds"] == "sub-01_task-rest_desc-confounds_timeseries.tsv"
    # other contents are other inputs
    path = aroma / "sub-02" / "func" / "sub-02_task-rest_desc-confounds_timeseries.tsv"
    path.write_text(path.read_text().replace("aroma_motion_09", "aroma_motion_10"))
    participant(spoilt, tmp_path / "out", *words, "--participant-label", "01", "02")
    assert status(tmp_path / "out")["state"].tolist() == ["skipped", "done"]
    (path.parent / "sub-02_task-rest_desc-mine_timeseries.tsv").write_text(path.read_text())
    with pytest.raises(RunError, match="further confounds of sub-02_task-rest are not unique"):
        analyse(spoilt, tmp_path / "two", *words, "--participant-label", "02")
    assert (
        bids_flex(spoilt.root, tmp_path / "x", "participant", "--atlas", spoilt.atlas, "--custom-confounds", "no").code
        == 66
    )


def rewrite(path, change):
    values = pd.read_csv(path, sep="\t", na_values=["n/a"])
    change(values).to_csv(path, sep="\t", index=False, na_rep="n/a")


def remask(study, label, change):
    path = next(study.func(label).glob("*brain_mask.nii.gz"))
    image = nib.load(path)
    values, affine = change(np.asarray(image.dataobj), image.affine)
    nib.save(nib.Nifti1Image(values.astype(np.uint8), affine), path)


def test_bad_masks_and_confounds_are_one_line_each(spoilt, tmp_path):
    """Six people: five spoilt in a way of their own, and one who is analysed all the same."""

    def hole(values):
        values.loc[20, "csf"] = np.nan
        return values

    remask(spoilt, "01", lambda values, affine: (values[1:], affine))
    remask(spoilt, "02", lambda values, affine: (values * 0, affine))
    rewrite(confounds_file(spoilt, "03"), lambda values: values.drop(columns=["rot_x", "trans_z_power2"]))
    rewrite(confounds_file(spoilt, "04"), hole)
    rewrite(confounds_file(spoilt, "05"), lambda values: values.assign(std_dvars=values["std_dvars"] + 9))
    out = tmp_path / "out"
    call = participant(spoilt, out, *PRIOR_ALONE)
    assert call.code == 1
    assert "(1 done, 5 failed), exit code 1" in call.err.splitlines()[-1]
    reasons = [reason.splitlines() for reason in status(out).sort_index()["reason"]]
    assert [len(lines) for lines in reasons[:5]] == [1] * 5
    for (line,), told in zip(
        reasons[:5],
        (
            "lie on different grids: the mask must be the one made for the images",
            "desc-brain_mask.nii.gz is empty: fMRIPrep found no brain",
            "lacks trans_z_power2, rot_x, which strategy 24P+2P needs",
            "column csf has no value in row 21",
            "every volume is censored: raise the censoring thresholds",
        ),
        strict=True,
    ):
        assert told in line
    assert status(out).sort_index()["state"].iloc[5] == "done"


def test_a_mask_that_dangles_names_the_way_out(spoilt, tmp_path):
    path = next(spoilt.func("01").glob("*brain_mask.nii.gz"))
    path.unlink()
    path.symlink_to("../../../.git/annex/objects/xx/no.nii.gz")
    with pytest.raises(RunError, match=r"datalad get"):
        signal.parcellate(
            next(spoilt.func("01").glob("*preproc_bold.nii.gz")), path, signal.load_atlas(str(spoilt.atlas))
        )


@pytest.mark.parametrize("strategy", ["scrub", "simple", "24P+acompcor"])
def test_other_strategies_run_on_the_real_scan(shared, tmp_path, strategy):
    atlas = shared / "atlas" / "xcpengine_schaefer100x7MNI.nii.gz"
    words = ["--atlas", atlas, "--atlas-space", "MNI152NLin2009cAsym", *PRIOR_ALONE, "--denoise", strategy]
    call = bids_flex(shared / "real-rest", tmp_path, "participant", *words)
    assert call.code == 0, call.err
    told = json.loads(next(tmp_path.rglob("*_stat-mean_timeseries.json")).read_text())["Cleaning"]
    assert told["Censoring"] == {"before": 0, "after": 0, "min_segment": 5 if strategy == "scrub" else 1}
    assert told["StrategyCitations"][0].startswith("doi:")
    assert len(told["ConfoundColumns"]) == {"scrub": 32, "simple": 26, "24P+acompcor": 34}[strategy]


def test_runs_with_too_few_minutes_left_are_refused(done, study, tmp_path):
    """Of runs of equal length those are refused that lost more volumes than the best one."""
    kept = {
        path.name.split("_")[0]: json.loads(path.read_text())["Quality"]["kept_minutes"]
        for path in done.rglob("*_desc-prior_dynamics.json")
    }
    limit = max(kept.values()) - 0.01
    few = {name for name, minutes in kept.items() if minutes < limit}
    assert 0 < len(few) < len(kept)
    call = participant(study, tmp_path, *PRIOR_ALONE, "--min-time", limit)
    rows = status(tmp_path)
    failed = rows[rows["state"] == "failed"]
    assert call.code == 1
    assert {name.split("_")[0] for name in failed.index} == few
    assert failed["reason"].str.contains(f"fewer than --min-time {limit:g}: ").all()


@pytest.mark.parametrize("option", ["--participant-label", "--task-id"])
def test_a_label_with_a_path_in_it_is_refused(study, tmp_path, option):
    call = participant(study, tmp_path / "out", option, "../01")
    assert call.code == 2
    assert "../01" in call.err
    assert not (tmp_path / "out").exists()
