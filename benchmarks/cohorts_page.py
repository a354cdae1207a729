"""False positives, power and reliability of whole studies: the page, its tables and figures (see ``cohorts.py``)."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import study_page
from bank import MINUTES, pack, read_bank
from cohorts import EFFECTS, GLOBAL, GLOBAL_HELD, HELD, NEAR, OBSERVED, SPREAD, UNEQUAL, Bank, agreement, asked, shares

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ADJUSTED = "motion (adjusted)"
MARK = "## Size of the bank"
"""Words above it are kept when the page is made anew."""


def whiskers(axes: Axes, x: np.ndarray, here: pd.DataFrame, value: str, label: str) -> None:
    """Draw values with their intervals."""
    error = [here[value] - here["low"], here["high"] - here[value]]
    axes.errorbar(x, here[value], error, fmt="o-" if len(x) == len(MINUTES) else "o", ms=3, lw=1, label=label)


def plain(found: pd.DataFrame) -> pd.DataFrame:
    """Leave networks, regions and adjusted tests to the tables: figures with all of them cannot be read."""
    whole = found[found["outcome"].isin([*GLOBAL, *GLOBAL_HELD])]
    return whole[~whole["adjusted"]] if "adjusted" in whole else whole


def draw_false(found: pd.DataFrame) -> Figure:
    """Draw the share of false positives by what is unequal, at ten minutes."""
    from matplotlib.figure import Figure

    none = plain(found).query("effect == 0 and minutes == 10")
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, test in zip(panels, ("medication", "diagnosis"), strict=True):
        for place, (outcome, here) in enumerate(none[none["test"] == test].groupby("outcome", sort=False)):
            at = np.array([list(UNEQUAL).index(one) for one in here["unequal"]]) + (place - 4) * 0.09
            whiskers(axes, at, here, "share", str(outcome))
        axes.axhline(0.05, color="0.6", lw=0.8)
        axes.set_xticks(range(len(UNEQUAL)), [name.replace(", ", ",\n") for name in UNEQUAL], fontsize=8)
        axes.set(title=f"{test}, no effect", xlabel="what one group has more of", ylim=(0, 1.03))
    figure.legend(*panels[-1].get_legend_handles_labels(), fontsize=7, loc="outside right center")
    figure.supylabel("share of p < .05")
    return figure


def draw_power(found: pd.DataFrame) -> Figure:
    """Draw power over minutes, a panel for each effect."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.8), layout="constrained")
    panels = figure.subplots(1, len(EFFECTS) - 1, sharey=True)
    for axes, effect in zip(panels, EFFECTS[1:], strict=True):
        here = plain(found).query("effect == @effect").sort_values("minutes")
        for outcome, one in here.groupby("outcome", sort=False):
            whiskers(axes, one["minutes"].to_numpy(), one, "share", str(outcome))
        axes.axhline(0.05, color="0.6", lw=0.8)
        axes.set(title=f"effect {effect / SPREAD:g} sd", xlabel="minutes", ylim=(0, 1.03))
    figure.legend(*panels[0].get_legend_handles_labels(), fontsize=7, loc="outside right center")
    figure.supylabel("power")
    return figure


