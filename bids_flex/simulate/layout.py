"""The files of a simulated study: a raw BIDS root, its derivatives in fMRIPrep's shape, the atlas, the truth."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bids_flex import __version__
from bids_flex.errors import OutputError, UsageError
from bids_flex.simulate.cohort import make_cohort
from bids_flex.simulate.confounds import confounds_table
from bids_flex.simulate.scans import draw_motion, make_brain, paint
from bids_flex.simulate.series import simulate_series

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from bids_flex.simulate.cohort import Person
    from bids_flex.simulate.scans import Brain
    from bids_flex.simulate.series import Series
    from bids_flex.simulate.settings import SimulationSettings

SPACE = "MNI152NLin2009cAsym"
SETTINGS_FILE = Path("derivatives") / "truth" / "simulation.json"
"""Written last: its presence says that a study is complete."""

STARTED_FILE = SETTINGS_FILE.with_name("started.json")
"""Written before the first run: runs that are there were made with these settings."""

COLUMNS: dict[str, dict[str, Any]] = {
    "group": {
        "Description": "Diagnosis (simulated)",
        "Levels": {
            "control": "no diagnosis",
            "mdd": "major depressive disorder",
            "anxiety": "anxiety disorder",
            "comorbid": "both",
        },
    },
    "antidepressant": {
        "Description": "Use of antidepressants (simulated)",
        "Levels": {"user": "patient who uses them", "nonuser": "patient who does not", "control": "no patient"},
    },
    "age": {"Description": "Age (simulated)", "Units": "year"},
    "sex": {"Description": "Sex (simulated)", "Levels": {"F": "female", "M": "male"}},
    "education": {"Description": "Years of education (simulated)", "Units": "year"},
    "site": {"Description": "Scanner site (simulated)", "Levels": {"A": "site A", "B": "site B", "C": "site C"}},
}


def simulate_dataset(
    out: Path, settings: SimulationSettings, *, force: bool = False, report: Callable[[str], None] = lambda _: None
) -> Path:
    """Write a simulated study.

    Parameters
    ----------
    out : Path
        The raw root; derivatives, atlas and truth lie below ``derivatives/``.
    settings : SimulationSettings
        What to simulate.
    force : bool
        Replace an earlier simulation that had other settings.
    report : callable
        Called with the label of each participant that is written.

    Returns
    -------
    Path
        ``out``. A study that is already there, complete and with the same settings, is left as it is; one that was
        interrupted is completed.

    Raises
    ------
    UsageError
        When the folder holds anything else.
    OutputError
        When it cannot be written.
    """
    stated = {"Version": __version__, **dataclasses.asdict(settings)}
    if _ready(out, stated, force=force):
        return out
    try:
        people = make_cohort(settings)
        brain = make_brain(settings)
        _write_root(out, settings, people)
        _json(out / STARTED_FILE, stated)
        _write_atlas(out / "derivatives" / "atlas", settings, brain)
        for number, person in enumerate(people):
            for key, name in _runs(settings, person):
                if not _last_of_run(out, name).is_file():
                    _write_run(out, settings, brain, person, name, settings.generator(number, *key))
            report(person.label)
        _write_truth(out, people)
        _json(out / SETTINGS_FILE, stated)
    except OSError as error:
        raise OutputError(f"{out} cannot be written ({error.strerror}): check its owner and the free space") from error
    return out


def _ready(out: Path, stated: dict[str, Any], *, force: bool) -> bool:
    """Tell whether the study is there already; make room for it if it is not."""
    if not out.exists() or not any(out.iterdir()):
        return False
    marker = out / SETTINGS_FILE
    earlier = json.loads(marker.read_text(encoding="utf8")) if marker.is_file() else None
    if earlier == stated:
        return True
    started = (out / "derivatives" / "truth" / "dataset_description.json").is_file()
    if earlier is None and not started:
        raise UsageError(f"{out} is not empty and holds no simulated study: choose another folder")
    if earlier is not None and not force:
        different = [
            f"{key} was {earlier.get(key)}, now {stated[key]}" for key in stated if earlier.get(key) != stated[key]
        ]
        raise UsageError(f"{out} holds a study with other settings ({'; '.join(different)}): --force replaces it")
    if earlier is None and _begun(out / STARTED_FILE) == stated:
        return False
    shutil.rmtree(out)
    return False


def _begun(path: Path) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Read with which settings a study was begun; None when that is not known."""
    try:
        return json.loads(path.read_text(encoding="utf8"))
    except (OSError, ValueError):
        return None


