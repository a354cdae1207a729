"""Images to clean regional time series: atlases, parcellation, confounds, cleaning, quality.

Paths, arrays and tables in; arrays and tables out. nilearn does the work; every one of its choices is stated.
"""

from bids_flex.signal.atlas import Atlas, check_space, labels_on_grid, load_atlas, named_atlas
from bids_flex.signal.censoring import (
    censoring_notes,
    framewise_displacement,
    keep_mask,
    non_steady_state_count,
    std_dvars,
)
from bids_flex.signal.centres import drawn_spheres, region_centres
from bids_flex.signal.cifti import parcel_map
from bids_flex.signal.clean import Cleaned, Refilter, clean_series, degrees_of_freedom, take_clean
from bids_flex.signal.confounds import join_confounds, read_confounds, select_confounds
from bids_flex.signal.greyordinates import parcellate_greyordinates
from bids_flex.signal.parcellate import Parcellated, parcellate
from bids_flex.signal.quality import lag1_autocorrelation, longest_run, quality_figures, temporal_snr
from bids_flex.signal.registry import Entry, registry
from bids_flex.signal.strategies import Strategy, load_strategy, strategy_names
from bids_flex.signal.timeseries import ForeignSeries, arrange, read_displacement, read_mask, read_table

__all__ = [
    "Atlas",
    "Cleaned",
    "Entry",
    "ForeignSeries",
    "Parcellated",
    "Refilter",
    "Strategy",
    "arrange",
    "censoring_notes",
    "check_space",
    "clean_series",
    "degrees_of_freedom",
    "drawn_spheres",
    "framewise_displacement",
    "join_confounds",
    "keep_mask",
    "labels_on_grid",
    "lag1_autocorrelation",
    "load_atlas",
    "load_strategy",
    "longest_run",
    "named_atlas",
    "non_steady_state_count",
    "parcel_map",
    "parcellate",
    "parcellate_greyordinates",
    "quality_figures",
    "read_confounds",
    "read_displacement",
    "read_mask",
    "read_table",
    "region_centres",
    "registry",
    "select_confounds",
    "std_dvars",
    "strategy_names",
    "take_clean",
    "temporal_snr",
]
