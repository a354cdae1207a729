"""Options about what regional series are made of; nothing heavy is imported here either."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_input(parser: argparse.ArgumentParser) -> None:
    """Add the kind of input, what tells its files apart, and the table of networks."""
    group = parser.add_argument_group("kind of input")
    group.add_argument(
        "--input-type",
        dest="science.input.type",
        choices=("images", "timeseries"),
        help="images: fMRIPrep's output (default); timeseries: regional series that XCP-D, giga_connectome, HALFpipe "
        "or others have cleaned, read as they are",
    )
    group.add_argument(
        "--file-format",
        dest="science.input.file_format",
        choices=("nifti", "cifti"),
        help="nifti: voxels, or tables of series (default); cifti: greyordinates (dtseries), or parcels (ptseries)",
    )
    group.add_argument("--den", dest="selection.den", metavar="LABEL", help="density of greyordinates, such as 91k")
    group.add_argument(
        "--desc", dest="selection.desc", metavar="LABEL", help="which series, where a run has several of one atlas"
    )
    group.add_argument(
        "--min-time",
        dest="science.min_minutes",
        metavar="MINUTES",
        type=float,
        help="refuse runs with fewer minutes left after censoring (default: 0, but results on fewer than 10 are noted)",
    )
    group.add_argument(
        "--atlas-networks",
        dest="science.atlas.networks",
        metavar="FILE",
        help="table that merges or renames networks (network, becomes) or assigns them (label, network)",
    )
