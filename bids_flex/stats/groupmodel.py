"""A model tested on many outcomes: one tidy row for each outcome and contrast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_flex.errors import UsageError
from bids_flex.stats.design import numbers
from bids_flex.stats.families import adjust_families, written_families
from bids_flex.stats.harmonise import harmonise
from bids_flex.stats.matrix import build_design
from bids_flex.stats.permutation import freedman_lane
from bids_flex.stats.repeated import differences
from bids_flex.stats.rows import TEST_COLUMNS, contrast_rows, why_untestable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from bids_flex.stats.families import Correction
    from bids_flex.stats.matrix import ModelDesign
    from bids_flex.stats.models import GroupModel
    from bids_flex.stats.outcome import Outcome

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class ModelResult:
    """What a model has come to.

    Attributes
    ----------
    tests : pandas.DataFrame
        One row per outcome and contrast.
    families : pandas.DataFrame
        The families that were corrected over, written out.
    design : ModelDesign
        Of the rows that have everything but, maybe, an outcome.
    participants : tuple of str
        Of the design's rows.
    dropped : pandas.DataFrame
        ``outcome`` (or ``all``), ``participant_id``, ``reason``.
    table : pandas.DataFrame
        The design's rows with the outcomes as they were tested (differences taken, sites harmonised).
    """

    tests: pd.DataFrame
    families: pd.DataFrame
    design: ModelDesign
    participants: tuple[str, ...]
    dropped: pd.DataFrame
    table: pd.DataFrame


def fit_model(
    model: GroupModel,
    table: pd.DataFrame,
    outcomes: Sequence[Outcome],
    corrections: Mapping[str, Correction] | None = None,
    threads: int | None = None,
) -> ModelResult:
    """Test every contrast of a model on every outcome.

    Parameters
    ----------
    model : GroupModel
        From :func:`read_models`.
    table : pandas.DataFrame
        One row per person (or per person and session), with ``participant_id``.
    outcomes : sequence of Outcome
        What to test.
    corrections : mapping, optional
        Correction of each family; Holm by default. A family's omnibus tests are corrected apart from its contrasts.
        With ``max-T`` the family is one measure's outcomes under one contrast; those that some people lack have their
        own permutation, corrected by Benjamini and Hochberg, in a family ``... (incomplete)``.
    threads : int, optional
        Of the permutations; the result is the same for any.

    Returns
    -------
    ModelResult

    Raises
    ------
    UsageError
        When outcomes are not in the table.
    DatasetFileError
        When the model cannot be built.

    Examples
    --------
    >>> import pandas as pd
    >>> from bids_flex import stats
    >>> people = pd.DataFrame({"participant_id": [f"sub-{n}" for n in range(1, 9)], "group": ["a", "b"] * 4})
    >>> people["flexibility"] = [0.10, 0.20, 0.12, 0.22, 0.11, 0.23, 0.09, 0.21]
    >>> (model,) = stats.read_models(stats.short_model(people, "group", contrasts=["b - a"]))
    >>> outcome = stats.Outcome("flexibility", "flexibility", "prior", "global", "", "", "flexibility")
    >>> stats.fit_model(model, people, [outcome]).tests[["contrast", "estimate", "p_perm"]].round(3)
      contrast  estimate  p_perm
    0    b - a      0.11   0.029
    """
    table, lost = _prepared(model, table, outcomes)
    design = build_design(model, table)
    people = table.iloc[design.rows].reset_index(drop=True)
    people, values = _values(model, people, outcomes, design)
    labels = tuple(people["participant_id"].astype(str))
    tests = _tests(model, design, people, values, outcomes, corrections or {}, threads)
    return ModelResult(tests, written_families(tests), design, labels, _dropped(lost, design, values, outcomes, labels),
                       people)  # fmt: skip


def _prepared(
    model: GroupModel, table: pd.DataFrame, outcomes: Sequence[Outcome]
) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """Check the outcomes' columns, and take differences where the model is of pairs."""
    columns = [one.column for one in outcomes]
    if not columns or (absent := [name for name in columns if name not in table]):
        raise UsageError(f"no outcome {', '.join(absent) if columns else 'is named'} in the table")
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        raise UsageError(f"outcome {', '.join(twice)} is named twice")
    table = table.reset_index(drop=True)
    if not model.settings.difference:
        return table, []
    column, first, second = model.settings.difference
    return differences(model.settings.select(table), column, first, second, columns)


def _values(
    model: GroupModel, people: pd.DataFrame, outcomes: Sequence[Outcome], design: ModelDesign
) -> tuple[pd.DataFrame, Floats]:
    """Read the outcomes as numbers (n, m), sites taken out where asked; what is not finite is missing."""
    values = np.column_stack([numbers(people[one.column], one.column) for one in outcomes])
    values[~np.isfinite(values)] = np.nan
    if site := model.settings.harmonise:
        for kind in dict.fromkeys((one.engine, one.measure, one.level) for one in outcomes):
            places = [at for at, one in enumerate(outcomes) if (one.engine, one.measure, one.level) == kind]
            values[:, places] = harmonise(values[:, places], people[site].astype(str), design.matrix)
    return people.assign(**{one.column: column for one, column in zip(outcomes, values.T, strict=True)}), values


