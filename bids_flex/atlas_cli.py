"""The command ``bids_flex-atlas``: which atlases there are, fetching one, checking a file."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_flex import __version__
from bids_flex.errors import BidsFlexError, MissingInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bids_flex.signal.registry import Chosen


def make_parser() -> argparse.ArgumentParser:
    """Build the parser: one subcommand for each thing to do."""
    parser = argparse.ArgumentParser(
        prog="bids_flex-atlas",
        description="List the atlases that bids_flex knows by name, fetch one, or check a file.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"bids_flex-atlas {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="print names, templates, sizes, licences and how each is obtained")
    fetch = commands.add_parser("fetch", help="download an atlas into TemplateFlow's folder (needs a network)")
    fetch.add_argument("name", metavar="NAME", help="such as Schaefer2018_seg-7n_scale-200")
    check = commands.add_parser("check", help="read an atlas as bids_flex would, and say what it holds")
    check.add_argument("name", metavar="FILE|NAME", help="a NIfTI or dlabel file, or a name that was fetched")
    check.add_argument("--atlas-table", metavar="FILE", type=Path, help="its table, if not beside it")
    check.add_argument("--atlas-networks", metavar="FILE", type=Path, help="table that merges or renames networks")
    for command in (fetch, check):
        command.add_argument("--atlas-space", metavar="NAME", help="its template, where there are several")
    return parser


def main(words: Sequence[str] | None = None) -> int:
    """Do what is asked for and return the exit code."""
    given = make_parser().parse_args(words)
    try:
        print({"list": _list, "fetch": _fetch, "check": _check}[given.command](given))
    except BidsFlexError as error:
        print(f"bids_flex-atlas: error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _list(_given: argparse.Namespace) -> str:
    """Say which atlases are known by name."""
    from bids_flex.signal.registry import registry

    told = []
    for name, entry in sorted(registry().items()):
        lines = [f"{name}: {entry.title}", f"spaces    {', '.join(entry.spaces)}"]
        lines += [f"networks  seg-{', seg-'.join(entry.segs)}"] if entry.segs else []
        lines += [f"regions   {', '.join(sorted(entry.scales, key=int))}"]
        lines += [f"licence   {entry.licence}", f"cite      {entry.citation}", f"obtained  {entry.obtained}"]
        told.append("\n    ".join(lines))
    return "\n".join([*told, "Any NIfTI or dlabel file of integer labels serves as well: bids_flex-atlas check FILE"])


def _fetch(given: argparse.Namespace) -> str:
    """Download an atlas, unless it is here."""
    from bids_flex.signal.registry import choose, find_entry, is_here, registry

    found = find_entry(given.name)
    if found is None:
        raise MissingInputError(f"there is no atlas {given.name!r}: name one of {', '.join(sorted(registry()))}")
    entry, seg, scale = found
    if entry.source == "nilearn":
        return f"{entry.name}: {entry.obtained}"
    chosen = choose(entry, seg, scale, given.atlas_space)
    if not (is_here(chosen.image) and is_here(chosen.table)):
        _download(chosen)
    return (
        f"{chosen.full_name} in {chosen.space}: {chosen.image}\nPlease cite {entry.citation}; licence {entry.licence}"
    )


def _download(chosen: Chosen) -> None:
    """Ask TemplateFlow's client for the two files; nothing else in bids_flex touches a network."""
    from bids_flex.signal.registry import is_here, templateflow_home

    home = templateflow_home()
    failed: Exception | None = None
    try:
        home.mkdir(parents=True, exist_ok=True)
        os.environ["TEMPLATEFLOW_HOME"] = str(home)
        client: Any = import_module("templateflow.api")
        named = {"atlas": chosen.entry.name, "suffix": "dseg", "raise_empty": True}
        desc = f"{chosen.scale}Parcels{chosen.seg.removesuffix('n')}Networks"
        client.get(chosen.space, desc=desc, resolution=2, extension=".nii.gz", **named)
        client.get(chosen.space, desc=desc, resolution=None, extension=".tsv", **named)
    except Exception as error:  # noqa: BLE001 - the client hands on whatever its network library raises
        failed = error
    if not (is_here(chosen.image) and is_here(chosen.table)):
        files = "\n".join(f"    {file.relative_to(home)}" for file in (chosen.image, chosen.table))
        why = f" ({type(failed).__name__}: {failed})" if failed else ""
        raise MissingInputError(
            f"{chosen.full_name} could not be fetched into {home}{why}: run this where there is a network and "
            f"TEMPLATEFLOW_HOME can be written, or copy these files of https://templateflow.org there:\n{files}"
        ) from failed


def _check(given: argparse.Namespace) -> str:
    """Say what an atlas holds, once it is found sound."""
    from bids_flex.signal import load_atlas

    atlas = load_atlas(given.name, given.atlas_table, given.atlas_space, given.atlas_networks)
    told = [f"{atlas.name}: {len(atlas.labels)} regions, template {atlas.space or 'unknown (see --atlas-space)'}"]
    if atlas.networks is None:
        told += ["no networks: the engine prior needs them (column 'network', or --atlas-networks)"]
    else:
        told += [f"{atlas.networks.count(name):5d}  {name}" for name in dict.fromkeys(atlas.networks)]
    return "\n".join([*told, "the atlas is sound"])


if __name__ == "__main__":
    raise SystemExit(main())
