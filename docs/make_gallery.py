"""Take the pictures and numbers of the manual from the demo's output: ``make gallery``, after ``make demo``."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pandas as pd
from playwright.sync_api import sync_playwright

SHOTS = (
    ("participant", "sub-01.html", "#summary", 1280, 900),
    ("participant-brain", "sub-01.html", "#brain-view", 1280, 640),
    ("participant-communities", "sub-01.html", "h4:has-text('Communities over time')", 1280, 900),
    ("group", "group.html", "#summary", 1280, 900),
    ("group-rainclouds", "group.html", "h4:has-text('Measures by group')", 1280, 900),
    ("group-evidence", "group.html", "h4:has-text('Difference, no difference')", 1280, 640),
    ("group-regions", "group.html", "h4:has-text('Regions:')", 1280, 640),
    ("participant-narrow", "sub-01.html", "#summary", 400, 900),
    ("group-narrow", "group.html", "h3:has-text('What the primary')", 400, 900),
)
"""Name, page, what is at the top, width and height."""


def main(out: Path, into: Path) -> None:
    """Write one JPEG for each shot."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    arguments = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium, args=arguments)
        for name, page_name, top, width, height in SHOTS:
            page = browser.new_page(viewport={"width": width, "height": height})
            page.goto((out / page_name).resolve().as_uri())
            page.locator(top).first.evaluate("(one) => { one.scrollIntoView({ behavior: 'instant' }); }")
            page.wait_for_timeout(3000)
            page.screenshot(path=into / f"{name}.jpg", type="jpeg", quality=70)
            page.close()
        browser.close()


def write_numbers(out: Path, into: Path) -> None:
    """Write the group's means and primary tests as tables that the tutorial includes."""
    people = pd.read_csv(out / "group" / "participants_dynamics.tsv", sep="\t", dtype={"participant_id": str})
    columns = ["prior_flexibility", "multilayer_flexibility", "prior_promiscuity", "mean_fd"]
    means = people.groupby("antidepressant")[columns].mean().reset_index()
    tests = pd.read_csv(out / "group" / "model-antidepressant_stat-tests.tsv", sep="\t")
    primary = tests[tests["family"] == "primary"]
    shown = [
        "outcome",
        "contrast",
        "estimate",
        "ci_low",
        "ci_high",
        "p_perm",
        "p_adj",
        "effect",
        "effect_low",
        "effect_high",
    ]
    parts = ["Means of the groups:", _table(means), "The primary tests:", _table(primary[shown])]
    (into / "numbers.md").write_text("\n\n".join(parts) + "\n", encoding="utf8")


def _table(frame: pd.DataFrame) -> str:
    """Write a table as Markdown, numbers with three decimals."""
    rows = [[f"{value:.3f}" if isinstance(value, float) else str(value) for value in row] for row in frame.to_numpy()]
    return "\n".join(f"| {' | '.join(row)} |" for row in [list(frame.columns), ["---"] * frame.shape[1], *rows])


if __name__ == "__main__":
    write_numbers(Path(sys.argv[1]), Path(sys.argv[2]))
    main(Path(sys.argv[1]), Path(sys.argv[2]))
