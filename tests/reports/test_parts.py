"""The parts of pages, on small values that can be checked by hand."""

import json
import re
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from bids_flex.reports import lights
from bids_flex.reports.communities import _matched
from bids_flex.reports.dynamics_figures import _spearman
from bids_flex.reports.group_figures import DIFFERENT, EQUAL, OPEN, draw_sensitivity, verdict
from bids_flex.reports.group_results import Groups, find_models, groups_of
from bids_flex.reports.methods import bibtex, cited, participant_methods, plain, references
from bids_flex.reports.page import json_for_script, render
from bids_flex.reports.run import by_network
from bids_flex.reports.signal_figures import _scaled, _within
from bids_flex.reports.style import new_figure, styled, to_svg

FACTS = {
    "SoftwareVersion": "9.9",
    "Atlas": {"Name": "My", "Regions": 12, "Space": "MNI"},
    "Settings": {
        "input": {"type": "images"},
        "denoise": {
            "high_pass_hz": 0.01, "low_pass_hz": 0.1, "fd_threshold_mm": 0.5, "dvars_threshold": 1.5,
            "min_coverage": 0.5,
        },
        "random_seed": 77,
    },
}  # fmt: skip
PRIOR = {"Windows": {"Estimator": "pearson", "LengthSeconds": 60.0, "StepSeconds": 2.0}}
MULTILAYER = {
    "Windows": {"Estimator": "mtd", "LengthSeconds": 100.0, "StepSeconds": 50.0},
    "Modularity": {"Null": "ng", "Gamma": 1.25, "Omega": 0.5, "Optimiser": "leiden", "Restarts": 7},
    "NullModel": {"Kind": "iaaft", "Description": "", "Surrogates": 49},
}


@pytest.mark.parametrize(("minutes", "colour"), [(20, "good"), (19.9, "careful"), (10, "careful"), (9.9, "bad")])
def test_a_light_changes_where_its_rule_says(minutes, colour):
    assert lights.OF_RUN["kept_minutes"].judge(minutes).colour == colour


@pytest.mark.parametrize(("lost", "colour"), [(0.0, "good"), (0.01, "careful"), (0.05, "careful"), (0.06, "bad")])
def test_where_less_is_better_the_rule_is_the_other_way_round(lost, colour):
    assert lights.LOST.judge(lost).colour == colour


def test_communities_take_the_colour_of_the_network_that_they_share_most_with():
    # windows by regions; the first two regions are of network 0, the others of network 1
    labels = np.array([[3, 3, 1, 1], [3, 3, 1, 2], [0, 3, 1, 1]])
    places, names = _matched(labels, np.array([0, 0, 1, 1]), ("A", "B"))
    assert places.tolist() == [-1, 1, 2, 0]
    assert names == ("A", "B", "community 2")


def test_regions_are_sorted_by_network_in_the_order_of_the_atlas():
    order = by_network(["Vis", "Default", "Vis", "Limbic", "Default"])
    assert order.places.tolist() == [0, 2, 1, 4, 3]
    assert order.names == ("Vis", "Default", "Limbic")
    assert order.bounds == (0, 2, 4, 5)
    assert order.middles == [0.5, 2.5, 4.0]


def test_means_within_and_between_networks():
    values = np.array([[9.0, 1, 2], [1, 9, 4], [2, 4, 9]])
    assert _within(values, by_network(["a", "a", "b"])) == (1.0, 3.0)


def test_a_carpet_has_neither_trend_nor_scale_and_keeps_its_gaps():
    time = np.arange(8.0)
    wave = np.tile([1.0, -1, -1, 1], 2)  # neither mean nor slope
    series = np.column_stack([100 + 5 * time + 7 * wave, np.full(8, 3.0)])
    scaled = _scaled(series)
    np.testing.assert_allclose(scaled[:, 0], wave, atol=1e-12)
    assert np.isnan(scaled[:, 1]).all()
    series[2, 0] = np.nan
    assert np.isnan(_scaled(series)[2, 0])


def test_ranks_of_what_does_not_vary_have_no_correlation():
    assert np.isnan(_spearman(np.ones(5), np.arange(5.0)))


def test_adjusted_values_are_without_the_covariate_and_keep_the_groups():
    groups = Groups(
        ("a", "b"),
        np.array([0, 0, 1, 1]),
        np.array([[-1.0], [1], [-2], [2]]),
        np.array([[1.0, 0], [1, 0], [0, 1], [0, 1]]),
    )
    values = np.array([10.0, 10, 20, 20]) + 3 * groups.covariates[:, 0]
    np.testing.assert_allclose(groups.adjusted(values), [10, 10, 20, 20])
    np.testing.assert_array_equal(np.isnan(groups.adjusted(np.append(values[:3], np.nan))), [False] * 3 + [True])


@pytest.mark.parametrize(
    ("p_adj", "tost_p", "said"),
    [(0.01, 0.9, DIFFERENT), (0.2, 0.01, EQUAL), (0.2, 0.2, OPEN), (np.nan, np.nan, OPEN), (0.01, 0.01, DIFFERENT)],
)
def test_no_difference_is_another_thing_than_cannot_tell(p_adj, tost_p, said):
    assert verdict(pd.Series({"p_adj": p_adj, "tost_p": tost_p})) == said


