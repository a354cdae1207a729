"""The people of a simulated study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bids_flex.simulate.settings import SimulationSettings

MEDICATION = ("user", "nonuser", "control")
DIAGNOSES = ("mdd", "anxiety", "comorbid")

CELLS = {
    ("mdd", "user"): 17,
    ("mdd", "nonuser"): 32,
    ("anxiety", "user"): 9,
    ("anxiety", "nonuser"): 37,
    ("comorbid", "user"): 23,
    ("comorbid", "nonuser"): 32,
    ("control", "control"): 57,
}
"""People of each diagnosis and medication. Broeders et al. (2024) give the margins alone: 49 depressed, 46 anxious, 55
both, 57 controls; 49 users, 101 non-users. Cells within the margins are ours, with few users among the anxious."""


@dataclass(frozen=True, slots=True)
class Person:
    """One participant: a row of participants.tsv, and how much their regions switch."""

    label: str
    group: str
    antidepressant: str
    age: float
    sex: str
    education: int
    site: str
    rate: float
    network_rate: float
    motion: float


def make_cohort(settings: SimulationSettings) -> tuple[Person, ...]:
    """Make the people: in turn, or with the cells of the study that this follows.

    Controls never use antidepressants, as in that study.

    Returns
    -------
    tuple of Person
        ``rate`` is the number of times a minute that a region leaves home, ``network_rate`` that of the regions of the
        network where users switch even more; ``motion`` scales the person's motion.
    """
    width = max(2, len(str(settings.participants)))
    cells = _study_cells() if settings.cohort == "study" else _turns()
    return tuple(
        _person(settings, number, width, *cells[number % len(cells)]) for number in range(settings.participants)
    )


def _turns() -> tuple[tuple[str, str], ...]:
    """List diagnosis and medication: users, non-users and controls in turn, patients with the diagnoses in turn."""
    return tuple(
        ("control" if medication == "control" else diagnosis, medication)
        for diagnosis in DIAGNOSES
        for medication in MEDICATION
    )


def _study_cells() -> tuple[tuple[str, str], ...]:
    """List the people of the study's cells, each cell spread evenly over the list."""
    places = [((k + 0.5) / count, cell) for cell, count in CELLS.items() for k in range(count)]
    return tuple(cell for _, cell in sorted(places))


def _person(settings: SimulationSettings, number: int, width: int, diagnosis: str, medication: str) -> Person:
    """Draw one person."""
    rng = settings.generator(number)
    user = medication == "user"
    age, sex = round(float(rng.uniform(18, 65)), 1), str(rng.choice(["F", "M"]))
    education, site = int(rng.integers(8, 19)), str(rng.choice(["A", "B", "C"]))
    own = float(rng.lognormal(0.0, settings.person_spread))
    rate = settings.base_rate + user * settings.user_effect
    moving = settings.motion * float(rng.lognormal(0.0, settings.motion_spread))
    return Person(
        label=f"{number + 1:0{width}d}",
        group=diagnosis,
        antidepressant=medication,
        age=age,
        sex=sex,
        education=education,
        site=site,
        rate=own * rate,
        network_rate=own * (rate + user * settings.network_effect),
        motion=moving * (1.0 if medication == "control" else settings.patient_motion),
    )
