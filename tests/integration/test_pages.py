"""Pages as people see them: made by the command, opened in a browser."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
from pathlib import Path

import html5lib
import pandas as pd
import pytest

from .conftest import bids_flex, command

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
HOSTILE = "<script>document.title='gone'</script>\"'&\u202e$x_"
WORDS = ["--n-permutations", "99", "--groups", "antidepressant", "--contrasts", "user - nonuser"]


def remake(out: Path, level: str, *options: object) -> None:
    call = bids_flex(out.parent, out, level, "--reports-only", "--nprocs", "1", *options)
    assert call.code == 0, call.err


@pytest.fixture(scope="module")
def pages(study, done, tmp_path_factory):
    """Outputs with the page of one participant and of the group."""
    out = tmp_path_factory.mktemp("pages") / "out"
    shutil.copytree(done, out)
    call = bids_flex(study.root, out, "group", *WORDS)
    assert call.code == 0, call.err
    remake(out, "participant", "--participant-label", "01")
    return out


@pytest.fixture
def copy(pages, tmp_path):
    shutil.copytree(pages, tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()


class Seen:
    """A page in the browser, what it asked for and what it complained of."""

    def __init__(self, browser, path, width=1280):
        self.page = browser.new_page(viewport={"width": width, "height": 900})
        self.requests, self.errors = [], []
        self.page.on("request", lambda one: self.requests.append(one.url))
        self.page.on("console", lambda one: self.errors.append(one.text) if one.type == "error" else None)
        self.page.on("pageerror", lambda one: self.errors.append(str(one)))
        self.page.goto(path.as_uri(), timeout=120_000)  # a slow machine is no fault of the page


def processes_with(variable):
    """Name the processes that have a variable in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if variable.encode() in path.read_bytes().split(b"\0"):
                found.append(path.parent.name)
        except OSError:  # it has ended, or is another user's
            continue
    return found


def text_of(path):
    return path.read_text(encoding="utf8")


@pytest.mark.parametrize("name", ["sub-01.html", "group.html"])
def test_html_is_valid_and_names_nothing_elsewhere(pages, name):
    text = text_of(pages / name)
    tree = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(text)
    for element in tree.iter():
        for attribute in ("src", "srcset", "poster", "data", "action", "background"):
            address = element.get(attribute, "data:")
            assert address.startswith("data:"), (element.tag, address[:80])
        link = element.get("href", "#")
        assert not re.match(r"(?:https?:)?//", link) or link.startswith("https://doi.org/")
    styles = "".join(element.text or "" for element in tree.iter("style"))
    assert "url(" not in styles
    assert "@import" not in styles
    own = [element.text for element in tree.iter("script") if element.text and "Plotly.react" in element.text]
    assert len(own) == 1
    assert not re.search(r"fetch\(|XMLHttpRequest|import\(|importScripts|https?:", own[0])
    assert "default-src 'none'" in text, "what the libraries inside might ask for, the browser refuses"


@pytest.mark.parametrize("name", ["sub-01.html", "group.html"])
@pytest.mark.parametrize("width", [1280, 400])
def test_a_page_works_in_a_browser(pages, browser, name, width):
    seen = Seen(browser, pages / name, width)
    page = seen.page
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "it scrolls sideways"
    page.evaluate("document.querySelectorAll('img').forEach((one) => { one.loading = 'eager'; })")
    page.wait_for_function("[...document.images].every((one) => one.complete && one.naturalWidth > 100)")
    assert page.locator("img").count() >= 8
    page.locator("#brain").scroll_into_view_if_needed()
    page.wait_for_selector("#brain[data-drawn]", timeout=30000)
    assert page.locator("#brain canvas").count() > 0
    assert seen.errors == []
    assert seen.requests[0] == (pages / name).as_uri()
    assert all(one.startswith(("data:", "blob:")) for one in seen.requests[1:])
    page.close()


def test_another_map_is_drawn_when_it_is_chosen(pages, browser):
    page = Seen(browser, pages / "sub-01.html").page
    page.locator("#brain").scroll_into_view_if_needed()
    page.wait_for_selector("#brain[data-drawn$='prior: flexibility']", timeout=30000)
    page.select_option("#brain-map", "multilayer: promiscuity")
    page.wait_for_selector("#brain[data-drawn$='multilayer: promiscuity']")
    table = pd.read_csv(next((pages / "sub-01").rglob("*desc-multilayer_dynamics.tsv")), sep="\t", na_values=["n/a"])
    shown = page.evaluate("document.getElementById('brain').data[1].marker.color")
    assert shown == pytest.approx(table["promiscuity"].dropna().tolist(), abs=1e-4)
    page.close()


