"""Regional means of 91 x 109 x 91 x 300 in 200 regions: beside the bare inflate time, and nilearn's masker.

Every row is a process of its own; the best of several interleaved rounds counts. Libraries are imported before the
clock starts; memory is the peak of the whole process, libraries included.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np

SHAPE, VOLUMES, REGIONS = (91, 109, 91), 300, 200
WAYS = ("inflate", "bids_flex", "smoothed", "masker")


def simulate(folder: Path) -> None:
    """Write an ellipsoid of noise as int16 and as float32, its mask, and an atlas of slabs of equal size."""
    rng = np.random.default_rng(0)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    places = np.indices(SHAPE) - (np.array(SHAPE).reshape(3, 1, 1, 1) - 1) / 2
    brain = ((places / np.array([36.0, 44.0, 36.0]).reshape(3, 1, 1, 1)) ** 2).sum(axis=0) < 1
    labels = np.zeros(SHAPE, dtype=np.int16)
    labels[brain] = 1 + np.arange(brain.sum()) * REGIONS // brain.sum()
    for name, values in (("mask", brain.astype(np.uint8)), ("atlas", labels)):
        nib.save(nib.Nifti1Image(values, affine), folder / f"{name}.nii.gz")
    rows = [f"{number}\tregion{number}\n" for number in range(1, REGIONS + 1)]
    (folder / "atlas.tsv").write_text("index\tlabel\n" + "".join(rows), encoding="utf8")
    base = 1000 + 100 * rng.standard_normal(brain.sum())
    for dtype in ("int16", "float32"):
        values = np.zeros((*SHAPE, VOLUMES), dtype=dtype, order="F")
        for volume in range(VOLUMES):
            values[..., volume][brain] = base + 20 * rng.standard_normal(base.size)
        nib.save(nib.Nifti1Image(values, affine), folder / f"{dtype}.nii.gz")


def work(way: str, folder: Path, dtype: str) -> None:
    """Do it one way and print seconds and MiB."""
    bold, mask, atlas = (folder / f"{name}.nii.gz" for name in (dtype, "mask", "atlas"))
    if way == "inflate":
        from isal import igzip

        buffer = bytearray(1 << 20)
        started = time.perf_counter()
        with igzip.open(bold, "rb") as stream:
            while stream.readinto(buffer):
                pass
    elif way == "masker":
        from nilearn.maskers import NiftiLabelsMasker

        started = time.perf_counter()
        NiftiLabelsMasker(str(atlas), mask_img=str(mask), standardize=None, reports=False).fit_transform(str(bold))
    else:
        import scipy.sparse  # noqa: F401

        from bids_flex.signal import load_atlas, parcellate

        loaded = load_atlas(str(atlas))
        started = time.perf_counter()
        parcellate(bold, mask, loaded, smoothing_mm=6.0 if way == "smoothed" else 0.0)
    seconds = time.perf_counter() - started
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    """Time all ways in turn and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(given.work[0], Path(given.work[1]), given.work[2])
        return
    with tempfile.TemporaryDirectory() as temporary:
        # in a process of its own: a process inherits the peak of the one that it is forked from
        code = f"import runpy; runpy.run_path({__file__!r})['simulate'](__import__('pathlib').Path({temporary!r}))"
        subprocess.run([sys.executable, "-c", code], check=True)
        best: dict[tuple[str, str], tuple[float, float]] = {}
        for _ in range(given.rounds):
            for dtype in ("int16", "float32"):
                for way in WAYS:
                    words = [sys.executable, __file__, "--work", way, temporary, dtype]
                    printed = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
                    seconds, peak = float(printed[-2]), float(printed[-1])
                    before = best.get((dtype, way), (np.inf, np.inf))
                    best[dtype, way] = (min(seconds, before[0]), min(peak, before[1]))
    print(f"{'stored as':10s} {'way':10s} {'seconds':>8s} {'x inflate':>10s} {'peak MiB':>9s}")
    for (dtype, way), (seconds, peak) in best.items():
        print(f"{dtype:10s} {way:10s} {seconds:8.2f} {seconds / best[dtype, 'inflate'][0]:10.2f} {peak:9.0f}")


if __name__ == "__main__":
    main()
