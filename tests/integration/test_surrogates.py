"""Measures beside those of surrogates, as the participant level writes them."""

import shutil

import numpy as np
import pandas as pd
import pytest

from bids_flex import dynamics as d
from bids_flex.signal import Refilter

from .conftest import analyse
from .results import read, sidecar


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
