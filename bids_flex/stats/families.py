"""Corrections over families of tests, and the families written out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from bids_flex.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

Correction = Literal["holm", "bh", "max-T", "none"]


def adjust(p: ArrayLike, correction: Correction = "holm") -> Floats:
    """Adjust p values over one family; NaN is no test and stays.

    Parameters
    ----------
    p : array, shape (n,)
        p values.
    correction : {"holm", "bh", "none"}
        Family-wise error (Holm 1979, https://www.jstor.org/stable/4615733), false discovery rate (Benjamini & Hochberg
        1995, doi 10.1111/j.2517-6161.1995.tb02031.x), or nothing.

    Raises
    ------
    UsageError
        When the correction is not known; max-T is made by the permutations themselves.

    Examples
    --------
    >>> adjust([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    >>> adjust([0.01, 0.04, 0.03], "bh").round(3).tolist()
    [0.03, 0.04, 0.04]
    """
    from statsmodels.stats.multitest import multipletests

    values = np.asarray(p, dtype=np.float64)
    if correction == "none":
        return values.copy()
    if correction not in {"holm", "bh"}:
        raise UsageError(f"correction is {correction!r}; it must be 'holm', 'bh' or 'none'")
    out = np.full(values.shape, np.nan)
    tested = np.isfinite(values)
    if tested.any():
        out[tested] = multipletests(values[tested], method={"holm": "holm", "bh": "fdr_bh"}[correction])[1]
    return out


def adjust_families(tests: pd.DataFrame) -> pd.DataFrame:
    """Fill ``p_adj`` and ``family_size`` of a table of tests.

    Parameters
    ----------
    tests : pandas.DataFrame
        With ``family``, ``correction``, ``p_perm`` and ``p_max``.

    Returns
    -------
    pandas.DataFrame
        A copy with both columns; ``family_size`` counts the tests that could be made.

    Examples
    --------
    >>> import pandas as pd
    >>> tests = pd.DataFrame({"family": ["f", "f"], "p_perm": [0.01, 0.04], "p_max": [0.01, 0.05]})
    >>> tests["correction"] = "holm"
    >>> adjust_families(tests)["p_adj"].tolist()
    [0.02, 0.04]
    """
    out = tests.assign(p_adj=np.nan, family_size=0)
    for (_, correction), group in tests.groupby(["family", "correction"], sort=False):
        p = group["p_perm"].to_numpy(dtype=float)
        adjusted = (
            group["p_max"].to_numpy(dtype=float) if correction == "max-T" else adjust(p, cast("Correction", correction))
        )
        out.loc[group.index, "p_adj"] = adjusted
        out.loc[group.index, "family_size"] = int(np.isfinite(p).sum())
    return out


def written_families(tests: pd.DataFrame) -> pd.DataFrame:
    """List every family: its correction, how many tests it holds, and which.

    Returns
    -------
    pandas.DataFrame
        ``family``, ``correction``, ``tests`` (number), ``members`` (text, one after the other).
    """
    import pandas as pd

    rows = []
    for (family, correction), group in tests.groupby(["family", "correction"], sort=False):
        tested = group[group["p_perm"].notna()]
        rows.append(
            {
                "family": family,
                "correction": correction,
                "tests": len(tested),
                "members": "; ".join(f"{o}: {c}" for o, c in zip(tested["outcome"], tested["contrast"], strict=True)),
            }
        )
    return pd.DataFrame(rows, columns=["family", "correction", "tests", "members"])
