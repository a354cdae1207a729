"""What universes share: each step of a run is named by all the settings that it, or a step before it, looks at."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from bids_flex.config import DenoiseSettings, EngineSettings, Science

if TYPE_CHECKING:
    from collections.abc import Hashable

    from bids_flex.config import EngineName

_DENOISE, _SCIENCE = DenoiseSettings(), Science()


@dataclass(frozen=True, slots=True)
class Steps:
    """Names of the steps of one engine in one run; two universes with the same name of a step share it.

    A name is made by setting what a step does not look at to its default: a setting that is new to the house keeps
    universes apart until somebody says that a step ignores it.

    Attributes
    ----------
    parcellate, clean, connect, search, hold : hashable
        From the first to the last; each holds the ones before it.
    """

    parcellate: Hashable
    clean: Hashable
    connect: Hashable
    search: Hashable
    hold: Hashable


def steps_of(science: Science, engine: EngineName) -> Steps:
    """Name the steps of an engine by the settings that they look at.

    Parameters
    ----------
    science : Science
        Settings of a universe. Atlas and strategy count by what the settings call them: their files must not change
        between universes of one call.
    engine : str
        One of its engines.
    """
    clean = replace(
        science,
        engines=_SCIENCE.engines,
        prior=_SCIENCE.prior,
        multilayer=_SCIENCE.multilayer,
        surrogates=_SCIENCE.surrogates,
        # the halves that voxels are split into are drawn, and no other step before the search is
        random_seed=science.random_seed if science.split_half else _SCIENCE.random_seed,
        preset=_SCIENCE.preset,
    )
    parcellate = replace(clean, denoise=_of_images(science.denoise), min_minutes=_SCIENCE.min_minutes)
    settings = science.engine(engine)
    windows = EngineSettings(**{one.name: getattr(settings, one.name) for one in fields(EngineSettings)})
    connect = (clean, windows)
    search = (connect, engine, settings, science.random_seed)
    asked = science.surrogates
    none = replace(asked, multilayer=0) if engine == "prior" else replace(asked, prior=0)
    return Steps(parcellate, clean, connect, search, (search, none))


def _of_images(denoise: DenoiseSettings) -> DenoiseSettings:
    """Forget what is done to series alone; volumes at the start matter to images only when they are despiked."""
    return replace(
        denoise,
        strategy=_DENOISE.strategy,
        high_pass_hz=_DENOISE.high_pass_hz,
        low_pass_hz=_DENOISE.low_pass_hz,
        fd_threshold_mm=_DENOISE.fd_threshold_mm,
        dvars_threshold=_DENOISE.dvars_threshold,
        censor_before=_DENOISE.censor_before,
        censor_after=_DENOISE.censor_after,
        min_segment=_DENOISE.min_segment,
        dummy_scans=denoise.dummy_scans if denoise.despike else _DENOISE.dummy_scans,
    )
