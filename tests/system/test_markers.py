"""Marker streams of LSL beside a running engine: marks with the markers' own times, in the stream and in the log."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pylsl
import pytest

import rtspikes
from tests.lsl_streams import unique_name
from tests.system.processes import Running, wait_until

NOW = pylsl.local_clock
KINDS = ("marks", "notices")


def config(folder: Path, *uris: str) -> Path:
    lines = ["[source]", 'uri = "sim:4?seconds=3600"', "[publish]", 'endpoint = "tcp://127.0.0.1:0"']
    for uri in uris:
        lines += ["[[markers]]", f'uri = "{uri}"']
    path = folder / "run.toml"
    path.write_text("\n".join(lines))
    return path


class Received:
    """What a subscriber has got so far: marks as (line, value, text, time, sample), and the causes of notices."""

    def __init__(self, subscriber: rtspikes.Subscriber) -> None:
        self.marks: list[tuple[int, int, str, float, int]] = []
        self.causes: list[str] = []
        self._subscriber = subscriber

    def wait(self, condition: Callable[[], object], what: str) -> None:
        def met() -> object:
            batch = self._subscriber.get(0.1)
            if batch is not None and batch.kind == "notices":
                self.causes.append(batch.fields["cause"])
            elif batch is not None and len(batch.marks):
                rows = zip(batch.marks, batch.texts, strict=True)
                self.marks += [
                    (int(m["line"]), int(m["value"]), text, float(m["time"]), int(m["sample"])) for m, text in rows
                ]
            return condition()

        wait_until(met, what)

    @property
    def texts(self) -> list[str]:
        return [mark[2] for mark in self.marks]


@pytest.fixture
def name() -> str:
    return unique_name()


def test_markers_become_marks_with_their_own_times(name: str, tmp_path: Path) -> None:
    path = config(tmp_path, f"lsl:name={name}-text", f"lsl:name={name}-ttl")
    text = pylsl.StreamOutlet(pylsl.StreamInfo(f"{name}-text", "Markers", 1, 0, "string", f"{name}-text"))
    with Running("run", path, "--log", tmp_path / "log") as engine:
        with rtspikes.subscribe(
            engine.endpoint(), kinds=("marks", "notices"), lossless=True, from_start=("notices",)
        ) as s:
            received = Received(s)
            received.wait(lambda: "markers_found" in received.causes, "the stream of texts")
            ttl = pylsl.StreamOutlet(pylsl.StreamInfo(f"{name}-ttl", "TTL", 1, 0, "int32", f"{name}-ttl"))
            received.wait(lambda: received.causes.count("markers_found") == 2, "the stream that came later")
            stamps = [NOW() - 0.5, NOW()]
            text.push_sample(["\x1b[2J10 µM bicuculline"], stamps[0])
            received.wait(lambda: len(received.marks) == 1, "the text")
            ttl.push_sample([255], stamps[1])
            received.wait(lambda: len(received.marks) == 2, "the number")
            assert received.marks[0][:4] == (1, 0, "\x1b[2J10 µM bicuculline", stamps[0])
            assert received.marks[1][:4] == (2, 255, "", stamps[1])
            samples = [mark[4] for mark in received.marks]
            info = s.info
            assert info is not None
            assert samples[1] - samples[0] == pytest.approx((stamps[1] - stamps[0]) * info["rate_hz"], abs=1)
            assert [line["uri"] for line in info["marker_lines"]] == [f"lsl:name={name}-text", f"lsl:name={name}-ttl"]
            engine.process.send_signal(signal.SIGINT)
            assert engine.finish() == 0, engine.err
    logged = rtspikes.read_session(tmp_path / "log.rtspikes").marks
    rows = [(int(m["line"]), int(m["value"]), int(m["sample"])) for m in logged]
    assert rows == [(1, 0, samples[0]), (2, 255, samples[1])]


def test_a_flood_of_markers_harms_neither_the_run_nor_what_comes_after(name: str, tmp_path: Path) -> None:
    with Running("run", config(tmp_path, f"lsl:name={name}")) as engine:
        with rtspikes.subscribe(engine.endpoint(), kinds=KINDS, lossless=True, from_start=KINDS) as s:
            received = Received(s)
            outlet = pylsl.StreamOutlet(pylsl.StreamInfo(name, "Markers", 1, 0, "string", name))
            received.wait(lambda: "markers_found" in received.causes, "the stream")
            for _ in range(200):
                outlet.push_chunk(["x" * 2000] * 500)
            received.wait(lambda: "markers_dropped" in received.causes, "the loss")
            # what comes while the flood is still taken in may be dropped, too
            received.wait(
                lambda: outlet.push_sample(["after"]) or "after" in received.texts, "a marker after the flood"
            )
            assert s.missed_total == 0
            engine.process.send_signal(signal.SIGINT)
            assert engine.finish() == 0, engine.err
