"""The bank of simulated people, and what cohorts drawn from it say, where the answer is known by theory."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats as theory

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import bank  # noqa: E402
import cohorts  # noqa: E402
import noise  # noqa: E402

SIZES = bank.Sizes(people=3, held=1, surrogates=2, restarts=2, null_restarts=1)
CELLS = [bank.Condition("still", "quiet", 5)]


def lines(folder):
    found = [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]
    return sorted(found, key=lambda one: one["number"])


def test_a_bank_goes_on_where_it_was_interrupted_and_in_pieces(tmp_path):
    bank.fill(tmp_path / "whole", SIZES, CELLS, (1, 1))
    whole = lines(tmp_path / "whole")
    assert [one["number"] for one in whole] == [0, 1, 2]
    assert [("prior z" in one) for one in whole] == [True, False, False]
    for piece in (1, 2):
        bank.fill(tmp_path / "pieces", SIZES, CELLS, (piece, 2))
    assert lines(tmp_path / "pieces") == whole
    (path,) = (tmp_path / "whole").glob("*.jsonl")
    text = path.read_text()
    path.write_text(text[: len(text) - 40])  # torn in the last person
    bank.fill(tmp_path / "whole", SIZES, CELLS, (1, 1))
    again = bank.read_bank(tmp_path / "whole")
    assert again["number"].tolist() == [0, 1, 2]
    assert again["prior F"].tolist() == [one["prior F"] for one in whole]


def test_a_packed_bank_is_the_same_people_and_can_be_gone_on_from(tmp_path):
    bank.fill(tmp_path / "whole", SIZES, CELLS, (1, 1))
    whole = bank.read_bank(tmp_path / "whole")
    for folder in ("packed", "again"):
        bank.pack(tmp_path / "whole", whole, tmp_path / folder)
    name = "people-packed.jsonl.gz"
    assert (tmp_path / "packed" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    pd.testing.assert_frame_equal(bank.read_bank(tmp_path / "packed"), whole)
    bank.fill(tmp_path / "packed", bank.Sizes(**{**asdict(SIZES), "people": 4}), CELLS, (1, 1))
    assert [one["number"] for one in lines(tmp_path / "packed")] == [3]


def test_a_bank_of_another_version_is_refused(tmp_path, monkeypatch):
    bank.open_bank(tmp_path, SIZES)
    bank.open_bank(tmp_path, bank.Sizes(people=9, held=2, surrogates=2, restarts=2, null_restarts=1))
    with pytest.raises(SystemExit, match="restarts was 2, now 3"):
        bank.open_bank(tmp_path, bank.Sizes(surrogates=2, restarts=3, null_restarts=1))
    monkeypatch.setattr(bank, "__version__", "99.0")
    with pytest.raises(SystemExit, match=r"version was .*, now 99\.0"):
        bank.open_bank(tmp_path, SIZES)


def made_up(people, shift=0.0, error=0.4):
    """A bank whose outcome is the logarithm of the rate and an error, shifted in noisy cells."""
    rng = np.random.default_rng(0)
    rows = []
    for cell in ("still-quiet-10", "still-noisy-10"):
        rate = np.exp(rng.uniform(*np.log(bank.RATES), people))
        value = np.log(rate) + error * rng.standard_normal(people) + shift * ("noisy" in cell)
        rows.append(pd.DataFrame({"cell": cell, "rate": rate, "y": value, "mean_fd": 0.1}))
    return cohorts.Bank(pd.concat(rows), ["y"])


def test_without_effect_five_per_cent_are_found():
    for test in ("medication", "diagnosis"):
        found = cohorts.shares(cohorts.Ask(test), made_up(1000), 2000, seed=1).iloc[0]
        # binomial error of .05 in 2,000 cohorts: .005
        assert found["share"] == pytest.approx(0.05, abs=0.015)


def test_power_is_that_of_the_noncentral_t():
    asked = cohorts.Ask("medication", effect=0.3)
    found = cohorts.shares(asked, made_up(3000), 400, seed=2).iloc[0]
    shift = 0.3 / np.hypot(cohorts.SPREAD, 0.4) / np.sqrt(1 / 49 + 1 / 101)
    edge = theory.t.ppf(0.975, 204)
    expected = theory.nct.sf(edge, 204, shift) + theory.nct.cdf(-edge, 204, shift)
    # binomial error .021; what is left is the bank's own
    assert found["share"] == pytest.approx(expected, abs=0.08)
    assert found["low"] < expected < found["high"]


def test_a_shift_of_noisy_people_fakes_an_effect():
    asked = cohorts.Ask("medication", unequal="noise")
    assert cohorts.shares(asked, made_up(500, shift=1.0), 50, seed=3).iloc[0]["share"] > 0.95


def test_a_small_bank_has_wide_intervals():
    asked = cohorts.Ask("medication", effect=0.3)
    small, large = (cohorts.shares(asked, made_up(n), 400, seed=4).iloc[0] for n in (40, 3000))
    assert small["high"] - small["low"] > 1.5 * (large["high"] - large["low"])


def test_agreement_is_what_was_put_in():
    rows = made_up(2000)
    table = pd.DataFrame(
        {
            "cell": "still-quiet-10",
            "rate": np.exp(rows.rates["still-quiet-10"]),
            "y": rows.values["still-quiet-10"][:, 0],
            "mean_fd": 0.1,
        }
    )
    found = cohorts.agreement(table, ["y"]).iloc[0]
    expected = 0.25 / (0.25 + 0.16)
    assert found["low"] < expected < found["high"]
    assert found["icc"] == pytest.approx(expected, abs=0.1)


def test_runs_of_noise_go_on_and_another_version_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "runs.jsonl"
    cell = noise.Cell(regions=21, minutes=5.0, rate=1.0)
    monkeypatch.setattr(noise, "SURROGATES", 1)
    noise.extend(path, [cell], 1)
    first = path.read_text()
    noise.extend(path, [cell], 2)
    assert path.read_text().startswith(first)
    assert len(noise.load(path)[noise.key_of(cell)]) == 2
    monkeypatch.setattr(noise, "__version__", "99.0")
    with pytest.raises(SystemExit, match=r"this is 99\.0"):
        noise.load(path)


def test_halves_share_what_the_region_has():
    cell = noise.Cell(snr=1.5, regions=35, rate=0.0)
    halves, membership, networks = noise.simulate(cell, 0)
    assert (membership == networks).all()
    # signal variance 2.25, the halves' own 2, so that halves correlate by 2.25 / 4.25 and regions are as noisy as asked
    r = [np.corrcoef(halves[0, :, k], halves[1, :, k])[0, 1] for k in range(35)]
    assert np.mean(r) == pytest.approx(2.25 / 4.25, abs=0.08)
