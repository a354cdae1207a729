"""The options of the command line but those of the group level; every ``dest`` is the dotted name of a setting."""

from __future__ import annotations

import argparse
from typing import Any, get_args

from bids_flex.config import (
    ENGINES,
    PRESETS,
    Estimator,
    FileFormat,
    InputType,
    ModularityNull,
    Optimiser,
    Shape,
    SurrogateKind,
)


def _label(prefix: str) -> Any:  # noqa: ANN401 - argparse wants a plain callable
    """Make a reader of BIDS labels that may be written with or without their prefix."""

    def read(text: str) -> str:
        label = text.removeprefix(prefix)
        if not label or not all(character.isalnum() or character == "+" for character in label):
            raise argparse.ArgumentTypeError(f"{text!r} is not a label: letters, digits and + only")
        return label

    return read


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Add which participants and runs are analysed."""
    group = parser.add_argument_group("which runs")
    group.add_argument(
        "--derivatives",
        metavar="[NAME=]PATH",
        help="fMRIPrep's output, or its folder's name below BIDS_DIR/derivatives (default: fmriprep there, or BIDS_DIR "
        "itself when it is that, or the only output of fMRIPrep below derivatives)",
    )
    for option, name, prefix, what in (
        ("--participant-label", "participants", "sub-", "participants, with or without sub-"),
        ("--session-label", "sessions", "ses-", "sessions, with or without ses-"),
        ("--task-id", "tasks", "task-", "tasks"),
        ("--run-id", "runs", "run-", "runs"),
    ):
        group.add_argument(
            option, dest=f"selection.{name}", nargs="+", metavar="LABEL", type=_label(prefix), help=f"only these {what}"
        )
    group.add_argument(
        "--space",
        dest="selection.space",
        metavar="NAME[:cohort-LABEL][:res-LABEL]",
        help="fMRIPrep's output space (default: the atlas's own)",
    )
    group.add_argument(
        "--res", dest="selection.res", metavar="LABEL", help="fMRIPrep's res- label, where a space has several"
    )
    group.add_argument(
        "--bids-filter-file",
        dest="selection.filter_file",
        metavar="FILE",
        help='as in fMRIPrep: JSON such as {"bold": {"acquisition": null, "direction": "*"}}; null: absent, *: there',
    )
    group.add_argument("--skip-bids-validation", dest="ignored", action="store_true", help="accepted; does nothing")


def add_input(parser: argparse.ArgumentParser) -> None:
    """Add the kind of input, what tells its files apart, and the table of networks."""
    group = parser.add_argument_group("kind of input")
    group.add_argument(
        "--input-type",
        dest="science.input.type",
        choices=get_args(InputType),
        help="images: fMRIPrep's output (default); timeseries: regional series that XCP-D, giga_connectome, HALFpipe "
        "or others have cleaned, read as they are",
    )
    group.add_argument(
        "--file-format",
        dest="science.input.file_format",
        choices=get_args(FileFormat),
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


def add_signal(parser: argparse.ArgumentParser) -> None:
    """Add the atlas, denoising and the thresholds of censoring."""
    group = parser.add_argument_group("from images to regional time series")
    group.add_argument(
        "--atlas",
        dest="science.atlas.name",
        metavar="NAME|FILE",
        help="Schaefer2018[_seg-17n][_scale-400], Dosenbach2010, or a NIfTI or dlabel file (default: Schaefer2018, 200 "
        "regions; bids_flex-atlas list says more)",
    )
    group.add_argument("--atlas-table", dest="science.atlas.table", metavar="FILE", help="its table, if not beside it")
    group.add_argument("--atlas-space", dest="science.atlas.space", metavar="NAME", help="its template, if unnamed")
    group.add_argument(
        "--denoise",
        dest="science.denoise.strategy",
        metavar="NAME|FILE",
        help="36P (default), 24P+2P, 24P+acompcor, acompcor50, aroma, scrub, simple, none, or a TOML file",
    )
    for option, name, unit, what in (
        ("--high-pass", "high_pass_hz", "HZ", "lower edge of the band (default: 0.01)"),
        ("--low-pass", "low_pass_hz", "HZ", "upper edge of the band (default: 0.1)"),
        ("--fd-thresh", "fd_threshold_mm", "MM", "censor frames with more displacement (default: 0.5)"),
        ("--dvars-thresh", "dvars_threshold", "Z", "censor frames with more standardised DVARS (default: 1.5)"),
        ("--min-coverage", "min_coverage", "SHARE", "leave out regions with less of them in the brain (default: 0.5)"),
    ):
        group.add_argument(option, dest=f"science.denoise.{name}", metavar=unit, type=float, help=what)


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


def add_engines(parser: argparse.ArgumentParser) -> None:
    """Add the engines, and each one's windows and connectivity."""
    group = parser.add_argument_group("communities over time: engines and their windows")
    group.add_argument("--preset", choices=sorted(PRESETS), help="start from the settings of a published study")
    group.add_argument(
        "--engine",
        dest="science.engines",
        nargs="+",
        choices=ENGINES,
        help="prior: every window starts from the atlas's networks; multilayer: temporal modularity (default: both)",
    )
    for engine, window, step in (("prior", "60s", "1vol"), ("multilayer", "100s", "half")):
        setting = f"science.{engine}"
        group.add_argument(
            f"--{engine}-window",
            dest=f"{setting}.window",
            metavar="TIME",
            help=f"such as 60s, 27vol (default: {window})",
        )
        group.add_argument(
            f"--{engine}-step", dest=f"{setting}.step", metavar="TIME", help=f"such as 2s, 1vol, half (default: {step})"
        )
        group.add_argument(
            f"--{engine}-shape",
            dest=f"{setting}.shape",
            choices=get_args(Shape),
            help="weights within a window (default: rect)",
        )
        group.add_argument(
            f"--{engine}-min-kept",
            dest=f"{setting}.min_kept",
            type=float,
            metavar="SHARE",
            help="drop windows with fewer uncensored frames (default: 0.5)",
        )
        group.add_argument(
            f"--{engine}-estimator",
            dest=f"{setting}.estimator",
            choices=get_args(Estimator),
            help="connectivity; mtd: multiplication of temporal derivatives (default: pearson)",
        )


