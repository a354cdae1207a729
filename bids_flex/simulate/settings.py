"""What a simulated study is like."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bids_flex.errors import UsageError

NETWORKS = ("Vis", "SomMot", "DorsAttn", "SalVentAttn", "Limbic", "Cont", "Default")
"""The seven networks, by the names of Schaefer's atlas."""

COHORTS = ("turns", "study")
"""How people come by diagnosis and medication."""


@dataclass(frozen=True, slots=True)
class SimulationSettings:
    """Settings of a simulated study; every field can be changed.

    Attributes
    ----------
    participants, sessions, runs : int
        Number of people, of sessions of each (1 writes no ``ses-``), of runs of each session (1 writes no ``run-``).
    seed : int
        Everything follows from it; a person does not depend on how many others there are.
    tr_s, duration_s : float
        Repetition time and length of a run in seconds.
    voxel_mm : float
        Edge of the voxels.
    regions : int
        Number of regions, spread over seven networks.
    snr : float
        Sd of a region's network signal divided by the sd of its own.
    base_rate : float
        How many times a minute a region leaves its home network.
    person_spread : float
        People differ: sd of the logarithm of the factor that multiplies a person's rates.
    user_effect : float
        Added to the rate in users of antidepressants, in all regions.
    network_effect : float
        Added on top in ``effect_network``.
    effect_network : str
        Where users switch even more.
    away_s : float
        Mean time that a region stays away from home, in seconds.
    motion : float
        Scale of head motion; 0 turns motion and its artefacts off.
    motion_spread : float
        People differ: sd of the logarithm of the factor that multiplies a person's motion.
    patient_motion : float
        Factor of the motion of patients; of controls it is 1.
    noise : float
        Sd of thermal noise in a voxel, in per cent of the signal.
    non_steady_volumes : int
        Volumes at the start that are brighter because the signal is not in steady state yet.
    cohort : str
        ``turns``: users, non-users and controls in turn. ``study``: the 207 people of Broeders et al. (2024), in an
        order in which the first few are as mixed as all.
    """

    participants: int = 12
    sessions: int = 1
    runs: int = 1
    seed: int = 0
    tr_s: float = 2.0
    duration_s: float = 480.0
    voxel_mm: float = 8.0
    regions: int = 100
    snr: float = 2.0
    base_rate: float = 0.25
    person_spread: float = 0.3
    user_effect: float = 0.4
    network_effect: float = 0.4
    effect_network: str = "SomMot"
    away_s: float = 40.0
    motion: float = 1.0
    motion_spread: float = 0.0
    patient_motion: float = 1.0
    noise: float = 1.0
    non_steady_volumes: int = 1
    cohort: str = "turns"

    def __post_init__(self) -> None:
        """Refuse what cannot be simulated."""
        must = (
            ("participants", self.participants >= 1, "at least 1"),
            ("sessions", self.sessions >= 1, "at least 1"),
            ("runs", self.runs >= 1, "at least 1"),
            ("tr_s", 0 < self.tr_s < 5, "above 0 and below 5, so that the band up to 0.1 Hz can be seen"),
            ("duration_s", self.duration_s >= 20 * self.tr_s, "at least 20 volumes"),
            ("voxel_mm", 1 <= self.voxel_mm <= 12, "between 1 and 12"),
            ("regions", self.regions >= 2 * len(NETWORKS), f"at least {2 * len(NETWORKS)}"),
            ("snr", self.snr > 0, "above 0"),
            ("base_rate", self.base_rate >= 0, "at least 0"),
            ("person_spread", self.person_spread >= 0, "at least 0"),
            ("away_s", self.away_s > 0, "above 0"),
            ("motion", self.motion >= 0, "at least 0"),
            ("motion_spread", self.motion_spread >= 0, "at least 0"),
            ("patient_motion", self.patient_motion > 0, "above 0"),
            ("noise", self.noise >= 0, "at least 0"),
            ("cohort", self.cohort in COHORTS, f"one of {', '.join(COHORTS)}"),
            ("effect_network", self.effect_network in NETWORKS, f"one of {', '.join(NETWORKS)}"),
            ("user_effect", self.base_rate + self.user_effect >= 0, "such that no rate is below 0"),
            ("seed", self.seed >= 0, "at least 0"),
        )
        for name, holds, wanted in must:
            if not holds:
                raise UsageError(f"{name} is {getattr(self, name)}: it must be {wanted}")

    @property
    def volumes(self) -> int:
        """Volumes of a run."""
        return int(np.floor(self.duration_s / self.tr_s + 0.5))

    @property
    def region_networks(self) -> tuple[str, ...]:
        """Network of each region: blocks of nearly equal size."""
        return tuple(NETWORKS[region * len(NETWORKS) // self.regions] for region in range(self.regions))

    def generator(self, *key: int) -> np.random.Generator:
        """Make the random generator of a person, session, run: independent of all others."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))
