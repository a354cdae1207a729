"""Write the pages of the reference from the parsers and the data themselves: they cannot fall behind the code."""

from __future__ import annotations

import argparse
import inspect
import json
import re
import tomllib
from importlib import resources
from typing import TYPE_CHECKING, Any

from bids_flex import errors
from bids_flex.atlas_cli import make_parser as atlas_parser
from bids_flex.cli import EXIT_CODES, make_parser
from bids_flex.simulate.cli import make_parser as simulate_parser

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

DATA = resources.files("bids_flex.data")


def write_reference(folder: Path) -> None:
    """Write every page into a folder."""
    folder.mkdir(exist_ok=True)
    pages = {
        "options": options_page(),
        "columns": columns_page(),
        "atlases": atlases_page(),
        "strategies": strategies_page(),
        "exit-codes": exit_codes_page(),
        "references": references_page(),
    }
    for name, text in pages.items():
        path = folder / f"{name}.md"
        # a page that is the same is not read again
        if not path.exists() or path.read_text(encoding="utf8") != text:
            path.write_text(text, encoding="utf8")


def options_page() -> str:
    """List every option of every command, group by group, with the setting that it changes."""
    parts = [
        "# Options",
        "What `--help` says of each command. *Setting* is the name that an option has in a file for `--config-file`.",
    ]
    for parser in (make_parser(), simulate_parser(), atlas_parser()):
        parts.append(f"## {parser.prog}")
        for group in parser._action_groups:  # noqa: SLF001 - argparse shows its groups in no other way
            rows = [_option(action) for action in group._group_actions if not _hidden(action)]  # noqa: SLF001
            if rows:
                parts += [
                    f"### {parser.prog}: {group.title}",
                    _table(("option", "value", "what it does", "setting"), rows),
                ]
    return "\n\n".join(parts) + "\n"


def _hidden(action: argparse.Action) -> bool:
    return isinstance(action, (argparse._HelpAction, argparse._VersionAction))  # noqa: SLF001


def _option(action: argparse.Action) -> tuple[str, str, str, str]:
    """Describe one option: names, values, help, setting."""
    names = ", ".join(f"`{name}`" for name in action.option_strings) or f"`{action.metavar or action.dest}`"
    choices = ", ".join(map(str, action.choices)) if action.choices else ""
    value = choices or (str(action.metavar or action.dest) if action.nargs != 0 else "")
    setting = f"`{action.dest}`" if "." in action.dest else ""
    return names, value + (" ..." if action.nargs == "+" else ""), _help(action), setting


def _help(action: argparse.Action) -> str:
    return (action.help or "").replace("%(default)s", str(action.default))


def columns_page() -> str:
    """List every column that has a dictionary, with its meaning, unit and range."""
    parts = [
        "# Columns",
        "From the dictionaries beside our tables. MEASURE stands for the measure that a column belongs to.",
        "[Outputs](../outputs.md) says which table has which columns.",
    ]
    titles = {
        "columns": "Tables of runs and of statistics",
        "null_columns": "Beside every measure, with null models",
        "cohort_columns": "Tables of people and runs",
    }
    for name, title in titles.items():
        described = json.loads(DATA.joinpath(f"{name}.json").read_text(encoding="utf8"))
        rows = [(f"`{column}`", _meaning(entry), entry.get("Units", "")) for column, entry in described.items()]
        parts += [f"## {title}", _table(("column", "meaning", "unit"), rows)]
    return "\n\n".join(parts) + "\n"


def _meaning(entry: dict[str, Any]) -> str:
    """Join what a dictionary says of a column."""
    limits = [f"{word} {entry[key]}" for key, word in (("Minimum", "at least"), ("Maximum", "at most")) if key in entry]
    levels = "; ".join(f"{level}: {meaning}" for level, meaning in entry.get("Levels", {}).items())
    return ". ".join(part for part in (entry["Description"], ", ".join(limits), levels) if part)


def atlases_page() -> str:
    """List the atlases that have a name."""
    known = tomllib.loads(DATA.joinpath("atlases.toml").read_text(encoding="utf8"))
    parts = ["# Atlases", "What `bids_flex-atlas list` prints; any other atlas is [a file](../howto/atlas.md)."]
    for name, entry in known.items():
        rows = [(key, _words(value)) for key, value in entry.items()]
        parts += [f"## {name}", _table(("what", "value"), rows)]
    return "\n\n".join(parts) + "\n"


def strategies_page() -> str:
    """List the strategies of denoising with all their entries."""
    parts = [
        "# Strategies of denoising",
        "The files behind `--denoise NAME`. [A file of your own](../howto/denoising.md) has the same entries.",
    ]
    for file in sorted(DATA.joinpath("strategies").iterdir(), key=lambda one: one.name):
        text = file.read_text(encoding="utf8").strip()
        parts += [f"## {file.name.removesuffix('.toml')}", f"```toml\n{text}\n```"]
    return "\n\n".join(parts) + "\n"


def exit_codes_page() -> str:
    """List what a call returns, and the errors of the library that stand behind it."""
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.BidsFlexError)]
    rows = [(f"`{kind.__name__}`", str(kind.exit_code), inspect.getdoc(kind) or "") for kind in kinds]
    codes = [part.strip() for part in re.split(r"\s{2,}|\n", EXIT_CODES.partition("\n")[2]) if part.strip()]
    table = _table(("code", "meaning"), [(code, meaning) for code, _, meaning in (one.partition(" ") for one in codes)])
    told = "The library raises these; a call turns them into its exit code."
    return f"# Exit codes\n\n{table}\n\n## Errors\n\n{told}\n\n{_table(('error', 'code', 'when'), rows)}\n"


def references_page() -> str:
    """List the literature that pages and methods text cite."""
    known = json.loads(DATA.joinpath("references.json").read_text(encoding="utf8"))
    lines = [
        f"- {one['author']} ({one['year']}). {one['title']}. *{one.get('journal', one.get('booktitle', ''))}*. "
        f"[doi:{one['doi']}](https://doi.org/{one['doi']})"
        for one in sorted(known.values(), key=lambda one: (one["author"], one["year"]))
    ]
    return "# References\n\nWhat the methods text of a page may cite.\n\n" + "\n".join(lines) + "\n"


def _words(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Make a table of Markdown."""
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in [list(head), ["---"] * len(head), *cells])
