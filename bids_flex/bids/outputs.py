"""Derivatives out: names, whole files or none, tables with their dictionaries, the data set's own description."""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import tempfile
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_flex import __version__
from bids_flex.bids.names import join_entities
from bids_flex.bids.roots import data_set_name
from bids_flex.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import pandas as pd

    from bids_flex.bids.inputs import Run

BIDS_VERSION = "1.11.0"
ROWS_AT_ONCE = 250
"""Rows of a table that are turned into text together: the table of ten thousand people would be gigabytes of it."""

TEMPORARY = ".bids_flex-"
"""How names of files begin that are not complete yet."""

BIDSIGNORE = """\
# Derivatives that BIDS does not name yet; patterns of file names, no folders with a trailing slash.
**/*_relmat.tsv
**/*_relmat.json
**/*_timeseries.tsv
**/*_timeseries.json
**/*_bold.tsv
**/*_bold.json
**/*_communities.tsv
**/*_communities.json
**/*_dynamics.tsv
**/*_dynamics.json
**/*_quality.tsv
**/*_quality.json
**/*_restarts.tsv
**/*_restarts.json
**/*_windows.tsv
**/*_windows.json
**/*_sweep.tsv
**/*_sweep.json
**/figures
*.html
CITATION.md
atlases
group
logs
universes
universes.tsv
universes.json
"""


def check_writable(folder: Path) -> None:
    """Make a folder and prove that files can be written into it, before any work is done.

    Raises
    ------
    OutputError
        When it cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        file = next((one for one in (folder, *folder.parents) if one.is_file()), None)
        if file is not None:
            raise OutputError(f"{folder} cannot be written: {file} is a file; name a folder") from error
        raise OutputError(
            f"{folder} cannot be written ({error.strerror}): {_whose(folder)}; choose another folder, or "
            "check its owner and free space"
        ) from error


def _whose(folder: Path) -> str:
    """Say who owns a folder, or the one that it would be made in, and who asks."""
    there = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
    try:
        owner = there.stat().st_uid
    except OSError as error:
        return f"{there} cannot be looked at ({error.strerror})"
    return f"{there} belongs to user {owner}, this is user {os.geteuid()}"


def private_folder(folder: Path) -> None:
    """Make a folder that nobody else can read or write: what lies in it may be unpickled.

    Raises
    ------
    OutputError
        When it is a link, belongs to another user, or cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
            raise OutputError(f"{folder} is a link or belongs to another user: remove it, or choose another --work-dir")
        folder.chmod(0o700)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made private ({error.strerror}): choose another --work-dir") from error


def refuse_links(output_dir: Path, *folders: Path) -> None:
    """Refuse parts of an output folder that lie elsewhere: nothing is written or removed outside it.

    Raises
    ------
    OutputError
        When a link leads out of the output folder.
    """
    root = output_dir.resolve()
    for folder in folders:
        if not folder.resolve().is_relative_to(root):
            raise OutputError(f"{folder} is a link that leads out of {root}: remove it, or choose another folder")


def remove_leftovers(*folders: Path) -> None:
    """Remove temporary files of calls that were killed; one that is being written is locked, and stays."""
    for path in (path for folder in folders for path in folder.glob(f"{TEMPORARY}*")):
        # another call may have removed it; where locks are unknown, nothing is removed
        with contextlib.suppress(OSError), path.open("rb") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def _locked_temporary(folder: Path) -> tuple[int, str]:
    """Make a temporary file and lock it; one that was removed before the lock was ours is made again."""
    while True:
        descriptor, name = tempfile.mkstemp(dir=folder, prefix=TEMPORARY)
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor, name
        os.close(descriptor)


