"""Region means against hand-made images and nilearn."""

import gzip
import subprocess
import sys
import tracemalloc

import nibabel as nib
import numpy as np
import pytest
from nilearn.maskers import NiftiLabelsMasker

from bids_flex.errors import RunError, UsageError
from bids_flex.signal import load_atlas, parcellate, volumes
from bids_flex.signal.parcellate import split_voxels
from bids_flex.signal.voxels import despike

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


RAS = np.array([[3.0, 0, 0, -10], [0, 3, 0, -12], [0, 0, 3.5, -8], [0, 0, 0, 1]])
LAS = RAS * [[-1.0], [1], [1], [1]]
SHAPE = (9, 10, 8)


def write(folder, values, affine=RAS, name="bold.nii.gz", scale=(1.0, 0.0), mask_shape=SHAPE):
    """Write images, a brain that leaves out a corner, and six regions of random voxels."""
    rng = np.random.default_rng(7)
    image = nib.Nifti1Image(values, affine, nib.Nifti1Header(endianness="<" if values.dtype.isnative else ">"))
    if values.dtype.kind in "iu":
        image.header.set_slope_inter(*scale)
    nib.save(image, folder / name)
    mask = np.ones(SHAPE, np.uint8)
    mask[:3, :4, :3] = 0
    nib.save(nib.Nifti1Image(mask.reshape(mask_shape), affine), folder / "mask.nii.gz")
    nib.save(nib.Nifti1Image(rng.integers(0, 7, SHAPE).astype(np.int16), affine), folder / "atlas.nii.gz")
    (folder / "atlas.tsv").write_text("index\tlabel\n" + "".join(f"{k}\tr{k}\n" for k in range(1, 7)))
    return folder / name


def masker(folder, bold, **options):
    mask = nib.load(folder / "mask.nii.gz")
    flat = nib.Nifti1Image(np.asanyarray(mask.dataobj).reshape(mask.shape[:3]), mask.affine)
    labels = nib.load(folder / "atlas.nii.gz")
    made = NiftiLabelsMasker(labels, mask_img=flat, standardize=None, reports=False, **options)
    # nilearn computes integers in single precision: it gets doubles here, so that 1e-6 is asked of our side alone
    return made.fit_transform(nib.Nifti1Image(nib.load(bold).get_fdata(), mask.affine))


def values_of(dtype, volumes=5):
    rng = np.random.default_rng(3)
    return (
        rng.integers(3, 120, (*SHAPE, volumes)).astype(dtype)
        if np.dtype(dtype).kind in "iu"
        else (1e3 + 50 * rng.standard_normal((*SHAPE, volumes))).astype(dtype)
    )


@pytest.mark.parametrize("name", ["bold.nii.gz", "bold.nii"])
@pytest.mark.parametrize("affine", [RAS, LAS], ids=["RAS", "LAS"])
@pytest.mark.parametrize("dtype", ["i1", "u1", "<i2", ">i2", "u2", "i4", "<f4", ">f4", "<f8", ">f8"])
def test_means_equal_the_masker(tmp_path, dtype, affine, name):
    bold = write(tmp_path, values_of(dtype), affine, name, scale=(0.37, -12.5))
    assert nib.load(bold).header.endianness == (">" if dtype[0] == ">" else "<")
    found = parcellate(bold, tmp_path / "mask.nii.gz", load_atlas(str(tmp_path / "atlas.nii.gz")))
    np.testing.assert_allclose(found.series, masker(tmp_path, bold), rtol=1e-6)


def test_a_mask_of_four_dimensions_serves(tmp_path):
    bold = write(tmp_path, values_of("i2"), mask_shape=(*SHAPE, 1))
    found = parcellate(bold, tmp_path / "mask.nii.gz", load_atlas(str(tmp_path / "atlas.nii.gz")))
    np.testing.assert_allclose(found.series, masker(tmp_path, bold), rtol=1e-6)
    nib.save(nib.Nifti1Image(np.ones((*SHAPE, 2), np.uint8), RAS), tmp_path / "mask.nii.gz")
    with pytest.raises(RunError, match=r"has 4 dimensions \(9, 10, 8, 2\); a mask has 3"):
        parcellate(bold, tmp_path / "mask.nii.gz", load_atlas(str(tmp_path / "atlas.nii.gz")))


@pytest.mark.parametrize("affine", [RAS, LAS], ids=["RAS", "LAS"])
def test_an_atlas_of_another_grid_is_drawn_by_nearest_neighbour(tmp_path, affine):
    bold = write(tmp_path, values_of("f4"), affine)
    blocks = np.kron(np.arange(1, 7).reshape(3, 2, 1), np.ones((5, 8, 14), int)).astype(np.int16)
    nib.save(nib.Nifti1Image(blocks, np.diag([2.1, 1.9, 2.2, 1]) + RAS * [0, 0, 0, 1]), tmp_path / "atlas.nii.gz")
    if affine is LAS:
        nib.save(nib.Nifti1Image(blocks, np.diag([-2.1, 1.9, 2.2, 1]) + LAS * [0, 0, 0, 1]), tmp_path / "atlas.nii.gz")
    atlas = load_atlas(str(tmp_path / "atlas.nii.gz"))
    found = parcellate(bold, tmp_path / "mask.nii.gz", atlas, min_coverage=0)
    np.testing.assert_allclose(found.series, masker(tmp_path, bold, resampling_target="data"), rtol=1e-6)


