"""A study analysed in many ways, called as users call it; one scan lacks what one strategy needs."""

import json
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from dataclasses import replace

import html5lib
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from bids_flex.bids.check import check_outputs
from bids_flex.cli import parse_config
from bids_flex.errors import OutputError, UsageError
from bids_flex.workflows import limits
from bids_flex.workflows import multiverse as many
from bids_flex.workflows.jobs import make_jobs

from .conftest import analyse, bids_flex, command, status, tree
from .test_pages import Seen, browser  # noqa: F401 - a fixture

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


@pytest.mark.slow
def test_a_multiverse_that_is_stopped_goes_on_where_it_was(lacking, made, grid, tmp_path):
    """Stopped once something is written; what has been written stays, and the end is the same."""
    out = tmp_path / "out"
    said = [*words(lacking, out, grid), "--participant-label", "01", "02"]
    process = subprocess.Popen(command(*said), stderr=subprocess.DEVNULL)
    while process.poll() is None and not [*out.glob("universes/*/sub-*/func/*_dynamics.json")]:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 143
    early = {path: path.stat().st_mtime_ns for path in out.glob("universes/*/sub-*/func/*_dynamics.json")}
    assert 0 < len(early) < 12
    assert "interrupted" in set(status(out)["state"])
    states = pd.concat([status(folder)["state"] for folder in out.glob("universes/*")])
    assert states.value_counts()["done"] == len(early)
    call = bids_flex(*said)
    assert call.code == 0, call.err
    assert {path: path.stat().st_mtime_ns for path in early} == early
    whole, within = tree(made), tree(out)
    assert {name for name in within if "/sub-" in name} == {
        name for name in whole if "/sub-01/" in name or "/sub-02/" in name
    }
    assert [name for name in within if within[name] != whole[name]] == []


@pytest.fixture(scope="module")
def compared(lacking, made, tmp_path_factory):
    """The multiverse after the group level."""
    out = tmp_path_factory.mktemp("compared") / "out"
    shutil.copytree(made, out)
    options = ["--groups", "sex", "--n-permutations", "500"]
    call = bids_flex(lacking.root, out, "group", *options)
    assert call.code == 0, call.err
    assert re.search(r"flexibility +F - M +6 ", call.out), call.out
    return out


def test_the_group_level_finds_the_universes_and_shows_gaps(lacking, compared):
    folder = compared / "group"
    curve = pd.read_csv(folder / "multiverse-sex_stat-curve.tsv", sep="\t", na_values=["n/a"], dtype={"universe": str})
    chosen = curve[curve["measure"] == "flexibility"].set_index("universe")
    assert set(chosen.index) == set(universes(compared)["universe"])
    assert chosen["lacking"].to_dict() == {
        row.universe: int(row.denoise != "none") for row in universes(compared).itertuples()
    }
    people = pd.read_csv(lacking.root / "participants.tsv", sep="\t").set_index("participant_id")["sex"]
    for row in universes(compared).itertuples():
        values = {}
        for path in (compared / "universes" / row.universe).glob("sub-*/func/*_dynamics.json"):
            values[path.name[:6]] = json.loads(path.read_text())["Global"]["flexibility"]
        by_group = pd.Series(values).groupby(people).mean()
        assert chosen.loc[row.universe, "estimate"] == pytest.approx(by_group["F"] - by_group["M"], abs=1e-10)
    gaps = pd.read_csv(folder / "multiverse-sex_stat-gaps.tsv", sep="\t", dtype=str)
    assert set(gaps["participant_id"]) == {"sub-06"}
    assert len(gaps) == 4
    assert gaps["reason"].str.contains("_power2").all()
    assert check_outputs(compared)[1] == []
    told = json.loads((folder / "multiverse-sex.json").read_text())
    assert any("4 universes lack 1 of 6 people" in text for text in told["Warnings"])


