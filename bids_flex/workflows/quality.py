"""Tables that say how good the data of a run are: one row for the run, one row for each region."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bids_flex.signal import lag1_autocorrelation

if TYPE_CHECKING:
    from bids_flex.signal import Atlas


def run_quality(
    figures: dict[str, float], coverage: dict[str, Any], clean: dict[str, Any], poor: dict[str, str]
) -> pd.DataFrame:
    """Put the figures of a run into a table of one row.

    Parameters
    ----------
    figures : dict
        As :func:`bids_flex.signal.quality_figures` gives them.
    coverage, clean : dict
        Arrays that the first two stages have written.
    poor : dict
        Regions that cannot be used, and why.
    """
    usable = np.isfinite(clean["tsnr"])
    row = {
        **figures,
        "median_tsnr": np.median(clean["tsnr"][usable]) if usable.any() else np.nan,
        "mean_coverage": coverage["coverage"].mean(),
        "usable_regions": len(coverage["coverage"]) - len(poor),
    }
    return pd.DataFrame([row])


def region_quality(
    atlas: Atlas, coverage: dict[str, Any], clean: dict[str, Any]
) -> tuple[dict[str, dict[str, str]], pd.DataFrame]:
    """Put the figures of regions into a table, and say what its columns mean where that differs from other tables."""
    table = pd.DataFrame(
        {
            "region": atlas.labels,
            "coverage": coverage["coverage"],
            "tsnr": clean["tsnr"],
            "lag1_autocorrelation": lag1_autocorrelation(clean["series"]),
        }
    )
    meaning = {
        "LongName": "Lag-1 autocorrelation",
        "Description": "Correlation of each value of the clean series with the next, where neither is censored",
        "Units": "1",
    }
    return {"lag1_autocorrelation": meaning}, table
