"""The detector's benchmark tells what it promises, and the detector beats SciPy by hand in the same run."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from bench import __main__ as bench
from bench import detector
from bench.peers import by_scipy
from bench.peers.process import passes
from bench.pinned import one_core
from bench.recordings import planted

LEAST_TIMES_SCIPY = 3
"""What a busy computer leaves of the 20 times that are aimed at."""


def test_json_has_the_promised_figures(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(detector, "COPY_BYTES", 1 << 26)
    monkeypatch.setattr(detector, "PASS_SAMPLES", 1)
    monkeypatch.setattr(sys, "argv", ["bench", "detector", "--channels", "256", "--chunk-ms", "1", "--json"])
    bench.main()
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    speed, copied = told["msamples_per_s"], told["copy_msamples_per_s"]
    assert (told["settings"], told["channels"], told["chunk_ms"], told["dead"]) == ("default", 256, 1, "none")
    assert told["ratio"] == pytest.approx(speed / copied, abs=1e-3)
    assert told["channels_at_20khz"] == pytest.approx(speed * 1e6 / 20e3, rel=0.02)
    assert told["us_per_call"] == pytest.approx(20 * 256 / speed, rel=0.02)
    assert [(row["settings"], row["dead"], row["ratio"]) for row in told["rows"]] == [
        ("default", "none", ""),
        ("default", "1 in 16", ""),
        ("order 1", "none", ""),
    ]


@pytest.mark.parametrize("settings", [{"threshold": 20.0}, {"threshold": 2.0}])
def test_a_figure_without_the_planted_spikes_is_refused(
    settings: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detector, "PASS_SAMPLES", 1)
    signal = planted(4, 1.0)
    runner = detector.Runner(signal.samples, len(signal.sample), 20, settings)
    with pytest.raises(RuntimeError, match="no figure"):
        runner.msamples_per_s()


def test_the_detector_is_faster_than_scipy_by_hand() -> None:
    with one_core():
        signal = planted(1024, 1.0)
        ours = detector.Runner(signal.samples, len(signal.sample), 20)
        theirs = by_scipy.prepare(signal.samples, 20)
        times = []
        for _ in range(5):
            took_s = passes(theirs)[1]
            times.append(ours.msamples_per_s() * took_s * 1e6 / signal.samples.size)
    assert np.median(times) >= LEAST_TIMES_SCIPY, times
