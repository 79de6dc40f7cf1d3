from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rtspikes.subscribers.view.facts import kept_columns
from rtspikes.subscribers.view.health import NOT_UNDERSTOOD
from rtspikes.subscribers.view.live import LiveScene
from rtspikes.wire.traces import Trace
from tests.unit.subscribers.view.pages import by_kind, info, said, spikes, unpack


def scene(n: int = 4) -> LiveScene:
    made = LiveScene("tcp://127.0.0.1:1")
    made.begin(info(n))
    return made


def trace(channel: int, session: str = "s1") -> Trace:
    return Trace(session, channel, "filtered", 0, 0, 5, np.zeros(4, np.float32), np.ones(4, np.float32))


def test_a_page_that_comes_gets_the_whole_picture() -> None:
    made = scene()
    made.add([spikes([(5, 0), (25, 1)], 100), said("status", counts={"lost_source": 7})], 0)
    viewer = made.viewer()
    found = by_kind(viewer.messages(0.0))
    assert set(found) == {"facts", "health", "happened", "levels", "trends", "frame"}
    facts, _ = found["facts"]
    assert (facts["keys"], facts["rows"], facts["column_samples"]) == ({"culture": "<b>B7</b>"}, 4, 10)
    head, arrays = found["frame"]
    assert (head["n"], head["now"], head["column"], head["fresh"]) == (1, 100, 0, True)
    assert arrays["columns"].shape == (10, 4)
    assert arrays["rate"].tolist() == [1, 0, 1, 0, 0, 0, 0, 0, 0, 0]
    losses = {loss["name"]: loss["amount"] for loss in found["health"][0]["losses"]}
    assert losses["lost by source"] == 7


def test_before_an_engine_is_there_a_page_is_told_so() -> None:
    viewer = LiveScene("tcp://127.0.0.1:1").viewer()
    found = by_kind(viewer.messages(0.0))
    assert set(found) == {"health"}
    assert found["health"][0]["state"] == "connecting"
    assert viewer.messages(0.1) == []


def test_a_slow_page_gets_the_same_columns_as_a_fast_one_in_fewer_frames() -> None:
    made = scene()
    fast, slow = made.viewer(), made.viewer()
    rng = np.random.default_rng(1)
    got = {fast: np.zeros((200, 4), np.uint8), slow: np.zeros((200, 4), np.uint8)}
    for a in range(0, 2000, 20):
        late = a - 15  # a peak may lie a little behind what is out already
        made.add(
            [
                spikes(
                    [(int(s), int(rng.integers(4))) for s in sorted(rng.integers(max(0, late), a + 20, 6))], a + 20, a
                )
            ],
            0,
        )
        for viewer in (fast, slow) if a % 500 == 480 else (fast,):
            head, arrays = by_kind(viewer.messages(a / 1000))["frame"]
            first = head["column"]
            got[viewer][first : first + len(arrays["columns"])] = arrays["columns"]
    assert made.course is not None
    np.testing.assert_array_equal(got[fast], got[slow])
    np.testing.assert_array_equal(got[fast], made.course.raster.columns(0)[1])
    assert (fast.sent, slow.sent) == (100, 4)


def test_nothing_new_is_no_message() -> None:
    made = scene()
    made.add([spikes([], 10)], 0)
    viewer = made.viewer()
    viewer.messages(0.0)
    assert viewer.messages(0.01) == []


def test_details_are_of_the_selected_channels_only() -> None:
    made = scene()
    viewer = made.viewer()
    viewer.select([1, 99, 1], "filtered")
    assert made.wanted == {(1, "filtered")}
    made.add([spikes([(5, 0), (6, 1)], 100)], 0)
    made.add_trace(trace(1))
    made.add_trace(trace(0))
    made.add_trace(trace(1, session="another"))
    found = by_kind(viewer.messages(0.0))
    head, arrays = found["detail"]
    assert [(run["channel"], run["n"]) for run in head["runs"]] == [(1, 4)]
    assert arrays["spike_sample"].tolist() == [6]
    head, arrays = found["shapes"]
    assert head["channels"] == [1]
    assert arrays["spikes"].tolist() == [1]
    assert arrays["waveforms"][0, :2].tolist() == [6, -6]
    assert "detail" not in by_kind(viewer.messages(0.1))


