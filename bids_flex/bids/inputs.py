"""Which fMRIPrep runs there are, with all their files, and why the others cannot be used."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bids_flex.bids.companions import (
    GREYORDINATES,
    TABLES,
    find_confounds,
    find_one,
    require,
    run_entities,
    stated_tr,
)
from bids_flex.bids.headers import read_header
from bids_flex.bids.index import index_participants
from bids_flex.bids.names import entities_of, join_entities, naming_fault
from bids_flex.bids.roots import derivatives_root, list_participants
from bids_flex.bids.selection import choose_image, read_filter, read_space, why_not
from bids_flex.errors import NoMatchError, RunError

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping

    from bids_flex.bids.index import Index
    from bids_flex.bids.selection import Filter
    from bids_flex.config import Config, Selection


@dataclass(frozen=True, slots=True)
class Run:
    """One preprocessed run and the files that are needed to analyse it.

    Attributes
    ----------
    entities : tuple of (str, str)
        What names the run and its space, such as ``(("sub", "01"), ("task", "rest"), ("space", "MNI..."))``.
    bold, mask, confounds : Path
        Preprocessed images, brain mask, table of confounds.
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
class Unusable:
    """A run that was found and cannot be used, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Runs:
    """What was found: usable runs, unusable ones, and what was left out on purpose; each sorted by name."""

    usable: tuple[Run, ...]
    unusable: tuple[Unusable, ...]
    left_out: tuple[Unusable, ...] = ()


def make_run(
    root: Path,
    bold: Path,
    mask: Path,
    confounds: tuple[Path, Path | None],
    header: tuple[float, int, tuple[str, ...]],
    unnamed: Container[str] = ("desc",),
) -> Run:
    """Bring a run's files and what its header says together.

    Parameters
    ----------
    root : Path
        The derivative data set.
    bold, mask : Path
        Images, or for both the greyordinates.
    confounds : Path and (Path or None)
        The table and its description.
    header : float, int and tuple of str
        Repetition time in seconds, volumes, notes.
    unnamed : collection of str
        Entities that do not tell runs apart.
    """
    kept = tuple((key, label) for key, label in entities_of(bold).items() if key not in unnamed)
    (table, described), (tr_s, volumes, notes) = confounds, header
    return Run(kept, bold, mask, table, described, root, tr_s, volumes, notes)


def sorted_runs(usable: Iterable[Run], unusable: Iterable[Unusable], left_out: Iterable[Unusable]) -> Runs:
    """Bring what was found together, each sorted by name."""
    runs = tuple(sorted(usable, key=lambda run: run.name))
    others = (tuple(sorted(some, key=lambda one: one.name)) for some in (unusable, left_out))
    return Runs(runs, *others)


def misnamed_folders(root: Path, labels: Iterable[str]) -> list[Unusable]:
    """Say of participants' folders that what follows ``sub-`` is no label."""
    return [
        Unusable(f"sub-{label}", f"the folder {root / f'sub-{label}'} is named by no label of BIDS: rename it")
        for label in labels
    ]


@dataclass(frozen=True, slots=True)
class _Files:
    """One participant's preprocessed images by run, and what is no such image."""

    runs: dict[str, list[Path]]
    unusable: list[Unusable]
    left_out: list[Unusable]


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
        When a folder or the filter file does not exist.
    UsageError
        When the filter file or the space makes no sense.
    NotBidsError
        When the folder holds no fMRIPrep derivatives (raw data, for example).
    NoMatchError
        When nothing matches; the message lists what there is.
    """
    selection = config.selection
    wanted = read_filter(Path(selection.filter_file) if selection.filter_file else None)
    read_space(selection.space)
    root = derivatives_root(config.bids_dir, config.derivatives)
    participants, misnamed = list_participants(root, selection)
    seen: dict[str, set[str]] = defaultdict(set)
    parts = [Runs((), tuple(misnamed_folders(root, misnamed)))]
    for participant, index in index_participants(root, participants):
        if index.unlisted:
            parts.append(Runs((), (Unusable(f"sub-{participant}", index.unlisted),)))
            continue
        parts.append(_runs_of(index, _sort_files(index.paths, seen), config, wanted, atlas_space))
    if not any(part.usable or part.unusable for part in parts):
        raise NoMatchError(_nothing_matched(root, seen, selection))
    return sorted_runs(
        (run for part in parts for run in part.usable),
        (one for part in parts for one in part.unusable),
        (one for part in parts for one in part.left_out),
    )


def _runs_of(index: Index, files: _Files, config: Config, wanted: Filter, atlas_space: str | None) -> Runs:
    """Complete the runs of a participant that are asked for, and say why the others are not taken."""
    usable: list[Run] = []
    unusable: list[Unusable] = []
    left_out = list(files.left_out)
    for one in files.unusable:
        reason = why_not(entities_of(Path(f"{one.name}_bold")), config.selection, wanted)
        (left_out if reason else unusable).append(Unusable(one.name, reason) if reason else one)
    for name, images in files.runs.items():
        refused = [why_not(entities_of(image), config.selection, wanted) for image in images]
        asked = [image for image, reason in zip(images, refused, strict=True) if reason is None]
        if not asked:
            left_out.append(Unusable(name, str(refused[0])))
            continue
        space = _space_of(asked, wanted, atlas_space)
        try:
            bold = choose_image(asked, config.selection, space, any_space=config.science.any_space)
            usable.append(_complete(index, bold, config.bids_dir))
            others = (image for image in images if image != bold)
            left_out += [Unusable(image.name, f"{bold.name} is used for this run") for image in others]
        except RunError as error:
            unusable.append(Unusable(name, str(error)))
    return Runs(tuple(usable), tuple(unusable), tuple(left_out))


def _space_of(images: list[Path], wanted: Filter, atlas_space: str | None) -> str | None:
    """Give the space to take: the only one that a filter leaves, if it speaks of spaces, else the atlas's."""
    spaces = {entities_of(image).get("space") for image in images}
    return next(iter(spaces)) if "space" in wanted and len(spaces) == 1 else atlas_space


