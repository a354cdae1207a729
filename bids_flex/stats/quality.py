"""Whether measures go along with the quality of the data: correlations, plain and adjusted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bids_flex.errors import UsageError
from bids_flex.stats.design import numbers
from bids_flex.stats.families import adjust
from bids_flex.words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]


def quality_correlations(
    table: pd.DataFrame,
    measures: Sequence[str],
    qualities: Sequence[str] = ("mean_fd",),
    adjust_for: ArrayLike | None = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Correlate measures with quality (QC-F correlations; after Ciric 2017, doi 10.1016/j.neuroimage.2017.03.020).

    Parameters
    ----------
    table : pandas.DataFrame
        One row per person.
    measures, qualities : sequence of str
        Columns of numbers.
    adjust_for : array, shape (n, p), optional
        Columns that both are adjusted for in the partial correlation, such as a model's design.
    confidence : float
        Of the intervals (Fisher's z).

    Returns
    -------
    pandas.DataFrame
        One row per measure, quality and kind (``plain``, and ``partial`` when asked for): ``measure``, ``quality``,
        ``kind``, ``n``, ``r``, ``ci_low``, ``ci_high``, ``df``, ``p``, ``p_adj`` (Benjamini and Hochberg over the
        rows of one quality and kind), ``reason``.

    Raises
    ------
    UsageError
        When columns are absent or shapes do not fit.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"flexibility": [0.1, 0.2, 0.3, 0.4, 0.6], "mean_fd": [0.1, 0.2, 0.3, 0.4, 0.5]})
    >>> quality_correlations(table, ["flexibility"])["r"].round(3).tolist()
    [0.986]
    """
    import pandas as pd

    if absent := [name for name in (*measures, *qualities) if name not in table]:
        raise UsageError(f"no column {', '.join(absent)} in the table")
    given = None if adjust_for is None else np.asarray(adjust_for, dtype=np.float64)
    if given is not None and (given.ndim != 2 or len(given) != len(table)):
        raise UsageError(f"adjust_for has shape {given.shape}, the table {len(table)} rows")
    intercept = np.ones((len(table), 1))
    kinds = {"plain": intercept}
    if given is not None:
        kinds["partial"] = np.column_stack([intercept, given])
    columns = {name: numbers(table[name], name) for name in (*measures, *qualities)}
    rows = [
        {"measure": measure, "quality": quality, "kind": kind, "reason": "",
         **_correlate(columns[measure], columns[quality], nuisance, confidence)}
        for quality in qualities
        for kind, nuisance in kinds.items()
        for measure in measures
        if measure != quality
    ]  # fmt: skip
    names = ["measure", "quality", "kind", "n", "r", "ci_low", "ci_high", "df", "p", "p_adj", "reason"]
    found = pd.DataFrame(rows).reindex(columns=names)
    for _, group in found.groupby(["quality", "kind"]):
        found.loc[group.index, "p_adj"] = adjust(group["p"], "bh")
    return found


def _correlate(x: Floats, y: Floats, nuisance: Floats, confidence: float) -> dict[str, Any]:
    """Correlate what the nuisance columns leave of two variables."""
    from scipy.stats import norm, t

    here = np.isfinite(x) & np.isfinite(y) & np.isfinite(nuisance).all(axis=1)
    n, basis = int(here.sum()), nuisance[here]
    rank = int(np.linalg.matrix_rank(basis)) if n else 0
    df = n - 1 - rank
    if df < 2:
        return {"n": n, "reason": f"{counted(n, 'person with both values is', 'people with both values are')} too few"}
    left = [one[here] - basis @ np.linalg.lstsq(basis, one[here], rcond=None)[0] for one in (x, y)]
    sizes = [float(np.linalg.norm(one)) for one in left]
    if any(size <= 1e-10 * np.linalg.norm(one[here]) for size, one in zip(sizes, (x, y), strict=True)):
        return {"n": n, "reason": "one of them does not vary beyond the other columns"}
    r = float(np.clip(left[0] @ left[1] / (sizes[0] * sizes[1]), -1, 1))
    with np.errstate(divide="ignore"):
        p = float(2 * t.sf(abs(r) * np.sqrt(df / (1 - r**2)), df)) if abs(r) < 1 else 0.0
        margin = float(norm.ppf((1 + confidence) / 2)) / np.sqrt(df - 1)
        limits = np.tanh(np.arctanh(r) + np.array([-margin, margin]))
    return {"n": n, "r": r, "ci_low": float(limits[0]), "ci_high": float(limits[1]), "df": df, "p": p}
