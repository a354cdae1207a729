"""Our own derivatives and the data set's tables to one table of people: what every group analysis starts from.

Knows neither nipype nor pybids nor statistics; files are read and written by ``bids/``.
"""

from bids_flex.cohort.gather import gather
from bids_flex.cohort.long import long_table
from bids_flex.cohort.people import Cohort, Column
from bids_flex.cohort.write import write_cohort, write_long

__all__ = ["Cohort", "Column", "gather", "long_table", "write_cohort", "write_long"]
