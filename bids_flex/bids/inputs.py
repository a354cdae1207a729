"""Which fMRIPrep runs there are, with all their files, and why the others cannot be used."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_flex.bids.headers import read_header
from bids_flex.bids.names import entities_of, join_entities
from bids_flex.errors import MissingInputError, NoMatchError, NotBidsError, RunError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bids import BIDSLayout

    from bids_flex.config import Config, Selection

OUTPUT_ENTITIES = ("space", "cohort", "res", "den", "desc")
"""Entities that tell fMRIPrep's outputs of one run apart; all others name the run."""


EXTENSIONS = [".nii", ".nii.gz", ".tsv", ".dtseries.nii", ".ptseries.nii"]
"""Endings of the files that are ever asked for."""


@dataclass(frozen=True, slots=True)
class Run:
    """One preprocessed run and the files that are needed to analyse it.

    Attributes
    ----------
    entities : tuple of (str, str)
        What names the run and its space, such as ``(("sub", "01"), ("task", "rest"), ("space", "MNI..."))``.
    bold, mask, confounds : Path
        Preprocessed images, brain mask, table of confounds. Greyordinates are their own mask. Of series that others
        have cleaned: the series, the temporal mask, the table of motion; the series again where there is none.
    confounds_json : Path or None
        Description of the confounds, where there is one.
    root : Path
        The derivative data set that holds them.
    tr_s : float
        Repetition time in seconds.
    volumes : int
        Number of volumes.
    notes : tuple of str
        What a reader of the results must know about the files.
    """

    entities: tuple[tuple[str, str], ...]
    bold: Path
    mask: Path
    confounds: Path
    confounds_json: Path | None
    root: Path
    tr_s: float
    volumes: int
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The entities in one word; unique within a data set."""
        return join_entities(self.entities)

    @property
    def space(self) -> str | None:
        """The template that the images are aligned to."""
        return dict(self.entities).get("space")


@dataclass(frozen=True, slots=True)
class _Index:
    """The functional files of one participant, and the layout that knows their metadata."""

    layout: BIDSLayout
    root: Path
    paths: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Unusable:
    """A run that was found and cannot be used, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Runs:
    """What was found: usable runs and unusable ones, each sorted by name."""

    usable: tuple[Run, ...]
    unusable: tuple[Unusable, ...]


def find_runs(config: Config, atlas_space: str | None) -> Runs:
    """Find the runs that a call asks for.

    Parameters
    ----------
    config : Config
        Where to look, and what for.
    atlas_space : str or None
        The template of the atlas; runs in this space are taken unless another is asked for.

    Raises
    ------
    MissingInputError
        When a folder does not exist.
    NotBidsError
        When the folder holds no fMRIPrep derivatives (raw data, for example).
    NoMatchError
        When nothing matches; the message lists what there is.
    """
    root = derivatives_root(config.bids_dir, config.derivatives)
    participants = _participants(root, config.selection)
    usable: list[Run] = []
    unusable: list[Unusable] = []
    seen: dict[str, set[str]] = defaultdict(set)
    for participant in participants:
        index = _index(root, participant)
        for name, images in _runs_of(index.paths, seen):
            if not _selected(entities_of(images[0]), config.selection):
                continue
            try:
                bold = _choose(images, config.selection, atlas_space, any_space=config.science.any_space)
                usable.append(_complete(index, bold, config.bids_dir))
            except RunError as error:
                unusable.append(Unusable(name, str(error)))
    if not usable and not unusable:
        raise NoMatchError(_nothing_matched(root, seen, config.selection))
    return Runs(
        tuple(sorted(usable, key=lambda run: run.name)),
        tuple(sorted(unusable, key=lambda run: run.name)),
    )


def derivatives_root(bids_dir: Path, derivatives: str | None) -> Path:
    """Find the folder of fMRIPrep's output.

    Parameters
    ----------
    bids_dir : Path
        The data set: raw, with ``derivatives/fmriprep`` inside, or fMRIPrep's output itself.
    derivatives : str or None
        ``PATH`` or ``NAME=PATH``, when fMRIPrep's output lies elsewhere.

    Raises
    ------
    MissingInputError, NotBidsError
        When the folder does not exist, or holds no preprocessed participant.
    """
    if not bids_dir.is_dir():
        raise MissingInputError(f"BIDS_DIR {bids_dir} is not a folder; check the path (and the container's mounts)")
    if derivatives is not None:
        named = Path(derivatives.partition("=")[2] if _has_name(derivatives) else derivatives)
        if not named.is_dir():
            raise MissingInputError(
                f"--derivatives {named} is not a folder; check the path (and the container's mounts)"
            )
        candidates = [named, named / "fmriprep"]
    else:
        candidates = [bids_dir / "derivatives" / "fmriprep", bids_dir, bids_dir / "derivatives", bids_dir / "fmriprep"]
    for candidate in candidates:
        if candidate.is_dir() and _is_preprocessed(candidate):
            return candidate.resolve()
    looked = ", ".join(str(candidate) for candidate in candidates[: 2 if derivatives is None else 1])
    raw = any(bids_dir.glob("sub-*/**/func"))
    raise NotBidsError(
        f"no fMRIPrep output found (looked in {looked}): "
        + ("this is raw data; run fMRIPrep first, or " if raw else "")
        + "name its output folder with --derivatives PATH"
    )


