"""A table of people and models to results: what is tested, how families are made, and what is asked again otherwise.

Joins ``cohort`` with ``stats``; writes through ``bids/``.
"""

from bids_flex.comparison.compare import Comparison, compare
from bids_flex.comparison.models import find_models, require_people
from bids_flex.comparison.reliability import COLUMNS as RELIABILITY
from bids_flex.comparison.reliability import reliability
from bids_flex.comparison.write import write_comparison

__all__ = [
    "RELIABILITY",
    "Comparison",
    "compare",
    "find_models",
    "reliability",
    "require_people",
    "write_comparison",
]
