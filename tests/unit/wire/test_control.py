"""Control, against an engine made by hand that answers what a test likes: what is asked, every way to be refused."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtspikes.errors import (
    ConfigError,
    DataError,
    EngineVanished,
    RequestError,
    TransportError,
    WireError,
)
from rtspikes.wire import control as control_module
from rtspikes.wire import requests as requests_module
from rtspikes.wire.codec import LEVELS_DTYPE, encode, encode_items, table_fields, topic
from rtspikes.wire.control import Control, InForce, control
from tests.simulated import wire_info
from tests.unit.wire.engines import DEADLINE_S, until

Answer = Callable[[dict[str, Any]], list[list[bytes]]]
"""Request → replies, each the frames behind the empty one."""

SECTIONS = [[0.1, 0.2, 0.1, 1.0, -1.5, 0.7]]
LABELS = ["E1", "E2", "E3"]


class Peer(threading.Thread):
    """An engine's two sockets; the publisher says `info` to whoever joins, and the other one what `answer` says."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.context: zmq.Context[Any] = zmq.Context()
        self.publisher, self.router = self.context.socket(zmq.XPUB), self.context.socket(zmq.ROUTER)
        for socket in (self.publisher, self.router):
            socket.set(zmq.LINGER, 0)
            socket.bind("tcp://127.0.0.1:*")
        self.endpoint = self.publisher.get_string(zmq.LAST_ENDPOINT)
        self.info = wire_info() | {
            "n_channels": len(LABELS),
            "channels": {"label": LABELS, "kind": ["electrode"] * len(LABELS)},
            "filter_sections": SECTIONS,
            "reply": {"endpoint": self.router.get_string(zmq.LAST_ENDPOINT)},
        }
        self.session = "s1"
        self.asked: list[dict[str, Any]] = []
        self.answer: Answer = lambda request: [granted(request, sample=400, time=1.5)]
        self._to_say: list[tuple[str, dict[str, Any]]] = []
        self.closing = threading.Event()

    def say(self, kind: str, **fields: Any) -> None:
        """Publish a message."""
        self._to_say.append((kind, fields))

    def run(self) -> None:
        poller = zmq.Poller()
        poller.register(self.publisher, zmq.POLLIN)
        poller.register(self.router, zmq.POLLIN)
        while not self.closing.is_set():
            ready = dict(poller.poll(2))
            if self.publisher in ready and self.publisher.recv() == b"\x01info":
                self._publish("info", {"next_seq": {}, **self.info})
            while self._to_say:
                self._publish(*self._to_say.pop(0))
            if self.router in ready:
                caller, empty, body = self.router.recv_multipart()
                self.asked.append(msgpack.unpackb(body))
                for frames in self.answer(self.asked[-1]):
                    self.router.send_multipart([caller, empty, *frames])
        self.context.destroy(0)

    def _publish(self, kind: str, fields: dict[str, Any]) -> None:
        head = {"v": 1, "session": self.session, "seq": 0}
        self.publisher.send_multipart([topic(kind, "array"), encode(head, encode_items(fields))])


@contextmanager
def engine() -> Iterator[Peer]:
    peer = Peer()
    peer.start()
    try:
        yield peer
    finally:
        peer.closing.set()
        peer.join(DEADLINE_S)


