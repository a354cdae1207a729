"""Whether runs can be compared: repetition time, windows and length, and what to do where they differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bids_flex.cohort.people import few
from bids_flex.errors import DatasetFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pandas as pd

    from bids_flex.cohort.facts import Facts
    from bids_flex.config import Equalise

COVARIATES = ("valid_pairs", "repetition_time", "window_length")

_DESIGN: tuple[tuple[str, str, Callable[[Facts], float]], ...] = (
    ("repetition times", " s", lambda one: one.tr_s),
    ("window lengths", " s", lambda one: one.window_s),
    ("window steps", " s", lambda one: one.step_s),
    ("numbers of windows before censoring", "", lambda one: one.planned),
)
_KEPT: tuple[tuple[str, str, Callable[[Facts], float]], ...] = (
    ("numbers of analysed windows", "", lambda one: one.windows),
    ("numbers of valid window pairs", "", lambda one: one.pairs),
)


def differences(facts: Mapping[str, Sequence[Facts]], *, design: bool) -> list[str]:
    """Say how the runs of each engine differ: in how they were acquired, or in what censoring has left of them."""
    told = []
    for engine, runs in facts.items():
        for what, unit, value in _DESIGN if design else _KEPT:
            groups: dict[float, list[str]] = {}
            for one in runs:
                groups.setdefault(round(float(value(one)), 6), []).append(one.name)
            if len(groups) > 1:
                told.append(f"{engine}: runs have different {what}: {_named(groups, unit)}")
    return told


def _named(groups: Mapping[float, Sequence[str]], unit: str) -> str:
    """Name some runs of each value; many values are given as a range."""
    ordered = sorted(groups.items())
    if len(ordered) > 4:
        (low, first), (high, last) = ordered[0], ordered[-1]
        return f"{low:g}{unit} (such as {first[0]}) to {high:g}{unit} (such as {last[0]})"
    return "; ".join(f"{value:g}{unit} ({few(names)})" for value, names in ordered)


def refuse_unequal(facts: Mapping[str, Sequence[Facts]]) -> None:
    """Refuse runs that were acquired or windowed differently.

    Raises
    ------
    DatasetFileError
        With the runs' names. What censoring alone has made different is no reason.
    """
    if told := differences(facts, design=True):
        raise DatasetFileError(
            f"{'; '.join(told)}: leave runs out, or choose --equalise truncate or covariate instead of refuse"
        )


def cuts(facts: Mapping[str, Sequence[Facts]], equalise: Equalise) -> dict[str, int]:
    """Find the number of windows to which each engine's runs are cut; an engine with equal runs is not named."""
    if equalise != "truncate":
        return {}
    found = {}
    for engine, runs in facts.items():
        numbers = {one.windows for one in runs}
        if len(numbers) > 1:
            found[engine] = min(numbers)
    return found


def told_of(facts: Mapping[str, Sequence[Facts]], cut: Mapping[str, int], covariates: Iterable[str]) -> list[str]:
    """Say what differs between runs, and what was done about it."""
    consequence = {True: "measures depend on it", False: "promiscuity and dwell depend on it"}
    told = [f"{text}: {consequence[design]}." for design in (True, False) for text in differences(facts, design=design)]
    for engine, windows in cut.items():
        told.append(
            f"{engine}: every run was cut to its first {windows} windows and measured anew; excess and z are left out, "
            "because surrogates were of whole runs. Quality is of whole runs."
        )
        if engine == "multilayer":
            told.append(
                "multilayer: after the cut, measures are of the labelling of highest quality alone, not averages over "
                "restarts, and that labelling was found on whole runs."
            )
    if names := ", ".join(covariates):
        told.append(f"{names} differ between runs and are to be covariates of every model.")
    return told


def covariates_of(people: pd.DataFrame, equalise: Equalise) -> tuple[str, ...]:
    """Choose the columns that stand for unequal runs: those that vary; windows only at one repetition time."""
    if equalise != "covariate":
        return ()
    varies = [name for name in COVARIATES if people[name].round(6).nunique() > 1]
    return tuple(name for name in varies if name != "window_length" or "repetition_time" not in varies)
