"""Envelopes: whole = any cuts = plain NumPy, gaps and holes included, and nothing of detection is changed by them."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rtspikes.crew import ThreadCrew
from rtspikes.detect.detector import Detector
from rtspikes.detect.envelope import Envelopes
from rtspikes.detect.settings import DetectSettings
from rtspikes.protocols import Crew
from rtspikes.types import StreamInfo
from tests.simulated import GAIN_UV, simulate, stream_info
from tests.unit.detect.options import CASES, INFO, in_float, recording
from tests.unit.detect.streaming import Results, Segments, cut, joined

SIZE = 5
RECORDING = recording(3000)
HOLES: Segments = [
    (7, RECORDING[:1003]),
    (1012, RECORDING[1003:1501]),  # 2 samples lost, within a bin
    (1510, RECORDING[1501:1505]),  # all bins whole
    (1514, RECORDING[1505:1800]),  # a seam: nothing lost
    (5000, RECORDING[1800:]),
]
KEYS = [(c, of) for c in (0, 3, 19) for of in ("filtered", "raw", "compared")]

Bins = dict[tuple[int, str], dict[int, bytes]]


def detect(
    segments: Segments,
    info: StreamInfo,
    settings: DetectSettings,
    sizes: Sequence[int],
    keys: Sequence[tuple[int, str]] = KEYS,
    crew: Crew | None = None,
) -> tuple[Bins, Results]:
    """Return low and high of each bin that was found, and the events."""
    begin = segments[0][0]
    detector = Detector(info, settings, (), begin, crew=crew)
    envelopes = Envelopes(detector, SIZE, 2000, 64)
    envelopes.watch(keys)
    held = [(np.ascontiguousarray(x[: begin + detector.initial_samples - first]), first) for first, x in segments
            if first < begin + detector.initial_samples]  # fmt: skip
    detector.learn(held, restarts=[first for first, _ in segments[1:]])
    results, found = Results(), {key: dict[int, bytes]() for key in keys}

    def take(ended: bool) -> None:
        for key in keys:
            for run in envelopes.take(key, ended):
                for i, pair in enumerate(np.stack([run.low, run.high], 1)):
                    number = run.sample + i * SIZE
                    assert number not in found[key]
                    found[key][number] = pair.tobytes()

    for i, (first, x) in enumerate(segments):
        for a, b in cut(len(x), sizes):
            results.append(detector.process(np.ascontiguousarray(x[a:b]), first + a, restart=i > 0 and a == 0))
            if (a + b) % 3:
                take(False)
    results.append(detector.finish())
    take(True)
    results.counts, results.observed = detector.counts, detector.observed
    return found, results


def reference(segments: Segments, info: StreamInfo, settings: DetectSettings) -> Bins:
    """Return the same, worked out from what another detector says of each sample."""
    begin = segments[0][0]
    detector = Detector(info, settings, (), begin)
    held = [(np.ascontiguousarray(x[: begin + detector.initial_samples - first]), first) for first, x in segments
            if first < begin + detector.initial_samples]  # fmt: skip
    detector.learn(held, restarts=[first for first, _ in segments[1:]])
    delay = 0 if detector.compares_signal else detector.method.delay
    values: dict[tuple[int, str], list[tuple[int, NDArray[Any]]]] = {key: [] for key in KEYS}
    gain = np.array([c.gain_uv for c in info.channels], np.float32)
    for i, (first, x) in enumerate(segments):
        for a, b in cut(len(x), [min(100, detector.longest_look)]):
            detector.process(np.ascontiguousarray(x[a:b]), first + a, restart=i > 0 and a == 0)
            with np.errstate(all="ignore"):
                raw = x[a:b].astype(np.float32) * gain
            for c, of in KEYS:
                if of == "raw":
                    values[c, of].append((first + a, raw[:, c]))
                elif of == "filtered":
                    values[c, of].append((first + a, detector.filtered([c], first + a, first + b)[:, 0]))
                elif (begun := max(first + a, first + delay)) < first + b:
                    values[c, of].append((begun - delay, detector.compared([c], begun, first + b)[:, 0]))
    found: Bins = {}
    for key, pieces in values.items():
        bins: dict[int, list[NDArray[Any]]] = {}
        for first, piece in pieces:
            good = np.abs(piece) <= 1e9 if key[1] == "raw" else np.ones(len(piece), bool)
            for number in np.unique((first + np.flatnonzero(good)) // SIZE):
                inside = good & ((first + np.arange(len(piece))) // SIZE == number)
                bins.setdefault(int(number) * SIZE, []).append(piece[inside])
        found[key] = {
            number: np.array([min(map(np.min, parts)), max(map(np.max, parts))], np.float32).tobytes()
            for number, parts in bins.items()
        }
    return found


@pytest.mark.parametrize(
    "case", ["threshold", "energy", "hoop", "window", "matched", "everything, energy", "median of wells", "blanking"]
)
def test_whole_is_any_cuts_is_plain_numpy(case: str) -> None:
    settings = CASES[case]
    wanted = reference(HOLES, INFO, settings)
    assert len(wanted[0, "raw"]) > 590
    assert [n for n in range(1000, 1020, 5) if n not in wanted[0, "raw"]] == []
    assert wanted[0, "filtered"].keys() == wanted[0, "raw"].keys()
    rng = np.random.default_rng(3)
    for sizes in ([4096], [1], [20], [7, 64, 333], rng.integers(1, 400, 50).tolist()):
        found, _ = detect(HOLES, INFO, settings, sizes)
        assert found == wanted, sizes


def test_float_samples_and_what_is_no_voltage() -> None:
    uv, info = in_float(RECORDING)
    segments: Segments = [(0, uv)]
    wanted = reference(segments, info, CASES["threshold"])
    assert len(wanted[3, "raw"]) < len(wanted[3, "filtered"]) == 600  # which was held where there is no voltage
    for sizes in ([4096], [1], [33]):
        assert detect(segments, info, CASES["threshold"], sizes)[0] == wanted


def test_looking_changes_no_event() -> None:
    for case in ("threshold", "everything, matched"):
        watched, unwatched = (detect(HOLES, INFO, CASES[case], [200], keys)[1] for keys in (KEYS, []))
        assert joined(watched) == joined(unwatched)
        assert sum(watched.counts) > 10


@pytest.mark.parametrize("method", ["threshold", "energy"])
def test_lanes_of_several_threads_are_found(method: str) -> None:
    samples = simulate(300, 0.4)[0]
    info, settings = stream_info(300), DetectSettings(method=method)  # type: ignore[arg-type]
    keys = [(c, of) for c in (0, 31, 32, 150, 255, 256, 299) for of in ("filtered", "compared")]
    with ThreadCrew(2) as crew:
        shared, _ = detect([(0, samples)], info, settings, [5000], keys, crew)
    assert shared == detect([(0, samples)], info, settings, [5000], keys)[0]
    assert len(set(map(str, shared.values()))) == len(keys) // (2 if method == "threshold" else 1)


def test_a_bin_is_taken_once_it_is_complete_and_memory_is_bounded() -> None:
    detector = Detector(stream_info(2), DetectSettings(), sigma_uv=np.ones(2, np.float32))
    envelopes = Envelopes(detector, 10, 3, 2)
    assert detector.tap is None
    envelopes.watch({(1, "raw"), (0, "raw"), (0, "filtered")})  # one more than there is memory for
    ramp = np.arange(100, dtype=np.int16)[:, None] * np.array([1, -1], np.int16)
    detector.process(ramp[:12], 0)
    (run,) = envelopes.take((0, "raw"))
    assert (run.sample, run.low.tolist()) == (0, [0.0])
    np.testing.assert_allclose(run.high, [9 * GAIN_UV], rtol=1e-6)
    assert envelopes.take((0, "raw")) == []
    assert envelopes.short_of(1) == []
    assert envelopes.short_of(3) == [(0, "filtered"), (0, "raw")]
    detector.process(ramp[12:80], 12)
    assert [(r.sample, len(r.low)) for r in envelopes.take((0, "raw"))] == [(10, 3)]  # the rest had no room
    envelopes.watch({(1, "raw")})
    detector.process(ramp[80:85], 80)
    assert envelopes.take((1, "raw")) == []
    assert [(r.sample, len(r.low)) for r in envelopes.take((1, "raw"), ended=True)] == [(80, 1)]
    envelopes.watch(())
    assert detector.tap is None


def test_what_a_call_allocates_does_not_grow_with_the_samples_in_it() -> None:
    signal = np.random.default_rng(1).integers(-50, 50, (30_000, 64)).astype(np.int16)
    detector = Detector(stream_info(64), DetectSettings(threshold=50))
    detector.learn([(signal[: detector.initial_samples], 0)])
    envelopes = Envelopes(detector, SIZE, 1000, 64)
    envelopes.watch({(c, of) for c in range(16) for of in ("raw", "filtered")})
    detector.process(signal[:20000], 0)
    peaks, at = [], 20000
    tracemalloc.start()
    try:
        for n in (100, 2000):
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            detector.process(signal[at : at + n], at)
            peaks.append(tracemalloc.get_traced_memory()[1] - before)
            at += n
    finally:
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 4096, peaks
