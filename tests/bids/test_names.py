"""Names taken apart and put together."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from bids_flex.bids.names import ENTITY_ORDER, entities_of, join_entities

labels = st.text("abcXYZ019+", min_size=1, max_size=8)


@given(st.dictionaries(st.sampled_from(ENTITY_ORDER), labels, min_size=1))
def test_a_name_gives_back_its_entities(entities):
    assert entities_of(Path(f"{join_entities(entities)}_bold.nii.gz")) == entities


def test_the_order_is_that_of_bids():
    given_order = {"atlas": "A", "scale": "200", "seg": "7n", "run": "1", "ses": "1", "sub": "01", "space": "S"}
    assert join_entities(given_order) == "sub-01_ses-1_run-1_space-S_atlas-A_seg-7n_scale-200"


def test_padding_and_plus_stay_as_written():
    name = Path("sub-01_task-stroop+whitebg_run-007_bold.nii.gz")
    assert entities_of(name) == {"sub": "01", "task": "stroop+whitebg", "run": "007"}
