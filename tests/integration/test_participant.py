"""The participant level, called as users call it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bids_flex import dynamics as d
from bids_flex.bids.check import check_outputs
from bids_flex.errors import OutputError, RunError
from bids_flex.signal import Refilter
from bids_flex.workflows import derivatives

from .conftest import LEAN, PRIOR_ALONE, analyse, bids_flex, command, make_study, participant, status, tree


def stem(label="01", atlas="Sim_seg-7n_scale-28"):
    return f"sub-{label}_task-rest_space-MNI152NLin2009cAsym_atlas-{atlas}"


def read(out, label, ending):
    return pd.read_csv(out / f"sub-{label}" / "func" / f"{stem(label)}_{ending}.tsv", sep="\t", na_values=["n/a"])


def sidecar(out, label="01", engine="prior"):
    return json.loads((out / f"sub-{label}" / "func" / f"{stem(label)}_desc-{engine}_dynamics.json").read_text())


def test_every_run_is_done_and_says_so(done):
    rows = status(done)
    assert len(rows) == 6
    (log,) = (done / "logs").glob("*/bids_flex.log")
    notes = [line for line in log.read_text().splitlines() if "shorter than one period" in line]
    assert len(notes) == 1
    assert "engine prior: Windows of 60 s are shorter than one period of the slowest signal kept (100 s)" in notes[0]
    assert set(rows["state"]) == {"done"}
    assert (rows["seconds"] > 0).all()
    assert (rows["peak_memory"] > 50).all()


def test_the_tables_agree_with_each_other(done, study):
    """What is written follows from what is written before it, by the library's own functions and by hand."""
    series = read(done, "01", "stat-mean_timeseries")
    quality = read(done, "01", "desc-confounds_quality")
    labels = read(done, "01", "desc-prior_communities")
    table = read(done, "01", "desc-prior_dynamics")
    told = sidecar(done)
    assert series.shape == (149, 28)  # one volume is not in steady state
    keep = quality["kept"].to_numpy() == 1
    assert series[~keep].isna().all().all()
    assert series[keep].notna().all().all()
    plan = d.plan_windows(149, 2.0, 30, 1, unit="volumes", keep=keep)
    fc = d.windowed_connectivity(series.to_numpy(), plan)
    networks = pd.factorize(table["network"])[0] + 1
    np.testing.assert_array_equal(d.prior_communities(fc, networks)[0], labels.iloc[:, 3:])
    moved = (np.diff(labels.iloc[:, 3:].to_numpy(), axis=0) != 0)[plan.pairs].mean(axis=0)
    np.testing.assert_allclose(table["flexibility"], moved, atol=1e-11)
    assert told["Global"]["flexibility"] == pytest.approx(moved.mean(), abs=1e-11)
    somatomotor = table["network"] == "SomMot"
    assert told["Networks"]["SomMot"]["flexibility"] == pytest.approx(moved[somatomotor].mean(), abs=1e-11)
    assert told["Windows"]["Analysed"] == len(labels) == plan.n_windows
    np.testing.assert_allclose(labels["onset"], plan.starts * 2.0)
    static = read(done, "01", "stat-pearsoncorrelation_relmat").to_numpy()
    np.testing.assert_allclose(static, d.static_correlation(series.to_numpy(), keep), atol=1e-9)
    allegiance = read(done, "01", "stat-allegiance_desc-prior_relmat").to_numpy()
    np.testing.assert_allclose(allegiance, d.allegiance(labels.iloc[:, 3:].to_numpy()), atol=1e-11)


def multilayer_connectivity(out, label="01"):
    """Connectivity of the multilayer engine by its documented defaults: 100 s of 2 s volumes, half a window apart."""
    keep = read(out, label, "desc-confounds_quality")["kept"].to_numpy() == 1
    plan = d.plan_windows(149, 2.0, 50, 25, unit="volumes", keep=keep)
    return d.windowed_connectivity(read(out, label, "stat-mean_timeseries").to_numpy(), plan), plan


