"""Engines as data: what each finds, and what follows from names alone."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bids_flex import dynamics as d
from bids_flex.config import MultilayerSettings, PriorSettings, Science, SurrogateSettings, SweepSettings
from bids_flex.workflows.engine_stages import plan_of, seed_of
from bids_flex.workflows.engines import ENGINES, MULTILAYER, PRIOR, Found, Task, engines_of, spread_of
from bids_flex.workflows.landscapes import landscape_columns, landscape_facts, read_landscape


def job(name="sub-01_task-rest", tr=2.0, **science):
    return SimpleNamespace(run=SimpleNamespace(name=name, tr_s=tr), science=Science(**science))


def connectivity(windows=6, regions=8, seed=0):
    rng = np.random.default_rng(seed)
    return np.stack([np.corrcoef(rng.standard_normal((regions, 20))) for _ in range(windows)]) * (1 - np.eye(regions))


def task(networks, science=None, restarts=1, threads=1):
    pairs, onsets_s = np.ones(5, dtype=bool), np.arange(6) * 50.0
    return Task(science or Science(), np.asarray(networks), pairs, onsets_s, len, restarts, threads)


def test_engines_run_in_one_order_whatever_the_words_say():
    assert [engine.name for engine in engines_of(Science(engines=("multilayer", "prior")))] == ["prior", "multilayer"]
    assert [engine.name for engine in engines_of(Science(engines=("multilayer",)))] == ["multilayer"]
    assert list(ENGINES) == ["prior", "multilayer"]


def test_seeds_follow_from_names_and_the_users_seed_alone():
    names = [f"sub-{n:02d}_task-rest" for n in range(50)]
    seeds = {seed_of(job(name), engine, what) for name in names for engine in ENGINES for what in ("search", "sweep")}
    assert len(seeds) == 200
    assert seed_of(job(), "prior", "search") == seed_of(job(), "prior", "search")
    assert seed_of(job(random_seed=1), "prior", "search") != seed_of(job(), "prior", "search")
    # settings that are not the seed do not touch it
    assert seed_of(job(engines=("prior",)), "prior", "search") == seed_of(job(), "prior", "search")


@pytest.mark.parametrize(
    ("tr", "window", "step", "expected"),
    [(2.0, "100s", "half", (50, 25)), (0.8, "100s", "half", (125, 62)), (2.0, "27vol", "1vol", (27, 1))],
)
def test_half_a_window_is_rounded_down(tr, window, step, expected):
    from bids_flex.config import Duration

    settings = MultilayerSettings(window=Duration.parse(window), step=Duration.parse(step))
    plan = plan_of(job(tr=tr, multilayer=settings), "multilayer", np.ones(400, dtype=bool))
    assert (plan.length, plan.step) == expected


def test_prior_keeps_the_numbers_of_networks_that_have_lost_a_neighbour():
    """Network 2 has no region left: labels are 1 and 3, as the search with 1 and 2 finds them."""
    fc = connectivity()
    found = PRIOR.search([fc[:4], fc[4:]], task([1, 1, 1, 1, 3, 3, 3, 3]))
    expected, iterations = d.prior_communities(fc, [1, 1, 1, 1, 2, 2, 2, 2])
    np.testing.assert_array_equal(found.labels, np.where(expected == 2, 3, 1)[None])
    np.testing.assert_array_equal(found.details["iterations"], iterations)
    assert found.labels.dtype == np.int16


def test_prior_takes_the_absolute_value_where_connectivity_has_no_bounds():
    fc = 3 * connectivity()
    science = Science(prior=PriorSettings(estimator="mtd"))
    found = PRIOR.search([fc], task([1, 1, 1, 1, 2, 2, 2, 2], science))
    expected, _ = d.prior_communities(fc, [1, 1, 1, 1, 2, 2, 2, 2], fisher=False)
    np.testing.assert_array_equal(found.labels[0], expected)


def test_windows_that_never_settle_are_told():
    details = {"iterations": np.array([3, 1000, 7, 1000])}
    assert PRIOR.facts(details, {}, Science())["Convergence"] == {
        "MeanIterations": 502.5,
        "MaxIterations": 1000,
        "WindowsNotConverged": 2,
    }


def test_multilayer_searches_with_its_settings():
    fc = connectivity()
    settings = MultilayerSettings(gamma=1.3, omega=0.4, modularity_null="uniform", a=0.2)
    found = MULTILAYER.search([fc[:2], fc[2:]], task(np.ones(8, int), Science(multilayer=settings), restarts=3))
    expected = d.multilayer_communities(fc, 1.3, 0.4, "uniform", restarts=3, seed=len("search"), a=0.2)
    np.testing.assert_array_equal(found.labels, expected.labels)
    assert found.details["a"] == 0.2


def test_the_first_labelling_is_the_best_where_none_has_quality():
    labels = np.tile(np.array([[1, 1, 2, 2]] * 6, dtype=np.int16), (3, 1, 1))
    found = Found(labels, {"quality": np.full(3, np.nan)})
    np.testing.assert_array_equal(MULTILAYER.partitions(found, task(np.ones(4, int)))["multilayerbest"], labels[0])


def test_windows_have_their_own_quality():
    """By hand: two pairs of regions that go together, each pair of weight 1 in both directions.

    Strengths are 1 and 2m is 4, so that B = A - 1/4; the two communities hold 4 - 8/4 = 2 of a weight of 4.
    """
    window = np.zeros((4, 4))
    window[0, 1] = window[1, 0] = window[2, 3] = window[3, 2] = 1.0
    labels = np.tile(np.array([1, 1, 2, 2], dtype=np.int16), (2, 6, 1))
    labels[1] = 1
    found = Found(labels, {"quality": np.zeros(2), "seeds": np.zeros(2)})
    table = MULTILAYER.further(np.tile(window, (6, 1, 1)), found, task(np.ones(4, int))).tables["windows"]
    # all regions in one community hold 4 - 16/4 = 0
    np.testing.assert_allclose(table["window_quality_mean"], 0.25)
    np.testing.assert_allclose(table["window_quality_sd"], 0.5 / 2**0.5)
    np.testing.assert_allclose(table["window_communities_mean"], 1.5)
    np.testing.assert_array_equal(table["onset"], np.arange(6) * 50.0)


def test_a_sweep_counts_the_pairs_of_the_plan():
    fc, pairs = connectivity(), np.array([True, False, True, True, False])
    settings = MultilayerSettings(sweep=SweepSettings(gammas=(0.9, 1.1), omegas=(0.1, 0.3), restarts=3))
    asked = replace(task(np.ones(8, int), Science(multilayer=settings), restarts=2), pairs=pairs)
    found = MULTILAYER.search([fc], asked)
    swept = MULTILAYER.further(fc, found, asked).tables["sweep"]
    told, plain = (
        d.sweep(fc, [0.9, 1.1], [0.1, 0.3], restarts=3, seed=len("sweep"), pairs=one).flexibility_mean
        for one in (pairs, None)
    )
    np.testing.assert_allclose(swept["flexibility_mean"], told)
    assert not np.allclose(told, plain)


def test_surrogates_have_no_more_restarts_than_the_run():
    science = Science(multilayer=MultilayerSettings(restarts=4), surrogates=SurrogateSettings(multilayer_restarts=10))
    assert MULTILAYER.null_restarts(science) == 4
    assert MULTILAYER.null_restarts(replace(science, multilayer=MultilayerSettings())) == 10
    assert PRIOR.null_restarts(science) == PRIOR.restarts(science) == 1


def test_ng_says_that_negative_weights_are_left_out():
    science = Science(multilayer=MultilayerSettings(modularity_null="ng"))
    assert any("negative weights" in text for text in MULTILAYER.notes(science, ()))
    assert not any("negative weights" in text for text in MULTILAYER.notes(Science(), ()))


def test_the_spread_of_one_restart_has_no_sd():
    assert spread_of(np.array([1.0, 3.0])) == {"Mean": 2.0, "Sd": pytest.approx(2**0.5), "Min": 1.0, "Max": 3.0}
    assert np.isnan(spread_of(np.array([1.0]))["Sd"])


def test_a_landscape_survives_its_table():
    found = d.sweep(connectivity(), [0.8, 1.2], [0.5, 1.0, 2.0], "uniform", restarts=2, seed=3)
    again = read_landscape(landscape_columns(found), landscape_facts(found))
    pooled = d.pool([found])
    for name in ("gamma", "omega", "quality_mean", "quality_sd", "quality_best", "planes", "fewest", "alone", "two_mu"):
        np.testing.assert_allclose(getattr(again, name), getattr(pooled, name), rtol=1e-14, err_msg=name)
    assert (again.null, again.a, again.best.shape) == ("uniform", found.a, (6, 0, 0))


def test_a_landscape_without_communities_recommends_nothing_and_says_why():
    """Regions that are all alike are one community at small gamma."""
    fc = np.ones((3, 6, 6)) * (1 - np.eye(6))
    facts = landscape_facts(d.sweep(fc, [0.1, 0.2], [0.5, 1.0], restarts=2))
    assert facts["Recommended"]["Gamma"] is None
    assert "one community" in facts["Recommended"]["Reason"]


def test_the_package_has_no_engine_by_name_in_the_shared_stages():
    folder = Path(__import__("bids_flex.workflows").workflows.__file__).parent
    for name in ("graph", "engine_stages", "derivatives", "summary", "child", "participant"):
        text = (folder / f"{name}.py").read_text()
        assert '"multilayer"' not in text, name
        assert '== "prior"' not in text, name
