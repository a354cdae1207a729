"""Figures of a group comparison: rainclouds, forests, evidence, sensitivity, brain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bids_flex.errors import DatasetFileError
from bids_flex.reports.brain import draw_maps
from bids_flex.reports.group_results import groups_of, rows_of
from bids_flex.reports.style import GREY, colour, new_figure
from bids_flex.words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from bids_flex.reports.group_results import ModelResults

    Floats = NDArray[np.float64]

MEASURES = ("flexibility", "promiscuity")
ROW_IN = 0.28
"""Height of a row of a forest: two lines of its labels' type."""
OTHERWISE = {"promiscuity_rarefied": "promiscuity", "split_half_flexibility": "flexibility"}
"""Measures of sensitivity analyses, and those that they stand beside."""
EQUAL, DIFFERENT, OPEN = "no difference", "difference", "cannot tell"
MARKS = {EQUAL: ("s", "#117733"), DIFFERENT: ("D", "#882255"), OPEN: ("o", "#ffffff")}


def draw_rainclouds(model: ModelResults) -> tuple[Figure, str]:
    """Draw whole-brain flexibility and promiscuity of the primary engine by group, as measured and adjusted."""
    table, groups = model.table("tested"), groups_of(model)
    figure = new_figure(9, 2.2 + 1.2 * len(groups.names))
    told = []
    for row, measure in zip(figure.subplots(2, 2), MEASURES, strict=True):
        values = table[f"{model.primary}_{measure}"].to_numpy(dtype=float)
        for axes, shown, how in zip(row, (values, groups.adjusted(values)), ("as measured", "adjusted"), strict=True):
            _clouds(axes, shown, groups.members, groups.names)
            axes.set_title(f"{measure}, {how}")
        told.append(f"{measure}: {_means(values, groups.members, groups.names)}")
    return figure, (
        f"Points are people, boxes quartiles and median, clouds densities, by group ({model.primary}). Adjusted: "
        f"without the effects of covariates. Means as measured, {'; '.join(told)}."
    )


def draw_quality(model: ModelResults) -> tuple[Figure, str]:
    """Draw motion and usable minutes by group."""
    table, groups = model.table("tested"), groups_of(model)
    names = [name for name in ("mean_fd", "share_kept", "kept_minutes") if table[name].notna().any()]
    if not names:
        raise DatasetFileError("nothing is known of the quality of the data")
    figure = new_figure(9, 1 + 0.7 * len(groups.names))
    units = {"mean_fd": "mean displacement (mm)", "share_kept": "share kept", "kept_minutes": "usable minutes"}
    told = []
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        values = table[name].to_numpy(dtype=float)
        _clouds(axes, values, groups.members, groups.names)
        axes.set_title(units[name])
        told.append(f"{units[name]}: {_means(values, groups.members, groups.names)}")
    return figure, f"Quality of the data by group. Means, {'; '.join(told)}."


def draw_null(model: ModelResults) -> tuple[Figure, str]:
    """Draw by group what is left of flexibility beyond surrogates, for each engine that has them."""
    table, groups = model.table("tested"), groups_of(model)
    names = [name for name in table.columns if name.endswith("_flexibility_excess") and table[name].notna().any()]
    if not names:
        raise DatasetFileError("there are no null models for everybody: --n-surrogates makes them")
    figure = new_figure(9, 1 + 0.7 * len(groups.names))
    told = []
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        values = table[name].to_numpy(dtype=float)
        _clouds(axes, values, groups.members, groups.names)
        axes.axvline(0, color=GREY, ls="--", lw=1)
        engine = name.split("_", maxsplit=1)[0]
        axes.set_title(f"{engine}: excess of flexibility")
        told.append(f"{engine}: {_means(values, groups.members, groups.names)}")
    return figure, (
        "Flexibility minus its mean in surrogates without switching; dashed: none. Of prior it says whether there is "
        "more "
        f"than noise, not how much. Means, {'; '.join(told)}."
    )


def _means(values: Floats, members: NDArray[np.int64], names: Sequence[str]) -> str:
    """Write the mean of each group; nobody with a value is said."""
    told = []
    for place, name in enumerate(names):
        own = values[(members == place) & np.isfinite(values)]
        told.append(f"{name} {own.mean():.3g} (n = {own.size})" if own.size else f"{name}: nobody")
    return ", ".join(told)