def _runs(settings: SimulationSettings, person: Person) -> Iterator[tuple[tuple[int, int], str]]:
    """Name the runs of a person, each with its place in the seed's tree."""
    for session in range(settings.sessions):
        for run in range(settings.runs):
            name = f"sub-{person.label}" + (f"_ses-{session + 1}" if settings.sessions > 1 else "") + "_task-rest"
            yield (session, run), name + (f"_run-{run + 1}" if settings.runs > 1 else "")


def _folder(root: Path, name: str) -> Path:
    """Name the folder that a run's files lie in."""
    parts = [part for part in name.split("_") if part.startswith(("sub-", "ses-"))]
    return root.joinpath(*parts, "func")


def _last_of_run(out: Path, name: str) -> Path:
    """Name the file that is written last of a run: its presence says that the run is complete."""
    return _folder(out / "derivatives" / "truth", name) / f"{name}_switches.tsv"


def _write_root(out: Path, settings: SimulationSettings, people: tuple[Person, ...]) -> None:
    """Write what belongs to the whole study; the truth's description first, so that a torn study is known as ours."""
    described = (
        ("derivatives/truth", "truth"),
        ("derivatives/fmriprep", "fMRIPrep-shaped"),
        ("derivatives/atlas", "atlas"),
    )
    for folder, what in described:
        _describe(out / folder, f"Simulated study: {what}", "derivative")
    _describe(out, "Simulated study (no person was scanned)", "raw")
    _text(
        out / "README",
        "A simulated study, written by bids_flex-simulate. No person was scanned. Images in derivatives/fmriprep\n"
        "have the shape of fMRIPrep's output; derivatives/truth says what was planted. The raw images hold no brain.\n",
    )
    table = pd.DataFrame(
        [{"participant_id": f"sub-{p.label}"} | {name: getattr(p, name) for name in COLUMNS} for p in people]
    )
    _table(out / "participants.tsv", table)
    _json(out / "participants.json", COLUMNS)
    _json(out / "task-rest_bold.json", {"TaskName": "rest", "RepetitionTime": settings.tr_s})


def _describe(folder: Path, name: str, kind: str) -> None:
    """Write a dataset_description.json."""
    content: dict[str, Any] = {"Name": name, "BIDSVersion": "1.11.0", "DatasetType": kind, "License": "CC0-1.0"}
    tool = {"Name": "bids_flex-simulate", "Version": __version__}
    _json(folder / "dataset_description.json", content | {"GeneratedBy": [tool]})


def _write_atlas(folder: Path, settings: SimulationSettings, brain: Brain) -> None:
    """Write the atlas that the voxels are painted through."""
    stem = f"tpl-{SPACE}_atlas-Sim_seg-7n_scale-{settings.regions}_dseg"
    _image(folder / f"{stem}.nii.gz", brain.regions, brain.affine)
    networks = settings.region_networks
    numbers = [networks[: place + 1].count(network) for place, network in enumerate(networks)]
    table = pd.DataFrame(
        {
            "index": np.arange(1, settings.regions + 1),
            "label": [f"{network}_{number}" for network, number in zip(networks, numbers, strict=True)],
            "network": networks,
        }
    )
    _table(folder / f"{stem}.tsv", table)


