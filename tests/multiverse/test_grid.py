"""Grids: what they read, what they refuse, what their universes share."""

from dataclasses import fields, replace

import pytest

from bids_flex.cli import parse_config
from bids_flex.config import ENGINES, DenoiseSettings, Duration, MultilayerSettings, PriorSettings, Science
from bids_flex.errors import MissingInputError, UsageError
from bids_flex.multiverse import choice_names, read_universes, steps_of
from bids_flex.multiverse.grid import OF_ENGINE
from bids_flex.workflows.multiverse import shared_steps

WORDS = ["/bids", "/out", "participant", "--n-surrogates", "0"]


def read(tmp_path, text, *words):
    path = tmp_path / "grid.toml"
    path.write_text(text)
    return read_universes(str(path), parse_config([*WORDS, *words]))


def test_the_default_grid_has_48_universes_and_few_cleanings():
    universes = read_universes("default", parse_config(WORDS))
    assert len(universes) == 48
    assert len({one.science for one in universes}) == 48
    assert sum(one.engine == "prior" for one in universes) == 16
    assert choice_names(universes) == ("engine", "denoise", "high_pass", "window", "shape", "gamma", "omega")
    # 2 strategies x 2 filters; each with prior's 2 windows x 2 shapes and multilayer's 2 windows; 4 pairs of parameters
    assert shared_steps(universes) == {
        "parcellations": 1,
        "cleanings": 4,
        "windowed connectivities": 4 * 2 * 2 + 4 * 2,
        "searches": 16 + 32,
        "null models": 48,
    }


def test_levels_become_the_settings_of_the_options_of_their_name(tmp_path):
    text = """
    engine = ["multilayer", "prior"]
    denoise = ["24P"]
    fd_thresh = [0.25]
    window = ["45s"]
    [multilayer]
    gamma = [1, 1.5]
    modularity_null = ["ng"]
    """.replace('"24P"', '"24P+2P"')
    first, second, third = read(tmp_path, text, "--restarts", "7")
    options = ["--denoise", "24P+2P", "--fd-thresh", "0.25", "--restarts", "7"]
    alone = parse_config([*WORDS, *options, "--engine", "prior", "--prior-window", "45s"]).science
    assert first.science == alone
    more = ["--multilayer-window", "45s", "--gamma", "1", "--modularity-null", "ng"]
    assert second.science == parse_config([*WORDS, *options, "--engine", "multilayer", *more]).science
    assert third.science.multilayer.gamma == 1.5
    assert dict(third.levels) == {
        "engine": "multilayer", "denoise": "24P+2P", "fd_thresh": "0.25", "window": "45s", "modularity_null": "ng",
        "gamma": "1.5",
    }  # fmt: skip


def test_what_the_grid_leaves_open_is_as_the_call_says(tmp_path):
    (one,) = read(tmp_path, "high_pass = [0.02]", "--engine", "prior", "--prior-step", "2vol", "--random-seed", "5")
    assert one.science.denoise.high_pass_hz == 0.02
    assert one.science.prior.step == Duration(2.0, "volumes")
    assert one.science.random_seed == 5
    assert [universe.engine for universe in read(tmp_path, "high_pass = [0.02]")] == ["prior", "multilayer"]


def test_excluded_combinations_go_and_others_stay(tmp_path):
    text = """
    engine = ["prior", "multilayer"]
    denoise = ["36P", "none"]
    window = ["60s", "100s"]
    [multilayer]
    omega = [0.5, 1.0]
    [[exclude]]
    denoise = "none"
    window = "60s"
    [[exclude]]
    omega = [0.5]
    denoise = "36P"
    """
    universes = read(tmp_path, text)
    # prior: 4 - 1; multilayer: 8 - 2 (none at 60 s) - 2 (36P with omega .5)
    assert sum(one.engine == "prior" for one in universes) == 3
    assert sum(one.engine == "multilayer" for one in universes) == 4
    assert not any({"denoise": "none", "window": "60s"}.items() <= dict(one.levels).items() for one in universes)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('winow = ["60s"]', "no such choice: winow; there are engine, atlas"),
        ('[multilayer]\ncolour = [1]', r"\[multilayer\]: no such choice: colour"),
        ('engine = ["louvain"]', "engine 'louvain' is none of prior, multilayer"),
        ('gamma = [1.0, 1.2]', "the engine prior has no gamma, so the two cannot be paired"),
        ('[prior]\ngamma = [1.0]', "the engine prior has no gamma"),
        ('[prior]\ndenoise = ["36P"]', "denoise, which is of every engine"),
        ('engine = ["prior"]\n[multilayer]\ngamma = [1.0]', r"\[multilayer\] has choices, but engine names only prior"),
        ('window = ["60s"]\n[prior]\nwindow = ["50s"]', "window, which is named above the tables too"),
        ('window = "60s"', "must be a list of one or more levels"),
        ('window = []', "must be a list of one or more levels"),
        ('window = ["60s", "60s"]', "names 60s twice"),
        ('window = ["60s", "60.0s"]', "two universes are the same"),
        ('window = ["sixty"]', "'sixty' is not a duration"),
        ('[multilayer]\ngamma = ["high"]', "is not of the kind float"),
        ('[multilayer]\ngamma = [-1.0]', "multilayer.gamma is -1.0: it must be at least 0"),
        ('shape = ["gaussian"]\nestimator = ["partial"]', "shape is gaussian: it must be rect with prior.est"),
        ('surrogate = ["phase", "var"]', "--n-surrogates asks for none"),
        ('window = ["60s"]\n[[exclude]]\nwindow = "60s"', "no universe is left of 2"),
        ('window = ["60s"]\n[[exclude]]\nwindow = "61s"', "exclude names window = '61s', which the grid does not have"),
        ('window = ["60s"]\n[exclude]\nwindow = "60s"', "exclude is"),
        ("omega = 1\n[", "not a TOML file"),
        ("random_seed = [" + ", ".join(map(str, range(3000))) + "]", "6000 universes; 5000 are the most"),
        ("prior = 3", r"\[prior\] is 3: it must be a table"),
    ],
)  # fmt: skip
def test_a_bad_grid_is_refused_and_says_why(tmp_path, text, told):
    with pytest.raises(UsageError, match=told):
        read(tmp_path, text)


