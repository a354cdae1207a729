"""The board that a terminal shows."""

import io
import logging
import time

from rich.console import Console

from bids_flex.workflows import terminal
from bids_flex.workflows.child import Outcome
from bids_flex.workflows.terminal import Board, live, telling


def shown(board):
    console = Console(record=True, width=100, file=io.StringIO())
    console.print(board)
    return console.export_text()


def test_runs_come_with_their_stage_and_go_with_their_outcome():
    board = Board(3)
    board.at("sub-01[bold]_task-rest", "communities_prior")
    text = shown(board)
    assert "0 of 3 runs" in text
    assert "sub-01[bold]_task-rest" in text, "names are no markup"
    assert "communities prior" in text
    board.end(Outcome("sub-01[bold]_task-rest", "failed", "why"))
    board.end(Outcome("sub-02", "done"))
    text = shown(board)
    assert "2 of 3 runs: 1 failed, 1 done" in text
    assert "sub-01" not in text


def test_a_stage_does_not_start_the_clock_again():
    board = Board(1)
    board.at("sub-01", "clean")
    first = board.working["sub-01"][1]
    board.at("sub-01", "write")
    assert board.working["sub-01"] == ("write", first)


def test_without_a_terminal_nothing_is_shown(capfd):
    with live(Board(1), None):
        pass
    assert capfd.readouterr() == ("", "")


def test_a_long_stage_says_that_it_begins_and_that_it_goes_on(caplog, monkeypatch):
    """Pages of four people took 35 s without a line: nobody could tell that from a program that hangs."""
    monkeypatch.setattr(terminal, "PAUSE_S", 0.01)
    caplog.set_level(logging.INFO, "bids_flex")
    # other tests in this process may have left a journal's handlers
    monkeypatch.setattr(logging.getLogger("bids_flex"), "handlers", [])
    monkeypatch.setattr(logging.getLogger("bids_flex"), "propagate", True)
    board = Board(2)
    board.at("sub-01", "communities_prior")
    with telling("analysing runs", board.told):
        while len(caplog.messages) < 2:
            time.sleep(0.005)
    assert caplog.messages[0] == "analysing runs"
    assert caplog.messages[1].startswith("still analysing runs: 0 s, 0 of 2 runs ended, sub-01 communities prior (0 s)")
    said = len(caplog.messages)
    time.sleep(0.05)
    assert len(caplog.messages) == said, "it ends with the stage"
