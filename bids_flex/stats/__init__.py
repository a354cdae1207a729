"""Tables to statistics: designs, linear models, permutation tests, effect sizes, corrections.

Plain functions of arrays and tables. Nothing in a model is ever evaluated as code.
"""

from bids_flex.stats.analysis import Analysis, analyse
from bids_flex.stats.design import Design, make_design, parse_contrasts
from bids_flex.stats.effects import Effect, hedges_g, partial_eta_squared, small_sample_correction
from bids_flex.stats.linear import Tested, fit_contrast
from bids_flex.stats.orders import make_flips, make_orders
from bids_flex.stats.permutation import PermutationResult, freedman_lane

__all__ = [
    "Analysis",
    "Design",
    "Effect",
    "PermutationResult",
    "Tested",
    "analyse",
    "fit_contrast",
    "freedman_lane",
    "hedges_g",
    "make_design",
    "make_flips",
    "make_orders",
    "parse_contrasts",
    "partial_eta_squared",
    "small_sample_correction",
]
