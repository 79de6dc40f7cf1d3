"""What all tests share: where the real recordings are, and processes that never outlive a test."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

from tests.recorded import recordings_folder

os.environ["LSLAPICFG"] = str(Path(__file__).with_name("lsl.cfg"))  # before liblsl is loaded, here and in children

hypothesis.settings.register_profile("rtspikes", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("rtspikes")


@pytest.fixture(scope="session")
def recordings() -> Path:
    """Return the folder of real recordings, or skip: the simulated twin of the test runs everywhere."""
    folder = recordings_folder()
    if not folder.is_dir():
        pytest.skip(f"no real recordings at {folder} (set RTSPIKES_DATA); the simulated twin ran")
    return folder