def test_tables_sort_filter_and_download(pages, browser):
    page = Seen(browser, pages / "group.html").page
    part = page.locator(".sortable").first
    heads = part.locator("th").all_text_contents()
    place = heads.index("effect")
    read = "(rows, place) => rows.filter((r) => !r.hidden).map((r) => r.cells[place].dataset.value)"
    part.locator("th button").nth(place).click()
    values = [value for value in part.locator("tbody tr").evaluate_all(read, place) if value]
    assert len(values) > 10
    assert [float(value) for value in values] == sorted(float(value) for value in values)
    part.locator("th button").nth(place).press("Enter")
    assert part.locator("th").nth(place).get_attribute("aria-sort") == "descending"
    part.locator("input").fill("SomMot")
    outcomes = part.locator("tbody tr").evaluate_all(read, heads.index("outcome"))
    assert outcomes
    assert all("SomMot" in one for one in outcomes)
    assert part.locator(".count").text_content().startswith(f"{len(outcomes)} of ")
    with page.expect_download() as waiting:
        part.locator(".download").click()
    saved = pd.read_csv(waiting.value.path(), sep="\t")
    assert saved["outcome"].tolist() == outcomes
    page.close()


@pytest.mark.parametrize("name", ["sub-01.html", "group.html"])
def test_everything_has_a_name_for_those_who_cannot_see_it(pages, browser, name):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    page = Seen(browser, pages / name).page
    found = axe.run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("[...document.images].every((one) => one.alt.length > 30)")
    page.close()


def test_figures_stand_alone_too(pages):
    figures = list((pages / "sub-01" / "figures").glob("*_figure.svg"))
    assert len(figures) == 11
    linked = set(re.findall(r'href="(sub-01/figures/[^"]+)"', text_of(pages / "sub-01.html")))
    assert linked == {path.relative_to(pages).as_posix() for path in figures}
    assert (pages / "sub-01.html").stat().st_size < 5e6


def test_the_same_outputs_give_the_same_pages_and_home_stays_empty(copy, tmp_path):
    before = {path.name: path.read_bytes() for path in [*copy.glob("*.html"), *copy.rglob("*.svg")]}
    shutil.rmtree(copy / "sub-01" / "figures")
    (tmp_path / "home").mkdir()
    words = ["participant", "--reports-only", "--participant-label", "01"]
    assert bids_flex(copy.parent, copy, *words, HOME=str(tmp_path / "home")).code == 0
    assert bids_flex(copy.parent, copy, "group", "--reports-only", HOME=str(tmp_path / "home")).code == 0
    assert not list((tmp_path / "home").rglob("*"))
    after = {path.name: path.read_bytes() for path in [*copy.glob("*.html"), *copy.rglob("*.svg")]}
    assert before == after


def test_strings_of_an_enemy_are_text(study, copy, browser, tmp_path):
    """Names of groups and contrasts, warnings, reasons, command lines and atlases, with 10,000 characters."""
    long = HOSTILE + "x" * 10_000
    root = tmp_path / "bids"
    root.mkdir()
    table = pd.read_csv(study.root / "participants.tsv", sep="\t", dtype=str)
    table["antidepressant"] = table["antidepressant"].replace({"user": long})
    table = pd.concat([table, table.iloc[[0]].assign(participant_id=f"sub-{HOSTILE}")])
    table.to_csv(root / "participants.tsv", sep="\t", index=False)
    path = next((copy / "sub-01").rglob("*_desc-prior_dynamics.json"))
    told = json.loads(path.read_text())
    told["Warnings"].append(long)
    told["Regions"]["Missing"] = {HOSTILE: HOSTILE}
    told["Atlas"]["Name"] = told["Sources"][0] = HOSTILE
    path.write_text(json.dumps(told))
    call = next(copy.glob("logs/*/status.tsv")).with_name("call.json")
    call.write_text(json.dumps({"Command": HOSTILE, "Versions": {HOSTILE: HOSTILE}}))
    remake(copy, "participant", "--participant-label", "01")
    found = bids_flex(root, copy, "group", *WORDS[:4])
    assert found.code == 0, found.err
    for name, scripts in (("sub-01.html", 3), ("group.html", 3)):
        seen = Seen(browser, copy / name)
        assert seen.page.title() != "gone"
        assert seen.page.evaluate("document.scripts.length") == scripts
        shown = seen.page.evaluate("document.body.textContent")
        assert HOSTILE in shown
        assert long in shown
        assert seen.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert seen.errors == []
        seen.page.close()
        html5lib.HTMLParser(strict=True).parse(text_of(copy / name))


