"""A headless browser for tests of the page: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from bench.view import CHROMIUM, CHROMIUM_OPTIONS
from tests.patience import Patience
from tests.system.processes import DEADLINE_S, Running

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Yield a browser; skip where there is none, unless RTSPIKES_REQUIRE_BROWSER says that there must be."""
    if not CHROMIUM.exists():
        missing = f"no browser at {CHROMIUM}; on Debian: apt-get install chromium"
        if os.environ.get("RTSPIKES_REQUIRE_BROWSER"):
            pytest.fail(missing)
        pytest.skip(missing)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=CHROMIUM_OPTIONS)
        yield chromium
        chromium.close()


class Page:
    """The page of a viewer, opened in a tab of its own; keeps what the browser complains of."""

    def __init__(
        self, browser: Browser, address: str, width: int = 1280, height: int = 800, scheme: str = "dark"
    ) -> None:
        self.tab = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
        self.complaints: list[str] = []
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        self.tab.goto(address)

    def ask(self, expression: str) -> Any:
        """Return what a JavaScript expression about `r`, the page's `window.rtspikes`, is."""
        return self.tab.evaluate(f"() => {{ const r = window.rtspikes; return {expression}; }}")

    def wait(self, expression: str, what: str) -> Any:
        """Return the expression's value once it is true; fail, saying what did not happen."""
        patience = Patience(DEADLINE_S)
        while not (found := self.ask(f"r && ({expression})")):
            assert patience, f"{what} did not happen; the page complains of {self.complaints}"
            self.tab.wait_for_timeout(20)
        return found

    def ready(self) -> None:
        """Wait until the page shows spikes."""
        self.wait("document.documentElement.dataset.ready === '1' && r.spikesSeen > 0", "a picture with spikes")

    def click_electrode(self, position: int) -> None:
        """Click an electrode on the map."""
        at = self.ask(f"r.electrodeAt({position})")
        self.tab.mouse.click(at["x"], at["y"])


@contextmanager
def opened(browser: Browser, address: str, **about: Any) -> Iterator[Page]:
    """Yield a page; fail where the browser has complained of it."""
    page = Page(browser, address, **about)
    try:
        yield page
    finally:
        page.tab.close()
    assert page.complaints == []


def page_address(viewer: Running) -> str:
    """Return the address of the page that a process serves."""
    line = viewer.wait_line("view on ")
    found = re.search(r"http://\S+", line)
    assert found is not None, line
    return found[0]


def until(condition: Callable[[], object], page: Page, what: str) -> None:
    """Wait for a condition outside the page, while the page goes on."""
    patience = Patience(DEADLINE_S)
    while not condition():
        assert patience, f"{what} did not happen"
        page.tab.wait_for_timeout(20)
