"""One name, one source: schemes, bare paths, and devices that were installed beside."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtspikes.clock import LslClock
from rtspikes.errors import ConfigError, DataError
from rtspikes.sources import DEVICE_GROUP, open_source
from rtspikes.sources.replay import FileSource
from rtspikes.sources.settings import SourceSettings
from tests.simulated import write_recording


def open_uri(uri: str | None, **settings: Any) -> Any:
    return open_source(SourceSettings(uri=uri, **settings), LslClock())


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return write_recording(tmp_path / "a", np.zeros((10, 2), np.int16))


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Install a device `rig`; return the list of what its opener was called with."""
    calls: list[tuple[Any, ...]] = []

    def opener(*arguments: Any) -> str:
        calls.append(arguments)
        return "the rig"

    class Entry:
        name = "rig"

        @staticmethod
        def load() -> Any:
            return opener

    def entry_points(*, group: str) -> list[type[Entry]]:
        return [Entry] if group == DEVICE_GROUP == "rtspikes.devices" else []

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    return calls


@pytest.mark.parametrize("prefix", ["file:", ""])
def test_a_file_is_opened_by_its_scheme_and_by_its_bare_path(recording: Path, prefix: str) -> None:
    source = open_uri(f"{prefix}{recording}", uv_per_unit=3.0)
    assert isinstance(source, FileSource)
    assert source.info.n_channels == 2
    assert source.info.channels[0].gain_uv == 3.0


def test_a_relative_path_is_found(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(recording.parent)
    assert open_uri("a.raw").info.n_samples == 10
    assert open_uri("file:a.raw").info.n_samples == 10


@pytest.mark.parametrize("uri", ["C:\\data\\absent.raw", "file:C:\\data\\absent.raw", "d:/data/absent.raw"])
def test_a_windows_drive_is_no_scheme(uri: str) -> None:
    with pytest.raises(DataError, match=r"absent\.raw: no such file") as caught:
        open_uri(uri)
    assert str(caught.value).startswith(uri.removeprefix("file:"))


def test_a_device_gets_its_address_the_settings_and_the_clock(device: list[tuple[Any, ...]]) -> None:
    settings, clock = SourceSettings(uri="rig:HOST:5556?x=1"), LslClock()
    assert open_source(settings, clock) == "the rig"  # type: ignore[comparison-overlap]
    assert device == [("HOST:5556?x=1", settings, clock)]


def test_an_unknown_scheme_is_refused_with_the_nearest(device: list[tuple[Any, ...]]) -> None:
    with pytest.raises(ConfigError, match=r"source\.uri: unknown scheme 'rigg'; did you mean 'rig'\?"):
        open_uri("rigg:x")
    with pytest.raises(ConfigError, match="unknown scheme 'fil'; did you mean 'file'"):
        open_uri("fil:a.raw")
    with pytest.raises(ConfigError, match="unknown scheme 'zzz'; known: file, lsl, pulses, rig"):
        open_uri("zzz:x")
    assert device == []


def test_no_source_at_all_says_how_to_name_one() -> None:
    with pytest.raises(ConfigError, match=r"source\.uri is missing; say --source URI"):
        open_uri(None)
