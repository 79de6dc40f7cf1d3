"""What do pages that look cost: do they get 25 pictures a second, and does detection notice them?

4096 channels of pulses, live, 20 kHz in chunks of 1 ms, 5 spikes/s/channel; a subscriber measures when crossings
reach it, as in `latency`. Beside it nobody, then `rtspikes view` with three clients that speak as the page does (each
has three electrodes selected), then, if Chromium is there, with one or three pages in a browser. Clients and browser
are on this machine, too, at the lowest priority: in place of another computer; the browser draws in software. Turn by
turn, `rounds` times; the medians are told. `frames_per_s`: pictures that the slowest client got, or painted;
`server_cpu`: of one core; `kB_per_s`: to each client; `ring` p50, p99, p99.9 (ms): from a chunk's arrival in the
engine to the subscriber's hands. `idle`: how late the p99 of plain waits of 1 ms ended meanwhile, in a program that
does nothing else: what any wait on this machine is late by.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any

import numpy as np
import psutil

from bench.latency import CHUNK_MS, SPIKES_PER_S, SUBSCRIBER, WARM_UP_S, Idle
from bench.pair import run_to

CHANNELS, CLIENTS = 4096, 3

STARTING_S = 10.0
"""How long whoever looks may take to be there."""

CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_OPTIONS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()

BROWSER = """
import os, sys, time
from playwright.sync_api import sync_playwright
address, pages, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
os.nice(19)
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=sys.argv[4], args=sys.argv[5:])
    tabs = [browser.new_context(viewport={"width": 1280, "height": 800}).new_page() for _ in range(pages)]
    for tab in tabs:
        tab.goto(address)
        while not tab.evaluate("window.rtspikes?.drawn > 0 && window.rtspikes.selected.length"):
            tab.wait_for_timeout(100)
    count = lambda: [tab.evaluate("rtspikes.drawn") for tab in tabs]
    begun_s, before = time.monotonic(), count()
    tabs[0].wait_for_timeout(seconds * 1e3)
    drawn, took_s = count(), time.monotonic() - begun_s
    print(min(b - a for a, b in zip(before, drawn)) / took_s, flush=True)
    sys.stdin.read()
    browser.close()
"""


CLIENT = """
import json, os, sys, threading, time
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
own, n, seconds = sys.argv[1].split("/")[2], int(sys.argv[2]), float(sys.argv[3])
os.nice(19)
got = [[0, 0] for _ in range(n)]

def look(mine):
    try:
        with connect(f"ws://{own}/ws", origin=f"http://{own}", max_size=None, compression=None) as page:
            page.send(json.dumps({"do": "hello", "v": 1, "token": None}))
            page.send(json.dumps({"do": "select", "channels": [1, 2, 3], "of": "filtered"}))
            while True:
                message = page.recv()
                mine[1] += len(message)
                if isinstance(message, bytes) and b'"t":"frame"' in message[:20]:
                    mine[0] += 1
                    page.send(json.dumps({"do": "got", "n": mine[0]}))
    except ConnectionClosed:
        pass

for mine in got:
    threading.Thread(target=look, args=(mine,), daemon=True).start()
time.sleep(2)
before, begun_s = [list(mine) for mine in got], time.monotonic()
time.sleep(seconds)
took_s = time.monotonic() - begun_s
print(min(a[0] - b[0] for a, b in zip(got, before)) / took_s, flush=True)
print(sum(a[1] - b[1] for a, b in zip(got, before)) / n / took_s / 1e3, flush=True)
sys.stdin.read()
"""


@contextmanager
def looking(script: str, *arguments: object) -> Iterator[IO[str]]:
    """Have a script look in a process of its own; yield what it prints."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout
        process.communicate("", timeout=60)
    finally:
        process.kill()
        process.communicate()


@contextmanager
def clients_of(address: str, seconds: float, seen: dict[str, Any], n: int = CLIENTS) -> Iterator[None]:
    """Have clients look; note in `seen` what they get in so long."""
    with looking(CLIENT, address, n, seconds) as told:
        seen |= {"frames_per_s": float(told.readline()), "kB_per_s": float(told.readline())}
        yield


