"""The study that the app was built to repeat, on data whose truth is known: simulate, analyse, compare with the truth.

Every step resumes where it was interrupted. Pages are not made: ``bids_flex ... --reports-only`` makes them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from study_page import RATES, draw, page

from bids_flex import stats
from bids_flex.bids.names import as_label
from bids_flex.cohort import gather
from bids_flex.simulate import NETWORKS, SimulationSettings, simulate_dataset

PLANTED = {
    "seed": 2024,
    "cohort": "study",
    "base_rate": 0.5,
    "person_spread": 0.5,
    "user_effect": 0.25,
    "network_effect": 0.25,
    "motion_spread": 0.4,
    "patient_motion": 1.3,
}
"""Everybody's regions leave home .5 times a minute on average, users' .75 times, their sensorimotor regions' once."""

COVARIATES = ("age", "sex", "education", "site", "mean_fd")
CONTRASTS = ("user - nonuser", "user - control", "nonuser - control")
LEVEL = 0.05


@dataclass(frozen=True)
class Question:
    """One row of the findings: a contrast of a model, the outcome, the truth, and whether the truth has an effect."""

    what: str
    model: str
    contrast: str
    outcome: str
    true: str
    planted: bool


def questions() -> list[Question]:
    """List what is asked, in the order of the page."""
    found = []
    measures = (
        ("prior_flexibility", "true_rate", "global flexibility"),
        ("prior_promiscuity", "true_rate", "global promiscuity"),
        ("prior_flexibility_SomMot", "true_rate_SomMot", "sensorimotor flexibility"),
    )
    for column, true, name in measures:
        found += [
            Question(
                f"diagnoses differ in {name} (user in the model)", "group", "omnibus", column, true, planted=False
            ),
            Question(
                f"diagnoses differ in {name} (as marginal test)",
                "groupMarginal",
                "omnibus",
                column,
                true,
                planted=False,
            ),
            Question(f"users above non-users: {name}", "antidepressant", "user - nonuser", column, true, planted=True),
            Question(f"users above controls: {name}", "antidepressant", "user - control", column, true, planted=True),
            Question(
                f"non-users against controls: {name}",
                "antidepressant",
                "nonuser - control",
                column,
                true,
                planted=False,
            ),
            Question(
                f"users above non-users, adjusted for diagnosis: {name}",
                "antidepressantPatients",
                "user - nonuser",
                column,
                true,
                planted=True,
            ),
        ]
    return found


def simulate(folder: Path, participants: int) -> Path:
    """Simulate the study; a table of medication stands beside participants.tsv, since models want two levels."""
    study = simulate_dataset(folder / "bids", SimulationSettings(participants=participants, **PLANTED))
    people = pd.read_csv(study / "participants.tsv", sep="\t")
    table = pd.DataFrame({"participant_id": people["participant_id"]})
    table["medicated"] = np.where(people["antidepressant"] == "user", "yes", "no")
    (study / "phenotype").mkdir(exist_ok=True)
    table.to_csv(study / "phenotype" / "medication.tsv", sep="\t", index=False)
    levels = {"Description": "Uses antidepressants (simulated)", "Levels": {"yes": "user", "no": "nonuser or control"}}
    (study / "phenotype" / "medication.json").write_text(json.dumps({"medicated": levels}) + "\n")
    return study


def call(*words: object) -> None:
    """Call the app as users do."""
    subprocess.run([Path(sys.executable).with_name("bids_flex"), *map(str, words)], check=True)


def analyse(folder: Path, study: Path, asked: argparse.Namespace) -> Path:
    """Run the participant level, write the models, run the group level; the folder of the results."""
    out = folder / "out"
    atlas = next((study / "derivatives" / "atlas").glob("*_dseg.nii.gz"))
    options = ["--restarts", asked.restarts, "--n-surrogates", asked.surrogates, "--split-half", "--no-reports"]
    options += ["--nprocs", asked.nprocs] if asked.nprocs else []
    call(study, out, "participant", "--atlas", atlas, "--work-dir", folder / "work", "--clean-workdir", *options)
    models = write_models(folder, study, out, asked.permutations)
    call(study, out, "group", "--primary-engine", "prior", "--no-reports", "--model", *models)
    return out


def write_models(folder: Path, study: Path, out: Path, permutations: int) -> list[Path]:
    """Write the four models: diagnosis with and without user, medication in all, and within patients."""
    cohort = gather(out, study)
    settings = stats.Settings(permutations=permutations)
    table, words = cohort.people, cohort.categorical
    documents = [
        *stats.diagnosis_models(table, "group", "medicated", COVARIATES, categorical=words, settings=settings),
        stats.short_model(table, "antidepressant", COVARIATES, CONTRASTS, words, settings=settings),
        stats.medication_models(table, "antidepressant", "group", COVARIATES, categorical=words, settings=settings)[1],
    ]
    (folder / "models").mkdir(exist_ok=True)
    paths = []
    for document in documents:
        paths.append(folder / "models" / f"{document['Name']}.json")
        paths[-1].write_text(json.dumps(document, indent=2) + "\n")
    return paths


def true_rates(study: Path, people: pd.DataFrame) -> pd.DataFrame:
    """Add how many times a minute regions really left home, and those of the sensorimotor network."""
    truth, settings = study / "derivatives" / "truth", SimulationSettings(**PLANTED)
    networks = np.array(settings.region_networks)
    home = np.array([NETWORKS.index(name) + 1 for name in networks])
    rows = []
    for label in people["participant_id"]:
        switches = pd.read_csv(next(truth.glob(f"{label}/func/*_switches.tsv")), sep="\t")
        region = switches["region"].to_numpy() - 1
        left = region[switches["before"].to_numpy() == home[region]]
        rate = np.bincount(left, minlength=len(networks)) / (settings.duration_s / 60)
        rows.append((rate.mean(), rate[networks == "SomMot"].mean()))
    return people.assign(**dict(zip(RATES, np.array(rows).T, strict=True)))


