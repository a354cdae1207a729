"""Data sets in the shape of fMRIPrep's output whose truth is known: people, signals, scans, files.

They serve as the demo, as the tests' fixture and as ground truth for validation; nothing in them is a measurement.
"""

from bids_flex.simulate.cohort import Person, make_cohort
from bids_flex.simulate.layout import simulate_dataset
from bids_flex.simulate.series import Series, simulate_series
from bids_flex.simulate.settings import NETWORKS, SimulationSettings

__all__ = [
    "NETWORKS",
    "Person",
    "Series",
    "SimulationSettings",
    "make_cohort",
    "simulate_dataset",
    "simulate_series",
]
