"""A run's derivatives as figures need them: read table by table, so that one that is broken costs one figure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_flex import __version__
from bids_flex.bids.names import entities_of
from bids_flex.bids.results import read_sidecar
from bids_flex.config import ENGINES
from bids_flex.errors import DatasetFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from bids_flex.bids.atlases import KeptAtlas

UNNAMED = "no network"


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One run among the derivatives.

    Attributes
    ----------
    folder : Path
        Where its files are.
    stem : str
        Their names up to ``stat-`` or ``desc-``.
    engines : tuple of str
        Engines that have left results.
    atlas : KeptAtlas or None
        With the regions' networks and places.
    """

    folder: Path
    stem: str
    engines: tuple[str, ...]
    atlas: KeptAtlas | None

    @property
    def name(self) -> str:
        """Entities without those of the atlas, as the status table names the run."""
        return self.stem.partition("_atlas-")[0]

    def path(self, ending: str) -> Path:
        """Name a file of the run."""
        return self.folder / f"{self.stem}_{ending}"


def find_runs(folder: Path, atlas_of: Callable[[Mapping[str, str]], KeptAtlas | None]) -> list[Run]:
    """List the runs that have results below the folder of a participant or session, sorted by name.

    Parameters
    ----------
    folder : Path
        Of the participant or session.
    atlas_of : callable
        Gives the atlas that the entities of a result name.
    """
    found: dict[tuple[Path, str], list[str]] = {}
    for path in sorted(folder.rglob("func/*_desc-*_dynamics.json")):
        stem, _, engine = path.name.removesuffix("_dynamics.json").rpartition("_desc-")
        if engine in ENGINES:
            found.setdefault((path.parent, stem), []).append(engine)
    return [
        Run(where, stem, tuple(one for one in ENGINES if one in engines), atlas_of(entities_of(where / f"{stem}_x")))
        for (where, stem), engines in found.items()
    ]


def table(run: Run, ending: str) -> pd.DataFrame:
    """Read a table of a run.

    Raises
    ------
    DatasetFileError
        When it is missing or not whole.
    """
    import pandas as pd

    path = run.path(f"{ending}.tsv")
    try:
        return pd.read_csv(path, sep="\t", na_values=["n/a"], keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DatasetFileError(f"{path} cannot be read ({error}): run the participant level again") from error


def facts(run: Run, ending: str) -> dict[str, Any]:
    """Read a sidecar of a run.

    Raises
    ------
    DatasetFileError
        When it is missing or not whole.
    """
    found = read_sidecar(run.path(f"{ending}.json"))
    if found is None:
        raise DatasetFileError(f"{run.path(ending)}.json is missing or not whole: run the participant level again")
    return found


def summary(run: Run, engine: str) -> dict[str, Any]:
    """Read the summary of an engine."""
    return facts(run, f"desc-{engine}_dynamics")


def networks_of(run: Run, regions: Sequence[str]) -> list[str]:
    """Name the network of each region, from the dictionary of the table of series."""
    known = facts(run, "stat-mean_timeseries")
    return [(known.get(name) or {}).get("Network") or UNNAMED for name in regions]


@dataclass(frozen=True, slots=True)
class Order:
    """Regions sorted by network, in the order of the atlas within each.

    Attributes
    ----------
    places : ndarray of int, shape (N,)
        Places of the regions in their tables.
    names : tuple of str
        Networks, in the order of the atlas.
    bounds : tuple of int
        Where each network begins; the last is the number of regions.
    """

    places: NDArray[np.int64]
    names: tuple[str, ...]
    bounds: tuple[int, ...]

    @property
    def middles(self) -> list[float]:
        """The middle of each network, where its name goes."""
        return [(start + stop - 1) / 2 for start, stop in zip(self.bounds, self.bounds[1:], strict=False)]


def by_network(networks: Sequence[str]) -> Order:
    """Sort regions by network."""
    names = tuple(dict.fromkeys(networks))
    numbers = np.array([names.index(one) for one in networks], dtype=np.int64)
    places = np.argsort(numbers, kind="stable")
    bounds = np.searchsorted(numbers[places], np.arange(len(names) + 1))
    return Order(places, names, tuple(int(one) for one in bounds))


def fingerprint_of(run: Run) -> str:
    """Name what figures are drawn from, and by: settings, inputs and versions."""
    last = summary(run, run.engines[-1])
    return json.dumps(
        [last.get("SettingsHash"), last.get("InputFingerprint"), last.get("SoftwareVersion"), __version__]
    )