def test_groups_are_the_levels_of_the_first_factor(tmp_path):
    design = pd.DataFrame(
        {"participant_id": ["01", "02", "03"], "drug.no": [1, 0, 0], "drug.yes": [0, 1, 1], "age": [0.0, 1, -1]}
    )
    design.to_csv(tmp_path / "model-m_stat-design.tsv", sep="\t", index=False)
    document = {"Nodes": [{"Transformations": {"Instructions": [{"Name": "Factor", "Input": ["drug", "sex"]}]}}]}
    (tmp_path / "model-m_smdl.json").write_text(json.dumps(document))
    (tmp_path / "model-m.json").write_text("{}")
    (tmp_path / "model-half_smdl.json").write_text(json.dumps(document))  # its last file is missing
    (model,) = find_models(tmp_path, None)
    groups = groups_of(model)
    assert groups.names == ("no", "yes")
    assert groups.members.tolist() == [0, 1, 1]
    assert groups.covariates[:, 0].tolist() == [0, 1, -1]
    document["Nodes"][0]["Transformations"]["Instructions"] = []
    (tmp_path / "model-m_smdl.json").write_text(json.dumps(document))
    assert groups_of(find_models(tmp_path, None)[0]).names == ("everybody",)


def test_the_methods_text_tells_the_settings_that_ran_and_cites_what_exists():
    cleaning = {"Strategy": "24P", "ConfoundColumns": ["a", "b", "c"]}
    text = participant_methods(FACTS, {"prior": PRIOR, "multilayer": MULTILAYER}, cleaning)
    for told in (
        "bids_flex 9.9", "12 regions of the atlas My", "strategy 24P", "3 confounds", "0.01 to 0.1 Hz", "above 0.5 mm",
        "50 %", "windows of 60 s, 2 s apart", "windows of 100 s, 50 s apart", "resolution 1.25, coupling 0.5",
        "by leiden, 7 times",
        "Newman-Girvan", "49 surrogates made by iterated", "seed 77", "multiplication of temporal derivatives",
    ):  # fmt: skip
        assert told in text
    assert set(cited(text)) <= set(references())
    assert "[@" not in plain(text)
    entries = re.findall(r"@article\{(\w+),", bibtex(text))
    assert entries == cited(text)
    assert bibtex(text).count("{") == bibtex(text).count("}")
    assert "Measures of prior were held" not in text, "that engine had no surrogates"
    none = {"prior": {**PRIOR, "NullModel": {"Surrogates": 0}}}
    assert "were held against" not in participant_methods(FACTS, none, cleaning)


def test_series_of_others_were_not_cleaned():
    facts = {**FACTS, "Settings": {**FACTS["Settings"], "input": {"type": "timeseries"}}}
    text = participant_methods(facts, {"prior": PRIOR}, {})
    assert "nothing was cleaned again" in text
    assert "censored" not in text


def test_json_cannot_end_its_script():
    text = json_for_script({"a": "</script><b>&"})
    assert not set("<>&") & set(text)
    assert json.loads(text) == {"a": "</script><b>&"}


def test_a_dollar_sign_in_a_name_is_a_dollar_sign():
    with styled():
        figure = new_figure(2, 2)
        figure.subplots().set_title("$x^$ <b>")
        text = to_svg(figure, "t")
    assert "$x^$ &lt;b&gt;" in text


def test_what_a_template_lacks_is_an_error():
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError):
        render("participant.html.j2", title="x")


class _Model:
    """A model whose primary contrast is asked in many further ways."""

    primary = "prior"

    def __init__(self, ways):
        ones = {
            "contrast": "a - b",
            "effect_kind": "g",
            "effect": 0.3,
            "effect_low": 0.1,
            "effect_high": 0.5,
            "p_adj": 1,
        }
        self.tests = pd.DataFrame(
            [{**ones, "family": "primary", "measure": name} for name in ("flexibility", "promiscuity")]
        )
        named = {0: "split_half_flexibility", 1: "promiscuity_rarefied"}
        rows = [{**ones, "analysis": f"way {n}", "measure": named.get(n, "flexibility")} for n in range(ways)]
        self.others = pd.DataFrame([*rows, {"analysis": "impossible", "reason": "motion is not known of everybody"}])

    def table(self, name):
        return self.tests if name == "tests" else self.others


@pytest.mark.parametrize("ways", [2, 30])
def test_every_sensitivity_analysis_has_a_row_of_its_own(ways):
    """The last rows lay on the axis or were cut, rows side by side were not level, and split halves had no point."""
    with styled():
        figure, told = draw_sensitivity(_Model(ways))
        figure.canvas.draw()
    left, right = figure.axes
    assert left.get_ylim() == right.get_ylim() == (ways + 0.5, -0.5)
    assert [one.get_text() for one in left.get_yticklabels()] == ["primary", *(f"way {n}" for n in range(ways))]
    boxes = [one.get_window_extent() for one in left.get_yticklabels()]
    assert all(upper.y0 > lower.y1 for upper, lower in pairwise(boxes)), "labels overlap"
    drawn = [{int(line.get_ydata()[0]) for line in axes.lines if len(line.get_ydata()) == 1} for axes in figure.axes]
    assert drawn == [{0, 1, *range(3, ways + 1)}, {0, 2}]
    assert told.endswith("Without a test, for the reason in the table: impossible.")
