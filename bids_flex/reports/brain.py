"""Regions on the brain: glass views and slices by nilearn, and the data of an interactive view."""

from __future__ import annotations

import base64
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_flex.errors import DatasetFileError
from bids_flex.reports.run import table
from bids_flex.reports.style import new_figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from bids_flex.bids.atlases import KeptAtlas
    from bids_flex.reports.run import Run

MEASURES = ("flexibility", "promiscuity")
NOWHERE = "the atlas does not say where its regions lie (greyordinates, or series without an image)"
COARSE = 2562
"""Vertices of fsaverage4, the first of fsaverage5's."""


def draw_brain(run: Run, engine: str) -> tuple[Figure, str]:
    """Draw flexibility and promiscuity of an engine on the brain.

    Raises
    ------
    DatasetFileError
        When it is not known where regions lie.
    """
    values = table(run, f"desc-{engine}_dynamics").set_index("region")
    if run.atlas is None:
        raise DatasetFileError(NOWHERE)
    figure, extremes = draw_maps(run.atlas, {f"{engine}: {name}": values[name] for name in MEASURES})
    return figure, f"Regions on the brain, glass views and axial slices. Highest: {'; '.join(extremes)}."


def draw_maps(
    atlas: KeptAtlas,
    maps: dict[str, Any],
    *,
    symmetric: bool = False,
    outlines: dict[str, tuple[Any, Any]] | None = None,
) -> tuple[Figure, list[str]]:
    """Draw values of regions, a row for each map.

    Parameters
    ----------
    atlas : KeptAtlas
        Where regions lie.
    maps : dict of str to pandas.Series
        Title to values, indexed by region.
    symmetric : bool
        Colours around 0.
    outlines : dict of str to (pandas.Series, pandas.Series), optional
        For a title, the regions inside thick and inside thin lines on the slices.

    Returns
    -------
    Figure, list of str
        And for each map the region with the highest value.
    """
    from nilearn import plotting

    places = atlas.regions.set_index("name")[["x", "y", "z"]].dropna()
    if places.empty:
        raise DatasetFileError(NOWHERE)
    voxels = _voxels(atlas)
    figure = new_figure(9, 2.3 * len(maps))
    figure.set_layout_engine("none")
    extremes, height = [], 1 / len(maps)
    for row, (title, values) in enumerate(maps.items()):
        known = values.reindex(places.index).astype(float).dropna()
        if known.empty:
            raise DatasetFileError(f"no region of {title} has a value")
        largest = float(np.abs(known).max()) or 1.0
        low, high = (-largest, largest) if symmetric else (float(known.min()), float(known.max()) or 1.0)
        colours, bottom = ("RdBu_r" if symmetric else "viridis"), 1 - (row + 1) * height
        figure.text(0.01, bottom + height - 0.02, title, va="top", fontsize=10)
        glass = plotting.plot_markers(
            known.to_numpy(),
            places.loc[known.index].to_numpy(),
            node_size=25,
            node_cmap=colours,
            node_vmin=low,
            node_vmax=high,
            display_mode="lzr",
            figure=figure,
            axes=(0, bottom, 0.42, height * 0.88),
            colorbar=False,
        )
        _flatten(glass)
        if voxels is not None:
            where = (0.43, bottom, 0.57, height * 0.9)
            slices = _slices(figure, voxels, atlas, values, where, (low, high), colours)
            for shown, width in zip((outlines or {}).get(title, ()), (2.0, 0.7), strict=False):
                if shown.any():
                    lines = _painted(voxels, atlas, shown.astype(float))
                    slices.add_contours(lines, levels=[0.5], colors="black", linewidths=width)
        extremes.append(f"{title}: {known.idxmax()} ({known.max():.3g})")
    return figure, extremes


def _flatten(glass: Any) -> None:  # noqa: ANN401 - nilearn's display
    """Draw the outlines of the glass brain as points: as lines they are most of a page."""
    for one in glass.axes.values():
        for patch in one.ax.patches:
            patch.set_rasterized(True)


def _voxels(atlas: KeptAtlas) -> Any:  # noqa: ANN401 - nibabel has no types
    """Open the image of an atlas that is drawn on voxels."""
    import nibabel as nib

    return nib.load(atlas.image) if atlas.on_voxels else None


