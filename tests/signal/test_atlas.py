"""Atlases: what is read from them, and what is refused."""

import json

import nibabel as nib
import numpy as np
import pytest

from bids_flex.errors import DatasetFileError, MissingInputError, RunError
from bids_flex.signal import check_space, labels_on_grid, load_atlas

LABELS = np.zeros((4, 4, 4), dtype=np.int16)
LABELS[0], LABELS[1], LABELS[3, 3] = 1, 2, 7
TABLE = "index\tlabel\tnetwork\n0\tbackground\tn/a\n1\tone\tVis\n2\ttwo\tVis\n7\tseven\tDefault\n"


def write(folder, name="tpl-MNI152NLin2009cAsym_atlas-My+A_seg-2n_scale-3_dseg", values=LABELS, table=TABLE):
    path = folder / f"{name}.nii.gz"
    nib.save(nib.Nifti1Image(values, np.diag([2.0, 2, 2, 1])), path)
    (folder / f"{name}.tsv").write_text(table)
    return path


def test_a_file_and_its_table(tmp_path):
    atlas = load_atlas(str(write(tmp_path)))
    assert atlas.name == "My+A"
    assert dict(atlas.entities) == {"atlas": "My+A", "seg": "2n", "scale": "3"}
    assert atlas.index.tolist() == [1, 2, 7]
    assert atlas.labels == ("one", "two", "seven")
    assert atlas.networks == ("Vis", "Vis", "Default")
    assert atlas.space == "MNI152NLin2009cAsym"


def test_names_like_schaefers_tell_the_network(tmp_path):
    table = "index\tname\n1\t7Networks_LH_Vis_1\n2\tRH_SomMot_2\n7\t7Networks_RH_Default_PFC_1\n"
    atlas = load_atlas(str(write(tmp_path, "my atlas", table=table)))
    assert atlas.networks == ("Vis", "SomMot", "Default")
    assert atlas.name == "myatlas"
    assert atlas.space is None


def test_without_networks_there_are_none(tmp_path):
    assert load_atlas(str(write(tmp_path, table="index\tname\n1\ta\n2\tb\n7\tc\n"))).networks is None


def test_the_space_comes_from_argument_name_or_sidecar(tmp_path):
    path = write(tmp_path, "plain")
    assert load_atlas(str(path), space="MNI152NLin6Asym").space == "MNI152NLin6Asym"
    (tmp_path / "plain.json").write_text(json.dumps({"Space": "MNI152Lin"}))
    assert load_atlas(str(path)).space == "MNI152Lin"


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("index\tlabel\n1\ta\n2\tb\n", r"1 label without a row \(7\)"),
        (TABLE + "9\tnine\tVis\n", r"1 row without voxels \(index 9\)"),
        ("index\tlabel\n1\ta\n2\ta\n7\tc\n", "column 'label' names a more than once"),
        ("index\tlabel\n1\ta\n1\tb\n7\tc\n", "column 'index' names 1 more than once"),
        ("label\na\n", "a column 'index' of whole numbers is needed"),
        ("index\tlabel\none\ta\n", "a column 'index' of whole numbers is needed"),
        ("index\tcolour\n1\ta\n", "no column 'label' or 'name'; it has index, colour"),
        ("index\tlabel\tnetwork\n1\ta\tVis\n2\tb\t\n7\tc\tVis\n", "column 'network' is empty for b"),
        ("index\tlabel\n1\t\n2\tb\n7\tc\n", "column 'label' is empty for index 1"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(tmp_path, table, told):
    with pytest.raises(DatasetFileError, match=told):
        load_atlas(str(write(tmp_path, table=table)))


@pytest.mark.parametrize(
    ("values", "told"),
    [(LABELS + 0.5, "values that are no labels"), (LABELS[..., None], "has 4 dimensions"), (-LABELS, "no labels")],
)
def test_an_image_that_is_no_atlas_is_refused(tmp_path, values, told):
    with pytest.raises(DatasetFileError, match=told):
        load_atlas(str(write(tmp_path, values=np.asarray(values, dtype=np.float32))))


def test_what_stands_for_a_file_is_told_from_it(tmp_path):
    path = write(tmp_path)
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(MissingInputError, match="pointer of git LFS, not the file: git lfs pull"):
        load_atlas(str(path))
    path.write_bytes(b"/annex/objects/MD5E-s1--0.nii.gz\n")
    with pytest.raises(MissingInputError, match="pointer of git-annex, not the file: datalad get"):
        load_atlas(str(path))
    path.unlink()
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(MissingInputError, match=r"dangling link\): datalad get"):
        load_atlas(str(path))
    path.unlink()
    with pytest.raises(MissingInputError, match="does not exist"):
        load_atlas(str(path))


def test_schaefer_comes_from_templateflow_or_says_how(tmp_path, monkeypatch):
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path))
    command = "bids_flex-atlas fetch Schaefer2018_seg-17n_scale-400"
    with pytest.raises(MissingInputError, match=command) as raised:
        load_atlas("Schaefer2018_seg-17n_scale-400")
    assert "--atlas Dosenbach2010" in str(raised.value)
    folder = tmp_path / "tpl-MNI152NLin2009cAsym"
    folder.mkdir()
    stem = "tpl-MNI152NLin2009cAsym_res-02_atlas-Schaefer2018_desc-200Parcels7Networks_dseg"
    image = write(folder, stem)
    table = image.with_name(stem.replace("_res-02", "") + ".tsv")
    table.write_text("index\tname\n1\t7Networks_LH_Vis_1\n2\t7Networks_LH_Vis_2\n7\t7Networks_RH_Cont_1\n")
    atlas = load_atlas("Schaefer2018")
    assert dict(atlas.entities) == {"atlas": "Schaefer2018", "seg": "7n", "scale": "200"}
    assert atlas.networks == ("Vis", "Vis", "Cont")
    table.write_text("")  # what a client without a network leaves behind
    with pytest.raises(MissingInputError, match="bids_flex-atlas fetch Schaefer2018_seg-7n_scale-200"):
        load_atlas("Schaefer2018")