def test_the_multilayer_tables_agree_with_each_other(done):
    told = sidecar(done, engine="multilayer")
    fc, plan = multilayer_connectivity(done)
    found = d.multilayer_communities(fc, restarts=4, seed=told["Seeds"]["Search"])
    restarts = read(done, "01", "desc-multilayer_restarts")
    assert restarts["seed"].tolist() == found.seeds.tolist()
    np.testing.assert_allclose(restarts["quality"], found.quality, atol=1e-10)
    moved = np.stack([(np.diff(one, axis=0) != 0)[plan.pairs].mean(axis=0) for one in found.labels])
    table = read(done, "01", "desc-multilayer_dynamics")
    np.testing.assert_allclose(table["flexibility"], moved.mean(axis=0), atol=1e-11)
    np.testing.assert_allclose(restarts["flexibility"], moved.mean(axis=1), atol=1e-11)
    assert restarts["n_communities"].tolist() == [len(np.unique(one)) for one in found.labels]
    assert told["Global"]["flexibility"] == pytest.approx(moved.mean(), abs=1e-11)
    best = read(done, "01", "desc-multilayerbest_communities").iloc[:, 3:].to_numpy()
    assert d.multilayer_quality(fc, best) == pytest.approx(restarts["quality"].max(), abs=1e-10)
    windows = read(done, "01", "desc-multilayer_windows")
    own = d.window_quality(d.modularity(fc), found.labels)
    np.testing.assert_allclose(windows["window_quality_mean"], own.mean(axis=0), atol=1e-10)
    np.testing.assert_allclose(windows["onset"], plan.starts * 2.0)
    agreed = read(done, "01", "desc-multilayerconsensus_communities").iloc[:, 3:].to_numpy()
    np.testing.assert_array_equal(agreed, d.consensus_communities(found.labels, told["Seeds"]["Consensus"]))
    allegiance = read(done, "01", "stat-allegiance_desc-multilayer_relmat").to_numpy()
    np.testing.assert_allclose(allegiance, d.allegiance(found.labels), atol=1e-11)
    q = restarts["quality"]
    assert told["OverRestarts"]["Quality"] == pytest.approx(
        {"Mean": q.mean(), "Sd": q.std(), "Min": q.min(), "Max": q.max()}, abs=1e-11
    )


def test_split_halves_add_a_measure_and_change_no_other(study, tmp_path):
    for name, more in (("plain", []), ("halves", ["--split-half"])):
        analyse(study, tmp_path / name, *PRIOR_ALONE, *more)
    plain, halves = (
        {path.name: path for path in (tmp_path / name / "sub-01" / "func").glob("*prior_*")}
        for name in ("plain", "halves")
    )
    assert set(plain) == set(halves)
    (labels,) = (name for name in plain if name.endswith("communities.tsv"))
    assert plain[labels].read_bytes() == halves[labels].read_bytes()
    (name,) = (name for name in plain if name.endswith("dynamics.tsv"))
    before, after = (pd.read_csv(one[name], sep="\t", na_values=["n/a"]) for one in (plain, halves))
    pd.testing.assert_frame_equal(before, after.drop(columns="split_half_flexibility"))
    told = json.loads(halves[name.replace(".tsv", ".json")].read_text())
    assert told["Global"]["split_half_flexibility"] == pytest.approx(after["split_half_flexibility"].mean(), abs=1e-9)
    of_network = after.groupby("network")["split_half_flexibility"].mean()
    for network, values in told["Networks"].items():
        assert values["split_half_flexibility"] == pytest.approx(of_network[network], abs=1e-9)
    assert told["Settings"]["split_half"] is True
    assert "Halves" in told["Seeds"]
    assert any("hardly raises split-half flexibility" in text for text in told["Warnings"])
    assert after["split_half_flexibility"].abs().sum() > 0
    assert told["split_half_flexibility"]["LongName"] == "Split-half flexibility"


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


@pytest.mark.parametrize("engine", ["prior", "multilayer"])
def test_null_values_are_those_of_the_library(study, tmp_path, engine):
    """From the unfiltered series that the work folder keeps, by the library alone."""
    words = ["--engine", engine, "--n-surrogates", "5", "--participant-label", "02"]
    analyse(study, tmp_path / "out", *words, work=tmp_path / "work")
    (file,) = (tmp_path / "work").glob("*/run/clean/cleaned.npz")
    clean = np.load(file)
    keep, settings = clean["keep"], {"prior": (30, 1), "multilayer": (50, 25)}[engine]
    plan = d.plan_windows(149, 2.0, *settings, unit="volumes", keep=keep)
    table = read(tmp_path / "out", "02", f"desc-{engine}_dynamics")
    told = sidecar(tmp_path / "out", "02", engine)
    networks = pd.factorize(table["network"])[0] + 1

    def search(series):
        fc = d.windowed_connectivity(series, plan)
        if engine == "prior":
            return d.prior_communities(fc, networks)[0]
        return d.multilayer_communities(fc, restarts=4, seed=told["Seeds"]["Search"]).labels

    draw = d.series_surrogates("phase", clean["unfiltered"], Refilter(keep, 2.0, 0.01, 0.1), keep)
    children = np.random.SeedSequence(told["Seeds"]["Surrogates"]).spawn(5)
    seeds = [int(child.generate_state(1, np.uint64)[0]) for child in children]
    labels = [search(draw(seed)) for seed in seeds]
    null = np.array([np.atleast_2d(d.flexibility(one, plan.pairs)).mean(axis=0) for one in labels])
    np.testing.assert_allclose(table["flexibility_null_mean"], null.mean(axis=0), atol=1e-10)
    np.testing.assert_allclose(table["flexibility_null_sd"], null.std(axis=0, ddof=1), atol=1e-10)
    np.testing.assert_allclose(table["flexibility_excess"], table["flexibility"] - null.mean(axis=0), atol=1e-10)
    whole, observed = null.mean(axis=1), table["flexibility"].mean()
    held = told["NullModel"]["Global"]["flexibility"]
    assert held["null_mean"] == pytest.approx(whole.mean(), abs=1e-10)
    assert held["z"] == pytest.approx((observed - whole.mean()) / whole.std(ddof=1), abs=1e-6)
    assert held["p_hi"] == pytest.approx((1 + (whole >= observed - 1e-9).sum()) / 6)
    visual = networks == networks[0]
    first = told["NullModel"]["Networks"][table["network"][0]]["flexibility"]
    assert first["null_sd"] == pytest.approx(null[:, visual].mean(axis=1).std(ddof=1), abs=1e-10)
    assert told["NullModel"]["LargestCorrelationChange"] < 1e-10


