"""The command line: what it understands and what it says."""

import subprocess
import sys

import pytest

from bids_flex import __version__
from bids_flex.cli import main, make_parser, parse_config
from bids_flex.config import Config, Duration
from bids_flex.errors import UsageError

HERE = ["/data", "/out", "participant"]


def test_without_options_the_defaults_hold():
    config = parse_config(HERE)
    assert config == Config(config.bids_dir, config.output_dir, "participant")
    assert str(config.bids_dir) == "/data"


def test_hyphens_and_underscores_are_one():
    hyphens = parse_config([*HERE, "--participant-label", "sub-01", "02", "--fd-thresh=0.2"])
    underscores = parse_config([*HERE, "--participant_label", "sub-01", "02", "--fd_thresh=0.2"])
    assert hyphens == underscores
    assert hyphens.selection.participants == ("01", "02")
    assert hyphens.science.denoise.fd_threshold_mm == 0.2


def test_underscores_in_values_stay():
    assert parse_config([*HERE, "--atlas=my_atlas.nii.gz"]).science.atlas.name == "my_atlas.nii.gz"


def test_options_win_over_the_file_and_the_file_over_the_preset(tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text('[science.prior]\nwindow = "30vol"\nstep = "2vol"\n[science.denoise]\nfd_threshold_mm = 0.3\n')
    config = parse_config([*HERE, "--preset", "amsterdam", "--config-file", str(file), "--prior-step", "3vol"])
    assert config.science.denoise.strategy == "24P+2P"  # the preset's
    assert config.science.prior.window == Duration(30, "volumes")  # the file's
    assert config.science.prior.step == Duration(3, "volumes")  # the option's
    assert config.science.denoise.fd_threshold_mm == 0.3


def test_an_unknown_preset_in_a_file_is_refused(tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text('[science]\npreset = "rotterdam"\n')
    with pytest.raises(UsageError, match=r"settings\.toml: there is no preset 'rotterdam'; there is amsterdam"):
        parse_config([*HERE, "--config-file", str(file)])


@pytest.mark.parametrize("label", ["../x", "a b", "sub-", "*"])
def test_what_is_no_label_is_refused(label, capsys):
    with pytest.raises(SystemExit, match="2"):
        parse_config([*HERE, "--participant-label", label])
    assert "is not a label" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--nprocs", "0"], "nprocs"),
        (["--min-coverage", "1.5"], "min_coverage"),
        (["--prior-min-kept", "-1"], "min_kept"),
        (["--high-pass", "0.2"], "high_pass_hz"),
        (["--fd-thresh", "0"], "fd_threshold_mm"),
        (["--n-permutations", "0"], "permutations"),
    ],
)
def test_senseless_numbers_are_refused(options, told, capsys):
    assert main([*HERE, *options]) == 2
    assert told in capsys.readouterr().err


def test_every_option_that_sets_something_is_a_setting():
    known = {action.dest for action in make_parser()._actions} - {"help", "version"}
    for dest in known:
        if "." in dest:
            value = Config
            for part in dest.split("."):
                hints = __import__("typing").get_type_hints(value)
                assert part in hints, dest
                value = hints[part]


def test_version_and_help_import_nothing_heavy():
    code = (
        "import sys; from bids_flex.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'numpy', 'pandas', 'nipype', 'bids', 'nilearn', 'rich'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "[]"
    assert "exit codes:" in out
    said = subprocess.run(
        [sys.executable, "-m", "bids_flex.cli", "--version"], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == f"bids_flex {__version__}"
