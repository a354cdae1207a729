"""Files that are not what their names say: each is refused by its name, with what to do."""

from __future__ import annotations

import gzip

import nibabel as nib
import numpy as np
import pytest
from nibabel import cifti2

from bids_flex.errors import DatasetFileError, MissingInputError, RunError
from bids_flex.signal import (
    arrange,
    load_atlas,
    load_strategy,
    named_atlas,
    parcellate_greyordinates,
    read_table,
)
from bids_flex.signal.atlas_files import image_labels, read_regions
from bids_flex.signal.confounds import read_confounds
from bids_flex.signal.volumes import load_image, open_volumes, read_mask

LEFT, RIGHT = "CIFTI_STRUCTURE_CORTEX_LEFT", "CIFTI_STRUCTURE_CORTEX_RIGHT"


def save(path, values, dtype=np.int16):
    nib.save(nib.Nifti1Image(np.asarray(values, dtype=dtype), np.eye(4)), path)
    return path


def cifti(path, values, *axes):
    cifti2.save(cifti2.Cifti2Image(np.asarray(values, dtype=np.float32), axes), path)
    return path


def surface(side=LEFT, vertices=4):
    return cifti2.BrainModelAxis.from_surface(np.arange(vertices), vertices, side)


def parcels(names=("a", "b")):
    models = [(name, surface(vertices=4)[place * 2 : place * 2 + 2]) for place, name in enumerate(names)]
    return cifti2.ParcelsAxis.from_brain_models(models)


def labels(path, axis, values, names):
    table = {key: (name, (0, 0, 0, 1)) for key, name in names.items()}
    return cifti(path, [values], cifti2.LabelAxis(["map"], [table]), axis)


def series(rows=6, unit="SECOND"):
    return cifti2.SeriesAxis(0, 0.72, rows, unit)


# --- images of voxels


def test_an_image_that_claims_more_than_its_file_can_hold(tmp_path):
    path = save(tmp_path / "x.nii", np.zeros((10, 10, 10, 5)))
    path.write_bytes(path.read_bytes()[:5000])
    told = r"x.nii cannot be read to its end: it claims 10,352 bytes, more than its 5,000 can hold"
    with pytest.raises(RunError, match=told):
        load_image(path)
    with pytest.raises(DatasetFileError, match=told):
        image_labels(path)


def test_gzip_stands_for_at_most_a_thousand_times_its_bytes(tmp_path):
    path = save(tmp_path / "x.nii.gz", np.zeros((10, 10, 10, 5)))
    assert load_image(path).shape == (10, 10, 10, 5)
    whole = gzip.decompress(path.read_bytes())
    # 32,767 volumes claimed in the header: 65 MB in some hundred bytes
    claimed = bytearray(whole[:352])
    claimed[48:50] = np.int16(32767).tobytes()
    path.write_bytes(gzip.compress(bytes(claimed)))
    with pytest.raises(RunError, match="it claims 65,534,352 bytes"):
        load_image(path)


def test_more_than_134_million_voxels_in_a_volume(tmp_path):
    path = save(tmp_path / "x.nii", np.zeros((2, 2, 2)))
    content = bytearray(path.read_bytes())
    content[42:48] = np.array([513, 512, 512], dtype=np.int16).tobytes()
    path.write_bytes(content)
    with pytest.raises(RunError, match="claims 513 x 512 x 512 voxels, more than 134,217,728 in a volume"):
        read_mask(path)


def test_colours_and_no_volume_are_no_series(tmp_path):
    colours = np.zeros((2, 2, 2, 3), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(colours, np.eye(4)), tmp_path / "x.nii")
    with pytest.raises(RunError, match="not one number per voxel"):
        open_volumes(tmp_path / "x.nii")
    with pytest.raises(RunError, match="holds no volume"):
        open_volumes(save(tmp_path / "y.nii", np.zeros((2, 2, 2, 0))))


def test_files_that_are_not_here(tmp_path):
    (tmp_path / "x.nii").symlink_to(tmp_path / "nowhere")
    with pytest.raises(RunError, match="datalad get"):
        load_image(tmp_path / "x.nii")


