"""The summary of one run and one engine: its table of regions, and the sidecar with everything else that was found."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import pandas as pd

from bids_flex.bids.outputs import column_dictionary
from bids_flex.dynamics.nulls import MOST_CENSORED
from bids_flex.workflows.engine_stages import HELD, window_volumes
from bids_flex.workflows.stages import halves_seed, network_numbers, seed_of

if TYPE_CHECKING:
    from bids_flex.dynamics import WindowPlan
    from bids_flex.workflows.engines import Engine
    from bids_flex.workflows.stages import Job

    Loaded = tuple[dict[str, Any], dict[str, Any]]

IN_TABLE = ("null_mean", "null_sd", "excess", "z", "p")
IN_SUMMARY = ("null_mean", "null_sd", "excess", "z", "p_hi", "p_lo", "p")
"""What is said about a measure and its null values, in the table of regions and in the summary."""

NULL_MODELS = {
    "phase": "phase randomisation, one random phase per frequency for all regions (Prichard & Theiler 1994)",
    "var": "vector autoregression of order 1, innovations drawn from the residuals",
    "iaaft": "multivariate iterated amplitude-adjusted Fourier transform (Schreiber & Schmitz 2000)",
    "temporal": "windows that do not overlap, in random order; measures that ignore their order have no null values",
}

READING = (
    "Failing to reject is not proof of stationarity, and rejecting is not proof of discrete states (Liegeois 2017; "
    "Hindriks 2016)."
)


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What one engine has come to in one run: files of its stages, loaded (arrays, facts), and facts of the run."""

    engine: Engine
    plan: WindowPlan
    communities: Loaded
    measures: Loaded
    nulls: Loaded
    facts: dict[str, Any]


@cache
def null_columns() -> dict[str, dict[str, str]]:
    """Describe the columns that hold a measure against its null values."""
    text = resources.files("bids_flex.data").joinpath("null_columns.json").read_text(encoding="utf8")
    parts: dict[str, dict[str, str]] = json.loads(text)
    columns = {}
    for measure in HELD:
        of = column_dictionary()[measure]
        for part, entry in parts.items():
            told = {name: words.replace("MEASURE", of["LongName"]) for name, words in entry.items()}
            columns[f"{measure}_{part}"] = told if "Units" in told else {**told, "Units": of["Units"]}
    return columns


def dynamics_table(job: Job, result: Result) -> pd.DataFrame:
    """Give one row per region: its network, every measure, and what null values say about it."""
    measured, facts = result.measures
    null = result.nulls[0]
    columns: dict[str, Any] = {"region": job.atlas.labels, "network": job.atlas.networks}
    for name in facts["measures"]:
        columns[name] = measured[f"regions.{name}"]
    for name in HELD:
        columns |= {f"{name}_{part}": null[f"regions.{name}.{part}"] for part in IN_TABLE if null}
    return pd.DataFrame(columns)


def summarise(job: Job, result: Result) -> dict[str, Any]:
    """Sum a run up: global and network values, null models, windows, how the search went, quality, warnings."""
    measured, facts = result.measures
    arrays, found = result.communities
    names = network_numbers(job.atlas)[1]
    details = {name: arrays[name] for name in found["details"]}
    spread = {name.removeprefix("spread."): values for name, values in measured.items() if name.startswith("spread.")}
    networks = {
        name: {measure: _nth(measured[f"networks.{measure}"], place) for measure in facts["measures"]}
        for place, name in enumerate(names)
    }
    return {
        "Engine": result.engine.name,
        "Global": facts["whole"],
        "Networks": networks,
        "NormalisedIntegration": _between(measured["normalised_integration"], names),
        "NullModel": _null_model(job, result, names),
        "Regions": {
            "InAtlas": len(job.atlas.labels),
            "Searched": int(arrays["present"].sum()),
            "Missing": dict(result.facts["poor"]),
        },
        "Windows": windows_of(job, result),
        **result.engine.facts(details, spread, job.science),
        "Quality": result.facts["quality"],
        "Seeds": _seeds(job, result),
        "Warnings": [*result.facts["notes"], *found["warnings"], *_warnings(job, result)],
        "MeasureUnits": {name: column_dictionary()[name].get("Units", "") for name in facts["measures"]},
    }


def _nth(values: Any, place: int) -> float:  # noqa: ANN401 - an array of numbers
    """Take the value of a network; the last networks of an atlas may have lost all their regions."""
    return float(values[place]) if place < len(values) else float("nan")


