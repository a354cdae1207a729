"""A study analysed in many ways, called as users call it; one scan lacks what one strategy needs."""

import json
import shutil
from dataclasses import replace

import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from bids_flex.bids.check import check_outputs
from bids_flex.cli import parse_config
from bids_flex.errors import OutputError, UsageError
from bids_flex.workflows import multiverse as many
from bids_flex.workflows.jobs import make_jobs

from .conftest import analyse, bids_flex, status, tree

GRID = """
engine = ["prior", "multilayer"]
denoise = ["24P+2P", "none"]
window = ["60s", "100s"]
[multilayer]
omega = [0.5]
[[exclude]]
denoise = "none"
window = "60s"
"""
WORDS = ["--n-surrogates", "0", "--restarts", "3"]


def words(study, out, grid):
    return [study.root, out, "participant", "--atlas", study.atlas, "--multiverse", grid, *WORDS]


def config_of(study, out, grid):
    return parse_config([str(word) for word in words(study, out, grid)])


def universes(out):
    return pd.read_csv(out / "universes.tsv", sep="\t", dtype=str, na_values=["n/a"], keep_default_na=False)


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    path = tmp_path_factory.mktemp("grid") / "grid.toml"
    path.write_text(GRID)
    return path


@pytest.fixture(scope="module")
def lacking(study, tmp_path_factory):
    """The study, but participant 06 has no squares of the motion parameters."""
    copy = type(study)(tmp_path_factory.mktemp("lacking") / "bids")
    shutil.copytree(study.root, copy.root)
    confounds = next(copy.func("06").glob("*_timeseries.tsv"))
    table = pd.read_csv(confounds, sep="\t", na_values=["n/a"])
    kept = table.drop(columns=[name for name in table if name.endswith("_power2")])
    kept.to_csv(confounds, sep="\t", index=False, na_rep="n/a")
    return copy


@pytest.fixture(scope="module")
def made(lacking, grid, tmp_path_factory):
    out = tmp_path_factory.mktemp("made") / "out"
    call = bids_flex(*words(lacking, out, grid))
    assert call.code == 1, call.err
    assert "6 universes; for each run: 1 parcellations, 2 cleanings, 6 windowed connectivities, 6 searches" in call.err
    assert "universes x runs: 32 done, 4 failed" in call.err
    return out


def test_every_universe_is_a_data_set_that_says_what_it_has_chosen(made):
    table = universes(made)
    assert table["engine"].tolist() == ["prior"] * 3 + ["multilayer"] * 3
    assert table.loc[table["engine"] == "prior", "omega"].isna().all()
    for row in table.itertuples():
        sidecars = sorted((made / "universes" / row.universe).glob(f"sub-*/func/*_desc-{row.engine}_dynamics.json"))
        told = json.loads(sidecars[0].read_text())
        assert told["SettingsHash"].startswith(row.universe)
        assert told["Settings"]["denoise"]["strategy"] == row.denoise
        assert told["Settings"][row.engine]["window"] == row.window
        assert len(sidecars) == (6 if row.denoise == "none" else 5)
    assert sorted(path.name for path in (made / "universes").iterdir()) == sorted(table["universe"])
    tables, faults = check_outputs(made)
    assert faults == []
    assert tables > 32 * 10


def test_a_universe_that_fails_for_one_person_is_kept_and_says_why(made):
    rows = status(made)
    assert rows["state"].tolist() == ["done"] * 5 + ["failed"]
    assert rows["reason"].iloc[-1].startswith("4 of 6 universes: ")
    for row in universes(made).itertuples():
        own = status(made / "universes" / row.universe)
        assert own["state"].tolist() == ["done"] * 5 + ["done" if row.denoise == "none" else "failed"]
        assert row.denoise == "none" or "_power2" in own["reason"].iloc[-1]


@pytest.mark.parametrize("place", [1, 4])
def test_a_universe_equals_the_same_settings_alone(lacking, made, tmp_path, place):
    """Byte for byte, every table and sidecar of a participant."""
    row = universes(made).loc[place]
    options = ["--engine", row.engine, "--denoise", row.denoise, f"--{row.engine}-window", row.window, *WORDS]
    # as in the app: how many threads share a product of linear algebra changes its rounding
    with threadpool_limits(1, "blas"):
        analyse(lacking, tmp_path / "out", *options, *([] if pd.isna(row.omega) else ["--omega", row.omega]))
    alone = tree(tmp_path / "out")
    within = tree(made / "universes" / row.universe)
    assert {name for name in within if name.startswith("sub-01")} == alone.keys()
    assert len(alone) >= 20
    assert [name for name in alone if alone[name] != within[name]] == []


