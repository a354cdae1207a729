"""The command line: arguments to a Config, errors to an exit code. Nothing heavy is imported before there is work."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from bids_flex import __version__
from bids_flex.checks import check
from bids_flex.config import ENGINES, PRESETS, Config, from_dict, read_toml, to_dict
from bids_flex.errors import BidsFlexError, UsageError, unreachable
from bids_flex.group_options import add_group
from bids_flex.input_options import add_input
from bids_flex.interrupts import Interrupted, Interrupts
from bids_flex.options import add_cleaning, add_multiverse
from bids_flex.words import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_CODES = """\
exit codes:
  0 all done, or already done    1 some or all runs failed (the rest are written)   2 usage, or settings refused
  16 not a BIDS data set         18 nothing matched (says what is there)            65 a data-set-level file is bad
  66 no such input               70 a defect of bids_flex                           73 output cannot be written
  130 interrupted (Ctrl-C)       143 terminated
"""


class _Parser(argparse.ArgumentParser):
    """An argument parser whose every long option may be spelled with hyphens or underscores."""

    def error(self, message: str) -> NoReturn:
        """End with one message; what argparse prints before it would fill the screen."""
        options = [name for name in self._option_string_actions if name.startswith("--")]
        unknown = [word.partition("=")[0] for word in message.split() if word.startswith("--")]
        if message.startswith("unrecognized arguments") and unknown:
            near, mark, _ = did_you_mean(unknown[0], options).partition("? ")
            message += f": {near}?" if mark else ""
        self.exit(2, f"{self.prog}: error: {message}\n{self.prog} --help lists all options\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # noqa: ANN401
        words = sys.argv[1:] if args is None else list(args)
        return super().parse_known_args([_hyphens(word) for word in words], namespace)


def _hyphens(word: str) -> str:
    """Spell a long option with hyphens; its value, if any, stays as it is."""
    if not word.startswith("--"):
        return word
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value


def _label(prefix: str) -> Any:  # noqa: ANN401 - argparse wants a plain callable
    """Make a reader of BIDS labels that may be written with or without their prefix."""

    def read(text: str) -> str:
        label = text.removeprefix(prefix)
        if not label or not all(character.isalnum() or character == "+" for character in label):
            raise argparse.ArgumentTypeError(f"{text!r} is not a label: letters, digits and + only")
        return label

    return read


def make_parser() -> argparse.ArgumentParser:
    """Build the parser; every ``dest`` is the dotted name of the setting that the option changes."""
    parser = _Parser(
        prog="bids_flex",
        description="Measure how much brain networks reconfigure over time (participant), and compare people (group).",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument(
        "bids_dir", metavar="BIDS_DIR", help="the BIDS data set (or the fMRIPrep derivatives themselves)"
    )
    parser.add_argument("output_dir", metavar="OUTPUT_DIR", help="where the derivatives of bids_flex go")
    parser.add_argument("level", choices=("participant", "group"), help="measure each run, or compare participants")
    parser.add_argument("--version", action="version", version=f"bids_flex {__version__}")
    _add_selection(parser)
    add_input(parser)
    _add_signal(parser)
    add_cleaning(parser)
    _add_engines(parser)
    _add_multilayer(parser)
    _add_surrogates(parser)
    add_multiverse(parser)
    add_group(parser)
    _add_execution(parser)
    return parser


def _add_selection(parser: argparse.ArgumentParser) -> None:
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


def _add_signal(parser: argparse.ArgumentParser) -> None:
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


def _add_engines(parser: argparse.ArgumentParser) -> None:
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
            choices=("rect", "gaussian", "tukey"),
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
            choices=("pearson", "partial", "mtd"),
            help="connectivity; mtd: multiplication of temporal derivatives (default: pearson)",
        )


def _add_multilayer(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("temporal modularity (engine multilayer)")
    group.add_argument(
        "--modularity-null",
        dest="science.multilayer.modularity_null",
        choices=("ng", "signed", "gomez", "uniform"),
        help="what connectivity is compared with (default: signed)",
    )
    group.add_argument(
        "--optimiser",
        dest="science.multilayer.optimiser",
        choices=("louvain", "leiden"),
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


def _add_surrogates(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("null models of switching")
    group.add_argument(
        "--surrogate",
        dest="science.surrogates.kind",
        choices=("phase", "var", "iaaft", "temporal"),
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
        "tell: noise of voxels cannot make them",
    )
    group.add_argument(
        "--random-seed",
        dest="science.random_seed",
        type=int,
        metavar="N",
        help="what all random numbers follow from, permutations of the group level included (default: 0)",
    )


def _add_execution(parser: argparse.ArgumentParser) -> None:
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


def parse_config(words: Sequence[str] | None = None) -> Config:
    """Read the command line: defaults, then the preset, then the configuration file, then the options.

    Raises
    ------
    UsageError, MissingInputError
        When the configuration file is missing or wrong. Mistakes on the command line itself exit with code 2.
    """
    parser = make_parser()
    if not (sys.argv[1:] if words is None else words):
        parser.print_help(sys.stderr)
        parser.exit(2, "\nbids_flex: error: BIDS_DIR, OUTPUT_DIR and participant or group are needed\n")
    given = vars(parser.parse_args(words))
    settings: dict[str, Any] = {}
    file = given.pop("config_file", None)
    from_file = read_toml(Path(file)) if file else {}
    # where files are written is said on the command line alone, as for BIDS_DIR and OUTPUT_DIR, which are always there
    if isinstance(execution := from_file.get("execution"), dict):
        execution.pop("work_dir", None)
    science = from_file.get("science")
    preset = given.pop("preset", None) or (science.get("preset") if isinstance(science, dict) else None)
    if preset is not None:
        if not isinstance(preset, str) or preset not in PRESETS:
            raise UsageError(f"{file}: there is no preset {preset!r:.40}; there is {', '.join(PRESETS)}")
        settings["science"] = to_dict(PRESETS[preset])
    _merge(settings, from_file)
    given.pop("ignored", None)
    forced = given.pop("force", [])
    given |= {"execution.redo": True} if "redo" in forced else {}
    given |= {"science.any_space": True} if "atlas-space" in forced else {}
    if (surrogates := given.pop("n_surrogates", None)) is not None:
        given |= {f"science.surrogates.{engine}": surrogates for engine in ENGINES}
    for name, value in given.items():
        _merge(settings, _nested(name, value))
    config = from_dict(Config, settings, file or "command line")
    check(config)
    return config


def _nested(name: str, value: Any) -> dict[str, Any]:  # noqa: ANN401 - an option's value
    """Turn a dotted name and its value into nested tables."""
    for part in reversed(name.split(".")):
        value = {part: value}
    return dict(value)


def _merge(table: dict[str, Any], other: dict[str, Any]) -> None:
    """Lay one nested table over another, in place."""
    for name, value in other.items():
        if not isinstance(value, dict):
            table[name] = value
        # what a file gives in place of a table stays, to be refused; options would cover it up
        elif isinstance(table.setdefault(name, {}), dict):
            _merge(table[name], value)


def main(words: Sequence[str] | None = None) -> int:
    """Run bids_flex and return its exit code; the last line printed agrees with it."""
    with Interrupts() as interrupts:
        try:
            with interrupts.heard():
                config = parse_config(words)
                from bids_flex.workflows.app import run_app

                return run_app(config, interrupts)
        except BidsFlexError as error:
            print(f"bids_flex: error: {error}", file=sys.stderr)
            return error.exit_code
        except PermissionError as error:
            closed = unreachable(error)
            print(f"bids_flex: error: {closed}", file=sys.stderr)
            return closed.exit_code
        except Interrupted as stop:
            print(f"bids_flex: interrupted, exit code {stop.exit_code}", file=sys.stderr)
            return stop.exit_code


if __name__ == "__main__":
    raise SystemExit(main())
