"""Draws the documents' pictures (`python -m bench.picture`): the demo in a burst, its page, a page of `tune`."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

from rich.console import Console

from bench.view import CHROMIUM, CHROMIUM_OPTIONS
from rtspikes.cli.background import BackgroundEngine
from rtspikes.cli.demo import HEADER, figures, summary
from rtspikes.cli.screen import panel
from rtspikes.clock import LslClock
from rtspikes.config import Config
from rtspikes.pictures.style import styled
from rtspikes.pictures.tuning import draw_tuning
from rtspikes.processes import start_module
from rtspikes.sources.truth import find_truth
from rtspikes.subscribers.score import Scorer
from rtspikes.subscribers.watch import WATCHED_KINDS, Watch
from rtspikes.tuning.material import from_source, source_config
from rtspikes.tuning.tune import tune
from rtspikes.wire.subscribe import subscribe

URI = "sim:60?seed=1&seconds=12"


CULTURE, DOTS_PER_INCH = "sim:60?seed=1", 80

PAGE_S, RATE_HZ = 45.0, 20_000


def main() -> None:
    """Draw all of them."""
    draw_demo()
    draw_thresholds()
    draw_page()


def draw_page() -> None:
    """Save the page of `rtspikes demo --view` after PAGE_S; needs Chromium, as the tests of the page do."""
    from playwright.sync_api import sync_playwright

    words = ["demo", "--view", "--no-browser", "--seconds", f"{PAGE_S + 30:g}", "--log", "session1"]
    with tempfile.TemporaryDirectory() as folder:
        demo = start_module(
            "rtspikes", *words, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        try:
            address = re.search(r"http://\S+", demo.stderr.readline())
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=CHROMIUM_OPTIONS)
                page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="dark")
                page.goto(address[0])
                while page.evaluate("window.rtspikes?.now ?? 0") < PAGE_S * RATE_HZ:
                    page.wait_for_timeout(100)
                page.screenshot(path=Path(__file__).with_name("view.png"))
                browser.close()
        finally:
            demo.terminate()
            demo.communicate()


def draw_thresholds() -> None:
    """Save what `rtspikes tune` draws of a simulated culture, in the size of a page on a screen."""
    material = from_source(source_config(Config(), CULTURE), 20.0)
    with styled():
        draw_tuning(tune(material, Config())).savefig(Path(__file__).with_name("thresholds.png"), dpi=DOTS_PER_INCH)


def draw_demo() -> None:
    """Run the demo's simulation and save what a terminal shows, with the array at its busiest."""
    clock, truth = LslClock(), find_truth(URI)
    assert truth is not None
    with tempfile.TemporaryDirectory() as folder, open(Path(folder) / "screen.txt", "w", encoding="utf-8") as file:
        console = Console(
            file=file, record=True, width=82, force_terminal=True, color_system="truecolor", highlight=False
        )
        console.print("$ rtspikes demo", style="bold")
        log = Path(folder) / "demo.rtspikes"
        with BackgroundEngine("--source", URI, "--log", str(log)) as engine:
            with subscribe(engine.endpoint(), kinds=WATCHED_KINDS) as subscriber:
                lines, busiest, most = [], None, 0
                watch: Watch | None = None
                for batch in subscriber:
                    if watch is None:
                        assert subscriber.info is not None
                        watch, scorer = Watch(subscriber.info), Scorer(truth, subscriber.info)
                    watch.add(batch, clock.now())
                    scorer.add(batch)
                    if watch.seconds >= len(lines) + 1:
                        lines.append(figures(watch, scorer))
                    if (now := int(watch.recent().sum())) > most and watch.seconds > 2:
                        most, busiest = now, panel(watch, f"59 electrodes, {watch.seconds:.1f} s")
                assert watch is not None
                assert subscriber.end is not None
                scorer.finish(int(subscriber.end["to_sample"]))
            engine.check()
        console.print(HEADER, style="dim")
        for text in lines[-5:]:
            console.print(text)
        console.print(busiest)
        for name, text in summary(watch, scorer, log)[:4]:
            console.print(f"  {name:8} {text}")
        svg = console.export_svg(title="rtspikes demo")
    Path(__file__).with_name("demo.svg").write_text(svg, "utf-8")


if __name__ == "__main__":
    main()
