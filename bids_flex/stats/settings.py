"""What stands under ``Model.Software.bids_flex`` of a model: permutations, blocks, bounds, and who takes part."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from reprlib import repr as brief
from typing import TYPE_CHECKING, Any

from bids_flex.errors import DatasetFileError
from bids_flex.words import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

CHOICES = {
    "statistic": ("hc3", "ols"),
    "exchange": ("within", "whole"),
    "rearrange": ("permute", "flip"),
}

MOST_PERMUTATIONS = 10_000_000
MOST_SEED = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Settings:
    """How a model is tested; a document has these in CamelCase.

    Attributes
    ----------
    permutations, seed : int
        Orders used, the data's own included, and the seed of their draw.
    statistic : {"hc3", "ols"}
        Permuted statistic.
    rearrange : {"permute", "flip"}
        Change the rows' places, or their signs (one-sample and paired designs).
    blocks : str
        Column of exchangeability blocks; empty for none.
    exchange : {"within", "whole"}
        Rows within blocks, or blocks as a whole.
    equivalence_bound : float
        Of the equivalence tests, in g.
    grouping : str
        Column of the mixed model's random intercept; empty for no mixed model.
    harmonise : str
        Column of the sites that ComBat takes out, the tested columns protected; empty for none.
    rows : tuple of (str, tuple of str)
        Columns and the values that a row must have to take part.
    difference : tuple of str
        Column, and its two levels whose difference is the outcome (paired designs); empty for none.
    """

    permutations: int = 10_000
    seed: int = 0
    statistic: str = "hc3"
    rearrange: str = "permute"
    blocks: str = ""
    exchange: str = "within"
    equivalence_bound: float = 0.5
    grouping: str = ""
    harmonise: str = ""
    rows: tuple[tuple[str, tuple[str, ...]], ...] = ()
    difference: tuple[str, ...] = ()

    def columns(self) -> tuple[str, ...]:
        """Name the columns of the table that the settings use, those of ``difference`` excepted."""
        return tuple(one for one in (self.blocks, self.grouping, self.harmonise) if one)

    def select(self, table: pd.DataFrame) -> pd.DataFrame:
        """Keep the rows that take part.

        Raises
        ------
        DatasetFileError
            When a column is absent, or nobody is left.
        """
        from bids_flex.stats.design import level_names

        for column, allowed in self.rows:
            if column not in table:
                near = did_you_mean(column, map(str, reversed(table.columns)))
                raise DatasetFileError(f"Rows name a column {column}, which the table does not have: {near}")
            names = level_names(table[column])
            table = table[names.isin(allowed).to_numpy()]
            if table.empty:
                there = ", ".join(sorted(names.dropna().unique())[:20])
                raise DatasetFileError(f"no row has {column} {' or '.join(allowed)}; there are {there or 'no values'}")
        return table

    def document(self) -> dict[str, Any]:
        """Write the settings as JSON fields; those that are empty are left out."""
        plain = {_camel(one.name): getattr(self, one.name) for one in fields(self)}
        plain["Rows"] = {column: list(allowed) for column, allowed in self.rows}
        plain["Difference"] = list(self.difference)
        return {name: value for name, value in plain.items() if value not in ("", [], {})}


def _camel(name: str) -> str:
    """Write ``equivalence_bound`` as ``EquivalenceBound``."""
    return "".join(part.capitalize() for part in name.split("_"))


def read_settings(document: Mapping[str, Any], where: str = "Software.bids_flex") -> Settings:
    """Read and check settings.

    Raises
    ------
    DatasetFileError
        When a field is not known or its value makes no sense; the message names it.

    Examples
    --------
    >>> read_settings({"Permutations": 5000}).permutations
    5000
    """
    known = {_camel(one.name): one for one in fields(Settings)}
    if unknown := sorted(set(document) - set(known)):
        raise DatasetFileError(f"{where}: no setting {', '.join(unknown)}; there are {', '.join(known)}")
    found: dict[str, Any] = {}
    for name, value in document.items():
        found[known[name].name] = _value(known[name].name, value, f"{where}.{name}")
    settings = replace(Settings(), **found)
    if settings.exchange == "whole" and not settings.blocks:
        raise DatasetFileError(f"{where}: Exchange whole needs Blocks, a column")
    return settings


def _value(name: str, value: Any, here: str) -> Any:  # noqa: ANN401 - any JSON
    """Check one value and bring it into its type."""
    if name in {"permutations", "seed"}:
        least = 1 if name == "permutations" else 0
        # a document of others may not ask for years of work
        most = MOST_PERMUTATIONS if name == "permutations" else MOST_SEED
        good = isinstance(value, int) and value is not True and least <= value <= most
        return _checked(value, good, here, f"a whole number from {least} to {most}")
    if name == "equivalence_bound":
        good = isinstance(value, (int, float)) and value is not True and 0 < value < 100
        return float(_checked(value, good, here, "a positive number in units of g"))
    if name in CHOICES:
        return _checked(value, value in CHOICES[name], here, " or ".join(CHOICES[name]))
    if name == "rows":
        good = isinstance(value, dict) and all(isinstance(one, list) and one for one in value.values())
        _checked(value, good, here, "columns, each with a list of values")
        return tuple((column, tuple(str(one) for one in allowed)) for column, allowed in value.items())
    if name == "difference":
        good = isinstance(value, list) and len(value) == 3 and all(isinstance(one, str) for one in value)
        return tuple(_checked(value, good, here, "a list of a column and two of its levels"))
    return _checked(value, isinstance(value, str) and value != "", here, "the name of a column")


def _checked(value: Any, good: bool, here: str, wanted: str) -> Any:  # noqa: ANN401, FBT001 - any JSON
    """Refuse a bad value."""
    if not good:
        raise DatasetFileError(f"{here} is {brief(value)}; it must be {wanted}")
    return value
