"""Whether a folder of derivatives is whole: every table against the JSON file beside it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from bids_flex.bids.names import entities_of
from bids_flex.content import why_too_wide
from bids_flex.errors import MissingInputError, NotBidsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pandas as pd

# what every sidecar of a run says; the same in all of one run's files
COMMON = ("Sources", "Atlas", "Settings", "SettingsHash", "InputFingerprint", "SoftwareVersion")
WINDOW_COLUMNS = {"onset", "duration", "kept_frames"}
# as many rows or columns as the atlas has regions
ROWS_ARE_REGIONS = ("_dynamics", "_relmat", "_bold")
COLUMNS_ARE_REGIONS = ("_communities", "_relmat", "_timeseries")
# numbers are written with twelve digits
ROUNDING = 1e-9


def check_outputs(output_dir: Path) -> tuple[int, list[str]]:
    """Hold every table of a derivative data set against its data dictionary.

    Parameters
    ----------
    output_dir : Path
        What the participant level, and perhaps the group level, has written.

    Returns
    -------
    int
        Number of tables that were looked at.
    list of str
        One line for each fault: the file, relative to the folder, and what is wrong with it; empty when all is well.

    Raises
    ------
    MissingInputError
        When there is no such folder.
    NotBidsError
        When it is no derivative data set of bids_flex.
    """
    if not output_dir.is_dir():
        raise MissingInputError(f"{output_dir} is no folder: name the output folder of bids_flex")
    links = _refuse_foreign(output_dir).get("DatasetLinks")
    roots = _own_roots(output_dir, links if isinstance(links, dict) else {})
    faults: list[str] = []
    hashes: dict[tuple[Path, str, str], str] = {}
    tables = sorted(output_dir.rglob("*.tsv"))
    for path in tables:
        named = path.relative_to(output_dir).as_posix()
        faults += [f"{named}: {fault}" for fault in _table_faults(path)]
        faults += [f"{named}: {fault}" for fault in _hash_faults(path, hashes)]
    for path in sorted(output_dir.rglob("*.json")):
        named = path.relative_to(output_dir).as_posix()
        faults += [f"{named}: {fault}" for fault in _source_faults(path, roots)]
        if path.with_suffix(".tsv").exists() or path.parent == output_dir or "logs" in path.parts:
            continue
        if _named_like_ours(path):
            faults.append(f"{named}: describes a table that is not there")
    return len(tables), faults


def _own_roots(output_dir: Path, links: dict[str, Any]) -> dict[str, Path | None]:
    """Say where the data sets lie that BIDS URIs may name: inside of the output folder, or elsewhere (None).

    Others may have moved, or be mounted under another name: what is not in the folder is not looked for.
    """
    roots: dict[str, Path | None] = {"": output_dir.resolve()}
    for name, address in links.items():
        parts = urlsplit(str(address))
        place = (output_dir / unquote(parts.path)).resolve()
        ours = parts.scheme in {"", "file"} and place.is_relative_to(output_dir.resolve())
        roots[name] = place if ours else None
    return roots


def _source_faults(path: Path, roots: dict[str, Path | None]) -> Iterator[str]:
    """Name BIDS URIs that lead nowhere."""
    described = _read(path)
    sources = described.get("Sources", []) if isinstance(described, dict) else []
    if not isinstance(sources, list):
        yield "its Sources are no list"
        return
    for source in map(str, sources):
        kind, _, rest = source.partition(":")
        name, colon, inner = rest.partition(":")
        if kind != "bids" or not colon:
            yield f"its source {source} is no BIDS URI (bids:NAME:PATH)"
        elif name not in roots:
            yield f"its source {source} names a data set that DatasetLinks of dataset_description.json does not have"
        elif (root := roots[name]) is not None:
            place = (root / unquote(inner)).resolve()
            if not place.is_relative_to(root) or not place.exists():
                yield f"its source {source} is not there"


def _named_like_ours(path: Path) -> bool:
    """Say whether a JSON file is named as the companion of a table of a run."""
    return path.name.startswith("sub-") and path.parent.name == "func"


def _refuse_foreign(output_dir: Path) -> dict[str, Any]:
    """Refuse a folder that is not a derivative data set of ours; its description otherwise."""
    described = _read(output_dir / "dataset_description.json")
    if isinstance(described, str):
        raise NotBidsError(f"{output_dir}/dataset_description.json {described}: run the participant level again")
    makers = described.get("GeneratedBy")
    names = [maker.get("Name") for maker in makers if isinstance(maker, dict)] if isinstance(makers, list) else []
    if described.get("DatasetType") != "derivative" or "bids_flex" not in names:
        raise NotBidsError(f"{output_dir} was not made by bids_flex: name the output folder of bids_flex")
    return described


def _read(path: Path) -> dict[str, Any] | str:
    """Read a JSON file that holds an object, or say what is wrong with it."""
    try:
        content = json.loads(path.read_text(encoding="utf8"))
    except FileNotFoundError:
        return "is missing"
    except RecursionError:
        return "is nested too deeply"
    except (OSError, ValueError) as error:
        return f"cannot be read ({error})"
    return content if isinstance(content, dict) else "holds no object"


def _table_faults(path: Path) -> Iterator[str]:
    """Name what is wrong with one table."""
    import pandas as pd

    described = _read(path.with_suffix(".json"))
    if isinstance(described, str):
        yield f"its dictionary {path.with_suffix('.json').name} {described}"
        return
    try:
        if told := why_too_wide(path):
            yield told
            return
        table = pd.read_csv(path, sep="\t", dtype=str, na_values=["n/a"], keep_default_na=False, encoding="utf8")
    except (OSError, ValueError) as error:
        yield f"cannot be read ({error})"
        return
    entries = {name: entry for name, entry in described.items() if isinstance(entry, dict) and "Description" in entry}
    yield from (f"column {name} is described nowhere" for name in table.columns if name not in entries)
    # settings and facts about the run are no columns: only entries with a description and a name are
    columns = {name for name, entry in entries.items() if "LongName" in entry}
    yield from (f"column {name} is described but not there" for name in sorted(columns - set(table.columns)))
    for name in table.columns:
        yield from _value_faults(name, table[name], entries.get(name, {}))
    if path.parent.name == "func":
        yield from _run_faults(path, table, described)


def _value_faults(name: str, column: pd.Series, entry: dict[str, Any]) -> Iterator[str]:
    """Name values of a column that its description does not allow."""
    import pandas as pd

    # what a data set says of its own columns is repeated, not vouched for: the group level warns where it does not hold
    if "Source" in entry:
        return
    given = column.dropna()
    if (levels := entry.get("Levels")) is not None and (odd := sorted(set(given) - set(levels))):
        yield f"column {name} has {odd[0]!r}, which is none of its levels"
    bounds = [entry.get(key) for key in ("Minimum", "Maximum")]
    if "Units" not in entry and bounds == [None, None]:
        return
    numbers = pd.to_numeric(given, errors="coerce")
    if numbers.isna().any():
        yield f"column {name} has {given[numbers.isna()].iloc[0]!r}, which is no number"
    low, high = bounds
    if low is not None and (numbers < low - ROUNDING).any():
        yield f"column {name} has {numbers.min():g}, below its minimum {low}"
    if high is not None and (numbers > high + ROUNDING).any():
        yield f"column {name} has {numbers.max():g}, above its maximum {high}"


def _run_faults(path: Path, table: pd.DataFrame, described: dict[str, Any]) -> Iterator[str]:
    """Name what a run's sidecar lacks, and shapes that do not fit the atlas."""
    yield from (f"its sidecar has no {key}" for key in COMMON if key not in described)
    atlas = described.get("Atlas")
    regions = atlas.get("Regions") if isinstance(atlas, dict) else None
    if regions is None:
        return
    columns = len(set(table.columns) - WINDOW_COLUMNS)
    if path.stem.endswith(ROWS_ARE_REGIONS) and len(table) != regions:
        yield f"{len(table)} rows, but the atlas has {regions} regions"
    if path.stem.endswith(COLUMNS_ARE_REGIONS) and columns != regions:
        yield f"{columns} columns of regions, but the atlas has {regions}"


def _hash_faults(path: Path, hashes: dict[tuple[Path, str, str], str]) -> Iterator[str]:
    """Name a table whose settings or inputs are not those of the other tables of its run."""
    described = _read(path.with_suffix(".json"))
    if path.parent.name != "func" or isinstance(described, str):
        return
    run = {key: label for key, label in entities_of(path).items() if key not in {"desc", "stat"}}
    for key in ("SettingsHash", "InputFingerprint"):
        here = json.dumps(described.get(key), sort_keys=True)
        if hashes.setdefault((path.parent, repr(sorted(run.items())), key), here) != here:
            yield f"its {key} is not that of the other tables of its run: analyse the run again with --force"
