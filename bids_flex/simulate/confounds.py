"""The table of confounds that fMRIPrep would compute from the images and the realignment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bids_flex.simulate.scans import framewise_displacement

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bids_flex.simulate.scans import Brain

    Floats = NDArray[np.float64]

MOTION = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
COMPONENTS = 5
CUTOFF_S = 128.0


def confounds_table(
    images: NDArray[np.float32], motion: Floats, brain: Brain, tr_s: float, non_steady_volumes: int
) -> tuple[pd.DataFrame, dict[str, dict[str, Any]]]:
    """Compute the confounds of a run.

    Parameters
    ----------
    images : ndarray, shape (x, y, z, T)
        The run.
    motion : ndarray, shape (T, 6)
        Realignment parameters in mm and radians.
    brain : Brain
        Where the tissues are.
    tr_s : float
        Repetition time in seconds.
    non_steady_volumes : int
        Volumes at the start to mark.

    Returns
    -------
    pandas.DataFrame
        With the column names of fMRIPrep 25.
    dict
        Content of the JSON file: method and mask of each CompCor component.
    """
    fluid, white = images[brain.tissue == 1].T, images[brain.tissue == 2].T
    whole = images[brain.tissue > 0].T.astype(np.float64)
    columns: dict[str, Floats] = {}
    for name, values in (("global_signal", whole), ("csf", fluid), ("white_matter", white)):
        columns |= _expanded(name, values.mean(axis=1, dtype=np.float64))
    fd = framewise_displacement(motion)
    dvars, std_dvars = _dvars(whole)
    columns |= {"std_dvars": std_dvars, "dvars": dvars, "framewise_displacement": fd}
    cosines = _cosines(len(motion), tr_s)
    described: dict[str, dict[str, Any]] = {
        name: {"Method": "Mean"} for name in ("global_signal", "csf", "white_matter")
    }
    both = np.hstack([fluid, white])
    for prefix, mask, values in (("a", "combined", both), ("c", "CSF", fluid), ("w", "WM", white)):
        found, entries = _compcor(prefix, mask, values.astype(np.float64), cosines)
        columns |= found
        described |= entries
    columns |= {f"cosine{number:02d}": column for number, column in enumerate(cosines.T)}
    for name, values in zip(MOTION, motion.T, strict=True):
        columns |= _expanded(name, values)
    columns |= _spikes("non_steady_state_outlier", np.arange(non_steady_volumes), len(motion))
    columns |= _spikes("motion_outlier", np.flatnonzero((fd > 0.5) | (std_dvars > 1.5)), len(motion))
    return pd.DataFrame(columns), described


def _expanded(name: str, values: Floats) -> dict[str, Floats]:
    """Add derivative, square, and square of the derivative; a derivative has no first value."""
    change = np.concatenate([[np.nan], np.diff(values)])
    return {
        name: values,
        f"{name}_derivative1": change,
        f"{name}_power2": values**2,
        f"{name}_derivative1_power2": change**2,
    }


def _spikes(name: str, volumes: NDArray[np.int64], count: int) -> dict[str, Floats]:
    """Make a column for each marked volume: 1 there, 0 elsewhere."""
    return {f"{name}{number:02d}": np.eye(count)[volume] for number, volume in enumerate(volumes)}


def _dvars(whole: Floats) -> tuple[Floats, Floats]:
    """Compute DVARS, and DVARS divided by what it would be if nothing but AR(1) noise changed (Nichols 2017).

    Parameters
    ----------
    whole : ndarray, shape (T, voxels)
        Signals of the brain.
    """
    scaled = whole * (1000.0 / np.median(whole))
    dvars = np.sqrt((np.diff(scaled, axis=0) ** 2).mean(axis=1))
    low, middle = np.percentile(scaled, [25, 50], axis=0)
    # half of the interquartile range, doubled: the upper half holds the artefacts
    sd = (middle - low) * 2 / 1.349
    centred = scaled - scaled.mean(axis=0)
    ar1 = (centred[1:] * centred[:-1]).sum(axis=0) / (centred**2).sum(axis=0)
    expected = np.sqrt((2 * (1 - ar1) * sd**2).mean())
    return np.concatenate([[np.nan], dvars]), np.concatenate([[np.nan], dvars / expected])


def _cosines(volumes: int, tr_s: float) -> Floats:
    """Make the discrete cosine terms of periods above 128 s, the constant aside; shape (T, terms)."""
    order = int(np.floor(2 * volumes * tr_s / CUTOFF_S))
    time = np.arange(volumes) + 0.5
    terms = [np.cos(np.pi * k * time / volumes) for k in range(1, order + 1)]
    return np.asarray(np.array(terms).reshape(len(terms), volumes).T * np.sqrt(2 / volumes))


def _compcor(
    prefix: str, mask: str, values: Floats, cosines: Floats
) -> tuple[dict[str, Floats], dict[str, dict[str, Any]]]:
    """Take the first principal components of a tissue's voxels, drift removed first (Behzadi et al. 2007)."""
    design = np.column_stack([np.ones(len(values)), cosines])
    residual = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    residual /= np.where(residual.std(axis=0) > 0, residual.std(axis=0), 1.0)
    # eigenvectors of the volumes' products are the components; volumes are far fewer than voxels
    power, vectors = np.linalg.eigh(residual @ residual.T)
    components, singular = vectors[:, ::-1], np.sqrt(np.maximum(power[::-1], 0.0))
    explained = singular**2 / (singular**2).sum()
    names = [f"{prefix}_comp_cor_{number:02d}" for number in range(COMPONENTS)]
    entries = {
        name: {
            "Method": "aCompCor",
            "Mask": mask,
            "Retained": True,
            "SingularValue": round(float(singular[k]), 9),
            "VarianceExplained": round(float(explained[k]), 9),
            "CumulativeVarianceExplained": round(float(explained[: k + 1].sum()), 9),
        }
        for k, name in enumerate(names)
    }
    # the sign of a component is arbitrary: fix it, so that it is the same everywhere
    signs = np.sign(components[np.abs(components).argmax(axis=0), np.arange(components.shape[1])])
    return dict(zip(names, (components * signs).T, strict=False)), entries
