"""Figures of a run's signal: motion, carpet, static connectivity."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bids_flex.errors import DatasetFileError
from bids_flex.reports.run import by_network, facts, networks_of, table
from bids_flex.reports.style import GREY, colour, mark_networks, new_figure
from bids_flex.words import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from bids_flex.reports.run import Order, Run

    Floats = NDArray[np.float64]


def draw_motion(run: Run) -> tuple[Figure, str]:
    """Draw displacement and DVARS over time, censored volumes shaded."""
    traces, told = table(run, "desc-confounds_quality"), facts(run, "desc-confounds_quality")
    tr_s, settings = float(told["RepetitionTime"]), told["Settings"]["denoise"]
    minutes = np.arange(len(traces)) * tr_s / 60
    figure = new_figure(9, 3.2)
    top, bottom = figure.subplots(2, 1, sharex=True)
    for axes, column, name, limit in (
        (top, "framewise_displacement", "displacement (mm)", settings["fd_threshold_mm"]),
        (bottom, "std_dvars", "standardised DVARS", settings["dvars_threshold"]),
    ):
        axes.plot(minutes, traces[column], color="black", lw=0.8)
        axes.axhline(limit, color=GREY, ls="--", lw=0.8)
        axes.set_ylabel(name)
        _shade(axes, traces["kept"].to_numpy() == 0, tr_s)
    bottom.set_xlabel("time (min); shaded: censored; dashed: the limit")
    censored, mean = int((traces["kept"] == 0).sum()), traces["framewise_displacement"].mean()
    return figure, (
        f"Two traces over {minutes[-1]:.1f} min: framewise displacement, mean {mean:.2f} mm, and standardised DVARS; "
        f"{censored} of {counted(len(traces), 'volume')} {'is' if censored == 1 else 'are'} censored."
    )


def _shade(axes: Axes, censored: NDArray[np.bool_], tr_s: float) -> None:
    """Shade censored volumes, neighbours together."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], censored.astype(int), [0]])))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        axes.axvspan((start - 0.5) * tr_s / 60, (stop - 0.5) * tr_s / 60, color="#d0d0d0", lw=0)


def draw_carpet(run: Run) -> tuple[Figure, str]:
    """Draw all regions over time, before and after cleaning, each scaled to its own spread."""
    clean, tr_s = table(run, "stat-mean_timeseries"), float(facts(run, "stat-mean_timeseries")["RepetitionTime"])
    order = by_network(networks_of(run, list(clean.columns)))
    shown = [("after cleaning", clean)]
    if run.path("stat-mean_desc-uncleaned_timeseries.tsv").exists():
        shown.insert(0, ("before cleaning", table(run, "stat-mean_desc-uncleaned_timeseries")))
    figure = new_figure(9, 2.6 * len(shown))
    for axes, (name, series) in zip(
        figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0], shown, strict=True
    ):
        _carpet(axes, _scaled(series.to_numpy(dtype=float))[:, order.places].T, order, tr_s)
        axes.set_title(name)
    axes.set_xlabel("time (min); white: censored or no signal")
    return figure, (
        f"Grey images of {clean.shape[1]} regions, sorted by network, over {len(clean)} volumes: "
        f"{' and '.join(name for name, _ in shown)}. Vertical stripes are changes that all regions share."
    )


def _scaled(series: Floats) -> Floats:
    """Take mean and linear trend out of each region, and divide by its spread."""
    time = np.linspace(-1, 1, len(series))
    out = np.full(series.shape, np.nan)
    for place, column in enumerate(series.T):
        there = np.isfinite(column)
        if there.sum() > 2 and np.ptp(column[there]) > 0:
            left = column[there] - np.polyval(np.polyfit(time[there], column[there], 1), time[there])
            out[there, place] = left / (left.std() or 1)
    return out


def _carpet(axes: Axes, values: Floats, order: Order, tr_s: float) -> None:
    """Show regions by time, with the colours of the networks at the edge."""
    regions, volumes = values.shape
    width = volumes * tr_s / 60
    axes.imshow(
        values,
        aspect="auto",
        cmap="gray",
        vmin=-2,
        vmax=2,
        interpolation="none",
        extent=(0, width, regions - 0.5, -0.5),
    )
    for place, (start, stop) in enumerate(zip(order.bounds, order.bounds[1:], strict=False)):
        axes.plot([-0.006 * width] * 2, [start - 0.5, stop - 0.5], color=colour(place), lw=5, clip_on=False)
    axes.set_xlim(0, width)
    mark_networks(axes, order)
    axes.tick_params(axis="y", pad=8)


def draw_coverage(run: Run) -> tuple[Figure, str]:
    """Draw how much of each region lies in the brain mask, and its temporal signal-to-noise ratio."""
    regions = table(run, "desc-regions_quality")
    limit = float(facts(run, "desc-regions_quality")["Settings"]["denoise"]["min_coverage"])
    order = by_network(networks_of(run, list(regions["region"])))
    known = [name for name in ("coverage", "tsnr") if regions[name].notna().any()]
    if not known:
        raise DatasetFileError("series were read as they are: coverage is not known")
    figure = new_figure(9, 1.6 * len(known) + 0.6)
    places = np.arange(len(regions))
    for axes, name in zip(figure.subplots(len(known), 1, sharex=True, squeeze=False)[:, 0], known, strict=True):
        for place, (start, stop) in enumerate(zip(order.bounds, order.bounds[1:], strict=False)):
            values = regions[name].to_numpy(dtype=float)[order.places[start:stop]]
            axes.bar(places[start:stop], values, width=1, color=colour(place))
        axes.set_ylabel({"coverage": "coverage", "tsnr": "tSNR"}[name])
        if name == "coverage":
            axes.axhline(limit, color=GREY, ls="--", lw=0.8)
    axes.set_xticks(order.middles, order.names, rotation=30, ha="right")
    low = int((regions["coverage"] < limit).sum())
    return figure, (
        f"Bars for {len(regions)} regions, sorted by network: share inside the brain mask, and temporal "
        f"signal-to-noise ratio; {counted(low, 'region has', 'regions have')} less than {limit:.0%} (dashed)."
    )


def draw_connectivity(run: Run) -> tuple[Figure, str]:
    """Draw static connectivity, regions sorted by network."""
    matrix = table(run, "stat-pearsoncorrelation_relmat")
    order = by_network(networks_of(run, list(matrix.columns)))
    values = matrix.to_numpy(dtype=float)[np.ix_(order.places, order.places)]
    inside, outside = _within(values, order)
    figure = new_figure(5.6, 4.8)
    axes = figure.subplots()
    image = axes.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="none")
    mark_networks(axes, order, also_x=True)
    figure.colorbar(image, ax=axes, label="Pearson r", shrink=0.8)
    return figure, (
        f"Matrix of correlations between {len(matrix)} regions, sorted by network: mean {inside:.2f} within networks, "
        f"{outside:.2f} between them."
    )


def _within(values: Floats, order: Order) -> tuple[float, float]:
    """Average a matrix within networks and between them, the diagonal left out."""
    network = np.repeat(np.arange(len(order.names)), np.diff(order.bounds))
    same = network[:, None] == network
    off = ~np.eye(len(values), dtype=bool)
    inside, outside = (float(np.nanmean(values[mask])) for mask in (same & off, ~same))
    return inside, outside
