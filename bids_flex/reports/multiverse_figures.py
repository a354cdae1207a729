"""Figures of a multiverse: the specification curve with its choices, and what each level of a choice does to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bids_flex.errors import DatasetFileError
from bids_flex.reports.group_results import rows_of
from bids_flex.reports.style import GREY, listed, new_figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIGNIFICANT, OTHER = "#882255", "#4d4d4d"


def draw_curve(curve: pd.DataFrame, choices: Sequence[str]) -> tuple[Figure, str]:
    """Draw a curve: effects sorted, with intervals and the band of the permutations; below, what each has chosen.

    Parameters
    ----------
    curve : pandas.DataFrame
        Rows of one measure and contrast, sorted by rank.
    choices : sequence of str
        Columns of the grid's choices.

    Returns
    -------
    matplotlib.figure.Figure, str
        And the same in words.
    """
    there = curve[curve["effect"].notna()]
    if there.empty:
        raise DatasetFileError("no universe has a result")
    rows = [(name, level) for name in choices for level in _levels(curve, name)]
    figure = new_figure(10, 3.2 + 0.2 * len(rows))
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, max(1.0, 0.2 * len(rows))))
    x = there["rank"].to_numpy(dtype=float)
    effect = there["effect"].to_numpy(dtype=float)
    top.fill_between(x, there["null_low"], there["null_high"], color="#d9d9d9", lw=0, step="mid")
    top.axhline(0, color=GREY, lw=0.8)
    for flag, colour in (("true", SIGNIFICANT), ("false", OTHER)):
        own = (there["significant"] == flag).to_numpy()
        low, high = (there[name].to_numpy(dtype=float)[own] for name in ("effect_low", "effect_high"))
        errors = np.maximum([effect[own] - low, high - effect[own]], 0)
        marker = "D" if flag == "true" else "o"
        top.errorbar(x[own], effect[own], errors, fmt=marker, ms=3.5, lw=0.8, color=colour, mec="black", mew=0.3)
    top.set_ylabel("g, 95 % interval")
    _mark_choices(bottom, curve, rows)
    gone = len(curve) - len(there)
    significant = int((there["significant"] == "true").sum())
    told = (
        f"{len(there)} universes sorted by effect, g from {effect.min():.2f} to {effect.max():.2f}, median "
        f"{np.median(effect):.2f}; {significant} have p below .05 (diamonds)"
    )
    told += f"; {gone} have no result" if gone else ""
    lacking = int((there["lacking"] > 0).sum())
    told += f"; {lacking} lack people whom others have (open squares)" if lacking else ""
    return figure, (
        f"{told}. Intervals are of g by least squares; p is of the statistic that the model asks for. Grey: where 95 % "
        "of the permutations lie. Below: what each universe has chosen."
    )


def _levels(curve: pd.DataFrame, choice: str) -> list[str]:
    """List the levels of a choice, in the order in which numbers or names sort."""
    found = [str(one) for one in curve[choice].dropna().unique()]
    try:
        return sorted(found, key=lambda one: float(one.rstrip("svol")))
    except ValueError:
        return sorted(found)


def _mark_choices(axes: Axes, curve: pd.DataFrame, rows: Sequence[tuple[str, str]]) -> None:
    """Mark the level that each universe has of each choice; gaps in its people are open."""
    for y, (name, level) in enumerate(rows):
        own = curve[curve[name].astype(str) == level]
        whole = own[(own["lacking"] == 0) & own["effect"].notna()]
        short = own[(own["lacking"] > 0) & own["effect"].notna()]
        none = own[own["effect"].isna()]
        axes.plot(whole["rank"], np.full(len(whole), y), "s", color=OTHER, ms=3)
        axes.plot(short["rank"], np.full(len(short), y), "s", mfc="white", mec=OTHER, ms=3)
        places = len(curve) - len(none) + 1 + np.arange(len(none))
        axes.plot(places, np.full(len(none), y), "x", color=SIGNIFICANT, ms=3)
    axes.set_yticks(range(len(rows)), [f"{name.replace('_', ' ')}: {level}" for name, level in rows], fontsize=7)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    for y in range(1, len(rows)):
        if rows[y][0] != rows[y - 1][0]:
            axes.axhline(y - 0.5, color=GREY, lw=0.5)
    axes.set_xlabel("universes, sorted by effect")


def draw_influence(influence: pd.DataFrame, median: float) -> tuple[Figure, str]:
    """Draw the median effect with each level of each choice, and without it.

    Parameters
    ----------
    influence : pandas.DataFrame
        Rows of one measure and contrast.
    median : float
        Of the whole curve.
    """
    if influence.empty:
        raise DatasetFileError("no choice has two levels with a result")
    figure = new_figure(9, 1.2 + 0.26 * len(influence))
    axes = figure.subplots()
    y = np.arange(len(influence))
    axes.axvline(median, color=GREY, lw=1, ls="--")
    axes.axvline(0, color=GREY, lw=0.8)
    for place, row in zip(y, rows_of(influence), strict=True):
        axes.plot([row.median_with, row.median_without], [place, place], color="#bbbbbb", lw=2, zorder=1)
    axes.plot(influence["median_without"], y, "o", mfc="white", mec="black", ms=5, label="universes without it")
    axes.plot(influence["median_with"], y, "D", color=SIGNIFICANT, ms=5, label="universes with it")
    names = [f"{row.choice.replace('_', ' ')}: {row.level}" for row in rows_of(influence)]
    axes.set_yticks(y, names)
    axes.set_ylim(len(influence) - 0.5, -0.5)
    axes.set_xlabel("median effect (g); dashed: all universes")
    axes.legend(loc="best", fontsize=8, frameon=False)
    by_choice = influence.drop_duplicates("choice").sort_values("explained", ascending=False)
    shares = [f"{row.choice.replace('_', ' ')} {row.explained:.0%}" for row in rows_of(by_choice)]
    return figure, (
        "Median effect of the universes with each level, and of all others. Share of the variance of effects that "
        f"lies between the levels of a choice: {listed(shares)}."
    )
