"""Denoising strategies: what is taken from fMRIPrep's confounds, and how neighbours of bad volumes are treated."""

from __future__ import annotations

from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from reprlib import repr as brief
from typing import TYPE_CHECKING, Any, Literal

from bids_flex.content import why_no_toml
from bids_flex.errors import DatasetFileError, MissingInputError

if TYPE_CHECKING:
    from collections.abc import Callable

Terms = Literal["", "basic", "power2", "derivatives", "full"]

EXPANSIONS: dict[str, tuple[str, ...]] = {
    "": (),
    "basic": ("",),
    "power2": ("", "_power2"),
    "derivatives": ("", "_derivative1"),
    "full": ("", "_derivative1", "_power2", "_derivative1_power2"),
}
"""Columns that fMRIPrep derives from a basic one, by the names that nilearn gives the choices."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """Which confounds are regressed out; read from a TOML file.

    Attributes
    ----------
    name, description : str
        What it is called, and what it does in a sentence for the methods section.
    citations : tuple of str
        DOIs.
    motion, white_matter, csf, global_signal : {"", "basic", "power2", "derivatives", "full"}
        The columns themselves, with squares, with derivatives, or with all of them.
    compcor_components : int
        Number of anatomical CompCor components, each of white matter and cerebrospinal fluid.
    compcor_variance : float
        Instead of a number: as many components as explain this share of each tissue's variance; 0 for none.
    cosines : bool
        fMRIPrep's drift terms; they are left out when the filter removes those frequencies anyway.
    columns : tuple of str
        Further columns by name, or by pattern: ``aroma_motion_*``.
    censor_before, censor_after : int
        Volumes before and after each censored one that are censored with it.
    min_segment : int
        Stretches of fewer kept volumes are censored.
    """

    name: str
    description: str = ""
    citations: tuple[str, ...] = ()
    motion: Terms = ""
    white_matter: Terms = ""
    csf: Terms = ""
    global_signal: Terms = ""
    compcor_components: int = 0
    compcor_variance: float = 0.0
    cosines: bool = False
    columns: tuple[str, ...] = ()
    censor_before: int = 0
    censor_after: int = 0
    min_segment: int = 1


def strategy_names() -> tuple[str, ...]:
    """List the strategies that ship with bids_flex.

    Examples
    --------
    >>> strategy_names()
    ('24P+2P', '24P+acompcor', '36P', 'acompcor50', 'aroma', 'none', 'scrub', 'simple')
    """
    folder = resources.files("bids_flex.data").joinpath("strategies")
    return tuple(sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml")))


def load_strategy(choice: str) -> Strategy:
    """Load a strategy by name or from a TOML file.

    Raises
    ------
    MissingInputError
        When there is no such strategy.
    DatasetFileError
        When the file is wrong; the message names the entry.

    Examples
    --------
    >>> load_strategy("scrub").min_segment
    5
    """
    import tomllib

    if choice in strategy_names():
        text = resources.files("bids_flex.data").joinpath("strategies", f"{choice}.toml").read_text(encoding="utf8")
    elif choice.endswith(".toml") and Path(choice).is_file():
        if told := why_no_toml(Path(choice)):
            raise DatasetFileError(f"{choice} is not a TOML file of a strategy: {told}")
        text = Path(choice).read_text(encoding="utf8", errors="replace")
    else:
        raise MissingInputError(f"there is no strategy {choice!r}: name {', '.join(strategy_names())} or a .toml file")
    try:
        return _strategy(tomllib.loads(text), choice)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise DatasetFileError(f"{choice} is not a TOML file: {error}") from error


def _whole(least: int) -> tuple[Callable[[Any], bool], str]:
    """Ask for a whole number from a least one."""
    return lambda value: type(value) is int and value >= least, f"a whole number from {least}"


def _is_share(value: Any) -> bool:  # noqa: ANN401 - files hold values of any kind
    return type(value) in {int, float} and 0 <= value < 1


def _are_words(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


_TERMS = (lambda value: isinstance(value, str) and value in EXPANSIONS, ", ".join(map(repr, EXPANSIONS)))
_WORDS = (_are_words, "a list of words")

MUST: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("motion", "white_matter", "csf", "global_signal"), _TERMS),
    **dict.fromkeys(("compcor_components", "censor_before", "censor_after"), _whole(0)),
    "min_segment": _whole(1),
    "compcor_variance": (_is_share, "a share from 0 to less than 1"),
    **dict.fromkeys(("columns", "citations"), _WORDS),
    "cosines": (lambda value: type(value) is bool, "true or false"),
    "description": (lambda value: isinstance(value, str), "text"),
}
"""What the entries of a strategy must be."""


def _strategy(table: dict[str, Any], source: str) -> Strategy:
    """Check the entries of a strategy."""
    known = {field.name for field in fields(Strategy)}
    if unknown := sorted(set(table) - known):
        raise DatasetFileError(f"{source}: no such entry: {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    for name, (holds, wanted) in MUST.items():
        if name in table and not holds(table[name]):
            raise DatasetFileError(f"{source}: {name} is {brief(table[name])}; it must be {wanted}")
    if table.get("compcor_variance") and table.get("compcor_components"):
        raise DatasetFileError(f"{source}: name compcor_components or compcor_variance, not both")
    if not isinstance(table.get("name"), str) or not table["name"]:
        raise DatasetFileError(f"{source}: a strategy needs a name")
    return Strategy(**{**table, **{name: tuple(table.get(name, ())) for name in ("columns", "citations")}})
