"""Reading what the participant level has written of the study."""

import json

import pandas as pd

from bids_flex import dynamics as d


def stem(label="01", atlas="Sim_seg-7n_scale-28"):
    return f"sub-{label}_task-rest_space-MNI152NLin2009cAsym_atlas-{atlas}"


def read(out, label, ending):
    return pd.read_csv(out / f"sub-{label}" / "func" / f"{stem(label)}_{ending}.tsv", sep="\t", na_values=["n/a"])


def sidecar(out, label="01", engine="prior"):
    return json.loads((out / f"sub-{label}" / "func" / f"{stem(label)}_desc-{engine}_dynamics.json").read_text())


def multilayer_connectivity(out, label="01"):
    """Connectivity of the multilayer engine by its documented defaults: 100 s of 2 s volumes, half a window apart."""
    keep = read(out, label, "desc-confounds_quality")["kept"].to_numpy() == 1
    plan = d.plan_windows(149, 2.0, 50, 25, unit="volumes", keep=keep)
    return d.windowed_connectivity(read(out, label, "stat-mean_timeseries").to_numpy(), plan), plan