def test_a_figure_that_fails_costs_neither_the_page_nor_the_others(copy):
    func = copy / "sub-01" / "func"
    next(func.glob("*_desc-multilayer_restarts.tsv")).write_text("quality\n")  # columns are gone: nobody foresaw that
    next(func.glob("*_stat-pearsoncorrelation_relmat.tsv")).unlink()
    shutil.rmtree(copy / "sub-01" / "figures")
    call = bids_flex(copy.parent, copy, "participant", "--reports-only", "--participant-label", "01")
    assert call.code == 0
    text = text_of(copy / "sub-01.html")
    assert text.count("This figure could not be drawn") == 2
    assert "run the participant level again" in text
    assert "KeyError" in text
    assert len(list((copy / "sub-01" / "figures").glob("*_figure.svg"))) == 9
    assert [path.name for path in copy.glob("logs/*/crash/*")] != []
    # once the table is back, the figure is drawn again
    assert "search" not in {path.name.split("_desc-")[-1].split("_")[0] for path in copy.glob("sub-01/figures/*.svg")}


def test_a_run_that_is_not_whole_is_said_on_the_page(copy):
    path = next((copy / "sub-01").rglob("*_desc-prior_dynamics.json"))
    path.write_text("{}")
    remake(copy, "participant", "--participant-label", "01")
    assert "the sidecars of this run are not whole" in text_of(copy / "sub-01.html")


def test_runs_without_results_have_their_reason_on_the_page(study, tmp_path):
    out = tmp_path / "out"
    words = ["--atlas", study.atlas, "--participant-label", "02", "--min-time", "9999"]
    call = bids_flex(study.root, out, "participant", *words)
    assert call.code == 1
    text = text_of(out / "sub-02.html")
    assert "No run has results" in text
    assert "Runs without results" in text
    assert re.search(r"<td>failed</td><td>[^<]*minutes", text)


@pytest.mark.slow
def test_figures_are_drawn_once_and_again_when_their_results_are(study, tmp_path):
    out = tmp_path / "out"
    words = ["--atlas", study.atlas, "--participant-label", "04", "--engine", "prior", "--n-surrogates", "0"]
    words += ["--denoise", "24P+2P"]

    def times():
        return {path.name: path.stat().st_mtime_ns for path in out.glob("sub-04/figures/*.svg")}

    assert bids_flex(study.root, out, "participant", *words).code == 0
    first = times()
    # one engine: no agreement of engines and one brain
    assert sorted(name.split("_desc-")[1].split("_")[0] for name in first) == [
        "allegiance", "brainprior", "carpet", "communities", "connectivity", "coverage", "measures", "motion",
        "search",
    ]  # fmt: skip
    (out / "sub-04.html").unlink()
    assert bids_flex(study.root, out, "participant", *words).code == 0
    assert (out / "sub-04.html").exists(), "a page that is missing is made, though the run was done"
    assert times() == first
    assert bids_flex(study.root, out, "participant", *words, "--force").code == 0
    assert all(first[name] < when for name, when in times().items())
    series = text_of(next(out.rglob("*_stat-mean_desc-uncleaned_timeseries.tsv")))
    assert series.count("\n") == text_of(next(out.rglob("*_stat-mean_timeseries.tsv"))).count("\n")


def test_tracebacks_of_failed_runs_are_linked(copy):
    log = copy / "logs" / "zz"
    (log / "crash").mkdir(parents=True)
    run = "sub-02_task-rest_space-MNI152NLin2009cAsym"
    (log / "status.tsv").write_text(f"run\tstate\treason\n{run}\tfailed\tKeyError\n")
    (log / "crash" / "crash-1.txt").write_text(f"Working directory: /w/{run}/run/clean")
    (log / "crash" / "crash-2.txt").write_text("Working directory: /w/sub-03_task-rest/run/clean")
    remake(copy, "participant", "--participant-label", "02")
    text = text_of(copy / "sub-02.html")
    assert 'href="logs/zz/crash/crash-1.txt"' in text
    assert "crash-2.txt" not in text
    assert "<td>failed</td><td>KeyError</td>" in text


def test_many_sessions_have_a_page_each(copy, monkeypatch):
    from bids_flex.reports import draw, make_participant_pages

    figures_of = draw.figures_of
    # one figure of each run is enough here
    monkeypatch.setattr(draw, "figures_of", lambda run: figures_of(run)[:1])
    func = copy / "sub-02" / "func"
    for number in range(1, 6):
        session = copy / "sub-02" / f"ses-{number}" / "func"
        session.mkdir(parents=True)
        for path in func.iterdir():
            shutil.copy(path, session / path.name.replace("sub-02_", f"sub-02_ses-{number}_"))
    shutil.rmtree(func)
    (copy / "sub-02.html").write_text("of one session")
    make_participant_pages(copy, "02", copy / "crash")
    assert len(list((copy / "sub-02" / "figures").glob("sub-02_ses-4_*.svg"))) == 1
    assert sorted(path.name for path in copy.glob("sub-02*.html")) == [f"sub-02_ses-{n}.html" for n in range(1, 6)]
    assert 'id="sub-02-ses-3' in text_of(copy / "sub-02_ses-3.html")