def draw_reliability(found: pd.DataFrame) -> Figure:
    """Draw ICC over minutes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axes = figure.subplots()
    for outcome, here in plain(found).groupby("outcome", sort=False):
        whiskers(axes, here["minutes"].to_numpy(), here, "icc", str(outcome))
    axes.axhline(0, color="0.6", lw=0.8)
    axes.set(xlabel="minutes", ylabel="ICC(1)", ylim=(-0.2, 1.03))
    figure.legend(fontsize=7, loc="outside right center")
    return figure


def draw(found: pd.DataFrame, agreed: pd.DataFrame, folder: Path) -> None:
    """Save the figures; the same numbers give the same bytes."""
    import matplotlib as mpl

    figures = {
        "false-positives": (draw_false(found), "False positives"),
        "power": (draw_power(found), "Power over minutes"),
        "reliability": (draw_reliability(agreed), "Reliability over minutes"),
    }
    with mpl.rc_context({"svg.hashsalt": "bids_flex", "svg.fonttype": "none"}):
        for name, (figure, title) in figures.items():
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None, "Title": title})


def markdown(table: pd.DataFrame, rows: Sequence[str], column: str, value: str = "share") -> str:
    """Write shares, intervals beside them unless they are coverages; one column for each value of a setting."""
    cell = [
        f"{row[value]:.3f}" if value == "covered" else f"{row[value]:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
        for _, row in table.iterrows()
    ]
    wide = table.assign(cell=cell).pivot_table(
        index=list(rows), columns=column, values="cell", aggfunc="first", sort=False
    )
    wide = wide.fillna("n/a").reset_index()
    return study_page.markdown(wide.rename(columns=str))


def false_positives(found: pd.DataFrame, test: str) -> str:
    """Write the table of a test without effect: ten minutes whatever is unequal, then every length of scan."""
    none = found.query("effect == 0 and test == @test")
    named = none.assign(unequal=np.where(none["adjusted"], ADJUSTED, none["unequal"]))
    ten, over = named.query("minutes == 10"), plain(none)
    return (
        f"### {test.capitalize()}, ten minutes, by what one group has more of\n\n"
        f"{markdown(ten, ['outcome'], 'unequal')}\n\n### {test.capitalize()}, by minutes of scan\n\n"
        f"{markdown(over[over['unequal'].isin(['equal', 'motion', 'noise'])], ['unequal', 'outcome'], 'minutes')}"
    )


def page(found: pd.DataFrame, agreed: pd.DataFrame, table: pd.DataFrame, words: str, cohorts: int) -> str:
    """Write the page: words, then tables and figures."""
    counts = table.groupby("cell")["number"].size()
    held = int(table.groupby("cell")["surrogates"].sum().min()) if len(table) else 0
    equal = plain(found).query("test == 'medication' and unequal == 'equal'")
    made = "*Made by `make calibration`.*"
    more = f" to {counts.max():,}" if counts.max() > counts.min() else ""
    size = (
        f"{len(counts)} cells of {counts.min():,}{more} people, at least {held} of each with surrogates; "
        f"{cohorts:,} cohorts of 207 for each share. In brackets: 95 % intervals. Everything, with the lines left out "
        "here: [cohorts.tsv](cohorts.tsv) and [reliability.tsv](reliability.tsv)."
    )
    return "\n\n".join(
        [
            words.rstrip(),
            MARK,
            size,
            "## False positives",
            f"![False positives](false-positives.svg)\n\n{made}",
            false_positives(found, "medication"),
            false_positives(found, "diagnosis"),
            "## Power",
            f"![Power](power.svg)\n\n{made}",
            markdown(found[found["effect"] > 0], ["effect", "outcome"], "minutes"),
            "## Intervals",
            f"The share of 95 % intervals of users against non-users that hold the true difference. {made}",
            markdown(equal, ["effect", "outcome"], "minutes", "covered"),
            "## Reliability",
            f"![Reliability](reliability.svg)\n\n{made}",
            markdown(agreed, ["outcome"], "minutes", "icc"),
        ]
    )


def main() -> None:
    """Draw cohorts, and write tables, figures and the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bank", type=Path, default=Path("build/bank"))
    parser.add_argument("--cohorts", type=int, default=2000)
    parser.add_argument("--page", type=Path, default=Path("docs/validation/cohorts.md"), help="keeps its first words")
    given = parser.parse_args()
    table = read_bank(given.bank)
    banks = [Bank(table, names) for names in (OBSERVED, HELD)]
    found = pd.concat(
        [shares(ask, bank, given.cohorts, seed) for seed, ask in enumerate(asked()) for bank in banks],
        ignore_index=True,
    )
    agreed = pd.concat([agreement(table, names) for names in (OBSERVED, HELD)], ignore_index=True)
    if found.empty or agreed.empty:
        raise SystemExit(f"{given.bank} has no cell with {2 * NEAR} people who have surrogates: fill it first")
    folder = given.page.parent
    draw(found, agreed, folder)
    pack(given.bank, table, folder / "bank")
    found.round(4).to_csv(folder / "cohorts.tsv", sep="\t", index=False)
    agreed.round(4).to_csv(folder / "reliability.tsv", sep="\t", index=False)
    words = given.page.read_text().partition(MARK)[0] if given.page.exists() else "# Cohorts\n"
    given.page.write_text(page(found, agreed, table, words, given.cohorts) + "\n")


if __name__ == "__main__":
    main()
