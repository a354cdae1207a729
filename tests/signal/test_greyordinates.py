"""Greyordinates: what is averaged, what is covered, what is refused."""

import nibabel as nib
import numpy as np
import pytest
from nibabel import cifti2

from bids_flex.errors import DatasetFileError, RunError
from bids_flex.signal import greyordinates, load_atlas, parcellate_greyordinates

LEFT, RIGHT, DEEP = "CIFTI_STRUCTURE_CORTEX_LEFT", "CIFTI_STRUCTURE_CORTEX_RIGHT", "CIFTI_STRUCTURE_THALAMUS_LEFT"
NAMES = {0: "???", 1: "LH_Vis_1", 2: "RH_SomMot_1", 3: "Thalamus"}


def brain(vertices=40, left=None, right=None, voxels=((1, 1, 1), (1, 1, 2), (2, 1, 1)), shape=(4, 4, 4)):
    """Two hemispheres and a few voxels."""
    left = np.arange(vertices) if left is None else np.asarray(left)
    right = np.arange(vertices) if right is None else np.asarray(right)
    axis = cifti2.BrainModelAxis.from_surface(left, vertices, LEFT)
    axis += cifti2.BrainModelAxis.from_surface(right, vertices, RIGHT)
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(np.array(voxels).T)] = True
    return axis + cifti2.BrainModelAxis.from_mask(mask, name=DEEP, affine=np.diag([2.0, 2, 2, 1]))


def write_labels(path, axis, values, names=NAMES):
    table = {key: (name, (0, 0, 0, 1)) for key, name in names.items()}
    labels = cifti2.LabelAxis(["map"], [table])
    cifti2.save(cifti2.Cifti2Image(np.asarray(values, dtype=np.float32)[None], (labels, axis)), path)
    return path


def write_series(path, axis, values, step=0.72):
    time = cifti2.SeriesAxis(0, step, len(values), "second")
    cifti2.save(cifti2.Cifti2Image(np.asarray(values, dtype=np.float32), (time, axis)), path)
    return path


def label_values(axis):
    """Left vertices are region 1 from vertex 10 on (the rest is the wall), right ones 2, voxels 3."""
    values = np.zeros(len(axis), dtype=int)
    values[axis.name == LEFT] = np.where(axis.vertex[axis.name == LEFT] >= 10, 1, 0)
    values[axis.name == RIGHT] = 2
    values[axis.name == DEEP] = 3
    return values


@pytest.fixture
def atlas(tmp_path):
    axis = brain()
    return load_atlas(str(write_labels(tmp_path / "atlas-Toy_dseg.dlabel.nii", axis, label_values(axis))))


def test_the_file_names_regions_and_space_itself(atlas):
    assert atlas.labels == ("LH_Vis_1", "RH_SomMot_1", "Thalamus")
    assert atlas.index.tolist() == [1, 2, 3]
    assert atlas.space == "fsLR"
    assert dict(atlas.entities) == {"atlas": "Toy"}
    # Thalamus has no network in its name: none is guessed for some regions only
    assert atlas.networks is None


def test_networks_of_greyordinates_by_a_table(tmp_path, atlas):
    (tmp_path / "n.tsv").write_text("network\tbecomes\nn/a\tDeepGrey\n")
    again = load_atlas(str(atlas.image), networks=tmp_path / "n.tsv")
    assert again.networks == ("Vis", "SomMot", "DeepGrey")


@pytest.mark.parametrize("block", [7, 4096])
def test_means_by_hand_over_other_greyordinates_than_the_atlas(tmp_path, atlas, monkeypatch, block):
    """The images lack vertices (the wall, and some of a region) and hold them in another order than the atlas."""
    monkeypatch.setattr(greyordinates, "BLOCK", block)
    axis = brain(left=range(8, 40), right=range(30), voxels=((2, 1, 1), (1, 1, 1)))
    random = np.random.default_rng(3)
    values = random.normal(100, 5, (50, len(axis)))
    labels = label_values(axis)
    values[:, np.flatnonzero(labels == 2)[:4]] = 0.0  # outside of the scanned volume
    values[7, np.flatnonzero(labels == 1)[0]] = np.nan
    found = parcellate_greyordinates(write_series(tmp_path / "x.dtseries.nii", axis, values), atlas)
    one, two, three = (np.flatnonzero(labels == number) for number in (1, 2, 3))
    expected = np.stack([values[:, at].mean(axis=1) for at in (one[1:], two[4:], three)], axis=1)
    np.testing.assert_allclose(found.series, expected, rtol=1e-6)
    np.testing.assert_allclose(found.coverage, [29 / 30, 26 / 40, 2 / 3])
    assert found.poor == ()