def _between(values: Any, names: tuple[str, ...]) -> dict[str, dict[str, float]]:  # noqa: ANN401 - an array (K, K)
    """Name the normalised integration of every pair of networks that have regions."""
    there = names[: len(values)]
    return {
        one: {other: float(values[i, k]) for k, other in enumerate(there) if k > i} for i, one in enumerate(there[:-1])
    }


def windows_of(job: Job, result: Result) -> dict[str, Any]:
    """Account for the windows: planned, analysed, dropped and why, pairs that count."""
    plan, settings = result.plan, job.science.engine(result.engine.name)
    return {
        "LengthVolumes": plan.length,
        "StepVolumes": plan.step,
        "LengthSeconds": plan.length * job.run.tr_s,
        "StepSeconds": plan.step * job.run.tr_s,
        "Shape": settings.shape,
        "Estimator": settings.estimator,
        "Analysed": plan.n_windows,
        "Dropped": [{"Onset": start * job.run.tr_s, "Reason": reason} for start, reason in plan.dropped],
        "ValidPairs": int(plan.pairs.sum()),
    }


def _null_model(job: Job, result: Result, names: tuple[str, ...]) -> dict[str, Any]:
    """Say which surrogates were made, and hold global and network values against them."""
    arrays, facts = result.nulls
    if not facts["surrogates"]:
        return {"Surrogates": 0}
    kind = job.science.surrogates.kind

    def of(level: str, measure: str) -> dict[str, Any]:
        return {part: arrays[f"{level}.{measure}.{part}"] for part in IN_SUMMARY}

    networks = {measure: of("networks", measure) for measure in HELD}
    told: dict[str, Any] = {
        "Kind": kind,
        "Description": NULL_MODELS[kind],
        "Surrogates": facts["surrogates"],
        "Restarts": facts["restarts"],
        "Global": {measure: of("whole", measure) for measure in HELD},
        "Networks": {
            name: {
                measure: {part: _nth(values, place) for part, values in parts.items()}
                for measure, parts in networks.items()
            }
            for place, name in enumerate(names)
        },
        "Interpretation": READING,
    }
    if facts["correlation_change"] is not None:
        told["LargestCorrelationChange"] = facts["correlation_change"]
    return told


def _seeds(job: Job, result: Result) -> dict[str, int]:
    """State the user's seed and what followed from it."""
    seeds = {
        purpose.title(): seed_of(job, result.engine.name, purpose) for purpose in result.engine.chances(job.science)
    }
    if "split_half_flexibility" in result.measures[1]["measures"]:
        seeds["Halves"] = halves_seed(job)
    if result.nulls[1]["surrogates"]:
        seeds["Surrogates"] = seed_of(job, result.engine.name, "surrogates")
    return {"Random": job.science.random_seed, **seeds}


def short_window_note(job: Job, engine: str) -> str:
    """Say that windows are shorter than one period of the slowest signal, if they are."""
    length_s, period_s = window_volumes(job, engine) * job.run.tr_s, 1 / job.science.denoise.high_pass_hz
    # 100 s are as long as one period of 0.01 Hz, whatever rounding says
    if length_s >= period_s * (1 - 1e-9):
        return ""
    return (
        f"Windows of {length_s:g} s are shorter than one period of the slowest signal kept ({period_s:g} s): "
        "part of their change is spurious (Leonardi & Van De Ville 2015)."
    )


def _warnings(job: Job, result: Result) -> list[str]:
    """Say what a reader of this run's numbers must know."""
    quality, plan, null = result.facts["quality"], result.plan, result.nulls[1]
    short_windows = short_window_note(job, result.engine.name)
    minutes, censored = quality["kept_minutes"], quality["share_censored"]
    short_scan = f"Only {minutes:.1f} minutes are usable; dynamic measures want 10, better 20 to 30 (Yang 2021)."
    biased = f"{censored:.0%} of the volumes are censored: p and excess are approximate, and z is biased down."
    undefined = f"{censored:.0%} of the volumes are censored, more than {MOST_CENSORED:.0%}: z is n/a."
    checks = (
        (bool(short_windows), short_windows),
        (not plan.pairs.any(), "No two consecutive windows have enough data: measures of change are n/a."),
        (minutes < 10, short_scan),
        (bool(null["surrogates"]) and 0 < censored <= MOST_CENSORED, biased),
        (bool(null["surrogates"]) and censored > MOST_CENSORED, undefined),
    )
    notes = result.engine.notes(job.science, result.facts["confounds"])
    return [*notes, *(text for holds, text in checks if holds)]