def test_surrogates_have_as_few_restarts_as_the_value_that_they_are_held_against(study, tmp_path):
    config = tmp_path / "settings.toml"
    config.write_text("[science.surrogates]\nmultilayer_restarts = 2\n")
    analyse(study, tmp_path / "out", "--engine", "multilayer", "--restarts", "6", "--config-file", config)
    restarts = read(tmp_path / "out", "01", "desc-multilayer_restarts")["flexibility"]
    told = sidecar(tmp_path / "out", engine="multilayer")
    held = told["NullModel"]["Global"]["flexibility"]
    assert told["NullModel"]["Restarts"] == 2
    assert told["Global"]["flexibility"] == pytest.approx(restarts.mean(), abs=1e-11)
    assert held["null_mean"] + held["excess"] == pytest.approx(restarts[:2].mean(), abs=1e-11)


def test_the_multilayer_sidecar_is_complete(done):
    told = sidecar(done, engine="multilayer")
    settings = told["Settings"]["multilayer"]
    assert told["Modularity"] == {
        "Null": "signed",
        "Gamma": 1.0,
        "Omega": 1.0,
        "ResolutionAndCoupling": "conventional: gamma = omega = 1, not chosen on these data",
        "Optimiser": "louvain",
        "Restarts": 4,
    }
    assert (settings["window"], settings["step"], settings["estimator"]) == ("100s", "half", "pearson")
    assert (told["Windows"]["LengthVolumes"], told["Windows"]["StepVolumes"]) == (50, 25)
    assert told["Settings"]["engines"] == ["prior", "multilayer"]
    assert told["Settings"]["random_seed"] == told["Seeds"]["Random"] == 0
    assert told["NullModel"]["Kind"] == "phase"
    assert (told["NullModel"]["Surrogates"], told["NullModel"]["Restarts"]) == (3, 4)
    assert told["NullModel"]["Interpretation"].startswith("Failing to reject is not proof of stationarity")
    assert not any("shorter than one period" in text for text in told["Warnings"])
    assert any("well above zero without any switching" in text for text in told["Warnings"])
    prior = sidecar(done)
    assert prior["Seeds"].keys() == {"Random", "Surrogates"}
    assert told["Seeds"].keys() == {"Random", "Search", "Consensus", "Surrogates"}
    assert prior["Seeds"]["Surrogates"] != told["Seeds"]["Surrogates"]
    assert prior["Seeds"] != sidecar(done, "02")["Seeds"]


def test_sidecars_say_what_was_done(done, study):
    told = sidecar(done)
    assert told["Sources"][0] == (
        "bids:fmriprep:sub-01/func/sub-01_task-rest_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz"
    )
    assert told["Settings"]["denoise"]["strategy"] == "24P+2P"
    assert told["Settings"]["prior"]["window"] == "60s"
    assert told["Regions"] == {"InAtlas": 28, "Searched": 28, "Missing": {}}
    assert any("rises with noise" in text for text in told["Warnings"])
    assert any("shorter than one period" in text for text in told["Warnings"])
    assert not any("Global signal" in text for text in told["Warnings"])
    dataset = json.loads((done / "dataset_description.json").read_text())
    assert dataset["DatasetLinks"]["fmriprep"] == (study.root / "derivatives" / "fmriprep").as_uri()


def test_every_table_has_a_dictionary_with_every_column(done):
    tables = list(done.rglob("*.tsv"))
    # signal and quality; each engine; the atlas; the status
    assert len(tables) == 6 * (7 + 3 + 6) + 2
    for path in tables:
        described = json.loads(path.with_suffix(".json").read_text())
        for column in pd.read_csv(path, sep="\t", nrows=1).columns:
            assert described[column]["Description"], (path.name, column)


def test_the_validator_finds_nothing_wrong(done):
    tool = Path(sys.executable).with_name("bids-validator-deno")
    found = subprocess.run([tool, done, "--json"], capture_output=True, text=True, check=False)
    issues = json.loads(found.stdout)["issues"]["issues"]
    assert [issue for issue in issues if issue["severity"] == "error"] == []