def test_poor_regions_are_named(tmp_path, atlas):
    axis = brain(right=range(5))
    values = np.random.default_rng(0).normal(size=(20, len(axis)))
    values[:, axis.name == DEEP] = 3.0
    found = parcellate_greyordinates(write_series(tmp_path / "x.dtseries.nii", axis, values), atlas, 0.5)
    assert found.poor == (("RH_SomMot_1", "coverage is 0.12, 0.5 is wanted"), ("Thalamus", "does not vary"))
    assert np.isnan(found.series[:, 1:]).all()


def test_another_density_or_grid_is_refused(tmp_path, atlas):
    values = np.ones((5, 1)) * np.arange(5)[:, None]
    for axis, told in (
        (brain(vertices=50), r"40 and 50 vertices on CIFTI_STRUCTURE_CORTEX_LEFT"),
        (brain(shape=(5, 5, 5)), "voxels on different grids"),
    ):
        path = write_series(tmp_path / "x.dtseries.nii", axis, np.repeat(values, len(axis), axis=1))
        with pytest.raises(RunError, match=told):
            parcellate_greyordinates(path, atlas)


def spoilt_brain(kind):
    """Greyordinates of which one cannot be: listed twice, or beyond its surface or volume."""
    vertex, voxel = np.array([0, 1, 2, 3, -1, -1]), np.full((6, 3), -1)
    voxel[4:] = [(1, 1, 1), (1, 1, 2)]
    counts, shape = {LEFT: 4}, (4, 4, 4)
    if kind == "a vertex twice":
        vertex[3] = 1
    elif kind == "a vertex beyond":
        vertex[3] = 4
    elif kind == "vertices without end":
        counts[LEFT] = 10**12
    elif kind == "a voxel twice":
        voxel[5] = voxel[4]
    elif kind == "a voxel beyond":
        voxel[5, 2] = 4
    elif kind == "voxels without end":
        shape = (10**4,) * 3
    return cifti2.BrainModelAxis(
        [LEFT] * 4 + [DEEP] * 2, voxel, vertex, affine=np.eye(4), volume_shape=shape, nvertices=counts
    )


IMPOSSIBLE = {
    "a vertex twice": f"lists a vertex of {LEFT} twice",
    "a vertex beyond": f"lists vertex 4 of 4 of {LEFT}",
    "vertices without end": f"lists vertex 3 of 1,000,000,000,000 of {LEFT}",
    "a voxel twice": "lists a voxel twice",
    "a voxel beyond": r"lists voxel \(1, 1, 4\) of a volume of \(4, 4, 4\)",
    "voxels without end": r"lists voxel \(1, 1, 2\) of a volume of \(10000, 10000, 10000\)",
}


@pytest.mark.parametrize("kind", IMPOSSIBLE)
def test_places_that_are_none_are_refused_in_atlas_and_images(tmp_path, kind):
    axis, values = spoilt_brain(kind), np.array([1, 1, 2, 2, 3, 3])
    with pytest.raises(DatasetFileError, match=f"atlas-Odd_dseg.dlabel.nii {IMPOSSIBLE[kind]}"):
        load_atlas(str(write_labels(tmp_path / "atlas-Odd_dseg.dlabel.nii", axis, values)))
    good = load_atlas(str(write_labels(tmp_path / "atlas-Toy_dseg.dlabel.nii", spoilt_brain(""), values)))
    series = write_series(tmp_path / "x.dtseries.nii", axis, np.random.default_rng(0).normal(size=(20, 6)))
    with pytest.raises(RunError, match=f"x.dtseries.nii {IMPOSSIBLE[kind]}"):
        parcellate_greyordinates(series, good)


def test_a_structure_may_stand_in_two_stretches(tmp_path):
    """The first stretch of the atlas was forgotten."""
    vertex, name = np.array([0, 1, 0, 1, 2, 3]), [LEFT, LEFT, RIGHT, RIGHT, LEFT, LEFT]
    axis = cifti2.BrainModelAxis(name, vertex=vertex, nvertices={LEFT: 4, RIGHT: 2})
    atlas = load_atlas(str(write_labels(tmp_path / "atlas-Toy_dseg.dlabel.nii", axis, [1, 1, 2, 2, 3, 3])))
    values = np.random.default_rng(0).normal(size=(20, 6))
    found = parcellate_greyordinates(write_series(tmp_path / "x.dtseries.nii", axis, values), atlas)
    assert found.coverage.tolist() == [1.0, 1.0, 1.0]
    expected = values.astype(np.float32).reshape(20, 3, 2).mean(axis=2)
    np.testing.assert_allclose(found.series, expected, rtol=1e-6)


