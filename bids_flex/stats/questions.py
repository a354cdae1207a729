"""The study's questions as models: diagnoses with and without medication in the model, and medication itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bids_flex.stats.models import short_model
from bids_flex.stats.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import pandas as pd


def diagnosis_models(
    table: pd.DataFrame,
    diagnosis: str,
    user: str,
    covariates: Sequence[str] = (),
    contrasts: Sequence[str] = (),
    categorical: Collection[str] = (),
    settings: Settings | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write the diagnosis model adjusted for medication, and the marginal one.

    Where controls take no medication, an effect of medication leaks into the marginal test: it rejects too often even
    if diagnoses do not differ. The adjusted model is the one to believe; the marginal one is for comparison.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per person.
    diagnosis : str
        Column of the factor.
    user : str
        Column that says who takes medication: two levels, such as 0 and 1.
    covariates, contrasts, categorical, settings
        As in :func:`short_model`.

    Returns
    -------
    adjusted, marginal : dict
        BIDS Stats Models documents named ``<diagnosis>`` and ``<diagnosis>-marginal``.
    """
    others = [one for one in covariates if one != user]
    return (
        short_model(table, diagnosis, [user, *others], contrasts, categorical, diagnosis, settings),
        short_model(table, diagnosis, others, contrasts, categorical, f"{diagnosis}-marginal", settings),
    )


def medication_models(
    table: pd.DataFrame,
    medication: str,
    diagnosis: str,
    covariates: Sequence[str] = (),
    user: str = "user",
    nonuser: str = "nonuser",
    categorical: Collection[str] = (),
    settings: Settings | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write the model of all levels of medication, and that of users against nonusers within patients.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per person.
    medication : str
        Column of the factor, such as user, nonuser and control.
    diagnosis : str
        Column that the comparison within patients is adjusted for.
    covariates, categorical, settings
        As in :func:`short_model`.
    user, nonuser : str
        The levels that are patients.

    Returns
    -------
    everybody, patients : dict
        BIDS Stats Models documents named ``<medication>`` and ``<medication>-patients``.
    """
    asked = settings or Settings()
    within = replace(asked, rows=(*asked.rows, (medication, (user, nonuser))))
    adjusted = [diagnosis, *(one for one in covariates if one != diagnosis)]
    plain = [one for one in covariates if one != diagnosis]
    pair = [f"{user} - {nonuser}"]
    return (
        short_model(table, medication, plain, (), categorical, medication, asked),
        short_model(table, medication, adjusted, pair, categorical, f"{medication}-patients", within),
    )
