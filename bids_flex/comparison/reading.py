"""What a difference in flexibility of ``prior`` may mean: switching, or noise (docs/validation/noise.md)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.05
SPLIT_HALF = "split-half flexibility of prior"
EXCESS = "excess of multilayer"


def readings(tests: pd.DataFrame, sensitivity: pd.DataFrame, quality: pd.DataFrame) -> list[str]:
    """Say for every contrast of whole-brain ``prior`` flexibility which readings the data allow.

    Raw flexibility of ``prior`` rises with switching and with any noise. Split-half flexibility and excess of
    ``multilayer`` rise with switching and fall with noise that the halves of a region do not share: what differs in the
    same direction is none of that noise. Neither finds everything.

    Parameters
    ----------
    tests, sensitivity, quality : pandas.DataFrame
        As of :func:`~bids_flex.comparison.compare`.

    Returns
    -------
    list of str
        One sentence or a few for each contrast; nothing where ``prior`` was not tested.
    """
    rows = tests[(tests["outcome"] == "prior_flexibility") & tests["p_perm"].notna()]
    return [
        f"{contrast}: {_reading(float(p), float(estimate), str(contrast), sensitivity, quality)}"
        for contrast, p, estimate in zip(rows["contrast"], rows["p_perm"], rows["estimate"], strict=True)
    ]


def _reading(p: float, estimate: float, contrast: str, sensitivity: pd.DataFrame, quality: pd.DataFrame) -> str:
    """Weigh one contrast."""
    if p >= LEVEL:
        return "prior flexibility shows no difference; neither a difference in switching nor one in noise is excluded."
    halves = _confirmed(sensitivity, SPLIT_HALF, contrast, estimate)
    excess = _confirmed(sensitivity, EXCESS, contrast, estimate)
    unequal = quality.loc[(quality["contrast"] == contrast) & (quality["p_perm"] < LEVEL), "outcome"].tolist()
    noise = (
        f" Groups also differ in {', '.join(unequal)}, which can make such a difference by itself." if unequal else ""
    )
    if math.isnan(estimate):
        # unequal noise makes raw and split-half flexibility of the groups differ, in opposite directions
        told = (
            "prior flexibility differs among the groups; what tells switching from noise is the direction, which only "
            "the contrasts of two groups have."
        )
    elif halves:
        told = (
            "prior flexibility differs, and so do the changes that both halves of the regions tell: noise of single "
            "voxels is not the reason; switching, or noise that the halves share, such as motion, can be."
        )
    elif excess:
        told = (
            "prior flexibility differs, and so does the excess of multilayer, which noise alone does not make: this "
            "speaks for switching."
        )
    elif halves is None and excess is None:
        told = (
            "prior flexibility differs, and nothing that could tell switching from noise was measured "
            "(--split-half, surrogates of multilayer): both readings are open."
        )
    else:
        told = (
            "prior flexibility differs, and what could tell switching from noise shows no difference: it may be noise "
            "alone, or switching too weak for these measures, which lose power with noise."
        )
    return told + noise


def _confirmed(sensitivity: pd.DataFrame, analysis: str, contrast: str, estimate: float) -> bool | None:
    """Tell whether a sensitivity analysis finds the same; None where it could not be done."""
    if "p_perm" not in sensitivity:
        return None
    here = sensitivity[
        (sensitivity["analysis"] == analysis)
        & (sensitivity["contrast"] == contrast)
        & sensitivity["measure"].isin(["flexibility", "split_half_flexibility"])
        & sensitivity["p_perm"].notna()
    ]
    if here.empty:
        return None
    row = here.iloc[0]
    return bool(row["p_perm"] < LEVEL and row["estimate"] * estimate > 0)