def test_our_own_check_finds_nothing_wrong(done):
    tables, faults = check_outputs(done)
    assert faults == []
    assert tables == len([*done.rglob("*.tsv")])


def test_finished_runs_are_skipped_and_nothing_is_written(study, done, tmp_path):
    out = shutil.copytree(done, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in out.glob("sub-*/**/*")}
    assert participant(study, out).code == 0
    assert set(status(out)["state"]) == {"skipped"}
    assert {path: path.stat().st_mtime_ns for path in out.glob("sub-*/**/*")} == before


def test_the_number_of_processes_changes_no_byte(study, done, tmp_path):
    assert participant(study, tmp_path / "one", "--nprocs", "1", "--participant-label", "03", "01").code == 0
    ours, theirs = tree(tmp_path / "one"), tree(done)
    assert ours == {name: theirs[name] for name in theirs if "sub-" not in name or "sub-01" in name or "sub-03" in name}


def test_other_settings_are_refused_unless_forced(study, done, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(done, out)
    refused = participant(study, out, "--fd-thresh", "0.2")
    assert refused.code == 2
    assert "denoise.fd_threshold_mm was 0.5, now 0.2" in refused.err
    assert tree(out) == tree(done)
    assert participant(study, out, "--fd-thresh", "0.2", "--force", "--participant-label", "01").code == 0
    assert sidecar(out)["Settings"]["denoise"]["fd_threshold_mm"] == 0.2
    mixed = bids_flex(study.root, out, "group", "--groups", "antidepressant")
    assert mixed.code == 65
    assert "runs were analysed with different settings" in mixed.err


def test_fewer_engines_are_other_settings_and_leave_nothing_of_the_others(study, done, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(done, out)
    words = ["--engine", "prior", "--participant-label", "01"]
    refused = participant(study, out, *words)
    assert refused.code == 2
    assert "engines was ['prior', 'multilayer'], now ['prior']" in refused.err
    assert participant(study, out, *words, "--force").code == 0
    assert list((out / "sub-01").rglob("*desc-prior*"))
    assert not list((out / "sub-01").rglob("*multilayer*"))
    assert participant(study, out, *words).code == 0
    assert status(out)["state"].tolist() == ["skipped"]
    # nor may an engine be added to what others have been done without
    refused = participant(study, out, "--participant-label", "01")
    assert refused.code == 2
    assert "engines was ['prior'], now ['prior', 'multilayer']" in refused.err


def test_a_run_that_fails_while_it_is_replaced_is_not_done(study, tmp_path, monkeypatch):
    analyse(study, tmp_path)
    assert sidecar(tmp_path, engine="multilayer")
    write = derivatives._write_engine

    def full(job, result, common):
        if result.engine.name == "multilayer":
            raise OutputError("the disk is full")
        write(job, result, common)

    monkeypatch.setattr(derivatives, "_write_engine", full)
    with pytest.raises(RunError, match="the disk is full"):
        analyse(study, tmp_path)
    assert not list(tmp_path.rglob("*desc-multilayer_dynamics.json"))


def test_another_seed_is_another_setting_and_gives_other_numbers(study, done, tmp_path):
    out = tmp_path / "out"
    analyse(study, out, "--random-seed", "1")
    ours, theirs = sidecar(out, engine="multilayer"), sidecar(done, engine="multilayer")
    assert ours["Seeds"]["Random"] == 1
    assert ours["Seeds"]["Search"] != theirs["Seeds"]["Search"]
    assert ours["NullModel"]["Global"] != theirs["NullModel"]["Global"]
    # the prior engine has no chance in it, its surrogates have
    assert sidecar(out)["Global"] == sidecar(done)["Global"]
    assert sidecar(out)["NullModel"]["Global"] != sidecar(done)["NullModel"]["Global"]
    refused = participant(study, out, "--participant-label", "01", "--random-seed", "2")
    assert refused.code == 2
    assert "random_seed was 1, now 2" in refused.err


def test_amsterdam_runs_the_prior_engine_alone(study, tmp_path):
    words = ["--preset", "amsterdam", "--n-surrogates", "0", "--participant-label", "01"]
    assert bids_flex(study.root, tmp_path, "participant", "--atlas", study.atlas, *words).code == 0
    told = sidecar(tmp_path)
    assert (told["Windows"]["LengthVolumes"], told["Windows"]["StepVolumes"]) == (27, 1)
    assert told["Settings"]["denoise"]["strategy"] == "24P+2P"
    assert any("approximates the pipeline of Broeders" in text for text in told["Warnings"])
    assert told["NullModel"] == {"Surrogates": 0}
    assert "flexibility_z" not in read(tmp_path, "01", "desc-prior_dynamics")
    assert not list(tmp_path.rglob("*multilayer*"))


def test_permuted_windows_say_nothing_about_measures_that_ignore_their_order(study, tmp_path):
    words = ["--surrogate", "temporal", "--engine", "multilayer", "--multilayer-window", "15vol"]
    words += ["--multilayer-step", "15vol", "--n-surrogates", "20"]
    analyse(study, tmp_path, *words)
    table = read(tmp_path, "01", "desc-multilayer_dynamics")
    for measure in ("promiscuity", "recruitment", "integration"):
        assert table[measure].notna().all()
        assert table[f"{measure}_p"].isna().all()
    assert table["flexibility_p"].between(2 / 21 - 1e-9, 1).all()
    held = sidecar(tmp_path, engine="multilayer")["NullModel"]
    assert held["Kind"] == "temporal"
    assert held["Global"]["promiscuity"]["p"] is None
    assert "LargestCorrelationChange" not in held


def test_z_is_not_given_above_thirty_per_cent_censored(study, tmp_path):
    spoilt = type(study)(tmp_path / "bids")
    shutil.copytree(study.root, spoilt.root)
    (file,) = spoilt.func("01").glob("*timeseries.tsv")
    table = pd.read_csv(file, sep="\t")
    table.loc[table.index % 3 == 2, "framewise_displacement"] = 0.9
    table.to_csv(file, sep="\t", index=False, na_rep="n/a")
    analyse(spoilt, tmp_path / "out", "--denoise", "none")
    for engine in ("prior", "multilayer"):
        told = sidecar(tmp_path / "out", engine=engine)
        assert told["Quality"]["share_censored"] > 0.3
        held = told["NullModel"]["Global"]["flexibility"]
        assert held["z"] is None
        assert held["p"] is not None
        assert any("more than 30%: z is n/a" in text for text in told["Warnings"])
        assert read(tmp_path / "out", "01", f"desc-{engine}_dynamics")["flexibility_z"].isna().all()


def test_uniform_states_its_threshold_and_takes_one_for_all(study, tmp_path):
    words = ["--engine", "multilayer", "--modularity-null", "uniform", "--gamma", "1.5"]
    analyse(study, tmp_path / "own", *words, "--n-surrogates", "0")
    fc, _ = multilayer_connectivity(tmp_path / "own")
    told = sidecar(tmp_path / "own", engine="multilayer")["Modularity"]
    assert told["A"] == pytest.approx(fc[fc > 0].mean(), abs=1e-9)
    assert told["Threshold"] == pytest.approx(1.5 * fc[fc > 0].mean(), abs=1e-9)
    assert told["ResolutionAndCoupling"] == "chosen by the user"
    analyse(study, tmp_path / "one", *words, "--modularity-a", "0.25")
    assert sidecar(tmp_path / "one", engine="multilayer")["Modularity"]["A"] == 0.25


@pytest.mark.parametrize(
    ("options", "check"),
    [
        (["--prior-estimator", "mtd"], lambda series, plan: d.windowed_connectivity(series, plan, "mtd")),
        (["--prior-estimator", "partial"], lambda series, plan: d.windowed_connectivity(series, plan, "partial")),
        (["--prior-shape", "tukey"], d.windowed_connectivity),
    ],
)
def test_estimators_and_shapes_reach_the_engine(study, tmp_path, options, check):
    analyse(study, tmp_path, *PRIOR_ALONE, *options)
    keep = read(tmp_path, "01", "desc-confounds_quality")["kept"].to_numpy() == 1
    shape = "tukey" if "tukey" in options else "rect"
    plan = d.plan_windows(149, 2.0, 30, 1, unit="volumes", keep=keep, shape=shape)
    networks = pd.factorize(read(tmp_path, "01", "desc-prior_dynamics")["network"])[0] + 1
    fc = check(read(tmp_path, "01", "stat-mean_timeseries").to_numpy(), plan)
    expected = d.prior_communities(fc, networks, fisher="mtd" not in options)[0]
    np.testing.assert_array_equal(read(tmp_path, "01", "desc-prior_communities").iloc[:, 3:], expected)


def test_changed_inputs_are_analysed_again(study, tmp_path):
    changed = type(study)(tmp_path / "bids")
    shutil.copytree(study.root, changed.root)
    out = tmp_path / "out"
    assert participant(changed, out, "--participant-label", "01", "02").code == 0
    sidecar_file = next(changed.func("02").glob("*timeseries.tsv"))
    os.utime(sidecar_file, (1, 1))
    assert participant(changed, out, "--participant-label", "01", "02").code == 0
    assert status(out)["state"].tolist() == ["skipped", "done"]


def test_bad_runs_have_a_reason_and_the_others_are_done(study, tmp_path):
    spoilt = type(study)(tmp_path / "bids")
    shutil.copytree(study.root, spoilt.root)
    confounds = next(spoilt.func("01").glob("*timeseries.tsv"))
    confounds.write_text("\n".join(confounds.read_text().splitlines()[:-5]) + "\n")
    next(spoilt.func("02").glob("*timeseries.tsv")).unlink()
    bold = next(spoilt.func("03").glob("*preproc_bold.nii.gz"))
    bold.write_bytes(bold.read_bytes()[:-4000])
    bold = next(spoilt.func("04").glob("*preproc_bold.nii.gz"))
    image = nib.load(bold)
    nib.save(image.slicer[..., :25], bold)
    confounds = next(spoilt.func("04").glob("*timeseries.tsv"))
    confounds.write_text("\n".join(confounds.read_text().splitlines()[:26]) + "\n")
    out = tmp_path / "out"
    call = participant(spoilt, out)
    assert call.code == 1
    assert "2 done, 4 failed), exit code 1" in call.err.splitlines()[-1]
    rows = status(out)
    reasons = {name.split("_")[0]: row for name, row in rows.iterrows()}
    assert reasons["sub-01"]["reason"].endswith("they do not belong together; run fMRIPrep again")
    assert "145 rows but the images have 150 volumes" in reasons["sub-01"]["reason"]
    assert "the confounds table of sub-02_task-rest is missing" in reasons["sub-02"]["reason"]
    assert "cannot be read to its end" in reasons["sub-03"]["reason"]
    assert "degrees of freedom are left" in reasons["sub-04"]["reason"]
    assert reasons["sub-05"]["state"] == reasons["sub-06"]["state"] == "done"
    assert not list((out / "sub-01").rglob("*")) if (out / "sub-01").exists() else True


def test_bad_files_have_a_reason_and_the_others_are_done(study, tmp_path):
    spoilt = type(study)(tmp_path / "bids")
    shutil.copytree(study.root, spoilt.root)
    bold = {label: next(spoilt.func(label).glob("*preproc_bold.nii.gz")) for label in ("01", "02", "03", "04", "05")}
    bold["01"].unlink()
    bold["01"].symlink_to("../.git/annex/objects/absent")
    bold["02"].with_name(bold["02"].name.replace(".nii.gz", ".json")).write_text("{")
    shutil.copy(bold["03"], bold["03"].with_name(bold["03"].name.replace("task-rest", "task-rest_task-rest")))
    bold["04"].with_name(bold["04"].name.replace(".nii.gz", ".json")).write_text('{"RepetitionTime": 2000}')
    nib.save(nib.load(bold["05"]).slicer[..., 0], bold["05"])
    call = participant(spoilt, tmp_path / "out", *PRIOR_ALONE)
    assert call.code == 1
    assert "2 done, 5 failed), exit code 1" in call.err.splitlines()[-1]
    rows = status(tmp_path / "out")
    for label, state, told in (
        ("01", "failed", "datalad get"),
        ("02", "failed", "cannot be read as JSON"),
        ("04", "failed", "looks like milliseconds"),
        ("05", "failed", "has 3 dimensions, not 4"),
    ):
        (row,) = (row for name, row in rows.iterrows() if name.startswith(f"sub-{label}"))
        assert row["state"] == state
        assert told in row["reason"]
        assert "\n" not in row["reason"]
    states = {name: row["state"] for name, row in rows.iterrows() if name.startswith("sub-03")}
    assert sorted(states.values()) == ["done", "failed"]
    assert states[next(name for name in states if "task-rest_task-rest" in name)] == "failed"


def test_a_run_shorter_than_a_window_says_so(study, tmp_path):
    call = participant(study, tmp_path, "--participant-label", "01", "--prior-window", "400s")
    assert call.code == 1
    assert "149 volumes (298 s), fewer than one window of 200 (400 s)" in status(tmp_path)["reason"].iloc[0]


def test_poor_regions_are_missing_and_named(study, tmp_path):
    spoilt = type(study)(tmp_path / "bids")
    shutil.copytree(study.root, spoilt.root)
    drawn = nib.load(spoilt.atlas).get_fdata()
    mask = next(spoilt.func("01").glob("*brain_mask.nii.gz"))
    inside = nib.load(mask).get_fdata() * (drawn != 5)
    nib.save(nib.Nifti1Image(inside.astype(np.uint8), nib.load(mask).affine), mask)
    bold = next(spoilt.func("01").glob("*preproc_bold.nii.gz"))
    image = nib.load(bold)
    values = np.asarray(image.dataobj).copy()
    values[drawn == 9] = 777
    nib.save(nib.Nifti1Image(values, image.affine, image.header), bold)
    out = tmp_path / "out"
    assert participant(spoilt, out, "--participant-label", "01").code == 0
    told = sidecar(out)
    assert told["Regions"]["Searched"] == 26
    assert list(told["Regions"]["Missing"].values()) == ["coverage is 0.00, 0.5 is wanted", "does not vary"]
    table = read(out, "01", "desc-prior_dynamics")
    assert np.flatnonzero(table["flexibility"].isna()).tolist() == [4, 8]
    assert read(out, "01", "stat-mean_timeseries").iloc[:, 4].isna().all()
    assert read(out, "01", "desc-prior_communities").iloc[:, 3 + 4].isna().all()


def test_an_atlas_of_another_template_is_refused_unless_forced(study, tmp_path):
    words = ["--atlas-space", "MNI152NLin6Asym", "--participant-label", "01"]
    assert participant(study, tmp_path / "a", *words).code == 1
    assert "no images in MNI152NLin6Asym (the atlas's space)" in status(tmp_path / "a")["reason"].iloc[0]
    assert participant(study, tmp_path / "b", *words, "--force", "atlas-space").code == 0
    assert any("used all the same" in text for text in sidecar(tmp_path / "b")["Warnings"])


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (["--participant-label", "99"], 18, "no participant 99"),
        (["--task-id", "nback"], 18, "task-nback"),
        (["--atlas", "nowhere.nii.gz"], 66, "does not exist"),
        (["--denoise", "99P"], 66, "there is no strategy '99P'"),
        (["--derivatives", "nowhere"], 66, "is not a folder"),
    ],
)
def test_what_cannot_begin_says_why(study, tmp_path, options, code, told):
    call = participant(study, tmp_path, *options)
    assert call.code == code
    assert told in call.err
    assert f"exit code {code}" in call.err.splitlines()[-1]


