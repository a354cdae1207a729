"""Describe the command line for Boutiques (CBRAIN, Nipoppy), from the parser alone: ``make boutiques``."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from bids_flex import __version__
from bids_flex.cli import EXIT_CODES, make_parser

FILE = Path(__file__).resolve().parents[1] / "boutiques" / "bids_flex.json"
PATHS = {"BIDS_DIR", "FILE", "DIR"}
"""Placeholders of what must exist already, and is mounted for the container; what is written is a text."""
WRITTEN = {"output_dir", "execution.work_dir"}
PRINTED = (argparse._HelpAction, argparse._VersionAction)  # noqa: SLF001 - argparse names its actions nowhere else


def descriptor() -> dict[str, Any]:
    """Describe the app; see https://github.com/boutiques/boutiques-schema."""
    parser = make_parser()
    listed = [
        (group, action)
        for group in parser._action_groups  # noqa: SLF001 - argparse offers no other list of them
        for action in group._group_actions  # noqa: SLF001
        if not isinstance(action, PRINTED)
    ]
    inputs = [_input(action) for _, action in listed]
    return {
        "schema-version": "0.5",
        "name": "bids_flex",
        "description": parser.description,
        "author": "The bids_flex developers",
        "tool-version": __version__,
        "command-line": " ".join(["bids_flex", *(each["value-key"] for each in inputs)]),
        "container-image": {"type": "docker", "image": f"bids_flex/bids_flex:{__version__}", "index": "docker://"},
        "inputs": inputs,
        "groups": [_group(group) for group in parser._action_groups if _members(group)],  # noqa: SLF001
        "output-files": [
            {
                "id": "output",
                "name": "Derivatives",
                "description": "a data set of BIDS derivatives: tables, their dictionaries, figures and pages",
                "path-template": "[OUTPUT_DIR]",
                "optional": False,
            }
        ],
        "suggested-resources": {"cpu-cores": 2, "ram": 4, "walltime-estimate": 600},
        "error-codes": [{"code": code, "description": told} for code, told in _exit_codes() if code],
        "tags": {"domain": ["neuroinformatics", "bids", "fmri", "bids-app"]},
    }


def _input(action: argparse.Action) -> dict[str, Any]:
    """Describe one argument."""
    name = _identifier(action)
    flag = next((word for word in action.option_strings if word.startswith("--")), None)
    one: dict[str, Any] = {
        "id": name,
        "name": name.replace("_", " "),
        "description": str(action.help),
        "optional": flag is not None,
        "value-key": f"[{name.upper()}]",
        "type": _type(action),
    }
    if flag:
        one["command-line-flag"] = flag
    if action.nargs == "+":
        one |= {"list": True, "min-list-entries": 1}
    if action.choices and one["type"] != "Flag":
        one["value-choices"] = list(action.choices)
    if action.type is int:
        one["integer"] = True
    return one


def _type(action: argparse.Action) -> str:
    """Tell what kind of value an argument takes."""
    # an option whose value may be left out is a flag to a form that knows no such thing
    if action.nargs in (0, "?"):
        return "Flag"
    if action.type in (int, float):
        return "Number"
    shown = action.metavar if isinstance(action.metavar, str) else ""
    return "File" if shown in PATHS and action.dest not in WRITTEN else "String"


def _identifier(action: argparse.Action) -> str:
    """Name an argument as it is called on the command line."""
    if not action.option_strings:
        return {"level": "analysis_level"}.get(action.dest, action.dest)
    return max(action.option_strings, key=len).lstrip("-").replace("-", "_")


def _members(group: argparse._ArgumentGroup) -> list[str]:
    """Name the members of a group of options."""
    return [_identifier(action) for action in group._group_actions if not isinstance(action, PRINTED)]  # noqa: SLF001


def _group(group: argparse._ArgumentGroup) -> dict[str, Any]:
    """Describe a group of options."""
    title = str(group.title)
    return {"id": re.sub(r"\W+", "_", title).strip("_"), "name": title, "members": _members(group)}


def _exit_codes() -> list[tuple[int, str]]:
    """Read the exit codes that the help text lists."""
    found = re.findall(r"(?:^|\s{2,})(\d+) (\S.*?)(?=\s{3,}|\n|$)", EXIT_CODES)
    return [(int(code), told) for code, told in found]


def main(into: Path = FILE) -> None:
    """Write the description."""
    into.write_text(json.dumps(descriptor(), indent=1, ensure_ascii=False) + "\n", encoding="utf8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
