"""Runs found in data sets that others have made, and the seconds it takes: usable, unusable, left out."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from bids_flex.bids.inputs import find_runs
from bids_flex.bids.series import find_series
from bids_flex.cli import parse_config

SPACE = "MNI152NLin2009cAsym"
LAYOUTS = (
    "real-rest",
    "layouts/ds000001-fmriprep",
    "layouts/fmridenoise_dummy_complete",
    "layouts/pybids_ds005/ds005",
    "layouts/synthetic",
)
LISTINGS = ("ds054", "ds210", "ds005_partial", "ds005")


def listed(listing: Path, folder: Path) -> Path:
    """Make a data set of the files that fMRIPrep's own tests expect: images of a few voxels, tables without content."""
    import nibabel as nib
    import numpy as np

    for name in listing.read_text().split():
        path = folder / name
        if "." not in path.name:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("_bold.nii.gz"):
            image = nib.Nifti1Image(np.zeros((2, 2, 2, 5), dtype=np.float32), np.eye(4))
            image.header.set_zooms((1, 1, 1, 2))
            nib.save(image, path)
        else:
            path.write_text('{"RepetitionTime": 2.0}' if name.endswith("_bold.json") else "{}")
    described = {"Name": "x", "BIDSVersion": "1.9.0", "DatasetType": "derivative"}
    (folder / "dataset_description.json").write_text(json.dumps(described))
    return folder


def people(arrays: Path, folder: Path) -> Path:
    """Write the series of 21 people as tables."""
    import numpy as np
    import pandas as pd

    for key, values in np.load(arrays).items():
        func = folder / key / "func"
        func.mkdir(parents=True)
        table = pd.DataFrame(values, columns=[f"region{number}" for number in range(values.shape[1])])
        table.to_csv(func / f"{key}_task-rest_timeseries.tsv", sep="\t", index=False)
    (folder / "task-rest_timeseries.json").write_text('{"RepetitionTime": 0.72}')
    (folder / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.9.0"}')
    return folder


def count(name: str, folder: Path, *options: str, space: str = SPACE) -> None:
    """Print a row."""
    config = parse_config([str(folder), "/out", "participant", *options])
    start = time.perf_counter()
    found = find_series(config).runs if options else find_runs(config, space)
    seconds = time.perf_counter() - start
    print(
        f"| {name} | {len(found.usable)} | {len(found.unusable)} | {len(found.left_out)} | {seconds:.2f} |", flush=True
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", type=Path, help="folder with layouts/, real-rest/ and timeseries/")
    asked = parser.parse_args()
    if asked.reference is None or not asked.reference.is_dir():
        print("skipped: name the folder of reference data with --reference")
        return
    print("| data set | usable | unusable | left out | seconds |\n|---|---|---|---|---|")
    for layout in LAYOUTS:
        count(layout, asked.reference / layout)
    with tempfile.TemporaryDirectory() as folder:
        for listing in LISTINGS:
            made = listed(asked.reference / f"layouts/fmriprep_ci/{listing}_outputs.txt", Path(folder) / listing)
            count(f"fmriprep_ci/{listing}", made, space="MNI152NLin6Asym" if listing == "ds005_partial" else SPACE)
        made = people(asked.reference / "timeseries/popovych_hcp.npz", Path(folder) / "people")
        count("timeseries/popovych_hcp", made, "--input-type", "timeseries")


if __name__ == "__main__":
    main()
