"""The people of a simulated study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bids_flex.simulate.settings import SimulationSettings

MEDICATION = ("user", "nonuser", "control")
DIAGNOSES = ("mdd", "anxiety", "comorbid")


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


def make_cohort(settings: SimulationSettings) -> tuple[Person, ...]:
    """Make the people: users, non-users and controls in turn, patients with the three diagnoses in turn.

    Controls never use antidepressants, as in the study that this follows.

    Returns
    -------
    tuple of Person
        ``rate`` is the number of times a minute that a region leaves home, ``network_rate`` that of the regions of the
        network where users switch even more.
    """
    width = max(2, len(str(settings.participants)))
    return tuple(_person(settings, number, width) for number in range(settings.participants))


def _person(settings: SimulationSettings, number: int, width: int) -> Person:
    """Draw one person."""
    rng = settings.generator(number)
    medication = MEDICATION[number % 3]
    user = medication == "user"
    age, sex = round(float(rng.uniform(18, 65)), 1), str(rng.choice(["F", "M"]))
    education, site = int(rng.integers(8, 19)), str(rng.choice(["A", "B", "C"]))
    own = float(rng.lognormal(0.0, settings.person_spread))
    rate = settings.base_rate + user * settings.user_effect
    return Person(
        label=f"{number + 1:0{width}d}",
        group="control" if medication == "control" else DIAGNOSES[number // 3 % 3],
        antidepressant=medication,
        age=age,
        sex=sex,
        education=education,
        site=site,
        rate=own * rate,
        network_rate=own * (rate + user * settings.network_effect),
    )
