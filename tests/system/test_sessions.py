"""A stream whose layout changes: another session in the same run, for every kind of subscriber, and nothing lost."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rtspikes
from rtspikes.cli.children import READY
from rtspikes.clock import LslClock
from rtspikes.config import Config, config_from
from rtspikes.detect.settings import DetectSettings
from rtspikes.engine import Engine
from rtspikes.errors import ConfigError, EngineVanished
from rtspikes.subscribers.log.reader import Session, read_session
from rtspikes.subscribers.log.record import record_session
from rtspikes.subscribers.log.writer import LOGGED_KINDS
from rtspikes.types import StreamInfo
from rtspikes.wire.batch import Batch
from rtspikes.wire.codec import TABLES, decode
from rtspikes.wire.subscribe import Subscriber
from tests.peers.programs import block
from tests.simulated import simulate, stream_info
from tests.system.processes import Running, said, wait_until
from tests.system.sources import ArraySource, LayoutSource, segments
from tests.unit.detect.streaming import stream

KINDS = ("spikes", "crossings", "rejected", "gaps", "thresholds", "notices", "end")

LAYOUTS = ((5, 20000.0), (3, 20000.0), (6, 25000.0))
"""Channels and rate (Hz) of one session after the other."""

SIGNALS = [simulate(n_channels=n, seconds=1.5, rate_hz=rate, seed=n)[0] for n, rate in LAYOUTS]
HOLES = {9000: 30}


def layouts(live: bool = False, gate_at: int | None = None) -> list[ArraySource]:
    infos = [stream_info(n, rate, live=live) for n, rate in LAYOUTS]
    return [ArraySource(i, s, [700], HOLES, gate_at) for i, s in zip(infos, SIGNALS, strict=True)]


def config(**more: Any) -> Config:
    return config_from({"publish": {"endpoint": "tcp://127.0.0.1:0"} | more.pop("publish", {}), **more})


class Reader(threading.Thread):
    """Subscribes in a thread of its own; keeps every batch by session, and `info` as it was with its first batch."""

    def __init__(self, endpoint: str, wait: Callable[[], object] = lambda: None, **how: Any) -> None:
        super().__init__(daemon=True)
        self._endpoint, self._wait, self._how = endpoint, wait, how
        self.sessions: dict[str, list[Batch]] = {}
        self.infos: dict[str, dict[str, Any]] = {}
        self.positions: list[dict[str, Any]] = []
        self.error: Exception | None = None
        self.missed: list[Any] = []
        self.joined = threading.Event()
        self.start()

    def run(self) -> None:
        try:
            with rtspikes.subscribe(self._endpoint, **{"kinds": KINDS} | self._how) as subscriber:
                while subscriber.info is None:
                    self._keep(subscriber.get(0.01), subscriber)
                self.joined.set()
                self._wait()
                for batch in subscriber:
                    self._keep(batch, subscriber)
                self.end = subscriber.end
        except rtspikes.RtspikesError as error:
            self.error = error

    def _keep(self, batch: Batch | None, subscriber: Subscriber) -> None:
        if batch is not None:
            self.sessions.setdefault(batch.session, []).append(batch)
            self.infos.setdefault(batch.session, subscriber.info or {})
            self.positions.append(subscriber.position)
            self.missed += batch.missed

    def table(self, session: str, kind: str) -> np.ndarray[Any, Any]:
        found = [getattr(b, kind) for b in self.sessions[session] if b.kind == kind]
        return np.concatenate([np.zeros(0, TABLES[kind]), *found])

    def ends(self) -> list[dict[str, Any]]:
        return [b.fields for batches in self.sessions.values() for b in batches if b.kind == "end"]


def run(engine: Engine, reader: Reader, lost: Callable[[int, int, str], bool] | None = None) -> None:
    """Run an engine to its end once the reader has joined; from then on `lost` says what does not reach it."""
    engine.start()
    wait_until(reader.joined.is_set, "joining")
    if lost is not None:
        Lossy(engine, lost)
    engine.release()
    wait_until(lambda: engine.wait(0.01), "the end of the run")


def assert_whole(reader: Reader, parts: tuple[int, ...] = (1, 2, 3)) -> None:
    """Check that the reader got exactly the events of these layouts, and each under the `info` of its session."""
    assert reader.error is None
    assert reader.missed == []
    assert [info["part"] for info in reader.infos.values()] == list(parts)
    assert len({info["run"] for info in reader.infos.values()}) == 1
    for session, part in zip(reader.sessions, parts, strict=True):
        (n, rate), samples = LAYOUTS[part - 1], SIGNALS[part - 1]
        info = reader.infos[session]
        assert (info["session"], info["n_channels"], info["rate_hz"]) == (session, n, rate)
        events = stream(segments(samples, HOLES), stream_info(n, rate), DetectSettings(), [4096])
        for kind in ("spikes", "crossings", "rejected"):
            found, wanted = reader.table(session, kind), np.concatenate([getattr(e, kind) for e in events])
            found["time"] = 0
            np.testing.assert_array_equal(found, wanted)
        assert reader.table(session, "gaps")["lost"].tolist() == list(HOLES.values())


@pytest.mark.parametrize("live", [False, True], ids=["paced", "live"])
@pytest.mark.parametrize("how", [{}, {"lossless": True}], ids=["plain", "lossless"])
def test_each_layout_is_a_session_of_its_own_and_subscribers_go_on_by_themselves(
    how: dict[str, Any], live: bool
) -> None:
    source = LayoutSource(*layouts(live))
    with Engine(config(), source=source) as engine:
        reader = Reader(engine.endpoint, **how)
        run(engine, reader)
        reader.join(60)
    assert_whole(reader)
    assert source.started == [0, 1, 2]
    names = list(reader.sessions)
    assert [end.get("next_session") for end in reader.ends()] == [*names[1:], None]
    assert [end["reason"] for end in reader.ends()] == ["another layout", "another layout", "end of source"]
    for end, samples in zip(reader.ends(), SIGNALS, strict=True):
        assert end["to_sample"] == len(samples) + sum(HOLES.values())
    assert {p["session"] for p in reader.positions} == set(names)
    assert engine.totals["counts"]["spikes"] == sum(len(reader.table(name, "spikes")) for name in names)
    assert engine.part == 3
    for batches in reader.sessions.values():
        for kind in KINDS:
            numbers = [b.fields["seq"] for b in batches if b.kind == kind]
            assert numbers == list(range(numbers[0] if numbers else 0, len(numbers) + (numbers[0] if numbers else 0)))
            assert kind == "status" or batches is reader.sessions[names[0]] or not numbers or numbers[0] == 0


class Lossy:
    """A publisher's socket that does not deliver what `lost(part, n, kind)` names: the n-th message of a session."""

    def __init__(self, engine: Engine, lost: Callable[[int, int, str], bool]) -> None:
        publisher = engine._service.publisher  # noqa: SLF001
        self._socket, self._lost = publisher._socket, lost  # noqa: SLF001
        self._sessions: dict[str, int] = {}
        publisher._socket = self  # type: ignore[assignment] # noqa: SLF001

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def send_multipart(self, frames: list[bytes]) -> None:
        message = decode(frames)
        n = self._sessions[message.session] = self._sessions.get(message.session, -1) + 1
        if not self._lost(list(self._sessions).index(message.session) + 1, n, message.kind):
            self._socket.send_multipart(frames)


