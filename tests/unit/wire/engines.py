"""A publisher as a test's engine, and its subscribers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from rtspikes.types import SPIKE_DTYPE
from rtspikes.wire.messages import Beside, event_messages
from rtspikes.wire.publish import Publisher
from rtspikes.wire.settings import PublishSettings
from rtspikes.wire.subscribe import Subscriber
from tests.patience import Patience
from tests.simulated import wire_info

DEADLINE_S = 30.0
ANY = "tcp://127.0.0.1:0"
LARGE = {"load": b"x" * 200_000}
"""A message of which the sockets of the operating system hold some dozens."""


def until(condition: Callable[[], Any], *steps: Callable[[], object]) -> Any:
    """Repeat the steps until the condition holds; return its value."""
    patience = Patience(DEADLINE_S)
    while not (value := condition()):
        assert patience, "the condition did not come true"
        for step in steps:
            step()
    return value


@contextmanager
def publisher(paced: bool = True, abort: Callable[[], bool] = lambda: False, **settings: Any) -> Iterator[Publisher]:
    made = Publisher(PublishSettings(**{"endpoint": ANY} | settings), paced, abort)
    try:
        made.bind()
        made.set_info(wire_info())
        yield made
    finally:
        made.close(at_once=True)


def join(to: Publisher, *subscribers: Subscriber) -> None:
    """Let subscribers find the publisher and get its `info`."""
    for one in subscribers:
        until(lambda one=one: one.info, to.poll, lambda one=one: one.get(0.01))


def spikes(*samples: int) -> np.ndarray:
    rows = np.zeros(len(samples), SPIKE_DTYPE)
    rows["sample"] = rows["crossing"] = samples
    return rows


def send_spikes(to: Publisher, from_sample: int, to_sample: int, *samples: int) -> None:
    n = len(samples)
    beside = Beside(np.zeros((n, 3), np.float32), np.zeros(n, np.uint8), np.zeros((n, 0), np.float32))
    for fields in event_messages(spikes(*samples), from_sample, to_sample, beside):
        to.send("spikes", fields)


def send_end(to: Publisher) -> None:
    to.send("end", {"reason": "done", "last_seq": to.last_seqs()})
