"""The group level: our own derivatives and participants.tsv to one table, its model, and the tests' tables."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bids_flex import __version__
from bids_flex.bids.outputs import column_dictionary, write_dataset, write_json, write_table
from bids_flex.bids.results import engines_there, read_communities, read_participants, read_results, read_sweeps
from bids_flex.dynamics import pool
from bids_flex.errors import DatasetFileError
from bids_flex.workflows.engines import ENGINES
from bids_flex.workflows.landscapes import landscape_columns, landscape_facts, read_landscape

if TYPE_CHECKING:
    from pathlib import Path

    from bids_flex.bids.results import RunResult
    from bids_flex.config import Config
    from bids_flex.stats import Analysis

LOG = logging.getLogger("bids_flex")

PRIMARY = ("flexibility", "promiscuity")
OTHERS = (
    *("cohesion", "disjointedness", "cohesion_strength", "recruitment", "integration", "dwell"),
    "switches_per_minute",
)
QUALITY = ("mean_fd", "share_censored", "kept_minutes", "degrees_of_freedom", "mean_absolute_r", "lag1_autocorrelation")


def run_group(config: Config, readme: str) -> None:
    """Collect the participants' results and, when groups are asked for, compare them.

    Raises
    ------
    BidsFlexError
        When results, participants.tsv or model are wanting; nothing of a model is written then.
    """
    from bids_flex.stats import analyse

    asked = config.group
    results = read_results(config.output_dir, asked.primary_engine)
    table = collect(results)
    write_dataset(config.output_dir, None, readme)
    folder = config.output_dir / "group"
    _write_participants(folder / "participants_dynamics.tsv", results, table)
    LOG.info("%d runs of %d participants collected", len(results), len(table))
    for other in engines_there(config.output_dir):
        if other != asked.primary_engine:
            beside = read_results(config.output_dir, other)
            _write_participants(folder / f"participants_desc-{other}_dynamics.tsv", beside, collect(beside))
    _write_sweep(folder, config.output_dir)
    if asked.groups is None:
        LOG.info("no model: name the column to compare by with --groups")
        return
    people, described = read_participants(config.bids_dir)
    merged, left_out = _merge(table, people)
    categorical = [name for name, entry in described.items() if "Levels" in entry]
    networks = [name for name in table.columns if name.startswith(tuple(f"{measure}_" for measure in PRIMARY))]
    families = {"primary": PRIMARY, "networks": networks, "exploratory": OTHERS}
    tested = analyse(
        merged,
        families,
        asked.groups,
        asked.covariates,
        asked.contrasts,
        categorical,
        asked.permutations,
        config.science.random_seed,
    )
    # a covariate cannot be an outcome, so quality is compared without quality among the covariates
    plain = [name for name in asked.covariates if name not in QUALITY]
    quality = analyse(
        merged,
        {"quality": QUALITY},
        asked.groups,
        plain,
        asked.contrasts,
        categorical,
        asked.permutations,
        config.science.random_seed,
    )
    tests = _named(pd.concat([tested.tests, quality.tests], ignore_index=True), asked.primary_engine)
    _write_model(folder, config, tested, tests, left_out, _warnings(results, quality.tests))
    print(_summary(tests))


def _write_participants(path: Path, results: tuple[RunResult, ...], table: pd.DataFrame) -> None:
    """Write the table of one engine's measures."""
    extra = {"Engine": results[0].summary["Engine"], "Warnings": _unequal(results)}
    write_table(path, table, extra, _column_meanings(table))


def _write_sweep(folder: Path, output_dir: Path) -> None:
    """Pool the sweeps of all runs, if there are any, for a choice of gamma and omega that knows no groups."""
    sweeps = read_sweeps(output_dir)
    if not sweeps:
        return
    pooled = pool([read_landscape(columns, facts) for _, columns, facts in sweeps])
    table = pd.DataFrame(landscape_columns(pooled))
    write_table(folder / "multilayer_sweep.tsv", table, {"Sweep": {"Runs": len(sweeps), **landscape_facts(pooled)}})


def _unequal(results: tuple[RunResult, ...]) -> list[str]:
    """Say whose promiscuity is an average of runs of unequal length, because labels are not the same in both."""
    if ENGINES[results[0].summary["Engine"]].same_labels:
        return []
    windows: dict[str, set[int]] = {}
    for run in results:
        windows.setdefault(run.entities["sub"], set()).add(run.summary["Windows"]["Analysed"])
    unequal = sorted(label for label, numbers in windows.items() if len(numbers) > 1)
    named = ", ".join(unequal)
    told = f"Promiscuity of {named} is an average of runs with unequal numbers of windows, on which it depends."
    return [told] if unequal else []


