from __future__ import annotations

import numpy as np

from rtspikes.subscribers.view.trace_store import KEPT_S, MOST_MESSAGES, TraceStore
from rtspikes.wire.traces import Trace


def trace(channel: int, sample: int, n: int = 2, of: str = "filtered") -> Trace:
    values = (sample + np.arange(n)).astype(np.float32)
    return Trace("s1", channel, of, 0, sample, 5, values, values + 1)


def test_runs_join_and_a_gap_parts_them() -> None:
    store = TraceStore(1000.0)
    store.want([(1, "filtered"), (2, "filtered")])
    for each in (trace(1, 0), trace(2, 0), trace(1, 10), trace(1, 50)):
        store.add(each)
    runs, arrays = store.runs([(1, "filtered"), (2, "filtered")], 0)
    assert [(r["channel"], r["sample"], r["at"], r["n"]) for r in runs] == [(1, 0, 0, 4), (1, 50, 4, 2), (2, 0, 6, 2)]
    assert arrays["low"].tolist() == [0, 1, 10, 11, 50, 51, 0, 1]
    assert arrays["high"].tolist() == [1, 2, 11, 12, 51, 52, 1, 2]


def test_a_page_gets_what_is_new_of_what_it_looks_at() -> None:
    store = TraceStore(1000.0)
    store.want([(1, "filtered"), (1, "raw")])
    store.add(trace(1, 0))
    seen = store.count
    store.add(trace(1, 0, of="raw"))
    store.add(trace(1, 10))
    store.add(trace(7, 10))
    runs, _ = store.runs([(1, "filtered")], seen)
    assert [(r["of"], r["sample"]) for r in runs] == [("filtered", 10)]
    assert store.runs([(7, "filtered")], 0)[0] == []
    store.want([(1, "raw")])
    assert store.runs([(1, "filtered")], 0)[0] == []


def test_samples_that_do_not_advance_are_not_kept_for_ever() -> None:
    store = TraceStore(1000.0)
    store.want([(1, "filtered")])
    for sample in (*range(0, 100, 10), 5, *[5] * 2000):
        store.add(trace(1, sample))
    runs, arrays = store.runs([(1, "filtered")], 0)
    assert runs[0]["sample"] == 5
    assert len(arrays["low"]) <= 2 * MOST_MESSAGES


def test_what_is_kept_is_bounded() -> None:
    store = TraceStore(1000.0)
    store.want([(1, "filtered")])
    for i in range(10_000):
        store.add(trace(1, 10 * i))
    runs, arrays = store.runs([(1, "filtered")], 0)
    assert runs[0]["sample"] >= 99_990 - KEPT_S * 1000
    assert len(arrays["low"]) * 5 <= KEPT_S * 1000 + 10
