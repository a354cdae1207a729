"""What every test may use."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# examples differ from run to run on a desk, so that new ones are met, and never where a red run would block others
settings.register_profile("desk", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("desk"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "desk")

# a program, not tests: it needs a tool that is not in the environment
collect_ignore = ["mutation.py"]

REFERENCE = Path(__file__).resolve().parents[2] / "shared" / "data"


def hear_interrupts() -> None:
    """Let a child process hear Ctrl-C, even when the tests themselves were started in the background, deaf to it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(scope="session")
def hearing():
    """What a test that interrupts a process gives to it as ``preexec_fn``."""
    return hear_interrupts


@pytest.fixture(scope="session")
def shared() -> Path:
    """The optional folder of real inputs and reference outputs; tests that need it skip without it."""
    if not REFERENCE.is_dir():
        pytest.skip(f"reference data are not here: {REFERENCE}")
    return REFERENCE