def _has_name(derivatives: str) -> bool:
    """Tell ``NAME=PATH`` from a path that merely holds an equals sign."""
    return re.fullmatch(r"[A-Za-z0-9_]+=.+", derivatives) is not None and not Path(derivatives).is_dir()


def _is_preprocessed(folder: Path) -> bool:
    """Tell derivatives of fMRIPrep from raw data: by preprocessed images, else by the data set's own description."""
    participants = sorted(folder.glob("sub-*/"))
    if any(next(one.glob("**/*_desc-preproc_bold.nii*"), None) for one in participants):
        return True
    try:
        described = json.loads((folder / "dataset_description.json").read_text(encoding="utf8"))
    except (OSError, ValueError):
        return False
    return bool(participants) and isinstance(described, dict) and described.get("DatasetType") == "derivative"


def _participants(root: Path, selection: Selection) -> list[str]:
    """List the participants that are asked for."""
    present = sorted(one.name.removeprefix("sub-") for one in root.glob("sub-*") if one.is_dir())
    missing = [label for label in selection.participants if label not in present]
    if missing:
        raise NoMatchError(
            f"no participant {', '.join(missing)} in {root}; there is {', '.join(present) or 'no participant at all'}"
        )
    return [label for label in present if not selection.participants or label in selection.participants]


def _index(root: Path, participant: str) -> _Index:
    """Index the functional files of one participant, with the metadata that they inherit, in memory."""
    from bids import BIDSLayout, BIDSLayoutIndexer

    ignore = [
        # anchored and escaped: RAD1 must not match RAD10, and nothing in a label is a pattern
        re.compile(rf"^/sub-(?!{re.escape(participant)}(?:/|$))[^/]*(?:/|$)"),
        re.compile(r"/(?:figures|anat|fmap|dwi|perf|log|logs|sourcedata|\.git|\.datalad)(?:/|$)"),
        re.compile(r"_(?:xfm|boldref|dseg)\.|\.(?:svg|html|gii|h5|txt|toml|md|bib)$"),
    ]
    try:
        layout = BIDSLayout(
            root,
            validate=False,
            config=["bids", "derivatives"],
            indexer=BIDSLayoutIndexer(validate=False, ignore=ignore),
        )
    except (ValueError, OSError) as error:
        raise NotBidsError(f"{root}: pybids cannot index participant {participant}: {error}") from error
    # asked once: each of pybids' queries takes as long as all of them
    paths = (Path(file.path) for file in layout.get(extension=EXTENSIONS))
    return _Index(layout, root, tuple(sorted(path for path in paths if f"sub-{participant}" in path.parts)))


def _runs_of(paths: tuple[Path, ...], seen: dict[str, set[str]]) -> Iterator[tuple[str, list[Path]]]:
    """Group the preprocessed images of a participant by run, noting every label that was met."""
    grouped: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        if not path.name.endswith(("_bold.nii", "_bold.nii.gz")):
            continue
        entities = entities_of(path)
        # echoes are parts of a run, and space is absent from images on the scanner's own grid
        if entities.get("desc") != "preproc" or "echo" in entities:
            continue
        for key, label in entities.items():
            seen[key].add(label)
        grouped[join_entities({k: v for k, v in entities.items() if k not in OUTPUT_ENTITIES})].append(path)
    yield from sorted(grouped.items())


def _selected(entities: dict[str, str], selection: Selection) -> bool:
    """Tell whether a run is asked for; numbers match with and without leading zeros, as in fMRIPrep."""
    asked = {"ses": selection.sessions, "task": selection.tasks}
    if any(labels and entities.get(key) not in labels for key, labels in asked.items()):
        return False
    runs = {label.lstrip("0") or "0" for label in selection.runs}
    return not runs or ("run" in entities and (entities["run"].lstrip("0") or "0") in runs)


def _choose(images: list[Path], selection: Selection, atlas_space: str | None, *, any_space: bool) -> Path:
    """Choose among one run's images: the space asked for, else the atlas's own, and one resolution of it."""
    spaces = sorted({entities_of(image).get("space", "(native)") for image in images})
    wanted = selection.space or atlas_space
    if wanted is None or (any_space and selection.space is None and wanted not in spaces):
        standard = [space for space in spaces if space.startswith("MNI152")]
        if len(standard) != 1:
            raise RunError(f"images are in {', '.join(spaces)}: choose one with --space")
        wanted = standard[0]
    if wanted not in spaces:
        asked = "asked for with --space" if selection.space else "the atlas's space"
        raise RunError(
            f"no images in {wanted} ({asked}); there are {', '.join(spaces)}: choose another --space or --atlas "
            "(--force atlas-space uses an atlas of another template all the same)"
        )
    found = [image for image in images if entities_of(image).get("space", "(native)") == wanted]
    if selection.res is not None:
        found = [image for image in found if entities_of(image).get("res") == selection.res]
        if not found:
            raise RunError(f"no images in {wanted} with res-{selection.res}: choose another --res")
    if len(found) > 1:
        raise RunError(f"several images in {wanted}: {', '.join(i.name for i in found)}: choose one with --res")
    return found[0]


