"""Which regional series there are that other programs have written, with their masks and repetition times."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_flex.bids.companions import raw_tr
from bids_flex.bids.headers import agreed_tr
from bids_flex.bids.index import index_participants
from bids_flex.bids.inputs import Run, Unusable, misnamed_folders, sorted_runs
from bids_flex.bids.names import entities_of, join_entities
from bids_flex.bids.roots import list_participants, named_root
from bids_flex.bids.selection import read_filter, read_space, why_not
from bids_flex.errors import MissingInputError, NoMatchError, NotBidsError, RunError, UsageError
from bids_flex.signal import read_displacement, read_mask, read_table

if TYPE_CHECKING:
    from bids_flex.bids.index import Index
    from bids_flex.bids.inputs import Runs
    from bids_flex.config import Config, Selection

TABLES = {"nifti": "_timeseries.tsv", "cifti": "_timeseries.ptseries.nii"}
"""Endings of the files that are read, by --file-format."""

OF_TABLE = ("space", "cohort", "res", "den", "atlas", "seg", "scale", "stat", "desc", "feature")
"""Entities that tell tables of one run apart; all others name the run."""


@dataclass(frozen=True, slots=True)
class FoundSeries:
    """What was found.

    Attributes
    ----------
    runs : Runs
        Usable runs, whose ``bold`` is the table of series, ``mask`` the temporal mask and ``confounds`` the table of
        motion, both the table itself where there is none; and unusable ones.
    atlas : str
        The ``atlas-`` (or ``seg-``) label of the tables that were taken; ``unnamed`` when they have none.
    labels : tuple of str
        Names of the columns of the first usable run; empty when they have no names.
    """

    runs: Runs
    atlas: str
    labels: tuple[str, ...]


def series_root(bids_dir: Path, derivatives: str | None) -> Path:
    """Find the data set that holds regional series.

    Parameters
    ----------
    bids_dir : Path
        The data set itself, or one with it in ``derivatives``.
    derivatives : str or None
        ``PATH`` or ``NAME=PATH``.

    Raises
    ------
    MissingInputError, NotBidsError
        When a folder does not exist, or holds no series, or several do.
    """
    if not bids_dir.is_dir():
        raise MissingInputError(f"BIDS_DIR {bids_dir} is not a folder; check the path (and the container's mounts)")
    if derivatives is not None:
        named = named_root(bids_dir, derivatives)
        found = [named] if _holds_series(named) else []
    else:
        found = [bids_dir] if _holds_series(bids_dir) else []
        found = found or [one for one in sorted(bids_dir.glob("derivatives/*/")) if _holds_series(one)]
    if len(found) == 1:
        return found[0].resolve()
    where = derivatives or f"{bids_dir} and its derivatives/*"
    if found:
        names = ", ".join(one.name for one in found)
        raise NotBidsError(f"several data sets in {where} hold regional series ({names}): choose one by --derivatives")
    raise NotBidsError(
        f"no regional series found in {where} (sub-*/**/*_timeseries.tsv or .ptseries.nii): name the output folder of "
        "XCP-D, giga_connectome or HALFpipe with --derivatives PATH"
    )


def _holds_series(folder: Path) -> bool:
    """Tell whether any participant has a table of series."""
    return any(
        _is_series(path, ending)
        for participant in sorted(folder.glob("sub-*/"))
        for ending in TABLES.values()
        for path in participant.glob(f"**/*{ending}")
    )


def _is_series(path: Path, ending: str) -> bool:
    """Tell regional series from fMRIPrep's confounds, which end alike, and from other statistics than means."""
    entities = entities_of(path)
    regional = "atlas" in entities or "seg" in entities
    confounds = not regional and entities.get("desc") in ("confounds", "preproc")
    return path.name.endswith(ending) and not confounds and entities.get("stat", "mean") == "mean"


def find_series(config: Config) -> FoundSeries:
    """Find the regional series that a call asks for.

    Raises
    ------
    MissingInputError, NotBidsError, NoMatchError
        As for images.
    UsageError
        When there are series of several atlases, and none of them is asked for.
    """
    root = series_root(config.bids_dir, config.derivatives)
    grouped, indexed, unusable, left_out = _group(root, config)
    if not grouped and not unusable:
        ending = TABLES[config.science.input.file_format]
        raise NoMatchError(f"no table *{ending} of the runs asked for in {root}")
    atlas = _choose_atlas(grouped, config.science.atlas.name)
    usable: list[Run] = []
    labels: tuple[str, ...] = ()
    for name, paths in sorted(grouped.items()):
        try:
            chosen = _choose(paths, atlas, config.selection)
            run, columns = _complete(indexed[name], chosen, config.bids_dir)
        except (RunError, MissingInputError) as error:
            unusable.append(Unusable(name, str(error)))
            continue
        labels = labels if usable else columns
        usable.append(run)
        left_out += [Unusable(path.name, f"{chosen.name} is used for this run") for path in paths if path != chosen]
    return FoundSeries(sorted_runs(usable, unusable, left_out), atlas, labels)


