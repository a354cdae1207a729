"""A grid of choices as TOML to universes: scientific settings that differ in the grid's choices alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from importlib import resources
from itertools import product
from pathlib import Path
from reprlib import repr as brief
from typing import TYPE_CHECKING, Any

from bids_flex.checks import check
from bids_flex.config import ENGINES, EngineName, Science, from_dict, read_toml, to_dict
from bids_flex.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bids_flex.config import Config

    Levels = dict[str, list[Any]]

OF_EVERY_RUN = {
    "atlas": "atlas.name",
    "denoise": "denoise.strategy",
    "high_pass": "denoise.high_pass_hz",
    "low_pass": "denoise.low_pass_hz",
    "fd_thresh": "denoise.fd_threshold_mm",
    "dvars_thresh": "denoise.dvars_threshold",
    "censor_before": "denoise.censor_before",
    "censor_after": "denoise.censor_after",
    "min_segment": "denoise.min_segment",
    "min_coverage": "denoise.min_coverage",
    "smoothing": "denoise.smoothing_mm",
    "surrogate": "surrogates.kind",
    "random_seed": "random_seed",
}
"""Choices that have nothing to do with the engine, and the settings that they change."""

OF_EVERY_ENGINE = {name: name for name in ("window", "step", "shape", "min_kept", "estimator")}
OF_MULTILAYER = {name: name for name in ("modularity_null", "gamma", "omega", "optimiser", "restarts")}

OF_ENGINE: dict[EngineName, dict[str, str]] = {
    "prior": OF_EVERY_ENGINE,
    "multilayer": {**OF_EVERY_ENGINE, **OF_MULTILAYER},
}
"""Choices of each engine, and its settings that they change."""

CHOICES: tuple[str, ...] = ("engine", *OF_EVERY_RUN, *OF_EVERY_ENGINE, *OF_MULTILAYER)
"""All choices, in the order in which tables list them; each is named as its option of the command line."""

MOST_UNIVERSES = 5000
"""A grid of more is a mistake: each universe is a data set."""


@dataclass(frozen=True, slots=True)
class Universe:
    """One way to analyse the study.

    Attributes
    ----------
    science : Science
        Its settings; they have one engine.
    levels : tuple of (str, str)
        What it has chosen, as text, of every choice of the grid that its engine knows; the engine first.
    """

    science: Science
    levels: tuple[tuple[str, str], ...]

    @property
    def engine(self) -> EngineName:
        """The engine."""
        return self.science.engines[0]

    def __str__(self) -> str:
        return ", ".join(f"{name} {level}" for name, level in self.levels)


def read_universes(source: str, config: Config) -> tuple[Universe, ...]:
    """Read a grid and write its universes out.

    Parameters
    ----------
    source : str
        A TOML file, or ``default``.
    config : Config
        The call: what the grid does not name is as it says.

    Returns
    -------
    tuple of Universe
        In the order of the grid, its last list changing fastest.

    Raises
    ------
    MissingInputError
        When there is no such file.
    UsageError
        When the grid names what is no choice, pairs what cannot go together, or has no universe.
    """
    where = f"--multiverse {source}"
    table = _read(source)
    rules = _rules(table.pop("exclude", []), where)
    by_engine = _by_engine(table, config.science, where)
    count = sum(math.prod(map(len, levels.values())) for levels in by_engine.values())
    if count > MOST_UNIVERSES:
        raise UsageError(f"{where}: {count} universes; {MOST_UNIVERSES} are the most: name fewer levels")
    _check_rules(rules, by_engine, where)
    named = [
        (engine, dict(zip(levels, chosen, strict=True)))
        for engine, levels in by_engine.items()
        for chosen in product(*levels.values())
    ]
    kept = [(engine, chosen) for engine, chosen in named if not any(_holds(rule, engine, chosen) for rule in rules)]
    if not kept:
        raise UsageError(f"{where}: no universe is left of {count}: exclude fewer, or name more levels")
    universes = tuple(_universe(engine, chosen, config, where) for engine, chosen in kept)
    _refuse_twins(universes, where)
    return universes


def _read(source: str) -> dict[str, Any]:
    """Read the file of a grid."""
    if source != "default":
        return read_toml(Path(source))
    with resources.as_file(resources.files("bids_flex.data").joinpath("multiverse.toml")) as path:
        return read_toml(path)


def _by_engine(table: dict[str, Any], base: Science, where: str) -> dict[EngineName, Levels]:
    """Give the levels of every choice that an engine knows, for each engine of the grid."""
    engines = _engines(table.pop("engine", None), base, where)
    own: dict[EngineName, Any] = {name: table.pop(name) for name in ENGINES if name in table}
    if idle := sorted(set(own) - set(engines)):
        raise UsageError(f"{where}: [{idle[0]}] has choices, but engine names only {', '.join(engines)}: add it there")
    _refuse_unknown(table, where)
    found = {}
    for engine in engines:
        named = own.get(engine, {})
        inside = f"{where}: [{engine}]"
        if not isinstance(named, dict):
            raise UsageError(f"{inside} is {brief(named)}: it must be a table of choices")
        _refuse_unknown(named, inside)
        for name in named:
            _refuse_misplaced(name, engine, inside)
        for name in table:
            _refuse_impossible(name, engine, where)
        if both := sorted(set(table) & set(named)):
            raise UsageError(f"{inside} names {both[0]}, which is named above the tables too: keep one of them")
        levels = {name: _levels(values, f"{where}: {name}") for name, values in {**table, **named}.items()}
        found[engine] = {name: levels[name] for name in CHOICES if name in levels}
    return found


def _engines(given: Any, base: Science, where: str) -> tuple[EngineName, ...]:  # noqa: ANN401 - a value of TOML
    """Read the engines; without a list, those of the call."""
    if given is None:
        return tuple(name for name in ENGINES if name in base.engines)
    for name in _levels(given, f"{where}: engine"):
        if name not in ENGINES:
            raise UsageError(f"{where}: engine {brief(name)} is none of {', '.join(ENGINES)}")
    return tuple(name for name in ENGINES if name in given)


def _levels(values: Any, where: str) -> list[Any]:  # noqa: ANN401 - a value of TOML
    """Read the list of a choice's levels."""
    if not isinstance(values, list) or not values:
        raise UsageError(f"{where} is {brief(values)}: it must be a list of one or more levels, such as [1.0, 1.2]")
    texts = [_text(value) for value in values]
    if twice := sorted({text for text in texts if texts.count(text) > 1}):
        raise UsageError(f"{where} names {twice[0]} twice: levels must have different names")
    return values


