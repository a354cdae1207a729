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
    Science,
    Selection,
    from_dict,
    read_toml,
    science_hash,
    to_toml,
)
from bids_flex.errors import MissingInputError, UsageError

durations = st.one_of(
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


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"colour": 1}, "no such setting: colour"),
        ({"science": {"prior": {"shape": "round"}}}, "science: prior: shape: 'round' is none of"),
        ({"science": {"denoise": {"low_pass_hz": "fast"}}}, "low_pass_hz: 'fast' is not of the kind float"),
        ({"science": {"prior": {"window": "1 minute"}}}, "is not a duration"),
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