def test_an_unknown_name_lists_the_known():
    with pytest.raises(MissingInputError, match="there is no atlas 'AAL': name one of 4S, Dosenbach2010, Schaefer2018"):
        load_atlas("AAL")


def test_dosenbach_is_there_without_a_network():
    atlas = load_atlas("Dosenbach2010")
    assert len(atlas.labels) == len(set(atlas.labels)) == 160
    assert set(atlas.networks) == {
        "cerebellum", "cingulo-opercular", "default", "fronto-parietal", "occipital", "sensorimotor"
    }  # fmt: skip
    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = [-90, -126, -72]
    drawn = labels_on_grid(atlas, (91, 109, 91), affine)
    assert set(np.unique(drawn)) == set(range(161))
    # every voxel lies within 4 mm of its own centre, and no other centre is nearer
    voxels = np.argwhere(drawn > 0)
    places = voxels * 2.0 + affine[:3, 3]
    distance = np.linalg.norm(places[:, None] - atlas.coordinates, axis=2)
    own = distance[np.arange(len(places)), drawn[drawn > 0] - 1]
    assert own.max() <= 4 + 1e-9
    np.testing.assert_allclose(own, distance.min(axis=1))


def test_another_grid_takes_the_nearest_label(tmp_path):
    atlas = load_atlas(str(write(tmp_path)))
    finer = labels_on_grid(
        atlas, (8, 8, 8), np.array([[1.0, 0, 0, -0.5], [0, 1, 0, -0.5], [0, 0, 1, -0.5], [0, 0, 0, 1]])
    )
    # the outermost half voxel has no neighbour beyond it, and is background
    inner = (slice(1, -1),) * 3
    np.testing.assert_array_equal(finer[inner], LABELS.repeat(2, 0).repeat(2, 1).repeat(2, 2)[inner])
    np.testing.assert_array_equal(labels_on_grid(atlas, (4, 4, 4), np.diag([2.0, 2, 2, 1])), LABELS)


def test_templates_must_agree(tmp_path):
    atlas = load_atlas(str(write(tmp_path)))
    assert check_space(atlas, "MNI152NLin2009cAsym") == ()
    with pytest.raises(RunError, match="drawn on MNI152NLin2009cAsym, but the images are in MNI152NLin6Asym"):
        check_space(atlas, "MNI152NLin6Asym")
    assert "as asked" in check_space(atlas, "MNI152NLin6Asym", force=True)[0]
    assert "cannot be ruled out" in check_space(load_atlas("Dosenbach2010"), "MNI152NLin6Asym")[0]