@pytest.fixture
def peer() -> Iterator[Peer]:
    with engine() as made:
        yield made


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let requests be given up, and be repeated, after less time than takes patience."""
    monkeypatch.setattr(control_module, "ANSWER_S", 0.4)
    monkeypatch.setattr(requests_module, "AGAIN_S", 0.1)


def granted(request: dict[str, Any], *frames: bytes, **entries: Any) -> list[bytes]:
    return [msgpack.packb({"v": 1, "id": request["id"], "ok": True, "n": len(frames), **entries}), *frames]


def levels(request: dict[str, Any], n: int = 3, **entries: Any) -> list[bytes]:
    table = np.array([(3.0, -15.5, np.nan)] * n, LEVELS_DTYPE)
    head = {"sample": 900, "first_channel": request["first_channel"], "n_channels": 3, **table_fields(table)}
    return granted(request, **{**head, **entries})


CALLS: dict[str, tuple[Callable[[Control], Any], dict[str, Any]]] = {
    "threshold": (lambda c: c.threshold("E1*", 4.5), {"select": "E1*", "threshold": 4.5}),
    "threshold as NumPy has it": (
        lambda c: c.threshold(np.int64(3), np.float32(4.5)), {"select": 3, "threshold": 4.5}),
    "threshold in µV": (
        lambda c: c.threshold(("E1", 2), uv=30), {"select": ["E1", 2], "threshold_uv": 30.0}),
    "threshold later": (
        lambda c: c.threshold("E1", 4, at_sample=7), {"select": "E1", "threshold": 4.0, "at_sample": 7}),
    "freeze": (lambda c: c.freeze(), {}),
    "freeze later": (lambda c: c.freeze(at_sample=np.int64(7)), {"at_sample": 7}),
    "follow": (lambda c: c.follow(at_sample=8), {"at_sample": 8}),
    "recalibrate": (lambda c: c.recalibrate(at_sample=9), {"at_sample": 9}),
    "mute": (lambda c: c.mute(["E1", "well:B2"]), {"select": ["E1", "well:B2"]}),
    "mute by position": (lambda c: c.mute(np.arange(2)), {"select": [0, 1]}),
    "unmute": (lambda c: c.unmute("E1", at_sample=0), {"select": "E1", "at_sample": 0}),
    "blank": (lambda c: c.blank("well:B2", 50), {"select": "well:B2", "ms": 50.0}),
    "blank later": (
        lambda c: c.blank([0], np.float32(2.5), at_sample=7), {"select": [0], "ms": 2.5, "at_sample": 7}),
    "mark": (lambda c: c.mark("10 µM"), {"text": "10 µM"}),
    "shutdown": (lambda c: c.shutdown(), {}),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_each_request_is_as_the_protocol_has_it_and_its_answer_comes_back(peer: Peer, name: str) -> None:
    call, entries = CALLS[name]
    with control(peer.endpoint) as c:
        assert call(c) == InForce(400, 1.5)
    assert peer.asked == [
        {"v": 1, "id": 1, "request": "control", "command": name.split()[0], **entries, "session": "s1"}
    ]


def test_the_time_may_not_be_known_yet(peer: Peer) -> None:
    peer.answer = lambda request: [granted(request, sample=400, time=None)]
    with control(peer.endpoint) as c:
        assert c.freeze() == InForce(400, None)


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.freeze(at_sample=-1),
        lambda c: c.freeze(at_sample=2**63),
        lambda c: c.mute(2**80),
        lambda c: c.mark("a lone \udcff"),
    ],
)
def test_what_cannot_be_sent_is_refused_here(peer: Peer, call: Callable[[Control], Any]) -> None:
    with control(peer.endpoint) as c:
        with pytest.raises(ConfigError):
            call(c)
        assert c.freeze() == InForce(400, 1.5)
    assert len(peer.asked) == 1


CODES = {"refused": 2, "too_late": 2, "forbidden": 2, "busy": 4, "timeout": 4, "malformed": 4, "ended": 4, "news": 4}
"""Error code → exit code of the command that met it."""


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("code", CODES)
def test_each_refusal_is_typed_with_its_code_and_the_engines_words(peer: Peer, code: str) -> None:
    def refuse(request: dict[str, Any]) -> list[list[bytes]]:
        return [[msgpack.packb({"v": 1, "id": request["id"], "ok": False, "n": 0, "error": code, "text": "no, never"})]]

    peer.answer = refuse
    with control(peer.endpoint) as c:
        for call in (c.freeze, c.status, c.levels, c.shutdown):
            with pytest.raises(RequestError, match="^no, never$") as caught:
                call()
            assert (caught.value.code, caught.value.exit_code) == (code, CODES[code])


@pytest.mark.usefixtures("impatient")
def test_a_change_that_nobody_answers_is_asked_for_once_and_given_up(peer: Peer) -> None:
    peer.answer = lambda request: []
    with control(peer.endpoint) as c, pytest.raises(TransportError, match=r"did not answer within 0\.4 s"):
        c.freeze()
    assert len(peer.asked) == 1


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("call", [Control.status, Control.levels])
def test_a_question_that_nobody_answers_is_asked_again_and_given_up(peer: Peer, call: Callable[[Control], Any]) -> None:
    peer.answer = lambda request: []
    with control(peer.endpoint) as c, pytest.raises(TransportError, match=r"did not answer within 0\.4 s"):
        call(c)
    assert len(peer.asked) > 1


def test_an_answer_that_comes_after_the_question_was_repeated_counts(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests_module, "AGAIN_S", 0.05)
    status = msgpack.packb({"v": 1})
    peer.answer = lambda request: [granted(peer.asked[0], status)] if len(peer.asked) > 1 else []
    with control(peer.endpoint) as c:
        assert c.status() == {"v": 1}


VALUES = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary()
JUNK = VALUES | st.lists(VALUES, max_size=3) | st.dictionaries(st.text(max_size=5), VALUES, max_size=3)
ENTRIES = st.sampled_from(
    ("v", "id", "ok", "error", "text", "sample", "time", "n", "columns", "dtypes", "first_channel", "n_channels")
)


@pytest.fixture(scope="module")
def connected() -> Iterator[tuple[Peer, Control]]:
    with engine() as made, control(made.endpoint) as c:
        yield made, c


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changed=st.dictionaries(ENTRIES, JUNK), frames=st.lists(st.binary(max_size=20), max_size=3))
@pytest.mark.parametrize("call", [Control.freeze, Control.status, Control.levels], ids=lambda call: call.__name__)
def test_a_malformed_answer_is_passed_over_or_a_typed_error(
    connected: tuple[Peer, Control], call: Callable[[Control], Any], changed: dict[str, Any], frames: list[bytes]
) -> None:
    """A sound answer follows: whoever passes over the first takes this one, and would otherwise wait in vain."""
    peer, c = connected

    def answer(request: dict[str, Any]) -> list[list[bytes]]:
        sound = levels(request) if request.get("command") == "levels" else granted(request, sample=0, time=None)
        if request["request"] == "status":
            sound.append(b"\x80")
            frames.append(b"\x80")  # none at all would be an answer: wait for the first status
        return [[msgpack.packb(msgpack.unpackb(sound[0]) | changed), *frames], sound]

    peer.answer = answer
    with suppress(WireError, RequestError):
        call(c)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frames=st.lists(st.binary(max_size=40), min_size=1, max_size=4))
def test_what_is_no_answer_at_all_is_passed_over(connected: tuple[Peer, Control], frames: list[bytes]) -> None:
    peer, c = connected
    peer.answer = lambda request: [frames, granted(request, sample=1, time=2.0)]
    assert c.freeze() == InForce(1, 2.0)


def test_the_status_is_the_last_one_published_and_the_first_is_waited_for(peer: Peer) -> None:
    status = {"counts": {str(i): 0 for i in range(1000)}, "frozen": False}

    def answer(request: dict[str, Any]) -> list[list[bytes]]:
        return [granted(request, *[msgpack.packb(status)] * (len(peer.asked) > 2))]

    peer.answer = answer
    with control(peer.endpoint) as c:
        assert c.status() == status
    assert [request["request"] for request in peer.asked] == ["status"] * 3


def test_levels_come_in_parts(peer: Peer) -> None:
    peer.answer = lambda request: [levels(request, 2 if request["first_channel"] == 0 else 1)]
    with control(peer.endpoint) as c:
        sample, table = c.levels()
    assert [request["first_channel"] for request in peer.asked] == [0, 2]
    assert (sample, table["negative_uv"].tolist(), table.dtype) == (900, [-15.5] * 3, LEVELS_DTYPE)


def test_levels_that_change_between_two_parts_are_asked_for_again(peer: Peer) -> None:
    samples = iter([1, 1, 2, 3, 3, 3])
    peer.answer = lambda request: [levels(request, 1, sample=next(samples))]
    with control(peer.endpoint) as c:
        sample, table = c.levels()
    assert (sample, len(table), len(peer.asked)) == (3, 3, 6)


@pytest.mark.usefixtures("impatient")
def test_levels_that_change_for_ever_are_given_up(peer: Peer) -> None:
    peer.answer = lambda request: [levels(request, 1, sample=len(peer.asked))]
    with control(peer.endpoint) as c, pytest.raises(TransportError, match="changed again and again"):
        c.levels()


@pytest.mark.parametrize(
    "wrong", [{"first_channel": 1}, {"n": 0}, {"n": 4}, {"sample": None}, {"sample": True}], ids=str
)
def test_a_part_that_does_not_fit_is_a_typed_error(peer: Peer, wrong: dict[str, Any]) -> None:
    peer.answer = lambda request: [levels(request, wrong.get("n", 3), **{k: v for k, v in wrong.items() if k != "n"})]
    with control(peer.endpoint) as c, pytest.raises(WireError):
        c.levels()


def test_saved_thresholds_are_loaded_as_they_were(peer: Peer, tmp_path: Path) -> None:
    def answer(request: dict[str, Any]) -> list[list[bytes]]:
        return [levels(request) if request["command"] == "levels" else granted(request, sample=950, time=None)]

    peer.answer = answer
    with control(peer.endpoint) as c:
        assert c.save_thresholds(tmp_path / "saved.json") == 3
        assert c.load_thresholds(tmp_path / "saved.json", at_sample=950) == InForce(950, None)
        with pytest.raises(ConfigError, match="never overwritten"):
            c.save_thresholds(str(tmp_path / "saved.json"))
        with pytest.raises(DataError, match="cannot read"):
            c.load_thresholds(str(tmp_path / "other.json"))
    request = peer.asked[-1]
    assert (request["command"], request["labels"], request["at_sample"]) == ("load", LABELS, 950)
    assert request["negative_uv"] == np.full(3, -15.5, "<f4").tobytes()
    assert np.isnan(np.frombuffer(request["positive_uv"], "<f4")).all()


def test_an_engine_that_has_ended_is_told_at_once(peer: Peer) -> None:
    with control(peer.endpoint) as c:
        peer.answer = lambda request: peer.say("end", to_sample=1200) or []
        with pytest.raises(TransportError, match="has ended"):
            c.freeze()
        with pytest.raises(TransportError, match="has ended"):
            c.status()
        assert c.shutdown() == InForce(1200, None), "that is what was asked for"
    assert len(peer.asked) == 1


def test_a_shutdown_whose_answer_gets_lost_is_one_by_the_engines_end(peer: Peer) -> None:
    with control(peer.endpoint) as c:
        peer.answer = lambda request: peer.say("end", to_sample=1200) or []
        assert c.shutdown() == InForce(1200, None)


def test_a_shutdown_of_a_run_that_is_just_ending_is_one_by_the_engines_end(peer: Peer) -> None:
    def ending(request: dict[str, Any]) -> list[list[bytes]]:
        peer.say("end", to_sample=1200)
        return [[msgpack.packb({"v": 1, "id": request["id"], "ok": False, "error": "ended", "text": "it has ended"})]]

    peer.answer = ending
    with control(peer.endpoint) as c:
        assert c.shutdown() == InForce(1200, None)


def test_an_end_that_does_not_say_where_is_a_typed_error(peer: Peer) -> None:
    with control(peer.endpoint) as c:
        peer.answer = lambda request: peer.say("end", to_sample="late") or []
        with pytest.raises(WireError):
            c.shutdown()


def test_another_run_at_the_same_address_is_not_controlled_by_mistake(peer: Peer) -> None:
    with control(peer.endpoint) as c:
        assert c.freeze() == InForce(400, 1.5)
        peer.session = "s2"
        peer.say("info", next_seq={}, **peer.info)

        def refused() -> bool:
            try:
                c.freeze()
            except EngineVanished as error:
                return "started anew" in str(error)
            return False

        until(refused)


@pytest.mark.parametrize("reply", [None, {}, {"endpoint": ""}, {"endpoint": 7}, "tcp://127.0.0.1:1"], ids=str)
def test_an_engine_that_takes_no_requests_is_told(peer: Peer, reply: Any) -> None:
    peer.info["reply"] = reply
    with pytest.raises(TransportError, match="takes no requests"), control(peer.endpoint):
        pass


def test_no_engine_is_told() -> None:
    with pytest.raises(TransportError, match="no engine"), control("tcp://127.0.0.1:1", connect_timeout_s=0.05):
        pass


def test_outside_of_its_block_nothing_is_asked(peer: Peer) -> None:
    c = control(peer.endpoint)
    with pytest.raises(TransportError, match="use it in a with statement"):
        c.freeze()
    with c:
        c.freeze()
    with pytest.raises(TransportError, match="use it in a with statement"):
        c.freeze()
    assert len(peer.asked) == 1