def _clouds(axes: Axes, values: Floats, members: NDArray[np.int64], names: Sequence[str]) -> None:
    """Draw points, box and density of each group, one below the other."""
    from scipy.stats import gaussian_kde

    # where points stand must not differ from call to call
    jitter = np.random.default_rng(0).uniform(-0.08, 0.08, len(values))
    for place in range(len(names)):
        own = (members == place) & np.isfinite(values)
        points = values[own]
        if not points.size:
            continue
        axes.plot(points, place + 0.2 + jitter[own], "o", color=colour(place), mec="black", mew=0.3, ms=4, alpha=0.7)
        axes.boxplot(
            points,
            positions=[place],
            orientation="horizontal",
            widths=0.14,
            showfliers=False,
            medianprops={"color": "black", "lw": 2},
        )
        if points.size > 2 and np.ptp(points) > 0:
            grid = np.linspace(points.min() - 0.2 * np.ptp(points), points.max() + 0.2 * np.ptp(points), 100)
            density = gaussian_kde(points)(grid)
            axes.fill_between(
                grid, place - 0.12, place - 0.12 - 0.32 * density / density.max(), color=colour(place), lw=0
            )
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.55, -0.6)


def draw_forest(model: ModelResults) -> tuple[Figure, str]:
    """Draw effect sizes of planned contrasts with their intervals: whole brain and networks."""
    tests = model.table("tests")
    chosen = tests[
        (tests["engine"] == model.primary)
        & tests["measure"].isin(MEASURES)
        & tests["level"].isin(["global", "network"])
        & (tests["effect_kind"] == "g")
    ]
    if chosen.empty:
        raise DatasetFileError("no planned contrast of the whole brain or a network could be tested")
    contrasts, places = (
        list(chosen["contrast"].unique()),
        list(chosen["network"].fillna("whole brain").replace("", "whole brain").unique()),
    )
    figure = new_figure(9, (1 + ROW_IN * len(places)) * len(contrasts) + 0.4)
    for row, contrast in zip(figure.subplots(len(contrasts), 2, squeeze=False, sharex=True), contrasts, strict=True):
        for axes, measure in zip(row, MEASURES, strict=True):
            own = chosen[(chosen["contrast"] == contrast) & (chosen["measure"] == measure)]
            _forest(axes, own, places)
            axes.set_title(f"{contrast}: {measure}")
    figure.supxlabel("Hedges g with 95 % interval; filled: corrected p < .05", fontsize=9)
    low = chosen[chosen["p_adj"] < 0.05]
    return figure, (
        f"Effect sizes of {counted(len(contrasts), 'contrast')}, whole brain and networks; {len(low)} of {len(chosen)} "
        f"{'has' if len(low) == 1 else 'have'} a corrected p below .05."
    )


def _forest(axes: Axes, rows: pd.DataFrame, places: Sequence[str]) -> None:
    """Draw one contrast of one measure."""
    for row in rows_of(rows):
        if not np.isfinite(row.effect):
            continue
        place = places.index(row.network if isinstance(row.network, str) and row.network else "whole brain")
        axes.plot([row.effect_low, row.effect_high], [place, place], color="black", lw=1.2)
        filled = "black" if row.p_adj < 0.05 else "white"
        axes.plot(row.effect, place, "s" if place == 0 else "o", color=filled, mec="black", ms=6)
    axes.axvline(0, color=GREY, lw=0.8, ls="--")
    axes.set_yticks(range(len(places)), places)
    # not left to the data: rows without a value would be cut, and panels side by side have unlike rows
    axes.set_ylim(len(places) - 0.5, -0.5)


def verdict(row: Any) -> str:  # noqa: ANN401 - a row of the table of tests
    """Say what a contrast allows to say: a difference, none larger than the bound, or neither.

    A difference when the corrected permutation p is below .05; no difference when the equivalence test's p is; both
    (a difference smaller than the bound) counts as a difference.
    """
    if row.p_adj < 0.05:
        return DIFFERENT
    return EQUAL if row.tost_p < 0.05 else OPEN


