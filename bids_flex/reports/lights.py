"""Traffic lights: a figure of quality, its colour, and the rule that gives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Colour = Literal["good", "careful", "bad", "unknown"]


@dataclass(frozen=True, slots=True)
class Light:
    """One figure of a run's quality.

    Attributes
    ----------
    name, value : str
        What, and how much.
    colour : {"good", "careful", "bad", "unknown"}
        By the rule.
    rule : str
        In words.
    """

    name: str
    value: str
    colour: Colour
    rule: str


@dataclass(frozen=True, slots=True)
class _Rule:
    """Limits of a figure: from ``good`` on it is green, from ``careful`` on yellow; which way is which they tell."""

    name: str
    form: str
    good: float
    careful: float
    words: str

    def judge(self, value: float | None, whose: str = "") -> Light:
        """Compare a value with the limits."""
        name = f"{self.name}, {whose}" if whose else self.name
        if value is None or value != value:  # noqa: PLR0124 - NaN
            return Light(name, "not known", "unknown", self.words)
        sign = 1 if self.good > self.careful else -1
        colour: Colour = "good" if sign * value >= sign * self.good else "careful"
        return Light(
            name, self.form.format(value), colour if sign * value >= sign * self.careful else "bad", self.words
        )


OF_RUN = {
    "kept_minutes": _Rule("usable minutes", "{:.1f} min", 20, 10, "green from 20 minutes, yellow from 10 (Yang 2021)"),
    "share_censored": _Rule(
        "censored volumes", "{:.0%}", 0.1, 0.3, "green up to 10 %, yellow up to 30 %, above which z is not given"
    ),
    "mean_fd": _Rule("mean displacement", "{:.2f} mm", 0.25, 0.5, "green up to 0.25 mm, yellow up to 0.5 mm"),
    "degrees_of_freedom": _Rule(
        "degrees of freedom", "{:.0f}", 30, 10, "left after cleaning: green from 30; fewer than 10 are refused"
    ),
}
LOST = _Rule("regions lost", "{:.0%}", 0, 0.05, "too little coverage or no signal: green for none, yellow up to 5 %")
PAIRS = _Rule(
    "valid pairs of windows", "{:.0f}", 20, 5, "neighbouring windows, both analysed: green from 20, yellow from 5"
)
UNSETTLED = _Rule(
    "windows not settled", "{:.0%}", 0, 0.05, "still moving after 1000 iterations: green for none, yellow up to 5 %"
)


def lights_of(quality: Mapping[str, Any], summaries: Sequence[Mapping[str, Any]]) -> list[Light]:
    """Judge a run.

    Parameters
    ----------
    quality : mapping
        Quality figures of the run, as in its sidecars.
    summaries : sequence of mapping
        Of its engines.

    Examples
    --------
    >>> told = {"Engine": "prior", "Regions": {"Searched": 9, "InAtlas": 10}, "Windows": {"ValidPairs": 7}}
    >>> [light.colour for light in lights_of({"kept_minutes": 20.0, "mean_fd": 0.3}, [told])]
    ['good', 'unknown', 'careful', 'unknown', 'bad', 'careful']
    """
    regions = summaries[0]["Regions"]
    lost = 1 - regions["Searched"] / regions["InAtlas"] if regions["InAtlas"] else None
    return [
        *(rule.judge(quality.get(name)) for name, rule in OF_RUN.items()),
        LOST.judge(lost),
        *(light for one in summaries for light in _of_engine(one)),
    ]


def _of_engine(found: Mapping[str, Any]) -> Iterator[Light]:
    """Judge what an engine made of a run."""
    windows = found["Windows"]
    yield PAIRS.judge(windows["ValidPairs"], found["Engine"])
    if "Convergence" in found and windows["Analysed"]:
        yield UNSETTLED.judge(found["Convergence"]["WindowsNotConverged"] / windows["Analysed"], found["Engine"])
