"""What the reply process says: every request of the protocol, and typed refusals of everything else."""

from __future__ import annotations

from mmap import mmap
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtspikes.wire import answers as answers_module
from rtspikes.wire.answers import HOLD_S, MOST_CLIENTS, MOST_WAITING, REPLY_BYTES, Answers
from rtspikes.wire.history import MOST_SESSIONS, HistoryReader, HistoryWriter, size_for

CODES = {"malformed", "version", "unknown_request", "unknown_session", "unknown_topic", "forbidden", "busy"}
AGAIN = {"v": 1, "id": 1, "request": "again", "session": "s1", "topic": "spikes/a/", "from_seq": 0}
ROUTE = (b"peer", b"")


class Desk:
    """Answers over a history of ten `spikes` and a `status`."""

    def __init__(self) -> None:
        memory = mmap(-1, size_for(1.0))
        self.writer = HistoryWriter(memory, 1e9)
        self.writer.begin_session("s1")
        self.handed: list[dict[str, Any]] = []
        self.answers = Answers(["spikes/a/", "", "status/a/"], HistoryReader(memory), self.handed.append)
        for n in range(10):
            self.writer.append(0, n, b"spikes %d" % n, 0.0)
        self.writer.append(2, 0, b"status 0", 0.0)

    def ask(self, request: str, may_control: bool = True, now: float = 0.0, **entries: Any) -> tuple[Any, list[bytes]]:
        body = msgpack.packb({"v": 1, "id": 7, "request": request, **entries})
        reply = self.answers.answer(ROUTE, body, "tester", may_control, now)
        return (None, []) if reply is None else (msgpack.unpackb(reply[0]), reply[1:])

    def again(self, **entries: Any) -> tuple[Any, list[bytes]]:
        return self.ask("again", **{"session": "s1", "topic": "spikes/a/", "from_seq": 0} | entries)


def test_again_gives_the_messages_as_they_were_sent() -> None:
    desk = Desk()
    head, frames = desk.again(from_seq=7)
    assert frames == [b"spikes 7", b"spikes 8", b"spikes 9"]
    assert head == {"v": 1, "id": 7, "ok": True, "session": "s1", "topic": "spikes/a/", "first_seq": 7, "oldest_seq": 0,
                    "next_seq": 10, "n": 3}  # fmt: skip
    assert desk.again(from_seq=2, to_seq=4)[1] == [b"spikes 2", b"spikes 3"]
    head, frames = desk.again(from_seq=10)
    assert (head["first_seq"], head["n"], frames) == (10, 0, [])


def test_sessions_before_the_current_one_are_served_under_their_names() -> None:
    desk = Desk()
    desk.answers.set_info("s1", b"first")
    desk.writer.begin_session("s2")
    desk.writer.append(0, 0, b"of the second", 0.0)
    desk.answers.set_info("s2", b"second")
    assert desk.again(from_seq=9)[1] == [b"spikes 9"]
    assert desk.again(session="s2")[1] == [b"of the second"]
    assert desk.ask("status")[1] == []
    assert [desk.ask("info", **of)[1] for of in ({}, {"session": "s1"}, {"session": "s2"})] == [
        [b"second"], [b"first"], [b"second"]]  # fmt: skip
    for request in ("again", "info"):
        head = desk.ask(request, session="s3", topic="spikes/a/", from_seq=0)[0]
        assert (head["error"], head["session"]) == ("unknown_session", "s2")
    assert desk.ask("info", session=7)[0]["error"] == "unknown_session"


def test_infos_are_kept_for_as_many_sessions_as_the_history_has() -> None:
    desk = Desk()
    for i in range(2 * MOST_SESSIONS):
        desk.answers.set_info(f"s{i}", b"%d" % i)
    assert desk.ask("info", session="s7")[0]["ok"] is False
    assert desk.ask("info", session="s8")[1] == [b"8"]


