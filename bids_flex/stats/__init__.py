"""Tables to statistics: models, designs, permutation tests, effect sizes, evidence, corrections.

Plain functions of arrays and tables. Nothing in a model is ever evaluated as code.
"""

from bids_flex.stats.design import Design, level_names, make_design, parse_contrasts
from bids_flex.stats.effects import Effect, hedges_g, partial_eta_squared, small_sample_correction
from bids_flex.stats.evidence import Equivalence, bic_bayes_factor, jzs_bayes_factor, tost, tost_g
from bids_flex.stats.families import adjust, adjust_families, written_families
from bids_flex.stats.groupmodel import ModelResult, fit_model
from bids_flex.stats.harmonise import harmonise
from bids_flex.stats.linear import Tested, fit_contrast
from bids_flex.stats.matrix import ModelDesign, build_design
from bids_flex.stats.models import GroupModel, Instruction, ModelContrast, read_models, short_model
from bids_flex.stats.orders import make_flips, make_orders
from bids_flex.stats.outcome import Outcome
from bids_flex.stats.permutation import PermutationResult, freedman_lane
from bids_flex.stats.quality import quality_correlations
from bids_flex.stats.questions import diagnosis_models, medication_models
from bids_flex.stats.repeated import differences, intraclass_correlation, mixed_model
from bids_flex.stats.rows import TEST_COLUMNS
from bids_flex.stats.settings import Settings, read_settings

__all__ = [
    "TEST_COLUMNS",
    "Design",
    "Effect",
    "Equivalence",
    "GroupModel",
    "Instruction",
    "ModelContrast",
    "ModelDesign",
    "ModelResult",
    "Outcome",
    "PermutationResult",
    "Settings",
    "Tested",
    "adjust",
    "adjust_families",
    "bic_bayes_factor",
    "build_design",
    "diagnosis_models",
    "differences",
    "fit_contrast",
    "fit_model",
    "freedman_lane",
    "harmonise",
    "hedges_g",
    "intraclass_correlation",
    "jzs_bayes_factor",
    "level_names",
    "make_design",
    "make_flips",
    "make_orders",
    "medication_models",
    "mixed_model",
    "parse_contrasts",
    "partial_eta_squared",
    "quality_correlations",
    "read_models",
    "read_settings",
    "short_model",
    "small_sample_correction",
    "tost",
    "tost_g",
    "written_families",
]
