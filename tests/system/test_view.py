"""The live page in a real browser, beside real engines."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import rtspikes
from rtspikes.subscribers.log.reader import read_session
from tests.simulated import simulate, write_recording
from tests.system.browser import Page, browser, opened, page_address, until
from tests.system.processes import Running
from tests.system.processes import rtspikes as run_to_end

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["browser"]

ANY_PORT = ("--publish", "tcp://127.0.0.1:0")
PAGE = ("--view", "--no-browser")

HOSTILE = '<img src=x onerror="window.hacked=1">\u202e\n</script>'

PANELS = ("top", "health", "map-panel", "trends-panel", "raster-panel", "detail-panel")
SIZES = ((1280, 800), (1920, 1080))

ARRAYS = {
    "60": "sim:60?gaps=20",
    "1024": "sim:32x32?rate=10000&gaps=20",
    "4096": "sim:64x64?rate=10000",
    "wells": "sim:wells:24x16?rate=10000",
}


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    """Return a run with its page: the simulated culture on 60 electrodes, with holes."""
    with Running("run", "--source", "sim:60?gaps=60&seed=2", *ANY_PORT, *PAGE) as engine:
        yield engine


@pytest.fixture(scope="module")
def address(running: Running) -> str:
    return page_address(running)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_a_person_looks_selects_and_marks(browser: Browser, running: Running, address: str) -> None:
    endpoint = running.endpoint()
    with opened(browser, address) as page, rtspikes.subscribe(endpoint, kinds=("marks",)) as engine:
        page.ready()
        page.wait("r.selected.length > 0", "a choice of the busiest electrodes")
        page.wait("r.gaps > 0", "a gap")
        page.tab.keyboard.press("c")
        page.click_electrode(20)
        page.wait("r.selected.length === 1 && r.selected[0] === 20", "a selected electrode")
        page.wait("r.traceSpan(20)", "its trace")
        page.tab.locator('[data-channel="20"]').wait_for()
        at = page.ask("r.electrodeAt(30)")
        page.tab.mouse.move(at["x"], at["y"])
        tip = page.tab.locator("#tip").inner_text()
        assert all(word in tip for word in ("spikes/s", "σ", "µV", "threshold")), tip
        with page.tab.expect_download() as saved:
            page.tab.keyboard.press("p")
        assert Path(saved.value.path()).read_bytes().startswith(b"\x89PNG")
        page.tab.keyboard.press("?")
        page.tab.locator("#help").wait_for()
        page.tab.keyboard.press("Escape")
        page.tab.locator("#help").wait_for(state="hidden")
        page.tab.keyboard.press("m")
        page.tab.locator("#mark-input").fill("10 µM <b>bicuculline</b>")
        page.tab.keyboard.press("Enter")
        page.wait("r.marks > 0", "a mark on the page")
        marked: list[str] = []
        until(lambda: (batch := engine.get(0)) and marked.extend(batch.texts) or marked, page, "a mark from the engine")
        assert marked == ["10 µM <b>bicuculline</b>"]


def drag_threshold(page: Page, channel: int, sigmas: float) -> None:
    """Drag an electrode's threshold down until it is so many σ away: the scale may change under the hand."""
    beyond = f"r.levelOf({channel}).negative < -{sigmas} * r.levelOf({channel}).sigma"
    for _ in range(20):
        line = page.ask(f"r.thresholdAt({channel})")
        page.tab.mouse.move(line["x"], line["y"])
        page.tab.mouse.down()
        for step in range(1, 5):
            page.tab.mouse.move(line["x"], line["y"] + 15 * step)
        page.tab.mouse.up()
        for _ in range(50):
            if page.ask(beyond):
                return
            page.tab.wait_for_timeout(20)
    raise AssertionError(f"the threshold stayed at {page.ask(f'r.levelOf({channel}).negative')} µV")


def test_a_dragged_threshold_leaves_fewer_spikes(browser: Browser, address: str) -> None:
    with opened(browser, address) as page:
        page.ready()
        busy = (
            int(page.wait("r.selected.filter(c => r.spikesIn(c, 5) >= 3).concat([-1])[0] + 1", "a busy electrode")) - 1
        )
        page.tab.keyboard.press("c")
        page.click_electrode(busy)
        page.wait(f"r.selected.length === 1 && r.thresholdAt({busy})", "its threshold line")
        drag_threshold(page, busy, 20)
        page.tab.locator("#toasts").get_by_text("threshold").first.wait_for()
        had, now = page.ask(f"r.levelOf({busy}).count"), page.ask("r.now")
        others = page.ask("r.spikesSeen")
        page.wait(f"r.now > {now} + 4 * 20000", "four more seconds")
        assert page.ask("r.spikesSeen") > others
        assert page.ask(f"r.levelOf({busy}).count") <= had + 1  # one may have been on its way


def test_two_people_look_and_the_page_recovers_by_itself_when_the_engine_is_restarted(browser: Browser) -> None:
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    source = ("run", "--source", "sim:60", "--publish", endpoint)
    with Running("view", endpoint, "--port", "0", "--no-browser") as viewer:
        address = page_address(viewer)
        with opened(browser, address) as one, opened(browser, address) as other:
            one.wait("r.state === 'connecting'", "a page that waits")
            with Running(*source):
                one.ready()
                other.ready()
                one.wait(
                    "document.querySelector('[data-testid=health-viewers]')?.textContent.includes('2')", "two viewers"
                )
                first = one.ask("r.session")
                # killed with the block: no `end` is sent
            one.wait("r.state === 'lost'", "a page that says that the engine is gone")
            with Running(*source):
                for page in (one, other):
                    page.wait(f"r.state === 'live' && r.session !== '{first}' && r.spikesSeen > 0", "recovery")
        viewer.process.send_signal(signal.SIGINT)
        assert viewer.finish() == 0


