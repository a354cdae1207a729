"""Communities over time as colours that stay: the same for a network and for the community that lies on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bids_flex.reports.run import facts, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bids_flex.reports.run import Run

WHICH = {"prior": "prior", "multilayer": "multilayerconsensus"}
"""The labels of an engine that are drawn."""


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """Communities of one engine.

    Attributes
    ----------
    regions : tuple of str
        Columns of ``values``.
    values : ndarray of int, shape (windows, regions)
        Place of the community's colour, from 0; -1 where it was not searched.
    centres_min : ndarray, shape (windows,)
        Middle of each window in minutes.
    step_min : float
        Step between windows.
    names : tuple of str
        Of each colour: networks first, then communities that lie on none.
    """

    regions: tuple[str, ...]
    values: NDArray[np.int64]
    centres_min: NDArray[np.float64]
    step_min: float
    names: tuple[str, ...]

    @property
    def changes(self) -> NDArray[np.float64]:
        """Share of regions that change between neighbouring windows; NaN across a gap."""
        both = (self.values[1:] >= 0) & (self.values[:-1] >= 0)
        changed = ((self.values[1:] != self.values[:-1]) & both).sum(axis=1) / np.maximum(both.sum(axis=1), 1)
        near = np.isclose(np.diff(self.centres_min), self.step_min, rtol=1e-3)
        return np.where(near, changed, np.nan)


def read_labels(run: Run, engine: str, networks: Sequence[str]) -> Labels:
    """Read the communities of an engine in colours that networks share.

    Parameters
    ----------
    run : Run
        The run.
    engine : str
        ``prior``, whose communities are networks, or ``multilayer``, whose communities take the colour of the network
        that they share most regions and windows with (Kuhn 1955, as in scipy), one each.
    networks : sequence of str
        Network of each region.
    """
    ending = f"desc-{WHICH[engine]}_communities"
    found, told = table(run, ending), facts(run, ending)
    regions = tuple(found.columns[3:])
    labels = found[list(regions)].fillna(0).to_numpy(dtype=np.int64)
    named = tuple(dict.fromkeys(networks))
    if engine == "prior":
        levels = told[regions[0]].get("Levels", {})
        names = [levels.get(str(number), str(number)) for number in range(1, max(labels.max(), len(levels)) + 1)]
        all_names = tuple(dict.fromkeys([*named, *names]))
        places = np.array([-1, *(all_names.index(name) for name in names)])
    else:
        home = np.array([named.index(one) for one in networks])
        places, all_names = _matched(labels, home, named)
    centres = (found["onset"] + found["duration"] / 2).to_numpy(dtype=float) / 60
    return Labels(regions, places[labels], centres, float(told["Windows"]["StepSeconds"]) / 60, all_names)


def _matched(
    labels: NDArray[np.int64], home: NDArray[np.int64], networks: tuple[str, ...]
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Give each community the place of the network that it overlaps most; those left over get places of their own."""
    from scipy.optimize import linear_sum_assignment

    count = int(labels.max())
    overlap = np.zeros((count + 1, len(networks)), dtype=np.int64)
    np.add.at(overlap, (labels, np.broadcast_to(home, labels.shape)), 1)
    rows, columns = linear_sum_assignment(overlap[1:], maximize=True)
    places = np.full(count + 1, -1, dtype=np.int64)
    places[rows + 1] = columns
    left = [number for number in range(1, count + 1) if places[number] < 0]
    places[left] = len(networks) + np.arange(len(left))
    return places, (*networks, *(f"community {number}" for number in left))
