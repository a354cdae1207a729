"""Region means against hand-made images and nilearn."""

import gzip

import nibabel as nib
import numpy as np
import pytest

from bids_flex.errors import RunError
from bids_flex.signal import load_atlas, parcellate

AFFINE = np.diag([2.0, 2, 2, 1])


@pytest.fixture
def files(tmp_path):
    """Four regions of a 4 x 4 x 4 grid, one slab each, and a brain that leaves out some of the last two."""
    labels = np.repeat([1, 2, 3, 4], 16).reshape(4, 4, 4).astype(np.int16)
    nib.save(nib.Nifti1Image(labels, AFFINE), tmp_path / "atlas.nii.gz")
    (tmp_path / "atlas.tsv").write_text("index\tlabel\n1\ta\n2\tb\n3\tc\n4\td\n")
    mask = np.ones((4, 4, 4), dtype=np.uint8)
    mask[2, :2] = 0
    mask[3] = 0
    mask[3, 0, :3] = 1
    nib.save(nib.Nifti1Image(mask, AFFINE), tmp_path / "mask.nii.gz")
    values = np.random.default_rng(0).integers(1000, 3000, (4, 4, 4, 7)).astype(np.int16)
    nib.save(nib.Nifti1Image(values, AFFINE), tmp_path / "bold.nii.gz")
    return tmp_path


def run(files, **options):
    return parcellate(files / "bold.nii.gz", files / "mask.nii.gz", load_atlas(str(files / "atlas.nii.gz")), **options)


def test_means_and_coverage_by_hand(files):
    found = run(files)
    values = nib.load(files / "bold.nii.gz").get_fdata()
    np.testing.assert_allclose(found.coverage, [1, 1, 0.5, 3 / 16])
    np.testing.assert_allclose(found.series[:, 0], values[0].mean(axis=(0, 1)))
    np.testing.assert_allclose(found.series[:, 2], values[2, 2:].mean(axis=(0, 1)))
    assert np.isnan(found.series[:, 3]).all()
    assert found.poor == (("d", "coverage is 0.19, 0.5 is wanted"),)
    assert not run(files, min_coverage=0.1).poor


def test_a_region_outside_the_brain_keeps_its_place(files):
    mask = nib.load(files / "mask.nii.gz").get_fdata()
    mask[1] = 0
    nib.save(nib.Nifti1Image(mask.astype(np.uint8), AFFINE), files / "mask.nii.gz")
    found = run(files, min_coverage=0.0)
    assert found.poor == (("b", "coverage is 0.00, 0 is wanted"),)
    values = nib.load(files / "bold.nii.gz").get_fdata()
    np.testing.assert_allclose(found.series[:, 3], values[3, 0, :3].mean(axis=0))


def test_voxels_that_are_missing_once_are_left_out(files):
    values = nib.load(files / "bold.nii.gz").get_fdata().astype(np.float32)
    values[0, 0, :2, 3] = np.nan
    values[0, 1, 0, 5] = np.inf
    nib.save(nib.Nifti1Image(values, AFFINE), files / "bold.nii.gz")
    found = run(files)
    assert found.coverage[0] == 13 / 16
    whole = np.isfinite(values[0]).all(axis=-1)
    np.testing.assert_allclose(found.series[:, 0], values[0][whole].mean(axis=0), rtol=1e-6)


def test_regions_without_variance_or_with_nan_are_poor(files):
    values = nib.load(files / "bold.nii.gz").get_fdata().astype(np.float32)
    values[0], values[1] = 5.0, np.nan
    nib.save(nib.Nifti1Image(values, AFFINE), files / "bold.nii.gz")
    reasons = dict(run(files).poor)
    assert reasons["a"] == "does not vary"
    assert reasons["b"] == "coverage is 0.00, 0.5 is wanted"


def other_grid(files):
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.uint8), AFFINE * [[2], [2], [2], [1]]), files / "mask.nii.gz")


def empty_mask(files):
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.uint8), AFFINE), files / "mask.nii.gz")


def far_mask(files):
    nib.save(
        nib.Nifti1Image(np.zeros((4, 4, 4), np.int16) + np.eye(4, dtype=np.int16)[0], AFFINE), files / "atlas.nii.gz"
    )
    (files / "atlas.tsv").write_text("index\tlabel\n1\ta\n")
    mask = np.ones((4, 4, 4), np.uint8)
    mask[..., 0] = 0
    nib.save(nib.Nifti1Image(mask, AFFINE), files / "mask.nii.gz")


def truncated(files):
    values = np.random.default_rng(1).integers(1000, 3000, (4, 4, 4, 200)).astype(np.int16)
    nib.save(nib.Nifti1Image(values, AFFINE), files / "bold.nii.gz")
    whole = (files / "bold.nii.gz").read_bytes()
    (files / "bold.nii.gz").write_bytes(whole[:-200])


def constant(files):
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4, 7), np.int16), AFFINE), files / "bold.nii.gz")


def three_dimensions(files):
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.int16), AFFINE), files / "bold.nii.gz")


def no_image(files):
    (files / "bold.nii.gz").write_bytes(gzip.compress(b"nothing"))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (other_grid, "lie on different grids"),
        (empty_mask, "is empty: fMRIPrep found no brain"),
        (far_mask, "do not overlap"),
        (truncated, "cannot be read to its end"),
        (constant, "no region of atlas is usable; the first, a, does not vary"),
        (three_dimensions, "has 3 dimensions; 4 are needed"),
        (no_image, "cannot be read as an image"),
    ],
)
def test_bad_images_are_refused_by_name(files, spoil, told):
    spoil(files)
    with pytest.raises(RunError, match=told):
        run(files)


def test_the_real_scan_equals_the_reference(shared):
    folder = shared / "real-rest" / "derivatives" / "fmriprep" / "sub-RAPIDTIDETEST" / "func"
    atlas = load_atlas(str(shared / "atlas" / "xcpengine_schaefer100x7MNI.nii.gz"))
    bold, mask = (next(folder.glob(f"*_{what}.nii.gz")) for what in ("desc-preproc_bold", "desc-brain_mask"))
    found = parcellate(bold, mask, atlas, min_coverage=0.0)
    expected = np.load(shared / "reference" / "prior_rapidtide_schaefer100.npz")["ts_raw"]
    assert found.series.shape == (260, 100)
    np.testing.assert_allclose(found.series, expected, rtol=1e-6)
