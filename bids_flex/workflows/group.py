"""The group level: our own derivatives and the data set's tables to one table, its models, and their files."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pandas as pd

from bids_flex.bids.atlases import read_atlas
from bids_flex.bids.names import entities_of
from bids_flex.bids.outputs import write_dataset, write_table
from bids_flex.bids.results import read_sweeps
from bids_flex.cohort import gather, write_cohort
from bids_flex.comparison import RELIABILITY, compare, find_models, reliability, require_people, write_comparison
from bids_flex.dynamics import pool
from bids_flex.words import counted
from bids_flex.workflows.engines import ENGINES
from bids_flex.workflows.landscapes import landscape_columns, landscape_facts, read_landscape
from bids_flex.workflows.terminal import telling

if TYPE_CHECKING:
    from pathlib import Path

    from bids_flex.bids.atlases import KeptAtlas
    from bids_flex.cohort import Cohort
    from bids_flex.comparison import Comparison
    from bids_flex.config import Config

LOG = logging.getLogger("bids_flex")

SHOWN = (
    "measure",
    "contrast",
    "n",
    "estimate",
    "effect",
    "effect_low",
    "effect_high",
    "p_perm",
    "p_adj",
    "bf10",
    "tost_p",
)


def run_group(config: Config, readme: str) -> None:
    """Collect the participants' results and, when models are asked for, compare them.

    Everything is computed before the first file of the group is written.

    Raises
    ------
    BidsFlexError
        When results, participants.tsv or a model are wanting; nothing of any model is written then.
    """
    asked = config.group
    with telling(f"collecting results in {config.output_dir}"):
        cohort = gather(
            config.output_dir, config.bids_dir, primary=asked.primary_engine, unit=asked.unit, equalise=asked.equalise
        )
    people = counted(cohort.people["participant_id"].nunique(), "participant")
    LOG.info("%s of %s collected", counted(len(cohort.runs), "run"), people)
    if asked.groups or asked.models:
        require_people(config.bids_dir)
    models = find_models(asked, cohort, config.science.random_seed)
    compared = []
    for model in models:
        permutations = counted(model.model.settings.permutations, "permutation")
        with telling(f"model {model.model.name}: testing whole brain, networks and regions, {permutations}"):
            compared.append(compare(model, cohort, asked.max_mean_fd))
    folder = config.output_dir / "group"
    with telling(f"writing tables to {folder}"):
        write_dataset(config.output_dir, None, readme)
        write_cohort(folder, cohort)
        _write_reliability(folder, cohort)
        atlas = _atlas(config.output_dir, cohort)
        _write_sweep(folder, config.output_dir)
        for comparison in compared:
            write_comparison(folder, comparison, cohort, ENGINES[cohort.primary].caution, atlas)
    for comparison in compared:
        print(_summary(comparison))
    if not compared:
        unheeded = [f"--{name}" for name in ("covariates", "contrasts", "medication", "only", "harmonise")
                    if getattr(asked, name)]  # fmt: skip
        if unheeded:
            LOG.warning("%s did nothing: they belong to --groups, which is not given", ", ".join(unheeded))
        LOG.info("no model: name the column to compare by with --groups, or a file with --model")


def _write_reliability(folder: Path, cohort: Cohort) -> None:
    """Write how far repeated runs agree, where somebody has several."""
    table = reliability(cohort)
    if not table.empty:
        columns = {name: {"Description": text} for name, text in RELIABILITY.items()}
        write_table(folder / "reliability.tsv", table, {}, columns)


def _atlas(output_dir: Path, cohort: Cohort) -> KeptAtlas | None:
    """Find the atlas that the results are named after."""
    path = next(path for listed in cohort.sources.values() for path in listed if path is not None)
    return read_atlas(output_dir, entities_of(path))


def _write_sweep(folder: Path, output_dir: Path) -> None:
    """Pool the sweeps of all runs, if there are any, for a choice of gamma and omega that knows no groups."""
    sweeps = read_sweeps(output_dir)
    if not sweeps:
        return
    pooled = pool([read_landscape(columns, facts) for _, columns, facts in sweeps])
    table = pd.DataFrame(landscape_columns(pooled))
    write_table(folder / "multilayer_sweep.tsv", table, {"Sweep": {"Runs": len(sweeps), **landscape_facts(pooled)}})


def _summary(comparison: Comparison) -> str:
    """Show the primary family as plain text."""
    tests = comparison.result.tests
    shown = tests.loc[tests["family"].str.startswith("primary"), list(SHOWN)]
    table = shown.to_string(index=False, na_rep="n/a", float_format=lambda value: f"{value:.4f}")
    # a row of gaps alone would leave the reader to look for its reason in a file
    reasons = tests.loc[shown.index, "reason"].dropna()
    told = [f"{counted(number, 'row')} with n/a: {reason}" for reason, number in reasons.value_counts().items()]
    return "\n".join([comparison.asked.model.name, table, *told])
