"""Tables of further confounds that other programs have made of the same runs."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from bids_flex.bids.companions import run_entities
from bids_flex.bids.inputs import fingerprint
from bids_flex.bids.names import entities_of, join_entities
from bids_flex.errors import RunError

if TYPE_CHECKING:
    from pathlib import Path

    from bids_flex.bids.inputs import Run


def further_confounds(folder: Path, run: Run) -> Path:
    """Find a run's table in a folder that is laid out as fMRIPrep's: any ``_timeseries.tsv`` of the same entities.

    Raises
    ------
    RunError
        When there is none, or more than one.
    """
    found = _candidates(folder, run)
    if len(found) == 1:
        return found[0]
    name = join_entities(run_entities(dict(run.entities)))
    if found:
        raise RunError(
            f"further confounds of {name} are not unique in {folder}: {', '.join(path.name for path in found)}: "
            "leave only one"
        )
    raise RunError(f"further confounds of {name} are missing in {folder}: no {name}_desc-*_timeseries.tsv is there")


def input_state(run: Run, folder: Path | None) -> str:
    """Name the state of a run's input files, those of further confounds among them, as a fingerprint.

    Returns
    -------
    str
        Sixteen hexadecimal digits; without a folder, those of :func:`bids_flex.bids.inputs.fingerprint`.
    """
    own = fingerprint(run)
    if folder is None:
        return own
    others = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in _candidates(folder, run)]
    return hashlib.sha256(repr((own, others)).encode()).hexdigest()[:16]


def _candidates(folder: Path, run: Run) -> list[Path]:
    """List a run's tables, sorted."""
    named = run_entities(dict(run.entities))
    below = folder / f"sub-{named['sub']}"
    tables = [path for ending in ("timeseries", "regressors") for path in below.rglob(f"*_{ending}.tsv")]
    return sorted(path for path in tables if run_entities(entities_of(path)) == named and path.exists())