def _merge(table: pd.DataFrame, people: pd.DataFrame) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Bring results and participants.tsv together, and say who is in only one of them."""
    clash = sorted(set(table.columns) & set(people.columns) - {"participant_id"})
    if clash:
        raise DatasetFileError(f"participants.tsv: column {', '.join(clash)} has the name of a measure: rename it")
    have, named = set(table["participant_id"]), set(people["participant_id"])
    left_out = [{"Participant": label, "Reason": "not in participants.tsv"} for label in sorted(have - named)]
    left_out += [
        {"Participant": label, "Reason": "no results of the participant level"} for label in sorted(named - have)
    ]
    merged = table.merge(people, on="participant_id", how="inner")
    if merged.empty:
        raise DatasetFileError(
            f"nobody with results is in participants.tsv: it names {', '.join(sorted(named)[:5])}, ..., "
            f"results are of {', '.join(sorted(have)[:5])}, ..."
        )
    return merged, left_out


def _named(tests: pd.DataFrame, engine: str) -> pd.DataFrame:
    """Split the outcomes' names into measure, level and network, and put them first."""
    parts = [_measure_and_network(name) for name in tests["outcome"]]
    named = pd.DataFrame(
        {
            "engine": engine,
            "measure": [measure for measure, _ in parts],
            "level": ["network" if network else "global" for _, network in parts],
            "network": [network or None for _, network in parts],
        }
    )
    return pd.concat([named, tests.drop(columns="outcome")], axis=1)


def _measure_and_network(name: str) -> tuple[str, str]:
    """Take ``flexibility_SomMot`` apart; names of measures hold underscores themselves."""
    if name in column_dictionary():
        return name, ""
    measure = max((known for known in column_dictionary() if name.startswith(f"{known}_")), key=len)
    return measure, name.removeprefix(f"{measure}_")


