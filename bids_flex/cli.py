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
from bids_flex.interrupts import Interrupted, Interrupts
from bids_flex.options import (
    add_cleaning,
    add_engines,
    add_execution,
    add_input,
    add_multilayer,
    add_multiverse,
    add_selection,
    add_signal,
    add_surrogates,
)
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
    add_selection(parser)
    add_input(parser)
    add_signal(parser)
    add_cleaning(parser)
    add_engines(parser)
    add_multilayer(parser)
    add_surrogates(parser)
    add_multiverse(parser)
    add_group(parser)
    add_execution(parser)
    return parser


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
