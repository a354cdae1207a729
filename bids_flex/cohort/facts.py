"""Summaries of runs to what a table needs of them: who, which windows, what quality, global and network values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_flex.bids.names import join_entities
from bids_flex.bids.summaries import AGAIN, find_summaries, read_summary
from bids_flex.cohort.people import Column, few
from bids_flex.errors import DatasetFileError, NoMatchError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from bids_flex.bids.results import RunResult
    from bids_flex.cohort.people import Kind, Level

    Floats = NDArray[np.float64]

Key = tuple[str, str, str]
"""Participant (``sub-01``), session (``1``) and run, as in the tables; empty where there is none."""

COMMON_QUALITY = (
    "mean_fd",
    "share_kept",
    "kept_minutes",
    "degrees_of_freedom",
    "mean_absolute_r",
    "lag1_autocorrelation",
)
ENGINE_QUALITY: dict[str, dict[str, tuple[str, ...]]] = {
    "prior": {"prior_share_unsettled": ("Convergence", "WindowsNotConverged")},
    "multilayer": {
        "multilayer_modularity": ("OverRestarts", "Quality", "Mean"),
        "multilayer_communities": ("OverRestarts", "Communities", "Mean"),
    },
}
"""Quality of a search, and where summaries tell it."""

KINDS: tuple[Kind, ...] = ("excess", "z")
ALL_KINDS: tuple[Kind, ...] = ("null_mean", "null_sd", "excess", "z", "p")
"""What is said of a measure beside its observed value: in wide tables, and in the long one."""

NOT_OF_A_RUN = ("sub", "ses", "space", "res", "den", "atlas", "seg", "scale", "stat", "desc")


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Columns that many runs share; compared by identity, because comparing thousands of names for each run is slow."""

    columns: tuple[Column, ...]
    counts: NDArray[np.bool_]
    """Which of them hold counts of mutual changes."""


def layout_of(columns: tuple[Column, ...]) -> Layout:
    """Make a layout of columns; do it once for all runs that share them."""
    counts = [one.measure == "cohesion_strength" and one.kind not in {"z", "p"} for one in columns]
    return Layout(columns, np.array(counts, dtype=bool))


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """What the summary of one run and one engine says.

    Attributes
    ----------
    path : Path
        The summary.
    engine : str
        Whose.
    key : tuple of str
        Participant, session, run.
    settings : str
        Hash of the scientific settings.
    tr_s, window_s, step_s : float
        In seconds.
    planned, windows, pairs : int
        Windows laid over the run, those analysed, and their valid pairs.
    in_atlas, searched : int
        Regions.
    networks : tuple of str
        In the order of their numbers.
    missing : tuple of str
        Regions that were not searched.
    quality : dict
        As in the tables.
    layout : Layout
        Columns of ``values``.
    values : ndarray
        Global and network values.
    """

    path: Path
    engine: str
    key: Key
    settings: str
    tr_s: float
    window_s: float
    step_s: float
    planned: int
    windows: int
    pairs: int
    in_atlas: int
    searched: int
    networks: tuple[str, ...]
    missing: tuple[str, ...]
    quality: dict[str, float]
    layout: Layout
    values: Floats

    @property
    def name(self) -> str:
        """Name the run as users do."""
        return self.path.name.partition("_space-")[0].partition("_atlas-")[0].partition("_desc-")[0]


def read_facts(output_dir: Path, engines: Sequence[str] | None, primary: str) -> dict[str, dict[Key, Facts]]:
    """Read the summaries of all runs.

    Parameters
    ----------
    output_dir : Path
        Our derivatives.
    engines : sequence of str or None
        Which; None takes all that have left results.
    primary : str
        Must be among them.

    Returns
    -------
    dict of str to dict
        By engine, the primary one first, and by participant, session and run, sorted.

    Raises
    ------
    NoMatchError
        When there are no results, or none of an engine that was asked for.
    DatasetFileError
        When one is not whole, runs were analysed with different settings, or a run was analysed twice.
    """
    found = find_summaries(output_dir)
    if not found:
        raise NoMatchError(f"no results of the participant level in {output_dir}: run it first, into the same folder")
    wanted = tuple(dict.fromkeys([primary, *(engines if engines is not None else found)]))
    for engine in wanted:
        if engine not in found:
            raise NoMatchError(
                f"no results of the engine {engine} in {output_dir}: there are some of {', '.join(found)}; "
                "choose it with --primary-engine, or run the participant level with both"
            )
    facts = {engine: _keyed([facts_of(read_summary(path)) for path in found[engine]]) for engine in wanted}
    refuse_mixture(one for by_key in facts.values() for one in by_key.values())
    return facts


def _keyed(facts: Iterable[Facts]) -> dict[Key, Facts]:
    """Sort runs by their key, and refuse two results of one run."""
    found: dict[Key, Facts] = {}
    for one in facts:
        if one.key in found:
            raise DatasetFileError(
                f"a run was analysed twice, in two spaces, resolutions or atlases: {found[one.key].path} "
                f"and {one.path}: keep one kind in this folder"
            )
        found[one.key] = one
    return dict(sorted(found.items()))


