"""`latest`: the newest of each kind, what it replaced, and what was lost before it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from rtspikes.errors import EngineVanished
from rtspikes.wire.batch import Batch, Missed
from rtspikes.wire.latest import Latest
from rtspikes.wire.subscribe import subscribe
from tests.unit.wire.engines import DEADLINE_S, join, publisher, send_end, send_spikes, until


def batch(kind: str, seq: int, *missed: Missed) -> Batch:
    return Batch(kind, "s", 0, 0, fields={"seq": seq}, missed=missed)


class Feed:
    """Hands out batches, then waits for `over`."""

    def __init__(self, *batches: Batch) -> None:
        self.left: Iterator[Batch] = iter(batches)
        self.taken, self.over = threading.Event(), threading.Event()

    def take(self, timeout_s: float) -> Batch | None:
        found = next(self.left, None)
        if found is None:
            self.taken.set()
            self.over.wait(timeout_s)
        return found


def test_the_newest_of_each_kind_stays_and_tells_what_it_replaced_and_what_was_missed() -> None:
    gone = Missed("spikes", 1, 2)
    feed = Feed(batch("spikes", 0), batch("status", 0), batch("spikes", 3, gone), batch("spikes", 4))
    latest = Latest(feed.take, feed.over.is_set)
    latest.start()
    assert feed.taken.wait(DEADLINE_S)
    got = [latest.get(None), latest.get(None)]
    assert [(b.kind, b.fields["seq"], b.superseded, b.missed) for b in got if b] == [
        ("spikes", 4, 2, (gone,)),
        ("status", 0, 0, ()),
    ]
    assert latest.get(time.monotonic()) is None
    assert not latest.done
    feed.over.set()
    until(lambda: latest.done)
    assert latest.get(None) is None
    latest.stop()


def test_what_ends_the_thread_is_raised_once_the_rest_was_taken() -> None:
    def take(timeout_s: float) -> Batch | None:
        if given:
            raise EngineVanished("gone")
        given.append(True)
        return batch("spikes", 0)

    given: list[bool] = []
    latest = Latest(take, lambda: False)
    latest.start()
    assert latest.get(None) is not None
    with pytest.raises(EngineVanished, match="gone"):
        latest.get(None)
    latest.stop()


def test_a_program_that_shows_the_present_gets_the_present() -> None:
    with publisher() as out, subscribe(out.endpoint, latest=True) as subscriber:
        until(lambda: subscriber.info, out.poll)
        for n in range(100):
            send_spikes(out, 10 * n, 10 * n + 10, 10 * n + 5)
        send_end(out)
        until(lambda: subscriber.end)
        batches = list(subscriber)
        assert [b.spikes["sample"].tolist() for b in batches] == [[995]]
        assert (batches[0].superseded, batches[0].missed) == (99, ())


def test_it_can_be_left_at_any_time() -> None:
    with publisher() as out, subscribe(out.endpoint, latest=True) as subscriber:
        until(lambda: subscriber.info, out.poll)
        assert subscriber.get(0.0) is None
    assert threading.active_count() < 10
    with publisher() as out, subscribe(out.endpoint) as plain:
        join(out, plain)
