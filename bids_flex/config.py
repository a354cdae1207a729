"""Every choice of an analysis as one frozen, typed value; presets, TOML round trip and the hash that names it.

Settings that change a number are *scientific*: they are hashed, written into every sidecar and may not change within
one output folder. Everything else (paths, threads, memory, what to redo) is *execution* and may change freely.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from reprlib import repr as brief  # of however deep or long a value: files hold anything
from typing import Any, Literal, TypeVar

from bids_flex import __version__
from bids_flex.content import why_no_toml
from bids_flex.errors import MissingInputError, UsageError

Shape = Literal["rect", "gaussian", "tukey"]
Estimator = Literal["pearson", "partial", "mtd"]
EngineName = Literal["prior", "multilayer"]
ModularityNull = Literal["ng", "signed", "gomez", "uniform"]
Optimiser = Literal["louvain", "leiden"]
SurrogateKind = Literal["phase", "var", "iaaft", "temporal"]
InputType = Literal["images", "timeseries"]
FileFormat = Literal["nifti", "cifti"]
Level = Literal["participant", "group"]
Unit = Literal["participant", "session"]
Equalise = Literal["none", "truncate", "covariate", "refuse"]

ENGINES: tuple[EngineName, ...] = typing.get_args(EngineName)
"""All engines, in the order in which they run."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|vol)")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time as people state it: ``60s``, ``27vol``, or ``half`` of a window."""

    value: float
    unit: Literal["s", "volumes", "windows"]

    @classmethod
    def parse(cls, text: str, where: str = "") -> Duration:
        """Read ``60s``, ``1.5s``, ``27vol`` or ``half``; messages begin with where it stands.

        Raises
        ------
        UsageError
            When the text is anything else, a number of volumes is not whole, or the duration is zero.
        """
        if text.strip() == "half":
            return HALF
        found = _DURATION.fullmatch(text.strip())
        if found is None:
            raise UsageError(f"{where}{text!r} is not a duration: write seconds as 60s or volumes as 27vol")
        value = float(found[1])
        if value == 0 or (found[2] == "vol" and not value.is_integer()):
            raise UsageError(f"{where}{text!r} is not a duration: it must be above zero, and volumes must be whole")
        return cls(value, "s" if found[2] == "s" else "volumes")

    def __str__(self) -> str:
        return "half" if self == HALF else f"{self.value:g}{'s' if self.unit == 's' else 'vol'}"


HALF = Duration(0.5, "windows")
"""Half a window, rounded down to volumes."""


@dataclass(frozen=True, slots=True)
class AtlasSettings:
    """Which regions: a known name or a file, its table, its template, and a table that merges or renames networks."""

    name: str = "Schaefer2018"
    table: str | None = None
    space: str | None = None
    networks: str | None = None


@dataclass(frozen=True, slots=True)
class InputSettings:
    """What regional series are made of: images, or series that others have cleaned; voxels or greyordinates."""

    type: InputType = "images"
    file_format: FileFormat = "nifti"


@dataclass(frozen=True, slots=True)
class DenoiseSettings:
    """How a run is cleaned."""

    strategy: str = "36P"
    high_pass_hz: float = 0.01
    low_pass_hz: float = 0.1
    fd_threshold_mm: float = 0.5
    dvars_threshold: float = 1.5
    min_coverage: float = 0.5
    censor_before: int = 0
    censor_after: int = 0
    min_segment: int = 1
    dummy_scans: int | None = None
    smoothing_mm: float = 0.0
    despike: bool = False


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What every engine needs: windows, and the connectivity within them."""

    window: Duration
    step: Duration
    shape: Shape = "rect"
    min_kept: float = 0.5
    estimator: Estimator = "pearson"


@dataclass(frozen=True, slots=True)
class PriorSettings(EngineSettings):
    """Settings of the ``prior`` engine."""

    window: Duration = Duration(60.0, "s")
    step: Duration = Duration(1.0, "volumes")


@dataclass(frozen=True, slots=True)
class SweepSettings:
    """Resolutions and couplings to search at, every pair of them, and how many times each."""

    gammas: tuple[float, ...] = (0.6, 0.8, 1.0, 1.2, 1.4)
    omegas: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0)
    restarts: int = 10


