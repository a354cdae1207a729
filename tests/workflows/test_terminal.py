"""The board that a terminal shows."""

import io

from rich.console import Console

from bids_flex.workflows.child import Outcome
from bids_flex.workflows.terminal import Board, live


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
