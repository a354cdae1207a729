"""Confounds and cleaning against nilearn."""

import json

import numpy as np
import pandas as pd
import pytest
from nilearn.interfaces.fmriprep import load_confounds
from nilearn.signal import clean
from scipy.interpolate import CubicSpline

from bids_flex.errors import DatasetFileError, MissingInputError, RunError, UsageError
from bids_flex.signal import (
    Refilter,
    clean_series,
    degrees_of_freedom,
    keep_mask,
    lag1_autocorrelation,
    load_strategy,
    longest_run,
    non_steady_state_count,
    quality_figures,
    read_confounds,
    select_confounds,
    strategy_names,
    temporal_snr,
)

from .columns import FULL, MOTION


def table(volumes=200, seed=0):
    rng = np.random.default_rng(seed)
    columns = {}
    for name in [*MOTION, "csf", "white_matter", "global_signal"]:
        for ending in FULL:
            columns[name + ending] = rng.standard_normal(volumes)
            if "derivative" in ending:
                columns[name + ending][0] = np.nan
    for name in [*(f"w_comp_cor_{k:02d}" for k in range(6)), *(f"c_comp_cor_{k:02d}" for k in range(6)), "cosine00"]:
        columns[name] = rng.standard_normal(volumes)
    columns["framewise_displacement"] = np.r_[np.nan, rng.uniform(0, 0.4, volumes - 1)]
    columns["std_dvars"] = np.r_[np.nan, rng.uniform(0.5, 1.4, volumes - 1)]
    return pd.DataFrame(columns)


def take(name, confounds=None, metadata=None, high_pass_hz=0.01):
    return select_confounds(
        table() if confounds is None else confounds, metadata or {}, load_strategy(name), "f.tsv", high_pass_hz
    )


def test_strategies_take_the_columns_that_they_say():
    motion = {name + ending for name in MOTION for ending in FULL}
    assert set(take("none").columns) == set()
    assert set(take("24P+2P").columns) == motion | {"csf", "white_matter"}
    assert set(take("simple").columns) == motion | {"csf", "white_matter"}
    tissue = {name + ending for name in ("csf", "white_matter", "global_signal") for ending in FULL}
    assert set(take("36P").columns) == motion | tissue
    assert len(take("36P").columns) == 36
    compcor = {f"{mask}_comp_cor_0{k}" for mask in "cw" for k in range(5)}
    assert set(take("24P+acompcor").columns) == motion | compcor


def test_cosines_come_only_when_the_filter_leaves_their_band():
    assert "cosine00" not in take("simple", high_pass_hz=0.01)
    assert "cosine00" in take("simple", high_pass_hz=0.005)
    assert "cosine00" not in take("36P", high_pass_hz=0.005)


def test_compcor_follows_the_json_of_older_versions():
    old = table().rename(
        columns=lambda name: name.replace("w_comp_cor_", "a_comp_cor_0").replace("c_comp_cor_", "a_comp_cor_1")
    )
    names = [name for name in old if name.startswith("a_comp_cor")]
    told = {name: {"Method": "aCompCor", "Mask": "WM" if "_00" in name else "CSF"} for name in names}
    chosen = set(take("24P+acompcor", old, told).columns)
    assert {name for name in chosen if "comp" in name} == {f"a_comp_cor_{m}0{k}" for m in "01" for k in range(5)}
    with pytest.raises(RunError, match="0 CompCor components of WM are described"):
        take("24P+acompcor", old)


def test_first_values_of_derivatives_repeat_the_second():
    chosen = take("36P")
    assert (
        chosen.iloc[0][[c for c in chosen if "derivative" in c]]
        == chosen.iloc[1][[c for c in chosen if "derivative" in c]]
    ).all()


def test_missing_columns_and_holes_are_named():
    with pytest.raises(RunError, match=r"f\.tsv lacks trans_x, which strategy 24P\+2P needs"):
        take("24P+2P", table().drop(columns="trans_x"))
    holey = table()
    holey.loc[7, "csf"] = np.nan
    with pytest.raises(RunError, match="column csf has no value in row 8"):
        take("24P+2P", holey)


