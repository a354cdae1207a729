"""Strategies and censoring by hand, against nilearn, and on tables that fMRIPrep wrote."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nilearn.interfaces.fmriprep import load_confounds
from nilearn.interfaces.fmriprep.load_confounds_scrub import optimize_scrub
from nilearn.maskers import NiftiLabelsMasker
from nilearn.signal import clean

from bids_flex.errors import DatasetFileError, RunError
from bids_flex.signal import (
    censoring_notes,
    clean_series,
    join_confounds,
    keep_mask,
    load_atlas,
    load_strategy,
    non_steady_state_count,
    parcellate,
    read_confounds,
    select_confounds,
    strategy_names,
)

from .columns import FULL, MOTION


def components(cumulative, mask, first=0, prefix="a"):
    """Describe CompCor components as fMRIPrep's JSON files do."""
    return {
        f"{prefix}_comp_cor_{first + k:02d}": {
            "Method": "aCompCor", "Mask": mask, "Retained": True, "CumulativeVarianceExplained": value,
        }
        for k, value in enumerate(cumulative)
    }  # fmt: skip


def table(names, volumes=50):
    rng = np.random.default_rng(0)
    motion = [name + ending for name in [*MOTION, "csf", "white_matter"] for ending in FULL]
    return pd.DataFrame({name: rng.standard_normal(volumes) for name in [*motion, "cosine00", *names]})


def chosen(name, confounds, metadata, high_pass_hz=0.01):
    return list(select_confounds(confounds, metadata, load_strategy(name), "f.tsv", high_pass_hz).columns)


def test_components_are_taken_up_to_half_of_the_variance():
    told = components([0.3, 0.45, 0.5, 0.7], "WM") | components([0.6, 0.8], "CSF", first=4)
    found = chosen("acompcor50", table(told), told)
    assert found[24:] == ["a_comp_cor_00", "a_comp_cor_01", "a_comp_cor_02", "a_comp_cor_04"]
    assert chosen("acompcor50", table(told), told, high_pass_hz=0.001)[-1] == "cosine00"


def test_components_that_do_not_reach_it_are_refused():
    told = components([0.3, 0.45], "WM") | components([0.6, 0.8], "CSF", first=4)
    with pytest.raises(RunError, match="2 CompCor components of WM are described, too few for 50% of its variance"):
        chosen("acompcor50", table(told), told)
    with pytest.raises(RunError, match="0 CompCor components of WM are described, too few for 50%"):
        chosen("acompcor50", table(told), {})


def test_components_are_ordered_by_number_not_by_letter():
    """Of 110 components, those of CSF start at 97: a_comp_cor_100 comes after a_comp_cor_99."""
    told = components(np.linspace(0.01, 0.9, 97), "WM") | components(np.linspace(0.1, 0.9, 13), "CSF", first=97)
    found = chosen("24P+acompcor", table(told), told)
    assert found[24:29] == [f"a_comp_cor_0{k}" for k in range(5)]
    assert found[29:] == [f"a_comp_cor_{k}" for k in (97, 98, 99, 100, 101)]


def test_combined_components_are_never_taken():
    told = (
        components([0.6, 0.7], "combined") | components([0.6], "WM", prefix="w") | components([0.6], "CSF", prefix="c")
    )
    assert chosen("acompcor50", table(told), told)[24:] == ["w_comp_cor_00", "c_comp_cor_00"]


def test_aroma_takes_its_columns_or_says_where_they_come_from():
    confounds = table(["aroma_motion_01", "aroma_motion_12", "aroma_noise"])
    assert chosen("aroma", confounds, {}) == ["white_matter", "csf", "aroma_motion_01", "aroma_motion_12"]
    with pytest.raises(RunError, match=r"no column aroma_motion_\*, .* fMRIPost-AROMA since; name the folder"):
        chosen("aroma", table([]), {})


def test_further_columns_are_joined():
    ours, theirs = table([]), table(["aroma_motion_03"])[["csf", "aroma_motion_03"]]
    joined = join_confounds(ours, theirs, "g.tsv")
    assert list(joined) == [*ours, "aroma_motion_03"]
    assert chosen("aroma", joined, {})[-1] == "aroma_motion_03"
    theirs["csf"] += 1
    with pytest.raises(RunError, match=r"g\.tsv: columns csf are in fMRIPrep's table too"):
        join_confounds(ours, theirs, "g.tsv")
    with pytest.raises(RunError, match=r"g\.tsv has 49 rows, fMRIPrep's table of confounds 50"):
        join_confounds(ours, theirs[1:], "g.tsv")