def _text(level: Any) -> str:  # noqa: ANN401 - a value of TOML
    """Write a level as tables show it: files by their names, wherever they lie."""
    if isinstance(level, float):
        return f"{level:g}"
    return Path(level).name if isinstance(level, str) and "/" in level else str(level)


def _refuse_unknown(table: Mapping[str, Any], where: str) -> None:
    """Refuse names that are no choice."""
    unknown = sorted(set(table) - set(CHOICES))
    if unknown:
        raise UsageError(f"{where}: no such choice: {', '.join(unknown)}; there are {', '.join(CHOICES)}")


def _refuse_misplaced(name: str, engine: EngineName, where: str) -> None:
    """Refuse a choice in the table of an engine that it does not belong to."""
    if name == "engine" or name in OF_EVERY_RUN:
        raise UsageError(f"{where} names {name}, which is of every engine: put it above the tables")
    _refuse_impossible(name, engine, where)


def _refuse_impossible(name: str, engine: EngineName, where: str) -> None:
    """Refuse what an engine has not, such as gamma of ``prior``."""
    if name not in OF_EVERY_RUN and name not in OF_ENGINE[engine]:
        raise UsageError(
            f"{where}: the engine {engine} has no {name}, so the two cannot be paired: put {name} into [multilayer]"
        )


def _rules(given: Any, where: str) -> list[dict[str, list[Any]]]:  # noqa: ANN401 - a value of TOML
    """Read which combinations are left out."""
    if not isinstance(given, list) or not all(isinstance(one, dict) and one for one in given):
        raise UsageError(f"{where}: exclude is {brief(given)}: write tables, such as [[exclude]] with window = '60s'")
    return [{name: values if isinstance(values, list) else [values] for name, values in rule.items()} for rule in given]


def _check_rules(rules: Sequence[Mapping[str, list[Any]]], by_engine: Mapping[EngineName, Levels], where: str) -> None:
    """Refuse rules that name what the grid does not have: they would leave out nothing."""
    for rule in rules:
        for name, values in rule.items():
            there = [*by_engine] if name == "engine" else [v for one in by_engine.values() for v in one.get(name, [])]
            if odd := [value for value in values if value not in there]:
                raise UsageError(f"{where}: exclude names {name} = {brief(odd[0])}, which the grid does not have")


def _holds(rule: Mapping[str, list[Any]], engine: EngineName, chosen: Mapping[str, Any]) -> bool:
    """Tell whether a rule leaves a combination out; one that lacks a choice of the rule stays."""
    have = {"engine": engine, **chosen}
    return all(name in have and have[name] in values for name, values in rule.items())


def _universe(engine: EngineName, chosen: Mapping[str, Any], config: Config, where: str) -> Universe:
    """Lay what a universe has chosen over the settings of the call."""
    levels = (("engine", engine), *((name, _text(value)) for name, value in chosen.items()))
    told = f"{where}: universe {', '.join(f'{name} {text}' for name, text in levels)}"
    settings = to_dict(config.science)
    settings["engines"] = [engine]
    for path, value in _changes(engine, chosen):
        *tables, last = path.split(".")
        inner = settings
        for name in tables:
            inner = inner.setdefault(name, {})
        inner[last] = value
    science = from_dict(Science, settings, told)
    try:
        check(replace(config, science=science))
    except UsageError as error:
        raise UsageError(f"{told}: {error}; an [[exclude]] leaves it out") from error
    if "surrogate" in chosen and not getattr(science.surrogates, engine):
        raise UsageError(f"{told}: surrogate names a null model, and --n-surrogates asks for none")
    return Universe(science, levels)


def _changes(engine: EngineName, chosen: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Name the settings that a universe changes, and their values."""
    for name, value in chosen.items():
        yield (OF_EVERY_RUN[name] if name in OF_EVERY_RUN else f"{engine}.{OF_ENGINE[engine][name]}"), value


def _refuse_twins(universes: Sequence[Universe], where: str) -> None:
    """Refuse universes that are the same in other words, such as windows of 60s and of 60.0s."""
    seen: dict[Science, Universe] = {}
    for one in universes:
        other = seen.setdefault(one.science, one)
        if other is not one:
            raise UsageError(f"{where}: two universes are the same: {other}, and {one}")


def choice_names(universes: Sequence[Universe]) -> tuple[str, ...]:
    """List the choices that universes were made of, in the order of tables."""
    named = {name for one in universes for name, _ in one.levels}
    return tuple(name for name in CHOICES if name in named)