LOSSES: dict[str, Callable[[int, int, str], bool]] = {
    "info": lambda part, n, kind: part > 1 and kind == "info",
    "end": lambda part, n, kind: part < 3 and kind == "end",
    "end and info": lambda part, n, kind: (part > 1 and kind == "info") or (part < 3 and kind == "end"),
    "a whole session": lambda part, n, kind: part == 2,
    "from one's tail to another's begin": lambda part, n, kind: (
        (part == 1 and n > 20) or part == 2 or (part == 3 and n < 12)
    ),
    "all from a tail on": lambda part, n, kind: part > 1 or n > 20,
    "all but the last end": lambda part, n, kind: (part > 1 or n > 20) and (part, kind) != (3, "end"),
    "all but ends": lambda part, n, kind: (part > 1 or n > 20) and kind != "end",
}


@pytest.mark.parametrize("lost", LOSSES)
@pytest.mark.parametrize("live", [False, True], ids=["paced", "live"])
def test_a_lossless_subscriber_gets_every_session_whatever_is_lost_at_the_turns(lost: str, live: bool) -> None:
    with Engine(config(publish={"linger_s": 60.0}), source=LayoutSource(*layouts(live))) as engine:
        reader = Reader(engine.endpoint, lossless=True)
        run(engine, reader, LOSSES[lost])
    reader.join(60)
    assert_whole(reader)