def draw_evidence(model: ModelResults) -> tuple[Figure, str]:
    """Draw for each primary contrast the interval of the equivalence test, and what it allows to say."""
    tests = model.table("tests")
    chosen = tests[(tests["family"] == "primary") & (tests["test"] == "t") & tests["tost_low"].notna()]
    if chosen.empty:
        raise DatasetFileError("no primary contrast could be tested for equivalence")
    figure = new_figure(9, 1.2 + 0.45 * len(chosen))
    axes = figure.subplots()
    bound = float(chosen["tost_bound"].iloc[0])
    axes.axvspan(-bound, bound, color="#e6f2ea", lw=0)
    told, names = [], []
    for place, row in enumerate(rows_of(chosen)):
        what = verdict(row)
        mark, filled = MARKS[what]
        axes.plot([row.tost_low, row.tost_high], [place, place], color="black", lw=1.4)
        axes.plot((row.tost_low + row.tost_high) / 2, place, mark, color=filled, mec="black", ms=8)
        axes.annotate(f"{what}; BF10 = {row.bf10:.3g}", (1.01, place), xycoords=("axes fraction", "data"), va="center")
        names.append(f"{row.measure}: {row.contrast}")
        told.append(f"{names[-1]}: {what} (BF10 {row.bf10:.3g}, equivalence p {row.tost_p:.3g})")
    axes.axvline(0, color=GREY, lw=0.8, ls="--")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel(f"g, 90 % interval of the equivalence test; green: differences up to the bound of {bound:g}")
    return figure, f"What the primary contrasts allow to say. {'; '.join(told)}."


def draw_sensitivity(model: ModelResults) -> tuple[Figure, str]:
    """Draw the primary contrasts beside the same questions asked otherwise."""
    import pandas as pd

    tests, others = model.table("tests"), model.table("sensitivity")
    first = tests[(tests["family"] == "primary") & (tests["effect_kind"] == "g")].assign(analysis="primary")
    if "effect_kind" in others:
        first = pd.concat([first, others[others["effect_kind"] == "g"]], ignore_index=True)
    first["measure"] = first["measure"].replace(OTHERWISE)
    contrasts, analyses = list(first["contrast"].unique()), list(first["analysis"].unique())
    if not contrasts:
        raise DatasetFileError("no primary contrast could be tested")
    untested = [name for name in dict.fromkeys(others["analysis"]) if name not in analyses]
    figure = new_figure(9, (0.9 + ROW_IN * len(analyses)) * len(contrasts) + 0.4)
    for row, contrast in zip(figure.subplots(len(contrasts), 2, squeeze=False, sharex=True), contrasts, strict=True):
        for axes, measure in zip(row, MEASURES, strict=True):
            own = first[(first["contrast"] == contrast) & (first["measure"] == measure)]
            _forest(axes, own.assign(network=own["analysis"]), analyses)
            axes.set_title(f"{contrast}: {measure}")
        row[1].set_yticklabels([])
    figure.supxlabel("Hedges g with 95 % interval; filled: corrected p < .05 within its analysis", fontsize=9)
    others_told = counted(len(analyses) - 1, "sensitivity analysis", "sensitivity analyses")
    without = f" Without a test, for the reason in the table: {', '.join(untested)}." if untested else ""
    return figure, f"The primary contrasts and {others_told}: {', '.join(analyses)}.{without}"


def draw_region_maps(model: ModelResults, contrast: str) -> tuple[Figure, str]:
    """Draw the effect sizes of regions on the brain, with lines around those below .05."""
    tests = model.table("tests")
    chosen = tests[(tests["level"] == "region") & (tests["engine"] == model.primary) & (tests["contrast"] == contrast)]
    if model.atlas is None:
        raise DatasetFileError("the outputs hold no atlas: run the participant level again")
    maps, outlines, told = {}, {}, []
    for measure in MEASURES:
        own = chosen[chosen["measure"] == measure].set_index("region")
        if own["effect"].notna().any():
            title = f"{measure}: {'g' if (own['effect_kind'] == 'g').any() else 'partial eta squared'}"
            maps[title], outlines[title] = own["effect"], (own["p_adj"] < 0.05, own["p_perm"] < 0.05)
            corrected, uncorrected = (int(one.sum()) for one in outlines[title])
            told.append(f"{measure}: {counted(corrected, 'region')} corrected, {uncorrected} uncorrected")
    if not maps:
        raise DatasetFileError("no region could be tested")
    figure, _ = draw_maps(model.atlas, maps, symmetric=bool((chosen["effect_kind"] == "g").any()), outlines=outlines)
    return figure, (
        f"{contrast}: effect sizes of regions; thick lines: corrected p < .05 (max-T), thin lines: uncorrected. "
        f"{'; '.join(told)}."
    )