def test_without_the_default_atlas_the_way_out_is_named(study, tmp_path):
    call = bids_flex(study.root, tmp_path, "participant", TEMPLATEFLOW_HOME=str(tmp_path / "tf"))
    assert call.code == 66
    assert "bids_flex-atlas fetch Schaefer2018" in call.err
    assert "--atlas Dosenbach2010" in call.err
    assert not (tmp_path / "tf").exists()


def test_an_atlas_without_networks_is_refused_before_any_run(study, tmp_path):
    copy = tmp_path / "plain.nii.gz"
    shutil.copy(study.atlas, copy)
    table = pd.read_csv(study.atlas.with_name(study.atlas.name.replace(".nii.gz", ".tsv")), sep="\t")
    table.drop(columns="network").to_csv(tmp_path / "plain.tsv", sep="\t", index=False)
    call = bids_flex(study.root, tmp_path / "out", "participant", "--atlas", copy, *LEAN)
    assert call.code == 65
    assert "names no networks, and the prior engine starts from them: add a column 'network'" in call.err
    # the other engine needs none
    words = ["--engine", "multilayer", "--atlas", copy, "--atlas-space", "MNI152NLin2009cAsym"]
    analyse(study, tmp_path / "free", *words)
    told = json.loads(next((tmp_path / "free").rglob("*_desc-multilayer_dynamics.json")).read_text())
    assert told["Networks"] == {}
    assert told["Global"]["flexibility"] > 0
    assert told["Global"]["recruitment"] is None
    table.drop(index=0).to_csv(tmp_path / "plain.tsv", sep="\t", index=False)
    call = bids_flex(study.root, tmp_path / "out", "participant", "--atlas", copy, *LEAN)
    assert call.code == 65
    assert "does not describe plain.nii.gz: 1 label without a row (1)" in call.err