@dataclass(frozen=True, slots=True)
class MultilayerSettings(EngineSettings):
    """Settings of the ``multilayer`` engine; ``a`` fixes the one of ``uniform``, ``sweep`` is off without its table."""

    window: Duration = Duration(100.0, "s")
    step: Duration = HALF
    modularity_null: ModularityNull = "signed"
    gamma: float = 1.0
    omega: float = 1.0
    a: float | None = None
    restarts: int = 100
    optimiser: Optimiser = "louvain"
    sweep: SweepSettings | None = None


@dataclass(frozen=True, slots=True)
class SurrogateSettings:
    """Null models: their kind, how many for each engine (0: none), and the restarts on each of ``multilayer``."""

    kind: SurrogateKind = "phase"
    prior: int = 199
    multilayer: int = 50
    multilayer_restarts: int = 10


@dataclass(frozen=True, slots=True)
class Science:
    """Everything that changes a number."""

    engines: tuple[EngineName, ...] = ENGINES
    input: InputSettings = field(default_factory=InputSettings)
    atlas: AtlasSettings = field(default_factory=AtlasSettings)
    denoise: DenoiseSettings = field(default_factory=DenoiseSettings)
    prior: PriorSettings = field(default_factory=PriorSettings)
    multilayer: MultilayerSettings = field(default_factory=MultilayerSettings)
    surrogates: SurrogateSettings = field(default_factory=SurrogateSettings)
    random_seed: int = 0
    any_space: bool = False
    split_half: bool = False
    min_minutes: float = 0.0
    preset: str | None = None

    def engine(self, name: EngineName) -> EngineSettings:
        """Give the settings of one engine."""
        return {"prior": self.prior, "multilayer": self.multilayer}[name]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which participants and runs, and which of fMRIPrep's outputs of them."""

    participants: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    space: str | None = None
    res: str | None = None
    filter_file: str | None = None
    den: str | None = None
    desc: str | None = None


@dataclass(frozen=True, slots=True)
class GroupSettings:
    """The group's table and models: files, and the short form of some."""

    groups: tuple[str, ...] = ()
    covariates: tuple[str, ...] = ()
    contrasts: tuple[str, ...] = ()
    medication: str | None = None
    only: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    permutations: int = 10_000
    primary_engine: EngineName = "prior"
    unit: Unit = "participant"
    equalise: Equalise = "none"
    max_mean_fd: float = 0.25
    equivalence_bound: float = 0.5
    harmonise: str | None = None


@dataclass(frozen=True, slots=True)
class Execution:
    """How the work is carried out; no number depends on it."""

    nprocs: int | None = None
    memory_gb: float | None = None
    work_dir: str | None = None
    clean_workdir: bool = False
    stop_on_first_crash: bool = False
    reports: bool = True
    reports_only: bool = False
    dry_run: bool = False
    redo: bool = False
    verbose: int = 0


@dataclass(frozen=True, slots=True)
class Config:
    """One call of bids_flex, complete."""

    bids_dir: Path
    output_dir: Path
    level: Level
    derivatives: str | None = None
    custom_confounds: str | None = None
    multiverse: str | None = None
    science: Science = field(default_factory=Science)
    selection: Selection = field(default_factory=Selection)
    group: GroupSettings = field(default_factory=GroupSettings)
    execution: Execution = field(default_factory=Execution)


PRESETS: dict[str, Science] = {
    "amsterdam": Science(
        engines=("prior",),
        denoise=DenoiseSettings(strategy="24P+2P"),
        prior=PriorSettings(window=Duration(27.0, "volumes"), step=Duration(1.0, "volumes")),
        preset="amsterdam",
    ),
}
"""Named sets of scientific settings. ``amsterdam`` approximates the pipeline of Broeders et al. (2024), of which the
atlas, the window and the covariates were never published."""


def to_dict(value: Any) -> Any:
    """Turn settings into what JSON and TOML can hold: tables, lists, numbers and text; unset values are left out."""
    if isinstance(value, Duration | Path):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return {name: to_dict(item) for name, item in pairs.items() if item is not None}
    if isinstance(value, tuple):
        return [to_dict(item) for item in value]
    return value