def test_the_page_is_valid_and_names_nothing_elsewhere(compared):
    text = (compared / "group.html").read_text(encoding="utf8")
    page = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(text)
    for element in page.iter():
        for attribute in ("src", "srcset", "poster", "data", "action", "background"):
            assert element.get(attribute, "data:").startswith("data:")
        link = element.get("href", "#")
        assert not re.match(r"(?:https?:)?//", link) or link.startswith("https://doi.org/")
    assert "script-src 'unsafe-inline'\"" in text, "nothing on this page needs more"
    assert not re.search(r"fetch\(|XMLHttpRequest|import\(|importScripts|innerHTML", text)
    assert "06" in text


@pytest.mark.parametrize("width", [1280, pytest.param(400, marks=pytest.mark.slow)])
def test_the_page_works_in_a_browser(compared, browser, width):  # noqa: F811 - the fixture
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    seen = Seen(browser, compared / "group.html", width)
    page = seen.page
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "it scrolls sideways"
    page.evaluate("document.querySelectorAll('img').forEach((one) => { one.loading = 'eager'; })")
    page.wait_for_function("[...document.images].every((one) => one.complete && one.naturalWidth > 100)")
    assert page.locator("img").count() == 4
    page.wait_for_selector("#curve[data-drawn='sex: flexibility, F - M']")
    assert page.locator("#curve circle").count() == 6
    assert page.locator("#curve-shown").text_content().startswith("6 of 6 universes chosen")
    page.select_option("select[data-choice=engine]", "prior")
    assert page.locator("#curve-shown").text_content().startswith("3 of 6 universes chosen")
    page.locator("#curve").focus()
    page.keyboard.press("ArrowRight")
    first = page.locator("#curve-point").text_content()
    page.keyboard.press("ArrowRight")
    assert "(1 of 6)" in first
    assert "(2 of 6)" in page.locator("#curve-point").text_content()
    found = axe.run(page)
    assert found.violations_count == 0, found.generate_report()
    assert seen.errors == []
    assert all(one.startswith(("data:", "blob:")) for one in seen.requests[1:])
    page.close()


def test_a_runs_graph_has_each_different_step_once(study, grid, tmp_path):
    from bids_flex.workflows.graph import build_graph

    config = config_of(study, tmp_path, grid)
    found = many.read_universes(str(grid), config)
    jobs = [one.jobs[0] for one in many.plan(config, found)[0]]
    graph = build_graph(jobs, tmp_path)
    kinds = Counter(type(node.interface).__name__ for node in graph.workflow._graph)
    assert kinds == {"Parcellate": 1, "Clean": 2, "Connect": 6, "Search": 6, "Measure": 6, "Hold": 6, "Write": 6}
    assert list(many.shared_steps(found).values()) == [1, 2, 6, 6, 6]
    assert len(set(graph.writers)) == 6


def test_what_memory_cannot_hold_is_left_out_and_the_rest_is_planned(study, grid, tmp_path):
    config = config_of(study, tmp_path, grid)
    planned, _ = many.plan(config, many.read_universes(str(grid), config))
    todo = {one.name: {job.run.name for job in one.jobs} for one in planned}
    assert many._leave_out_unfit(planned, todo, None, tmp_path) == {}
    # 28 regions: windows of multilayer wait in memory, those of prior do not; the limit lies between the two
    most = {one.name: max(limits.need_mb(job, 1) for job in one.jobs) for one in planned}
    limit = (limits.SHARED_MB + (min(most.values()) + max(most.values())) / 2) / 1000
    refused = many._leave_out_unfit(planned, todo, limit, tmp_path)
    large = [one for one in planned if most[one.name] > min(most.values()) + 0.01]
    assert large
    assert {name for name, _ in refused} == {one.jobs[0].settings_hash for one in large}
    assert [one.name for one in planned if not todo[one.name]] == [one.name for one in large]
    assert all("MB may be used" in why for why in refused.values())