@contextmanager
def pages_of(address: str, seconds: float, seen: dict[str, Any], n: int = CLIENTS) -> Iterator[None]:
    """Have pages in a browser look; note in `seen` how often the slowest is painted in so long."""
    with looking(BROWSER, address, n, seconds, CHROMIUM, *CHROMIUM_OPTIONS) as told:
        seen["frames_per_s"] = float(told.readline())
        yield


@contextmanager
def page_beside_clients(address: str, seconds: float, seen: dict[str, Any]) -> Iterator[None]:
    """Have one page look, and clients; note in `seen` how often the page is painted."""
    others: dict[str, Any] = {}
    with clients_of(address, 1, others, CLIENTS - 1), pages_of(address, seconds, seen, 1):
        yield


LOOKING: dict[str, Callable[[str, float, dict[str, Any]], AbstractContextManager[None]]] = {
    f"{CLIENTS} clients": clients_of,
    f"1 page, {CLIENTS - 1} clients": page_beside_clients,
    f"{CLIENTS} pages": pages_of,
}
NOBODY = "nobody"


@contextmanager
def looked_at(endpoint: str, looking: str, seconds: float, seen: dict[str, Any]) -> Iterator[None]:
    """Have a view of the engine, and who looks at it."""
    command = [sys.executable, "-m", "rtspikes", "view", endpoint, "--port", "0", "--no-browser"]
    viewer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert viewer.stderr is not None
        found = re.search(r"http://\S+", viewer.stderr.readline())
        assert found is not None, "the view did not start"
        server = psutil.Process(viewer.pid)
        begun_s, before = time.monotonic(), server.cpu_times()
        with LOOKING[looking](found[0], seconds, seen):
            after = server.cpu_times()
            used_s = after.user + after.system - before.user - before.system
            seen["server_cpu"] = used_s / (time.monotonic() - begun_s)
            yield
    finally:
        viewer.kill()
        viewer.communicate()


def measure(looking: str, seconds: float) -> dict[str, Any]:
    """Run one engine; return what was measured."""
    seen: dict[str, Any] = {}
    uri = f"pulses:{CHANNELS}?spikes={SPIKES_PER_S}&seconds={WARM_UP_S + seconds + STARTING_S:g}"
    settings = ["--set", f"source.chunk_ms={CHUNK_MS}", "--set", "publish.linger_s=1"]

    def beside(endpoint: str) -> AbstractContextManager[object]:
        return nullcontext() if looking == NOBODY else looked_at(endpoint, looking, seconds, seen)

    with Idle() as idle:
        command = ["run", "--source", uri, *settings]
        said = run_to(command, None, SUBSCRIBER, str(WARM_UP_S), str(CHUNK_MS), beside=beside)
    found = json.loads(said)
    counts = found["status"]["counts"]
    return {
        **seen,
        **{name: found["ms"]["ring_to_program"][name] for name in ("p50", "p99", "p99.9")},
        "lost": counts["lost_source"] + counts["lost_overrun"] + found["missed"],
        "engine_cpu": found["status"]["cpu_s"] / found["status"]["elapsed_s"],
        "idle": float(np.percentile(idle.late_s, 99) * 1e3),
    }


def row(looking: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the medians of some rounds."""

    def middle(name: str, digits: int, unit: float = 1.0) -> float | str:
        values = [each[name] * unit for each in found if name in each]
        return round(float(np.median(values)), digits) if values else ""

    return {
        "looking": looking,
        "frames_per_s": middle("frames_per_s", 1),
        "server_cpu_percent": middle("server_cpu", 0, 100),
        "kB_per_s": middle("kB_per_s", 0),
        "ring_p50": middle("p50", 2),
        "ring_p99": middle("p99", 2),
        "ring_p99.9": middle("p99.9", 2),
        "idle": middle("idle", 2),
        "engine_cpu_percent": middle("engine_cpu", 0, 100),
        "lost": sum(each["lost"] for each in found),
    }


def run(arguments: list[str]) -> list[dict[str, Any]]:
    """Return a row for nobody, one for clients, and one for pages."""
    parser = argparse.ArgumentParser(prog="python -m bench view")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args(arguments)
    kinds = [NOBODY, *(kind for kind, look in LOOKING.items() if look is clients_of or CHROMIUM.exists())]
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in kinds}
    for _ in range(args.rounds):
        for kind in kinds:
            found[kind].append(measure(kind, args.seconds))
    return [row(kind, found[kind]) for kind in kinds]