def _group(
    root: Path, config: Config
) -> tuple[dict[str, list[Path]], dict[str, Index], list[Unusable], list[Unusable]]:
    """Group tables of series by run, with the index of the participant; say what is unusable, or not asked for."""
    selection = config.selection
    wanted = read_filter(Path(selection.filter_file) if selection.filter_file else None)
    participants, misnamed = list_participants(root, selection)
    left_out = misnamed_folders(root, misnamed)
    unusable: list[Unusable] = []
    grouped: dict[str, list[Path]] = {}
    indexed: dict[str, Index] = {}
    for participant, index in index_participants(root, participants):
        if index.unlisted:
            unusable.append(Unusable(f"sub-{participant}", index.unlisted))
        for name, paths in _by_run(index.paths, TABLES[config.science.input.file_format]).items():
            reason = why_not(entities_of(paths[0]), selection, wanted)
            if reason:
                left_out.append(Unusable(name, reason))
            else:
                grouped[name], indexed[name] = paths, index
    return grouped, indexed, unusable, left_out


def _by_run(paths: tuple[Path, ...], ending: str) -> dict[str, list[Path]]:
    """Group tables of series by run."""
    grouped: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        if _is_series(path, ending):
            grouped[_run_name(entities_of(path))].append(path)
    return grouped


def _run_name(entities: dict[str, str]) -> str:
    return join_entities({key: label for key, label in entities.items() if key not in OF_TABLE})


def _atlas_of(path: Path) -> str:
    """Name the atlas of a table, as its program does."""
    entities = entities_of(path)
    return entities.get("atlas") or entities.get("seg") or "unnamed"


def _choose_atlas(grouped: dict[str, list[Path]], asked: str) -> str:
    """Choose the atlas that is asked for, or the only one there is."""
    there = sorted({_atlas_of(path) for paths in grouped.values() for path in paths})
    if asked in there:
        return asked
    if len(there) == 1:
        return there[0]
    raise UsageError(f"there are series of {', '.join(there)}, and none of {asked}: choose one with --atlas")


def _choose(paths: list[Path], atlas: str, selection: Selection) -> Path:
    """Choose among the tables of a run."""
    found = [path for path in paths if _atlas_of(path) == atlas]
    if not found:
        raise RunError(f"no series of {atlas}; there are some of {', '.join(sorted({_atlas_of(p) for p in paths}))}")
    for option, keys, label in (
        ("--space", ("space",), read_space(selection.space)[0]),
        ("--res", ("res",), selection.res),
        ("--den", ("den",), selection.den),
        ("--desc", ("desc", "feature"), selection.desc),
    ):
        if label is not None:
            found = [path for path in found if label in (entities_of(path).get(key) for key in keys)]
            if not found:
                raise RunError(f"no series of {atlas} with {option} {label}: choose another")
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise RunError(f"several series of {atlas}: {names}: choose by --space, --res, --den or --desc")
    return found[0]


def _complete(index: Index, table: Path, bids_dir: Path) -> tuple[Run, tuple[str, ...]]:
    """Find what goes with a table, and the names of its columns."""
    if told := index.broken_for(table):
        raise RunError(told)
    content = read_table(table)
    entities = entities_of(table)
    source = _run_name(entities)
    kept = {key: label for key, label in entities.items() if key not in OF_TABLE or key in ("space", "cohort", "res")}
    mask = _companion(index, source, "_outliers.tsv")
    motion = _companion(index, source, "_motion.tsv")
    run = Run(
        entities=tuple(kept.items()),
        bold=table,
        mask=mask or table,
        confounds=motion or table,
        confounds_json=None,
        root=index.root,
        tr_s=_tr(index, table, content.tr_s, bids_dir),
        volumes=len(content.values),
        notes=_notes(mask, motion, len(content.values)),
    )
    return run, content.labels


def _notes(mask: Path | None, motion: Path | None, rows: int) -> tuple[str, ...]:
    """Say what is not known of a run for want of a mask, or of a table of motion that fits."""
    told = []
    if mask is None:
        told.append("no temporal mask (_outliers.tsv) beside the series: only rows of n/a count as censored")
    if motion is None:
        told.append("no table of motion (_motion.tsv) beside the series: motion is not known")
    elif why := read_displacement(motion, rows if mask is None else len(read_mask(mask)))[1]:
        told.append(why)
    return tuple(told)


def _companion(index: Index, source: str, ending: str) -> Path | None:
    """Find the one table of a run that ends so: of all outputs, not of one atlas; None when it is not unique."""
    found = [
        path for path in index.paths if re.fullmatch(rf"{re.escape(source)}(_desc-[A-Za-z0-9+]+)?{ending}", path.name)
    ]
    exact = [path for path in found if path.name == f"{source}{ending}"]
    return exact[0] if exact else found[0] if len(found) == 1 else None


def _tr(index: Index, table: Path, in_header: float, bids_dir: Path) -> float:
    """Look the repetition time up: in the table's sidecars, the file itself, the raw data set."""
    described = index.metadata(table)
    stated: Any = described.get("RepetitionTime")
    sampled = described.get("SamplingFrequency")
    if stated is None and isinstance(sampled, int | float) and sampled > 0:
        stated = 1.0 / sampled
    if stated is None:
        run = {key: label for key, label in entities_of(table).items() if key not in OF_TABLE}
        stated = in_header or raw_tr(bids_dir, index.root, run)
    if stated is None:
        raise RunError(
            f"{table.name}: no RepetitionTime or SamplingFrequency in its JSON or any that it inherits from, nor in "
            "the raw data: add RepetitionTime in seconds to the sidecar"
        )
    return agreed_tr(table.name, stated, in_header)[0]
