"""The command line: what it understands and what it says."""

import subprocess
import sys
from typing import get_args, get_type_hints

import pytest

from bids_flex import __version__
from bids_flex.cli import main, make_parser, parse_config
from bids_flex.config import HALF, Config, Duration, MultilayerSettings, PriorSettings, SweepSettings
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


@pytest.mark.parametrize("written", ['science = "x"', "science = [[]]", '[science]\natlas = "x"'])
def test_what_a_file_gives_in_place_of_a_table_is_not_covered_up_by_options(tmp_path, written):
    (file := tmp_path / "settings.toml").write_text(written)
    with pytest.raises(UsageError, match=r"settings\.toml: science: .*is not of the kind"):
        parse_config([*HERE, "--config-file", str(file), "--atlas", "Tian-S1"])


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
        (["--random-seed", "-1"], "random_seed is -1"),
        (["--engine", "prior", "prior"], "engines is ['prior', 'prior']: it must be one, or both once"),
        (["--gamma", "-0.5"], "multilayer.gamma is -0.5: it must be at least 0"),
        (["--gamma", "nan"], "multilayer.gamma is nan"),
        (["--omega", "-1"], "multilayer.omega is -1.0"),
        (["--omega", "inf"], "multilayer.omega is inf"),
        (["--n-permutations", "0"], "--n-permutations: group.permutations is 0: it must be at least 1"),
        (["--restarts", "0"], "multilayer.restarts is 0"),
        (["--modularity-a", "0.2"], "multilayer.a is 0.2: it must be unset unless modularity_null is uniform"),
        (["--modularity-a", "0", "--modularity-null", "uniform"], "multilayer.a is 0.0: it must be above 0"),
        (["--sweep-gamma", "1"], "multilayer.sweep.gammas is [1.0]: it must be two or more different numbers"),
        (["--sweep-gamma", "1", "1"], "multilayer.sweep.gammas"),
        (["--sweep-omega", "1", "-1"], "multilayer.sweep.omegas"),
        (["--engine", "prior", "--sweep"], "multilayer.sweep is on: it must be off without the engine multilayer"),
        (["--n-surrogates", "1"], "surrogates.prior is 1: it must be 0 (no null model) or at least 2"),
        (["--n-surrogates", "-3"], "surrogates.prior is -3"),
        (["--split-half", "--engine", "multilayer"], "split_half is True: it must be off without the engine prior"),
        (["--split-half", "--smoothing", "6"], "split_half is True: it must be off with smoothing"),
        (["--split-half", "--input-type", "timeseries"], "split_half is True: it must be off with series"),
        (["--prior-window", "half"], "prior.window is half: it must be in seconds or volumes"),
        (["--prior-estimator", "partial", "--prior-shape", "tukey"], "prior.shape is tukey: it must be rect with"),
        (["--multilayer-estimator", "partial", "--multilayer-shape", "gaussian"], "multilayer.shape is gaussian"),
        (["--surrogate", "temporal"], "prior.step is 1vol: it must be at least prior.window (60s), in its unit"),
        (["--surrogate", "temporal", "--engine", "multilayer"], "multilayer.step is half"),
        (["--surrogate", "temporal", "--prior-window", "30vol", "--prior-step", "29vol"], "prior.step is 29vol"),
    ],
)
def test_senseless_numbers_are_refused(options, told, capsys):
    assert main([*HERE, *options]) == 2
    assert told in capsys.readouterr().err


def test_windows_that_do_not_overlap_can_be_permuted():
    apart = ["--engine", "prior", "--prior-step", "60s", "--surrogate", "temporal"]
    assert parse_config([*HERE, *apart]).science.surrogates.kind == "temporal"
    # without surrogates there is nothing to permute
    assert parse_config([*HERE, "--surrogate", "temporal", "--n-surrogates", "0"]).science.surrogates.prior == 0


@pytest.mark.parametrize(
    "option",
    [
        *("--engine", "--modularity-null", "--optimiser", "--surrogate", "--prior-shape", "--multilayer-estimator"),
        "--primary-engine",
    ],
)
def test_unknown_names_are_refused(option, capsys):
    with pytest.raises(SystemExit, match="2"):
        parse_config([*HERE, option, "nonsense"])
    assert f"argument {option}: invalid choice: 'nonsense'" in capsys.readouterr().err


def test_one_number_of_surrogates_serves_both_engines():
    surrogates = parse_config([*HERE, "--n-surrogates", "20"]).science.surrogates
    assert (surrogates.prior, surrogates.multilayer, surrogates.multilayer_restarts) == (20, 20, 10)
    plain = parse_config(HERE).science.surrogates
    assert (plain.kind, plain.prior, plain.multilayer, plain.multilayer_restarts) == ("phase", 199, 50, 10)


def test_a_sweep_is_off_on_or_of_the_users_own_grid():
    assert parse_config(HERE).science.multilayer.sweep is None
    assert parse_config([*HERE, "--sweep"]).science.multilayer.sweep == SweepSettings()
    for words in (["--sweep", "--sweep-gamma", "1", "2"], ["--sweep-gamma", "1", "2", "--sweep"]):
        assert parse_config([*HERE, *words]).science.multilayer.sweep == SweepSettings(gammas=(1.0, 2.0))


def test_each_engine_has_windows_of_its_own():
    words = ["--prior-window", "27vol", "--multilayer-window", "120s", "--multilayer-step", "10s"]
    science = parse_config([*HERE, *words]).science
    assert science.prior == PriorSettings(window=Duration(27, "volumes"))
    assert science.multilayer == MultilayerSettings(window=Duration(120, "s"), step=Duration(10, "s"))
    assert parse_config(HERE).science.multilayer.step == HALF


def test_amsterdam_is_the_prior_engine_alone():
    science = parse_config([*HERE, "--preset", "amsterdam"]).science
    assert science.engines == ("prior",)
    assert (str(science.prior.window), str(science.prior.step)) == ("27vol", "1vol")
    both = parse_config([*HERE, "--preset", "amsterdam", "--engine", "prior", "multilayer"]).science
    assert both.engines == ("prior", "multilayer")


def test_every_option_that_sets_something_is_a_setting():
    known = {action.dest for action in make_parser()._actions} - {"help", "version"}
    for dest in known:
        if "." in dest:
            value = Config
            for part in dest.split("."):
                # settings that may be off are of a kind, or None
                (value,) = [one for one in get_args(value) if one is not type(None)] or [value]
                hints = get_type_hints(value)
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


@pytest.mark.parametrize(
    ("option", "near"),
    [("--covariate", "did you mean --covariates"), ("--n_permutation=5", "--n-permutations"), ("--zzzzzz", "")],
)
def test_a_misspelt_option_names_the_nearest_in_two_lines(capsys, option, near):
    """Sixty lines of usage came first, and no hint."""
    with pytest.raises(SystemExit) as ended:
        parse_config(["in", "out", "group", option])
    assert ended.value.code == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2
    assert told[0].startswith("bids_flex: error: unrecognized arguments: --")
    assert near in told[0]
    assert "?" in told[0] or not near
