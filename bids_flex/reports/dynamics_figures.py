"""Figures of communities over time and of what is measured on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bids_flex.reports.communities import read_labels
from bids_flex.reports.run import by_network, facts, networks_of, summary, table
from bids_flex.reports.style import GREY, LACKING, colour, mark_networks, new_figure
from bids_flex.words import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from bids_flex.reports.communities import Labels
    from bids_flex.reports.run import Order, Run

SHOWN = ("flexibility", "promiscuity")
SECOND_LINE = "#882255"
"""Colour of what is drawn beside a black line."""


def draw_communities(run: Run) -> tuple[Figure, str]:
    """Draw the community of every region in every window, both engines on the time axis of motion."""
    series = facts(run, "stat-mean_timeseries")
    traces = table(run, "desc-confounds_quality")
    minutes = len(traces) * float(series["RepetitionTime"]) / 60
    figure = new_figure(9, 1.4 + 2.9 * len(run.engines))
    top, *others = figure.subplots(1 + len(run.engines), 1, sharex=True, height_ratios=[1] + [4] * len(run.engines))
    top.plot((np.arange(len(traces)) + 0.5) * minutes / len(traces), traces["framewise_displacement"], "k", lw=0.7)
    top.set(ylabel="FD (mm)", xlim=(0, minutes), title="motion")
    told: list[str] = []
    names: dict[str, int] = {}
    for axes, engine in zip(others, run.engines, strict=True):
        regions = list(table(run, f"desc-{engine}_dynamics")["region"])
        networks = networks_of(run, regions)
        labels = read_labels(run, engine, networks)
        _stripes(axes, labels, by_network(networks))
        many = counted(len(labels.values), "window")
        axes.set_title(f"{engine}: {many}")
        names |= {name: place for place, name in enumerate(labels.names) if (labels.values == place).any()}
        told.append(f"{engine}: {many}, {np.nanmean(labels.changes):.0%} of regions change per step")
    others[-1].set_xlabel("time (min)")
    _legend(figure, names)
    return figure, (
        "Regions, sorted by network, by windows; the colour is the community. A region that keeps its colour stays. "
        f"{'; '.join(told)}."
    )


def _stripes(axes: Axes, labels: Labels, order: Order) -> None:
    """Show labels on the time axis; windows that were dropped stay white."""
    from matplotlib.colors import ListedColormap

    slots = np.rint((labels.centres_min - labels.centres_min[0]) / labels.step_min).astype(int)
    shown = np.full((labels.values.shape[1], slots[-1] + 1), -1, dtype=np.int64)
    shown[:, slots] = labels.values[:, order.places].T
    colours = ListedColormap([LACKING, *(colour(place) for place in range(len(labels.names)))])
    start = labels.centres_min[0] - labels.step_min / 2
    axes.imshow(
        shown,
        aspect="auto",
        cmap=colours,
        vmin=-1.5,
        vmax=len(labels.names) - 0.5,
        interpolation="none",
        extent=(start, start + shown.shape[1] * labels.step_min, len(shown) - 0.5, -0.5),
    )
    mark_networks(axes, order)


def _legend(figure: Figure, names: dict[str, int]) -> None:
    """Name the colours below the figure."""
    from matplotlib.patches import Patch

    patches = [Patch(facecolor=colour(place), label=name) for name, place in names.items()]
    figure.legend(handles=patches, loc="outside lower center", ncols=min(8, len(patches)), frameon=False, fontsize=8)


def draw_measures(run: Run) -> tuple[Figure, str]:
    """Draw flexibility and promiscuity of the whole brain and of networks beside their null distributions."""
    figure = new_figure(9, 0.9 + 2.6 * len(run.engines))
    told = []
    for row, engine in zip(figure.subplots(len(run.engines), 2, squeeze=False), run.engines, strict=True):
        found = summary(run, engine)
        for axes, measure in zip(row, SHOWN, strict=True):
            _beside_null(axes, found, measure)
            axes.set_title(f"{engine}: {measure}")
        value = found["Global"]["flexibility"]
        null = found.get("NullModel", {}).get("Global", {}).get("flexibility")
        against = f", in surrogates {null['null_mean']:.3f} (sd {null['null_sd']:.3f})" if null else ""
        told.append(f"{engine}: flexibility {value:.3f}{against}")
    figure.supxlabel(
        "dots: observed; bars: mean of the surrogates, and 2 standard deviations to either side", fontsize=8
    )
    return (
        figure,
        f"Measures of the whole brain and of each network beside surrogates without switching. {'; '.join(told)}.",
    )


def _beside_null(axes: Axes, found: dict[str, Any], measure: str) -> None:
    """Draw one measure; places from top to bottom are the whole brain and the networks."""
    null = found.get("NullModel", {})
    places = [("whole brain", found["Global"], null.get("Global", {}))]
    places += [(name, values, null.get("Networks", {}).get(name, {})) for name, values in found["Networks"].items()]
    for place, (_, values, against) in enumerate(places):
        if (one := against.get(measure)) and one.get("null_mean") is not None:
            mean, spread = one["null_mean"], 2 * (one.get("null_sd") or 0)
            axes.barh(place, 2 * spread, left=mean - spread, height=0.6, color="#c8c8c8")
            axes.plot([mean, mean], [place - 0.3, place + 0.3], color=GREY, lw=1)
        if values.get(measure) is not None:
            axes.plot(
                values[measure], place, "o", color="black" if place == 0 else colour(place - 1), mec="black", ms=6
            )
    axes.set_yticks(range(len(places)), [name for name, _, _ in places])
    axes.invert_yaxis()
    axes.grid(axis="x", color="#e5e5e5")
    axes.set_axisbelow(True)


def draw_allegiance(run: Run) -> tuple[Figure, str]:
    """Draw how often two regions are in one community, for each engine."""
    figure = new_figure(4.9 * len(run.engines), 4.4)
    told = []
    for axes, engine in zip(figure.subplots(1, len(run.engines), squeeze=False)[0], run.engines, strict=True):
        matrix = table(run, f"stat-allegiance_desc-{engine}_relmat")
        order = by_network(networks_of(run, list(matrix.columns)))
        values = matrix.to_numpy(dtype=float)[np.ix_(order.places, order.places)]
        image = axes.imshow(values, cmap="viridis", vmin=0, vmax=1, interpolation="none")
        mark_networks(axes, order, also_x=True)
        axes.set_title(engine)
        told.append(f"{engine} {np.nanmean(values[np.triu_indices(len(values), 1)]):.2f}")
    figure.colorbar(image, ax=figure.axes, label="share of windows together", shrink=0.8)
    return figure, f"Allegiance of all pairs of regions, sorted by network; mean: {', '.join(told)}."


def draw_search(run: Run) -> tuple[Figure, str]:
    """Draw what changes over time, and how far restarts of ``multilayer`` agree."""
    restarts = "multilayer" in run.engines
    figure = new_figure(9, 5.4 if restarts else 2.6)
    grid = figure.subplots(3 if restarts else 1, 1, squeeze=False)[:, 0]
    told = []
    for engine in run.engines:
        networks = networks_of(run, list(table(run, f"desc-{engine}_dynamics")["region"]))
        labels = read_labels(run, engine, networks)
        middle = (labels.centres_min[1:] + labels.centres_min[:-1]) / 2
        style = {"prior": "-", "multilayer": "--"}[engine]
        grid[0].plot(middle, labels.changes, style, color="black" if engine == "prior" else SECOND_LINE, label=engine)
    grid[0].set(ylabel="share of regions", title="regions that change, from window to window", xlabel="time (min)")
    grid[0].legend(frameon=False)
    if restarts:
        told.append(_windows_of_search(grid[1], run))
        told.append(_restarts(grid[2], run))
    return figure, f"Change over time, and the search for communities. {' '.join(told)}"


def _windows_of_search(axes: Axes, run: Run) -> str:
    """Draw Q and number of communities of each window."""
    windows = table(run, "desc-multilayer_windows")
    minutes = windows["onset"] / 60
    axes.plot(minutes, windows["window_quality_mean"], color="black")
    axes.set(
        ylabel="Q (line)", title="multilayer: quality and number of communities of each window", xlabel="onset (min)"
    )
    other = axes.twinx()
    other.plot(minutes, windows["window_communities_mean"], "o", color=SECOND_LINE, ms=4)
    other.set_ylabel("communities (dots)", color=SECOND_LINE)
    other.spines["right"].set_visible(True)
    return f"Q of windows {windows['window_quality_mean'].min():.2f} to {windows['window_quality_mean'].max():.2f}."


def _restarts(axes: Axes, run: Run) -> str:
    """Draw the spread of the restarts."""
    restarts = table(run, "desc-multilayer_restarts")
    axes.plot(restarts["quality"], restarts["flexibility"], "o", color="black", ms=4, alpha=0.5)
    axes.set(
        xlabel="Q of the whole labelling", ylabel="mean flexibility", title=f"multilayer: {len(restarts)} restarts"
    )
    return (
        f"{len(restarts)} restarts: Q {restarts['quality'].min():.3f} to {restarts['quality'].max():.3f}, flexibility "
        f"{restarts['flexibility'].min():.3f} to {restarts['flexibility'].max():.3f}."
    )


def draw_agreement(run: Run) -> tuple[Figure, str]:
    """Draw how far the two engines agree, region by region."""
    tables = {engine: table(run, f"desc-{engine}_dynamics").set_index("region") for engine in run.engines}
    one, other = (tables[engine] for engine in run.engines)
    networks = networks_of(run, list(one.index))
    figure = new_figure(9, 4)
    told = []
    for axes, measure in zip(figure.subplots(1, 2), SHOWN, strict=True):
        x, y = one[measure].to_numpy(dtype=float), other[measure].reindex(one.index).to_numpy(dtype=float)
        colours = [colour(list(dict.fromkeys(networks)).index(name)) for name in networks]
        axes.scatter(x, y, c=colours, edgecolors="black", linewidths=0.4, s=28)
        r = _spearman(x, y)
        axes.set(xlabel=run.engines[0], ylabel=run.engines[1], title=f"{measure}: Spearman r = {r:.2f}")
        told.append(f"{measure} {r:.2f}")
    return figure, f"Regions in both engines, coloured by network; rank correlations: {', '.join(told)}."


def _spearman(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Correlate ranks of the regions that both have; NaN where one does not vary."""
    from scipy.stats import spearmanr

    both = np.isfinite(x) & np.isfinite(y)
    if both.sum() < 3 or np.ptp(x[both]) == 0 or np.ptp(y[both]) == 0:
        return float("nan")
    return float(spearmanr(x[both], y[both]).statistic)