def test_a_plain_subscriber_needs_no_info_on_the_wire_to_go_on() -> None:
    first, second, third = layouts()
    second = ArraySource(second.info, SIGNALS[1], [700], HOLES, gate_at=700)  # a reader that keeps up: 64 messages wait
    with Engine(config(), source=LayoutSource(first, second, third)) as engine:
        reader = Reader(engine.endpoint)
        engine.start()
        wait_until(reader.joined.is_set, "joining")
        Lossy(engine, lambda part, n, kind: part == 2 and kind == "info")
        engine.release()
        wait_until(lambda: len(reader.sessions) == 2, "the second session")
        second.gate.set()
        wait_until(lambda: engine.wait(0.01), "the end of the run")
        reader.join(60)
    assert_whole(reader)


def test_a_plain_subscriber_is_told_of_sessions_that_went_by() -> None:
    with Engine(config(), source=LayoutSource(*layouts())) as engine:
        reader = Reader(engine.endpoint)
        run(engine, reader, LOSSES["from one's tail to another's begin"])
        reader.join(60)
    assert reader.error is None
    assert [info["part"] for info in reader.infos.values()] == [1, 3]
    told = {(m.kind, m.first_seq): m.count for m in reader.missed}
    assert told["end", 0] == 2
    third = list(reader.sessions.values())[1]
    (first,) = [b for b in third if b.kind == "spikes"][:1]
    assert told["spikes", 0] == first.fields["seq"] > 0


@pytest.mark.parametrize("lost", ["end", "end and info", "from one's tail to another's begin"])
def test_the_protocols_lossless_program_follows_without_loss(lost: str, tmp_path: Path) -> None:
    (tmp_path / "lossless.py").write_text(block("python: lossless"), "utf-8")
    with Engine(config(publish={"linger_s": 60.0}), source=LayoutSource(*layouts()[:2])) as engine:
        command = [sys.executable, str(tmp_path / "lossless.py"), engine.endpoint, str(tmp_path / "position")]
        program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        engine.start()
        wait_until(lambda: engine.subscribers or program.poll() is not None, "subscribing")
        wait_until(lambda: engine.status.get("reply", {}).get("holding"), "joining")
        Lossy(engine, lambda part, n, kind: LOSSES[lost](part, n, kind) and (part, kind) != (2, "end"))
        engine.release()
        wait_until(lambda: engine.wait(0.01), "the end of the run")
    out, err = program.communicate(timeout=60)
    assert (program.returncode, err) == (0, "")
    wanted = [
        spike["id"]
        for (n, rate), samples in zip(LAYOUTS[:2], SIGNALS, strict=False)
        for events in stream(segments(samples, HOLES), stream_info(n, rate), DetectSettings(), [4096])
        for spike in events.spikes
    ]
    assert [int(line) for line in out.split()] == wanted