def refuse_mixture(facts: Iterable[Facts]) -> None:
    """Refuse runs that were analysed with different settings: their measures cannot be compared."""
    by_hash: dict[str, list[str]] = {}
    for one in facts:
        by_hash.setdefault(one.settings, []).append(one.path.name)
    if len(by_hash) > 1:
        told = "; ".join(f"{len(names)} results with {key} ({few(names)})" for key, names in by_hash.items())
        raise DatasetFileError(f"runs were analysed with different settings: {told}: keep one kind in this folder")


def facts_of(result: RunResult) -> Facts:
    """Take from a summary what a table needs.

    Raises
    ------
    DatasetFileError
        When something of it is missing.
    """
    try:
        return _facts(result)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DatasetFileError(f"{result.path} is not a whole sidecar of bids_flex ({error!r}): {AGAIN}") from error


def _facts(result: RunResult) -> Facts:
    told, entities = result.summary, result.entities
    windows, engine = told["Windows"], str(told["Engine"])
    pairs, searched = int(windows["ValidPairs"]), int(told["Regions"]["Searched"])
    layout, values = told_row(told)
    return Facts(
        path=result.path,
        engine=engine,
        key=(f"sub-{entities['sub']}", entities.get("ses", ""), run_label(entities)),
        settings=str(told["SettingsHash"]),
        tr_s=float(told["RepetitionTime"]),
        window_s=float(windows["LengthSeconds"]),
        step_s=float(windows["StepSeconds"]),
        planned=int(windows["Analysed"]) + len(windows["Dropped"]),
        windows=int(windows["Analysed"]),
        pairs=pairs,
        in_atlas=int(told["Regions"]["InAtlas"]),
        searched=searched,
        networks=tuple(told["Networks"]),
        missing=tuple(told["Regions"]["Missing"]),
        quality=_quality(engine, told),
        layout=layout,
        values=scaled(layout, values, pairs, searched),
    )


def run_label(entities: Mapping[str, str]) -> str:
    """Name a run within its participant and session."""
    return join_entities({key: label for key, label in entities.items() if key not in NOT_OF_A_RUN})


def _quality(engine: str, told: Mapping[str, Any]) -> dict[str, float]:
    """Collect the quality of a run and of its search."""
    given = told["Quality"]
    quality = {name: _number(given.get(name)) for name in COMMON_QUALITY}
    quality["share_kept"] = 1.0 - _number(given.get("share_censored"))
    for name, way in ENGINE_QUALITY.get(engine, {}).items():
        value: Any = told
        for step in way:
            value = value.get(step) if isinstance(value, dict) else None
        quality[name] = _number(value)
    if "prior_share_unsettled" in quality:
        quality["prior_share_unsettled"] /= max(told["Windows"]["Analysed"], 1)
    return quality


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def told_row(told: Mapping[str, Any], kinds: tuple[Kind, ...] = KINDS) -> tuple[Layout, Floats]:
    """List the values of a summary: for the whole brain and each network, observed ones, and what null models say."""
    null: dict[str, Any] = told["NullModel"]
    networks: dict[str, Any] = told["Networks"]
    held = tuple(null.get("Global", ()))
    levels: list[tuple[dict[str, Any], dict[str, Any]]] = [(told["Global"], null.get("Global", {}))]
    for name, values in networks.items():
        levels.append((values, null["Networks"][name] if held else {}))
    listed: list[float | None] = []
    for observed, compared in levels:
        listed += observed.values()
        listed += [compared[name][kind] for kind in kinds for name in held]
    of_networks = tuple(levels[-1][0]) if networks else ()
    layout = _layout(str(told["Engine"]), tuple(told["Global"]), of_networks, held, tuple(networks), kinds)
    return layout, np.array(listed, dtype=np.float64)


@cache
def _layout(
    engine: str,
    measures: tuple[str, ...],
    of_networks: tuple[str, ...],
    held: tuple[str, ...],
    networks: tuple[str, ...],
    kinds: tuple[Kind, ...],
) -> Layout:
    places: list[tuple[Level, str, tuple[str, ...]]] = [("global", "", measures)]
    places += [("network", name, of_networks) for name in networks]
    found = []
    for level, network, names in places:
        found += [column_of(engine, name, "observed", level, network) for name in names]
        found += [column_of(engine, name, kind, level, network) for kind in kinds for name in held]
    return layout_of(tuple(found))


def column_of(engine: str, measure: str, kind: Kind, level: Level, network: str = "", region: str = "") -> Column:
    """Name a column: ``ENGINE_MEASURE[_KIND][_NETWORK or _REGION]``."""
    parts = (engine, measure, "" if kind == "observed" else kind, region or network)
    return Column("_".join(part for part in parts if part), engine, measure, kind, level, network, region)


def scaled(layout: Layout, values: Floats, pairs: int, searched: int) -> Floats:
    """Divide counts of mutual changes by pairs and other regions: group tables compare runs of unequal length."""
    most = pairs * (searched - 1)
    values[layout.counts] /= most if most > 0 else np.nan
    return values
