"""The landscape of gamma and omega, of runs and pooled, and what the optimiser reaches."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from bids_flex import dynamics as d

from .conftest import analyse, bids_flex
from .results import multilayer_connectivity, read, sidecar, stem


@pytest.fixture(scope="module")
def swept(study, tmp_path_factory):
    """Two participants, searched over a small grid with the null model that Pamfil's estimate is for."""
    out = tmp_path_factory.mktemp("swept") / "out"
    words = ["--engine", "multilayer", "--n-surrogates", "0", "--modularity-null", "ng"]
    words += ["--sweep-gamma", "0.8", "1.2", "--sweep-omega", "0.5", "1.5", "--participant-label", "01", "02"]
    analyse(study, out, *words)
    return out


def sweep_of(out, label):
    path = out / f"sub-{label}" / "func" / f"{stem(label)}_desc-multilayer_sweep.tsv"
    return pd.read_csv(path, sep="\t", na_values=["n/a"]), json.loads(path.with_suffix(".json").read_text())


def test_a_sweep_is_that_of_the_library(swept):
    table, told = sweep_of(swept, "01")
    fc, plan = multilayer_connectivity(swept)
    seeds = sidecar(swept, engine="multilayer")["Seeds"]
    found = d.sweep(fc, [0.8, 1.2], [0.5, 1.5], "ng", restarts=10, seed=seeds["Sweep"], pairs=plan.pairs)
    assert table["gamma"].tolist() == [0.8, 0.8, 1.2, 1.2]
    assert table["omega"].tolist() == [0.5, 1.5, 0.5, 1.5]
    np.testing.assert_allclose(table["quality_best"], found.quality_best, atol=1e-10)
    np.testing.assert_allclose(table["flexibility_mean"], found.flexibility_mean, atol=1e-10)
    # a plane gives the quality of its partition at its own point
    there = table["plane_constant"] + table["gamma"] * table["plane_gamma"] + table["omega"] * table["plane_omega"]
    weight = told["Sweep"]["TotalWeight"] + table["omega"] * told["Sweep"]["CouplingWeight"]
    np.testing.assert_allclose(there / weight, table["quality_best"], atol=1e-10)
    domains = d.champ_domains(found.planes, (0.8, 1.2), (0.5, 1.5))
    assert [one["Share"] for one in told["Sweep"]["Domains"]] == pytest.approx(domains.share.tolist(), abs=1e-10)
    assert sum(one["Share"] for one in told["Sweep"]["Domains"]) == pytest.approx(1)
    recommended = told["Sweep"]["Recommended"]
    assert (recommended["Gamma"], recommended["Omega"]) == pytest.approx(d.recommend(found, domains), abs=1e-9)
    assert recommended["Share"] in [one["Share"] for one in told["Sweep"]["Domains"]]
    fit = d.pamfil_fixed_point(fc, seed=seeds["Estimate"], pairs=plan.pairs)
    assert told["Sweep"]["Pamfil"]["Gamma"] == pytest.approx(fit.gamma, abs=1e-9)
    assert told["Sweep"]["Pamfil"]["Rounds"] == fit.rounds
    for column in table:
        assert told[column]["Description"]


def test_the_optimiser_reaches_search_sweep_and_sidecar(study, tmp_path):
    words = ["--engine", "multilayer", "--optimiser", "leiden", "--n-surrogates", "0", "--sweep-gamma", "0.8", "1.2"]
    analyse(study, tmp_path, *words, "--sweep-omega", "1", "2")
    fc, _ = multilayer_connectivity(tmp_path)
    told = sidecar(tmp_path, engine="multilayer")
    found = d.multilayer_communities(fc, optimiser="leiden", restarts=4, seed=told["Seeds"]["Search"])
    np.testing.assert_allclose(read(tmp_path, "01", "desc-multilayer_restarts")["quality"], found.quality, atol=1e-10)
    table, swept = sweep_of(tmp_path, "01")
    grid = d.sweep(fc, [0.8, 1.2], [1.0, 2.0], optimiser="leiden", restarts=10, seed=told["Seeds"]["Sweep"])
    np.testing.assert_allclose(table["quality_mean"], grid.quality_mean, atol=1e-10)
    assert told["Modularity"]["Optimiser"] == swept["Sweep"]["Optimiser"] == "leiden"


def test_only_ng_has_pamfils_estimate(study, tmp_path):
    words = ["--engine", "multilayer", "--n-surrogates", "0", "--sweep-gamma", "0.8", "1.2", "--sweep-omega", "1", "2"]
    analyse(study, tmp_path, *words)
    _, told = sweep_of(tmp_path, "01")
    assert told["Sweep"]["ModularityNull"] == "signed"
    assert "Pamfil" not in told["Sweep"]
    assert sidecar(tmp_path, engine="multilayer")["Seeds"].keys() == {"Random", "Search", "Consensus", "Sweep"}


def test_the_group_pools_sweeps_blind_to_groups(study, swept, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(swept, out)
    assert bids_flex(study.root, out, "group", "--primary-engine", "multilayer").code == 0
    table = pd.read_csv(out / "group" / "multilayer_sweep.tsv", sep="\t")
    told = json.loads((out / "group" / "multilayer_sweep.json").read_text())
    runs = [sweep_of(swept, label) for label in ("01", "02")]
    assert told["Sweep"]["Runs"] == 2
    assert told["Sweep"]["Recommended"]["Gamma"] is not None
    # runs that are not coupled: raw quality, weights and planes add up
    weights = [side["Sweep"]["TotalWeight"] + one["omega"] * side["Sweep"]["CouplingWeight"] for one, side in runs]
    raw = sum(one["quality_best"] * weight for (one, _), weight in zip(runs, weights, strict=True))
    np.testing.assert_allclose(table["quality_best"], raw / sum(weights), atol=1e-10)
    np.testing.assert_allclose(table["plane_gamma"], sum(one["plane_gamma"] for one, _ in runs), atol=1e-8)
    expected = sum(one["flexibility_mean"] for one, _ in runs) / 2
    np.testing.assert_allclose(table["flexibility_mean"], expected, atol=1e-10)
    assert told["Sweep"]["TotalWeight"] == pytest.approx(sum(side["Sweep"]["TotalWeight"] for _, side in runs))
