"""From series of other programs, and from greyordinates, to the group level."""

import json
import os

import numpy as np
import pandas as pd
import pytest
from nibabel import cifti2

os.environ |= {"NO_ET": "1", "NIPYPE_NO_ET": "1"}

from bids_flex.cli import parse_config
from bids_flex.errors import NotBidsError, UsageError
from bids_flex.workflows.sources import find_sources

from .conftest import bids_flex, status

NAMES = tuple(
    f"7Networks_{side}_{network}_{n}" for side in ("LH", "RH") for network in ("Vis", "Cont") for n in range(4)
)
FAST = ["--engine", "prior", "--n-surrogates", "4", "--prior-window", "30s", "--nprocs", "2"]


def make_series(seed, volumes=150, regions=16):
    """Smooth noise, every second region sharing some of it."""
    random = np.random.default_rng(seed)
    values = np.apply_along_axis(np.convolve, 0, random.normal(size=(volumes + 4, regions)), np.ones(5), "valid")
    values[:, ::2] += values[:, :1]
    return values


def save_table(path, values, names=NAMES):
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame(values, columns=names)
    frame.to_csv(path, sep="\t", index=False, na_rep="n/a", header=names is not None)
    return path


def describe(root, **sidecars):
    root.mkdir(parents=True, exist_ok=True)
    described = {"Name": "x", "BIDSVersion": "1.9.0", "DatasetType": "derivative"}
    (root / "dataset_description.json").write_text(json.dumps(described))
    for name, content in sidecars.items():
        (root / f"{name}.json").write_text(json.dumps(content))


@pytest.fixture(scope="module")
def xcpd(tmp_path_factory):
    """Six people as XCP-D writes them, one with cut-out volumes; and participants.tsv."""
    root = tmp_path_factory.mktemp("study")
    folder = root / "derivatives" / "xcp_d"
    describe(folder)
    for number in range(1, 7):
        func = folder / f"sub-{number:02d}" / "func"
        source, keep = f"sub-{number:02d}_task-rest", np.ones(150, dtype=bool)
        if number == 2:
            keep[[20, 21, 70]] = False
        values = make_series(number)[keep]
        table = save_table(func / f"{source}_space-MNI152NLin6Asym_atlas-4S156Parcels_stat-mean_timeseries.tsv", values)
        table.with_suffix(".json").write_text(json.dumps({"RepetitionTime": 2.0}))
        save_table(func / f"{source}_outliers.tsv", (~keep)[:, None].astype(int), ["framewise_displacement"])
        fd = np.full((150, 1), 0.1 * number)
        save_table(func / f"{source}_motion.tsv", fd, ["framewise_displacement"])
        save_table(func / f"{source}_atlas-4S156Parcels_stat-pearsoncorrelation_relmat.tsv", np.eye(len(NAMES)))
        # fMRIPrep's confounds end alike and are no regional series
        save_table(func / f"{source}_desc-confounds_timeseries.tsv", np.zeros((150, 1)), ["csf"])
    people = pd.DataFrame({"participant_id": [f"sub-{n:02d}" for n in range(1, 7)], "user": ["yes", "no"] * 3})
    people.to_csv(root / "participants.tsv", sep="\t", index=False)
    (root / "dataset_description.json").write_text(json.dumps({"Name": "x", "BIDSVersion": "1.9.0"}))
    return root


