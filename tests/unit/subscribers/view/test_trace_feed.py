from __future__ import annotations

import time

from rtspikes.subscribers.view.live import LiveScene
from rtspikes.subscribers.view.trace_feed import TraceFeed
from tests.patience import Patience
from tests.unit.subscribers.view.pages import info


def test_nobody_looking_costs_nothing() -> None:
    scene = LiveScene("tcp://127.0.0.1:1")
    scene.begin(info())
    with TraceFeed(scene, None):
        page = scene.viewer()
        page.select([1], "filtered")
        page.close()
        patience = Patience(30)
        while scene.wanted_changed.is_set():
            assert patience, "the feed does not look at what is wanted"
            time.sleep(0.01)
        before_s, begun_s = time.process_time(), time.monotonic()
        while time.monotonic() - begun_s < 0.5:
            time.sleep(0.05)
        assert time.process_time() - before_s < (time.monotonic() - begun_s) / 2