@pytest.mark.parametrize("fwhm", [2.0, 6.0, 15.0])
@pytest.mark.parametrize("dtype", ["i2", "f8"])
def test_smoothing_equals_the_masker_that_smooths(tmp_path, dtype, fwhm):
    bold = write(tmp_path, values_of(dtype), LAS, scale=(0.5, 3.0))
    atlas = load_atlas(str(tmp_path / "atlas.nii.gz"))
    found = parcellate(bold, tmp_path / "mask.nii.gz", atlas, smoothing_mm=fwhm)
    np.testing.assert_allclose(found.series, masker(tmp_path, bold, smoothing_fwhm=fwhm), rtol=1e-6)
    with pytest.raises(UsageError, match="it must be 0 or more"):
        parcellate(bold, tmp_path / "mask.nii.gz", atlas, smoothing_mm=-1)


def test_smoothing_of_a_compact_region_equals_the_masker_that_smooths(tmp_path):
    """A cube in the middle of a larger volume: its smoothed shape ends well before the borders."""
    shape = (26, 24, 22)
    labels = np.zeros(shape, np.int16)
    labels[11:14, 10:13, 9:13] = 1
    values = np.random.default_rng(2).normal(100, 10, (*shape, 3))
    for name, content in (("bold", values), ("mask", np.ones(shape, np.uint8)), ("atlas", labels)):
        nib.save(nib.Nifti1Image(content, RAS), tmp_path / f"{name}.nii.gz")
    (tmp_path / "atlas.tsv").write_text("index\tlabel\n1\ta\n")
    atlas = load_atlas(str(tmp_path / "atlas.nii.gz"))
    found = parcellate(tmp_path / "bold.nii.gz", tmp_path / "mask.nii.gz", atlas, smoothing_mm=8.0)
    expected = masker(tmp_path, tmp_path / "bold.nii.gz", smoothing_fwhm=8.0)
    np.testing.assert_allclose(found.series, expected.reshape(3, 1), rtol=1e-9)


def test_smoothing_takes_voxels_without_a_value_as_empty(tmp_path):
    values = values_of("f8")
    values[4, 4, 4, 2] = np.nan
    bold = write(tmp_path, values)
    atlas = load_atlas(str(tmp_path / "atlas.nii.gz"))
    found = parcellate(bold, tmp_path / "mask.nii.gz", atlas, smoothing_mm=6.0)
    assert np.isfinite(found.series).all()
    values[4, 4, 4] = 0
    mask = nib.load(tmp_path / "mask.nii.gz").get_fdata()
    mask[4, 4, 4] = 0
    bold = write(tmp_path, values)
    nib.save(nib.Nifti1Image(mask.astype(np.uint8), RAS), tmp_path / "mask.nii.gz")
    np.testing.assert_allclose(found.series, masker(tmp_path, bold, smoothing_fwhm=6.0), rtol=1e-6)


def test_the_standard_library_gives_the_same_bytes(tmp_path, monkeypatch):
    bold = write(tmp_path, values_of("i2"))
    atlas = load_atlas(str(tmp_path / "atlas.nii.gz"))
    fast = parcellate(bold, tmp_path / "mask.nii.gz", atlas).series
    monkeypatch.setattr(volumes, "_open_gzip", gzip.open)
    assert parcellate(bold, tmp_path / "mask.nii.gz", atlas).series.tobytes() == fast.tobytes()


