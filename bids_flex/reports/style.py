"""How figures look: one palette, one style, SVG that is the same every time."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bids_flex.reports.run import Order

# Tol's muted colours (https://personal.sron.nl/~pault/): the colour-blind tell them apart; neighbours differ in
# brightness
PALETTE = (
    *("#332288", "#88ccee", "#117733", "#ddcc77", "#882255", "#44aa99", "#cc6677", "#999933", "#aa4499", "#77aadd"),
    *("#661100", "#bbcc33", "#004488", "#ee8866", "#225522", "#ffaabb"),
)
LACKING = "#ffffff"
GREY = "#6b6b6b"

STYLE: Any = {
    "svg.hashsalt": "bids_flex",
    "svg.fonttype": "none",
    # names come from data sets: a dollar sign in one is a dollar sign
    "text.parse_math": False,
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """Draw in the style of the pages; nothing outside is changed."""
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        yield


def new_figure(width_in: float, height_in: float) -> Figure:
    """Make a figure that no window and no global state knows."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def to_svg(figure: Figure, title: str) -> str:
    """Write a figure as SVG without a date: the same figure gives the same text."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", dpi=150, metadata={"Date": None, "Creator": None, "Title": title})
    return buffer.getvalue()


def colour(number: int) -> str:
    """Give the colour of a network or community by its place; beyond the palette colours come again."""
    return PALETTE[number % len(PALETTE)]


def mark_networks(axes: Axes, order: Order, *, also_x: bool = False) -> None:
    """Name networks beside an image of regions, with lines between them."""
    axes.set_yticks(order.middles, order.names)
    axes.tick_params(length=0)
    for bound in order.bounds[1:-1]:
        axes.axhline(bound - 0.5, color="black", lw=0.5)
        if also_x:
            axes.axvline(bound - 0.5, color="black", lw=0.5)
    if also_x:
        axes.set_xticks(order.middles, order.names, rotation=45, ha="right")


def listed(names: Sequence[str], most: int = 8) -> str:
    """Write names as text; many are counted."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
