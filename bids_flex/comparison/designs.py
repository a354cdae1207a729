"""The design matrix as a picture."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from bids_flex.stats import ModelDesign


def draw_design(design: ModelDesign) -> str:
    """Draw a design: a row for each person, a column for each regressor.

    Parameters
    ----------
    design : ModelDesign
        Of a model: columns are divided by their largest value (black -1, white 1), weights of contrasts stand below.

    Returns
    -------
    str
        SVG; the same design gives the same text.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    largest = np.abs(design.matrix).max(axis=0)
    scaled = design.matrix / np.where(largest > 0, largest, 1)
    weights = {name: np.atleast_2d(rows) for name, rows in design.contrasts.items()}
    shown = np.vstack(list(weights.values()))
    names = [name if place == 0 else "" for name, rows in weights.items() for place in range(len(rows))]
    with mpl.rc_context({"svg.hashsalt": "bids_flex", "svg.fonttype": "none"}):
        figure = Figure(figsize=(2 + 0.6 * len(design.columns), 5 + 0.3 * len(shown)), layout="constrained")
        top, bottom = figure.subplots(2, 1, height_ratios=(4, max(0.4, 0.25 * len(shown))))
        top.imshow(scaled, aspect="auto", cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
        top.set(ylabel="people", xticks=[], title="Design")
        bottom.imshow(shown, aspect="auto", cmap="PuOr", vmin=-3, vmax=3, interpolation="nearest")
        bottom.set_yticks(range(len(names)), names)
        bottom.set_xticks(range(len(design.columns)), design.columns, rotation=45, ha="right")
        for (row, column), value in np.ndenumerate(shown):
            bottom.text(column, row, f"{value:g}", ha="center", va="center", fontsize=8)
        buffer = io.StringIO()
        # no date: the same design gives the same file
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Title": "Design matrix and contrasts"})
    return buffer.getvalue()