def test_a_logged_configuration_repeats_its_call(study, tmp_path):
    words = ["--fd-thresh", "0.4", "--participant-label", "01"]
    assert participant(study, tmp_path, *words).code == 0
    (config,) = (tmp_path / "logs").glob("*/config.toml")
    again = bids_flex(study.root, tmp_path, "participant", "--config-file", config)
    assert again.code == 0, again.err
    assert status(tmp_path)["state"].tolist() == ["skipped"]


def test_dosenbach_needs_nothing(study, tmp_path):
    call = bids_flex(
        study.root, tmp_path, "participant", "--atlas", "Dosenbach2010", *LEAN, "--participant-label", "01"
    )
    assert call.code == 0, call.err
    told = json.loads(next(tmp_path.rglob("*_desc-prior_dynamics.json")).read_text())
    assert told["Regions"]["InAtlas"] == 160
    assert any("cannot be ruled out" in text for text in told["Warnings"])


def test_an_output_that_cannot_be_written_is_found_first(study, tmp_path):
    (tmp_path / "file").write_text("")
    call = participant(study, tmp_path / "file" / "out")
    assert call.code == 73
    assert "cannot be written" in call.err


def test_raw_data_is_recognised(study, tmp_path):
    raw = tmp_path / "raw"
    shutil.copytree(study.root, raw, ignore=shutil.ignore_patterns("derivatives"))
    call = bids_flex(raw, tmp_path / "out", "participant", "--atlas", study.atlas)
    assert call.code == 16
    assert "this is raw data; run fMRIPrep first" in call.err


