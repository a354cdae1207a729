"""
From XCP-D's output to a group result
=====================================

XCP-D has cleaned and parcellated; bids_flex reads its tables of regional series (``--input-type timeseries``) and goes
on from there. Commands are given from Python, so that the script runs as it stands; in a terminal they are the same
words.

Data in XCP-D's shape
---------------------
Twelve simulated people; users of a drug switch more often. This is the part that you have already.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from bids_flex.simulate import SimulationSettings, simulate_series

temporary = tempfile.TemporaryDirectory()
study, out = Path(temporary.name, "study"), Path(temporary.name, "out")
xcpd = study / "derivatives" / "xcp_d"
settings = SimulationSettings(regions=56, tr_s=2.0, duration_s=400.0)
regions = [f"7Networks_LH_{network}_{n}" for n, network in enumerate(settings.region_networks, start=1)]
people = pd.DataFrame({"participant_id": [f"sub-{n:02d}" for n in range(1, 13)], "drug": ["user", "nonuser"] * 6})

for n, person in people.iterrows():
    rng = np.random.default_rng(n)
    rate = (1.0 if person["drug"] == "user" else 0.3) * rng.lognormal(sigma=0.4)
    series = simulate_series(settings, rate, rate, rng).series
    stem = xcpd / person["participant_id"] / "func" / f"{person['participant_id']}_task-rest"
    stem.parent.mkdir(parents=True)
    table = Path(f"{stem}_space-MNI152NLin6Asym_atlas-Example_stat-mean_timeseries.tsv")
    pd.DataFrame(series, columns=regions).to_csv(table, sep="\t", index=False)
    table.with_suffix(".json").write_text(json.dumps({"RepetitionTime": settings.tr_s}))
    motion = pd.DataFrame({"framewise_displacement": np.full(len(series), 0.1 + 0.01 * (n // 2))})
    motion.to_csv(f"{stem}_motion.tsv", sep="\t", index=False)

for folder, kind in ((study, "raw"), (xcpd, "derivative")):
    described = {"Name": "example", "BIDSVersion": "1.10.0", "DatasetType": kind}
    (folder / "dataset_description.json").write_text(json.dumps(described))
people.to_csv(study / "participants.tsv", sep="\t", index=False)

# %%
# Every run
# ---------
# ``--n-surrogates 0`` and one engine keep the example short; leave both out for a study. The exit code 0 says that all
# runs are done.


def bids_flex(*words):
    """Call bids_flex as a terminal does, and print its exit code."""
    done = subprocess.run([sys.executable, "-m", "bids_flex.cli", study, out, *words], capture_output=True, check=True)
    print("exit code", done.returncode)


bids_flex("participant", "--input-type", "timeseries", "--engine", "prior", "--n-surrogates", "0", "--no-reports")

# %%
# The groups
# ----------

bids_flex("group", "--groups", "drug", "--covariates", "mean_fd", "--no-reports")

# %%
# The result: a row for every measure, network and contrast. Here is the first question, mean flexibility of the brain.

tests = pd.read_csv(out / "group" / "model-drug_stat-tests.tsv", sep="\t")
whole = tests[(tests["measure"] == "flexibility") & (tests["level"] == "global")]
shown = ["contrast", "n", "estimate", "ci_low", "ci_high", "p_perm", "effect", "effect_low", "effect_high"]
print(whole[shown].round(3).to_string(index=False))

# %%
# Whether it can be believed is the next question: the same contrast on the quality of the data. Motion is the same
# here, as it was made to be; the mean absolute correlation need not be: regions that leave their network lower it.

quality = pd.read_csv(out / "group" / "model-drug_stat-quality.tsv", sep="\t")
print(quality[["outcome", "estimate", "p_perm", "effect"]].round(3).to_string(index=False))
temporary.cleanup()
