"""Filter files, spaces with modifiers, and choosing among images."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_flex.bids.selection import choose_image, read_filter, read_space, why_not
from bids_flex.config import Selection
from bids_flex.errors import MissingInputError, RunError, UsageError


def written(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "filter.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_filter_speaks_both_languages_and_of_other_images_than_bold(tmp_path):
    content = {
        "bold": {"datatype": "func", "suffix": "bold", "extension": ".nii.gz", "session": "1", "dir": ["AP", "PA"]},
        "t1w": {"acquisition": "nd"},
    }
    assert read_filter(written(tmp_path, content)) == {"ses": ("1",), "dir": ("AP", "PA")}
    assert read_filter(written(tmp_path, {"bold": {"run": 1, "acq": None, "rec": "*"}})) == {
        "run": ("1",),
        "acq": (None,),
        "rec": ("*",),
    }
    assert read_filter(None) == {}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "not a JSON file"),
        ([], 'no entry "bold"'),
        ({"t1w": {}}, 'no entry "bold"'),
        ({"bold": {"colour": "red"}}, "no such entity: colour"),
        ({"bold": {"suffix": "sbref"}}, "suffix must be bold"),
        ({"bold": {"task": "../../etc"}}, "task is '../../etc'"),
        ({"bold": {"task": True}}, "task is True"),
        ({"bold": {"task": {"a": 1}}}, "must be a label"),
    ],
)
def test_a_senseless_filter_is_refused(tmp_path, content, told):
    with pytest.raises(UsageError, match="--bids-filter-file") as caught:
        read_filter(written(tmp_path, content))
    assert told in str(caught.value)


def test_an_absent_filter_file_is_an_input_that_is_missing(tmp_path):
    with pytest.raises(MissingInputError, match="check the path"):
        read_filter(tmp_path / "absent.json")


@pytest.mark.parametrize(
    ("wanted", "with_acq", "without"),
    [((None,), False, True), (("*",), True, False), (("fast",), True, False), ((None, "fast"), True, True)],
)
def test_null_means_absent_and_star_means_there(wanted, with_acq, without):
    image = {"sub": "01", "task": "rest"}
    assert (why_not(image | {"acq": "fast"}, Selection(), {"acq": wanted}) is None) is with_acq
    assert (why_not(image, Selection(), {"acq": wanted}) is None) is without


@given(st.integers(0, 99), st.integers(0, 3), st.integers(0, 3))
def test_runs_match_with_any_number_of_leading_zeros(number, ours, theirs):
    entities = {"run": "0" * ours + str(number)}
    assert why_not(entities, Selection(), {"run": ("0" * theirs + str(number),)}) is None
    assert why_not(entities, Selection(runs=(str(number + 1),)), {}) == f"not asked for: run-{entities['run']}"


@pytest.mark.parametrize("text", ["", "a b", "MNI:den-91k", "MNI:cohort", "MNI:cohort-../1", "../MNI"])
def test_a_space_that_is_none_is_refused(text):
    with pytest.raises(UsageError, match="--space"):
        read_space(text)


def test_a_cohort_is_chosen_as_fmriprep_writes_it():
    images = [
        Path(f"sub-01_task-rest_space-MNIPediatricAsym_cohort-{n}_res-2_desc-preproc_bold.nii.gz") for n in (1, 3)
    ]
    with pytest.raises(RunError, match="choose one with --space MNIPediatricAsym:cohort-LABEL"):
        choose_image(images, Selection(), "MNIPediatricAsym", any_space=False)
    asked = Selection(space="MNIPediatricAsym:cohort-3:res-2")
    assert choose_image(images, asked, None, any_space=False) == images[1]
    with pytest.raises(RunError, match="no images in MNIPediatricAsym with cohort-2: choose another --space"):
        choose_image(images, Selection(space="MNIPediatricAsym:cohort-2"), None, any_space=False)


def test_the_same_image_twice_cannot_be_chosen_from():
    images = [Path(f"sub-01_task-rest_space-T1w_desc-preproc_bold.{ending}") for ending in ("nii", "nii.gz")]
    with pytest.raises(RunError, match="remove all but one"):
        choose_image(images, Selection(space="T1w"), None, any_space=False)