def truth_tests(folder: Path, study: Path, out: Path) -> pd.DataFrame:
    """Test the true rates in the same models: what a measure without error would find."""
    people = true_rates(study, gather(out, study).people)
    tested = [stats.Outcome(name, name) for name in RATES]
    models = [
        model
        for path in sorted((folder / "models").glob("*.json"))
        for model in stats.read_models(json.loads(path.read_text()), path.name)
    ]
    return pd.concat([stats.fit_model(model, people, tested).tests for model in models], ignore_index=True)


def model_tests(out: Path, kind: str) -> pd.DataFrame:
    """Read a table of all models, each row with the letters and digits of its model's name."""
    found = []
    for path in sorted((out / "group").glob(f"model-*_stat-{kind}.tsv")):
        table = pd.read_csv(path, sep="\t", na_values=["n/a"], keep_default_na=False)
        found.append(table.assign(model=path.name.split("_")[0].removeprefix("model-")))
    return pd.concat(found, ignore_index=True)


def one_row(tests: pd.DataFrame, model: str, contrast: str, outcome: str) -> pd.Series:
    """Take the row of a test."""
    here = (tests["model"] == model) & (tests["outcome"] == outcome) & (tests["contrast"] == contrast)
    return tests[here].iloc[0]


def findings(tests: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """Hold every question's finding against the truth."""
    rows = []
    for asked in questions():
        found = one_row(tests, asked.model, asked.contrast, asked.outcome)
        true = one_row(truth, asked.model, asked.contrast, asked.true)
        significant = bool(found["p_adj"] < LEVEL)
        along = found["test"] == "F" or found["estimate"] > 0
        held = significant and along if asked.planted else not significant
        rows.append(
            {
                "question": asked.what,
                "planted": "yes" if asked.planted else "no",
                "truth": written(true),
                "found": written(found),
                "p_perm": round(float(found["p_perm"]), 4),
                "p_adj": round(float(found["p_adj"]), 4),
                "family": found["family"],
                "verdict": ("found" if asked.planted else "rightly none")
                if held
                else ("missed" if asked.planted else "false"),
            }
        )
    return pd.DataFrame(rows)


def written(row: pd.Series) -> str:
    """Write an effect size and its interval."""
    kind = "g" if row["effect_kind"] == "g" else "eta2"
    return f"{kind} {row['effect']:.2f} [{row['effect_low']:.2f}, {row['effect_high']:.2f}]"


def others(tests: pd.DataFrame) -> pd.DataFrame:
    """Give users against non-users by every network of both engines, and the sensitivity analyses."""
    here = tests[(tests["contrast"] == "user - nonuser") & (tests["model"] == "antidepressant")]
    here = here[here["measure"].isin(["flexibility", "promiscuity"]) & here["level"].isin(["global", "network"])]
    columns = [
        "engine",
        "measure",
        "level",
        "network",
        "effect",
        "effect_low",
        "effect_high",
        "p_perm",
        "p_adj",
        "family",
    ]
    return here[columns].round(4)


def sensitivities(out: Path) -> pd.DataFrame:
    """Give the question asked otherwise, and the quality of the data, for the contrasts of medication."""
    wanted = ["analysis", "outcome", "contrast", "effect", "effect_low", "effect_high", "p_perm"]
    asked = model_tests(out, "sensitivity").query("model == 'antidepressant' and test == 't'")
    quality = model_tests(out, "quality").query("model == 'antidepressant' and test == 't'").assign(analysis="quality")
    return pd.concat([asked, quality])[wanted].dropna(subset=["p_perm"]).round(4)


def readings(out: Path) -> list[str]:
    """Give what the group page says about switching and noise."""
    return list(json.loads((out / "group" / "model-antidepressant.json").read_text())["Readings"])


def write(pages: Path, folder: Path, study: Path, out: Path, words: dict[str, int]) -> pd.DataFrame:
    """Write the page, its tables and its figure."""
    pages.mkdir(parents=True, exist_ok=True)
    tests, truth = model_tests(out, "tests"), truth_tests(folder, study, out)
    # as files are named
    truth["model"] = truth["model"].map(as_label)
    table, networks, otherwise = findings(tests, truth), others(tests), sensitivities(out)
    for name, one in (("findings", table), ("medication", networks), ("sensitivity", otherwise)):
        one.to_csv(pages / f"{name}.tsv", sep="\t", index=False, na_rep="n/a")
    people = true_rates(study, gather(out, study).people)
    draw(people, pages / "measures.svg")
    (pages / "index.md").write_text(page(people, table, otherwise, readings(out), words) + "\n")
    return table


def main() -> None:
    """Simulate, analyse, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("build/study"), help="where data and results lie")
    parser.add_argument("--pages", type=Path, default=Path("docs/study"), help="where page, tables and figure go")
    parser.add_argument("--participants", type=int, default=207)
    parser.add_argument("--restarts", type=int, default=50)
    parser.add_argument("--surrogates", type=int, default=99, help="of each engine (default 99)")
    parser.add_argument("--nprocs", type=int, help="people at a time; no number depends on it")
    parser.add_argument("--permutations", type=int, default=10_000)
    given = parser.parse_args()
    study = simulate(given.folder, given.participants)
    out = analyse(given.folder, study, given)
    words = {name: getattr(given, name) for name in ("participants", "restarts", "surrogates", "permutations")}
    table = write(given.pages, given.folder, study, out, words)
    print(table.drop(columns=["family"]).to_string(index=False))


if __name__ == "__main__":
    main()