def test_a_dry_run_lists_and_writes_nothing(study, tmp_path):
    call = participant(study, tmp_path / "out", "--dry-run", "--participant-label", "02")
    assert call.code == 0
    assert "sub-02_task-rest_desc-confounds_timeseries.tsv" in call.out
    assert call.out.splitlines()[-1] == "1 run would be analysed, 0 cannot be, 0 files or runs left out"
    assert not (tmp_path / "out").exists()


def test_empty_images_of_others_fail_by_name(shared, tmp_path):
    atlas = shared / "atlas" / "xcpengine_schaefer100x7MNI.nii.gz"
    words = ["--atlas", atlas, "--atlas-space", "MNI152NLin2009cAsym"]
    call = bids_flex(shared / "layouts" / "ds000001-fmriprep", tmp_path, "participant", *words)
    assert call.code == 1
    rows = status(tmp_path)
    assert len(rows) == 12
    assert rows["reason"].str.contains(r"is empty \(0 bytes\)").all()


def test_a_real_scan(shared, tmp_path):
    atlas = shared / "atlas" / "xcpengine_schaefer100x7MNI.nii.gz"
    words = ["--atlas", atlas, "--atlas-space", "MNI152NLin2009cAsym", "--n-surrogates", "3", "--restarts", "4"]
    call = bids_flex(shared / "real-rest", tmp_path, "participant", *words)
    assert call.code == 0, call.err
    told = json.loads(next(tmp_path.rglob("*_desc-prior_dynamics.json")).read_text())
    assert told["Regions"] == {"InAtlas": 100, "Searched": 100, "Missing": {}}
    assert (told["Windows"]["LengthVolumes"], told["Windows"]["Analysed"]) == (40, 221)
    assert told["Quality"]["kept_minutes"] == 6.5
    told = json.loads(next(tmp_path.rglob("*_desc-multilayer_dynamics.json")).read_text())
    assert (told["Windows"]["LengthVolumes"], told["Windows"]["StepVolumes"]) == (67, 33)
    assert 0.1 < told["Global"]["flexibility"] < 0.4