def from_dict(kind: type[T], table: dict[str, Any], where: str) -> T:
    """Build settings of one kind from a table, naming whatever does not belong there.

    Parameters
    ----------
    kind : type
        One of this module's dataclasses.
    table : dict
        As read from TOML.
    where : str
        What to call the table in a message, such as a file name.

    Raises
    ------
    UsageError
        For a name that is no setting, or a value of the wrong kind.
    """
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(table) - set(hints))
    if unknown:
        raise UsageError(f"{where}: no such setting: {', '.join(unknown)}; there are {', '.join(sorted(hints))}")
    return kind(**{name: _value(hints[name], item, f"{where}: {name}") for name, item in table.items()})


def _value(hint: Any, item: Any, where: str) -> Any:  # noqa: PLR0911 - one line for each kind of setting
    """Check one value against the type that its setting declares."""
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:
        (hint,) = (option for option in options if option is not type(None))
        return _value(hint, item, where)
    if origin is tuple and isinstance(item, list):
        return tuple(_value(options[0], one, where) for one in item)
    if origin is Literal:
        if item in options:
            return item
        raise UsageError(f"{where}: {brief(item)} is none of {', '.join(map(repr, options))}")
    if isinstance(hint, type) and dataclasses.is_dataclass(hint) and isinstance(item, dict):
        return from_dict(hint, item, where)
    if hint is Duration and isinstance(item, str):
        return Duration.parse(item, f"{where}: ")
    if hint is Path and isinstance(item, str):
        return Path(item)
    if hint is float and isinstance(item, int) and not isinstance(item, bool):
        return float(item)
    if type(item) is hint:
        return item
    expected = getattr(hint, "__name__", str(hint))
    raise UsageError(f"{where}: {brief(item)} is not of the kind {expected}")


def read_toml(path: Path) -> dict[str, Any]:
    """Read a configuration file.

    Raises
    ------
    MissingInputError, UsageError
        When there is no such file, or it is not TOML.
    """
    import tomllib

    try:
        if told := why_no_toml(path):
            raise UsageError(f"{path}: not a TOML file of settings: {told}")
        return tomllib.loads(path.read_text(encoding="utf8"))
    except OSError as error:
        raise MissingInputError(f"{path}: cannot be read ({error.strerror}); name a configuration file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path}: not a TOML file: {error}") from error


def to_toml(config: Config) -> str:
    """Write a call as TOML that ``--config-file`` reads back."""
    import tomli_w

    return tomli_w.dumps(to_dict(config))


def stated(science: Science) -> dict[str, Any]:
    """Write scientific settings as a sidecar states them: files by their names, wherever they lie."""
    settings = _in_use(science)
    for table, name in (("atlas", "name"), ("atlas", "table"), ("atlas", "networks"), ("denoise", "strategy")):
        if name in settings.get(table, {}):
            settings[table][name] = Path(settings[table][name]).name
    return settings


def _in_use(science: Science) -> dict[str, Any]:
    """Leave out what nothing depends on: engines that do not run, and their order; cleaning that is not done."""
    settings: dict[str, Any] = to_dict(science)
    settings["engines"] = [name for name in ENGINES if name in science.engines]
    for name in set(ENGINES) - set(science.engines):
        del settings[name], settings["surrogates"][name]
    if "multilayer" not in science.engines:
        del settings["surrogates"]["multilayer_restarts"]
    if science.input.type == "timeseries":
        del settings["denoise"]  # nothing is cleaned
    if not science.split_half:
        del settings["split_half"]
    return settings


def science_hash(science: Science, atlas_fingerprint: str, strategy_fingerprint: str) -> str:
    """Name a set of scientific settings: same name, same numbers.

    The contents of the atlas and of the denoising strategy count, wherever their files lie; paths do not. Neither do
    patch releases, which change no number.

    Returns
    -------
    str
        Twelve hexadecimal digits.
    """
    settings = _in_use(science)
    settings.pop("preset", None)
    settings["atlas"] = atlas_fingerprint
    if "denoise" in settings:
        settings["denoise"]["strategy"] = strategy_fingerprint
    settings["version"] = ".".join(__version__.split(".")[:2])
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
