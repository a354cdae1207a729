"""The options of the group level; every ``dest`` is the dotted name of a setting."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from bids_flex.config import ENGINES, Equalise, Unit

if TYPE_CHECKING:
    import argparse


def add_group(parser: argparse.ArgumentParser) -> None:
    """Add the table of people, its models and how they are tested."""
    group = parser.add_argument_group("group level")
    group.add_argument(
        "--groups",
        dest="group.groups",
        nargs="+",
        metavar="COLUMN",
        help="columns of participants.tsv to compare by, each in a model of its own",
    )
    group.add_argument(
        "--covariates",
        dest="group.covariates",
        nargs="+",
        metavar="COLUMN",
        help="columns to adjust for (also: mean_fd)",
    )
    group.add_argument(
        "--contrasts",
        dest="group.contrasts",
        nargs="+",
        metavar="'A - B'",
        help="planned contrasts (default: all pairs)",
    )
    group.add_argument(
        "--medication",
        dest="group.medication",
        metavar="COLUMN",
        help="who takes medication: adjusted for in the other models of --groups, which stand beside those without it",
    )
    group.add_argument(
        "--only",
        dest="group.only",
        nargs="+",
        metavar="COLUMN=LEVEL,LEVEL",
        help="who takes part in the models of --groups, such as antidepressant=user,nonuser",
    )
    _add_tests(group)


def _add_tests(group: argparse._ArgumentGroup) -> None:
    """Add how models are tested, and on which rows."""
    group.add_argument(
        "--n-permutations", dest="group.permutations", type=int, metavar="N", help="permutations (default: 10000)"
    )
    group.add_argument(
        "--model",
        dest="group.models",
        nargs="+",
        metavar="FILE",
        help="BIDS Stats Models files, instead of or beside --groups",
    )
    group.add_argument(
        "--unit",
        dest="group.unit",
        choices=get_args(Unit),
        help="what a row of the table is; sessions get a mixed model as well (default: participant)",
    )
    group.add_argument(
        "--equalise",
        dest="group.equalise",
        choices=get_args(Equalise),
        help="where repetition time, windows or length differ between runs: only warn (default), cut all to the "
        "smallest number of windows, add covariates, or refuse",
    )
    for option, name, metavar, what in (
        ("--max-mean-fd", "max_mean_fd", "MM", "limit of the sensitivity analysis without high motion (default: 0.25)"),
        ("--equivalence-bound", "equivalence_bound", "G", "bound of the equivalence tests in g (default: 0.5)"),
    ):
        group.add_argument(option, dest=f"group.{name}", metavar=metavar, type=float, help=what)
    group.add_argument(
        "--harmonise", dest="group.harmonise", metavar="COLUMN", help="take sites out with ComBat (extra harmonise)"
    )
    group.add_argument(
        "--primary-engine",
        dest="group.primary_engine",
        choices=ENGINES,
        help="whose measures the primary family is of (default: prior)",
    )