def test_a_grid_that_is_not_there_is_missing():
    with pytest.raises(MissingInputError, match=r"nowhere\.toml"):
        read_universes("nowhere.toml", parse_config(WORDS))


def test_files_are_named_without_their_folders(tmp_path):
    universes = read(tmp_path, 'atlas = ["/data/a.nii.gz", "Schaefer2018"]', "--engine", "prior")
    assert [dict(one.levels)["atlas"] for one in universes] == ["a.nii.gz", "Schaefer2018"]
    with pytest.raises(UsageError, match=r"names a.nii.gz twice"):
        read(tmp_path, 'atlas = ["/data/a.nii.gz", "/other/a.nii.gz"]')


IMAGES = {"min_coverage", "smoothing_mm", "despike"}


@pytest.mark.parametrize("name", [field.name for field in fields(DenoiseSettings)])
def test_every_setting_of_cleaning_keeps_cleanings_apart_and_only_some_parcellations(name):
    base = Science()
    value = getattr(base.denoise, name)
    other = not value if isinstance(value, bool) else "none" if isinstance(value, str) else (value or 0) + 1
    changed = replace(base, denoise=replace(base.denoise, **{name: other}))
    one, two = (steps_of(science, "prior") for science in (base, changed))
    assert one.clean != two.clean
    assert (one.parcellate != two.parcellate) == (name in IMAGES)


def test_steps_differ_from_where_their_settings_matter():
    base = Science()

    def same(other, engine="multilayer"):
        pairs = zip(*(vars_of(steps_of(science, engine)) for science in (base, other)), strict=True)
        return [one == two for one, two in pairs]

    gamma = replace(base, multilayer=replace(base.multilayer, gamma=2.0))
    assert same(gamma) == [True, True, True, False, False]
    assert same(gamma, "prior") == [True] * 5
    window = replace(base, multilayer=replace(base.multilayer, window=Duration(50.0, "s")))
    assert same(window) == [True, True, False, False, False]
    assert same(replace(base, random_seed=1)) == [True, True, True, False, False]
    # halves of regions are drawn when images are averaged
    halves = replace(base, split_half=True)
    assert same(halves) == [False] * 5
    assert steps_of(halves, "prior").parcellate != steps_of(replace(halves, random_seed=1), "prior").parcellate
    assert same(replace(base, surrogates=replace(base.surrogates, multilayer=7))) == [True] * 4 + [False]
    assert same(replace(base, surrogates=replace(base.surrogates, prior=7))) == [True] * 5
    atlas = replace(base, atlas=replace(base.atlas, name="Dosenbach2010"))
    assert same(atlas) == [False] * 5
    assert same(replace(base, min_minutes=5.0)) == [True] + [False] * 4


def vars_of(steps):
    return [getattr(steps, field.name) for field in fields(steps)]


def test_engines_share_the_connectivity_of_the_same_windows():
    windows = {"window": Duration(60.0, "s"), "step": Duration(5.0, "volumes")}
    science = Science(prior=PriorSettings(**windows), multilayer=MultilayerSettings(**windows))
    prior, multilayer = (steps_of(science, engine) for engine in ("prior", "multilayer"))
    assert prior.connect == multilayer.connect
    assert prior.search != multilayer.search


def test_every_engine_has_choices_that_are_its_settings():
    assert set(OF_ENGINE) == set(ENGINES)
    for engine, choices in OF_ENGINE.items():
        assert set(choices.values()) <= {field.name for field in fields(Science().engine(engine))}
