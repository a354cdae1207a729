"""Maps of regions, and the picture of a design."""

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bids_flex.bids.atlases import KeptAtlas
from bids_flex.comparison.designs import draw_design
from bids_flex.comparison.maps import write_maps
from bids_flex.stats import ModelDesign

AFFINE = np.diag([3.0, 3, 3, 1])
REGIONS = pd.DataFrame({"index": [1, 2, 4], "name": ["a", "b", "c"]})


def table():
    """Two regions tested by t and F, a third that could not be, and a network, which is not drawn."""
    base = {"engine": "prior", "measure": "flexibility"}
    numbers = {"estimate": 0.5, "statistic": 2.0, "effect": 0.25, "p_adj": 0.125}
    rows = [
        {**base, "level": "region", "region": "a", "contrast": "x - y", "test": "t", **numbers},
        {**base, "level": "region", "region": "c", "contrast": "x - y", "test": "t", **numbers, "estimate": -0.5},
        {**base, "level": "region", "region": "b", "contrast": "x - y", "test": None, "estimate": np.nan},
        {**base, "level": "region", "region": "a", "contrast": "x + y", "test": "F", **numbers, "estimate": np.nan},
        {**base, "level": "network", "region": "", "contrast": "x - y", "test": "t", **numbers},
    ]
    return pd.DataFrame(rows)


def test_voxels_carry_the_value_of_their_region(tmp_path):
    # 3 is a label that the table does not name, and 7 lies beyond its last
    labels = np.array([[[0, 1, 2], [3, 4, 7]]], dtype=np.int16)
    nib.save(nib.Nifti1Image(labels, AFFINE), tmp_path / "atlas.nii.gz")
    atlas = KeptAtlas(REGIONS, tmp_path / "atlas.nii.gz")
    start = "model-m_engine-prior_measure-flexibility_contrast"
    written = write_maps(tmp_path, "model-m", table(), atlas)
    assert written == [
        *(f"{start}-xY_stat-{name}_statmap.nii.gz" for name in ("effect", "t", "size", "pcorrected")),
        *(f"{start}-xY2_stat-{name}_statmap.nii.gz" for name in ("F", "size", "pcorrected")),
    ]
    image = nib.load(tmp_path / f"{start}-xY_stat-effect_statmap.nii.gz")
    nan = np.nan
    np.testing.assert_array_equal(image.get_fdata(), [[[nan, 0.5, nan], [nan, -0.5, nan]]])
    np.testing.assert_array_equal(image.affine, AFFINE)
    p = nib.load(tmp_path / f"{start}-xY2_stat-pcorrected_statmap.nii.gz").get_fdata()
    np.testing.assert_array_equal(p, [[[nan, 0.125, nan], [nan, nan, nan]]])


def test_maps_of_an_earlier_call_go(tmp_path):
    old = tmp_path / "model-m_engine-prior_measure-a_contrast-b_stat-t_statmap.nii.gz"
    other = tmp_path / "model-m2_engine-prior_measure-a_contrast-b_stat-t_statmap.nii.gz"
    old.touch()
    other.touch()
    assert write_maps(tmp_path, "model-m", table(), None) == []
    assert not old.exists()
    assert other.exists()


@pytest.mark.parametrize(("kind", "ending"), [("dlabel", "dscalar"), ("pscalar", "pscalar")])
def test_greyordinates_and_parcels_stay_what_they_are(tmp_path, kind, ending):
    brain = nib.cifti2.BrainModelAxis.from_mask(np.ones((2, 2, 1), dtype=bool), affine=np.eye(4), name="thalamus_left")
    if kind == "dlabel":
        values, places = [[0, 1, 2, 4]], brain
        rows = nib.cifti2.LabelAxis(["a"], [{0: ("?", (0, 0, 0, 0)), 1: ("a", (1, 0, 0, 1))}])
        expected = [[np.nan, 0.5, np.nan, -0.5]]
    else:
        parts = [(name, brain[place : place + 1]) for place, name in enumerate("abc")]
        values, places = [[4, 2, 1]], nib.cifti2.ParcelsAxis.from_brain_models(parts)
        rows, expected = nib.cifti2.ScalarAxis(["index"]), [[-0.5, np.nan, 0.5]]
    image = tmp_path / f"atlas.{kind}.nii"
    nib.save(nib.Cifti2Image(np.array(values, dtype=np.float32), (rows, places)), image)
    written = write_maps(tmp_path, "model-m", table(), KeptAtlas(REGIONS, image))
    assert len(written) == 7
    assert all(name.endswith(f"_statmap.{ending}.nii") for name in written)
    drawn = nib.load(tmp_path / written[0])
    np.testing.assert_array_equal(drawn.get_fdata(), expected)
    assert drawn.header.get_axis(1) == places
    assert drawn.header.get_axis(0).name.tolist() == ["x - y: estimate"]


def test_a_design_is_drawn_the_same_every_time():
    matrix = np.array([[1.0, 0, -2], [0, 1, 2], [1, 0, 0]])
    weights = {"b - <a>": np.array([-1.0, 1, 0]), "groups": np.array([[1.0, -1, 0], [0, 1, 0]])}
    design = ModelDesign(matrix, ("a", "b", "age"), np.arange(3), (), weights, ("g", "g", ""))
    drawn = draw_design(design)
    assert drawn == draw_design(design)
    assert "b - &lt;a&gt;" in drawn
    assert "age" in drawn
