"""Where regions lie."""

import nibabel as nib
import numpy as np

from bids_flex.signal import drawn_spheres, load_atlas, named_atlas, parcel_map, region_centres
from bids_flex.signal.centres import MNI_AFFINE


def draw(folder, values, affine):
    path = folder / "space-Mine_atlas-My_dseg.nii.gz"
    nib.save(nib.Nifti1Image(values.astype(np.int16), affine), path)
    path.with_name("space-Mine_atlas-My_dseg.tsv").write_text("index\tlabel\n2\ta\n5\tb\n")
    return load_atlas(str(path))


def test_a_centre_is_the_voxel_nearest_to_the_mean_and_in_the_region(tmp_path):
    values = np.zeros((9, 5, 5))
    values[1:4, 2, 2] = 2  # middle voxel (2, 2, 2)
    values[[0, 1, 7], 0, 0] = 5  # mean (2.67, 0, 0) is outside; the nearest of its voxels is (1, 0, 0)
    affine = np.array([[2.0, 0, 0, -10], [0, 3, 0, -20], [0, 0, 4, 30], [0, 0, 0, 1]])
    centres = region_centres(draw(tmp_path, values, affine))
    assert centres.tolist() == [[-6.0, -14.0, 38.0], [-8.0, -20.0, 30.0]]


def test_coordinates_are_their_own_centres_and_are_drawn_as_spheres_around_them():
    atlas = load_atlas("Dosenbach2010")
    assert np.array_equal(region_centres(atlas), atlas.coordinates)
    content = drawn_spheres(atlas)
    labels = np.asarray(nib.Nifti1Image.from_bytes(content).dataobj)
    assert sorted(set(np.unique(labels)) - {0}) == list(range(1, 161))
    for index, centre in zip(atlas.index, atlas.coordinates, strict=True):
        voxel = np.rint(np.linalg.solve(MNI_AFFINE, [*centre, 1])[:3]).astype(int)
        assert labels[tuple(voxel)] == index
    # whole millimetres lie on voxels of 2 mm or half way between: a sphere of 4 mm holds as many as one on the lattice
    lattice = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3), axis=-1).reshape(-1, 3)
    sizes = {int((((lattice - np.array(at) / 2) ** 2).sum(axis=1) <= 4).sum()) for at in np.ndindex(2, 2, 2)}
    assert np.bincount(labels.ravel())[1:].max() == max(sizes)
    assert drawn_spheres(atlas) == content


def test_names_alone_lie_nowhere():
    assert np.isnan(region_centres(named_atlas("Any", ("LH_Vis_1", "LH_Vis_2")))).all()


def test_parcels_get_the_index_of_the_region_of_their_name(tmp_path):
    brain = nib.cifti2.BrainModelAxis.from_mask(np.ones((2, 2, 1), dtype=bool), affine=np.eye(4), name="thalamus_left")
    parcels = nib.cifti2.ParcelsAxis.from_brain_models(
        [("late", brain[:1]), ("early", brain[1:3]), ("unused", brain[3:])]
    )
    series = nib.cifti2.SeriesAxis(0, 2, 5)
    path = tmp_path / "a.ptseries.nii"
    nib.save(nib.Cifti2Image(np.zeros((5, 3), dtype=np.float32), (series, parcels)), path)
    drawn = nib.Cifti2Image.from_bytes(parcel_map(path, ("early", "late"), np.array([1, 2])))
    assert np.asarray(drawn.dataobj).tolist() == [[2, 1, 0]]
    assert drawn.header.get_axis(1) == parcels