def children(pid):
    """Processes whose parent is ``pid``."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, parent = stat.parent.name, stat.read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        if int(parent) == pid:
            found.append(int(name))
    return found


def is_forked(pid):
    """Whether a process is the fork server's copy; what libraries start while they are imported has another name."""
    try:
        return b"forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def runs_in_work(app):
    """Processes that analyse a run: the grandchildren of the app, forked by its server."""
    found = [grandchild for child in children(app.pid) for grandchild in children(child)]
    time.sleep(0.03)
    return [pid for pid in found if is_forked(pid)]


def start(study, out, *options, **process):
    words = command(study.root, out, "participant", "--atlas", study.atlas, *LEAN, *options)
    app = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, **process)
    until = time.monotonic() + 60
    working = []
    while not working and time.monotonic() < until:
        time.sleep(0.01)
        working = runs_in_work(app)
    assert working
    return app, working


def test_a_killed_child_is_a_row_and_the_others_go_on(study, tmp_path):
    app, working = start(study, tmp_path, "--nprocs", "1")
    os.kill(working[0], signal.SIGKILL)
    assert app.wait(120) == 1
    rows = status(tmp_path)
    assert (rows["state"] == "done").sum() == 5
    (reason,) = rows.loc[rows["state"] == "failed", "reason"]
    assert reason.startswith("its process was killed by SIGKILL: likely out of memory")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_it_stops_at_once_and_says_so(study, tmp_path, hearing, number, code):
    app, working = start(study, tmp_path, "--nprocs", "1", preexec_fn=hearing)
    app.send_signal(number)
    assert app.wait(5) == code
    assert f"exit code {code}" in app.stderr.read().splitlines()[-1]
    assert "interrupted" in set(status(tmp_path)["state"])
    assert len(status(tmp_path)) == 6
    time.sleep(0.2)
    assert not [pid for pid in working if Path(f"/proc/{pid}").exists()]
    # whatever was finished before is whole, and the next call does the rest
    assert participant(study, tmp_path).code == 0


def test_stop_on_first_crash_starts_no_more(study, tmp_path):
    spoilt = type(study)(tmp_path / "bids")
    shutil.copytree(study.root, spoilt.root)
    confounds = next(spoilt.func("01").glob("*timeseries.tsv"))
    confounds.write_text("\n".join(confounds.read_text().splitlines()[:-5]) + "\n")
    assert participant(spoilt, tmp_path / "out", "--nprocs", "1", "--stop-on-first-crash").code == 1
    assert status(tmp_path / "out")["state"].tolist() == ["failed"] + ["skipped"] * 5


def test_sessions_and_runs_keep_their_names(tmp_path):
    study = make_study(tmp_path / "bids", participants=1, sessions=2, runs=2)
    assert participant(study, tmp_path / "out", "--session-label", "2").code == 0
    names = sorted(path.name for path in (tmp_path / "out" / "sub-01" / "ses-2" / "func").glob("*prior_dynamics.json"))
    assert names[1].startswith(
        "sub-01_ses-2_task-rest_run-2_space-MNI152NLin2009cAsym_atlas-Sim_seg-7n_scale-28_desc-prior"
    )
    assert not (tmp_path / "out" / "sub-01" / "ses-1").exists()
