"""Catch-up over real sockets: a slow program gets everything, also after the end and over deaths of its helper."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from rtspikes.wire.publish import Publisher
from rtspikes.wire.reply import ReplyService
from rtspikes.wire.settings import HistorySettings, PublishSettings, ReplySettings
from rtspikes.wire.subscribe import Subscriber, subscribe
from tests.simulated import wire_info
from tests.unit.wire.engines import ANY, DEADLINE_S, LARGE, send_end, until

SMALL = {"cause": "test", "text": "y" * 400, "count": 1, "sample": 0}
NOTABLE = {**SMALL, **LARGE}


class Slow:
    """A lossless program that needs `pause_s` for each batch once `hurry` is set, and waits for that before."""

    def __init__(self, endpoint: str, pause_s: float) -> None:
        self.numbers: list[int] = []
        self.missed = 0
        self.hurry, self.joined = threading.Event(), threading.Event()
        self._endpoint, self._pause_s = endpoint, pause_s
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        with subscribe(self._endpoint, kinds=("notices",), lossless=True, high_water_mark=10) as s:
            for batch in self._batches(s):
                self.numbers.append(batch.fields["seq"])
                self.hurry.wait(DEADLINE_S)
                time.sleep(self._pause_s)  # its work
            self.missed = s.missed_total

    def _batches(self, s: Subscriber) -> Iterator[Any]:
        until(lambda: s.info, lambda: s.get(0.01))
        self.joined.set()
        yield from (batch for batch in s if batch.kind == "notices")


@contextmanager
def engine(linger_s: float) -> Iterator[tuple[Publisher, ReplyService]]:
    errors: list[BaseException] = []
    settings = PublishSettings(endpoint=ANY, high_water_mark=10, linger_s=linger_s)
    out = Publisher(settings, False, lambda: False)
    reply = ReplyService(
        settings, HistorySettings(), ReplySettings(), out.session, out.history_topics, {}, errors.append
    )
    try:
        out.history = reply.history
        reply.start(out.bind())
        reply.wait_bound()
        out.set_info({**wire_info(), "reply": {"endpoint": reply.endpoint}})
        yield out, reply
    finally:
        out.close(at_once=True)
        reply.close(linger_s)
    assert errors == []


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no subscriber give its engine up because a busy computer lets neither of them run."""
    monkeypatch.setattr("rtspikes.wire.connection.GRACE_S", DEADLINE_S)


@pytest.mark.parametrize("deaths", [0, 2])
def test_a_slow_program_has_everything_long_after_the_end(deaths: int) -> None:
    with engine(DEADLINE_S) as (out, reply):
        slow = Slow(out.endpoint, 0.01)
        until(slow.joined.is_set, out.poll)
        for _ in range(120):
            out.send("notices", NOTABLE)  # more than its sockets hold
        for _ in range(600):
            out.send("notices", SMALL)
        send_end(out)
        until(lambda: reply.status()["holding"] == 1)
        slow.hurry.set()
        out.close()
        for death in range(1, deaths + 1):
            until(lambda death=death: len(slow.numbers) > 150 * death)
            assert reply._process is not None  # noqa: SLF001
            os.kill(reply._process.pid, 9)  # noqa: SLF001
            until(lambda death=death: reply.restarts == death)
        closing = threading.Thread(target=reply.close, args=(DEADLINE_S,))
        closing.start()
        slow.thread.join(DEADLINE_S)
        closing.join(DEADLINE_S)
    assert slow.missed == 0
    assert slow.numbers == list(range(720))