def test_of_one_more_channel_all_that_is_kept_comes_and_of_the_others_nothing_twice() -> None:
    made = scene()
    viewer = made.viewer()
    viewer.select([1], "filtered")
    made.add([spikes([(5, 0), (6, 1)], 100)], 0)
    made.add_trace(trace(1))
    viewer.messages(0.0)
    viewer.select([1, 0], "filtered")
    head, arrays = by_kind(viewer.messages(0.1))["detail"]
    assert (head["runs"], arrays["spike_channel"].tolist(), arrays["spike_sample"].tolist()) == ([], [0], [5])
    viewer.select([1, 0], "raw")  # another signal: the page has nothing of it
    _, arrays = by_kind(viewer.messages(0.2))["detail"]
    assert arrays["spike_sample"].tolist() == [5, 6]


def test_a_page_that_is_told_to_forget_gets_all_that_is_kept_again() -> None:
    made = scene()
    viewer = made.viewer()
    viewer.select([1], "filtered")
    made.add([spikes([(6, 1)], 100)], 0)
    viewer.messages(0.0)
    assert made.course is not None
    far = made.course.raster.oldest + 10 * kept_columns(made.course.rate_hz) + 1000
    made.add([spikes([(far, 1)], far + 100, 100)], 0)
    found = viewer.messages(1.0)
    assert by_kind(found)["frame"][0]["fresh"]
    kinds = [unpack(message)[0]["t"] for message in found]
    assert kinds.index("frame") < kinds.index("detail")
    assert by_kind(found)["detail"][1]["spike_sample"].tolist() == [far]


def test_traces_come_while_any_page_wants_them() -> None:
    made = scene()
    one, other = made.viewer(), made.viewer()
    one.select([1, 2], "filtered")
    other.select([2, 3], "filtered")
    assert made.wanted == {(1, "filtered"), (2, "filtered"), (3, "filtered")}
    one.close()
    assert made.wanted == {(2, "filtered"), (3, "filtered")}
    other.select([], "filtered")
    assert made.wanted == set()


def test_another_session_begins_anew() -> None:
    made = scene()
    viewer = made.viewer()
    made.add([spikes([(5, 0)], 100)], 0)
    viewer.messages(0.0)
    viewer.select([3], "filtered")
    made.begin(info(2, session="s2"))
    made.add([spikes([(5, 0)], 50, session="s2")], 0)
    found = by_kind(viewer.messages(1.0))
    assert (found["facts"][0]["session"], found["facts"][0]["n"]) == ("s2", 2)
    head, arrays = found["frame"]
    assert (head["fresh"], head["column"], arrays["columns"].shape) == (True, 0, (5, 2))
    assert found["happened"][0]["all"]
    assert "shapes" not in found
    assert made.wanted == set()


WRONG: list[dict[str, Any]] = [
    {"enabled": [True]},
    {"enabled": "yes!"},
    {"first_sample": 2**60},
    {"rate_hz": 0},
    {"snippet_samples": [0, 2**40]},
    {"channels": {"label": ["a"] * 4}},
    {"detect": []},
    {"source": "x"},
    {"n_channels": "4"},
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_a_session_that_no_page_could_show_is_refused_before_any_page_sees_it(wrong: dict[str, Any]) -> None:
    made = scene()
    page = made.viewer()
    page.messages(0.0)
    with pytest.raises(NOT_UNDERSTOOD):
        made.begin(info(**wrong))
    made.give_up("not understood")
    found = by_kind(page.messages(1.0))
    assert set(found) == {"health"}
    assert (found["health"][0]["state"], found["health"][0]["text"]) == ("lost", "not understood")


def test_more_pages_are_counted() -> None:
    made = scene()
    one = made.viewer()
    two = made.viewer()
    assert by_kind(one.messages(0.0))["health"][0]["viewers"] == 2
    two.close()
    assert by_kind(one.messages(0.1))["health"][0]["viewers"] == 1