def test_strategies_of_ones_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\nmotion = "derivatives"\n')
    assert len(take(str(path)).columns) == 12
    for text, told in (
        ('name = "x"\nspeed = 1', "no such entry: speed"),
        ('name = "x"\nmotion = "some"', "motion is 'some'"),
        ('name = "x"\ncompcor_components = -1', "compcor_components is -1"),
        ("motion = 'full'", "needs a name"),
        ("= 3", "not a TOML file"),
    ):
        path.write_text(text)
        with pytest.raises(DatasetFileError, match=told):
            load_strategy(str(path))
    with pytest.raises(MissingInputError, match="there is no strategy '48P': name 24P"):
        load_strategy("48P")


def test_every_strategy_that_ships_can_be_loaded():
    assert set(strategy_names()) == {
        "36P", "24P+2P", "24P+acompcor", "acompcor50", "aroma", "none", "scrub", "simple",
    }  # fmt: skip
    for name in strategy_names():
        strategy = load_strategy(name)
        assert strategy.name == name
        assert strategy.description


def test_censoring_and_steady_state():
    confounds = table(10)
    confounds["framewise_displacement"] = [np.nan, 0.1, 0.5, 0.51, 0, 0, 0, 0, 0, 0]
    confounds["std_dvars"] = [np.nan, 1, 1, 1, 1.51, 1.5, 1, 1, 1, 1]
    assert np.flatnonzero(~keep_mask(confounds, 0.5, 1.5, "f.tsv")).tolist() == [3, 4]
    assert non_steady_state_count(confounds) == 0
    confounds["non_steady_state_outlier00"] = np.eye(10)[0]
    confounds["non_steady_state_outlier01"] = np.eye(10)[1]
    assert non_steady_state_count(confounds) == 2
    with pytest.raises(RunError, match="neither framewise_displacement nor std_dvars"):
        keep_mask(confounds[["csf"]], 0.5, 1.5, "f.tsv")


CENSORED = [[], [50, 51, 90], [0, 1, 70], [0, 1, 70, 199], [50, 51, 90, 109]]


@pytest.mark.parametrize("censored", CENSORED[:3])
def test_kept_rows_equal_nilearn(censored):
    rng = np.random.default_rng(1)
    series = 1e4 + rng.standard_normal((200, 6)).cumsum(axis=0)
    series[:, 2] = np.nan
    confounds = take("24P+2P").to_numpy()
    keep = np.ones(200, dtype=bool)
    keep[censored] = False
    found = clean_series(series, confounds, keep, 2.0)
    there = [0, 1, 3, 4, 5]
    expected = clean(
        series[:, there], confounds=confounds, sample_mask=np.flatnonzero(keep), t_r=2.0, low_pass=0.1, high_pass=0.01,
        detrend=True, standardize=None, standardize_confounds=True, filter="butterworth", extrapolate=False,
    )  # fmt: skip
    np.testing.assert_allclose(found.series[keep][:, there], expected, atol=1e-8)
    assert np.isnan(found.series[~keep]).all()
    assert np.isnan(found.series[:, 2]).all()


def planted(censored, regions=6, seed=1):
    rng = np.random.default_rng(seed)
    series = 1e4 + rng.standard_normal((200, regions)).cumsum(axis=0)
    series[:, 2] = np.nan
    keep = np.ones(200, dtype=bool)
    keep[censored] = False
    return series, take("24P+2P").to_numpy(), keep


@pytest.mark.parametrize("censored", CENSORED)
def test_what_is_censored_never_matters(censored):
    """nilearn 0.14.1 lets volumes through whose mirror image in time is censored too (90 and 109, 0 and 199)."""
    series, confounds, keep = planted(censored)
    found = clean_series(series, confounds, keep, 2.0)
    series[~keep] += 1e6
    confounds[~keep] -= 1e6
    other = clean_series(series, confounds, keep, 2.0)
    np.testing.assert_array_equal(found.series, other.series)
    np.testing.assert_array_equal(found.unfiltered, other.unfiltered)


