"""Sweeps over resolution and coupling as tables and facts, and back again for the group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bids_flex import dynamics
from bids_flex.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bids_flex.dynamics import Domains, Landscape

    Floats = NDArray[np.float64]

RULE = (
    "Middle of the widest domain whose partition has at least two communities in every window and at most a tenth of "
    "the regions alone; groups are not known here. A domain hardly wider than the grid's cells says little: look at "
    "its share."
)

BESIDE = {"fewest": "fewest_communities", "alone": "share_alone"}
PLANES = ("plane_constant", "plane_gamma", "plane_omega")


def domains_of(landscape: Landscape) -> Domains:
    """Find which partitions are best where, over the rectangle of the grid."""
    sides = ((float(one.min()), float(one.max())) for one in (landscape.gamma, landscape.omega))
    return dynamics.champ_domains(landscape.planes, *sides)


def landscape_columns(landscape: Landscape) -> dict[str, NDArray[Any]]:
    """Give one row per grid point, and all that pooling over runs needs."""
    table = dynamics.landscape_table(landscape, domains_of(landscape))
    beside = {column: getattr(landscape, name) for name, column in BESIDE.items()}
    return {**table, **beside, **dict(zip(PLANES, landscape.planes.T, strict=True))}


def landscape_facts(landscape: Landscape) -> dict[str, Any]:
    """Say what was searched, which partitions are best where, and what follows for gamma and omega."""
    domains = domains_of(landscape)
    return {
        "ModularityNull": landscape.null,
        "A": landscape.a,
        "TotalWeight": landscape.two_m,
        "CouplingWeight": landscape.links,
        "Domains": [
            {
                "Gamma": float(landscape.gamma[partition]),
                "Omega": float(landscape.omega[partition]),
                "Share": float(share),
                "Vertices": vertices.tolist(),
            }
            for partition, share, vertices in zip(domains.partition, domains.share, domains.vertices, strict=True)
        ],
        "Recommended": _recommended(landscape, domains),
    }


def _recommended(landscape: Landscape, domains: Domains) -> dict[str, Any]:
    """Recommend, or say why not."""
    try:
        gamma, omega = dynamics.recommend(landscape, domains)
    except RunError as error:
        return {"Gamma": None, "Omega": None, "Rule": RULE, "Reason": str(error)}
    best = int(np.argmax(landscape.planes @ np.array([1.0, gamma, omega])))
    return {"Gamma": gamma, "Omega": omega, "Share": float(domains.share[domains.of_plane[best]]), "Rule": RULE}


def read_landscape(columns: Mapping[str, Floats], facts: Mapping[str, Any]) -> Landscape:
    """Put a landscape together again from its table and its facts; labels stay with the run."""
    points = len(columns["gamma"])
    a = facts["A"]
    return dynamics.Landscape(
        gamma=columns["gamma"],
        omega=columns["omega"],
        quality_mean=columns["quality_mean"],
        quality_sd=columns["quality_sd"],
        quality_best=columns["quality_best"],
        n_communities_mean=columns["n_communities_mean"],
        flexibility_mean=columns["flexibility_mean"],
        flexibility_sd=columns["flexibility_sd"],
        planes=np.column_stack([columns[name] for name in PLANES]),
        fewest=columns[BESIDE["fewest"]].astype(np.int64),
        alone=columns[BESIDE["alone"]],
        best=np.empty((points, 0, 0), dtype=np.int16),
        two_m=float(facts["TotalWeight"]),
        links=float(facts["CouplingWeight"]),
        null=facts["ModularityNull"],
        a=float("nan") if a is None else float(a),
    )
