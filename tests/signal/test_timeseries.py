"""Regional series of other programs: tables, masks, gaps, names."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy.interpolate import CubicSpline

from bids_flex.errors import DatasetFileError, RunError
from bids_flex.signal import arrange, named_atlas, read_displacement, read_mask, read_table, take_clean

NAMES = ("LH_Vis_1", "LH_Vis_2", "RH_Default_1")
VALUES = np.random.default_rng(4).normal(size=(12, 3))


def write(path, values, names=None, missing="n/a"):
    pd.DataFrame(values, columns=names).to_csv(path, sep="\t", index=False, header=names is not None, na_rep=missing)
    return path


def test_with_and_without_a_row_of_names(tmp_path):
    """XCP-D names regions, giga_connectome may number them, HALFpipe writes numbers alone."""
    named = read_table(write(tmp_path / "a.tsv", VALUES, NAMES))
    assert named.labels == NAMES
    np.testing.assert_allclose(named.values, VALUES)
    for first in (0, 1):
        numbered = read_table(write(tmp_path / "b.tsv", VALUES, [str(first + place) for place in range(3)]))
        assert (numbered.labels, numbered.values.shape) == ((), (12, 3))
    bare = read_table(write(tmp_path / "c.tsv", VALUES, missing="nan"))
    assert (bare.labels, bare.values.shape) == ((), (12, 3))


def test_columns_are_put_in_the_order_of_the_atlas(tmp_path):
    atlas = named_atlas("My", NAMES)
    assert atlas.networks == ("Vis", "Vis", "Default")
    table = read_table(write(tmp_path / "a.tsv", VALUES[:, ::-1], NAMES[::-1]))
    np.testing.assert_allclose(arrange(table, atlas, "a.tsv").series, VALUES)
    fewer = read_table(write(tmp_path / "b.tsv", VALUES[:, :2], NAMES[:2]))
    found = arrange(fewer, atlas, "b.tsv")
    assert found.poor == (("RH_Default_1", "has no column"),)
    assert np.isnan(found.series[:, 2]).all()
    other = read_table(write(tmp_path / "c.tsv", VALUES, ("x", *NAMES[1:])))
    with pytest.raises(RunError, match="columns that are no regions of My: x"):
        arrange(other, atlas, "c.tsv")
    bare = read_table(write(tmp_path / "d.tsv", VALUES[:, :2]))
    with pytest.raises(RunError, match="2 columns without names, and My has 3 regions"):
        arrange(bare, atlas, "d.tsv")


def test_rows_of_missing_values_are_censored_volumes(tmp_path):
    values = VALUES.copy()
    values[[3, 4, 9]] = np.nan
    found = arrange(read_table(write(tmp_path / "a.tsv", values, NAMES)), named_atlas("My", NAMES), "a.tsv")
    assert np.flatnonzero(~found.keep).tolist() == [3, 4, 9]
    assert found.poor == ()
    np.testing.assert_allclose(found.series, values)


def test_poor_regions_do_not_censor_volumes(tmp_path):
    values = VALUES.copy()
    values[:, 0] = np.nan
    values[5, 1] = np.nan
    found = arrange(read_table(write(tmp_path / "a.tsv", values, NAMES)), named_atlas("My", NAMES), "a.tsv")
    assert found.keep.all()
    assert found.poor == (
        ("LH_Vis_1", "has no value"),
        ("LH_Vis_2", "misses values in volumes that other regions have"),
    )


@pytest.mark.parametrize("cut_out", [True, False])
def test_a_temporal_mask_puts_cut_out_volumes_back(tmp_path, cut_out):
    """XCP-D cuts censored volumes out, or interpolates them; its mask has every volume."""
    outliers = np.zeros(12, dtype=int)
    outliers[[0, 5, 6]] = 1
    keep = read_mask(write(tmp_path / "o.tsv", outliers[:, None], ["framewise_displacement"]))
    assert np.flatnonzero(~keep).tolist() == [0, 5, 6]
    moved = write(tmp_path / "m.tsv", np.c_[np.zeros(12), np.arange(12)], ["trans_x", "framewise_displacement"])
    fd, why = read_displacement(moved, 12)
    assert why == ""
    table = read_table(write(tmp_path / "a.tsv", VALUES[keep] if cut_out else VALUES, NAMES))
    found = arrange(table, named_atlas("My", NAMES), "a.tsv", keep, fd)
    np.testing.assert_array_equal(found.keep, keep)
    np.testing.assert_allclose(found.series[keep], VALUES[keep])
    assert np.isnan(found.series[~keep]).all()
    np.testing.assert_array_equal(found.fd, np.arange(12))


@pytest.mark.parametrize(
    ("values", "name", "told"),
    [
        ([0.1] * 11, "framewise_displacement", r"^m\.tsv has 11 rows and the run has 12 volumes"),
        ([0.1] * 13, "framewise_displacement", r"^m\.tsv has 13 rows and the run has 12 volumes"),
        ([0.1] * 12, "rmsd", r"^m\.tsv has no column framewise_displacement"),
        ([np.nan] * 12, "framewise_displacement", r"^m\.tsv has no value of framewise_displacement"),
    ],
)
def test_motion_that_does_not_fit_is_unknown_and_told(tmp_path, values, name, told):
    fd, why = read_displacement(write(tmp_path / "m.tsv", np.array(values)[:, None], [name]), 12)
    assert re.search(told, why)
    assert fd.shape == (12,)
    assert np.isnan(fd).all()


def test_holes_in_motion_are_told(tmp_path):
    values = np.array([np.nan, 0.1, np.nan, 0.3, np.nan])[:, None]
    fd, why = read_displacement(write(tmp_path / "m.tsv", values, ["framewise_displacement"]), 5)
    np.testing.assert_array_equal(fd, values[:, 0])
    assert why.startswith("m.tsv has no value of framewise_displacement in row 3 and 1 others:")
    # the first volume has none
    assert read_displacement(write(tmp_path / "m.tsv", values[:2], ["framewise_displacement"]), 2)[1] == ""


@pytest.mark.parametrize("value", [np.inf, -0.1])
def test_motion_that_cannot_be_is_refused(tmp_path, value):
    moved = write(tmp_path / "m.tsv", np.array([[0.1], [value]]), ["framewise_displacement"], missing="n/a")
    with pytest.raises(RunError, match=r"m\.tsv: framewise_displacement is (inf|-0\.1) in row 2"):
        read_displacement(moved, 2)


def test_a_mask_of_another_run_is_refused(tmp_path):
    table = read_table(write(tmp_path / "a.tsv", VALUES, NAMES))
    keep = np.ones(15, dtype=bool)
    keep[:2] = False
    with pytest.raises(RunError, match="12 rows, but the temporal mask has 15 volumes of which 13 are kept"):
        arrange(table, named_atlas("My", NAMES), "a.tsv", keep)
    with pytest.raises(RunError, match="no volume with a value"):
        arrange(table, named_atlas("My", NAMES), "a.tsv", np.zeros(12, dtype=bool))
    with pytest.raises(RunError, match="is no temporal mask"):
        read_mask(write(tmp_path / "o.tsv", VALUES, NAMES))


def test_what_is_no_table_is_refused(tmp_path):
    (tmp_path / "a.tsv").write_text("a\tb\n1\tx\n")
    with pytest.raises(RunError, match="no table of numbers and n/a"):
        read_table(tmp_path / "a.tsv")
    (tmp_path / "a.tsv").write_text("a\tb\n")
    with pytest.raises(RunError, match="holds no series"):
        read_table(tmp_path / "a.tsv")
    with pytest.raises(RunError, match="more than one column a"):
        read_table(write(tmp_path / "b.tsv", VALUES[:, :2], ["a", "a"]))
    with pytest.raises(DatasetFileError, match="have no names for their regions"):
        named_atlas("My", ())


def test_what_is_taken_as_it_is_stays_as_it_is():
    keep = np.ones(12, dtype=bool)
    keep[[0, 5, 6]] = False
    series = np.c_[VALUES, np.full(12, np.nan)]
    found = take_clean(series, keep)
    np.testing.assert_array_equal(found.series[keep][:, :3], VALUES[keep])
    assert np.isnan(found.series[~keep]).all()
    assert np.isnan(found.series[:, 3]).all()
    # gaps: splines through kept volumes, and the line that fits all of them taken off
    at = np.arange(1, 12)
    whole = CubicSpline(np.flatnonzero(keep), VALUES[keep])(at)
    line = np.polynomial.polynomial.polyval(at, np.polynomial.polynomial.polyfit(at, whole, 1)).T
    np.testing.assert_allclose(found.unfiltered[1:, :3], whole - line, atol=1e-12)
    np.testing.assert_array_equal(found.unfiltered[0], found.unfiltered[1])
    with pytest.raises(RunError, match="every volume is censored"):
        take_clean(series, np.zeros(12, dtype=bool))


def test_real_parcels_with_cortex_and_deep_grey(shared, tmp_path):
    """A ptseries of 400 cortical regions in 17 networks and 19 deep ones, which need a network."""
    table = read_table(shared / "timeseries" / "rapidtide_ptseries.nii")
    assert table.values.shape == (1200, 419)
    assert table.tr_s == pytest.approx(0.72)
    assert table.labels[0] == "17Networks_LH_VisCent_ExStr_1"
    assert named_atlas("P", table.labels).networks is None
    (tmp_path / "n.tsv").write_text("network\tbecomes\nn/a\tDeepGrey\nVisCent\tVis\nVisPeri\tVis\n")
    atlas = named_atlas("P", table.labels, networks=tmp_path / "n.tsv")
    assert atlas.networks.count("DeepGrey") == 19
    assert "VisCent" not in atlas.networks
    assert len(set(atlas.networks)) == 17
    found = arrange(table, atlas, "rapidtide")
    assert found.keep.all()
    assert found.poor == ()


def test_a_real_table_of_numbered_columns_and_its_regions(shared):
    """150 volumes of Schaefer's 100 regions, whose columns are but numbers; the regions stand in another table."""
    folder = shared / "timeseries" / "brainfc_rest01"
    table = read_table(folder / "timeseries.tsv")
    assert (table.labels, table.values.shape) == ((), (150, 100))
    regions = pd.read_csv(folder / "rois.tsv", sep="\t")
    atlas = named_atlas("Schaefer", tuple(regions["name"]))
    assert list(atlas.networks) == list(regions["network"])
    np.testing.assert_array_equal(arrange(table, atlas, "timeseries.tsv").series, table.values)
