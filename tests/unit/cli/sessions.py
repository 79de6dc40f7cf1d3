"""Session logs made by hand, with all of the `info` that an engine writes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rtspikes.config import config_from, noise_from_file
from rtspikes.detect.detector import Detector
from rtspikes.sources.formats import open_recording
from rtspikes.subscribers.log.writer import LogWriter
from rtspikes.wire.batch import Batch
from rtspikes.wire.messages import session_facts
from tests.unit.subscribers.batches import HandClock, spikes


def session(
    recording: Path, settings: dict[str, Any] | None = None, *batches: Batch, end: int | None = None, **facts: Any
) -> Path:
    """Return the log of a run on `recording`, with `batches` in it; the engine ended at `end`."""
    config, info = config_from(settings or {}), open_recording(recording).info
    detector = Detector(info, config.detect, config.channels, sigma_uv=noise_from_file(config, info))
    told = session_facts(info, detector, config.channels) | {"session": "s1", "first_sample": 0} | facts
    path = recording.with_name("s.rtspikes")
    writer = LogWriter(path, told, HandClock())
    for batch in batches:
        writer.add(batch)
    writer.close("end", None if end is None else {"reason": "", "counts": {}, "to_sample": end})
    return path


def heard(first: int, **about: Any) -> Batch:
    """Return the batch of a spike."""
    return replace(spikes(first, 1, **about), waveforms=np.zeros((1, 60), np.float32))