def test_what_is_done_is_not_done_again(lacking, made, grid, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(made, out)
    lost = out / "universes" / universes(out)["universe"][2]
    sidecar = next(lost.glob("sub-03/func/*_dynamics.json"))
    before = sidecar.read_bytes()
    sidecar.unlink()
    times = {path: path.stat().st_mtime_ns for path in out.rglob("sub-*/func/*.tsv")}
    call = bids_flex(*words(lacking, out, grid))
    assert call.code == 1, call.err
    assert sidecar.read_bytes() == before
    written = {path for path in out.rglob("sub-*/func/*.tsv") if path.stat().st_mtime_ns != times[path]}
    assert {(path.relative_to(out).parts[1], path.parent.parent.name) for path in written} == {(lost.name, "sub-03")}
    assert status(out)["state"].tolist() == ["skipped"] * 2 + ["done"] + ["skipped"] * 2 + ["failed"]
    assert status(lost)["state"].tolist() == ["skipped"] * 2 + ["done"] + ["skipped"] * 3


def test_windows_longer_than_every_run_are_refused(study, tmp_path):
    grid = tmp_path / "grid.toml"
    grid.write_text('engine = ["prior"]\nwindow = ["300s", "301s"]\n')
    config = config_of(study, tmp_path / "out", grid)
    with pytest.raises(UsageError, match=r"window 301s: windows of 301s are longer than every run .* has 300 s"):
        many.plan(config, many.read_universes(str(grid), config))


def test_one_folder_holds_one_multiverse_and_nothing_else(study, done, made, grid, tmp_path):
    config = config_of(study, done, grid)
    planned, _ = many.plan(config, many.read_universes(str(grid), config))
    with pytest.raises(UsageError, match=r"holds results of one analysis \(sub-\*\)"):
        many._refuse_mixture(config, planned)
    with pytest.raises(UsageError, match="holds a multiverse"):
        many.refuse_universes(made)
    many.refuse_universes(done)
    same = replace(config, output_dir=made)
    many._refuse_mixture(same, planned)
    with pytest.raises(UsageError, match=r"another grid.* \(1 of its 6 universes are not in this one, 0 are new\)"):
        many._refuse_mixture(same, planned[1:])
    many._refuse_mixture(replace(same, execution=replace(same.execution, redo=True)), planned[1:])


def test_a_disk_too_small_is_told_before_the_start(study, grid, tmp_path, monkeypatch):
    config = config_of(study, tmp_path, grid)
    planned, _ = many.plan(config, many.read_universes(str(grid), config))
    runs = list(many._by_run(planned, {one.name: {job.run.name for job in one.jobs} for one in planned}).values())
    many._refuse_small_disk(tmp_path, runs)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=51_000_000))
    with pytest.raises(OutputError, match=r"36 analyses of 6 runs need about \d+ MB in .*, and 51 MB are free"):
        many._refuse_small_disk(tmp_path, runs)


def test_the_room_that_results_take_is_known(made, lacking, grid):
    """What small disks are refused by is never less than what is written, and not twice as much."""
    config = config_of(lacking, made, grid)
    for one in many.plan(config, many.read_universes(str(grid), config))[0]:
        written = sum(path.stat().st_size for path in one.folder.glob("sub-01/func/*")) / 1e6
        assert written < many.output_mb(one.jobs[0]) < 2 * written


def test_a_dry_run_names_universes_and_runs(study, grid, tmp_path, capsys):
    assert many.dry_run_universes(config_of(study, tmp_path / "out", grid)) == 0
    told = capsys.readouterr().out
    assert "engine multilayer, denoise none, window 100s, omega 0.5" in told
    assert told.splitlines()[-1].startswith("dry run: 6 universes of 6 runs")
    assert not (tmp_path / "out").exists()


def test_jobs_of_all_universes_are_those_of_each_alone(study, grid, tmp_path):
    config = config_of(study, tmp_path, grid)
    for one in many.plan(config, many.read_universes(str(grid), config))[0]:
        again, _ = make_jobs(replace(config, science=one.universe.science, output_dir=one.folder))
        assert [job.settings_hash for job in one.jobs] == [job.settings_hash for job in again]
        assert [job.fingerprint for job in one.jobs] == [job.fingerprint for job in again]
        assert [job.output_dir for job in one.jobs] == [job.output_dir for job in again]
