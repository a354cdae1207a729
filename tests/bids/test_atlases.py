"""The atlas among the derivatives."""

import gzip
import json

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bids_flex.bids.atlases import keep_atlas, read_atlas
from bids_flex.errors import DatasetFileError

ENTITIES = {"sub": "01", "atlas": "My", "scale": "3", "desc": "prior"}
DRAWN = gzip.compress(nib.Nifti1Image(np.array([[[1, 2, 9]]], dtype=np.int16), np.eye(4)).to_bytes(), mtime=0)


def regions():
    table = pd.DataFrame({"index": [1, 2, 9], "name": ["a", 'b"', "None"], "network": ["Vis", np.nan, "NA"]})
    return table.assign(x=[0.5, np.nan, 1.0], y=0.0, z=0.0)


def keep(folder, fingerprint, image=DRAWN, ending=".nii.gz", made=None):
    def make():
        if made is not None:
            made.append(fingerprint)
        return regions(), image, ending

    keep_atlas(folder, ENTITIES, fingerprint, make, {"Space": "Mine"})


def test_an_atlas_comes_back_as_it_went(tmp_path):
    keep(tmp_path, "one")
    found = read_atlas(tmp_path, ENTITIES)
    pd.testing.assert_frame_equal(found.regions, regions(), check_dtype=False)
    assert found.image.read_bytes() == DRAWN
    facts = json.loads((tmp_path / "atlases" / "atlas-My_scale-3_dseg.json").read_text())
    assert (facts["Space"], facts["x"]["Units"]) == ("Mine", "mm")


def test_it_is_written_once_and_again_only_when_it_changes(tmp_path):
    made = []
    keep(tmp_path, "one", made=made)
    keep(tmp_path, "one", made=made)
    keep(tmp_path, "two", b"", ".dlabel.nii", made=made)
    assert made == ["one", "two"]
    assert [path.name for path in sorted((tmp_path / "atlases").iterdir())] == [
        "atlas-My_scale-3_dseg.dlabel.nii",
        "atlas-My_scale-3_dseg.json",
        "atlas-My_scale-3_dseg.tsv",
    ]


@pytest.mark.parametrize("lost", ["json", "tsv"])
def test_half_an_atlas_is_none(tmp_path, lost):
    keep(tmp_path, "one", image=None)
    assert read_atlas(tmp_path, ENTITIES).image is None
    (tmp_path / "atlases" / f"atlas-My_scale-3_dseg.{lost}").unlink()
    assert read_atlas(tmp_path, ENTITIES) is None


def test_what_lies_in_the_place_of_the_image_or_its_labels_must_be_credible(tmp_path):
    keep(tmp_path, "one", image=b"no image")
    with pytest.raises(DatasetFileError, match="cannot be read as an image"):
        read_atlas(tmp_path, ENTITIES)
    keep(tmp_path, "two")
    table = tmp_path / "atlases" / "atlas-My_scale-3_dseg.tsv"
    table.write_text(table.read_text().replace("\n9\t", "\n16777216\t"))
    with pytest.raises(DatasetFileError, match="labels above 16777215"):
        read_atlas(tmp_path, ENTITIES)
