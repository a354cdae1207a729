"""Which readings of a difference the data allow: switching, or noise."""

import pandas as pd
import pytest

from bids_flex.comparison.reading import EXCESS, SPLIT_HALF, readings


def whole_brain(p):
    return pd.DataFrame(
        [
            {"outcome": "prior_flexibility", "contrast": "a - b", "p_perm": p, "estimate": 0.1, "test": "t"},
            {"outcome": "prior_promiscuity", "contrast": "a - b", "p_perm": 0.001, "estimate": 1.0, "test": "t"},
        ]
    )


def sensitivity(halves=None, excess=None):
    rows = [
        {"analysis": name, "contrast": "a - b", "measure": measure, "p_perm": p, "estimate": estimate, "test": "t"}
        for name, measure, told in (
            (SPLIT_HALF, "split_half_flexibility", halves),
            (EXCESS, "flexibility", excess),
        )
        if told
        for p, estimate in [told]
    ]
    return pd.DataFrame(rows or [{"analysis": SPLIT_HALF, "reason": "not asked for"}])


def quality(p=0.5):
    return pd.DataFrame([{"outcome": "mean_fd", "contrast": "a - b", "p_perm": p}])


@pytest.mark.parametrize(
    ("p", "halves", "excess", "said"),
    [
        (0.2, (0.001, 1.0), None, "no difference"),
        (0.01, (0.01, 1.0), (0.5, 1.0), "both halves"),
        (0.01, (0.5, 1.0), (0.01, 1.0), "speaks for switching"),
        # a finding the other way round confirms nothing
        (0.01, (0.01, -1.0), (0.01, -1.0), "may be noise alone"),
        (0.01, (0.3, 1.0), (0.3, 1.0), "may be noise alone"),
        (0.01, None, None, "both readings are open"),
    ],
)
def test_the_reading(p, halves, excess, said):
    (found,) = readings(whole_brain(p), sensitivity(halves, excess), quality())
    assert found.startswith("a - b: ")
    assert said in found
    assert "mean_fd" not in found


def test_an_omnibus_has_no_direction_and_confirms_nothing():
    # unequal noise alone makes all of these differ among groups (docs/validation/cohorts.md)
    without = {"test": "F", "estimate": float("nan")}
    (found,) = readings(
        whole_brain(0.01).assign(**without), sensitivity((0.001, 1.0), (0.001, 1.0)).assign(**without), quality(0.01)
    )
    assert "only the contrasts of two groups have" in found
    assert "both halves" not in found
    assert found.endswith("Groups also differ in mean_fd, which can make such a difference by itself.")


def test_unequal_motion_is_named():
    (found,) = readings(whole_brain(0.01), sensitivity((0.01, 1.0)), quality(0.01))
    assert found.endswith("Groups also differ in mean_fd, which can make such a difference by itself.")


def test_nothing_is_read_where_prior_was_not_whole_brain():
    assert readings(whole_brain(0.01).iloc[1:], sensitivity(), quality()) == []
