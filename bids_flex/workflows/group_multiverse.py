"""The group level of a multiverse: the tables of people of all universes to curves, and their files."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from bids_flex.bids.outputs import write_dataset
from bids_flex.bids.universes import read_universes_table, universe_folder
from bids_flex.cohort import gather
from bids_flex.comparison import require_people
from bids_flex.errors import DatasetFileError, MissingInputError, NoMatchError
from bids_flex.multiverse.curves import Member, compare_universes
from bids_flex.multiverse.write import write_curves, write_members
from bids_flex.words import counted
from bids_flex.workflows.terminal import telling

if TYPE_CHECKING:
    from bids_flex.bids.universes import UniverseTable
    from bids_flex.cohort import Cohort
    from bids_flex.config import Config
    from bids_flex.multiverse.curves import Curves

LOG = logging.getLogger("bids_flex")

SHOWN = ("measure", "contrast", "specifications", "median", "share", "sign", "p_median", "p_share", "draws")


def is_multiverse(config: Config) -> bool:
    """Tell whether an output folder holds a multiverse."""
    return read_universes_table(config.output_dir) is not None


def run_group_universes(config: Config, readme: str) -> None:
    """Collect the results of every universe and, when models are asked for, make their curves.

    Everything is computed before the first file of the group is written.

    Raises
    ------
    BidsFlexError
        When results, participants.tsv or a model are wanting; nothing of any model is written then.
    """
    asked = config.group
    table = read_universes_table(config.output_dir)
    if table is None:
        raise NoMatchError(f"{config.output_dir} has no universes.tsv: run the participant level with --multiverse")
    if asked.groups or asked.models:
        require_people(config.bids_dir)
    members: list[Member] = []
    with telling(
        f"collecting results in {config.output_dir}", lambda: f"{len(members)} of {len(table.names)} universes"
    ):
        members.extend(_member(config, table, place) for place in range(len(table.names)))
    there = sum(one.cohort is not None for one in members)
    LOG.info("%s collected, %d of them with results", counted(len(members), "universe"), there)
    curves: tuple[Curves, ...] = ()
    if asked.groups or asked.models:
        with telling("making curves of the universes, with their permutations"):
            curves = compare_universes(members, asked, config.science.random_seed)
    write_dataset(config.output_dir, None, readme)
    folder = config.output_dir / "group"
    write_members(folder, members, table.choices)
    for one in curves:
        write_curves(folder, one, table.choices)
        print(_summary(one))
    if not curves:
        LOG.info("no model: name the column to compare by with --groups, or a file with --model")


def _member(config: Config, table: UniverseTable, place: int) -> Member:
    """Gather the people of one universe; one that has nobody is kept, with the reason."""
    name, levels = table.names[place], table.levels[place]
    engine = levels["engine"]
    try:
        cohort = gather(
            universe_folder(config.output_dir, name),
            config.bids_dir,
            engines=[engine],
            primary=engine,
            unit=config.group.unit,
            equalise=config.group.equalise,
        )
    except (NoMatchError, DatasetFileError, MissingInputError) as error:
        LOG.warning("universe %s: %s", name, error)
        return Member(name, levels, None, str(error))
    return Member(name, levels, _whole_brain(cohort))


def _whole_brain(cohort: Cohort) -> Cohort:
    """Keep what curves are made of: the tables of all universes are held at once, and most columns are regions."""
    local = {column.name for column in cohort.columns if column.level != "global"}
    people, runs = (
        table.drop(columns=[name for name in table if name in local]) for table in (cohort.people, cohort.runs)
    )
    return replace(
        cohort, people=people, runs=runs, columns=tuple(one for one in cohort.columns if one.level == "global")
    )


def _summary(curves: Curves) -> str:
    """Show the tests of the curves as plain text."""
    shown = curves.tests[list(SHOWN)]
    table = shown.to_string(index=False, na_rep="", float_format=lambda value: f"{value:.4f}")
    return f"{curves.asked.model.name}\n{table}"