@pytest.fixture(scope="module")
def analysed(xcpd, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    call = bids_flex(xcpd, out, "participant", "--input-type", "timeseries", *FAST)
    assert call.code == 0, call.err
    return out


def stem(number):
    return f"sub-{number:02d}_task-rest_space-MNI152NLin6Asym_atlas-4S156Parcels"


def test_series_are_read_as_they_are_and_nothing_is_joined_across_gaps(xcpd, analysed):
    func = analysed / "sub-02" / "func"
    series = pd.read_csv(func / f"{stem(2)}_stat-mean_timeseries.tsv", sep="\t", na_values=["n/a"])
    assert tuple(series.columns) == NAMES
    gone = [20, 21, 70]
    assert np.flatnonzero(series.isna().all(axis=1)).tolist() == gone
    np.testing.assert_allclose(series.dropna(), np.delete(make_series(2), gone, axis=0), rtol=1e-9)
    told = json.loads((func / f"{stem(2)}_stat-mean_timeseries.json").read_text())
    assert told["Cleaning"]["Strategy"] == "none here: series were read as they are"
    assert told["Cleaning"]["CensoredVolumes"] == 3
    assert "denoise" not in told["Settings"]
    assert told["Settings"]["input"]["type"] == "timeseries"
    assert [source.rpartition("/")[2] for source in told["Sources"]] == [
        f"{stem(2)}_stat-mean_timeseries.tsv",
        "sub-02_task-rest_outliers.tsv",
        "sub-02_task-rest_motion.tsv",
    ]
    summary = json.loads((func / f"{stem(2)}_desc-prior_dynamics.json").read_text())
    assert summary["Quality"]["mean_fd"] == pytest.approx(0.2)
    assert summary["Quality"]["share_censored"] == pytest.approx(3 / 150)
    quality = json.loads((func / f"{stem(2)}_desc-confounds_quality.json").read_text())
    assert any("nothing was cleaned here" in note for note in quality["Notes"])


def test_the_same_group_level_serves(xcpd, analysed):
    call = bids_flex(xcpd, analysed, "group", "--groups", "user", "--n-permutations", "20")
    assert call.code == 0, call.err
    table = pd.read_csv(analysed / "group" / "participants_dynamics.tsv", sep="\t", na_values=["n/a"])
    np.testing.assert_allclose(table["mean_fd"], 0.1 * np.arange(1, 7))
    assert table["prior_flexibility"].notna().all()


def found(root, *options):
    return find_sources(
        parse_config([str(root), str(root / "out"), "participant", "--input-type", "timeseries", *options])
    )


def test_dry_run_prints_the_tables(xcpd, tmp_path):
    call = bids_flex(xcpd, tmp_path, "participant", "--input-type", "timeseries", "--dry-run")
    assert call.code == 0
    assert "6 runs would be analysed" in call.out
    assert not list(tmp_path.iterdir())


def test_giga_connectome_numbers_its_columns_and_states_a_frequency(tmp_path):
    describe(tmp_path)
    func = tmp_path / "sub-1" / "func"
    for size in (16, 20):
        name = f"sub-1_task-rest_seg-Schaefer2018{size}Parcels7Networks_desc-denoiseSimple_timeseries.tsv"
        save_table(func / name, make_series(1, regions=size), [str(n) for n in range(size)])
    sidecar = func / "sub-1_task-rest_desc-denoiseSimple_timeseries.json"
    sidecar.write_text(json.dumps({"SamplingFrequency": 0.5}))
    rows = "".join(f"{number}\t{name}\n" for number, name in enumerate(NAMES, start=1))
    (tmp_path / "t.tsv").write_text(f"index\tname\n{rows}")
    with pytest.raises(
        UsageError, match=r"Schaefer201816Parcels7Networks, Schaefer201820Parcels7Networks, and none of"
    ):
        found(tmp_path)
    chosen = ["--atlas", "Schaefer201816Parcels7Networks", "--atlas-table", str(tmp_path / "t.tsv")]
    atlas, runs = found(tmp_path, *chosen)
    assert atlas.name == "Schaefer201816Parcels7Networks"
    assert set(atlas.networks) == {"Vis", "Cont"}
    assert [run.tr_s for run in runs.usable] == [2.0]


def test_halfpipe_has_no_names_and_is_told_apart_by_features(tmp_path):
    # it sorts its files by task once more
    func = tmp_path / "sub-1" / "func" / "task-rest"
    for feature in ("corr1", "corr2"):
        name = f"sub-1_task-rest_feature-{feature}_atlas-S_timeseries.tsv"
        save_table(func / name, make_series(1), None)
    describe(tmp_path, **{"task-rest_timeseries": {"RepetitionTime": 2}})
    rows = "".join(f"{number}\t{name}\n" for number, name in enumerate(NAMES, start=1))
    (tmp_path / "t.tsv").write_text(f"index\tname\n{rows}")
    _, runs = found(tmp_path, "--atlas-table", str(tmp_path / "t.tsv"))
    assert "choose by --space, --res, --den or --desc" in runs.unusable[0].reason
    _, runs = found(tmp_path, "--atlas-table", str(tmp_path / "t.tsv"), "--desc", "corr2")
    assert [run.bold.name for run in runs.usable] == ["sub-1_task-rest_feature-corr2_atlas-S_timeseries.tsv"]
    assert runs.usable[0].volumes == 150


@pytest.mark.parametrize(
    ("sidecar", "told"),
    [
        ({}, "no RepetitionTime or SamplingFrequency"),
        ({"RepetitionTime": 0}, "RepetitionTime is 0; it must be a number of seconds above 0"),
        ({"RepetitionTime": 2000}, "this looks like milliseconds"),
    ],
)
def test_a_repetition_time_that_cannot_be_is_refused(tmp_path, sidecar, told):
    describe(tmp_path)
    table = save_table(tmp_path / "sub-1" / "func" / "sub-1_task-rest_atlas-A_timeseries.tsv", make_series(1))
    table.with_suffix(".json").write_text(json.dumps(sidecar))
    _, runs = found(tmp_path)
    assert told in runs.unusable[0].reason


def test_one_bad_table_does_not_harm_the_others(tmp_path):
    bids = tmp_path / "bids"
    describe(bids, **{"task-rest_timeseries": {"RepetitionTime": 2}})
    for number in range(3):
        save_table(
            bids / f"sub-{number}" / "func" / f"sub-{number}_task-rest_atlas-A_timeseries.tsv", make_series(number)
        )
    (bids / "sub-0" / "func" / "sub-0_task-rest_atlas-A_timeseries.tsv").write_text("a\tb\n1\tx\n")
    other = bids / "sub-1" / "func" / "sub-1_task-rest_atlas-A_timeseries.tsv"
    save_table(other, make_series(1), ["other", *NAMES[1:]])
    # motion of another run
    save_table(bids / "sub-2" / "func" / "sub-2_task-rest_motion.tsv", [[0.1]] * 140, ["framewise_displacement"])
    table = bids / "n.tsv"
    table.write_text("index\tname\n" + "".join(f"{n}\t{name}\n" for n, name in enumerate(NAMES, start=1)))
    call = bids_flex(bids, tmp_path / "out", "participant", "--input-type", "timeseries", "--atlas-table", table, *FAST)
    assert call.code == 1
    rows = status(tmp_path / "out")
    assert rows["state"].to_dict() == {
        "sub-0_task-rest": "failed",
        "sub-1_task-rest": "failed",
        "sub-2_task-rest": "done",
    }
    assert "no table of numbers and n/a" in rows.loc["sub-0_task-rest", "reason"]
    assert "columns that are no regions" in rows.loc["sub-1_task-rest", "reason"]
    # what is not known is told: in the log, beside the quality and beside the measures
    note = "sub-2_task-rest_motion.tsv has 140 rows and the run has 150 volumes: they do not belong together"
    assert f"WARNING sub-2_task-rest: {note}" in " ".join(call.err.split())
    func = tmp_path / "out" / "sub-2" / "func"
    (quality,), (summary,) = (
        [json.loads(path.read_text()) for path in func.glob(f"*_{end}.json")]
        for end in ("desc-confounds_quality", "desc-prior_dynamics")
    )
    assert any(one.startswith(note) for one in quality["Notes"])
    assert any(one.startswith(note) for one in summary["Warnings"])
    assert np.isnan(summary["Quality"]["mean_fd"] or np.nan)


def test_where_there_are_no_series(tmp_path, study):
    with pytest.raises(NotBidsError, match="no regional series found"):
        found(study.root)


def write_greyordinates(study, bids, atlas, names=NAMES[:8]):
    """The confounds of a simulated run, with greyordinates of known regional series beside them; give their stem."""
    import shutil

    shutil.copytree(study.root / "derivatives" / "fmriprep" / "sub-01", bids / "sub-01")
    describe(bids)
    func = bids / "sub-01" / "func"
    confounds = next(func.glob("*desc-confounds_timeseries.tsv"))
    source = confounds.name.partition("_desc-")[0]
    described = json.loads(next(func.glob("*desc-preproc_bold.json")).read_text())
    volumes = len(pd.read_csv(confounds, sep="\t"))
    axis = cifti2.BrainModelAxis.from_surface(np.arange(32), 40, "CIFTI_STRUCTURE_CORTEX_LEFT")
    labels = np.repeat(np.arange(1, 9), 4)
    table = {0: ("???", (0, 0, 0, 0))} | {number: (name, (0, 0, 0, 1)) for number, name in enumerate(names, start=1)}
    cifti2.save(cifti2.Cifti2Image(labels[None].astype(np.float32), (cifti2.LabelAxis(["m"], [table]), axis)), atlas)
    values = 1000 + make_series(9, volumes, 8)[:, labels - 1]
    time = cifti2.SeriesAxis(0, described["RepetitionTime"], volumes, "second")
    image = func / f"{source}_space-fsLR_den-91k_bold.dtseries.nii"
    cifti2.save(cifti2.Cifti2Image(values.astype(np.float32), (time, axis)), image)
    (func / f"{source}_space-fsLR_den-91k_bold.json").write_text(json.dumps(described))
    return source


def test_greyordinates_from_command_to_tables(study, tmp_path):
    bids, names = tmp_path / "bids", NAMES[:8]
    atlas = tmp_path / "atlas-Grey_dseg.dlabel.nii"
    source = write_greyordinates(study, bids, atlas)
    out = tmp_path / "out"
    asked = (
        "--file-format",
        "cifti",
        "--atlas",
        atlas,
        "--denoise",
        "24P+2P",
        "--n-surrogates",
        "0",
        "--restarts",
        "2",
    )
    call = bids_flex(bids, out, "participant", *asked)
    assert call.code == 0, call.err
    stem = f"{source}_space-fsLR_atlas-Grey"
    coverage = pd.read_csv(out / "sub-01" / "func" / f"{stem}_stat-coverage_bold.tsv", sep="\t")
    assert coverage["coverage"].tolist() == [1.0] * 8
    assert (out / "sub-01" / "func" / f"{stem}_desc-multilayer_dynamics.tsv").exists()
    dynamics = pd.read_csv(out / "sub-01" / "func" / f"{stem}_desc-prior_dynamics.tsv", sep="\t", na_values=["n/a"])
    assert dynamics["region"].tolist() == list(names)
    assert dynamics["flexibility"].notna().all()
    refused = bids_flex(bids, out, "participant", "--file-format", "cifti", "--atlas", "Dosenbach2010")
    assert refused.code == 2
    assert "name a .dlabel.nii file" in refused.err


@pytest.mark.slow
def test_21_people_of_the_human_connectome_project(shared, tmp_path):
    """1200 volumes of 70 regions each: both engines, and the group level's table."""
    bids = tmp_path / "bids"
    describe(bids, **{"task-rest_timeseries": {"RepetitionTime": 0.72}})
    people = np.load(shared / "timeseries" / "popovych_hcp.npz")
    names = [f"region{number}" for number in range(1, 71)]
    for key in people.files:
        save_table(bids / key / "func" / f"{key}_task-rest_timeseries.tsv", people[key], names)
    networks = tmp_path / "networks.tsv"
    networks.write_text("label\tnetwork\n" + "".join(f"{name}\tpart{n // 10}\n" for n, name in enumerate(names)))
    out = tmp_path / "out"
    asked = ("--input-type", "timeseries", "--atlas-networks", networks, "--n-surrogates", "0", "--restarts", "2")
    call = bids_flex(bids, out, "participant", *asked)
    assert call.code == 0, call.err
    assert (status(out)["state"] == "done").sum() == 21
    key = people.files[0]
    written = pd.read_csv(out / key / "func" / f"{key}_task-rest_atlas-unnamed_stat-mean_timeseries.tsv", sep="\t")
    np.testing.assert_allclose(written, people[key], rtol=1e-6)
    assert bids_flex(bids, out, "group").code == 0
    table = pd.read_csv(out / "group" / "participants_dynamics.tsv", sep="\t", na_values=["n/a"])
    assert len(table) == 21
    assert table[["prior_flexibility", "prior_promiscuity"]].notna().all().all()