def test_latest_hands_on_the_newest_of_the_newest_session() -> None:
    source = LayoutSource(*layouts())
    with Engine(config(), source=source) as engine:
        reader = Reader(engine.endpoint, latest=True)
        run(engine, reader)
        reader.join(60)
    assert reader.error is None
    assert reader.missed == []
    last = list(reader.sessions.values())[-1]
    (end,) = [b for b in last if b.kind == "end"]
    assert "next_session" not in end.fields
    assert max(b.to_sample for b in last if b.kind == "spikes") == end.fields["to_sample"]


def logged(path: Path, settings: Config, source: LayoutSource) -> tuple[Engine, list[Path]]:
    """Run `source` with a logger; return the logs that it made."""
    ready = threading.Event()
    logs: list[Path] = []
    with Engine(settings, source=source) as engine, rtspikes.subscribe(
        engine.endpoint, kinds=LOGGED_KINDS, lossless=True
    ) as subscriber:  # fmt: skip

        def log() -> None:
            done = record_session(subscriber, path, LslClock(), ready=lambda log: ready.set())
            logs.extend(one.path for one in done)

        logger = threading.Thread(target=log, daemon=True)
        logger.start()
        engine.start()
        wait_until(ready.is_set, "logging")
        engine.release()
        wait_until(lambda: engine.wait(0.01), "the end of the run")
        logger.join(60)
    return engine, logs


def assert_log(log: Session, part: int) -> None:
    (n, rate), samples = LAYOUTS[part - 1], SIGNALS[part - 1]
    events = stream(segments(samples, HOLES), stream_info(n, rate), DetectSettings(), [4096])
    spikes, wanted = np.array(log.spikes), np.concatenate([e.spikes for e in events])
    spikes["time"] = 0
    np.testing.assert_array_equal(spikes, wanted)
    assert (log.facts["part"], log.info["part"], log.info["n_channels"]) == (part, part, n)
    assert log.to_sample == len(samples) + sum(HOLES.values())
    assert log.missed == 0


def test_the_log_goes_on_in_a_folder_of_its_own_for_each_layout(tmp_path: Path) -> None:
    (tmp_path / "a-2.rtspikes").mkdir()  # somebody else's: never touched
    _, paths = logged(tmp_path / "a.rtspikes", config(), LayoutSource(*layouts()))
    assert [p.name for p in paths] == ["a.rtspikes", "a-3.rtspikes", "a-4.rtspikes"]
    logs = [read_session(p) for p in paths]
    for part, log in enumerate(logs, 1):
        assert_log(log, part)
    assert [log.ended for log in logs] == ["another layout", "another layout", "end"]
    assert [log.facts["follows"] for log in logs] == [None, "a.rtspikes", "a-3.rtspikes"]
    assert all(log.facts["ended"]["engine"] for log in logs)
    assert list((tmp_path / "a-2.rtspikes").iterdir()) == []


def test_commands_that_listen_and_log_say_when_a_session_begins(tmp_path: Path) -> None:
    source = LayoutSource(*layouts()[:2])
    with (
        Engine(config(), source=source) as engine,
        Running("listen", engine.endpoint, "--json") as listen,
        Running("log", engine.endpoint, tmp_path / "a") as log,
        Running("log", engine.endpoint, tmp_path / "b", "--child") as child,
    ):
        engine.start()
        wait_until(lambda: engine.subscribers == 3 and child.out, "subscribing")
        wait_until((tmp_path / "a.rtspikes" / "session.json").exists, "logging")
        engine.release()
        wait_until(lambda: engine.wait(0.01), "the end of the run")
        assert [program.finish() for program in (listen, log, child)] == [0, 0, 0]
    assert said(listen.err) == [
        "rtspikes: another session: 3 channels at 20000 Hz; samples, and times of spikes, count from its start"
    ]
    counts = [len(read_session(tmp_path / f"a{part}.rtspikes").spikes) for part in ("", "-2")]
    assert len(listen.out) == sum(counts)
    folder = str(tmp_path / "a-2.rtspikes")
    assert said(log.err) == [f"rtspikes: the stream has another layout; its new session is logged in {folder}"]
    assert [line.split(": ")[1] for line in log.out] == [str(tmp_path / "a.rtspikes"), folder]
    assert child.out == [f"{READY} {tmp_path / name}" for name in ("b.rtspikes", "b-2.rtspikes")]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": [{"select": "E4", "threshold": 6}]}, "E4"),
        ({"ring": {"seconds": 0.71}, "detect": {"noise": {"initial_s": 0.5}}}, r"ring must hold"),
    ],
    ids=["a rule for a channel that is gone", "a ring too small"],
)
def test_settings_that_do_not_fit_the_new_layout_end_the_run_with_their_message(
    settings: dict[str, Any], message: str
) -> None:
    slower = ArraySource(stream_info(3, 10000.0), SIGNALS[1], [700])
    with Engine(config(**settings), source=LayoutSource(layouts()[0], slower)) as engine:
        reader = Reader(engine.endpoint)
        with pytest.raises(ConfigError, match=message):
            run(engine, reader)
        reader.join(60)
    (end,) = reader.ends()
    assert end["reason"].startswith("source failed: its new layout cannot be taken: ")
    assert "next_session" not in end
    assert reader.error is None
    assert reader.missed == []


