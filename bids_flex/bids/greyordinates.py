"""Which runs fMRIPrep has written as greyordinates (CIFTI-2), with their confounds."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from bids_flex.bids.companions import GREYORDINATES, find_confounds, run_entities, stated_tr
from bids_flex.bids.headers import agreed_tr, check_images
from bids_flex.bids.index import index_participants
from bids_flex.bids.inputs import Run, Runs, Unusable, make_run, misnamed_folders, sorted_runs
from bids_flex.bids.names import entities_of, join_entities
from bids_flex.bids.roots import derivatives_root, list_participants
from bids_flex.bids.selection import read_filter, read_space, why_not
from bids_flex.errors import NoMatchError, RunError
from bids_flex.signal.cifti import open_series

if TYPE_CHECKING:
    from bids_flex.bids.index import Index
    from bids_flex.config import Config, Selection


def find_greyordinates(config: Config) -> Runs:
    """Find the runs that a call asks for; the greyordinates are their own mask.

    Raises
    ------
    MissingInputError, NotBidsError, NoMatchError
        As for images of voxels.
    """
    root = derivatives_root(config.bids_dir, config.derivatives)
    usable: list[Run] = []
    selection = config.selection
    wanted = read_filter(Path(selection.filter_file) if selection.filter_file else None)
    participants, misnamed = list_participants(root, selection)
    unusable = misnamed_folders(root, misnamed)
    left_out: list[Unusable] = []
    for participant, index in index_participants(root, participants):
        if index.unlisted:
            unusable.append(Unusable(f"sub-{participant}", index.unlisted))
        for name, files in _runs_of(index.paths):
            if reason := why_not(entities_of(files[0]), selection, wanted):
                left_out.append(Unusable(name, reason))
                continue
            try:
                usable.append(_complete(index, _choose(files, selection), config.bids_dir))
            except RunError as error:
                unusable.append(Unusable(name, str(error)))
    if not usable and not unusable:
        raise NoMatchError(
            f"no run of those asked for has greyordinates (*{GREYORDINATES}) in {root}: "
            "run fMRIPrep with --cifti-output, or choose --file-format nifti"
        )
    return sorted_runs(usable, unusable, left_out)


def _runs_of(paths: tuple[Path, ...]) -> list[tuple[str, list[Path]]]:
    """Group files of greyordinates by run; fMRIPrep gives them no desc-."""
    grouped: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        entities = entities_of(path)
        whole = entities.get("desc", "preproc") == "preproc" and "echo" not in entities
        if path.name.endswith(GREYORDINATES) and whole:
            grouped[join_entities(run_entities(entities))].append(path)
    return sorted(grouped.items())


def _choose(files: list[Path], selection: Selection) -> Path:
    """Choose the density that is asked for, or the only one."""
    found = [path for path in files if selection.den in (None, entities_of(path).get("den"))]
    found = [path for path in found if read_space(selection.space)[0] in (None, entities_of(path).get("space"))]
    if len(found) == 1:
        return found[0]
    names = ", ".join(path.name for path in found or files)
    raise RunError(
        f"{'several files' if found else 'none of the files asked for'} ({names}): choose with --den, --space"
    )


def _complete(index: Index, bold: Path, bids_dir: Path) -> Run:
    """Find the confounds of a run and check its header."""
    check_images(bold)
    confounds = find_confounds(index, bold)
    image, _, in_header = open_series(bold)
    tr_s, notes = agreed_tr(bold.name, stated_tr(index, bold, bids_dir), in_header)
    header = (tr_s, int(image.shape[0]), notes)
    return make_run(index.root, bold, bold, confounds, header, unnamed=("desc", "den"))
