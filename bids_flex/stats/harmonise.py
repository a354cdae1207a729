"""Sites taken out of outcomes by ComBat, what is tested protected."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bids_flex.errors import DatasetFileError, UsageError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def harmonise(values: Floats, sites: pd.Series, protected: Floats) -> Floats:
    """Take sites out of outcomes by ComBat (Johnson 2007, doi 10.1093/biostatistics/kxj037; Fortin 2018).

    Outcomes that everybody has share the priors of the sites' effects; one that some people lack is harmonised alone.

    Parameters
    ----------
    values : array, shape (n, m)
        Outcomes; NaN is missing and stays.
    sites : pandas.Series, length n
        Site of each row.
    protected : array, shape (n, p)
        Design whose effects are kept; columns that the sites explain are left out of it.

    Returns
    -------
    ndarray, shape (n, m)

    Raises
    ------
    UsageError
        When neuroHarmonize is not installed.
    DatasetFileError
        When there is one site, or a site has a single person.
    """
    out = np.array(values, dtype=np.float64)
    finite = np.isfinite(out)
    whole = np.flatnonzero(finite.all(axis=0))
    partial = np.flatnonzero(finite.any(axis=0) & ~finite.all(axis=0))
    for columns in (whole, *partial[:, None]):
        if columns.size:
            here = finite[:, columns[0]]
            # one site or lone people in an incomplete outcome are an error as well: half a correction misleads
            block = np.ix_(here, columns)
            out[block] = _combat(out[block], sites.to_numpy()[here].astype(str), protected[here])
    return out


def _combat(values: Floats, sites: NDArray[np.str_], protected: Floats) -> Floats:
    """Run neuroHarmonize on complete outcomes; those that are constant stay as they are."""
    import pandas as pd

    try:
        from neuroHarmonize import harmonizationLearn
    except ImportError as error:
        raise UsageError("Harmonise needs neuroHarmonize: install bids-flex[harmonise]") from error
    names, counts = np.unique(sites, return_counts=True)
    if len(names) < 2:
        raise DatasetFileError(f"all rows are of site {names[0]}: there is nothing to harmonise, remove Harmonise")
    if (counts < 2).any():
        lone = ", ".join(names[counts < 2])
        raise DatasetFileError(f"site {lone} has one person: ComBat needs two or more, leave it out or merge sites")
    covariates = pd.DataFrame(_beyond_sites(sites, names, protected)).add_prefix("kept")
    covariates.insert(0, "SITE", sites)
    varying = np.ptp(values, axis=0) > 0
    out = values.copy()
    if varying.any():
        # with a seed given, the library leaves the global random state alone
        out[:, varying] = harmonizationLearn(values[:, varying], covariates, eb=int(varying.sum()) > 1, seed=0)[1]
    return out


def _beyond_sites(sites: NDArray[np.str_], names: NDArray[np.str_], protected: Floats) -> Floats:
    """Choose the columns of a design that sites and the columns before do not explain."""
    basis = (sites[:, None] == names).astype(float)
    chosen = np.zeros((len(sites), 0))
    for column in protected.T:
        trial = np.column_stack([basis, chosen, column])
        if np.linalg.matrix_rank(trial) == trial.shape[1]:
            chosen = np.column_stack([chosen, column])
    return chosen
