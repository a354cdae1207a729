"""The group level: our own derivatives and participants.tsv to one table, its models, and their tables."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bids_flex.bids.outputs import column_dictionary, write_json, write_table
from bids_flex.bids.results import read_communities, read_participants, read_results
from bids_flex.errors import DatasetFileError, UsageError

if TYPE_CHECKING:
    from bids_flex.bids.results import RunResult
    from bids_flex.config import Config

LOG = logging.getLogger("bids_flex")

ENGINE = "prior"
PRIMARY = ("flexibility", "promiscuity")
QUALITY = ("mean_fd", "kept_minutes", "share_censored", "degrees_of_freedom")


def collect(results: tuple[RunResult, ...]) -> pd.DataFrame:
    """Make one row per participant of the runs' global and network measures.

    Runs are averaged with their valid window pairs as weights; promiscuity is counted anew over the windows of all
    runs, because an average of unequal runs would depend on their lengths.

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
    if len(runs) > 1:
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
