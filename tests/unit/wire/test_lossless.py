"""The lossless subscriber, against an engine of which the network loses and the history forgets what it likes."""

from __future__ import annotations

import time
from collections import deque
from types import SimpleNamespace
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtspikes.errors import ConfigError, EngineVanished, TransportError
from rtspikes.wire import catchup as catchup_module
from rtspikes.wire import subscribe as subscribe_module
from rtspikes.wire.batch import Batch
from rtspikes.wire.codec import KINDS, VERSION, encode, encode_items, table_fields, topic
from rtspikes.wire.requests import Reply
from rtspikes.wire.subscribe import Subscriber
from tests.simulated import wire_info
from tests.unit.wire.engines import spikes, until

SESSION = "0123456789abcdef"
STEP = 10
"""Samples that each `spikes` message covers; its one spike is in their middle."""


class Engine:
    """What was sent, what of it arrives, and what can be asked for again."""

    def __init__(self, session: str = SESSION) -> None:
        self.session = session
        self.sent: dict[str, list[bytes]] = {kind: [] for kind in KINDS}
        self.line: deque[list[bytes]] = deque()
        self.forgotten = dict.fromkeys(KINDS, 0)
        self.deaf = self.gone = False
        self.asked: list[dict[str, Any]] = []
        self.largest_reply = 3

    def send(self, kind: str, fields: dict[str, Any], arrives: bool = True) -> None:
        head = {"v": VERSION, "session": self.session, "seq": len(self.sent[kind])}
        if kind == "info":
            head["next_seq"] = {k: len(self.sent[k]) for k in KINDS}
        body = encode(head, encode_items(fields))
        self.sent[kind].append(body)
        if arrives:
            self.line.append([topic(kind, "a"), body])

    def info(self) -> None:
        self.send("info", {**wire_info(), "reply": {"endpoint": "tcp://127.0.0.1:9"}})

    def spikes(self, arrives: bool = True) -> None:
        n = len(self.sent["spikes"])
        table = spikes(STEP * n + STEP // 2)
        interval = {"from_sample": STEP * n, "to_sample": STEP * (n + 1)}
        waveforms = np.full((1, 3), n, "<f4").tobytes()
        fields = {**interval, **table_fields(table), "waveforms": waveforms, "waveform_samples": 3}
        self.send("spikes", fields, arrives)

    def notice(self, arrives: bool = True) -> None:
        n = len(self.sent["notices"])
        self.send("notices", {"cause": "test", "text": str(n), "count": 1, "sample": 0}, arrives)

    def end(self, arrives: bool = True) -> None:
        last = {kind: len(bodies) - 1 for kind, bodies in self.sent.items() if bodies}
        self.send("end", {"reason": "done", "to_sample": STEP * len(self.sent["spikes"]), "last_seq": last}, arrives)

    def again(self, request: dict[str, Any]) -> Reply:
        kind = request["topic"].split("/")[0]
        known = self.sent[kind]
        first = max(request["from_seq"], self.forgotten[kind])
        stop = len(known) if request["to_seq"] is None else min(len(known), request["to_seq"])
        frames = known[first : min(stop, first + self.largest_reply)]
        if request["session"] != self.session:
            return Reply({"ok": False, "error": "unknown_session", "text": ""}, [])
        return Reply({"ok": True, "first_seq": first, "next_seq": len(known), "n": len(frames)}, frames)


class Line:
    """Stands in for the connection."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.context = SimpleNamespace()
        self.heard_s = time.monotonic()
        self.gone = False

    def receive(self, wait_ms: int) -> list[bytes] | None:
        if not self.engine.line:
            return None
        self.heard_s = time.monotonic()
        return self.engine.line.popleft()

    def check_presence(self, joined: bool, connect_timeout_s: float | None) -> None:
        if self.engine.gone:
            raise EngineVanished("gone")

    def watch(self) -> None:
        self.gone = self.engine.gone

    def close(self) -> None:
        pass

    def end(self) -> None:
        pass


class Desk:
    """Stands in for the socket for requests."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.client = "me"
        self.endpoint = "tcp://127.0.0.1:9"
        self.malformed = 0
        self.number = 0
        self.replies: deque[Reply] = deque()

    def send(self, request: str, **entries: Any) -> int:
        self.number += 1
        self.engine.asked.append({"request": request, **entries})
        if request == "again" and not self.engine.deaf:
            reply = self.engine.again(entries)
            self.replies.append(Reply({"id": self.number, **reply.head}, reply.frames))
        return self.number

    def move(self, endpoint: str) -> None:
        self.endpoint = self.moved_to = endpoint

    def receive(self, wait_ms: int) -> Reply | None:
        return self.replies.popleft() if self.replies else None

    def close(self) -> None:
        pass


def subscriber(engine: Engine, **arguments: Any) -> Subscriber:
    patch = pytest.MonkeyPatch()
    patch.setattr(subscribe_module, "Connection", lambda *_: Line(engine))
    patch.setattr(subscribe_module, "Requester", lambda *_: Desk(engine))
    patch.setattr(subscribe_module, "SILENCE_S", 0.0)
    made = Subscriber(**{"kinds": ("spikes", "notices"), "lossless": True} | arguments)
    made.__enter__()
    made.undo = patch.undo  # type: ignore[attr-defined]
    return made


def received(made: Subscriber) -> list[Batch]:
    try:
        return list(made)
    finally:
        made.__exit__(None, None, None)
        made.undo()  # type: ignore[attr-defined]


def next_batch(made: Subscriber) -> Batch:
    return until(lambda: made.get(0.0))


def numbers(batches: list[Batch], kind: str) -> list[int]:
    return [batch.fields["seq"] for batch in batches if batch.kind == kind]


def missed(batches: list[Batch], kind: str) -> list[int]:
    found = [m for batch in batches for m in batch.missed if m.kind == kind]
    return [n for m in found for n in range(m.first_seq, m.first_seq + m.count)]


@given(
    st.lists(st.tuples(st.sampled_from(["spikes", "notices"]), st.booleans()), max_size=40), st.booleans(), st.data()
)
def test_every_message_comes_once_in_order_or_is_missed(
    sends: list[tuple[str, bool]], end_arrives: bool, data: st.DataObject
) -> None:
    engine = Engine()
    engine.info()
    for kind, arrives in sends:
        getattr(engine, {"spikes": "spikes", "notices": "notice"}[kind])(arrives)
        if arrives and data.draw(st.booleans()):
            engine.line.append(engine.line[-1])  # twice
    engine.end(end_arrives)
    for kind in ("spikes", "notices"):
        engine.forgotten[kind] = data.draw(st.integers(0, len(engine.sent[kind])))
    batches = received(subscriber(engine))
    for kind in ("spikes", "notices"):
        got, gone = numbers(batches, kind), missed(batches, kind)
        assert got == sorted(set(got))
        assert sorted(got + gone) == list(range(len(engine.sent[kind])))
        assert all(n < engine.forgotten[kind] for n in gone)
    samples = [s for batch in batches for s in batch.spikes["sample"].tolist()]
    assert samples == [STEP * n + STEP // 2 for n in numbers(batches, "spikes")]


def test_what_is_missed_says_between_which_samples() -> None:
    engine = Engine()
    engine.info()
    for n in range(6):
        engine.spikes(arrives=n in (0, 5))
    engine.end()
    engine.forgotten["spikes"] = 3
    batches = received(subscriber(engine))
    told = [m for batch in batches for m in batch.missed]
    assert [(m.first_seq, m.count, m.from_sample, m.to_sample) for m in told] == [(1, 2, STEP, 3 * STEP)]


@given(st.integers(0, 12), st.integers(0, 12), st.booleans())
def test_a_saved_position_is_gone_on_from(first_part: int, second_part: int, same: bool) -> None:
    engine = Engine()
    engine.info()
    for _ in range(first_part):
        engine.spikes()
    before = subscriber(engine)
    assert [next_batch(before).fields["seq"] for _ in range(first_part)] == list(range(first_part))
    saved = before.position
    before.__exit__(None, None, None)
    before.undo()  # type: ignore[attr-defined]
    if not same:
        engine = Engine("another session!")
        for _ in range(first_part):
            engine.spikes(arrives=False)
    for _ in range(second_part):
        engine.spikes(arrives=False)
    engine.info()
    engine.spikes()
    engine.end()
    after = subscriber(engine, position=saved)
    batches = received(after)
    if first_part:
        assert after.resumed is same
    begin = first_part if (same and first_part) else first_part + second_part
    if first_part:
        assert numbers(batches, "spikes") == list(range(begin, first_part + second_part + 1))
    assert missed(batches, "spikes") == []


def test_the_position_does_not_run_ahead_of_what_was_returned() -> None:
    engine = Engine()
    engine.info()
    for n in range(8):
        engine.spikes(arrives=n in (0, 7))
    made = subscriber(engine)
    for n in range(8):
        assert next_batch(made).fields["seq"] == n
        assert made.position == {"session": SESSION, "next_seq": made.position["next_seq"] | {"spikes": n + 1}}
    made.__exit__(None, None, None)
    made.undo()  # type: ignore[attr-defined]


def test_a_saved_position_is_not_lost_before_an_engine_is_met() -> None:
    saved = {"session": SESSION, "next_seq": {"spikes": 3, "notices": 0}}
    made = Subscriber(position=saved)
    assert made.position == saved
    assert Subscriber().position == {"session": None, "next_seq": {}}


def test_an_end_without_info_tells_what_the_saved_position_lacks() -> None:
    engine = Engine()
    for _ in range(5):
        engine.spikes(arrives=False)
    engine.end()
    made = subscriber(engine, position={"session": SESSION, "next_seq": {"spikes": 2}})
    batches = received(made)
    assert (missed(batches, "spikes"), made.resumed) == ([2, 3, 4], True)


def test_a_rare_message_that_was_lost_is_asked_for_with_the_others() -> None:
    engine = Engine()
    engine.info()
    engine.spikes()
    engine.notice(arrives=False)
    engine.spikes(arrives=False)
    engine.spikes()
    made = subscriber(engine)
    batches = [next_batch(made) for _ in range(4)]
    assert (numbers(batches, "spikes"), numbers(batches, "notices")) == ([0, 1, 2], [0])
    made.__exit__(None, None, None)
    made.undo()  # type: ignore[attr-defined]


def test_the_reply_socket_is_followed_to_its_new_address() -> None:
    engine = Engine()
    engine.info()
    engine.spikes()
    engine.send("info", {**wire_info(), "reply": {"endpoint": "tcp://127.0.0.1:10"}})
    engine.end()
    made = subscriber(engine)
    desk = made.requester
    next_batch(made)
    moved = desk()
    received(made)
    assert moved.moved_to == "tcp://127.0.0.1:10"  # type: ignore[attr-defined]


def test_a_history_that_does_not_answer_leaves_a_hole_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catchup_module, "GIVE_UP_S", 0.05)
    monkeypatch.setattr(catchup_module, "AGAIN_S", 0.01)
    engine = Engine()
    engine.deaf = True
    engine.info()
    for n in range(5):
        engine.spikes(arrives=n not in (1, 2))
    engine.end()
    batches = received(subscriber(engine))
    assert (numbers(batches, "spikes"), missed(batches, "spikes")) == ([0, 3, 4], [1, 2])
    assert sum(r["request"] == "again" for r in engine.asked) > 1


def test_an_engine_that_is_gone_is_not_waited_for_and_what_came_is_handed_out() -> None:
    engine = Engine()
    engine.deaf = engine.gone = True
    engine.info()
    for n in range(6):
        engine.spikes(arrives=n not in (1, 4))
    made = subscriber(engine)
    batches = [next_batch(made) for _ in range(4)]
    assert (numbers(batches, "spikes"), missed(batches, "spikes")) == ([0, 2, 3, 5], [1, 4])
    with pytest.raises(EngineVanished):
        received(made)


def test_some_kinds_can_be_had_from_the_start() -> None:
    engine = Engine()
    for _ in range(4):
        engine.notice(arrives=False)
        engine.spikes(arrives=False)
    engine.forgotten["notices"] = 1
    engine.info()
    engine.spikes()
    engine.end()
    batches = received(subscriber(engine, from_start=("notices",)))
    assert (numbers(batches, "notices"), missed(batches, "notices")) == ([1, 2, 3], [0])
    assert (numbers(batches, "spikes"), missed(batches, "spikes")) == ([4], [])


def test_what_was_recovered_together_with_the_end_is_still_to_be_taken() -> None:
    engine = Engine()
    for _ in range(4):
        engine.spikes(arrives=False)
    engine.info()
    for _ in range(3):
        engine.spikes(arrives=False)
    engine.end()
    made = subscriber(engine, from_start=("spikes",))
    got = []
    while not made.ended:  # as a program does that looks at the time, too
        batch = made.get(0.0)
        got += [] if batch is None else [batch]
    assert received(made) == []
    assert numbers(got, "spikes") == list(range(7))


@pytest.mark.parametrize("frames", [[b"\xc1"], [msgpack.packb({"v": 1})], [b""], ["another"]])
def test_a_history_that_gives_garbage_leaves_a_hole(frames: list[Any]) -> None:
    engine = Engine()
    engine.info()
    for n in range(5):
        engine.spikes(arrives=n != 2)
    engine.end()
    if frames == ["another"]:
        frames = [engine.sent["spikes"][0]]
    engine.again = lambda request: Reply(  # type: ignore[method-assign]
        {"ok": True, "first_seq": request["from_seq"], "next_seq": len(engine.sent[request["topic"].split("/")[0]])},
        frames if request["from_seq"] == 2 else [],
    )
    made = subscriber(engine)
    batches = received(made)
    assert (numbers(batches, "spikes"), missed(batches, "spikes")) == ([0, 1, 3, 4], [2])


def test_the_engine_is_told_that_its_history_is_needed_and_when_no_more() -> None:
    engine = Engine()
    engine.info()
    engine.spikes()
    engine.end()
    received(subscriber(engine))
    assert [r["request"] for r in engine.asked if r["request"] in ("hold", "done")] == ["hold", "done"]


def test_an_engine_without_a_reply_socket_cannot_be_lossless() -> None:
    engine = Engine()
    engine.send("info", wire_info())
    with pytest.raises(TransportError, match="keeps no history; subscribe without lossless"):
        received(subscriber(engine))


@pytest.mark.parametrize(
    "position",
    [
        {},
        {"session": 3, "next_seq": {}},
        {"session": "s", "next_seq": {"spikes": -1}},
        {"session": "s", "next_seq": {"x": 1}},
    ],
)
def test_a_position_that_is_none_is_refused(position: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="^position"):
        Subscriber(position=position)


def test_latest_and_lossless_contradict_each_other() -> None:
    with pytest.raises(ConfigError, match="choose one"):
        Subscriber(latest=True, lossless=True)
