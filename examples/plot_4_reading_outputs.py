"""
Reading the outputs with pandas and nilearn
===========================================

Every output is a tab-separated table with a JSON dictionary beside it, or a NIfTI image.

A small study and its analysis
------------------------------
This is what an output folder comes from; the settings are cut down so that the example is short.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
import pandas as pd
from nilearn import plotting

from bids_flex.simulate import SimulationSettings, simulate_dataset

temporary = tempfile.TemporaryDirectory()
study, out = Path(temporary.name, "study"), Path(temporary.name, "out")
simulate_dataset(study, SimulationSettings(participants=9, regions=28, voxel_mm=12.0, duration_s=300.0))
atlas = next((study / "derivatives" / "atlas").glob("*_dseg.nii.gz"))
call = [sys.executable, "-m", "bids_flex.cli", study, out]
quick = ["--denoise", "24P+2P", "--engine", "prior", "--n-surrogates", "9", "--no-reports"]
subprocess.run([*call, "participant", "--atlas", atlas, *quick], check=True, capture_output=True)
subprocess.run([*call, "group", "--groups", "antidepressant", "--no-reports"], check=True, capture_output=True)

# %%
# One run
# -------
# ``n/a`` is a missing value, which pandas knows by itself.

path = next(out.glob("sub-01/func/*_desc-prior_dynamics.tsv"))
regions = pd.read_csv(path, sep="\t")
print(
    regions[["region", "network", "flexibility", "flexibility_excess", "flexibility_p"]].head().to_string(index=False)
)

# %%
# The dictionary says what a column means; the same file has settings, global values, and what a reader must know.

sidecar = json.loads(path.with_suffix(".json").read_text())
print(sidecar["flexibility"])
print("mean flexibility", round(sidecar["Global"]["flexibility"], 3))
for warning in sidecar["Warnings"]:
    print("-", warning)

# %%
# Communities of all regions in all windows:

communities = pd.read_csv(next(out.glob("sub-01/func/*_desc-prior_communities.tsv")), sep="\t")
labels = communities[list(regions["region"])]
names = sorted(regions["network"].unique())
codes = labels.replace({name: number for number, name in enumerate(names)}).astype(float)
figure, axis = plt.subplots(figsize=(8, 3), layout="constrained")
axis.imshow(codes.T, aspect="auto", cmap="tab10", interpolation="nearest")
axis.set(xlabel="window", ylabel="region")
plt.show()

# %%
# All people
# ----------
# One row a participant, with the columns of ``participants.tsv``: ready for a statistics program of your own.
# ``dtype`` keeps the zeros at the start of a label, which pandas would take for a number.

table = pd.read_csv(out / "group" / "participants_dynamics.tsv", sep="\t")
print(table[["participant_id", "antidepressant", "mean_fd", "prior_flexibility"]].round(3).to_string(index=False))

# %%
# Long tables are made for plotting by group:

long = pd.read_csv(out / "group" / "runs_dynamics.tsv", sep="\t")
networks = long[(long["measure"] == "flexibility") & (long["level"] == "network")]
print(networks[["network", "observed", "null_mean", "excess", "z", "p"]].head(7).round(3).to_string(index=False))

# %%
# A map
# -----
# Results of regions are images on the atlas's own grid; NaN is where nothing was tested.

image = next((out / "group" / "maps").glob("*measure-flexibility*_stat-size_statmap.nii.gz"))
effects = nib.load(image)
drawn = nib.Nifti1Image(np.nan_to_num(effects.get_fdata()), effects.affine)
plotting.plot_stat_map(drawn, title="effect size (g) of flexibility", display_mode="z", cut_coords=5)
plt.show()
temporary.cleanup()
