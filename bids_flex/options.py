"""Groups of options that the command line takes in; nothing heavy is imported here either."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_cleaning(parser: argparse.ArgumentParser) -> None:
    """Add what is done to volumes, voxels and confounds."""
    group = parser.add_argument_group("volumes, voxels and confounds")
    for option, name, metavar, kind, what in (
        ("--dummy-scans", "dummy_scans", "N", int, "drop so many first volumes (default: those that fMRIPrep marks)"),
        ("--censor-before", "censor_before", "N", int, "censor so many volumes before each censored one, too"),
        ("--censor-after", "censor_after", "N", int, "censor so many volumes after each censored one, too"),
        ("--min-segment", "min_segment", "N", int, "censor stretches of fewer kept volumes"),
        (
            "--smoothing",
            "smoothing_mm",
            "MM",
            float,
            "smooth images with a Gaussian of this width at half maximum",
        ),
    ):
        group.add_argument(option, dest=f"science.denoise.{name}", metavar=metavar, type=kind, help=what)
    group.add_argument(
        "--despike", dest="science.denoise.despike", action="store_true", help="squeeze outliers of every voxel first"
    )
    group.add_argument(
        "--custom-confounds",
        metavar="DIR",
        help="folder with a table of further confounds for every run: fMRIPost-AROMA's output, or tables of your own",
    )


def add_multiverse(parser: argparse.ArgumentParser) -> None:
    """Add the analysis of the same runs in many ways."""
    group = parser.add_argument_group("many analyses at once")
    group.add_argument(
        "--multiverse",
        metavar="FILE|default",
        help="participant: analyse every run in each way that a TOML grid of choices names (default: 48 ways; "
        "docs/multiverse.md), into OUTPUT_DIR/universes; the other options say what the grid leaves open. group: finds "
        "OUTPUT_DIR/universes by itself",
    )
