"""What all tests share: where the real recordings are, and processes that never outlive a test."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("rtspikes", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("rtspikes")


@pytest.fixture(scope="session")
def recordings() -> Path:
    """Return the folder of real recordings, or skip: the simulated twin of the test runs everywhere."""
    folder = Path(os.environ.get("RTSPIKES_DATA", Path(__file__).parents[2] / "shared" / "data")) / "recordings"
    if not folder.is_dir():
        pytest.skip(f"no real recordings at {folder} (set RTSPIKES_DATA); the simulated twin ran")
    return folder
