"""The participant level called again: what is kept, what is refused, what is made anew."""

import os
import shutil

import pytest

from bids_flex.errors import OutputError, RunError
from bids_flex.workflows import derivatives

from .conftest import analyse, bids_flex, participant, status, tree
from .results import sidecar


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


def test_changed_inputs_are_analysed_again(study, tmp_path):
    changed = type(study)(tmp_path / "bids")
    shutil.copytree(study.root, changed.root)
    out = tmp_path / "out"
    assert participant(changed, out, "--participant-label", "01", "02").code == 0
    sidecar_file = next(changed.func("02").glob("*timeseries.tsv"))
    os.utime(sidecar_file, (1, 1))
    assert participant(changed, out, "--participant-label", "01", "02").code == 0
    assert status(out)["state"].tolist() == ["skipped", "done"]


def test_a_logged_configuration_repeats_its_call(study, tmp_path):
    words = ["--fd-thresh", "0.4", "--participant-label", "01"]
    assert participant(study, tmp_path, *words).code == 0
    (config,) = (tmp_path / "logs").glob("*/config.toml")
    again = bids_flex(study.root, tmp_path, "participant", "--config-file", config)
    assert again.code == 0, again.err
    assert status(tmp_path)["state"].tolist() == ["skipped"]
