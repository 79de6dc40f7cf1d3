"""What a source remarks, and what other streams mark: told in order, at once when nothing comes, and in the log."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

import rtspikes
from rtspikes.clock import LslClock
from rtspikes.config import config_from
from rtspikes.engine import Engine
from rtspikes.engine.remarks import MOST_PER_S
from rtspikes.protocols import Anchor, Hole, Pull, Remark
from rtspikes.subscribers.log.reader import read_session
from rtspikes.subscribers.log.record import record_session
from rtspikes.subscribers.log.writer import LOGGED_KINDS
from rtspikes.types import GapCause, Samples
from tests.simulated import stream_info
from tests.system.markers import FakeMarkers, Marker
from tests.system.processes import wait_until
from tests.system.sources import ArraySource, LayoutSource
from tests.system.test_engine import SAMPLES, config, run
from tests.system.test_sessions import Reader


class Ordered(threading.Thread):
    """Keeps notices and crossings in the order in which they came."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(daemon=True)
        self._endpoint = endpoint
        self.notices: list[dict[str, Any]] = []
        self.wrong: list[tuple[int, int]] = []
        self._reached = -1
        self.start()

    def run(self) -> None:
        with rtspikes.subscribe(self._endpoint, kinds=("notices", "crossings")) as subscriber:
            for batch in subscriber:
                if batch.kind == "crossings":
                    if len(batch.crossings):
                        self._reached = int(batch.crossings["crossing"].max())
                elif batch.fields["cause"].startswith("test"):
                    self.notices.append(batch.fields)
                    if self._reached >= batch.fields["sample"]:
                        self.wrong.append((self._reached, batch.fields["sample"]))


@pytest.mark.parametrize("sizes", [[64], [700], [4096, 1, 333]], ids=str)
def test_notices_of_the_source_come_before_the_events_behind_them(sizes: list[int]) -> None:
    rows = [0, 1, 5000, 12345, 20000, 20000, 33000, len(SAMPLES)]
    remarks = {
        row: [Remark(0, f"test{i}", f"at {row}", 3, {"row": row}) for i in range(rows.count(row))] for row in rows
    }
    source = ArraySource(stream_info(5), SAMPLES, sizes, {12000: 100}, remarks=remarks)
    with Engine(config(), source=source) as engine:
        ordered = Ordered(engine.endpoint)
        engine.start()
        wait_until(lambda: engine.subscribers, "subscribing")
        engine.release()
        wait_until(lambda: engine.wait(0.01), "the end of the run")
        ordered.join(60)
    assert ordered.wrong == []
    assert [n["row"] for n in ordered.notices] == rows
    assert [n["sample"] for n in ordered.notices] == [row + 100 * (row >= 12000) for row in rows]
    assert {n["count"] for n in ordered.notices} == {3}


class Silent(ArraySource):
    """Says something at its gate, where nothing comes."""

    said = threading.Event()

    def pull(self, destination: Samples) -> Pull:
        pull = super().pull(destination)
        if pull.n == 0 and not self.said.is_set():
            self.said.set()
            return Pull(0, (Hole(0, 40, GapCause.RECONNECT, 3),), remarks=(Remark(0, "test_silent", "nothing comes"),))
        return pull


def test_a_silent_source_is_heard_at_once() -> None:
    source = Silent(stream_info(5, live=True), SAMPLES, [500], gate_at=21000)
    with Engine(config(), source=source) as engine:
        reader = Reader(engine.endpoint, kinds=("notices", "gaps"))
        engine.start()
        wait_until(reader.joined.is_set, "joining")
        engine.release()
        wait_until(lambda: any(b.kind == "notices" for bs in reader.sessions.values() for b in bs), "the notice")
        assert not source.gate.is_set()
        source.gate.set()
        wait_until(lambda: engine.wait(0.01), "the end of the run")
        reader.join(60)
    (batches,) = reader.sessions.values()
    (notice,) = [b.fields for b in batches if b.kind == "notices"]
    (gap,) = [b.gaps for b in batches if b.kind == "gaps"]
    assert (notice["cause"], notice["sample"]) == ("test_silent", 21040)
    assert gap[["sample", "lost", "cause", "uncertain"]].tolist() == [(21000, 40, GapCause.RECONNECT, 3)]


def test_a_burst_of_remarks_is_bounded_and_nothing_of_it_goes_uncounted() -> None:
    remarks = {row: [Remark(0, "test", "again")] for row in range(0, 30000, 10)}
    collector, engine = run(ArraySource(stream_info(5), SAMPLES, [1000], remarks=remarks), config())
    notices = [b.fields for b in collector.batches["notices"] if b.fields["cause"] == "test"]
    assert sum(n["count"] for n in notices) + engine.status["remarks_dropped"] == len(remarks)
    assert len(notices) <= (engine.status["elapsed_s"] + 2) * 2 * MOST_PER_S