def test_a_strategy_may_name_columns_of_its_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\nmotion = "basic"\ncolumns = ["rmsd", "t_comp_cor_0?"]\nmin_segment = 3\n')
    confounds = table(["rmsd", "t_comp_cor_00", "t_comp_cor_01", "t_comp_cor_10"])
    assert chosen(str(path), confounds, {}) == [*MOTION, "rmsd", "t_comp_cor_00", "t_comp_cor_01"]
    with pytest.raises(RunError, match="no column rmsd"):
        chosen(str(path), table(["t_comp_cor_00"]), {})
    for entry, told in (
        ("compcor_variance = 50", "compcor_variance is 50; it must be a share"),
        ("compcor_variance = 0.5\ncompcor_components = 5", "not both"),
        ('columns = "rmsd"', "columns is 'rmsd'; it must be a list of words"),
        ("min_segment = 0", "min_segment is 0; it must be a whole number from 1"),
        ("censor_after = true", "censor_after is True; it must be a whole number from 0"),
        ('cosines = "yes"', "cosines is 'yes'; it must be true or false"),
        ("motion = 6", "motion is 6; it must be"),
    ):
        path.write_text(f'name = "mine"\n{entry}\n')
        with pytest.raises(DatasetFileError, match=told):
            load_strategy(str(path))


def test_rows_that_will_be_dropped_may_lack_values():
    confounds = table([])
    confounds.loc[:2, "csf"] = np.nan
    with pytest.raises(RunError, match="column csf has no value in row 2"):
        select_confounds(confounds, {}, load_strategy("24P+2P"), "f.tsv", 0.01)
    found = select_confounds(confounds, {}, load_strategy("24P+2P"), "f.tsv", 0.01, skip=3)
    assert found.notna().all().all()
    with pytest.raises(RunError, match=r"f\.tsv has 1 row, 0 of them"):
        select_confounds(confounds[:1], {}, load_strategy("24P+2P"), "f.tsv", 0.01)


def moved(volumes, bad):
    fd = np.where(np.isin(np.arange(volumes), bad), 0.6, 0.1)
    return pd.DataFrame(
        {"framewise_displacement": np.r_[np.nan, fd[1:]], "std_dvars": np.r_[np.nan, np.ones(volumes - 1)]}
    )


def test_neighbours_and_short_segments_are_censored_by_hand():
    confounds = moved(20, [5, 8, 16])
    out = np.flatnonzero(~keep_mask(confounds, 0.5, 1.5, "f", before=1, after=2))
    assert out.tolist() == [4, 5, 6, 7, 8, 9, 10, 15, 16, 17, 18]
    out = np.flatnonzero(~keep_mask(confounds, 0.5, 1.5, "f", min_segment=4))
    assert out.tolist() == [5, 6, 7, 8, 16, 17, 18, 19]
    # what is dropped at the start neither censors its neighbours nor lengthens a segment
    out = np.flatnonzero(~keep_mask(confounds, 0.5, 1.5, "f", after=2, min_segment=3, skip=6))
    assert out.tolist() == [0, 1, 2, 3, 4, 10, 11, 12, 13]
    assert len(keep_mask(confounds, 0.5, 1.5, "f", skip=6)) == 14


@given(st.sets(st.integers(1, 59), min_size=1), st.integers(1, 8))
def test_segments_are_those_that_nilearn_keeps(bad, least):
    expected = optimize_scrub(np.array(sorted(bad)), 60, least)
    found = keep_mask(moved(60, sorted(bad)), 0.5, 1.5, "f", min_segment=least)
    assert set(np.flatnonzero(~found)) == set(expected)


def test_motion_that_nobody_measured_is_named():
    confounds = moved(20, [])
    confounds.loc[7, "std_dvars"] = np.nan
    with pytest.raises(RunError, match="column std_dvars has no value in row 8"):
        keep_mask(confounds, 0.5, 1.5, "f")
    assert keep_mask(confounds, 0.5, 1.5, "f", skip=8).all()
    assert censoring_notes(confounds) == ()
    (note,) = censoring_notes(confounds[["framewise_displacement"]])
    assert "no standardised DVARS" in note


