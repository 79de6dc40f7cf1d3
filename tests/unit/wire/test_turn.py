"""From session to session over a line that loses what it likes: nothing is lost that the history has, or it is told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtspikes.errors import EngineVanished
from rtspikes.wire import turn as turn_module
from rtspikes.wire.batch import Batch, Missed
from rtspikes.wire.codec import KINDS
from rtspikes.wire.latest import Latest
from rtspikes.wire.requests import Reply
from rtspikes.wire.subscribe import Subscriber
from rtspikes.wire.turn import MOST_AHEAD, Sessions
from tests.simulated import wire_info
from tests.unit.wire.engines import until
from tests.unit.wire.test_lossless import Desk, Engine, subscriber

NAMES = [f"{n:016x}" for n in range(1, 9)]


class Run(Engine):
    """An engine whose layout changes: what was sent by session, and what of it can be asked for."""

    def __init__(self) -> None:
        super().__init__(NAMES[0])
        self.part = 1
        self.past: dict[str, dict[str, list[bytes]]] = {self.session: self.sent}
        self.infos: dict[str, bytes] = {}
        self.withheld = 0

    def begin(self, arrives: bool = True) -> None:
        """Send `info` of the current session."""
        fields = {**wire_info(), "reply": {"endpoint": "tcp://127.0.0.1:9"}, "run": NAMES[0], "part": self.part}
        self.send("info", fields, arrives)
        self.infos[self.session] = self.sent["info"][0]

    def turn(self, end_arrives: bool = True, info_arrives: bool = True) -> None:
        """End the session and begin the next one."""
        last = {kind: len(bodies) - 1 for kind, bodies in self.sent.items() if bodies}
        following = NAMES[self.part]
        self.send("end", {"last_seq": last, "next_session": following}, end_arrives)
        self.session, self.part = following, self.part + 1
        self.sent = self.past[following] = {kind: [] for kind in KINDS}
        self.begin(info_arrives)

    def again(self, request: dict[str, Any]) -> Reply:
        if request["session"] not in self.past:
            return Reply({"ok": False, "error": "unknown_session", "text": ""}, [])
        current = self.session, self.sent
        try:
            self.session, self.sent = request["session"], self.past[request["session"]]
            return super().again(request)
        finally:
            self.session, self.sent = current


class InfoDesk(Desk):
    """Also answers what `info` says, a few bytes at a time."""

    def send(self, request: str, **entries: Any) -> int:
        number = super().send(request, **entries)
        engine = self.engine
        assert isinstance(engine, Run)
        if request == "info" and not engine.deaf:
            if engine.withheld:
                engine.withheld -= 1
                self.replies.append(Reply({"id": number, "ok": False, "error": "unknown_session"}, []))
            elif (info := engine.infos.get(entries["session"])) is not None:
                part = info[entries["offset"] : entries["offset"] + 100]
                self.replies.append(
                    Reply({"id": number, "ok": True, "size": len(info), "offset": entries["offset"]}, [part])
                )
        return number


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn_module, "ASK_AGAIN_S", -1.0)
    monkeypatch.setattr("tests.unit.wire.test_lossless.Desk", InfoDesk)


def received(made: Subscriber) -> dict[str, list[Batch]]:
    """Return all batches by session, each checked against the `info` under which it came."""
    found: dict[str, list[Batch]] = {}
    try:
        for batch in made:
            assert made.info is not None
            assert made.info["session"] == batch.session
            found.setdefault(batch.session, []).append(batch)
    finally:
        made.__exit__(None, None, None)
        made.undo()  # type: ignore[attr-defined]
    return found


def numbers(batches: list[Batch], kind: str) -> list[int]:
    return [batch.fields["seq"] for batch in batches if batch.kind == kind]


def missed(batches: list[Batch], kind: str) -> list[int]:
    found = [m for batch in batches for m in batch.missed if m.kind == kind]
    return [n for m in found for n in range(m.first_seq, m.first_seq + m.count)]


SENT = st.lists(st.tuples(st.sampled_from(["spikes", "notice"]), st.booleans()), max_size=8)
SCRIPT = st.lists(st.tuples(SENT, st.booleans(), st.booleans()), min_size=1, max_size=5)


def play(script: list[tuple[list[tuple[str, bool]], bool, bool]], last_end: bool) -> Run:
    """Return a run in which each session sends something, then turns; the flags say what arrives."""
    run = Run()
    run.begin()
    for i, (sends, end, info) in enumerate(script):
        for kind, arrives in sends:
            getattr(run, kind)(arrives)
        if i + 1 < len(script):
            run.turn(end, info)
    run.end(last_end)
    return run


@given(SCRIPT, st.booleans())
def test_lossless_is_every_message_of_every_session_once_and_in_order(
    script: list[tuple[list[tuple[str, bool]], bool, bool]], last_end: bool
) -> None:
    run = play(script, last_end)
    made = subscriber(run)
    batches = received(made)
    assert made.missed_total == 0
    with_content = [name for name, sent in run.past.items() if sent["spikes"] or sent["notices"]]
    assert list(batches) == with_content
    for name in with_content:
        for kind in ("spikes", "notices"):
            assert numbers(batches[name], kind) == list(range(len(run.past[name][kind])))
    assert made.end is not None
    assert made.end["session"] == run.session


@given(SCRIPT)
def test_a_plain_subscriber_gets_or_misses_each_message_of_the_sessions_that_it_met(
    script: list[tuple[list[tuple[str, bool]], bool, bool]],
) -> None:
    run = play(script, True)
    made = subscriber(run, lossless=False, kinds=("spikes", "notices", "end"))
    batches = received(made)
    ends = sum(len(numbers(found, "end")) for found in batches.values())
    unseen = sum(len(missed(found, "end")) for found in batches.values())
    assert ends + unseen == len(run.past)
    for name, found in batches.items():
        for kind in ("spikes", "notices"):
            got, gone = numbers(found, kind), missed(found, kind)
            assert got == sorted(set(got))
            told = sorted(got + gone)
            assert told == list(range(len(told)))
            if numbers(found, "end"):
                assert len(told) == len(run.past[name][kind])


def test_an_info_that_is_not_made_yet_is_asked_for_again() -> None:
    run = Run()
    run.begin()
    run.turn(info_arrives=False)
    for _ in range(MOST_AHEAD + 40):
        run.spikes()
    run.end()
    run.withheld = 5
    made = subscriber(run, lossless=False)
    (found,) = received(made).values()
    assert numbers(found, "spikes") == list(range(MOST_AHEAD + 40))
    assert made.missed_total == 0


def test_without_an_info_nothing_is_handed_on_and_the_next_session_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn_module, "OVERDUE_S", -1.0)
    run = Run()
    run.begin()
    run.turn(info_arrives=False)
    del run.infos[run.session]
    run.spikes()
    run.turn()
    run.spikes()
    run.end()
    made = subscriber(run, lossless=False)
    assert list(received(made)) == [NAMES[2]]


def test_a_history_that_is_gone_ends_the_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn_module, "OVERDUE_S", -1.0)
    run = Run()
    run.begin()
    run.turn(info_arrives=False)
    run.deaf = run.gone = True
    made = subscriber(run, lossless=False)
    with pytest.raises(EngineVanished):
        received(made)


def test_another_run_at_the_same_address_is_no_session_of_this_one() -> None:
    sessions = Sessions()
    sessions.turn("a")
    sessions.join({"session": "a", "run": "a", "part": 3})
    assert not sessions.follows({"session": "b", "run": "b", "part": 4})
    assert not sessions.follows({"session": "b", "run": "a", "part": 3})
    assert sessions.follows({"session": "b", "run": "a", "part": 4})
    assert sessions.unseen({"session": "b", "run": "b", "part": 9}) == 0
    assert sessions.unseen({"session": "b", "run": "a", "part": 6}) == 3
    assert not sessions.end({"next_session": "b"})
    assert sessions.unseen({"session": "b", "run": "a", "part": 6}) == 2


@pytest.mark.parametrize("part", [None, "2", True, 0, -1, 2**70])
def test_a_part_that_is_no_number_is_the_first(part: Any) -> None:
    sessions = Sessions()
    sessions.turn("a")
    sessions.join({"session": "a", "run": "a", "part": part})
    assert sessions.follows({"session": "b", "run": "a", "part": 2})
    assert not sessions.follows({"session": "b", "run": "a", "part": part})


def test_the_newest_batch_keeps_what_was_missed_in_the_session_before() -> None:
    feed = [
        Batch("spikes", "s1", 0, 9, missed=(Missed("spikes", 4, 2, 100, 200),)),
        Batch("spikes", "s2", 0, 9, missed=(Missed("end", 0, 1),)),
    ]
    latest = Latest(lambda wait_s: feed.pop(0) if feed else None, lambda: not feed)
    latest.start()
    until(lambda: not feed)
    latest.stop()
    batch = latest.get(0.0)
    assert batch is not None
    assert (batch.session, batch.superseded) == ("s2", 1)
    assert batch.missed == (Missed("spikes", 4, 2, None, None), Missed("end", 0, 1))
