"""The methods text of a page, made of the settings that ran, and the references that it names."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from bids_flex.reports.page import render_text

if TYPE_CHECKING:
    from collections.abc import Mapping

ESTIMATORS = {
    "pearson": "Pearson correlation",
    "partial": "partial correlation",
    "mtd": "multiplication of temporal derivatives",
}
NULLS = {
    "signed": ("the signed null model of Rubinov and Sporns", "rubinov2011"),
    "ng": ("the Newman-Girvan null model", "mucha2010"),
    "gomez": ("the null model of Gomez and colleagues", "gomez2009"),
    "uniform": ("a uniform null model", "bassett2013"),
}
SURROGATES = {
    "phase": ("phase randomisation with one random phase per frequency for all regions", "prichard1994"),
    "iaaft": ("iterated amplitude-adjusted Fourier transforms", "schreiber2000"),
}
CITED = re.compile(r"\[@([a-z0-9]+)\]")


@cache
def references() -> dict[str, dict[str, str]]:
    """Read the references, by key."""
    text = resources.files("bids_flex.data").joinpath("references.json").read_text(encoding="utf8")
    found: dict[str, dict[str, str]] = json.loads(text)
    return found


def participant_methods(
    facts: Mapping[str, Any], engines: Mapping[str, Mapping[str, Any]], cleaning: Mapping[str, Any]
) -> str:
    """Write what was done to a run, in markdown with keys of references.

    Parameters
    ----------
    facts : mapping
        A sidecar of the run: ``Settings``, ``Atlas``, ``SoftwareVersion``.
    engines : mapping
        Summary of each engine.
    cleaning : mapping
        What the sidecar says of cleaning.
    """
    return render_text(
        "participant_methods.md.j2",
        facts=facts,
        settings=facts["Settings"],
        cleaning=cleaning,
        engines={name: {"NullModel": None, **found} for name, found in engines.items()},
        estimators=ESTIMATORS,
        nulls=NULLS,
        surrogates=SURROGATES,
    )


def group_methods(told: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    """Write how groups were compared, in markdown with keys of references.

    Parameters
    ----------
    told : mapping
        ``model-NAME.json``.
    document : mapping
        The BIDS Stats Models document.
    """
    asked = document["Nodes"][0]["Model"].get("Software", {}).get("bids_flex", {})
    settings = {"Harmonise": "", "Blocks": "", "Grouping": "", **asked}
    return render_text("group_methods.md.j2", told=told, asked=settings)


def cited(text: str) -> list[str]:
    """List the keys that a text cites, in order.

    >>> cited("as told [@mucha2010] [@bassett2011], and again [@mucha2010]")
    ['mucha2010', 'bassett2011']
    """
    return list(dict.fromkeys(CITED.findall(text)))


def plain(text: str) -> str:
    """Write authors and years in place of keys.

    >>> plain("flexibility [@mattar2015]; permutation [@freedman1983]")
    'flexibility (Mattar et al., 2015); permutation (Freedman & Lane, 1983)'
    """

    def named(found: re.Match[str]) -> str:
        one = references()[found[1]]
        authors = [name.split(",")[0] for name in one["author"].split(" and ")]
        pair = len(authors) == 2 and authors[1] != "others"
        who = authors[0] if len(authors) == 1 else f"{authors[0]} & {authors[1]}" if pair else f"{authors[0]} et al."
        return f"({who}, {one['year']})"

    return CITED.sub(named, text)


def bibtex(text: str) -> str:
    """Write the references that a text cites as BibTeX."""
    entries = []
    for key in cited(text):
        fields = "".join(f"  {name} = {{{value}}},\n" for name, value in references()[key].items())
        entries.append(f"@article{{{key},\n{fields}}}")
    return "\n\n".join(entries) + "\n"
