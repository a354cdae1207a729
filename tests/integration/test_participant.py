"""The participant level, called as users call it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bids_flex import dynamics as d
from bids_flex.bids.check import check_outputs

from .conftest import LEAN, PRIOR_ALONE, analyse, bids_flex, make_study, participant, status
from .results import multilayer_connectivity, read, sidecar


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


def test_dosenbach_needs_nothing(study, tmp_path):
    call = bids_flex(
        study.root, tmp_path, "participant", "--atlas", "Dosenbach2010", *LEAN, "--participant-label", "01"
    )
    assert call.code == 0, call.err
    told = json.loads(next(tmp_path.rglob("*_desc-prior_dynamics.json")).read_text())
    assert told["Regions"]["InAtlas"] == 160
    assert any("cannot be ruled out" in text for text in told["Warnings"])


def test_a_dry_run_lists_and_writes_nothing(study, tmp_path):
    call = participant(study, tmp_path / "out", "--dry-run", "--participant-label", "02")
    assert call.code == 0
    assert "sub-02_task-rest_desc-confounds_timeseries.tsv" in call.out
    assert call.out.splitlines()[-1] == "1 run would be analysed, 0 cannot be, 0 files or runs left out"
    assert not (tmp_path / "out").exists()


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


def test_sessions_and_runs_keep_their_names(tmp_path):
    study = make_study(tmp_path / "bids", participants=1, sessions=2, runs=2)
    assert participant(study, tmp_path / "out", "--session-label", "2").code == 0
    names = sorted(path.name for path in (tmp_path / "out" / "sub-01" / "ses-2" / "func").glob("*prior_dynamics.json"))
    assert names[1].startswith(
        "sub-01_ses-2_task-rest_run-2_space-MNI152NLin2009cAsym_atlas-Sim_seg-7n_scale-28_desc-prior"
    )
    assert not (tmp_path / "out" / "sub-01" / "ses-1").exists()
