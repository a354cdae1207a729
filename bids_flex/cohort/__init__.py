"""Our own derivatives and the data set's tables to one table of people: what every group analysis starts from.

Knows neither nipype nor pybids nor statistics; files are read and written by ``bids/``.
"""

from bids_flex.cohort.gather import gather
from bids_flex.cohort.people import Cohort, Column

__all__ = ["Cohort", "Column", "gather"]
