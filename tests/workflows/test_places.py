"""Where a call writes."""

import logging

import pytest

from bids_flex.workflows.places import note_if_lost


@pytest.mark.parametrize(
    ("inside", "root", "warned"),
    [(True, "same", True), (False, "same", False), (True, "other", False)],
    ids=["inside, not mounted", "outside", "inside, mounted"],
)
def test_results_that_vanish_with_the_container_are_told(tmp_path, monkeypatch, caplog, inside, root, warned):
    """Without -v for the output folder, everything was computed, said to be finished, and gone."""
    monkeypatch.delenv("BIDS_FLEX_CONTAINER", raising=False)
    if inside:
        monkeypatch.setenv("BIDS_FLEX_CONTAINER", "1")
    # other tests in this process may have left a journal's handlers
    monkeypatch.setattr(logging.getLogger("bids_flex"), "handlers", [])
    monkeypatch.setattr(logging.getLogger("bids_flex"), "propagate", True)
    # /proc is another device than any folder of files
    note_if_lost(tmp_path, tmp_path.parent if root == "same" else tmp_path.__class__("/proc"))
    assert [f"{tmp_path} is no folder of the host" in text for text in caplog.messages] == [True] * warned