def test_replies_are_below_256_kib_whatever_is_asked() -> None:
    desk = Desk()
    for n in range(10, 14):
        desk.writer.append(0, n, bytes(REPLY_BYTES // 2 - 10), 0.0)
    head, frames = desk.again()
    assert head["n"] == len(frames) == 11
    assert len(msgpack.packb(head)) + sum(map(len, frames)) < 256 * 1024


def test_status_and_info() -> None:
    desk = Desk()
    assert desk.ask("status")[1] == [b"status 0"]
    info = bytes(range(256)) * 2000
    desk.answers.set_info("s1", info)
    whole = b""
    while len(whole) < len(info):
        head, (part,) = desk.ask("info", offset=len(whole))
        assert head["size"] == len(info)
        whole += part
    assert whole == info


@pytest.mark.parametrize(
    ("request_map", "code"),
    [
        ({"v": 2, "id": 1, "request": "info"}, "version"),
        ({"v": True, "id": 1, "request": "info"}, "version"),
        ({"v": 1, "request": "info"}, "malformed"),
        ({"v": 1, "id": True, "request": "info"}, "malformed"),
        ({"v": 1, "id": "x" * 65, "request": "info"}, "malformed"),
        ({"v": 1, "id": 1}, "unknown_request"),
        ({"v": 1, "id": 1, "request": ["info"]}, "unknown_request"),
        ({"v": 1, "id": 1, "request": "info", "offset": -1}, "malformed"),
        (AGAIN | {"session": "other"}, "unknown_session"),
        (AGAIN | {"topic": "info/a/"}, "unknown_topic"),
        (AGAIN | {"topic": ""}, "unknown_topic"),
        (AGAIN | {"topic": ["x"]}, "unknown_topic"),
        (AGAIN | {"from_seq": None}, "malformed"),
        (AGAIN | {"from_seq": 2**63}, "malformed"),
        (AGAIN | {"to_seq": 0.5}, "malformed"),
        ({"v": 1, "id": 1, "request": "hold"}, "malformed"),
        ({"v": 1, "id": 1, "request": "hold", "client": "x" * 33}, "malformed"),
        ({"v": 1, "id": 1, "request": "missed", "client": "x"}, "malformed"),
    ],
)  # fmt: skip
def test_what_is_not_a_request_gets_its_own_error(request_map: dict[str, Any], code: str) -> None:
    reply = Desk().answers.answer(ROUTE, msgpack.packb(request_map), "tester", True, 0.0)
    assert reply is not None
    head = msgpack.unpackb(reply[0])
    assert (head["v"], head["ok"], head["error"]) == (1, False, code)
    assert "\n" not in head["text"]


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_and_counted(body: bytes) -> None:
    desk = Desk()
    reply = desk.answers.answer(ROUTE, body, "tester", True, 0.0)
    assert reply is not None
    assert msgpack.unpackb(reply[0])["error"] in CODES
    assert desk.answers.bad == 1


INTEGERS = st.integers(-(2**63), 2**64 - 1)
VALUES = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False) | st.text(max_size=8) | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


@given(
    st.fixed_dictionaries(
        {"v": st.just(1), "id": st.integers(0, 9)},
        optional={
            "request": st.sampled_from(["again", "info", "status", "missed", "hold", "done", "control"]) | VALUES,
            "session": st.just("s1") | VALUES,
            "topic": st.just("spikes/a/") | VALUES,
            "from_seq": st.integers(0, 20) | VALUES,
            "to_seq": st.integers(0, 20) | VALUES,
            "client": st.text(max_size=40) | VALUES,
            "count": VALUES,
            "offset": VALUES,
            "command": VALUES,
        },
    ),
    st.booleans(),
)
def test_any_map_is_answered(request_map: dict[str, Any], may_control: bool) -> None:
    desk = Desk()
    reply = desk.answers.answer(ROUTE, msgpack.packb(request_map), "tester", may_control, 0.0)
    if reply is None:
        assert desk.handed
        assert may_control
    else:
        head = msgpack.unpackb(reply[0])
        assert head["ok"] is True or head["error"] in CODES
        assert head["id"] == request_map["id"]
        assert head["n"] == len(reply) - 1


def test_who_may_only_read_cannot_control() -> None:
    desk = Desk()
    head, _ = desk.ask("control", may_control=False, command="freeze")
    assert (head["error"], head["text"]) == (
        "forbidden",
        "tester may read, but not control; its key must be in controllers/",
    )
    assert desk.handed == []
    assert desk.ask("again", may_control=False, session="s1", topic="spikes/a/", from_seq=9)[1] == [b"spikes 9"]


def test_control_goes_to_the_engine_and_its_outcome_back() -> None:
    desk = Desk()
    assert desk.ask("control", command="freeze", extra=1) == (None, [])
    (handed,) = desk.handed
    assert (handed["by"], handed["command"]) == ("tester", {"command": "freeze", "extra": 1})
    settled = desk.answers.settle(handed["ticket"], {"ok": True, "sample": 5})
    assert settled is not None
    assert settled[0] == ROUTE
    assert msgpack.unpackb(settled[1][0]) == {"v": 1, "id": 7, "n": 0, "ok": True, "sample": 5}
    assert desk.answers.settle(handed["ticket"], {"ok": True}) is None


def test_an_engine_that_does_not_answer_is_told_as_a_timeout_and_too_many_are_busy() -> None:
    desk = Desk()
    for _ in range(MOST_WAITING):
        assert desk.ask("control", command="freeze") == (None, [])
    assert desk.ask("control", command="freeze")[0]["error"] == "busy"
    assert desk.answers.overdue(answers_module.ENGINE_S) == []
    late = desk.answers.overdue(answers_module.ENGINE_S + 0.1)
    assert [msgpack.unpackb(frames[0])["error"] for _, frames in late] == ["timeout"] * MOST_WAITING
    assert desk.ask("control", command="freeze") == (None, [])


def test_nobody_misses_more_than_there_can_be() -> None:
    desk = Desk()
    for client in "abcd":
        assert desk.ask("missed", client=client, count=2**63 - 1)[0]["ok"]
    assert sum(desk.answers.summary(0.0)["missed"].values()) < 2**63


def test_tickets_of_two_processes_differ() -> None:
    tickets = set()
    for _ in range(20):
        desk = Desk()
        desk.ask("control", command="freeze")
        tickets.add(desk.handed[0]["ticket"])
    assert len(tickets) == 20


def test_what_subscribers_report_is_summed_up_and_bounded() -> None:
    desk = Desk()
    desk.ask("missed", client="a", count=3)
    desk.ask("missed", client="a", count=2)
    desk.ask("hold", client="b", now=1.0)
    assert desk.answers.summary(1.0 + HOLD_S)["missed"] == {"a": 3}
    assert desk.answers.summary(1.0 + HOLD_S)["holding"] == 1
    assert desk.answers.summary(1.1 + HOLD_S)["holding"] == 0
    desk.ask("hold", client="b", now=9.0)
    desk.ask("done", client="b", now=9.0)
    assert desk.answers.summary(9.0)["holding"] == 0
    for n in range(2 * MOST_CLIENTS):
        desk.ask("hold", client=f"c{n}", now=10.0 + n)
    assert len(desk.answers.clients) == MOST_CLIENTS
    assert "a" not in desk.answers.clients
