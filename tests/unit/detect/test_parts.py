"""However many tiles the channels lie in, and however many threads share them, the events are the same bytes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rtspikes.crew import ThreadCrew
from rtspikes.detect import detector, lanes
from rtspikes.detect.methods.energy import EnergyMethod
from rtspikes.detect.methods.matched import MatchedMethod
from rtspikes.detect.methods.signal import SignalMethod
from rtspikes.detect.methods.threshold import ThresholdMethod
from rtspikes.detect.settings import DetectSettings
from rtspikes.types import StreamInfo
from tests.unit.detect.options import CASES, CHANNELS, INFO, of, recording
from tests.unit.detect.streaming import joined, stream
from tests.unit.detect.test_option_invariance import MIXED

COPIES = 5
"""Arrays side by side, each the same a little later: 100 channels, which leaves a vector half full."""

LATER = 37
SAMPLES = recording(4000)
WIDE = np.hstack([np.roll(SAMPLES, LATER * i, axis=0) for i in range(COPIES)])
WIDE_INFO = replace(
    INFO,
    channels=tuple(
        replace(c, label=f"{c.label}.{i}", position=c.position + i * CHANNELS, well=f"{c.well}{i}")
        for i in range(COPIES)
        for c in INFO.channels
    ),
)


CASES_OF_THEIR_OWN = [name for name in CASES if name.startswith("everything") or "," not in name]


def found(settings: DetectSettings, crew: ThreadCrew | None = None, info: StreamInfo = WIDE_INFO) -> object:
    changes = [(sample, change) for sample, change in MIXED if not hasattr(change, "select")]
    return joined(
        stream([(0, WIDE[:2500]), (2600, WIDE[2500:])], info, settings, [700, 33], changes=changes, crew=crew)
    )


def wide(name: str) -> DetectSettings:
    """Return the case's settings; its groups of electrodes by label are one array's."""
    settings = CASES[name]
    if isinstance(settings.reference.groups, tuple):
        return of(reference=type(settings.reference)(settings.reference.kind, "well"), method=settings.method)
    return settings


@pytest.mark.parametrize("name", CASES_OF_THEIR_OWN)
def test_tiles_and_threads_change_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = wide(name)
    whole = found(settings)
    assert isinstance(whole, dict)
    assert len(whole["spikes"])
    for method in (SignalMethod, ThresholdMethod, EnergyMethod, MatchedMethod):
        monkeypatch.setattr(method, "widest_tile", lanes.COLUMNS if method.widest_tile > lanes.COLUMNS else 64)
    monkeypatch.setattr(detector, "WORTH_SHARING", 0)
    assert found(settings) == whole
    with ThreadCrew(3) as crew:
        assert found(settings, crew) == whole


def test_each_copy_has_the_events_of_one_alone() -> None:
    settings = of()
    alone = stream([(0, SAMPLES)], INFO, settings, [4000])
    together = stream([(0, WIDE)], WIDE_INFO, settings, [4000])
    first = [
        np.concatenate(
            [e.spikes[e.spikes["channel"] < CHANNELS][["sample", "channel", "amplitude_uv"]] for e in events]
        )
        for events in (alone, together)
    ]
    np.testing.assert_array_equal(*first)
    assert len(first[0]) > 20
