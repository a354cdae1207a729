"""The command ``bids_flex-simulate``."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bids_flex import __version__
from bids_flex.errors import BidsFlexError
from bids_flex.words import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PAUSE_S = 5.0
"""Seconds without a word, at most, but for the time that a participant takes."""


def make_parser() -> argparse.ArgumentParser:
    """Build the parser: one option for each setting of a simulation."""
    from bids_flex.simulate.settings import SimulationSettings

    parser = argparse.ArgumentParser(
        prog="bids_flex-simulate",
        description="Write a study in the shape of fMRIPrep's output whose truth is known (derivatives/truth).",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="folder of the study")
    helps = {
        "participants": "number of people",
        "sessions": "sessions of each",
        "runs": "runs of each session",
        "seed": "everything follows from it",
        "tr_s": "repetition time in seconds",
        "duration_s": "length of a run in seconds",
        "voxel_mm": "edge of the voxels in mm",
        "regions": "number of regions",
        "snr": "sd of a region's network signal divided by the sd of its own",
        "base_rate": "how many times a minute a region leaves its home network",
        "person_spread": "how much people differ: sd of the logarithm of a factor of their rates",
        "user_effect": "added to the rate in users of antidepressants",
        "network_effect": "added on top in the effect network",
        "effect_network": "where users switch even more",
        "away_s": "mean stay away from home in seconds",
        "motion": "scale of head motion",
        "motion_spread": "how much people differ in it: sd of the logarithm of a factor",
        "patient_motion": "factor of the motion of patients",
        "noise": "sd of thermal noise in per cent",
        "non_steady_volumes": "volumes at the start that are not in steady state",
        "cohort": "turns: users, non-users and controls in turn; study: the cells of a study of 207 people",
    }
    for field in dataclasses.fields(SimulationSettings):
        kind = type(field.default)
        parser.add_argument(
            f"--{field.name.replace('_', '-')}", type=kind, default=field.default, help=helps[field.name]
        )
    parser.add_argument("--zero-effect", action="store_true", help="users switch like everybody else")
    parser.add_argument("--force", action="store_true", help="replace an earlier simulation with other settings")
    parser.add_argument("--version", action="version", version=f"bids_flex-simulate {__version__}")
    return parser


def _noting(written: list[str], participants: int) -> Callable[[str], None]:
    """Note who is written, and say how far it is every few seconds: a long silence looks like a program that hangs."""
    said = time.monotonic()

    def note(label: str) -> None:
        nonlocal said
        written.append(label)
        if (now := time.monotonic()) - said >= PAUSE_S:
            said = now
            print(f"bids_flex-simulate: {len(written)} of {participants} participants are written", file=sys.stderr)

    return note


def main(words: Sequence[str] | None = None) -> int:
    """Simulate a study and return the exit code."""
    given = vars(make_parser().parse_args(words))
    out, force = given.pop("out"), given.pop("force")
    if given.pop("zero_effect"):
        given |= {"user_effect": 0.0, "network_effect": 0.0}
    try:
        from bids_flex.simulate.layout import simulate_dataset
        from bids_flex.simulate.settings import SimulationSettings

        written: list[str] = []
        settings = SimulationSettings(**given)
        simulate_dataset(out, settings, force=force, report=_noting(written, settings.participants))
    except BidsFlexError as error:
        print(f"bids_flex-simulate: error: {error}", file=sys.stderr)
        return error.exit_code
    print(
        f"{counted(len(written), 'simulated participant')} in {out}"
        if written
        else f"{out} is already there with these settings"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
