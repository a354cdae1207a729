"""The group level, called as users call it."""

import json
import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bids_flex.bids.check import check_outputs

from .conftest import PRIOR_ALONE, bids_flex, make_study, participant


def group(study, out, *options):
    return bids_flex(study.root, out, "group", "--n-permutations", "999", "--no-reports", *options)


def read_tests(out):
    return pd.read_csv(out / "group" / "model-antidepressant_stat-tests.tsv", sep="\t", na_values=["n/a"])


@pytest.fixture
def out(done, tmp_path):
    shutil.copytree(done, tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def changed(study, tmp_path):
    """The study with its participants.tsv free to be changed."""
    copy = type(study)(tmp_path / "bids")
    copy.root.mkdir()
    for name in ("participants.tsv", "participants.json", "dataset_description.json"):
        shutil.copy(study.root / name, copy.root / name)
    return copy


def test_the_table_repeats_the_participants_sidecars(study, out):
    call = bids_flex(study.root, out, "group")
    assert call.code == 0, call.err
    table = pd.read_csv(out / "group" / "participants_dynamics.tsv", sep="\t")
    assert table["participant_id"].tolist() == [f"sub-0{n}" for n in range(1, 7)]
    for row in table.itertuples():
        told = json.loads(next((out / row.participant_id).rglob("*_desc-prior_dynamics.json")).read_text())
        assert row.prior_flexibility == pytest.approx(told["Global"]["flexibility"], abs=1e-11)
        assert row.prior_promiscuity_SomMot == pytest.approx(told["Networks"]["SomMot"]["promiscuity"], abs=1e-11)
        other = json.loads(next((out / row.participant_id).rglob("*-multilayer_dynamics.json")).read_text())
        assert row.multilayer_flexibility == pytest.approx(other["Global"]["flexibility"], abs=1e-11)
        null = other["NullModel"]["Global"]["flexibility"]
        assert row.multilayer_flexibility_excess == pytest.approx(null["excess"], abs=1e-11)
        assert row.kept_minutes == pytest.approx(told["Quality"]["kept_minutes"], abs=1e-11)
        assert row.valid_pairs == told["Windows"]["ValidPairs"]
    assert not list((out / "group").glob("model-*"))


def test_every_table_of_people_and_models_fits_its_dictionary(study, out):
    assert group(study, out, "--groups", "antidepressant").code == 0
    tables, faults = check_outputs(out)
    assert faults == []
    assert tables > len(list(out.glob("sub-*/func/*.tsv"))) + 10


def read(out, name, model="antidepressant"):
    path = out / "group" / f"model-{model}_stat-{name}.tsv"
    table = pd.read_csv(path, sep="\t", na_values=["n/a"])
    assert set(table.columns) <= set(json.loads(path.with_suffix(".json").read_text()))
    return table


def assert_map_shows(out, tests, start):
    """The map of estimates holds a region's estimate in every voxel of its own, on the atlas's grid."""
    image = nib.load(out / "group" / f"{start}_stat-effect_statmap.nii.gz")
    atlas = nib.load(next((out / "atlases").glob("*_dseg.nii.gz")))
    regions = pd.read_csv(next((out / "atlases").glob("*_dseg.tsv")), sep="\t").set_index("name")["index"]
    labels, values = np.asarray(atlas.dataobj), image.get_fdata()
    np.testing.assert_array_equal(image.affine, atlas.affine)
    assert np.isnan(values[labels == 0]).all()
    chosen = tests.query("level == 'region' and outcome.str.startswith('prior_flexibility') and test == 't'")
    for row in chosen.itertuples():
        own = values[labels == regions[row.region]]
        assert np.allclose(own, row.estimate, rtol=1e-6, equal_nan=True)


def test_a_model_is_written_with_its_people_and_its_words(study, out):
    call = group(study, out, "--groups", "antidepressant", "--contrasts", "user - nonuser")
    assert call.code == 0, call.err
    stages = ("collecting results in", "model antidepressant: testing whole brain", "writing tables to")
    assert all(f"INFO {stage}" in call.err for stage in stages), call.err
    tests = read(out, "tests")
    assert set(tests["family"].str.partition(":")[0].str.removesuffix(" (omnibus)")) == {
        "primary", "exploratory", "networks", "regions", "global, other engine", "exploratory, other engine",
        "networks, other engine", "regions, other engine",
    }  # fmt: skip
    primary = tests[tests["family"] == "primary"]
    assert primary["outcome"].tolist() == ["prior_flexibility", "prior_promiscuity"]
    assert (tests.loc[tests["family"] == "networks", "level"] == "network").all()
    regions = tests[tests["level"] == "region"]
    assert set(regions["correction"]) == {"max-T"}
    tested = regions.dropna(subset="p_perm")
    assert len(tested) >= len(regions) / 2
    assert (tested["p_adj"] >= tested["p_perm"] - 1e-12).all()
    table = pd.read_csv(out / "group" / "participants_dynamics.tsv", sep="\t")
    means = table.groupby("antidepressant")["prior_flexibility"].mean()
    assert primary["estimate"].iloc[0] == pytest.approx(means["user"] - means["nonuser"], abs=1e-10)
    model = json.loads((out / "group" / "model-antidepressant.json").read_text())
    assert model["PeopleInModel"] == 6
    assert any("rises with noise" in text for text in model["Warnings"])
    shown = model["Maps"]
    assert len([name for name in shown if name.startswith("maps/") and "engine-prior" in name]) == 2 * (3 + 4)
    assert sorted(shown) == sorted(f"maps/{path.name}" for path in (out / "group" / "maps").iterdir())
    assert_map_shows(out, tests, "maps/model-antidepressant_engine-prior_measure-flexibility_contrast-userNonuser")
    assert (out / "group" / "model-antidepressant_stat-design.svg").is_file()
    families = read(out, "families")
    assert families["tests"].sum() == tests["p_perm"].notna().sum()
    assert read(out, "flow")[["stage", "participants"]].to_numpy().tolist() == [
        ["found", 6], ["usable", 6], ["in table", 6], ["in model", 6],
    ]  # fmt: skip


def test_quality_and_sensitivity_stand_beside_the_primary_family(study, out):
    words = ["--groups", "antidepressant", "--contrasts", "user - nonuser", "--max-mean-fd", "0.0001"]
    assert group(study, out, *words).code == 0
    quality = read(out, "quality").set_index(["outcome", "contrast"])
    table = pd.read_csv(out / "group" / "participants_dynamics.tsv", sep="\t")
    means = table.groupby("antidepressant")[["mean_fd", "multilayer_modularity"]].mean()
    for name in means:
        difference = quality.loc[(name, "user - nonuser"), "estimate"]
        assert difference == pytest.approx(means.loc["user", name] - means.loc["nonuser", name], abs=1e-10)
    sensitivity = read(out, "sensitivity").set_index("analysis")
    assert set(sensitivity.index) == {
        "motion and kept share as covariates", "mean displacement at most 0.0001 mm", "the other engine (multilayer)",
        "excess of multilayer", "z of multilayer", "rarefied promiscuity of prior", "split-half flexibility of prior",
    }  # fmt: skip
    assert (
        sensitivity.loc["split-half flexibility of prior", "reason"] == "split halves were not asked for (--split-half)"
    )
    still = sensitivity.loc["mean displacement at most 0.0001 mm"]
    assert isinstance(still["reason"], str), "nobody lies so still, and a row says what that leaves"
    assert not sensitivity["outcome"].isin(["prior_flexibility_excess", "prior_flexibility_z"]).any()
    excess = sensitivity.loc["excess of multilayer"].query("outcome == 'multilayer_flexibility_excess'")
    means = table.groupby("antidepressant")["multilayer_flexibility_excess"].mean()
    found = excess.loc[excess["contrast"] == "user - nonuser", "estimate"].iloc[0]
    assert found == pytest.approx(means["user"] - means["nonuser"], abs=1e-10)
    correlations = read(out, "qualitycorrelations").set_index(["measure", "quality", "kind"])
    expected = table["prior_flexibility"].corr(table["mean_absolute_r"])
    assert correlations.loc[("prior_flexibility", "mean_absolute_r", "plain"), "r"] == pytest.approx(expected, abs=1e-9)


def test_the_short_form_writes_the_model_that_it_stands_for(study, out, tmp_path):
    words = ["--groups", "antidepressant", "--covariates", "age", "--contrasts", "user - nonuser"]
    assert group(study, out, *words).code == 0
    first = read(out, "tests")
    document = json.loads((out / "group" / "model-antidepressant_smdl.json").read_text())
    document["Name"] = "from file"
    file = tmp_path / "model.json"
    file.write_text(json.dumps(document))
    assert group(study, out, *words, "--model", file).code == 0
    second = read(out, "tests", "fromFile").assign(model="antidepressant")
    pd.testing.assert_frame_equal(first, second)


@pytest.mark.parametrize(
    ("content", "code", "told"),
    [
        (None, 66, "cannot be read (No such file or directory)"),
        ("{", 65, "is not JSON"),
        ("[]", 65, "holds no JSON object"),
        ("{}", 65, "is no BIDS Stats Model"),
    ],
)
def test_a_bad_model_file_leaves_nothing(study, out, tmp_path, content, code, told):
    file = tmp_path / "model.json"
    if content is not None:
        file.write_text(content)
    call = group(study, out, "--model", file)
    assert call.code == code
    assert told in call.err
    assert not (out / "group").exists()


def test_the_seed_decides_and_is_told(study, out):
    words = ["--groups", "antidepressant", "--covariates", "age"]
    group(study, out, *words, "--random-seed", "1")
    first = read_tests(out)
    group(study, out, *words, "--random-seed", "1")
    pd.testing.assert_frame_equal(first, read_tests(out))
    assert json.loads((out / "group" / "model-antidepressant.json").read_text())["Seeds"] == {"permutations": 1}


def test_the_other_engine_has_a_table_of_its_own_or_is_the_primary_one(study, out):
    call = group(study, out, "--groups", "antidepressant", "--primary-engine", "multilayer")
    assert call.code == 0, call.err
    tests = read_tests(out)
    assert set(tests.loc[tests["family"].str.startswith("primary"), "engine"]) == {"multilayer"}
    assert set(tests.loc[tests["family"].str.contains("other engine"), "engine"]) == {"prior"}
    model = json.loads((out / "group" / "model-antidepressant.json").read_text())
    assert model["PrimaryEngine"] == "multilayer"
    assert "multilayer engine" in model["Warnings"][0]


def test_a_primary_engine_without_results_is_named(study, out):
    for file in out.rglob("*desc-multilayer_dynamics.json"):
        file.unlink()
    call = group(study, out, "--primary-engine", "multilayer")
    assert call.code == 18
    assert "no results of the engine multilayer" in call.err
    assert "there are some of prior; choose it with --primary-engine" in call.err


def test_who_is_left_out_is_listed(changed, out):
    table = pd.read_csv(changed.root / "participants.tsv", sep="\t", dtype=str)
    table.loc[0, "age"] = "n/a"
    table = pd.concat([table.drop(index=5), table.iloc[[1]].assign(participant_id="sub-77")])
    table.to_csv(changed.root / "participants.tsv", sep="\t", index=False)
    # two users, one left without age; two groups only, so that a model is left
    table["drug"] = ["yes", "no", "no", "yes", "yes", "no"]
    table.to_csv(changed.root / "participants.tsv", sep="\t", index=False)
    call = group(changed, out, "--groups", "drug", "--covariates", "age")
    assert call.code == 0, call.err
    assert read(out, "leftout", "drug").to_numpy().tolist() == [
        ["sub-06", "all", "not in participants.tsv"],
        ["sub-77", "all", "no results of the participant level"],
        ["sub-01", "all", "no value in age"],
    ]


@pytest.mark.parametrize(
    ("spoil", "options", "code", "told"),
    [
        (
            None,
            ["--groups", "weight"],
            2,
            "--groups names a column weight, which there is not: the data set's tables have ",
        ),
        (lambda t: t.assign(drug="same"), ["--groups", "drug"], 65, "column drug has one level or none"),
        (lambda t: pd.concat([t, t.iloc[[0]]]), ["--groups", "sex"], 65, "more than one row for sub-01"),
        (lambda t: t.rename(columns={"participant_id": "id"}), ["--groups", "sex"], 65, "has no column participant_id"),
        (lambda t: t.assign(prior_flexibility=1), ["--groups", "sex"], 65, "has the name of a measure"),
        (lambda t: t.assign(participant_id="x" + t["participant_id"]), ["--groups", "sex"], 65, "nobody with results"),
        (None, ["--groups", "antidepressant", "--contrasts", "user - placebo"], 2, "is no contrast of antidepressant"),
        (None, ["--groups", "antidepressant", "--covariates", "age", "education", "site"], 65, "cannot carry a model"),
    ],
)
def test_impossible_models_leave_nothing(changed, out, spoil, options, code, told):
    if spoil is not None:
        table = pd.read_csv(changed.root / "participants.tsv", sep="\t", dtype=str)
        spoil(table).to_csv(changed.root / "participants.tsv", sep="\t", index=False)
    call = group(changed, out, *options)
    assert call.code == code, call.err
    assert told in call.err
    assert not list((out / "group").glob("model-*"))


def test_without_results_the_way_is_named(study, tmp_path):
    call = group(study, tmp_path, "--groups", "sex")
    assert call.code == 18
    assert "no results of the participant level" in call.err


def test_without_participants_the_file_is_named(study, out, tmp_path):
    (tmp_path / "empty").mkdir()
    call = bids_flex(tmp_path / "empty", out, "group", "--groups", "sex")
    assert call.code == 66
    assert "participants.tsv is missing" in call.err


def test_runs_of_a_person_are_weighted_by_their_pairs(tmp_path):
    study = make_study(tmp_path / "bids", participants=1, runs=2)
    out = tmp_path / "out"
    assert participant(study, out).code == 0
    assert bids_flex(study.root, out, "group").code == 0
    row = pd.read_csv(out / "group" / "participants_dynamics.tsv", sep="\t").iloc[0]
    told = [json.loads(path.read_text()) for path in sorted(out.rglob("*_desc-prior_dynamics.json"))]
    pairs = np.array([one["Windows"]["ValidPairs"] for one in told])
    expected = np.average([one["Global"]["flexibility"] for one in told], weights=pairs)
    assert row["prior_flexibility"] == pytest.approx(expected, abs=1e-11)
    assert row["runs"] == 2
    assert row["kept_minutes"] == pytest.approx(sum(one["Quality"]["kept_minutes"] for one in told))
    # promiscuity counts the networks that a region takes over both runs
    labels = [pd.read_csv(path, sep="\t").iloc[:, 3:] for path in sorted(out.rglob("*_desc-prior_communities.tsv"))]
    taken = pd.concat(labels).nunique()
    assert row["prior_promiscuity"] == pytest.approx(((taken - 1) / 6).mean(), abs=1e-11)


@pytest.mark.parametrize("zero", [False, True])
def test_planted_effects_are_found_and_absent_ones_are_not(tmp_path, zero):
    """24 people at the planted size, and the same without an effect."""
    effect = {"user_effect": 0.0, "network_effect": 0.0} if zero else {}
    study = make_study(tmp_path / "bids", participants=24, seed=11, regions=70, duration_s=480.0, **effect)
    out = tmp_path / "out"
    assert participant(study, out, *PRIOR_ALONE).code == 0
    words = ["--groups", "antidepressant", "--contrasts", "user - nonuser", "user - control"]
    assert group(study, out, *words).code == 0
    tests = read_tests(out)
    tests = tests[tests["measure"].isin(["flexibility", "promiscuity"]) & (tests["level"] != "region")]
    glob = tests[(tests["level"] == "global") & (tests["contrast"] != "omnibus")]
    somatomotor = tests[(tests["network"] == "SomMot") & (tests["contrast"] == "user - control")]
    if zero:
        assert (glob["p_adj"] > 0.05).all()
        assert (tests.loc[tests["contrast"] == "omnibus", "p_adj"] > 0.05).all()
    else:
        assert (glob["estimate"] > 0).all()
        assert (glob["p_adj"] < 0.05).all()
        flexible = somatomotor[somatomotor["measure"] == "flexibility"]
        assert flexible["estimate"].iloc[0] > glob["estimate"].min()
        assert (flexible["p_perm"] < 0.05).all()