def test_an_end_that_is_asked_for_while_the_layout_changes_is_the_end() -> None:
    class Stopping(LayoutSource):
        def start(self) -> None:
            super().start()
            if self._at == 1:
                engine.stop()

    with Engine(config(), source=Stopping(*layouts())) as engine:
        reader = Reader(engine.endpoint)
        run(engine, reader)
        reader.join(60)
    assert [end["reason"] for end in reader.ends()] == ["another layout", "stopped"]


def test_a_source_that_fails_to_start_its_new_layout_ends_the_run() -> None:
    class Failing(LayoutSource):
        def start(self) -> None:
            super().start()
            if self._at == 1:
                raise OSError("the amplifier is gone")

    with Engine(config(), source=Failing(*layouts())) as engine:
        reader = Reader(engine.endpoint)
        with pytest.raises(rtspikes.SourceError, match="the amplifier is gone"):
            run(engine, reader)
        reader.join(60)
    assert "the amplifier is gone" in reader.ends()[1]["reason"]


def test_control_of_a_session_that_is_over_is_refused_and_of_the_next_one_granted() -> None:
    first, second, _ = layouts(live=True)
    second = ArraySource(second.info, SIGNALS[1], [700], gate_at=21000)
    gated = ArraySource(first.info, SIGNALS[0], [700], gate_at=21000)
    with Engine(config(), source=LayoutSource(gated, second)) as engine:
        engine.start()
        engine.release()
        with rtspikes.control(engine.endpoint) as before:
            before.mute("E5")
            gated.gate.set()
            wait_until(lambda: engine.part == 2 and engine.status.get("to_sample") == 21000, "the second layout")
            with pytest.raises(EngineVanished, match="another layout; connect again"):
                before.mute("E1")
        with rtspikes.control(engine.endpoint) as after:
            assert after.info["part"] == 2
            assert after.mute("E1").sample > 21000
            with pytest.raises(rtspikes.RequestError):
                after.mute("E5")
        second.gate.set()
        wait_until(lambda: engine.wait(0.01), "the end of the run")


def test_who_comes_in_a_later_session_gets_that_one() -> None:
    first, second = layouts()[0], ArraySource(stream_info(3, live=False), SIGNALS[1], [700], gate_at=21000)
    with Engine(config(), source=LayoutSource(first, second)) as engine:
        engine.start()
        engine.release()
        wait_until(lambda: engine.status.get("part") == 2, "the second layout")
        reader = Reader(engine.endpoint)
        wait_until(reader.joined.is_set, "joining")
        second.gate.set()
        wait_until(lambda: engine.wait(0.01), "the end of the run")
        reader.join(60)
    assert reader.missed == []
    (info,) = reader.infos.values()
    assert (info["part"], info["n_channels"]) == (2, 3)
    assert isinstance(engine.info, StreamInfo)