def test_pages_of_nobody_are_refused(tmp_path, study):
    for level, told in (("participant", "has no results of 09"), ("group", "has no results of the group level")):
        call = bids_flex(study.root, tmp_path / "out", level, "--reports-only", "--participant-label", "09")
        assert call.code == 18
        assert told in call.err


def test_a_terminal_shows_runs_and_stages_and_ends_with_the_exit_code(study, tmp_path):
    from subprocess import Popen

    ours, theirs = pty.openpty()
    words = command(study.root, tmp_path / "out", "participant", "--atlas", study.atlas, "--participant-label", "03")
    more = ["--denoise", "24P+2P", "--n-surrogates", "200", "--restarts", "4", "--no-reports"]
    environment = {**os.environ, "COLUMNS": "140", "LINES": "40", "TERM": "xterm"}
    with Popen([*words, *more], stdout=theirs, stderr=theirs, env=environment) as running:
        os.close(theirs)
        said = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # the terminal ends with the last process that holds it
                break
            if not part:
                break
            said += part
        code = running.wait()
    os.close(ours)
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", said.decode(errors="replace"))
    assert "0 of 1 run" in plain
    stages = "starting|parcellate|clean|connectivity|communities|flexibility|surrogates|write"
    assert re.search(rf"sub-03_task-rest[^│]*│ ({stages})", plain)
    last = " ".join(plain.strip().splitlines()[-3:])
    assert f"exit code {code}" in last


def test_figures_are_not_written_behind_a_link(copy, tmp_path):
    figures = copy / "sub-01" / "figures"
    shutil.rmtree(figures)
    (tmp_path / "elsewhere").mkdir()
    figures.symlink_to(tmp_path / "elsewhere")
    call = bids_flex(copy.parent, copy, "participant", "--reports-only", "--participant-label", "01")
    assert call.code == 1
    assert "is a link that leads out of" in call.err
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize(
    ("sent", "code"), [("SIGINT", 130), ("SIGKILL", -9), pytest.param("SIGTERM", 143, marks=pytest.mark.slow)]
)
def test_a_call_that_is_stopped_while_pages_are_made_ends_at_once(copy, sent, code):
    import signal
    import time
    from subprocess import PIPE, Popen

    for page in copy.glob("*.html"):
        page.unlink()
    words = command(copy.parent, copy, "participant", "--reports-only", "--nprocs", "1")
    mark = f"ONLY_OF={copy}"
    with Popen(words, stderr=PIPE, text=True, env={**os.environ, "ONLY_OF": str(copy)}) as running:
        while not list(copy.glob("*.html")) and running.poll() is None:
            time.sleep(0.2)
        running.send_signal(signal.Signals[sent])
        asked = time.monotonic()
        _, said = running.communicate(timeout=60)
        assert time.monotonic() - asked < 5
    assert running.returncode == code
    assert sent == "SIGKILL" or f"exit code {code}" in said
    while left := processes_with(mark):
        assert time.monotonic() - asked < 5, f"{left} are still there"
        time.sleep(0.1)
    assert len(list(copy.glob("*.html"))) < 6
    assert sent == "SIGKILL" or not list(copy.rglob(".bids_flex-*")), "nothing half-written is left"


def test_a_page_of_the_group_that_fails_costs_no_results(study, copy, monkeypatch):
    from bids_flex.workflows.pages import make_group

    monkeypatch.setattr("bids_flex.reports.group.render", lambda *_, **__: 1 / 0)
    assert make_group(copy, copy / "crash") == 1
    assert "ZeroDivisionError" in (copy / "crash" / "crash-page-group.txt").read_text()


@pytest.mark.slow
def test_fifty_runs_of_four_hundred_regions_stay_usable(tmp_path, browser):
    from bids_flex.reports import make_participant_pages

    from .conftest import make_study, participant

    study = make_study(tmp_path / "bids", participants=1, regions=400, voxel_mm=6.0)
    out = tmp_path / "out"
    assert participant(study, out).code == 0
    func = out / "sub-01" / "func"
    for path in list(func.iterdir()):
        for number in range(1, 51):
            shutil.copy(path, func / path.name.replace("task-rest_", f"task-rest_run-{number:02d}_"))
        path.unlink()
    (page,) = make_participant_pages(out, "01", tmp_path / "crash")
    assert page.stat().st_size < 51 * 5e6
    seen = Seen(browser, page)
    seen.page.locator("nav a", has_text="run-50").click()
    assert seen.page.evaluate("document.querySelectorAll('section').length") == 53
    seen.page.locator("#brain").scroll_into_view_if_needed()
    seen.page.wait_for_selector("#brain[data-drawn]", timeout=60000)
    assert seen.errors == []
