"""Regional time series to windows, communities and measures: plain functions of arrays.

Formulas stand in the docstrings; loops that matter are compiled (``kernels/``). Nothing here reads or writes files.
"""

from bids_flex.dynamics.connectivity import iter_windowed_connectivity, static_correlation, windowed_connectivity
from bids_flex.dynamics.consensus import consensus_communities, match_windows
from bids_flex.dynamics.domains import Domains, champ_domains
from bids_flex.dynamics.halves import split_half_flexibility
from bids_flex.dynamics.landscape import Landscape, landscape_table, pool, quality_planes, recommend, sweep
from bids_flex.dynamics.measures import (
    Cohesion,
    cohesion,
    community_sizes,
    dwell,
    flexibility,
    persistence,
    promiscuity,
    rarefied_promiscuity,
    switches_per_minute,
)
from bids_flex.dynamics.multilayer import Communities, multilayer_communities
from bids_flex.dynamics.nulls import (
    NullStatistics,
    SeriesSurrogates,
    compare,
    null_distribution,
    null_statistics,
    series_surrogates,
    window_surrogates,
)
from bids_flex.dynamics.pamfil import PamfilFit, pamfil_estimate, pamfil_fixed_point
from bids_flex.dynamics.prior import prior_communities
from bids_flex.dynamics.profile import ORDER_FREE, Profile, profile, with_measure
from bids_flex.dynamics.quality import Modularity, modularity, multilayer_quality, quality_of, window_quality
from bids_flex.dynamics.surrogates import (
    Autoregression,
    correlation_change,
    fit_autoregression,
    iaaft_surrogate,
    permuted_windows,
    phase_surrogate,
    simulate_autoregression,
    var_surrogate,
)
from bids_flex.dynamics.together import (
    allegiance,
    integration,
    network_allegiance,
    normalised_integration,
    recruitment,
)
from bids_flex.dynamics.windows import WindowPlan, plan_windows, to_volumes, window_taper

__all__ = [
    "ORDER_FREE",
    "Autoregression",
    "Cohesion",
    "Communities",
    "Domains",
    "Landscape",
    "Modularity",
    "NullStatistics",
    "PamfilFit",
    "Profile",
    "SeriesSurrogates",
    "WindowPlan",
    "allegiance",
    "champ_domains",
    "cohesion",
    "community_sizes",
    "compare",
    "consensus_communities",
    "correlation_change",
    "dwell",
    "fit_autoregression",
    "flexibility",
    "iaaft_surrogate",
    "integration",
    "iter_windowed_connectivity",
    "landscape_table",
    "match_windows",
    "modularity",
    "multilayer_communities",
    "multilayer_quality",
    "network_allegiance",
    "normalised_integration",
    "null_distribution",
    "null_statistics",
    "pamfil_estimate",
    "pamfil_fixed_point",
    "permuted_windows",
    "persistence",
    "phase_surrogate",
    "plan_windows",
    "pool",
    "prior_communities",
    "profile",
    "promiscuity",
    "quality_of",
    "quality_planes",
    "rarefied_promiscuity",
    "recommend",
    "recruitment",
    "series_surrogates",
    "simulate_autoregression",
    "split_half_flexibility",
    "static_correlation",
    "sweep",
    "switches_per_minute",
    "to_volumes",
    "var_surrogate",
    "window_quality",
    "window_surrogates",
    "window_taper",
    "windowed_connectivity",
    "with_measure",
]
