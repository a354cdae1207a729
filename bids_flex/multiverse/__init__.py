"""The same question asked in many ways: grids of analyses, and the curve of their results over a table of people.

Knows neither nipype nor pybids: universes are settings, ``workflows/`` carries them out, ``reports/`` draws them.
"""

from bids_flex.multiverse.grid import CHOICES, Universe, choice_names, read_universes
from bids_flex.multiverse.steps import Steps, steps_of

__all__ = ["CHOICES", "Steps", "Universe", "choice_names", "read_universes", "steps_of"]