EXPECTED = {
    "36P": (36, 36, 36, 36, 36),
    "24P+2P": (26, 26, 26, 26, 26),
    "simple": (26, 26, 26, 26, 26),
    "scrub": (32, 32, 32, 32, 32),
    "none": (0, 0, 0, 0, 0),
    # without their JSON files the tables do not say which mask a component comes from
    "24P+acompcor": ("CompCor components of WM",) * 5,
    "acompcor50": ("CompCor components of WM",) * 5,
    "aroma": ("no column aroma_motion", 15, 15, "no column aroma_motion", "no column aroma_motion"),
}


@pytest.mark.parametrize("strategy", strategy_names())
def test_real_tables_give_columns_or_a_reason(shared, strategy):
    paths = sorted((shared / "confounds").glob("*.tsv"))
    for path, expected in zip(paths, EXPECTED[strategy], strict=True):
        confounds = read_confounds(path)
        skip = non_steady_state_count(confounds)
        if isinstance(expected, str):
            with pytest.raises(RunError, match=expected):
                select_confounds(confounds, {}, load_strategy(strategy), path.name, 0.01, skip)
            continue
        found = select_confounds(confounds, {}, load_strategy(strategy), path.name, 0.01, skip)
        assert found.notna().all().all()
        assert len(found.columns) == expected
        assert len(keep_mask(confounds, 0.5, 1.5, path.name, skip=skip)) == len(confounds) - skip


SAME_CHOICES = {
    "36P": {"strategy": ("motion", "wm_csf", "global_signal"), "wm_csf": "full", "global_signal": "full"},
    "24P+2P": {"strategy": ("motion", "wm_csf"), "wm_csf": "basic"},
    "24P+acompcor": {"strategy": ("motion", "high_pass", "compcor"), "compcor": "anat_separated", "n_compcor": 5},
    "simple": {"strategy": ("motion", "wm_csf"), "wm_csf": "basic"},
    "scrub": {"strategy": ("motion", "wm_csf"), "wm_csf": "full"},
}


@pytest.mark.parametrize("name", SAME_CHOICES)
def test_a_real_run_equals_masker_loader_and_clean(shared, tmp_path, name):
    """NiftiLabelsMasker, then clean with what load_confounds chooses and censors, on the real scan."""
    source = shared / "real-rest" / "derivatives" / "fmriprep" / "sub-RAPIDTIDETEST" / "func"
    for path in source.iterdir():
        (tmp_path / path.name).symlink_to(path)
    bold, mask = (next(tmp_path.glob(f"*_{what}.nii.gz")) for what in ("desc-preproc_bold", "desc-brain_mask"))
    path = next(tmp_path.glob("*_timeseries.tsv"))
    atlas = load_atlas(str(shared / "atlas" / "xcpengine_schaefer100x7MNI.nii.gz"))
    strategy, confounds = load_strategy(name), read_confounds(path)
    # thresholds that leave no censored gap with a censored mirror image in time, where nilearn 0.14.1 fills nothing
    options = {"fd_threshold": 0.12, "std_dvars_threshold": 1.3}
    keep = keep_mask(confounds, 0.12, 1.3, path.name, min_segment=strategy.min_segment)
    ours = clean_series(
        parcellate(bold, mask, atlas, min_coverage=0).series,
        select_confounds(confounds, json.loads(path.with_suffix(".json").read_text()), strategy, "f", 0.01).to_numpy(),
        keep, 1.5,
    )  # fmt: skip

    choice = SAME_CHOICES[name]
    theirs, sample_mask = load_confounds(
        str(bold), **{**choice, "strategy": (*choice["strategy"], "scrub")}, motion="full", scrub=strategy.min_segment,
        demean=False, **options,
    )  # fmt: skip
    # the band-pass covers the cosine terms, which nilearn cannot leave out beside CompCor
    theirs = theirs[[column for column in theirs if "cosine" not in column]]
    assert 0 < len(sample_mask) < 260
    masker = NiftiLabelsMasker(
        str(atlas.image), mask_img=str(mask), standardize=None, reports=False, resampling_target="data"
    )
    expected = clean(
        masker.fit_transform(str(bold)).astype(float), confounds=theirs.to_numpy(), sample_mask=sample_mask, t_r=1.5,
        detrend=True, standardize=None, standardize_confounds=True, filter="butterworth", low_pass=0.1, high_pass=0.01,
        extrapolate=False,
    )  # fmt: skip
    np.testing.assert_array_equal(np.flatnonzero(keep), sample_mask)
    np.testing.assert_allclose(ours.series[keep], expected, rtol=1e-8, atol=1e-8)
