"""How a call shares out processors, memory and disk: by hand."""

from __future__ import annotations

import shutil
from collections import namedtuple

import pytest

from bids_flex.cli import parse_config
from bids_flex.errors import UsageError
from bids_flex.simulate import SimulationSettings, simulate_dataset
from bids_flex.workflows import limits
from bids_flex.workflows.app import make_jobs

Disk = namedtuple("Disk", "total used free")  # noqa: PYI024 - as shutil's own
REGIONS, VOLUMES = 28, 150


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    settings = SimulationSettings(participants=3, duration_s=300.0, tr_s=2.0, voxel_mm=10.0, regions=REGIONS)
    study = simulate_dataset(tmp_path_factory.mktemp("limits") / "bids", settings)
    atlas = next((study / "derivatives" / "atlas").glob("*_dseg.nii.gz"))
    words = [study, "/out", "participant", "--atlas", atlas, "--prior-step", "10vol", "--multilayer-step", "25vol"]
    return make_jobs(parse_config(list(map(str, words))))[0]


def by_hand(threads):
    """120 MB for a child; 20 square matrices for each thread; 3 windowed ones for the data and for each thread."""
    windows = (VOLUMES - 50) // 25 + 1
    numbers = (20 * threads + 3 * (threads + 1) * windows) * REGIONS**2 + 4 * VOLUMES * REGIONS
    return 120 + numbers * 8 / 1e6


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_the_need_of_a_run_is_that_of_its_matrices(jobs, threads):
    assert limits.need_mb(jobs[0], threads) == pytest.approx(by_hand(threads), rel=1e-12)


def test_the_scratch_of_a_run_is_that_of_its_windows(jobs):
    prior, multilayer = (VOLUMES - 30) // 10 + 1, (VOLUMES - 50) // 25 + 1
    assert limits.scratch_mb(jobs[0]) == pytest.approx((prior + multilayer) * REGIONS**2 * 8 / 1e6, rel=1e-12)


@pytest.mark.parametrize(
    ("gigabytes", "processors", "asked", "parallel", "threads"),
    [
        (16, 8, None, 3, 2),  # processors that three runs do not need serve their restarts
        (16, 8, 2, 2, 4),
        (16, 2, None, 2, 1),
        (0.300 + 0.250, 8, None, 2, 4),  # two runs of 121 MB fit beside the 300 MB that all share
        (0.300 + 0.1220, 8, None, 1, 8),
        (0.300 + 0.1206, 8, None, 1, 1),  # a second thread would need another 0.2 MB
    ],
)
def test_runs_at_a_time_follow_processors_and_memory(
    jobs, tmp_path, monkeypatch, gigabytes, processors, asked, parallel, threads
):
    monkeypatch.setattr(limits, "processors_allowed", lambda: processors)
    share = limits.share_out([[job] for job in jobs], asked, gigabytes, tmp_path)
    assert (share.parallel, share.threads, share.refused) == (parallel, threads, ())
    assert share.need_mb == pytest.approx(by_hand(threads), rel=1e-12)
    assert 300 + share.parallel * share.need_mb <= gigabytes * 1000


def test_runs_that_memory_or_disk_cannot_hold_are_refused_with_both_figures(jobs, tmp_path, monkeypatch):
    share = limits.share_out([[job] for job in jobs], None, 0.4, tmp_path)
    assert [name for name, _ in share.refused] == [job.run.name for job in jobs]
    assert all("needs about 420 MB of memory, and 400 MB may be used" in why for _, why in share.refused)
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: Disk(1, 1, 10_000))
    share = limits.share_out([[job] for job in jobs], None, 16, tmp_path)
    assert all("0 MB are free in the work folder" in why for _, why in share.refused)
    assert len(share.refused) == 3


def test_pages_are_drawn_as_memory_allows(monkeypatch):
    monkeypatch.setattr(limits, "processors_allowed", lambda: 4)
    assert [limits.pages_at_once(None, gigabytes) for gigabytes in (0.3, 0.8, 1.05, 16)] == [1, 2, 3, 4]
    assert limits.pages_at_once(1, 16) == 1


def test_less_memory_than_the_libraries_need_is_refused_at_once(monkeypatch):
    monkeypatch.setattr(limits, "memory_allowed_mb", lambda: 250.0)
    with pytest.raises(UsageError, match=r"250 MB of memory may be used here, and the smallest run needs 420 MB"):
        limits.refuse_little_memory()


@pytest.mark.parametrize(
    ("lines", "files", "quotas"),
    [
        ("0::/a/b\n", {"cpu.max": "150000 100000"}, [1.5]),
        ("0::/a/b\n", {"a/cpu.max": "max 100000", "a/b/cpu.max": "300000 100000", "cpu.max": "max 1"}, [3.0]),
        ("5:cpu,cpuacct:/c\n", {"cpu/c/cpu.cfs_quota_us": "50000", "cpu/c/cpu.cfs_period_us": "100000"}, [0.5]),
        ("5:cpu:/gone\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, []),
        ("", {}, []),
    ],
)
def test_quotas_of_both_versions_of_control_groups_are_read(tmp_path, monkeypatch, lines, files, quotas):
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    own = tmp_path / "self"
    own.write_text(lines)
    monkeypatch.setattr(limits, "GROUPS", tmp_path)
    monkeypatch.setattr(limits, "OWN_GROUP", own)
    assert list(limits.quotas()) == quotas


@pytest.mark.parametrize(
    ("told", "processors"), [("3", 3), ("1", 1), ("64", 8), ("", 8), ("0", 1), ("a few", 8), ("-2", 8)]
)
def test_a_job_takes_no_more_processors_than_slurm_has_given_it(monkeypatch, told, processors):
    monkeypatch.setattr(limits.os, "sched_getaffinity", lambda _pid: set(range(8)), raising=False)
    monkeypatch.setattr(limits, "_files", lambda *_names: iter(()))
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", told)
    assert limits.processors_allowed() == processors