def test_without_isal_the_standard_library_serves(tmp_path):
    bold = write(tmp_path, values_of("i2"))
    code = (
        "import sys, gzip; sys.modules['isal'] = None\n"
        "from bids_flex.signal import volumes\n"
        "assert volumes._open_gzip is gzip.open\n"
        f"print(sum(int(volume.sum()) for volume in volumes.open_volumes(volumes.Path({str(bold)!r}))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == int(np.asanyarray(nib.load(bold).dataobj).sum())


@pytest.mark.parametrize("opener", [gzip.open, volumes._open_gzip], ids=["zlib", "isal"])
@pytest.mark.parametrize("damage", ["checksum", "middle", "end"])
def test_damaged_files_are_told_apart_from_whole_ones(tmp_path, monkeypatch, damage, opener):
    bold = write(tmp_path, values_of("f8", volumes=30))
    content = bytearray(bold.read_bytes())
    if damage == "checksum":
        content[-8] ^= 1
    elif damage == "middle":
        content[len(content) // 2 : len(content) // 2 + 50] = bytes(50)
    else:
        del content[-3:]
    bold.write_bytes(content)
    monkeypatch.setattr(volumes, "_open_gzip", opener)
    with pytest.raises(RunError, match=r"bold\.nii\.gz cannot be read to its end"):
        parcellate(bold, tmp_path / "mask.nii.gz", load_atlas(str(tmp_path / "atlas.nii.gz")))


def test_despiking_squeezes_spikes_and_nothing_else():
    rng = np.random.default_rng(0)
    time = np.linspace(0, 1, 240)
    curve = (1000 + 30 * time**2 + 20 * np.sin(2 * np.pi * 3 * time))[:, None]
    series = curve + rng.choice([-1, 1], (240, 50)) * rng.uniform(0.5, 1, (240, 50))
    spiked = series.copy()
    spiked[77] += 40
    spiked[140] -= 40
    found = despike(spiked)
    others = np.delete(np.arange(240), [77, 140])
    # no residual is far above the median of 0.75: none of them is an outlier
    np.testing.assert_array_equal(found[others], series[others])
    assert (np.abs(found[77] - curve[77]) < 4 * np.sqrt(np.pi / 2) * 0.75 * 1.3).all()
    assert (found[77] > curve[77]).all()
    assert (found[140] < curve[140]).all()
    # what is done to a series goes with its unit
    np.testing.assert_allclose(despike(5 - 3 * spiked), 5 - 3 * found, rtol=1e-9)
    np.testing.assert_array_equal(despike(np.full((60, 2), 7.0)), 7.0)


def test_despiking_comes_before_the_mean(tmp_path):
    rng = np.random.default_rng(5)
    values = 1000 + rng.uniform(-1, 1, (*SHAPE, 90))
    clean = parcellate(write(tmp_path, values), tmp_path / "mask.nii.gz", load_atlas(str(tmp_path / "atlas.nii.gz")))
    values[..., 40] += 500 * (rng.random(SHAPE) < 0.3)
    values[..., :2] *= 2
    bold = write(tmp_path, values)
    atlas = load_atlas(str(tmp_path / "atlas.nii.gz"))
    found = parcellate(bold, tmp_path / "mask.nii.gz", atlas, despiked=True, skip=2)
    assert np.abs(found.series - clean.series)[2:].max() < 2
    np.testing.assert_allclose(found.series[:2], 2 * clean.series[:2], rtol=1e-6)
    values[3, 5, 5, 9] = np.nan
    broken = parcellate(write(tmp_path, values), tmp_path / "mask.nii.gz", atlas, despiked=True, skip=2)
    assert broken.coverage.sum() < found.coverage.sum()
    assert np.isfinite(broken.series).all()


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


def test_memory_does_not_grow_with_the_length_of_a_run(tmp_path):
    """Ten times the volumes may need more for the regional series (6 x 360 numbers), never for another volume."""
    peaks = []
    # the first round is there for what libraries load and keep
    for volumes_there in (40, 40, 400):
        bold = write(tmp_path, values_of("f8", volumes=volumes_there))
        atlas = load_atlas(str(tmp_path / "atlas.nii.gz"))
        tracemalloc.start()
        parcellate(bold, tmp_path / "mask.nii.gz", atlas)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] - peaks[1] < 5 * 6 * 360 * 8 < 360 * np.prod(SHAPE) * 8 / 10


def test_halves_share_a_region_out_evenly(files):
    shape = (6, 5, 7)
    places = np.random.default_rng(0).integers(-1, 3, np.prod(shape))
    places[places == 2] = np.where(np.cumsum(places == 2) == 1, 2, -1)[places == 2]  # region 2 has one voxel
    half = split_voxels(places, shape, seed=1)
    assert set(half[places == -1]) == set(half[places == 2]) == {-1}
    where = np.stack(np.unravel_index(np.arange(places.size), shape, order="F"), axis=1)
    for region in (0, 1):
        mine = half[places == region]
        assert set(mine) == {0, 1}
        assert abs((mine == 0).sum() - (mine == 1).sum()) <= 1
        centres = [where[(places == region) & (half == one)].mean(axis=0) for one in (0, 1)]
        # halves at random would lie .4 voxels apart along each axis (sd); neighbours are dealt out instead
        assert np.abs(centres[0] - centres[1]).max() < 0.4
    np.testing.assert_array_equal(half, split_voxels(places, shape, seed=1))
    assert (half != split_voxels(places, shape, seed=2)).any()


def test_halves_make_up_the_whole_and_change_nothing(files):
    plain, found = run(files), run(files, halves_seed=5)
    assert plain.halves is None
    np.testing.assert_array_equal(found.series, plain.series)
    # regions of 16, 16 and 8 voxels have equal halves; the fourth is poor
    np.testing.assert_allclose(found.halves.mean(axis=0)[:, :3], plain.series[:, :3], rtol=1e-12)
    assert (found.halves[0, :, :3] != found.halves[1, :, :3]).all()
    assert np.isnan(found.halves[:, :, 3]).all()
    with pytest.raises(UsageError, match="smooth, or split"):
        run(files, halves_seed=5, smoothing_mm=4)