def _dropped(
    lost: list[tuple[str, str]],
    design: ModelDesign,
    values: Floats,
    outcomes: Sequence[Outcome],
    labels: tuple[str, ...],
) -> pd.DataFrame:
    """List who is left out, of what, and why."""
    import pandas as pd

    rows = [("all", label, reason) for label, reason in (*lost, *design.dropped)]
    for place, outcome in enumerate(outcomes):
        gone = np.flatnonzero(np.isnan(values[:, place]))
        rows += [(outcome.column, labels[row], f"no value of {outcome.column}") for row in gone]
    return pd.DataFrame(rows, columns=["outcome", "participant_id", "reason"])


def _tests(
    model: GroupModel,
    design: ModelDesign,
    people: pd.DataFrame,
    values: Floats,
    outcomes: Sequence[Outcome],
    corrections: Mapping[str, Correction],
    threads: int | None,
) -> pd.DataFrame:
    """Test outcomes in batches of the same people."""
    import pandas as pd

    found: dict[tuple[int, str], dict[str, Any]] = {}
    for here, places in _batches(np.isfinite(values)):
        for row in _batch(model, design, people, here, values, places, outcomes, threads):
            found[row.pop("place"), row["contrast"]] = row
    rows = []
    for place, outcome in enumerate(outcomes):
        complete = bool(np.isfinite(values[:, place]).all())
        for contrast, weights in design.contrasts.items():
            family, correction = _family(outcome, contrast, weights, corrections, complete=complete)
            told = {name: getattr(outcome, name) for name in ("engine", "measure", "level", "network", "region")}
            rows.append(
                {"model": model.name, "outcome": outcome.column, **told, "family": family, "correction": correction,
                 **found[place, contrast]}
            )  # fmt: skip
    return adjust_families(pd.DataFrame(rows).reindex(columns=list(TEST_COLUMNS))).reindex(columns=list(TEST_COLUMNS))


def _batches(finite: Flags) -> Iterator[tuple[Flags, list[int]]]:
    """Group the outcomes that the same people have."""
    patterns: dict[bytes, list[int]] = {}
    for place, column in enumerate(finite.T):
        patterns.setdefault(column.tobytes(), []).append(place)
    for places in patterns.values():
        yield finite[:, places[0]], places


def _family(
    outcome: Outcome,
    contrast: str,
    weights: Floats,
    corrections: Mapping[str, Correction],
    *,
    complete: bool,
) -> tuple[str, Correction]:
    """Name the family of a test, and its correction."""
    correction = corrections.get(outcome.family, "holm")
    name = f"{outcome.family} (omnibus)" if weights.ndim == 2 else outcome.family
    if correction != "max-T":
        return name, correction
    of = " ".join(part for part in (outcome.engine, outcome.measure) if part)
    name = f"{outcome.family}: {of}, {contrast}"
    return (name, "max-T") if complete else (f"{name} (incomplete)", "bh")


def _batch(
    model: GroupModel,
    design: ModelDesign,
    people: pd.DataFrame,
    here: Flags,
    values: Floats,
    places: list[int],
    outcomes: Sequence[Outcome],
    threads: int | None,
) -> Iterator[dict[str, Any]]:
    """Test outcomes that the same people have."""
    settings = model.settings
    matrix, y = design.matrix[here], values[here][:, places]
    reasons = [why_untestable(column, matrix, design, settings.statistic) for column in y.T]
    good = [at for at, reason in enumerate(reasons) if not reason]
    for at, reason in enumerate(reasons):
        if reason:
            for name, weights in design.contrasts.items():
                test = "F" if weights.ndim == 2 else "t"
                yield {"place": places[at], "contrast": name, "test": test, "n": len(y), "reason": reason}
    if not good:
        return
    kinds = [(outcomes[places[at]].family, outcomes[places[at]].engine, outcomes[places[at]].measure) for at in good]
    numbered = [list(dict.fromkeys(kinds)).index(kind) for kind in kinds]
    blocks = people.loc[here, settings.blocks].astype(str).to_numpy() if settings.blocks else None
    permuted = freedman_lane(
        y[:, good], matrix, list(design.contrasts.values()), settings.permutations, settings.seed, blocks,
        settings.exchange, settings.statistic, threads, numbered, settings.rearrange,  # type: ignore[arg-type]
    )  # fmt: skip
    for row in contrast_rows(y[:, good], matrix, design, settings, permuted):
        yield {**row, "place": places[good[row["place"]]]}