def add_multilayer(parser: argparse.ArgumentParser) -> None:
    """Add what temporal modularity maximises, and how."""
    group = parser.add_argument_group("temporal modularity (engine multilayer)")
    group.add_argument(
        "--modularity-null",
        dest="science.multilayer.modularity_null",
        choices=get_args(ModularityNull),
        help="what connectivity is compared with (default: signed)",
    )
    group.add_argument(
        "--optimiser",
        dest="science.multilayer.optimiser",
        choices=get_args(Optimiser),
        help="how modularity is maximised (default: louvain)",
    )
    for option, name, kind, metavar, what in (
        ("--gamma", "gamma", float, "X", "resolution (default: 1, by convention)"),
        ("--omega", "omega", float, "X", "coupling of consecutive windows (default: 1, by convention)"),
        (
            "--modularity-a",
            "a",
            float,
            "R",
            "one mean connectivity for all runs, with uniform (default: each run's own)",
        ),
        ("--restarts", "restarts", int, "N", "searches, whose measures are averaged (default: 100)"),
    ):
        group.add_argument(option, dest=f"science.multilayer.{name}", type=kind, metavar=metavar, help=what)
    group.add_argument(
        "--sweep",
        dest="science.multilayer.sweep",
        action="store_const",
        const={},
        help="search over a grid of gamma and omega as well, and write which partitions are best where",
    )
    for name, grid in (("gamma", "0.6 0.8 1 1.2 1.4"), ("omega", "0.25 0.5 1 2")):
        group.add_argument(
            f"--sweep-{name}",
            dest=f"science.multilayer.sweep.{name}s",
            nargs="+",
            type=float,
            metavar="X",
            help=f"values of {name}; turns --sweep on (default: {grid})",
        )


def add_surrogates(parser: argparse.ArgumentParser) -> None:
    """Add null models, split halves and the seed."""
    group = parser.add_argument_group("null models of switching")
    group.add_argument(
        "--surrogate",
        dest="science.surrogates.kind",
        choices=get_args(SurrogateKind),
        help="phase: random phases (default); iaaft: and the values kept; var: autoregression of order 1; "
        "temporal: windows in random order",
    )
    group.add_argument(
        "--n-surrogates", type=int, metavar="N", help="for each engine; 0: none (default: prior 199, multilayer 50)"
    )
    group.add_argument(
        "--split-half",
        dest="science.split_half",
        action="store_true",
        help="follow either half of each region's voxels with the prior engine too, and count the changes that both "
        "tell: noise of voxels hardly makes them",
    )
    group.add_argument(
        "--random-seed",
        dest="science.random_seed",
        type=int,
        metavar="N",
        help="what all random numbers follow from, permutations of the group level included (default: 0)",
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


def add_execution(parser: argparse.ArgumentParser) -> None:
    """Add what changes no number."""
    group = parser.add_argument_group("how the work is done")
    group.add_argument("--config-file", metavar="FILE", help="settings from a TOML file; options given here win")
    group.add_argument(
        "--nprocs",
        dest="execution.nprocs",
        type=int,
        metavar="N",
        help="runs at a time (default: the processors that control group and scheduler allow, or as many as fit into "
        "the memory); what is left over serves restarts and surrogates",
    )
    group.add_argument(
        "--mem",
        dest="execution.memory_gb",
        type=float,
        metavar="GB",
        help="memory to stay within (default: what control group and machine allow); runs that need more are not begun",
    )
    group.add_argument(
        "--work-dir",
        dest="execution.work_dir",
        metavar="DIR",
        help="for intermediate files (default: a temporary folder below TMPDIR)",
    )
    for option, name, what in (
        ("--clean-workdir", "clean_workdir", "remove a run's intermediate files once it is written"),
        ("--stop-on-first-crash", "stop_on_first_crash", "start no further run after one has failed"),
        ("--reports-only", "reports_only", "make pages again from what the output folder holds; nothing is analysed"),
        ("--dry-run", "dry_run", "print which runs would be analysed, with which files, and stop"),
    ):
        group.add_argument(option, dest=f"execution.{name}", action="store_true", help=what)
    group.add_argument(
        "--no-reports", dest="execution.reports", action="store_false", help="leave pages for later: --reports-only"
    )
    group.add_argument(
        "--force",
        action="append",
        nargs="?",
        const="redo",
        choices=("redo", "atlas-space"),
        help="redo: analyse finished runs again, replacing other settings (default); "
        "atlas-space: use an atlas on images of another template",
    )
    group.add_argument("--notrack", dest="ignored", action="store_true", help="accepted; there is no telemetry")
    group.add_argument("-v", "--verbose", dest="execution.verbose", action="count", help="say more; twice: everything")
