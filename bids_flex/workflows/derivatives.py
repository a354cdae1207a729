"""A run's results as derivatives: tables, matrices, sidecars; the sidecar that says "done" comes last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bids_flex import __version__
from bids_flex.bids.outputs import bids_uri, output_folder, output_stem, refuse_links, remove_leftovers, write_table
from bids_flex.config import stated
from bids_flex.workflows import stages
from bids_flex.workflows.engine_stages import plan_of
from bids_flex.workflows.engines import ENGINES, engines_of
from bids_flex.workflows.quality import region_quality, run_quality
from bids_flex.workflows.summary import Result, dynamics_table, null_columns, summarise, windows_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bids_flex.workflows.stages import Job


def sidecar_path(job: Job, engine: str | None = None) -> Path:
    """Name the summary of an engine; that of the last engine, with the right hash, says that a run is done."""
    last = engine or engines_of(job.science)[-1].name
    return _path(job, f"desc-{last}_dynamics").with_suffix(".json")


def _path(job: Job, ending: str) -> Path:
    folder = output_folder(job.output_dir, job.run)
    return folder / f"{output_stem(job.run, dict(job.atlas.entities))}_{ending}.tsv"


def write_derivatives(
    job: Job,
    parcellated: Path,
    cleaned: Path,
    communities: Sequence[Path],
    measures: Sequence[Path],
    nulls: Sequence[Path],
) -> Path:
    """Write everything that a run has come to.

    Parameters
    ----------
    job : Job
        The run and its settings.
    parcellated, cleaned : Path
        Files of the stages that engines share.
    communities, measures, nulls : sequence of Path
        Files of each engine, in the order in which engines run.

    Returns
    -------
    Path
        The sidecar that is written last.
    """
    coverage, found = stages.load(parcellated)
    clean, facts = stages.load(cleaned)
    common = _common(job)
    refuse_links(job.output_dir, output_folder(job.output_dir, job.run))
    _remove_old(job)
    _write_signal(job, coverage, found, clean, facts, common)
    quality = {**facts, "poor": found["poor"]}
    for engine, labels, measured, null in zip(engines_of(job.science), communities, measures, nulls, strict=True):
        plan = plan_of(job, engine.name, clean["keep"])
        loaded = (stages.load(labels), stages.load(measured), stages.load(null))
        _write_engine(job, Result(engine, plan, *loaded, quality), common)
    return sidecar_path(job)


def _remove_old(job: Job) -> None:
    """Remove what an earlier analysis has left of the engines: while tables are replaced, nothing may say "done".

    The index of figures goes too: they are drawn again.
    """
    for engine in reversed(ENGINES):
        sidecar_path(job, engine).unlink(missing_ok=True)
    folder, stem = output_folder(job.output_dir, job.run), output_stem(job.run, dict(job.atlas.entities))
    figures = job.output_dir / f"sub-{dict(job.run.entities)['sub']}" / "figures"
    (figures / f"{stem}_figures.json").unlink(missing_ok=True)
    remove_leftovers(folder)
    for engine in ENGINES:
        for old in [*folder.glob(f"{stem}_desc-{engine}*"), *folder.glob(f"{stem}_stat-*_desc-{engine}*")]:
            old.unlink(missing_ok=True)


def _common(job: Job) -> dict[str, Any]:
    """Say what every sidecar of a run says: from which files, with which settings."""
    inputs = (job.run.bold, job.run.mask, job.run.confounds)
    return {
        "RepetitionTime": job.run.tr_s,
        "Sources": [bids_uri(job.run, path) for path in dict.fromkeys(inputs)],
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
        "StrategyDescription": job.strategy.description,
        "StrategyCitations": list(job.strategy.citations),
        "ConfoundColumns": facts["confounds"],
        "FurtherConfounds": facts["further_confounds"],
        "HighPassHz": settings.high_pass_hz,
        "LowPassHz": settings.low_pass_hz,
        "SkippedVolumes": facts["skipped_volumes"],
        "Censoring": stages.censoring_of(job),
        "CensoredVolumes": int((~clean["keep"]).sum()),
        "DegreesOfFreedomLeft": facts["quality"]["degrees_of_freedom"],
    }
    if job.science.input.type == "timeseries":
        given = ("SkippedVolumes", "CensoredVolumes")
        cleaning = {"Strategy": "none here: series were read as they are", **{name: cleaning[name] for name in given}}
    series = pd.DataFrame(clean["series"], columns=labels)
    each = {label: _region_column(job, label, "Clean mean signal; n/a in censored volumes") for label in labels}
    write_table(_path(job, "stat-mean_timeseries"), series, {**common, "Cleaning": cleaning}, each)
    if job.science.input.type == "images":
        # not needed for any result: pages show what cleaning has done, and others may want to clean otherwise
        before = pd.DataFrame(coverage["series"][facts["skipped_volumes"] :], columns=labels)
        each = {label: _region_column(job, label, "Mean signal before cleaning") for label in labels}
        write_table(_path(job, "stat-mean_desc-uncleaned_timeseries"), before, common, each)
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
    write_table(_path(job, "desc-run_quality"), run_quality(facts["quality"], coverage, clean, poor), common)
    each, regions = region_quality(job.atlas, coverage, clean)
    write_table(_path(job, "desc-regions_quality"), regions, common, each)


def _region_column(job: Job, label: str, what: str) -> dict[str, str]:
    """Describe a column that stands for a region."""
    networks = job.atlas.networks or [""] * len(job.atlas.labels)
    return {"LongName": label, "Description": what, "Network": networks[job.atlas.labels.index(label)]}


def _write_matrix(job: Job, ending: str, matrix: pd.DataFrame, what: str, common: dict[str, Any]) -> None:
    """Write a matrix of regions by regions; rows are in the order of the columns."""
    each = {label: _region_column(job, label, f"{what}; rows in the order of the columns") for label in matrix.columns}
    write_table(_path(job, ending), matrix, common, each)


def _write_engine(job: Job, result: Result, common: dict[str, Any]) -> None:
    """Write the tables of one engine, its summary last."""
    name = result.engine.name
    arrays, facts = result.communities
    for key in arrays:
        if key.startswith("labels_"):
            _write_communities(job, result, key.removeprefix("labels_"), common)
    for table, columns in facts["tables"].items():
        values = pd.DataFrame({column: arrays[f"{table}:{column}"] for column in columns})
        extra = {**common, "Engine": name, **facts["facts"].get(table, {})}
        write_table(_path(job, f"desc-{name}_{table}"), values, extra)
    matrix = pd.DataFrame(result.measures[0]["allegiance"], columns=list(job.atlas.labels))
    what = "Allegiance: share of windows (and of restarts) together"
    _write_matrix(job, f"stat-allegiance_desc-{name}_relmat", matrix, what, common)
    table = dynamics_table(job, result)
    summary = summarise(job, result)
    write_table(_path(job, f"desc-{name}_dynamics"), table, {**common, **summary}, null_columns())


def _write_communities(job: Job, result: Result, which: str, common: dict[str, Any]) -> None:
    """Write the community of every region in every window."""
    plan = result.plan
    names = stages.network_numbers(job.atlas)[1]
    found = result.communities[0][f"labels_{which}"]
    labels = pd.DataFrame(found, columns=list(job.atlas.labels)).astype("Int16")
    windows = pd.DataFrame(
        {
            "onset": plan.starts * job.run.tr_s,
            "duration": plan.length * job.run.tr_s,
            "kept_frames": plan.kept_frames,
        }
    )
    levels = {str(number): name for number, name in enumerate(names, start=1)}
    known = {"Levels": levels} if result.engine.same_labels else {}
    each = {
        label: _region_column(job, label, "Number of the community; n/a: not searched") | known
        for label in job.atlas.labels
    }
    table = pd.concat([windows, labels.mask(labels == 0)], axis=1)
    extra = {**common, "Engine": result.engine.name, "Windows": windows_of(job, result)}
    write_table(_path(job, f"desc-{which}_communities"), table, extra, each)
