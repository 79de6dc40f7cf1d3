"""The announcer: what a block brought goes out in its order, with what belongs beside it, and is counted."""

from __future__ import annotations

from typing import Any

import numpy as np

from rtspikes.clock import SampleClock
from rtspikes.detect.events import Events
from rtspikes.types import CROSSING_DTYPE, REJECTED_DTYPE, SPIKE_DTYPE, UNOBSERVED_DTYPE, RejectReason
from rtspikes.wire.announce import Announcer, Passed
from rtspikes.wire.codec import Message, decode, encode, encode_items, topic
from tests.clocks import HandClock
from tests.simulated import stream_info

PASSED = Passed(0.0, 0.0, 0.0, 0.0)


class Said:
    """A publisher that keeps what is sent, decoded as a subscriber would."""

    subscribers = bad_upstream = 0
    waited_s = 0.0

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def send(self, kind: str, fields: dict[str, Any]) -> None:
        head = {"v": 1, "session": "s", "seq": len(self.messages)}
        self.messages.append(decode([topic(kind, "a"), encode(head, encode_items(fields))]))

    def last_seqs(self) -> dict[str, int]:
        return {}


def announcer(neighbours: int = 0) -> tuple[Announcer, Said]:
    said = Said()
    clock = HandClock()
    return Announcer(said, stream_info(4), SampleClock(1000.0), clock, 0, 3, 0.01, neighbours), said  # type: ignore[arg-type]


def events(n: int, neighbours: int, reasons: tuple[RejectReason, ...] = (), intervals: int = 0) -> Events:
    spikes = np.zeros(n, SPIKE_DTYPE)
    spikes["crossing"] = np.arange(n)
    rejected = np.zeros(len(reasons), REJECTED_DTYPE)
    rejected["reason"] = reasons
    return Events(
        crossings=np.zeros(n, CROSSING_DTYPE),
        spikes=spikes,
        waveforms=np.zeros((n, 3), np.float32),
        flags=(np.arange(n) % 2).astype(np.uint8),
        neighbours=np.arange(n * neighbours, dtype=np.float32).reshape(n, neighbours),
        rejected=rejected,
        crossings_to=n + 5,
        spikes_to=n,
        unobserved=np.zeros(intervals, UNOBSERVED_DTYPE),
    )


def test_a_block_goes_out_in_its_order_with_flags_and_neighbours() -> None:
    out, said = announcer(2)
    out.events(events(3, 2, (RejectReason.REBOUND,), 4), PASSED)
    assert [message.kind for message in said.messages] == ["crossings", "spikes", "rejected", "unobserved"]
    spikes, unobserved = said.messages[1], said.messages[3]
    assert spikes.flags is not None
    assert spikes.neighbours is not None
    assert spikes.flags.tolist() == [0, 1, 0]
    assert spikes.neighbours.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert unobserved.table is not None
    assert len(unobserved.table) == 4
    assert {"t_acquired", "t_detected", "t_sent"} <= unobserved.fields.keys()


def test_a_tick_without_spikes_keeps_to_what_info_says_of_neighbours() -> None:
    for neighbours in (0, 2):
        out, said = announcer(neighbours)
        out.end("done", 9, {})
        (spikes,) = (message for message in said.messages if message.kind == "spikes")
        assert spikes.neighbours is not None
        assert spikes.neighbours.shape == (0, neighbours)


def test_a_status_counts_flagged_spikes_and_rejections_by_reason() -> None:
    out, said = announcer()
    out.events(events(5, 0, (RejectReason.REBOUND, RejectReason.CUT, RejectReason.REBOUND)), PASSED)
    out.events(events(2, 0, (RejectReason.NEIGHBOUR,)), PASSED)
    out.end("done", 9, {})
    status = next(message.fields for message in said.messages if message.kind == "status")
    assert {name: status["counts"][name] for name in ("spikes", "flagged", "rejected")} == {
        "spikes": 7, "flagged": 3, "rejected": 4
    }  # fmt: skip
    assert status["rejected"] == {"cut": 1, "rebound": 2, "coincidence": 0, "neighbour": 1, "blanked": 0}
