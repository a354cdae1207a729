"""Simulated studies: their truth, their files, their sameness."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections import Counter

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nilearn.interfaces.fmriprep import load_confounds

from bids_flex.errors import UsageError
from bids_flex.simulate import NETWORKS, SimulationSettings, cli, make_cohort, simulate_dataset, simulate_series
from bids_flex.simulate.cli import main
from bids_flex.simulate.layout import SETTINGS_FILE
from bids_flex.simulate.scans import draw_motion, framewise_displacement

SMALL = {"participants": 3, "duration_s": 300.0, "voxel_mm": 10.0, "regions": 28}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return simulate_dataset(tmp_path_factory.mktemp("sim") / "study", SimulationSettings(**SMALL, seed=3))


def table(path):
    return pd.read_csv(path, sep="\t", na_values=["n/a"])


def files(root):
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_the_layout(study):
    names = set(files(study))
    for name in (
        "participants.tsv",
        "derivatives/atlas/tpl-MNI152NLin2009cAsym_atlas-Sim_seg-7n_scale-28_dseg.nii.gz",
        "derivatives/atlas/tpl-MNI152NLin2009cAsym_atlas-Sim_seg-7n_scale-28_dseg.tsv",
        "derivatives/fmriprep/sub-01/func/sub-01_task-rest_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz",
        "derivatives/fmriprep/sub-01/func/sub-01_task-rest_space-MNI152NLin2009cAsym_desc-brain_mask.nii.gz",
        "derivatives/fmriprep/sub-01/func/sub-01_task-rest_space-MNI152NLin2009cAsym_boldref.nii.gz",
        "derivatives/fmriprep/sub-01/func/sub-01_task-rest_desc-confounds_timeseries.tsv",
        "derivatives/truth/rates.tsv",
        "derivatives/truth/sub-01/func/sub-01_task-rest_switches.tsv",
    ):
        assert name in names
    assert [name for name in names if name.endswith("dseg.nii.gz")] == [
        "derivatives/atlas/tpl-MNI152NLin2009cAsym_atlas-Sim_seg-7n_scale-28_dseg.nii.gz"
    ]
    people = table(study / "participants.tsv")
    assert people["antidepressant"].tolist() == ["user", "nonuser", "control"]
    assert set(people) == {"participant_id", "group", "antidepressant", "age", "sex", "education", "site"}
    assert set(json.loads((study / "participants.json").read_text())) == set(people) - {"participant_id"}


def test_region_means_are_the_planted_signals(tmp_path):
    settings = SimulationSettings(**SMALL, noise=0.0, motion=0.0, non_steady_volumes=0)
    study = simulate_dataset(tmp_path / "quiet", settings)
    func = study / "derivatives" / "fmriprep" / "sub-02" / "func"
    bold = nib.load(next(func.glob("*preproc_bold.nii.gz"))).get_fdata()
    drawn = nib.load(next((study / "derivatives" / "atlas").glob("*.nii.gz"))).get_fdata()
    planted = table(study / "derivatives/truth/sub-02/func/sub-02_task-rest_series.tsv").to_numpy()
    means = np.stack([bold[drawn == region].mean(axis=0) for region in range(1, 29)], axis=1)
    # images hold whole numbers
    np.testing.assert_allclose((means - 1e4) / 100, planted, atol=0.0051)


def test_displacement_follows_power(study):
    confounds = table(study / "derivatives/fmriprep/sub-01/func/sub-01_task-rest_desc-confounds_timeseries.tsv")
    moved = confounds[[f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]].diff().abs()
    expected = moved.iloc[:, :3].sum(axis=1) + 50 * moved.iloc[:, 3:].sum(axis=1)
    np.testing.assert_allclose(confounds["framewise_displacement"][1:], expected[1:], atol=1e-9)
    assert np.isnan(confounds["framewise_displacement"][0])
    outliers = confounds[[name for name in confounds if name.startswith("motion_outlier")]]
    marked = (confounds["framewise_displacement"] > 0.5) | (confounds["std_dvars"] > 1.5)
    np.testing.assert_array_equal(outliers.sum(axis=1), marked.astype(int))
    assert confounds["non_steady_state_outlier00"].tolist() == [1.0] + [0.0] * (len(confounds) - 1)


def test_confounds_are_those_of_the_images(study):
    func = study / "derivatives" / "fmriprep" / "sub-01" / "func"
    bold = nib.load(next(func.glob("*preproc_bold.nii.gz"))).get_fdata()
    mask = nib.load(next(func.glob("*brain_mask.nii.gz"))).get_fdata() > 0
    confounds = table(next(func.glob("*timeseries.tsv")))
    np.testing.assert_allclose(confounds["global_signal"], bold[mask].mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(confounds["csf_derivative1"][1:], confounds["csf"].diff()[1:], atol=1e-6)
    scaled = bold[mask] * 1000 / np.median(bold[mask])
    np.testing.assert_allclose(confounds["dvars"][1:], np.sqrt((np.diff(scaled) ** 2).mean(axis=0)), rtol=1e-4)


def test_nilearn_reads_it(study):
    bold = next((study / "derivatives" / "fmriprep" / "sub-01" / "func").glob("*preproc_bold.nii.gz"))
    strategy = ("motion", "wm_csf", "global_signal", "high_pass", "compcor", "scrub")
    columns, kept = load_confounds(str(bold), strategy=strategy, compcor="anat_combined", n_compcor=3, fd_threshold=0.5)
    assert {"a_comp_cor_02", "cosine00", "global_signal"} <= set(columns)
    assert kept is None or len(kept) <= 150


def test_switches_agree_with_membership(study):
    stem = study / "derivatives/truth/sub-01/func/sub-01_task-rest"
    membership = table(f"{stem}_membership.tsv").to_numpy()
    switches = table(f"{stem}_switches.tsv")
    assert len(switches) == (np.diff(membership, axis=0) != 0).sum()
    for row in switches.itertuples():
        volume = int(row.onset / 2.0)
        assert membership[volume - 1, row.region - 1] == row.before
        assert membership[volume, row.region - 1] == row.after
    home = [NETWORKS.index(name) + 1 for name in SimulationSettings(**SMALL).region_networks]
    # most of the time, a region is at home
    assert (membership == home).mean() > 0.5


def test_rates_are_met():
    settings = SimulationSettings(duration_s=60_000.0, regions=14, effect_network="Limbic")
    found = simulate_series(settings, 0.5, 1.5, np.random.default_rng(0))
    home = np.array([NETWORKS.index(name) + 1 for name in settings.region_networks])
    left = ((found.membership[:-1] == home) & (found.membership[1:] != home)).sum(axis=0)
    minutes_at_home = (found.membership == home).sum(axis=0) * 2.0 / 60
    rates = left / minutes_at_home
    limbic = np.array(settings.region_networks) == "Limbic"
    np.testing.assert_allclose(rates[~limbic].mean(), 0.5, rtol=0.05)
    np.testing.assert_allclose(rates[limbic].mean(), 1.5, rtol=0.05)
    stays = (found.membership != home).sum() * 2.0 / left.sum()
    np.testing.assert_allclose(stays, settings.away_s, rtol=0.05)


def test_signals_lie_within_the_band():
    found = simulate_series(SimulationSettings(regions=14), 0.0, 0.0, np.random.default_rng(0)).series
    power = np.abs(np.fft.rfft(found, axis=0)) ** 2
    frequency = np.fft.rfftfreq(len(found), 2.0)
    inside = (frequency > 0.005) & (frequency < 0.12)
    assert power[inside].sum() / power[1:].sum() > 0.97
    np.testing.assert_allclose(found.std(axis=0), 1.0, atol=0.25)


def test_without_motion_nothing_moves():
    motion = draw_motion(240, 0.0, np.random.default_rng(0))
    assert not motion.any()
    assert np.nansum(framewise_displacement(motion)) == 0


def test_the_same_seed_gives_the_same_bytes(study, tmp_path):
    again = simulate_dataset(tmp_path / "again", SimulationSettings(**SMALL, seed=3))
    assert files(again) == files(study)


def test_a_person_does_not_depend_on_the_others(study, tmp_path):
    more = simulate_dataset(tmp_path / "more", SimulationSettings(**{**SMALL, "participants": 4}, seed=3))
    one, other = files(study), files(more)
    of_two = [name for name in one if "sub-02" in name]
    assert of_two
    assert all(one[name] == other[name] for name in of_two)


def test_zero_effect_leaves_no_difference():
    settings = SimulationSettings(participants=60, user_effect=0.0, network_effect=0.0, person_spread=0.0)
    assert {person.rate for person in make_cohort(settings)} == {settings.base_rate}
    assert all(person.network_rate == person.rate for person in make_cohort(settings))
    planted = make_cohort(SimulationSettings(participants=60, person_spread=0.0))
    for person in planted:
        expected = (0.65, 1.05) if person.antidepressant == "user" else (0.25, 0.25)
        assert (person.rate, person.network_rate) == pytest.approx(expected)


def test_the_cohort_has_the_margins_of_the_study():
    people = make_cohort(SimulationSettings(participants=207, cohort="study"))
    of = Counter(person.group for person in people)
    assert of == {"mdd": 49, "anxiety": 46, "comorbid": 55, "control": 57}
    assert Counter(person.antidepressant for person in people) == {"user": 49, "nonuser": 101, "control": 57}
    assert all((person.group == "control") == (person.antidepressant == "control") for person in people)
    # the first thirty are as mixed as all: 7.1 users, 8.3 controls
    first = Counter(person.antidepressant for person in people[:30])
    assert abs(first["user"] - 7.1) < 1
    assert abs(first["control"] - 8.3) < 1


def test_patients_move_more_if_asked():
    people = make_cohort(SimulationSettings(participants=9, motion=2.0, patient_motion=1.5))
    assert {person.motion for person in people} == {2.0, 3.0}
    assert {person.motion for person in people if person.group == "control"} == {2.0}


def test_an_interrupted_study_is_completed(study, tmp_path):
    broken = shutil.copytree(study, tmp_path / "broken")
    (broken / SETTINGS_FILE).unlink()
    kept = next((broken / "derivatives/fmriprep/sub-01/func").glob("*preproc_bold.nii.gz"))
    before = kept.stat().st_mtime_ns
    for path in [*broken.rglob("sub-03*switches.tsv"), *broken.rglob("sub-03*preproc_bold.nii.gz")]:
        path.unlink()
    simulate_dataset(broken, SimulationSettings(**SMALL, seed=3))
    assert files(broken) == files(study)
    assert kept.stat().st_mtime_ns == before


def test_controls_never_use_antidepressants():
    people = make_cohort(SimulationSettings(participants=90))
    assert {(p.group == "control") for p in people if p.antidepressant == "control"} == {True}
    assert {p.group for p in people if p.antidepressant == "user"} == {"mdd", "anxiety", "comorbid"}


def test_sessions_and_runs_are_named(tmp_path):
    small = SimulationSettings(**{**SMALL, "participants": 1}, sessions=2, runs=2)
    study = simulate_dataset(tmp_path / "many", small)
    names = {path.name for path in (study / "derivatives" / "fmriprep" / "sub-01" / "ses-2" / "func").iterdir()}
    assert "sub-01_ses-2_task-rest_run-2_desc-confounds_timeseries.tsv" in names


def test_the_raw_root_is_valid_bids(study):
    found = subprocess.run(
        [sys.executable.replace("python", "bids-validator-deno"), str(study), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    issues = json.loads(found.stdout)["issues"]["issues"]
    assert [issue for issue in issues if issue["severity"] == "error"] == []


def test_a_second_call_changes_nothing_and_other_settings_are_refused(study, capsys):
    before = files(study)
    words = [str(study), "--participants", "3", "--duration-s", "300", "--voxel-mm", "10", "--regions", "28"]
    assert main([*words, "--seed", "3"]) == 0
    assert "already there with these settings" in capsys.readouterr().out
    assert main([*words, "--seed", "4"]) == 2
    assert "seed was 3, now 4" in capsys.readouterr().err
    assert files(study) == before


def test_it_says_how_far_it_is(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cli, "PAUSE_S", 0.0)
    small = ["--participants", "2", "--duration-s", "240", "--voxel-mm", "12", "--regions", "14"]
    assert main([str(tmp_path / "study"), *small]) == 0
    said = capsys.readouterr()
    assert said.err.splitlines() == [f"bids_flex-simulate: {number} of 2 participants are written" for number in (1, 2)]
    assert said.out == f"2 simulated participants in {tmp_path / 'study'}\n"


def test_a_folder_of_something_else_is_left_alone(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("years of work")
    assert main([str(tmp_path), "--force"]) == 2
    assert "holds no simulated study" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").exists()


@pytest.mark.parametrize(
    ("setting", "told"),
    [({"participants": 0}, "participants is 0"), ({"tr_s": 6.0}, "tr_s is 6"),
     ({"effect_network": "Motor"}, "one of Vis"), ({"base_rate": -1.0}, "base_rate is -1"),
     ({"regions": 3}, "at least 14")],
)  # fmt: skip
def test_what_cannot_be_simulated_is_refused(setting, told):
    with pytest.raises(UsageError, match=told):
        SimulationSettings(**setting)
