"""Page and figure of the study (see ``study.py``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

RATES = ("true_rate", "true_rate_SomMot")
COMMAND = "make study"

INTRODUCTION = """\
Broeders et al. (2024, doi 10.1016/j.psychres.2024.115774) found that users of antidepressants have higher flexibility
and promiscuity than non-users and controls, globally and in the sensorimotor network, and that diagnoses do not differ.
Their data, atlas, window and covariates are not public. Here {participants} people are simulated, with the cells of the
table below (margins as in the paper; the cells within them are ours), 100 regions, 240 volumes at 2 s, voxels of 8 mm.

**Diagnosis has no effect. Medication has one**: a region of a non-user or control leaves its network .5 times a minute,
one of a user .75 times, a sensorimotor one of a user once. People differ by a factor whose logarithm has a standard
deviation of .5. Patients move 1.3 times as much as controls.

Both engines ran with {restarts} restarts and {surrogates} surrogates, `prior` on halves of the regions as well
(`--split-half`); `prior` is the primary one. Models have {permutations} permutations and age, sex, education, site and
mean displacement as covariates. Nothing here is about real patients: the page shows whether this app, given such data,
finds what is there and nothing else."""

FINDINGS = """\
`truth` is the effect size of the true rates in the same model: what a measure without error would find. `found` is that
of the measure, `p_adj` corrected over its family by Holm. The marginal test of diagnosis is the paper's; since no
control takes medication, an effect of medication leaks into it. A 95 % interval is in brackets. People differ in their
rates by chance too: a `false` beside a truth of the same size is a fluke of who was drawn, no error of the measure."""

TABLES = f"""\
Tables: [findings](findings.tsv), [every network of both engines](medication.tsv), [sensitivity](sensitivity.tsv). All
made by `{COMMAND}`."""


def draw(people: pd.DataFrame, path: Path) -> None:
    """Draw the truth and the measures by medication, and one against the other."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    order, rng = ("control", "nonuser", "user"), np.random.default_rng(0)
    shown = {
        "true_rate": "departures a minute (truth)",
        "prior_flexibility": "prior flexibility",
        "prior_flexibility_SomMot": "prior flexibility, SomMot",
        "prior_split_half_flexibility": "prior, split-half",
        "multilayer_flexibility_excess": "multilayer flexibility, excess",
    }
    with mpl.rc_context({"svg.hashsalt": "bids_flex", "svg.fonttype": "none"}):
        figure = Figure(figsize=(12, 6), layout="constrained")
        above, below = figure.subplots(2, len(shown))
        for axes, (name, title) in zip(above, shown.items(), strict=True):
            for place, level in enumerate(order):
                values = people.loc[people["antidepressant"] == level, name]
                axes.plot(place + rng.uniform(-0.25, 0.25, len(values)), values, ".", color="0.5", ms=3)
                axes.plot([place - 0.3, place + 0.3], [values.mean()] * 2, color="black")
            axes.set_xticks(range(3), order)
            axes.set_title(title, fontsize=9)
        for axes, (name, title) in zip(below, shown.items(), strict=True):
            against = "mean_fd" if name == "true_rate" else RATES[name.endswith("_SomMot")]
            axes.plot(people[against], people[name], ".", color="0.3", ms=3)
            axes.set(xlabel="mean displacement (mm)" if against == "mean_fd" else "its truth (a minute)", ylabel=title)
        figure.savefig(path, metadata={"Date": None, "Title": "Truth and measures by medication"})


def claims(table: pd.DataFrame) -> list[str]:
    """Say in words what became of the paper's claims here."""
    verdict = dict(zip(table["question"], table["verdict"], strict=True))
    paper = (
        (
            "No difference between diagnoses, in global flexibility and promiscuity",
            [
                "diagnoses differ in global flexibility (user in the model)",
                "diagnoses differ in global promiscuity (user in the model)",
            ],
        ),
        (
            "Users above non-users, globally",
            ["users above non-users: global flexibility", "users above non-users: global promiscuity"],
        ),
        (
            "Users above controls, globally",
            ["users above controls: global flexibility", "users above controls: global promiscuity"],
        ),
        (
            "Users above non-users and controls in the sensorimotor network",
            ["users above non-users: sensorimotor flexibility", "users above controls: sensorimotor flexibility"],
        ),
    )
    told = []
    for claim, names in paper:
        found = [verdict[name] for name in names]
        good = all(one in {"found", "rightly none"} for one in found)
        word = "repeated, and true here" if good else "not repeated in full, though true here"
        told.append(f"- {claim}: **{word}** ({', '.join(found)}).")
    return told


def markdown(table: pd.DataFrame) -> str:
    """Write a table as markdown."""
    lines = [f"| {' | '.join(table.columns)} |", "|---" * len(table.columns) + "|"]
    lines += [f"| {' | '.join(str(value) for value in row)} |" for row in table.itertuples(index=False)]
    return "\n".join(lines)


def page(
    people: pd.DataFrame, table: pd.DataFrame, otherwise: pd.DataFrame, readings: list[str], words: dict[str, int]
) -> str:
    """Write the page: who was simulated, what was found, and what the group page says of it."""
    planted = people.groupby("antidepressant")[[*RATES, "mean_fd"]].mean().round(3).reset_index()
    cells = people.groupby(["group", "antidepressant"]).size().rename("people").reset_index()
    return "\n\n".join(
        [
            "# The study, repeated on data whose truth is known",
            INTRODUCTION.format(**words),
            "## Who was simulated",
            markdown(cells),
            "Departures from home a minute, and motion, as they were planted and drawn:",
            markdown(planted),
            "## What the paper claims, and what was found here",
            "\n".join(claims(table)),
            "## Findings and truth",
            FINDINGS,
            markdown(table.drop(columns="family")),
            "![Truth and measures by medication](measures.svg)",
            f"*Above: by medication, with means. Below: against the truth, and against motion. Made by `{COMMAND}`.*",
            "## Switching or noise?",
            "What the group page says of the contrasts of medication:",
            "\n".join(f"- {text}" for text in readings),
            "## The same question asked otherwise, and the quality of the data",
            markdown(otherwise[otherwise["outcome"].str.contains("flexib|mean_fd|share_kept|autocorr")]),
            TABLES,
        ]
    )
