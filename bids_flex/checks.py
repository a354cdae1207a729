"""Settings that make no sense, refused before any work."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from bids_flex.config import ENGINES
from bids_flex.errors import UsageError

if TYPE_CHECKING:
    from bids_flex.config import Config, EngineSettings, Science


def check(config: Config) -> None:
    """Refuse numbers that make no sense, before any work.

    Raises
    ------
    UsageError
        Naming the setting, its value and what it must be.
    """
    science = config.science
    denoise, nprocs, memory_gb = science.denoise, config.execution.nprocs, config.execution.memory_gb
    bound, permutations = config.group.equivalence_bound, config.group.permutations
    band = 0 < denoise.high_pass_hz < denoise.low_pass_hz
    _refuse(
        ("denoise.high_pass_hz", denoise.high_pass_hz, band, f"above 0 and below low_pass_hz, {denoise.low_pass_hz}"),
        ("denoise.fd_threshold_mm", denoise.fd_threshold_mm, denoise.fd_threshold_mm > 0, "above 0"),
        ("denoise.dvars_threshold", denoise.dvars_threshold, denoise.dvars_threshold > 0, "above 0"),
        ("min_minutes", science.min_minutes, science.min_minutes >= 0, "at least 0"),
        ("denoise.min_coverage", denoise.min_coverage, 0 <= denoise.min_coverage <= 1, "between 0 and 1"),
        *(
            (f"denoise.{name}", number, number >= least, f"at least {least}")
            for name, number, least in (
                ("censor_before", denoise.censor_before, 0),
                ("censor_after", denoise.censor_after, 0),
                ("min_segment", denoise.min_segment, 1),
                ("dummy_scans", denoise.dummy_scans or 0, 0),
                ("smoothing_mm", denoise.smoothing_mm, 0),
            )
        ),
        ("engines", list(science.engines), len(set(science.engines)) == len(science.engines) > 0, "one, or both once"),
        ("random_seed", science.random_seed, science.random_seed >= 0, "at least 0"),
        ("group.max_mean_fd", config.group.max_mean_fd, config.group.max_mean_fd > 0, "above 0 mm"),
        ("group.equivalence_bound", bound, 0 < bound < 100, "above 0, in units of g"),
        ("--n-permutations: group.permutations", permutations, permutations > 0, "at least 1"),
        ("execution.nprocs", nprocs, nprocs is None or nprocs > 0, "at least 1"),
        ("execution.memory_gb", memory_gb, memory_gb is None or memory_gb > 0, "above 0"),
    )
    for engine in ENGINES:
        _check_windows(engine, science.engine(engine))
    _check_multilayer(science)
    _check_surrogates(science)
    _check_halves(science)


def _refuse(*rules: tuple[str, Any, bool, str]) -> None:
    """Raise an error about the first rule (setting, value, whether it holds, what is wanted) that does not hold."""
    for name, value, holds, wanted in rules:
        if not holds:
            raise UsageError(f"{name} is {value}: it must be {wanted}")


def _check_windows(engine: str, settings: EngineSettings) -> None:
    """Refuse windows that make no sense."""
    tapered = settings.estimator == "partial" and settings.shape != "rect"
    _refuse(
        (f"{engine}.min_kept", settings.min_kept, 0 < settings.min_kept <= 1, "above 0 and at most 1"),
        (
            f"{engine}.window",
            settings.window,
            settings.window.unit != "windows",
            "in seconds or volumes, as 60s, 27vol",
        ),
        (f"{engine}.shape", settings.shape, not tapered, f"rect with {engine}.estimator partial"),
    )


def _check_multilayer(science: Science) -> None:
    """Refuse parameters of temporal modularity, and grids of them, that make no sense."""
    settings = science.multilayer
    a, null = settings.a, settings.modularity_null
    _refuse(
        ("multilayer.gamma", settings.gamma, 0 <= settings.gamma < math.inf, "at least 0 and finite"),
        ("multilayer.omega", settings.omega, 0 <= settings.omega < math.inf, "at least 0 and finite"),
        ("multilayer.restarts", settings.restarts, settings.restarts > 0, "at least 1"),
        ("multilayer.a", a, a is None or 0 < a < math.inf, "above 0 and finite"),
        ("multilayer.a", a, a is None or null == "uniform", f"unset unless modularity_null is uniform (it is {null})"),
    )
    if settings.sweep is None:
        return
    used = "multilayer" in science.engines
    _refuse(
        ("multilayer.sweep", "on", used, "off without the engine multilayer"),
        ("multilayer.sweep.restarts", settings.sweep.restarts, settings.sweep.restarts > 0, "at least 1"),
    )
    for name, grid in (("gammas", settings.sweep.gammas), ("omegas", settings.sweep.omegas)):
        sound = all(0 <= value < math.inf for value in grid) and len(set(grid)) == len(grid) > 1
        _refuse((f"multilayer.sweep.{name}", list(grid), sound, "two or more different numbers, none below 0"))


def _check_halves(science: Science) -> None:
    """Refuse halves of regions where there are no voxels to split, or where these are no halves."""
    on, given = science.split_half, science.input
    voxels = given.type == "images" and given.file_format == "nifti"
    _refuse(
        ("split_half", on, not on or "prior" in science.engines, "off without the engine prior"),
        ("split_half", on, not on or voxels, "off with series, or greyordinates: it splits the voxels of images"),
        ("split_half", on, not on or science.denoise.smoothing_mm == 0, "off with smoothing, which mixes the halves"),
    )


def _check_surrogates(science: Science) -> None:
    """Refuse numbers of surrogates that say nothing, and orders of windows that cannot be permuted."""
    null = science.surrogates
    _refuse(
        ("surrogates.prior", null.prior, null.prior == 0 or null.prior > 1, "0 (no null model) or at least 2"),
        ("surrogates.multilayer", null.multilayer, null.multilayer == 0 or null.multilayer > 1, "0 or at least 2"),
        ("surrogates.multilayer_restarts", null.multilayer_restarts, null.multilayer_restarts > 0, "at least 1"),
    )
    for engine in science.engines:
        settings = science.engine(engine)
        permuted = null.kind == "temporal" and getattr(null, engine) > 0
        apart = settings.step.unit == settings.window.unit and settings.step.value >= settings.window.value
        wanted = f"at least {engine}.window ({settings.window}), in its unit, with surrogates of the kind temporal"
        _refuse((f"{engine}.step", settings.step, apart or not permuted, wanted))
