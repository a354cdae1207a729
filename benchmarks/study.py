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
RATES = ("true_rate", "true_rate_SomMot")
LEVEL = 0.05
COMMAND = "make study"


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


def draw(out: Path, study: Path, path: Path) -> None:
    """Draw the truth and the measures by medication, and one against the other."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    people = true_rates(study, gather(out, study).people)
    order, rng = ("control", "nonuser", "user"), np.random.default_rng(0)
    shown = {
        "true_rate": "departures a minute (truth)",
        "prior_flexibility": "prior flexibility",
        "prior_flexibility_SomMot": "prior flexibility, SomMot",
        "prior_split_half_flexibility": "prior, split-half",
        "multilayer_flexibility_excess": "multilayer flexibility, excess",
    }
    with mpl.rc_context({"svg.hashsalt": "bids_flex", "svg.fonttype": "none"}):
        figure = Figure(figsize=(12, 6), layout="constrained")
        above, below = figure.subplots(2, len(shown))
        for axes, (name, title) in zip(above, shown.items(), strict=True):
            for place, level in enumerate(order):
                values = people.loc[people["antidepressant"] == level, name]
                axes.plot(place + rng.uniform(-0.25, 0.25, len(values)), values, ".", color="0.5", ms=3)
                axes.plot([place - 0.3, place + 0.3], [values.mean()] * 2, color="black")
            axes.set_xticks(range(3), order)
            axes.set_title(title, fontsize=9)
        for axes, (name, title) in zip(below, shown.items(), strict=True):
            against = "mean_fd" if name == "true_rate" else RATES[name.endswith("_SomMot")]
            axes.plot(people[against], people[name], ".", color="0.3", ms=3)
            axes.set(xlabel="mean displacement (mm)" if against == "mean_fd" else "its truth (a minute)", ylabel=title)
        figure.savefig(path, metadata={"Date": None, "Title": "Truth and measures by medication"})


def claims(table: pd.DataFrame) -> list[str]:
    """Say in words what became of the paper's claims here."""
    verdict = dict(zip(table["question"], table["verdict"], strict=True))
    paper = (
        (
            "No difference between diagnoses, in global flexibility and promiscuity",
            [
                "diagnoses differ in global flexibility (user in the model)",
                "diagnoses differ in global promiscuity (user in the model)",
            ],
        ),
        (
            "Users above non-users, globally",
            ["users above non-users: global flexibility", "users above non-users: global promiscuity"],
        ),
        (
            "Users above controls, globally",
            ["users above controls: global flexibility", "users above controls: global promiscuity"],
        ),
        (
            "Users above non-users and controls in the sensorimotor network",
            ["users above non-users: sensorimotor flexibility", "users above controls: sensorimotor flexibility"],
        ),
    )
    told = []
    for claim, names in paper:
        found = [verdict[name] for name in names]
        good = all(one in {"found", "rightly none"} for one in found)
        word = "repeated, and true here" if good else "not repeated in full, though true here"
        told.append(f"- {claim}: **{word}** ({', '.join(found)}).")
    return told


def markdown(table: pd.DataFrame) -> str:
    """Write a table as markdown."""
    lines = [f"| {' | '.join(table.columns)} |", "|---" * len(table.columns) + "|"]
    lines += [f"| {' | '.join(str(value) for value in row)} |" for row in table.itertuples(index=False)]
    return "\n".join(lines)


def readings(out: Path) -> list[str]:
    """Quote what the group page says about switching and noise."""
    told = json.loads((out / "group" / "model-antidepressant.json").read_text())
    return [f"- {text}" for text in told["Readings"]]


def write_page(pages: Path, folder: Path, study: Path, out: Path, words: dict[str, int]) -> pd.DataFrame:
    """Write the page, its tables and its figure."""
    pages.mkdir(parents=True, exist_ok=True)
    tests, truth = model_tests(out, "tests"), truth_tests(folder, study, out)
    # as files are named
    truth["model"] = truth["model"].map(as_label)
    table, networks, otherwise = findings(tests, truth), others(tests), sensitivities(out)
    for name, one in (("findings", table), ("medication", networks), ("sensitivity", otherwise)):
        one.to_csv(pages / f"{name}.tsv", sep="\t", index=False, na_rep="n/a")
    draw(out, study, pages / "measures.svg")
    people = true_rates(study, gather(out, study).people)
    planted = people.groupby("antidepressant")[[*RATES, "mean_fd"]].mean().round(3).reset_index()
    cells = people.groupby(["group", "antidepressant"]).size().rename("people").reset_index()
    text = "\n\n".join(
        [
            "# The study, repeated on data whose truth is known",
            INTRODUCTION.format(**words),
            "## Who was simulated",
            markdown(cells),
            "Departures from home a minute, and motion, as they were planted and drawn:",
            markdown(planted),
            "## What the paper claims, and what was found here",
            "\n".join(claims(table)),
            "## Findings and truth",
            FINDINGS,
            markdown(table.drop(columns="family")),
            "![Truth and measures by medication](measures.svg)",
            f"*Above: by medication, with means. Below: against the truth, and against motion. Made by `{COMMAND}`.*",
            "## Switching or noise?",
            "What the group page says of the contrasts of medication:",
            "\n".join(readings(out)),
            "## The same question asked otherwise, and the quality of the data",
            markdown(otherwise[otherwise["outcome"].str.contains("flexib|mean_fd|share_kept|autocorr")]),
            TABLES,
        ]
    )
    (pages / "index.md").write_text(text + "\n")
    return table


INTRODUCTION = """\
Broeders et al. (2024, doi 10.1016/j.psychres.2024.115774) found that users of antidepressants have higher flexibility
and promiscuity than non-users and controls, globally and in the sensorimotor network, and that diagnoses do not differ.
Their data, atlas, window and covariates are not public. Here {participants} people are simulated, with the cells of the
table below (margins as in the paper; the cells within them are ours), 100 regions, 240 volumes at 2 s, voxels of 8 mm.

**Diagnosis has no effect. Medication has one**: a region of a non-user or control leaves its network .5 times a minute,
one of a user .75 times, a sensorimotor one of a user once. People differ by a factor whose logarithm has a standard
deviation of .5. Patients move 1.3 times as much as controls.

Both engines ran with {restarts} restarts and {surrogates} surrogates, `prior` on halves of the regions as well
(`--split-half`); `prior` is the primary one. Models have {permutations} permutations and age, sex, education, site and
mean displacement as covariates. Nothing here is about real patients: the page shows whether this app, given such data,
finds what is there and nothing else."""

FINDINGS = """\
`truth` is the effect size of the true rates in the same model: what a measure without error would find. `found` is that
of the measure, `p_adj` corrected over its family by Holm. The marginal test of diagnosis is the paper's; since no
control takes medication, an effect of medication leaks into it. A 95 % interval is in brackets. People differ in their
rates by chance too: a `false` beside a truth of the same size is a fluke of who was drawn, no error of the measure."""

TABLES = f"""\
Tables: [findings](findings.tsv), [every network of both engines](medication.tsv), [sensitivity](sensitivity.tsv). All
made by `{COMMAND}`."""


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
    table = write_page(given.pages, given.folder, study, out, words)
    print(table.drop(columns=["family"]).to_string(index=False))


if __name__ == "__main__":
    main()