def test_the_page_finds_its_server_again(browser: Browser, address: str, running: Running) -> None:
    port = free_port()
    serve = ("view", running.endpoint(), "--port", port, "--no-browser")
    with Running(*serve) as viewer:
        page_address(viewer)
        page = Page(browser, f"http://127.0.0.1:{port}/")
        page.ready()
        viewer.process.kill()
        page.wait("r.state === 'away'", "a page that says that its server is gone")
    with Running(*serve):
        page.wait("r.state === 'live'", "a page that goes on")
        page.tab.close()


def test_a_hostile_label_stays_text(browser: Browser, tmp_path: Path) -> None:
    samples, _ = simulate(4, 3.0)
    recording = write_recording(tmp_path / "hostile", samples, channel_ids=[HOSTILE, "E2", HOSTILE + "2", "x" * 5000])
    hostile = ("--set", f"session.culture={HOSTILE}")
    with Running("replay", recording, "--loop", *ANY_PORT, *PAGE, *hostile) as engine:
        with opened(browser, page_address(engine)) as page:
            page.ready()
            page.click_electrode(0)
            page.tab.locator('[data-channel="0"]').wait_for()
            at = page.ask("r.electrodeAt(2)")
            page.tab.mouse.move(at["x"], at["y"])
            page.wait("document.body.textContent.includes('<img src=x')", "the label as text")
            assert page.ask("window.hacked === undefined && document.querySelectorAll('img').length === 0")


def test_others_need_the_token(browser: Browser, running: Running) -> None:
    serve = ("view", running.endpoint(), "--port", "0", "--no-browser", "--token", "right-token")
    with Running(*serve) as viewer:
        address = page_address(viewer)
        assert address.endswith("#token=right-token")
        with opened(browser, address) as page:
            page.ready()
            assert "right-token" not in page.tab.url
        with opened(browser, address.partition("#")[0]) as stranger:
            stranger.wait("r.state === 'token'", "a page that asks for the token")
            assert stranger.ask("r.frames") == 0


def test_a_finished_session_has_a_slider(browser: Browser, tmp_path: Path) -> None:
    samples, _ = simulate(4, 20.0)
    recording = write_recording(tmp_path / "recording", samples)
    done = run_to_end("replay", recording, "--speed", "max", *ANY_PORT, "--log", tmp_path / "session1")
    assert done.returncode == 0, done.stderr
    session = tmp_path / "session1.rtspikes"
    with Running("view", session, "--port", "0", "--no-browser") as viewer:
        with opened(browser, page_address(viewer)) as page:
            page.wait("r.state === 'session' && r.frames > 0", "a session")
            slider = page.tab.locator("#slider").bounding_box()
            assert slider is not None
            page.tab.mouse.click(slider["x"] + slider["width"] / 2, slider["y"] + slider["height"] / 2)
            rate_hz = float(read_session(session).info["rate_hz"])
            page.wait(f"Math.abs(r.now / {rate_hz} - 10) < 2 && r.spikesSeen > 0", "its middle")


@pytest.mark.parametrize("array", ARRAYS)
def test_the_page_is_whole_at_both_sizes(browser: Browser, array: str, tmp_path: Path) -> None:
    folder = Path(os.environ.get("RTSPIKES_SHOTS", tmp_path))
    with Running("run", "--source", ARRAYS[array], *ANY_PORT, *PAGE) as engine:
        address = page_address(engine)
        with opened(browser, address) as page:
            page.ready()
            page.wait(
                "r.selected.length > 0 && r.traceSpan(r.selected[0]) && r.frames > 90", "traces, and some seconds"
            )
            for scheme, (width, height) in zip(("dark", "light"), SIZES, strict=True):
                page.tab.set_viewport_size({"width": width, "height": height})
                drawn = page.ask("r.drawn")
                page.wait(f"r.drawn > {drawn} + 10", "a picture of that size")
                page.tab.screenshot(path=folder / f"{array}-{width}x{height}-{scheme}.png")
                assert page.ask("document.documentElement.scrollHeight <= innerHeight"), "the page scrolls"
                assert page.ask("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
                boxes = {name: page.tab.locator(f"#{name}").bounding_box() for name in PANELS}
                assert all(boxes.values()), boxes
                assert overlapping(boxes) == []
                page.tab.keyboard.press("t")


def overlapping(boxes: dict[str, Any]) -> list[tuple[str, str]]:
    """Return which boxes lie on each other."""
    names = list(boxes)
    return [
        (a, b)
        for i, a in enumerate(names)
        for b in names[i + 1 :]
        if min(boxes[a]["x"] + boxes[a]["width"], boxes[b]["x"] + boxes[b]["width"]) - max(boxes[a]["x"], boxes[b]["x"])
        > 1
        and min(boxes[a]["y"] + boxes[a]["height"], boxes[b]["y"] + boxes[b]["height"])
        - max(boxes[a]["y"], boxes[b]["y"])
        > 1
    ]