def _write_run(
    out: Path, settings: SimulationSettings, brain: Brain, person: Person, name: str, rng: np.random.Generator
) -> None:
    """Write one run: raw stand-in, derivatives, truth."""
    found = simulate_series(settings, person.rate, person.network_rate, rng)
    motion = draw_motion(settings.volumes, person.motion, rng)
    images = paint(brain, found.series, motion, settings, rng)
    folder, stem = _folder(out / "derivatives" / "fmriprep", name), f"{name}_space-{SPACE}"
    # whole numbers, as scanners give them
    rounded = np.round(images).astype(np.int16)
    _image(folder / f"{stem}_desc-preproc_bold.nii.gz", rounded, brain.affine, settings.tr_s)
    sidecar = {
        "RepetitionTime": settings.tr_s,
        "TaskName": "rest",
        "SkullStripped": True,
        "SliceTimingCorrected": False,
    }
    _json(folder / f"{stem}_desc-preproc_bold.json", sidecar)
    _image(folder / f"{stem}_desc-brain_mask.nii.gz", (brain.tissue > 0).astype(np.uint8), brain.affine)
    _json(folder / f"{stem}_desc-brain_mask.json", {"Type": "Brain"})
    _image(folder / f"{stem}_boldref.nii.gz", np.round(images.mean(axis=3)).astype(np.int16), brain.affine)
    table, described = confounds_table(
        rounded.astype(np.float32), motion, brain, settings.tr_s, settings.non_steady_volumes
    )
    _table(folder / f"{name}_desc-confounds_timeseries.tsv", table)
    _json(folder / f"{name}_desc-confounds_timeseries.json", described)
    _image(_folder(out, name) / f"{name}_bold.nii.gz", rounded[:2, :2, :2] * 0, brain.affine, settings.tr_s)
    _write_run_truth(out, name, settings, found)


def _write_run_truth(out: Path, name: str, settings: SimulationSettings, found: Series) -> None:
    """Write where every region was at every moment, and what its signal was."""
    labels = [f"region{number}" for number in range(1, settings.regions + 1)]
    stem = _folder(out / "derivatives" / "truth", name) / name
    _table(Path(f"{stem}_membership.tsv"), pd.DataFrame(found.membership, columns=labels))
    _table(Path(f"{stem}_series.tsv"), pd.DataFrame(np.round(found.series, 6), columns=labels))
    volume, region = np.nonzero(np.diff(found.membership, axis=0))
    switches = pd.DataFrame(
        {
            "onset": (volume + 1) * settings.tr_s,
            "region": region + 1,
            "before": found.membership[volume, region],
            "after": found.membership[volume + 1, region],
        }
    )
    _table(_last_of_run(out, name), switches)


def _write_truth(out: Path, people: tuple[Person, ...]) -> None:
    """Write the rates that were planted in everybody."""
    table = pd.DataFrame(
        [
            {
                "participant_id": f"sub-{person.label}",
                "switches_per_minute": person.rate,
                "switches_per_minute_effect_network": person.network_rate,
                "motion": person.motion,
            }
            for person in people
        ]
    )
    _table(out / "derivatives" / "truth" / "rates.tsv", table)


def _image(path: Path, values: NDArray[Any], affine: NDArray[np.float64], tr_s: float | None = None) -> None:
    """Write a NIfTI file; the same values give the same bytes."""
    import nibabel as nib

    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(values, affine)
    image.header.set_xyzt_units("mm", "sec")
    if tr_s is not None:
        image.header.set_zooms((*image.header.get_zooms()[:3], tr_s))
    image.set_sform(affine, 4)
    image.set_qform(affine, 4)
    nib.save(image, path)


def _table(path: Path, table: pd.DataFrame) -> None:
    _text(path, table.to_csv(sep="\t", index=False, na_rep="n/a", lineterminator="\n"))


def _json(path: Path, content: dict[str, Any]) -> None:
    _text(path, json.dumps(content, indent=2) + "\n")


def _text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # beside its place, then moved: what is there is whole
    beside = path.with_name(f".{path.name}.part")
    beside.write_text(text, encoding="utf8")
    beside.replace(path)