def test_a_mask_whose_bytes_are_damaged(tmp_path):
    path = save(tmp_path / "x.nii.gz", np.random.default_rng(0).integers(0, 2, (20, 20, 20)))
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = content[len(content) // 2 : -20]
    path.write_bytes(content)
    with pytest.raises(RunError, match="cannot be read to its end"):
        read_mask(path)


# --- labels and tables of atlases


@pytest.mark.parametrize("largest", [2**24 - 1, 2**24])
def test_labels_go_up_to_what_a_table_of_them_can_hold(tmp_path, largest):
    path = save(tmp_path / "x.nii", np.full((2, 2, 2), largest), np.int32)
    (tmp_path / "x.tsv").write_text(f"index\tname\n{largest}\ta\n")
    if largest < 2**24:
        assert image_labels(path) == {largest}
        assert read_regions(tmp_path / "x.tsv").index.tolist() == [largest]
        return
    with pytest.raises(DatasetFileError, match="label 16777216; labels go up to 16777215"):
        image_labels(path)
    with pytest.raises(DatasetFileError, match="label 16777216; labels go up to 16777215"):
        read_regions(tmp_path / "x.tsv")


def test_tables_that_are_too_wide_or_no_text(tmp_path):
    (tmp_path / "x.tsv").write_text("\t" * 100_000 + "\n")
    for read, kind in ((read_regions, DatasetFileError), (read_confounds, RunError), (read_table, RunError)):
        with pytest.raises(kind, match="more than 100,000 columns"):
            read(tmp_path / "x.tsv")
    (tmp_path / "y.tsv").write_bytes(b"index\tname\n1\t\xff\xfe\n")
    with pytest.raises(DatasetFileError, match="cannot be read as a tab-separated table"):
        read_regions(tmp_path / "y.tsv")
    (tmp_path / "z.tsv").write_bytes(b"")
    with pytest.raises(RunError, match="not a table of tab-separated values"):
        read_confounds(tmp_path / "z.tsv")
    (tmp_path / "s.toml").write_text("name = 'x'\n" + "#" * (1 << 20))
    with pytest.raises(DatasetFileError, match="more than 1,048,576 bytes"):
        load_strategy(str(tmp_path / "s.toml"))


# --- regional series


def test_parcels_are_read_with_their_names_and_their_time(tmp_path):
    values = np.random.default_rng(1).normal(size=(6, 2)).astype(np.float32)
    found = read_table(cifti(tmp_path / "x.ptseries.nii", values, series(), parcels()))
    assert (found.labels, found.tr_s) == (("a", "b"), pytest.approx(0.72))
    np.testing.assert_array_equal(found.values, values)
    other = read_table(cifti(tmp_path / "y.ptseries.nii", values, series(unit="HERTZ"), parcels()))
    assert other.tr_s == 0
    with pytest.raises(RunError, match="holds no parcels"):
        read_table(cifti(tmp_path / "z.ptseries.nii", np.zeros((6, 4)), series(), surface()))


def test_series_that_do_not_fit_the_atlas(tmp_path):
    atlas = named_atlas("My", ("a", "b"))

    def table(text):
        (tmp_path / "x.tsv").write_text(text)
        return read_table(tmp_path / "x.tsv")

    with pytest.raises(RunError, match="holds no series"):
        table("a\tb\n")
    with pytest.raises(RunError, match="more than one column a: rename"):
        table("a\tb\ta\n1\t2\t3\n")
    with pytest.raises(RunError, match="two columns of one name: a"):
        table("a\tb\ta \n1\t2\t3\n")
    # readers would take the first values for names of rows, or fill up what is not there
    with pytest.raises(RunError, match=r"x\.tsv: line 2 has 3 values, the first line has 2 names"):
        table("a\tb\n1\t2\t3\n4\t5\t6\n")
    with pytest.raises(RunError, match=r"x\.tsv: line 3 has 1 value, the first line has 2 values: correct it"):
        table("1.5\t1.5\n1\t2\n3\n")
    with pytest.raises(RunError, match=r"x\.tsv holds NUL bytes"):
        table("a\tb\n1\t2\0\n")
    with pytest.raises(RunError, match="3 columns without names, and My has 2 regions"):
        arrange(table("0.5\t2.5\t3.5\n"), atlas, "x.tsv")
    with pytest.raises(RunError, match="no volume with a value"):
        arrange(table("a\tb\nn/a\tn/a\n"), atlas, "x.tsv")
    with pytest.raises(RunError, match=r"no region of x\.tsv is usable; the first, a, does not vary"):
        arrange(table("a\tb\n1\t2\n1\t2\n"), atlas, "x.tsv")
    found = arrange(table("a\tb\n1\tn/a\n2\t5\n3\t6\n"), atlas, "x.tsv")
    assert found.poor == (("b", "misses values in volumes that other regions have"),)
    found = arrange(table("a\tb\n1\tn/a\n2\tn/a\n"), atlas, "x.tsv")
    assert found.poor == (("b", "has no value"),)


def test_names_of_ten_digits_and_powers_are_no_numbers_in_a_row(tmp_path):
    (tmp_path / "x.tsv").write_text(f"{'9' * 5000}\t\u00b2\n1\t2\n")
    assert read_table(tmp_path / "x.tsv").labels == ("9" * 5000, "\u00b2")


# --- greyordinates


def test_greyordinates_that_are_something_else(tmp_path):
    regions = {0: "???", 1: "a", 2: "b"}
    path = labels(tmp_path / "atlas-Toy_dseg.dlabel.nii", surface(), [1, 1, 2, 2], regions)
    atlas = load_atlas(str(path))
    values = np.random.default_rng(1).normal(size=(6, 4))
    bold = cifti(tmp_path / "x.dtseries.nii", values, series(), surface())
    np.testing.assert_allclose(
        parcellate_greyordinates(bold, atlas).series[:, 0], values[:, :2].mean(axis=1), rtol=1e-5
    )
    with pytest.raises(RunError, match="holds no greyordinates"):
        parcellate_greyordinates(cifti(tmp_path / "p.dtseries.nii", np.zeros((6, 2)), series(), parcels()), atlas)
    with pytest.raises(RunError, match="not drawn on greyordinates"):
        parcellate_greyordinates(bold, named_atlas("My", ("a", "b")))
    with pytest.raises(RunError, match="do not overlap"):
        parcellate_greyordinates(cifti(tmp_path / "r.dtseries.nii", values, series(), surface(RIGHT)), atlas)
    cut = tmp_path / "cut.dtseries.nii"
    cut.write_bytes(bold.read_bytes()[:-8])
    with pytest.raises(RunError, match="cannot be read to its end"):
        parcellate_greyordinates(cut, atlas)
    with pytest.raises(RunError, match="holds no series"):
        parcellate_greyordinates(path.rename(tmp_path / "y.dtseries.nii"), atlas)


def test_labels_on_greyordinates_that_make_no_atlas(tmp_path):
    twice = labels(tmp_path / "x.dlabel.nii", surface(), [1, 1, 2, 2], {0: "???", 1: "a", 2: "a"})
    with pytest.raises(DatasetFileError, match="names a more than once"):
        load_atlas(str(twice))
    parts = labels(tmp_path / "y.dlabel.nii", surface(), [1, 1.5, 2, 2], {0: "???", 1: "a", 2: "b"})
    with pytest.raises(DatasetFileError, match="values that are no labels"):
        load_atlas(str(parts))
    large = labels(tmp_path / "z.dlabel.nii", surface(), [1, 2, 2, 2**26], {0: "???", 1: "a", 2: "b"})
    with pytest.raises(DatasetFileError, match="labels go up to 16777215"):
        load_atlas(str(large))
    no_map = cifti(tmp_path / "s.dlabel.nii", np.zeros((6, 4)), series(), surface())
    with pytest.raises(DatasetFileError, match="no map of labels"):
        load_atlas(str(no_map))
    with pytest.raises(MissingInputError, match="does not exist"):
        load_atlas(str(tmp_path / "nowhere.dlabel.nii"))