class Flooding(ArraySource):
    """A live source that brings more than a ring holds before anything is detected, and remarks each piece."""

    def __init__(self, *what: Any) -> None:
        super().__init__(*what)
        self.at: list[int] = []

    def pull(self, destination: Samples) -> Pull:
        self.at.append(self._at)
        pull = super().pull(destination)
        return pull._replace(remarks=(Remark(0, f"test{self.at[-1] // 4000}", "a piece"),))


def test_what_is_remarked_on_rows_that_found_no_room_is_told() -> None:
    settings = config_from({"publish": {"endpoint": "tcp://127.0.0.1:0"}, "ring": {"seconds": 0.71}})
    source = Flooding(stream_info(5, live=True), SAMPLES, [400])
    with Engine(settings, source=source) as engine:
        reader = Reader(engine.endpoint, kinds=("notices", "gaps"))
        engine.start()
        wait_until(reader.joined.is_set, "joining")
        session = engine._session  # noqa: SLF001
        step, held = session.step, threading.Event()
        session.step = lambda: step() if session.acquired.is_set() else not held.wait(0.01)  # type: ignore[method-assign]
        engine.release()
        wait_until(lambda: engine.wait(0.01), "the end of the run")
        reader.join(60)
    (batches,) = reader.sessions.values()
    assert sum(int(b.gaps["lost"].sum()) for b in batches) == engine.status["counts"]["lost_overrun"] > 0
    notices = [b.fields for b in batches if b.kind == "notices" and b.fields["cause"].startswith("test")]
    assert [n["sample"] for n in notices] == source.at


@pytest.mark.parametrize("cause", [GapCause.PAUSE, GapCause.RECONNECT, GapCause.BUFFER])
def test_a_gap_that_is_known_roughly_is_so_in_the_log(tmp_path: Path, cause: GapCause) -> None:
    class Rough(ArraySource):
        def pull(self, destination: Samples) -> Pull:
            pull = super().pull(destination)
            return pull._replace(holes=tuple(hole._replace(cause=cause, uncertain=7) for hole in pull.holes))

    source = Rough(stream_info(5), SAMPLES, [500], {12000: 90})
    ready = threading.Event()
    with (
        Engine(config(), source=source) as engine,
        rtspikes.subscribe(engine.endpoint, kinds=LOGGED_KINDS, lossless=True) as subscriber,
    ):
        arguments = (subscriber, tmp_path / "a.rtspikes", LslClock())
        logger = threading.Thread(target=record_session, args=arguments, kwargs={"ready": lambda log: ready.set()})
        logger.start()
        engine.start()
        wait_until(ready.is_set, "logging")
        engine.release()
        wait_until(lambda: engine.wait(0.01), "the end of the run")
        logger.join(60)
    (gap,) = read_session(tmp_path / "a.rtspikes").gaps
    assert gap[["sample", "lost", "cause", "uncertain"]].tolist() == (12000, 90, cause, 7)
    counts = engine.status["counts"]
    lost = (0, 90) if cause is GapCause.BUFFER else (90, 0)
    assert (counts["lost_source"], counts["lost_overrun"]) == lost


class Anchored(ArraySource):
    """Sample 0 was at 1000 s."""

    def pull(self, destination: Samples) -> Pull:
        pull = super().pull(destination)
        return pull._replace(anchors=tuple(Anchor(0, 1000.0, 20000.0) for _ in pull.anchors))


def test_markers_become_marks_over_all_sessions() -> None:
    markers = FakeMarkers()
    gated = Anchored(stream_info(5, live=True), SAMPLES, [500], gate_at=21000)
    second = Anchored(stream_info(3, live=True), SAMPLES[:, :3].copy(), [500], gate_at=21000)
    with Engine(config(), source=LayoutSource(gated, second), markers=markers) as engine:
        reader = Reader(engine.endpoint, kinds=("marks", "notices", "end"))
        engine.start()
        wait_until(reader.joined.is_set, "joining")
        engine.release()
        markers.add(Marker(1000.5, 1, 4, "early"))
        markers.told.append(Remark(0, "markers_found", "there", facts={"line": 1}))
        wait_until(lambda: engine.status.get("counts", {}).get("marks") == 1, "the first mark")
        gated.gate.set()
        wait_until(lambda: engine.part == 2 and engine.status.get("to_sample") == 21000, "the second session")
        markers.add(Marker(1001.0, 1, 5, "late"))
        second.gate.set()
        wait_until(lambda: engine.wait(0.01), "the end of the run")
        reader.join(60)
    marks = [(b.marks.tolist(), b.texts) for bs in reader.sessions.values() for b in bs if b.kind == "marks"]
    assert marks == [([(10000, 1000.5, 1, 4)], ("early",)), ([(20000, 1001.0, 1, 5)], ("late",))]
    notices = [b.fields for bs in reader.sessions.values() for b in bs if b.kind == "notices"]
    assert [(n["cause"], n["line"]) for n in notices if "line" in n] == [("markers_found", 1)]
    assert all(info["marker_lines"] == markers.lines() for info in reader.infos.values())
    assert engine.status["markers"] == {**markers.status(), "dropped": 0}
    assert (markers.entered, markers.left) == (1, 1)
    assert engine.totals["counts"]["marks"] == 2