def test_files_that_are_something_else(tmp_path, atlas):
    nifti = tmp_path / "x.nii"
    nib.save(nib.Nifti1Image(np.zeros((2, 2, 2), dtype=np.int16), np.eye(4)), nifti)
    with pytest.raises(RunError, match="is no CIFTI-2 file of 2 dimensions"):
        parcellate_greyordinates(nifti, atlas)
    with pytest.raises(RunError, match="holds no series"):
        parcellate_greyordinates(atlas.image, atlas)
    axis = brain()
    dtseries = write_series(tmp_path / "y.dtseries.nii", axis, np.ones((3, len(axis))))
    as_labels = dtseries.rename(tmp_path / "y.dlabel.nii")
    with pytest.raises(DatasetFileError, match="no map of labels on greyordinates"):
        load_atlas(str(as_labels))
    truncated = write_series(tmp_path / "z.dtseries.nii", axis, np.random.default_rng(0).normal(size=(300, len(axis))))
    truncated.write_bytes(truncated.read_bytes()[:-60000])
    with pytest.raises(RunError, match=r"z.dtseries.nii cannot be read"):
        parcellate_greyordinates(truncated, atlas)


def test_a_table_must_describe_the_file(tmp_path, atlas):
    table = tmp_path / "t.tsv"
    table.write_text("index\tlabel\n1\ta\n2\tb\n")
    with pytest.raises(DatasetFileError, match=r"1 label without a row \(3\)"):
        load_atlas(str(atlas.image), table=table)
    axis = brain()
    twice = write_labels(tmp_path / "twice.dlabel.nii", axis, label_values(axis), {0: "?", 1: "a", 2: "a", 3: "b"})
    with pytest.raises(DatasetFileError, match="names a more than once"):
        load_atlas(str(twice))


def test_an_atlas_without_the_wall_serves_images_with_it(tmp_path):
    """Vertices are matched by number, not by place: the atlas begins at vertex 10, the images at 0."""
    drawn, axis = brain(left=range(10, 40)), brain()
    atlas = load_atlas(str(write_labels(tmp_path / "a.dlabel.nii", drawn, label_values(drawn))))
    values = np.random.default_rng(5).normal(size=(20, len(axis)))
    found = parcellate_greyordinates(write_series(tmp_path / "x.dtseries.nii", axis, values), atlas)
    left = (axis.name == LEFT) & (axis.vertex >= 10)
    np.testing.assert_allclose(found.series[:, 0], values[:, left].mean(axis=1), atol=1e-6)
    assert found.coverage.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("left", "right", "vertices", "voxels", "grid"),
    [(29696, 29716, 32492, 31870, (91, 109, 91)), (54216, 54225, 59292, 62053, (113, 136, 113))],
    ids=["91k", "170k"],
)
def test_a_whole_brain_is_read_in_little_memory(tmp_path, left, right, vertices, voxels, grid):
    """As many greyordinates as fMRIPrep writes; the file is larger than what may be held at once."""
    import resource

    axis = cifti2.BrainModelAxis.from_surface(np.arange(left), vertices, LEFT)
    axis += cifti2.BrainModelAxis.from_surface(np.arange(right), vertices, RIGHT)
    mask = np.zeros(grid, dtype=bool)
    mask.ravel()[:voxels] = True
    axis += cifti2.BrainModelAxis.from_mask(mask, name=DEEP, affine=np.diag([2.0, 2, 2, 1]))
    places = left + right + voxels
    assert len(axis) == places
    labels = 1 + np.arange(places) % 400
    names = {0: "???"} | {number: f"r{number}" for number in range(1, 401)}
    chosen = load_atlas(str(write_labels(tmp_path / "a.dlabel.nii", axis, labels, names)))
    values = np.random.default_rng(1).normal(size=(400, places)).astype(np.float32)
    path = write_series(tmp_path / "x.dtseries.nii", axis, values)
    expected = np.stack([values[:, labels == number].mean(axis=1, dtype=float) for number in range(1, 401)], axis=1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = parcellate_greyordinates(path, chosen)
    np.testing.assert_allclose(found.series, expected, atol=1e-6)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000
