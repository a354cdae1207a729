"""Small derivative trees whose numbers can be checked by hand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from bids_flex.dynamics import profile

if TYPE_CHECKING:
    from pathlib import Path

REGIONS = ("A1", "A2", "B1", "B2")
NETWORKS = ("A", "A", "B", "B")
HELD = ("flexibility", "promiscuity")
STAY = (1, 1, 2, 2)
QUALITY = {
    "mean_fd": 0.1,
    "share_censored": 0.25,
    "kept_minutes": 12.0,
    "degrees_of_freedom": 40.0,
    "mean_absolute_r": 0.2,
    "lag1_autocorrelation": 0.8,
}


def wandering(windows, moves):
    """Labels that stay at home but for ``moves``: {(window, region): label}."""
    labels = np.tile(STAY, (windows, 1))
    for (window, region), label in moves.items():
        labels[window, region] = label
    return labels


SEARCH = {
    "Convergence": {"WindowsNotConverged": 1},
    "OverRestarts": {"Quality": {"Mean": 0.6}, "Communities": {"Mean": 4.5}},
}


def _measured(told, names, null):
    """What a summary says of the whole, of networks and of null models."""
    networks = {name: {m: told.networks[m][i] for m in told.regions} for i, name in enumerate(names)}
    return {"Global": told.whole, "Networks": networks, "NullModel": _null(told, names, null)}


def _windows(count: int, length: float, tr: float, gap_after: int | None, pairs: int) -> dict:
    """What a summary says of its windows."""
    dropped = [] if gap_after is None else [{"Onset": tr * (gap_after + 1), "Reason": "censored"}]
    return {"LengthSeconds": length, "StepSeconds": tr, "Analysed": count, "Dropped": dropped, "ValidPairs": pairs}


def write_run(
    out: Path,
    sub: str,
    labels,
    *,
    ses: str = "",
    run: str = "",
    engine: str = "prior",
    tr: float = 2.0,
    length: float = 60.0,
    gap_after: int | None = None,
    settings: str = "same",
    fd: float = 0.1,
    null: float | None = 0.1,
    regions=REGIONS,
    networks=NETWORKS,
    space: str = "MNI",
    task: str = "rest",
    **changes,
) -> Path:
    """Write one run's summary, table of regions and communities, in the shape of the participant level's.

    ``gap_after`` drops a window behind one, so that the pair across it does not count; ``null`` is every null mean,
    with a standard deviation of .05.
    """
    labels = np.asarray(labels)
    names = tuple(dict.fromkeys(networks))
    onsets = np.arange(len(labels)) * tr
    if gap_after is not None:
        onsets[gap_after + 1 :] += tr
    pairs = np.isclose(np.diff(onsets), tr)
    number = np.array([names.index(name) + 1 for name in networks])
    searched = (labels > 0).any(axis=0)
    told = profile(labels[:, searched], number[searched], pairs, step_s=tr, n_communities=len(names))
    measures = list(told.regions)
    rows = {name: np.full(len(regions), np.nan) for name in measures}
    for name in measures:
        rows[name][searched] = told.regions[name]
    folder = out / f"sub-{sub}" / (f"ses-{ses}" if ses else "") / "func"
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"sub-{sub}" + (f"_ses-{ses}" if ses else "") + f"_task-{task}" + (f"_run-{run}" if run else "")
    stem += f"_space-{space}_atlas-Toy"
    which = {"prior": "prior", "multilayer": "multilayerbest"}[engine]
    _write_labels(folder / f"{stem}_desc-{which}_communities.tsv", labels, onsets, length, regions)
    _write_regions(folder / f"{stem}_desc-{engine}_dynamics.tsv", rows, regions, networks, null)
    missing = {name: "coverage" for name, there in zip(regions, searched, strict=True) if not there}
    summary = {
        "RepetitionTime": tr,
        "SettingsHash": settings,
        "Engine": engine,
        **_measured(told, names, null),
        "Regions": {"InAtlas": len(regions), "Searched": int(searched.sum()), "Missing": missing},
        "Windows": _windows(len(labels), length, tr, gap_after, int(pairs.sum())),
        "Quality": {**QUALITY, "mean_fd": fd},
        **SEARCH,
        **changes,
    }
    path = folder / f"{stem}_desc-{engine}_dynamics.json"
    path.write_text(json.dumps(_plain(summary)))
    return path


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value


def _null(told, names, null):
    if null is None:
        return {"Surrogates": 0}

    def parts(value):
        excess = value - null
        return {"null_mean": null, "null_sd": 0.05, "excess": excess, "z": excess / 0.05, "p_hi": 0.5, "p": 0.04}

    return {
        "Surrogates": 9,
        "Global": {name: parts(told.whole[name]) for name in HELD},
        "Networks": {one: {m: parts(told.networks[m][i]) for m in HELD} for i, one in enumerate(names)},
    }


def _text(value):
    return "n/a" if not np.isfinite(value) else f"{value:.12g}"


def _write_regions(path, rows, regions, networks, null):
    columns = dict(rows)
    for name in HELD if null is not None else ():
        there = np.where(np.isfinite(rows[name]), 1.0, np.nan)
        excess = rows[name] - null
        columns |= {f"{name}_null_mean": null * there, f"{name}_null_sd": 0.05 * there, f"{name}_excess": excess}
        columns |= {f"{name}_z": excess / 0.05, f"{name}_p": 0.04 * there}
    lines = ["\t".join(["region", "network", *columns])]
    for i, region in enumerate(regions):
        lines.append("\t".join([region, networks[i], *(_text(values[i]) for values in columns.values())]))
    path.write_text("\n".join(lines) + "\n")


def _write_labels(path, labels, onsets, length, regions):
    lines = ["\t".join(["onset", "duration", "kept_frames", *regions])]
    for onset, row in zip(onsets, labels, strict=True):
        lines.append("\t".join([f"{onset:g}", f"{length:g}", "30", *(str(v) if v else "n/a" for v in row)]))
    path.write_text("\n".join(lines) + "\n")


def write_people(bids: Path, text: str, name: str = "participants.tsv", described: dict | None = None) -> Path:
    """Write a table of the data set; spaces between values stand for tabulators."""
    path = bids / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join("\t".join(line.split()) for line in text.strip().splitlines()) + "\n")
    if described is not None:
        path.with_suffix(".json").write_text(json.dumps(described))
    return path