def _complete(index: _Index, bold: Path, bids_dir: Path) -> Run:
    """Find the files that go with an image and check what can be checked without reading them."""
    entities = entities_of(bold)
    mask = _one_file(index, entities, "the brain mask", ("_mask.nii", "_mask.nii.gz"), {"brain"}, ignored={"desc"})
    # before 1.4 and in a few rewritten data sets the description of the confounds is another, or absent
    tables = ("_timeseries.tsv", "_regressors.tsv")
    described_as = {"confounds", "preproc", None}
    confounds = _one_file(index, entities, "the confounds table", tables, described_as, ignored=set(OUTPUT_ENTITIES))
    described = confounds.with_suffix(".json")
    stated = _stated_tr(index.layout, bold)
    if stated is None:
        stated = _raw_tr(bids_dir, index.root, entities)
    tr_s, volumes, notes = read_header(bold, stated)
    kept = {key: label for key, label in entities.items() if key != "desc"}
    return Run(
        entities=tuple(kept.items()),
        bold=bold,
        mask=mask,
        confounds=confounds,
        confounds_json=described if described.is_file() else None,
        root=index.root,
        tr_s=tr_s,
        volumes=volumes,
        notes=notes,
    )


def _one_file(
    index: _Index,
    entities: dict[str, str],
    what: str,
    endings: tuple[str, ...],
    descriptions: set[str | None],
    *,
    ignored: set[str],
) -> Path:
    """Find the one file that goes with an image, or say which files there are."""
    wanted = {key: label for key, label in entities.items() if key not in ignored}
    found = []
    for path in index.paths:
        if path.name.endswith(endings):
            theirs = entities_of(path)
            # early derivatives wrote label-brain_mask
            described = theirs.pop("desc", theirs.pop("label", None))
            if theirs == wanted and described in descriptions:
                found.append(path)
    if len(found) == 1:
        return found[0]
    name = join_entities(wanted)
    if found:
        raise RunError(f"{what} of {name} is not unique: {', '.join(path.name for path in found)}: remove all but one")
    raise RunError(f"{what} of {name} is missing in {index.root}: run fMRIPrep again or restore the file")


def _raw_tr(bids_dir: Path, root: Path, entities: dict[str, str]) -> Any:  # noqa: ANN401 - as above
    """Look the repetition time up in the raw data set, where old derivatives do not repeat it."""
    if bids_dir.resolve() == root or not (bids_dir / f"sub-{entities['sub']}").is_dir():
        return None
    index = _index(bids_dir.resolve(), entities["sub"])
    named = {key: label for key, label in entities.items() if key not in OUTPUT_ENTITIES}
    for path in index.paths:
        if entities_of(path) == named and path.name.endswith(("_bold.nii", "_bold.nii.gz")):
            return _stated_tr(index.layout, path)
    return None


def _stated_tr(layout: BIDSLayout, bold: Path) -> Any:  # noqa: ANN401 - whatever the JSON holds; it is checked later
    """Look the repetition time up in an image's sidecar and all that it inherits from."""
    return (layout.get_metadata(str(bold)) or {}).get("RepetitionTime")


def _nothing_matched(root: Path, seen: dict[str, set[str]], selection: Selection) -> str:
    """Say what was asked for and what there is."""
    asked = {"ses": selection.sessions, "task": selection.tasks, "run": selection.runs}
    wanted = ", ".join(f"{key}-{'/'.join(labels)}" for key, labels in asked.items() if labels)
    there = "; ".join(
        f"{key}: {', '.join(sorted(seen[key]))}" for key in ("sub", "ses", "task", "run", "space") if seen[key]
    )
    return f"no preprocessed run matches{' ' + wanted if wanted else ''} in {root}; there is {there or 'none at all'}"


def fingerprint(run: Run) -> str:
    """Name the state of a run's input files by size and time of change; reading them would cost too much.

    Returns
    -------
    str
        Sixteen hexadecimal digits.
    """
    import hashlib

    files: Iterable[Path | None] = (run.bold, run.mask, run.confounds, run.confounds_json)
    try:
        states = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files if file]
    except OSError as error:
        raise RunError(f"{run.name}: {error.filename} vanished while it was being read") from error
    return hashlib.sha256(repr((states, run.tr_s)).encode()).hexdigest()[:16]