@pytest.mark.parametrize("censored", CENSORED[3:])
def test_mirrored_gaps_are_cleaned_as_nilearn_means_to(censored):
    """The oracle: nilearn on a run cut to its kept ends, gaps filled by hand, so that it has nothing to fill."""
    series, confounds, keep = planted(censored)
    kept = np.flatnonzero(keep)
    times = np.arange(kept[0], kept[-1] + 1)
    there = [0, 1, 3, 4, 5]
    filled = CubicSpline(kept, np.hstack([series[kept][:, there], confounds[kept]]))(times)
    expected = clean(
        filled[:, :5], confounds=filled[:, 5:], sample_mask=kept - kept[0], t_r=2.0, low_pass=0.1, high_pass=0.01,
        detrend=True, standardize=None, standardize_confounds=True, filter="butterworth", extrapolate=False,
    )  # fmt: skip
    np.testing.assert_allclose(clean_series(series, confounds, keep, 2.0).series[keep][:, there], expected, atol=1e-8)


@pytest.mark.parametrize("censored", CENSORED)
@pytest.mark.parametrize("columns", [0, 26])
def test_filtering_what_is_unfiltered_gives_the_series(censored, columns):
    """Filling, detrending, filtering and regression are linear: equal but for a constant, censored or not."""
    series, confounds, keep = planted(censored)
    found = clean_series(series, confounds[:, :columns], keep, 2.0)
    there = [0, 1, 3, 4, 5]
    assert np.isfinite(found.unfiltered[:, there]).all()
    assert np.isnan(found.unfiltered[:, 2]).all()
    again = Refilter(keep, 2.0, 0.01, 0.1)(found.unfiltered)
    np.testing.assert_array_equal(np.isnan(again), np.isnan(found.series))
    offset = (again - found.series)[keep][:, there]
    scale = found.series[keep][:, there].std()
    assert np.ptp(offset, axis=0).max() < 1e-8 * scale
    if not columns:
        assert np.abs(offset).max() < 1e-8 * scale


def test_unfiltered_series_keep_what_the_filter_takes():
    """A sine of 0.2 Hz lies outside the band; no confound knows it, so the unfiltered series hold all of it."""
    times = np.arange(200) * 2.0
    fast = np.cos(2 * np.pi * 0.2 * times)
    slow = np.cos(2 * np.pi * 0.05 * times)
    confound = np.cos(2 * np.pi * 0.03 * times)
    series = np.stack([fast + 3 * confound, slow], axis=1)
    found = clean_series(series, confound[:, None], np.ones(200, dtype=bool), 2.0)
    # the filter's lower edge rings for a minute or two after both ends
    inner = slice(60, 140)
    np.testing.assert_allclose(found.unfiltered[inner, 0], fast[inner], atol=0.1)
    np.testing.assert_allclose(found.unfiltered[inner, 1], slow[inner], atol=0.1)
    assert np.abs(found.series[inner, 0]).max() < 0.2


def test_censored_ends_repeat_the_nearest_kept_volume():
    series, confounds, keep = planted([0, 1, 198, 199])
    found = clean_series(series, confounds, keep, 2.0).unfiltered
    np.testing.assert_array_equal(found[:2], found[[2, 2]])
    np.testing.assert_array_equal(found[198:], found[[197, 197]])


def test_a_refilter_refuses_another_run():
    with pytest.raises(UsageError, match=r"must be \(T, N\) with T = 5"):
        Refilter(np.ones(5, dtype=bool), 2.0, 0.01, 0.1)(np.zeros((6, 2)))


def test_the_choice_of_columns_equals_nilearns_loader(shared):
    """On real-rest, 24P+2P is nilearn's motion (full) and wm_csf (basic)."""
    folder = shared / "real-rest" / "derivatives" / "fmriprep" / "sub-RAPIDTIDETEST" / "func"
    bold = next(folder.glob("*_desc-preproc_bold.nii.gz"))
    theirs, _ = load_confounds(str(bold), strategy=("motion", "wm_csf"), motion="full", wm_csf="basic", demean=False)
    path = next(folder.glob("*_timeseries.tsv"))
    ours = select_confounds(
        read_confounds(path), json.loads(path.with_suffix(".json").read_text()), load_strategy("24P+2P"), "f", 0.01
    )
    np.testing.assert_allclose(ours[sorted(ours)], theirs[sorted(theirs)], atol=1e-10)