def _column_meanings(table: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Describe the columns of the participants' table."""
    meanings = {}
    for name in table.columns:
        measure, network = _measure_and_network(str(name))
        entry = dict(column_dictionary()[measure])
        if measure in (*PRIMARY, *OTHERS, "persistence"):
            where = f"regions of network {network}" if network else "all searched regions"
            entry["Description"] += f"; mean over {where}"
        meanings[str(name)] = entry
    return meanings


def _warnings(results: tuple[RunResult, ...], quality: pd.DataFrame) -> list[str]:
    """Say what a reader of the tests must know."""
    told = [ENGINES[results[0].summary["Engine"]].caution, *_unequal(results)]
    differing = quality[(quality.get("p_permutation", 1.0) < 0.05)] if "p_permutation" in quality else quality[:0]
    for name in dict.fromkeys(differing["outcome"].astype(str)):
        pairs = ", ".join(differing.loc[differing["outcome"] == name, "contrast"])
        told.append(f"Groups differ in {name} (permutation p < .05, uncorrected: {pairs}).")
    windows = [run.summary["Windows"] for run in results]
    for what, values in (
        ("repetition times", {run.summary["RepetitionTime"] for run in results}),
        ("window lengths in volumes", {one["LengthVolumes"] for one in windows}),
        ("numbers of valid window pairs", {one["ValidPairs"] for one in windows}),
    ):
        if len(values) > 1:
            told.append(f"Runs have different {what} ({min(values)} to {max(values)}): promiscuity depends on it.")
    short = sorted({run.entities["sub"] for run in results if run.summary["Quality"]["kept_minutes"] < 10})
    if short:
        told.append(
            f"{len(short)} participants have a run with fewer than 10 usable minutes (Yang 2021 wants 20 to 30)."
        )
    return told


def _write_model(
    folder: Path,
    config: Config,
    tested: Analysis,
    tests: pd.DataFrame,
    left_out: list[dict[str, str]],
    warnings: list[str],
) -> None:
    """Write the tests, the design and, last, the model."""
    asked, design = config.group, tested.design
    name = "model-" + (re.sub(r"[^A-Za-z0-9]", "", asked.groups or "") or "groups")
    missing = [
        {"Participant": label, "Outcome": outcome, "Reason": f"no value in {column}"}
        for outcome, label, column in tested.dropped
    ]
    model = {
        "PrimaryEngine": asked.primary_engine,
        "Factor": design.factor,
        "Levels": design.levels,
        "Covariates": asked.covariates,
        "Contrasts": list(dict.fromkeys(tests["contrast"])),
        "Coding": "cell means of the factor; covariates centred; text against its first level",
        "Statistic": "HC3, Freedman-Lane permutation, two-sided; OLS beside it",
        "Correction": "Holm over the outcomes and contrasts of a family; omnibus tests are a family of their own",
        "Permutations": asked.permutations,
        "Seeds": {"permutations": config.science.random_seed},
        "PeopleInModel": len(design.rows),
        "LeftOut": [*left_out, *missing],
        "Warnings": warnings,
        "SoftwareVersion": __version__,
    }
    matrix = pd.DataFrame(design.matrix, columns=list(design.columns))
    matrix.insert(0, "participant_id", tested.participants)
    meanings = {column: {"Description": f"Column of the design: {column}"} for column in design.columns}
    write_table(folder / f"{name}_stat-tests.tsv", tests, {"Model": model})
    write_table(folder / f"{name}_stat-design.tsv", matrix, {}, meanings)
    write_json(folder / f"{name}.json", model)


def _summary(tests: pd.DataFrame) -> str:
    """Show the primary family as plain text."""
    shown = tests[tests["family"] == "primary"]
    columns = ["measure", "contrast", "n", "estimate", "g", "g_low", "g_high", "p_permutation", "p_adjusted"]
    there = [name for name in columns if name in shown]
    return shown[there].to_string(index=False, na_rep="", float_format=lambda value: f"{value:.4f}")


def collect(results: tuple[RunResult, ...]) -> pd.DataFrame:
    """Make one row per participant of the runs' global and network measures.

    Runs are averaged with their valid window pairs as weights. Where labels are networks, promiscuity is counted anew
    over the windows of all runs, because an average of unequal runs would depend on their lengths.

    Returns
    -------
    pandas.DataFrame
        ``participant_id``, ``runs``, ``valid_pairs``, quality, then ``<measure>`` (global) and
        ``<measure>_<network>`` columns.
    """
    by_participant: dict[str, list[RunResult]] = {}
    for result in results:
        by_participant.setdefault(result.entities["sub"], []).append(result)
    rows = [_participant_row(label, runs) for label, runs in sorted(by_participant.items())]
    return pd.DataFrame(rows)


def _participant_row(label: str, runs: list[RunResult]) -> dict[str, Any]:
    """Average the runs of one participant."""
    pairs = np.array([run.summary["Windows"]["ValidPairs"] for run in runs], dtype=float)
    if pairs.sum() == 0:
        raise DatasetFileError(f"sub-{label}: no run has a valid pair of windows; analyse it again or remove it")
    flat = pd.DataFrame([_flat_measures(run.summary) for run in runs])
    weights = pairs / pairs.sum()
    averaged = {name: _weighted(flat[name].to_numpy(dtype=float), weights) for name in flat.columns}
    if len(runs) > 1 and ENGINES[runs[0].summary["Engine"]].same_labels:
        averaged |= _pooled_promiscuity(runs)
    quality = pd.DataFrame([run.summary["Quality"] for run in runs])
    told = {name: _weighted(quality[name].to_numpy(dtype=float), weights) for name in QUALITY}
    # minutes add up, the others are averages
    told["kept_minutes"] = float(quality["kept_minutes"].sum())
    return {"participant_id": label, "runs": len(runs), "valid_pairs": int(pairs.sum()), **told, **averaged}


def _weighted(values: np.ndarray, weights: np.ndarray) -> float:
    """Average what is there; missing runs lose their weight."""
    there = np.isfinite(values) & (weights > 0)
    return float(np.average(values[there], weights=weights[there])) if there.any() else float("nan")


def _flat_measures(summary: dict[str, Any]) -> dict[str, float | None]:
    """Name global measures plainly, and those of networks with the network behind an underscore."""
    flat = dict(summary["Global"])
    for network, measures in summary["Networks"].items():
        flat |= {f"{name}_{network}": value for name, value in measures.items()}
    return flat


def _pooled_promiscuity(runs: list[RunResult]) -> dict[str, float]:
    """Count the communities that each region takes over the windows of all runs."""
    from bids_flex.dynamics import promiscuity

    tables = [read_communities(run) for run in runs]
    labels = pd.concat(tables, ignore_index=True)
    first = runs[0].path.with_suffix(".tsv")
    networks = pd.read_csv(first, sep="\t", na_values=["n/a"], usecols=["region", "network"])
    searched = labels.notna().any()
    values = np.full(len(labels.columns), np.nan)
    filled = labels.fillna(0).to_numpy(dtype=np.int16)
    values[searched] = promiscuity(filled[:, searched], n_communities=networks["network"].nunique())
    regions = pd.Series(values, index=networks["network"])
    by_network = regions.groupby(level=0, sort=False).mean()
    return {"promiscuity": float(np.nanmean(values))} | {f"promiscuity_{k}": v for k, v in by_network.items()}