def _slices(
    figure: Figure,
    voxels: Any,  # noqa: ANN401 - nibabel has no types
    atlas: KeptAtlas,
    values: Any,  # noqa: ANN401 - a Series
    where: tuple[float, float, float, float],
    limits: tuple[float, float],
    colours: str,
) -> Any:  # noqa: ANN401 - nilearn's display
    """Draw axial slices over the template."""
    from nilearn import plotting

    there = _painted(voxels, atlas, values.notna().astype(float))
    return plotting.plot_img(
        _painted(voxels, atlas, values),
        bg_img=_template(),
        figure=figure,
        axes=where,
        display_mode="z",
        cut_coords=[-24, 4, 32, 58],
        cmap=colours,
        vmin=limits[0],
        vmax=limits[1],
        colorbar=True,
        resampling_interpolation="nearest",
        transparency=there,
        black_bg=False,
        annotate=True,
        draw_cross=False,
    )


def _painted(voxels: Any, atlas: KeptAtlas, values: Any) -> Any:  # noqa: ANN401 - nibabel has no types
    """Give every voxel the value of its region, 0 where there is none."""
    import nibabel as nib

    index = atlas.regions["index"].to_numpy(dtype=np.int64)
    labels = np.asarray(voxels.dataobj).astype(np.int64)
    known = np.zeros(max(int(labels.max()), int(index.max())) + 1)
    known[index] = np.nan_to_num(values.reindex(atlas.regions["name"]).to_numpy(dtype=float))
    return nib.Nifti1Image(known[labels].astype(np.float32), voxels.affine)


@cache
def _template() -> Any:  # noqa: ANN401 - nibabel has no types
    """Load the MNI152 template that nilearn brings along."""
    from nilearn.datasets import load_mni152_template

    return load_mni152_template(resolution=2)


def interactive(atlas: KeptAtlas | None, maps: Sequence[tuple[str, str, Any]]) -> dict[str, Any] | None:
    """Collect what the interactive view draws; None where regions lie nowhere.

    Parameters
    ----------
    atlas : KeptAtlas or None
        Where regions lie.
    maps : sequence of (str, str, pandas.Series)
        Run, name of the map, and values indexed by region.
    """
    if atlas is None:
        return None
    places = atlas.regions.dropna(subset=["x", "y", "z"])
    if places.empty or not maps:
        return None
    return {
        "names": list(places["name"]),
        "networks": [name if isinstance(name, str) else "" for name in places["network"]],
        "x": _rounded(places["x"], 1),
        "y": _rounded(places["y"], 1),
        "z": _rounded(places["z"], 1),
        "maps": [
            {"run": run, "name": name, "values": _rounded(values.reindex(places["name"]), 4)}
            for run, name, values in maps
        ],
        "mesh": mesh(),
    }


def _rounded(values: Any, digits: int) -> list[float | None]:  # noqa: ANN401 - a Series
    """Round for JSON; NaN becomes null."""
    return [None if not np.isfinite(one) else round(float(one), digits) for one in np.asarray(values, dtype=float)]


@cache
def mesh() -> dict[str, Any]:
    """Give the pial surface of both hemispheres, coarse: int16 coordinates in tenths of mm and uint16 triangles.

    fsaverage5's first 2562 vertices are those of fsaverage4, whose triangles are the convex hull of its sphere.
    """
    from nilearn.datasets import load_fsaverage
    from scipy.spatial import ConvexHull

    pial, sphere = (load_fsaverage("fsaverage5")[kind] for kind in ("pial", "sphere"))
    parts: list[NDArray[np.int16]] = []
    faces: list[NDArray[np.uint16]] = []
    for place, side in enumerate(("left", "right")):
        round_ones = np.asarray(sphere.parts[side].coordinates)[:COARSE]
        triangles = ConvexHull(round_ones).simplices + place * COARSE
        parts.append(np.round(np.asarray(pial.parts[side].coordinates)[:COARSE] * 10).astype("<i2"))
        faces.append(triangles.astype("<u2"))
    packed = {"coordinates": np.concatenate(parts), "faces": np.concatenate(faces)}
    return {name: base64.b64encode(np.ascontiguousarray(array).tobytes()).decode() for name, array in packed.items()}


def plotly() -> str:
    """Read the drawing library that nilearn brings along (plotly.js, MIT); empty when it does not."""
    found = resources.files("nilearn") / "_assets" / "js" / "plotly-gl3d-latest.min.js"
    return found.read_text(encoding="utf8") if found.is_file() else ""