def test_degrees_of_freedom_by_hand():
    keep = np.ones(300, dtype=bool)
    keep[:50] = False
    # 0.09 Hz x 2 x 500 s = 90; 26 confounds of which one repeats another
    confounds = np.random.default_rng(0).standard_normal((300, 26))
    confounds[:, 25] = confounds[:, 0] * 1e-6
    assert degrees_of_freedom(confounds, keep, 2.0, 0.01, 0.1) == pytest.approx(65)
    with pytest.raises(RunError, match=r"degrees of freedom are left, 10 are wanted: 180 kept seconds"):
        degrees_of_freedom(confounds, np.arange(300) < 90, 2.0, 0.01, 0.1)


def test_few_degrees_of_freedom_are_noted_and_none_refused():
    series = np.random.default_rng(0).standard_normal((200, 4))
    assert (
        "degrees of freedom"
        in clean_series(series, take("24P+2P").to_numpy()[:, :20].repeat(2, 1), np.arange(200) < 130, 2.0).notes[0]
    )
    with pytest.raises(RunError, match="every volume is censored"):
        clean_series(series, np.empty((200, 0)), np.zeros(200, dtype=bool), 2.0)
    with pytest.raises(RunError, match="not below half the sampling rate"):
        clean_series(series, np.empty((200, 0)), np.ones(200, dtype=bool), 5.0)


def test_text_in_a_table_of_confounds_is_refused(tmp_path):
    (tmp_path / "c.tsv").write_text("a\tb\n1\tx\n")
    with pytest.raises(RunError, match="columns b hold text"):
        read_confounds(tmp_path / "c.tsv")
    (tmp_path / "c.tsv").write_text("")
    with pytest.raises(RunError, match="not a table"):
        read_confounds(tmp_path / "c.tsv")


def test_quality_figures_by_hand():
    assert longest_run(np.array([1, 1, 0, 1, 1, 1, 0], dtype=bool)) == 3
    assert longest_run(np.zeros(3, dtype=bool)) == 0
    wave = np.sin(np.arange(1000) * 0.5)[:, None]
    assert lag1_autocorrelation(wave)[0] == pytest.approx(np.cos(0.5), abs=1e-3)
    wave[500] = np.nan
    assert lag1_autocorrelation(wave)[0] == pytest.approx(np.cos(0.5), abs=1e-2)
    assert np.isnan(lag1_autocorrelation(np.full((10, 1), np.nan)))


def test_temporal_snr_by_hand():
    """Drift is no noise: 100 +- 1 in turn on a slope, over 200 volumes less the 2 of the line."""
    turns = np.tile([1.0, -1.0], 100)
    series = np.stack([100 + turns, 100 + turns + 0.3 * (np.arange(200) - 99.5), np.full(200, np.nan)], axis=1)
    found = temporal_snr(series, np.ones(200, dtype=bool))
    assert found[:2] == pytest.approx(100 / np.sqrt(200 / 198), rel=1e-3)
    assert np.isnan(found[2])
    series[50:60] += 500
    assert temporal_snr(series, ~np.isin(np.arange(200), range(50, 60)))[:2] == pytest.approx(100, rel=0.02)
    assert np.isnan(temporal_snr(series, np.arange(200) < 2)).all()


def test_a_run_is_summed_up_by_hand():
    keep = np.array([True, True, False, False, True, False])
    series = np.array([[1.0], [2.0], [np.nan], [np.nan], [1.0], [np.nan]]) * [1.0, -1.0]
    static = np.array([[0.0, -0.5], [-0.5, 0.0]])
    found = quality_figures(
        fd=np.array([np.nan, 0.1, 0.9, 0.7, 0.2, 0.6]),
        dvars=np.full(6, np.nan),
        keep=keep,
        series=series,
        static=static,
        tr_s=2.0,
        degrees_of_freedom=12.5,
    )
    assert found["mean_fd"] == pytest.approx(0.5)
    assert found["median_fd"] == pytest.approx(0.6)
    assert found["max_fd"] == 0.9
    assert np.isnan(found["mean_dvars"])
    assert found["share_censored"] == 0.5
    assert found["kept_minutes"] == pytest.approx(0.1)
    assert found["longest_gap"] == 4.0
    assert found["degrees_of_freedom"] == 12.5
    assert found["mean_absolute_r"] == 0.5
    # only one pair of neighbouring volumes is left: too few to correlate
    assert np.isnan(found["lag1_autocorrelation"])