def write_atomic(path: Path, content: str | bytes | Iterable[str]) -> None:
    """Write a file whole or not at all: a temporary file beside it takes its place when it is complete.

    Parameters
    ----------
    path : Path
        Of the file.
    content : str, bytes or iterable of str
        Its content; parts are written as they come, so that they need not fit into memory together.

    Raises
    ------
    OutputError
        When the disk refuses; nothing half-written is left.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = _locked_temporary(path.parent)
        with os.fdopen(descriptor, "wb") as file:
            for part in (content,) if isinstance(content, str | bytes) else content:
                file.write(part if isinstance(part, bytes) else part.encode("utf8"))
            file.flush()
            os.fsync(file.fileno())
            # mkstemp makes private files; outputs follow the user's umask like any other
            os.fchmod(file.fileno(), 0o666 & ~_umask())
            # while it is open it is locked
            Path(temporary).replace(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror}): check the disk's free space") from error
    finally:
        # nothing is left under that name once the file has taken its place
        if temporary is not None:
            with contextlib.suppress(OSError):
                Path(temporary).unlink(missing_ok=True)


@cache
def _umask() -> int:
    """Read the process's umask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON file; what is not a finite number becomes ``null``."""
    write_atomic(path, json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _plain(value: Any) -> Any:  # noqa: ANN401 - any value that JSON can hold, from numpy or not
    """Turn numpy's numbers and arrays into Python's; NaN and infinity have no place in JSON."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


@cache
def column_dictionary() -> dict[str, dict[str, Any]]:
    """Read what every column of our tables means, with its unit."""
    text = resources.files("bids_flex.data").joinpath("columns.json").read_text(encoding="utf8")
    columns: dict[str, dict[str, Any]] = json.loads(text)
    return columns


def dictionary_of(
    names: Iterable[str], columns: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Mapping[str, Any]]:
    """Say what columns mean, from the general dictionary and ``columns``, which goes before it.

    Raises
    ------
    KeyError
        When a column is described nowhere: a defect of ours.
    """
    known = {**column_dictionary(), **(columns or {})}
    return {str(name): known[str(name)] for name in names}


def write_table(
    path: Path, table: pd.DataFrame, extra: Mapping[str, Any], columns: Mapping[str, Mapping[str, Any]] | None = None
) -> None:
    """Write a TSV file, and beside it the JSON file that says what its columns mean.

    Parameters
    ----------
    path : Path
        Of the TSV file.
    table : pandas.DataFrame
        Missing values become ``n/a``.
    extra : mapping
        Further content of the JSON file.
    columns : mapping, optional
        Meaning of columns that the general dictionary does not know (regions, columns of participants.tsv).

    Raises
    ------
    KeyError
        When a column is described nowhere: a defect of ours.
    """
    starts = range(0, max(len(table), 1), ROWS_AT_ONCE)
    write_table_parts(path, (table.iloc[start : start + ROWS_AT_ONCE] for start in starts), extra, columns)


def write_table_parts(
    path: Path,
    parts: Iterable[pd.DataFrame],
    extra: Mapping[str, Any],
    columns: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Write a table part by part, as :func:`write_table` does; the first part names the columns of all.

    Raises
    ------
    KeyError
        When a column is described nowhere: a defect of ours; no file is written then.
    """
    described: dict[str, Any] = {}

    def texts() -> Iterator[str]:
        for part in parts:
            first = not described
            described.update(dictionary_of(part.columns, columns) if first else {})
            yield part.to_csv(
                sep="\t", index=False, header=first, na_rep="n/a", float_format="%.12g", lineterminator="\n"
            )

    write_atomic(path, texts())
    write_json(path.with_suffix(".json"), {**described, **extra})


def output_folder(output_dir: Path, run: Run) -> Path:
    """Name the folder of a run's derivatives."""
    entities = dict(run.entities)
    session = f"ses-{entities['ses']}" if "ses" in entities else ""
    return output_dir / f"sub-{entities['sub']}" / session / "func"


def output_stem(run: Run, atlas_entities: Mapping[str, str]) -> str:
    """Name a run's derivatives up to ``stat-`` and ``desc-``; regions have no resolution."""
    return join_entities({key: label for key, label in run.entities if key != "res"} | dict(atlas_entities))


def bids_uri(run: Run, path: Path) -> str:
    """Name an input file as the BIDS URI that goes into ``Sources``."""
    return f"bids:{data_set_name(run.root)}:{path.relative_to(run.root).as_posix()}"


def write_dataset(output_dir: Path, source: Path | None, readme: str) -> None:
    """Write the files that make a folder a BIDS derivative data set, unless they are there already.

    Parameters
    ----------
    output_dir : Path
        The derivative data set.
    source : Path or None
        The data set that the BIDS URIs in ``Sources`` refer to.
    readme : str
        Text of README.md.
    """
    description: dict[str, Any] = {
        "Name": "bids_flex: dynamic reconfiguration of brain networks",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "License": "See the source data set",
        "GeneratedBy": [{"Name": "bids_flex", "Version": __version__}],
    }
    if source is not None:
        description["SourceDatasets"] = [{"URL": source.as_uri()}]
        description["DatasetLinks"] = {data_set_name(source): source.as_uri()}
    files = {
        "dataset_description.json": json.dumps(description, indent=2) + "\n",
        ".bidsignore": BIDSIGNORE,
        "README.md": readme,
        "CITATION.md": resources.files("bids_flex.data").joinpath("citation.md").read_text(encoding="utf8"),
    }
    for name, text in files.items():
        path = output_dir / name
        # parallel jobs share the folder: what is there already is left alone
        if not path.exists():
            write_atomic(path, text)
