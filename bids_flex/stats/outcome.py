"""What is tested: a column of the table of people."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    """A column of the table that is tested, and what it is.

    Attributes
    ----------
    column : str
        Of the table.
    measure, engine, level, network, region : str
        What it holds; ``level`` is global, network or region.
    family : str
        Tests of one family are corrected together.
    """

    column: str
    measure: str = ""
    engine: str = ""
    level: str = "global"
    network: str = ""
    region: str = ""
    family: str = "primary"
