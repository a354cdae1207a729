"""The study's two questions, and whether tests keep their promises: the figures of docs/validation/statistics.md."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bids_flex import stats

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "calibration.py"


@pytest.fixture(scope="module")
def calibration():
    spec = importlib.util.spec_from_file_location("benchmark_calibration", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def study(seed=0, effect=0.9):
    """207 people: 49 depressed, 46 anxious, 55 both, 57 controls; 49 users, in whom SomMot and all reconfigure more."""
    rng = np.random.default_rng(seed)
    diagnosis = np.repeat(["mdd", "anxiety", "both", "control"], [49, 46, 55, 57])
    user = np.zeros(207, dtype=bool)
    user[rng.choice(150, 49, replace=False)] = True
    table = pd.DataFrame(
        {
            "participant_id": [f"{i:03d}" for i in range(207)],
            "diagnosis": diagnosis,
            "antidepressant": np.where(diagnosis == "control", "control", np.where(user, "user", "nonuser")),
            "user": user.astype(int),
            "age": rng.uniform(18, 65, 207),
            "F": rng.standard_normal(207) + effect * user,
        }
    )
    for network in ("Vis", "SomMot", "Default"):
        table[f"F_{network}"] = rng.standard_normal(207) + effect * user * (network == "SomMot")
    return table


OUTCOMES = [
    stats.Outcome("F", "flexibility", "prior"),
    *(
        stats.Outcome(f"F_{network}", "flexibility", "prior", "network", network, family="networks")
        for network in ("Vis", "SomMot", "Default")
    ),
]


def run(document, table, outcomes=OUTCOMES):
    return stats.fit_model(stats.read_models(document)[0], table, outcomes).tests.set_index(["outcome", "contrast"])


def test_users_are_found_globally_and_in_the_sensorimotor_network():
    table = study()
    settings = stats.Settings(permutations=500)
    everybody, patients = stats.medication_models(table, "antidepressant", "diagnosis", ["age"], settings=settings)
    found = run(everybody, table)["p_adj"]
    for contrast in ("control - user", "nonuser - user"):
        assert found["F", contrast] < 0.05
        assert found["F_SomMot", contrast] < 0.05
        assert found["F_Vis", contrast] > 0.05
        assert found["F_Default", contrast] > 0.05
    within = run(patients, table)
    assert list(within["n"].unique()) == [150]
    assert within.loc[("F", "user - nonuser"), "p_adj"] < 0.05
    assert within.loc[("F", "user - nonuser"), "estimate"] == pytest.approx(0.9, abs=0.4)


def test_the_adjusted_model_holds_the_user_and_the_marginal_one_does_not():
    table = study()
    adjusted, marginal = stats.diagnosis_models(table, "diagnosis", "user", ["age"])
    names = [document["Nodes"][0]["Model"]["X"][4:] for document in (adjusted, marginal)]
    assert names == [["user", "age"], ["age"]]
    assert (adjusted["Name"], marginal["Name"]) == ("diagnosis", "diagnosis-marginal")


def test_what_is_asked_reaches_both_documents_of_a_question():
    table = study().assign(site=np.arange(207) % 3 + 1)
    asked = stats.Settings(permutations=77, rows=(("site", ("1", "2")),))
    words = {"categorical": ["site"], "settings": asked}
    diagnoses = stats.diagnosis_models(table, "diagnosis", "user", ["age", "site"], ["mdd - control"], **words)
    drugs = stats.medication_models(table, "antidepressant", "diagnosis", ["age", "diagnosis", "site"], **words)
    told = [(document["Name"], document["Nodes"][0]) for document in (*diagnoses, *drugs)]
    assert [name for name, _ in told] == [
        "diagnosis",
        "diagnosis-marginal",
        "antidepressant",
        "antidepressant-patients",
    ]
    levels = [f"diagnosis.{one}" for one in ("anxiety", "both", "control", "mdd")]
    takers = [f"antidepressant.{one}" for one in ("control", "nonuser", "user")]
    assert [node["Model"]["X"] for _, node in told] == [
        [*levels, "user", "age", "site.2"],
        [*levels, "age", "site.2"],
        [*takers, "age", "site.2"],
        # those who take something or could: their diagnoses are adjusted for, and controls are not among them
        [*takers[1:], "diagnosis.both", "diagnosis.mdd", "age", "site.2"],
    ]
    pairs = ["control - nonuser", "control - user", "nonuser - user"]
    assert [[one["Name"] for one in node["Contrasts"]] for _, node in told] == [
        ["omnibus", "mdd - control"],
        ["omnibus", "mdd - control"],
        ["omnibus", *pairs],
        ["user - nonuser"],
    ]
    settings = [node["Model"]["Software"]["bids_flex"] for _, node in told]
    assert settings[:3] == [asked.document()] * 3
    assert settings[3] == {**asked.document(), "Rows": {"site": ["1", "2"], "antidepressant": ["user", "nonuser"]}}


def test_without_the_user_in_the_model_diagnoses_seem_to_differ():
    """400 cohorts whose users differ by .8 sd and whose diagnoses do not: 5 % against about 22 %."""
    rng = np.random.default_rng(1)
    y, user = np.empty((207, 400)), np.zeros((207, 400))
    for cohort in range(400):
        user[rng.choice(150, 49, replace=False), cohort] = 1.0
        y[:, cohort] = rng.standard_normal(207) + 0.8 * user[:, cohort]
    cells = (np.repeat(np.arange(4), [49, 46, 55, 57])[:, None] == np.arange(4)).astype(float)
    contrast = np.array([[1.0, 0, 0, -1, 0], [0, 1, 0, -1, 0], [0, 0, 1, -1, 0]])
    marginal = (stats.fit_contrast(y, cells, contrast[:, :4]).p < 0.05).mean()
    adjusted = np.mean(
        [stats.fit_contrast(y[:, c], np.column_stack([cells, user[:, c]]), contrast).p[0] < 0.05 for c in range(400)]
    )
    assert abs(adjusted - 0.05) < 3 * np.sqrt(0.05 * 0.95 / 400)
    assert marginal > 0.15


def within(share, promised, cohorts, errors=3.0):
    """Whether a share lies within binomial errors of what was promised."""
    return abs(share - promised) <= errors * np.sqrt(promised * (1 - promised) / cohorts)


@pytest.mark.slow
@pytest.mark.parametrize("spread", [(1.0, 1.0, 1.0), (2.0, 1.0, 1.0), (1.0, 2.0, 1.0)])
def test_the_level_of_every_cohort_anew(calibration, spread):
    """1,000 null cohorts, each with its own covariate and its own orders."""
    found = calibration.level(spread, 1000, 1)
    assert 0.037 < found["hc3 t"] < 0.065
    assert 0.037 < found["hc3 F"] < 0.065
    if spread == (2.0, 1.0, 1.0):
        assert found["ols t"] > 0.08
    if spread == (1.0, 2.0, 1.0):
        assert found["ols t"] < 0.045


@pytest.mark.slow
def test_the_family_wise_error_of_400_regions(calibration):
    found = calibration.family_wise(300, 2)["any region"]
    assert found <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)


@pytest.mark.slow
def test_power_is_that_of_theory(calibration):
    found = calibration.power(0.5, 500, 3)
    assert within(found["found"], found["theory"], 500)


@pytest.mark.slow
def test_diagnoses_without_an_effect(calibration):
    found = calibration.diagnosis(0.8, 1000, 4)
    assert within(found["adjusted omnibus"], 0.05, 1000, 2.5)
    assert found["marginal omnibus"] > 0.15
    assert within(found["equivalent"], found["equivalent, theory"], 1000)
    assert found["BF01 > 1"] > 0.5


@pytest.mark.slow
def test_real_people_with_labels_at_random(shared):
    """21 real people, 6,000 random halves: an implementation check, since labels at random make the null true."""
    from bids_flex import dynamics as d

    series = np.load(shared / "timeseries" / "popovych_hcp.npz")
    networks = np.arange(70) * 7 // 70 + 1
    plan = d.plan_windows(1200, 0.72, 60.0, 7.2)
    y = []
    for name in sorted(series):
        connectivity = d.windowed_connectivity(series[name].astype(float), plan)
        y.append(float(d.flexibility(d.prior_communities(connectivity, networks)[0]).mean()))
    hits = []
    for draw in range(6000):
        labels = np.random.default_rng([5 + draw // 2000, draw % 2000]).permutation(21) < 10
        x = np.column_stack([labels, ~labels]).astype(float)
        found = stats.freedman_lane(y, x, [[1.0, -1.0]], 400, draw % 2000, statistic="hc3", threads=1)
        hits.append(found.p_permutation[0, 0] <= 0.05)
    assert 0.04 < np.mean(hits) < 0.06
