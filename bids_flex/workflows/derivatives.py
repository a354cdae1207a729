"""A run's results as derivatives: tables, matrices, sidecars; the sidecar that says "done" comes last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bids_flex import __version__
from bids_flex.bids.outputs import bids_uri, column_dictionary, output_folder, output_stem, write_table
from bids_flex.config import stated
from bids_flex.workflows import stages

if TYPE_CHECKING:
    from pathlib import Path

    from bids_flex.workflows.stages import Job

ENGINE = "prior"

NOTES = {
    "global signal": (
        "Global signal regression makes anticorrelations, and the prior engine takes |r|: they count as affinity."
    ),
    "amsterdam": (
        "Preset amsterdam approximates the pipeline of Broeders et al. (2024); atlas, window, covariates, tests and "
        "effect sizes of that study are not public."
    ),
    "noise": (
        "Flexibility of the prior engine also rises with noise, without any switching: compare it between people only "
        "beside motion and other measures of quality."
    ),
}
"""What a reader of the numbers must know, in the words of the method."""


def sidecar_path(job: Job) -> Path:
    """Name the file whose presence, with the right hash, says that a run is done."""
    return _path(job, f"desc-{ENGINE}_dynamics").with_suffix(".json")


def _path(job: Job, ending: str) -> Path:
    folder = output_folder(job.output_dir, job.run)
    return folder / f"{output_stem(job.run, dict(job.atlas.entities))}_{ending}.tsv"


def write_derivatives(job: Job, parcellated: Path, cleaned: Path, communities: Path, measures: Path) -> Path:
    """Write everything that a run has come to.

    Returns
    -------
    Path
        The sidecar that is written last.
    """
    coverage, found = stages.load(parcellated)
    clean, facts = stages.load(cleaned)
    searched = stages.load(communities)[0]
    measured, names = stages.load(measures)
    common = _common(job)
    _write_signal(job, coverage, found, clean, facts, common)
    _write_communities(job, clean["keep"], searched, common)
    matrix = pd.DataFrame(measured["allegiance"], columns=list(job.atlas.labels))
    _write_matrix(job, f"stat-allegiance_desc-{ENGINE}_relmat", matrix, "Allegiance: share of windows together", common)
    table = pd.DataFrame(
        {
            "region": job.atlas.labels,
            "network": job.atlas.networks,
            **{name: measured[name] for name in names["measures"]},
        }
    )
    summary = _summary(job, table, clean["keep"], searched, found, facts)
    write_table(_path(job, f"desc-{ENGINE}_dynamics"), table, {**common, **summary})
    return sidecar_path(job)


def _common(job: Job) -> dict[str, Any]:
    """Say what every sidecar of a run says: from which files, with which settings."""
    inputs = (job.run.bold, job.run.mask, job.run.confounds)
    return {
        "RepetitionTime": job.run.tr_s,
        "Sources": [bids_uri(job.run, path) for path in inputs],
        "Atlas": {"Name": job.atlas.name, "Space": job.atlas.space or "unknown", "Regions": len(job.atlas.labels)},
        "Settings": stated(job.science),
        "SettingsHash": job.settings_hash,
        "InputFingerprint": job.fingerprint,
        "SoftwareVersion": __version__,
    }


def _write_signal(
    job: Job,
    coverage: dict[str, Any],
    found: dict[str, Any],
    clean: dict[str, Any],
    facts: dict[str, Any],
    common: dict[str, Any],
) -> None:
    """Write coverage, clean series, static connectivity and quality."""
    labels, settings = list(job.atlas.labels), job.science.denoise
    poor = dict(found["poor"])
    table = pd.DataFrame({"region": labels, "coverage": coverage["coverage"]})
    table["usable"] = ["false" if label in poor else "true" for label in labels]
    write_table(_path(job, "stat-coverage_bold"), table, {**common, "UnusableRegions": poor})
    cleaning = {
        "Strategy": job.strategy.name,
        "ConfoundColumns": facts["confounds"],
        "HighPassHz": settings.high_pass_hz,
        "LowPassHz": settings.low_pass_hz,
        "SkippedVolumes": facts["skipped_volumes"],
        "CensoredVolumes": int((~clean["keep"]).sum()),
        "DegreesOfFreedomLeft": facts["quality"]["degrees_of_freedom"],
    }
    series = pd.DataFrame(clean["series"], columns=labels)
    each = {label: _region_column(job, label, "Clean mean signal; n/a in censored volumes") for label in labels}
    write_table(_path(job, "stat-mean_timeseries"), series, {**common, "Cleaning": cleaning}, each)
    static = pd.DataFrame(clean["static"], columns=labels)
    _write_matrix(job, "stat-pearsoncorrelation_relmat", static, "Pearson r (not z) over the kept volumes", common)
    quality = pd.DataFrame(
        {
            "volume": np.arange(len(clean["keep"])),
            "framewise_displacement": clean["fd"],
            "std_dvars": clean["dvars"],
            "kept": clean["keep"].astype(int),
        }
    )
    extra = {**common, "Cleaning": cleaning, "Quality": facts["quality"], "Notes": facts["notes"]}
    write_table(_path(job, "desc-confounds_quality"), quality, extra)


def _region_column(job: Job, label: str, what: str) -> dict[str, str]:
    """Describe a column that stands for a region."""
    networks = job.atlas.networks or [""] * len(job.atlas.labels)
    return {"LongName": label, "Description": what, "Network": networks[job.atlas.labels.index(label)]}


def _write_matrix(job: Job, ending: str, matrix: pd.DataFrame, what: str, common: dict[str, Any]) -> None:
    """Write a matrix of regions by regions; rows are in the order of the columns."""
    each = {label: _region_column(job, label, f"{what}; rows in the order of the columns") for label in matrix.columns}
    write_table(_path(job, ending), matrix, common, each)


def _write_communities(job: Job, keep: Any, searched: dict[str, Any], common: dict[str, Any]) -> None:  # noqa: ANN401
    """Write the community of every region in every window."""
    plan = stages.plan_of(job, keep)
    names = stages.network_numbers(job.atlas)[1]
    labels = pd.DataFrame(searched["labels"], columns=list(job.atlas.labels)).astype("Int16")
    windows = pd.DataFrame(
        {
            "onset": plan.starts * job.run.tr_s,
            "duration": plan.length * job.run.tr_s,
            "kept_frames": plan.kept_frames,
        }
    )
    levels = {str(number): name for number, name in enumerate(names, start=1)}
    each = {
        label: _region_column(job, label, "Number of the community; n/a: not searched") | {"Levels": levels}
        for label in job.atlas.labels
    }
    table = pd.concat([windows, labels.mask(labels == 0)], axis=1)
    write_table(_path(job, f"desc-{ENGINE}_communities"), table, {**common, "Windows": _windows(job, keep)}, each)


def _windows(job: Job, keep: Any) -> dict[str, Any]:  # noqa: ANN401
    """Account for the windows: planned, analysed, dropped and why, pairs that count."""
    plan = stages.plan_of(job, keep)
    return {
        "LengthVolumes": plan.length,
        "StepVolumes": plan.step,
        "LengthSeconds": plan.length * job.run.tr_s,
        "StepSeconds": plan.step * job.run.tr_s,
        "Shape": job.science.prior.shape,
        "Analysed": plan.n_windows,
        "Dropped": [{"Onset": start * job.run.tr_s, "Reason": reason} for start, reason in plan.dropped],
        "ValidPairs": int(plan.pairs.sum()),
    }


def _summary(
    job: Job,
    table: pd.DataFrame,
    keep: Any,  # noqa: ANN401
    searched: dict[str, Any],
    found: dict[str, Any],
    facts: dict[str, Any],
) -> dict[str, Any]:
    """Sum a run up: global and network means, windows, convergence, quality, warnings."""
    named = table.drop(columns=["region"])
    whole = named.drop(columns=["network"]).mean()
    networks = named.groupby("network", sort=False).mean()
    iterations = searched["iterations"]
    plan = stages.plan_of(job, keep)
    return {
        "Engine": ENGINE,
        "Global": {**whole.to_dict(), "persistence": 1 - whole["flexibility"]},
        "Networks": {name: row.to_dict() for name, row in networks.iterrows()},
        "Regions": {
            "InAtlas": len(table),
            "Searched": int(searched["present"].sum()),
            "Missing": dict(found["poor"]),
        },
        "Windows": _windows(job, keep),
        "Convergence": {
            "MeanIterations": float(iterations.mean()),
            "MaxIterations": int(iterations.max()),
            "WindowsNotConverged": int((iterations >= 1000).sum()),
        },
        "Quality": facts["quality"],
        "Seeds": {},
        "Warnings": [*facts["notes"], *_warnings(job, plan, facts)],
        "MeasureUnits": {name: column_dictionary()[name].get("Units", "") for name in whole.index},
    }


def _warnings(job: Job, plan: Any, facts: dict[str, Any]) -> list[str]:  # noqa: ANN401
    """Say what a reader of this run's numbers must know."""
    settings, minutes = job.science, facts["quality"]["kept_minutes"]
    length_s, period_s = plan.length * job.run.tr_s, 1 / settings.denoise.high_pass_hz
    short_window = (
        f"Windows of {length_s:g} s are shorter than one period of the slowest signal kept ({period_s:g} s): "
        "part of their change is spurious (Leonardi & Van De Ville 2015)."
    )
    short_scan = f"Only {minutes:.1f} minutes are usable; dynamic measures want 10, better 20 to 30 (Yang 2021)."
    checks = (
        (True, NOTES["noise"]),
        (any("global_signal" in name for name in facts["confounds"]), NOTES["global signal"]),
        (settings.preset == "amsterdam", NOTES["amsterdam"]),
        (length_s < period_s, short_window),
        (minutes < 10, short_scan),
    )
    return [text for holds, text in checks if holds]
