"""Settings: what they read, what they refuse, what changes their name."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_flex.config import (
    PRESETS,
    Config,
    DenoiseSettings,
    Duration,
    Execution,
    MultilayerSettings,
    Science,
    Selection,
    SurrogateSettings,
    SweepSettings,
    from_dict,
    read_toml,
    science_hash,
    stated,
    to_toml,
)
from bids_flex.errors import MissingInputError, UsageError

durations = st.one_of(
    st.just(Duration(0.5, "windows")),
    st.builds(Duration, st.floats(0.1, 1000).map(lambda x: float(f"{x:g}")), st.just("s")),
    st.builds(Duration, st.integers(1, 1000).map(float), st.just("volumes")),
)


@given(durations)
def test_a_duration_reads_what_it_writes(duration):
    assert Duration.parse(str(duration)) == duration


@pytest.mark.parametrize("text", ["60", "s", "-1s", "0s", "2.5vol", "1e3s", "sixty", "60 s 1", ""])
def test_a_duration_refuses_anything_else(text):
    with pytest.raises(UsageError, match="is not a duration"):
        Duration.parse(text)


def test_a_call_survives_its_own_configuration_file():
    config = Config(
        Path("/data"),
        Path("/out"),
        "participant",
        science=PRESETS["amsterdam"],
        selection=Selection(participants=("01", "02"), space="MNI152NLin2009cAsym"),
        execution=Execution(nprocs=2, dry_run=True),
    )
    assert from_dict(Config, tomllib.loads(to_toml(config)), "here") == config


def test_a_sweep_survives_its_own_configuration_file():
    sweep = SweepSettings(gammas=(0.5, 1.0), omegas=(1.0, 2.0), restarts=3)
    science = Science(
        multilayer=MultilayerSettings(modularity_null="uniform", a=0.2, sweep=sweep, step=Duration(5, "s")),
        surrogates=SurrogateSettings(kind="iaaft", prior=0),
        random_seed=7,
    )
    config = Config(Path("/data"), Path("/out"), "participant", science=science)
    assert from_dict(Config, tomllib.loads(to_toml(config)), "here") == config


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"colour": 1}, "no such setting: colour"),
        ({"science": {"prior": {"shape": "round"}}}, "science: prior: shape: 'round' is none of"),
        ({"science": {"denoise": {"low_pass_hz": "fast"}}}, "low_pass_hz: 'fast' is not of the kind float"),
        ({"science": {"prior": {"window": "1 minute"}}}, "toml: science: prior: window: '1 minute' is not a dur"),
        ({"science": {"engines": ["prior", "posterior"]}}, "engines: 'posterior' is none of 'prior', 'multilayer'"),
        ({"science": {"multilayer": {"modularity_null": "none"}}}, "modularity_null: 'none' is none of 'ng', 'signed'"),
        ({"science": {"multilayer": {"sweep": {"gammas": 1.0}}}}, "sweep: gammas: 1.0 is not of the kind"),
        ({"science": {"surrogates": {"prior": 1.5}}}, "prior: 1.5 is not of the kind int"),
        ({"execution": {"nprocs": True}}, "nprocs: True is not of the kind int"),
        ({"selection": {"tasks": "rest"}}, "tasks: 'rest' is not of the kind"),
    ],
)
def test_a_wrong_setting_is_named(table, told):
    whole = {"bids_dir": "a", "output_dir": "b", "level": "group", **table}
    with pytest.raises(UsageError, match=told):
        from_dict(Config, whole, "settings.toml")


def test_a_configuration_file_must_exist_and_be_toml(tmp_path):
    with pytest.raises(MissingInputError, match=r"absent\.toml: cannot be read"):
        read_toml(tmp_path / "absent.toml")
    (tmp_path / "bad.toml").write_text("= 3")
    with pytest.raises(UsageError, match=r"bad\.toml: not a TOML file"):
        read_toml(tmp_path / "bad.toml")


def test_the_hash_names_the_science_and_nothing_else():
    plain = science_hash(Science(), "atlas", "strategy")
    assert plain == science_hash(Science(preset="amsterdam"), "atlas", "strategy")
    changed = replace(Science(), denoise=DenoiseSettings(fd_threshold_mm=0.2))
    others = {
        science_hash(changed, "atlas", "strategy"),
        science_hash(Science(), "other atlas", "strategy"),
        science_hash(Science(), "atlas", "other strategy"),
    }
    assert len(others | {plain}) == 4


@pytest.mark.parametrize(
    "changed",
    [
        Science(random_seed=1),
        Science(split_half=True),
        Science(engines=("prior",)),
        Science(multilayer=MultilayerSettings(gamma=1.1)),
        Science(multilayer=MultilayerSettings(sweep=SweepSettings())),
        Science(surrogates=SurrogateSettings(multilayer_restarts=5)),
    ],
)
def test_whatever_changes_a_number_changes_the_hash(changed):
    assert science_hash(changed, "a", "s") != science_hash(Science(), "a", "s")


def test_what_is_said_about_an_engine_that_does_not_run_changes_nothing():
    alone = Science(engines=("prior",))
    other = replace(
        alone,
        multilayer=MultilayerSettings(gamma=2.0),
        surrogates=SurrogateSettings(multilayer=9, multilayer_restarts=3),
    )
    assert science_hash(alone, "a", "s") == science_hash(other, "a", "s")
    assert stated(alone) == stated(other)
    assert "multilayer" not in stated(alone)
    backwards = Science(engines=("multilayer", "prior"))
    assert science_hash(backwards, "a", "s") == science_hash(Science(), "a", "s")
