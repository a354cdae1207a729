"""What every test may use."""

from pathlib import Path

import pytest

REFERENCE = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The optional folder of real inputs and reference outputs; tests that need it skip without it."""
    if not REFERENCE.is_dir():
        pytest.skip(f"reference data are not here: {REFERENCE}")
    return REFERENCE