def _run_name(entities: dict[str, str]) -> str:
    """Name a run by all entities but those that tell its outputs apart."""
    return join_entities(run_entities(entities))


def _sort_files(paths: tuple[Path, ...], seen: dict[str, set[str]]) -> _Files:
    """Group the preprocessed images of a participant by run, noting every label that was met."""
    files = _Files({}, [], [])
    echoes: dict[str, int] = defaultdict(int)
    for path in paths:
        entities = entities_of(path)
        if not path.name.endswith(("_bold.nii", "_bold.nii.gz")):
            continue
        if fault := naming_fault(path):
            files.unusable.append(Unusable(path.name, f"{fault}: rename {path}"))
        elif entities.get("desc") != "preproc":
            files.left_out.append(Unusable(path.name, "only images with desc-preproc are used"))
        # echoes are parts of a run, and space is absent from images on the scanner's own grid
        elif "echo" in entities:
            echoes[_run_name({key: label for key, label in entities.items() if key != "echo"})] += 1
            files.left_out.append(Unusable(path.name, "one echo of several: only their combination is used"))
        else:
            for key, label in entities.items():
                seen[key].add(label)
            files.runs.setdefault(_run_name(entities), []).append(path)
    files.unusable.extend(_without_images(paths, set(files.runs), echoes))
    return files


def _without_images(paths: tuple[Path, ...], runs: set[str], echoes: Mapping[str, int]) -> Iterator[Unusable]:
    """Say of which runs there is something, but no preprocessed image of voxels."""
    tables = {_run_name(entities_of(path)) for path in paths if _is_confounds(path)}
    grey = {_run_name(entities_of(path)) for path in paths if path.name.endswith(GREYORDINATES)}
    for name in sorted((tables | set(echoes)) - runs):
        what = f"{echoes[name]} single echoes, and not their combination" if name in echoes else "a confounds table"
        hint = "run fMRIPrep again with a volumetric space in --output-spaces"
        if name in grey:
            hint = f"--file-format cifti reads its greyordinates; for voxels {hint}"
        yield Unusable(name, f"there is {what}, but no preprocessed image (desc-preproc_bold): {hint}")


def _is_confounds(path: Path) -> bool:
    """Tell a table of confounds by its name."""
    return path.name.endswith(TABLES) and entities_of(path).get("desc") == "confounds"


def _complete(index: Index, bold: Path, bids_dir: Path) -> Run:
    """Find the files that go with an image and check what can be checked without reading them."""
    entities = entities_of(bold)
    mask = find_one(index, entities, "the brain mask", ("_mask.nii", "_mask.nii.gz"), {"brain"}, ignored={"desc"})
    confounds, described = find_confounds(index, bold)
    require(mask)
    header = read_header(bold, stated_tr(index, bold, bids_dir))
    return make_run(index.root, bold, mask, (confounds, described), header)


def _nothing_matched(root: Path, seen: dict[str, set[str]], selection: Selection) -> str:
    """Say what was asked for and what there is."""
    asked = {"ses": selection.sessions, "task": selection.tasks, "run": selection.runs}
    words = [f"{key}-{'/'.join(labels)}" for key, labels in asked.items() if labels]
    words += [selection.filter_file] if selection.filter_file else []
    wanted = f" {', '.join(words)}" if words else ""
    there = "; ".join(
        f"{key}: {', '.join(sorted(seen[key]))}" for key in ("sub", "ses", "task", "run", "space") if seen[key]
    )
    return f"no preprocessed run matches{wanted} in {root}; there is {there or 'none at all'}"


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
