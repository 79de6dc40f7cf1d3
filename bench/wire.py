"""How long does a message take from the engine's send to a subscriber in another process, and how many go through?

The publisher of the live path sends 1,000 `spikes` messages a second (5 spikes with 60-sample waveforms, 1.7 kB) for
`seconds`; the subscriber compares its clock with `t_sent`, and decodes every message. Throughput: messages of 50 spikes
(14.6 kB), paced, as fast as the subscriber decodes them. `curve`: encrypted, as with `rtspikes keys`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from rtspikes.clock import LslClock
from rtspikes.types import SPIKE_DTYPE
from rtspikes.wire.keys import Right, ServerKeys, make_keys
from rtspikes.wire.messages import Beside, event_messages
from rtspikes.wire.publish import Publisher
from rtspikes.wire.settings import PublishSettings

RATE_HZ = 1000
SNIPPET = 60
BULK = 50

SUBSCRIBER = """
import json, sys, rtspikes
from rtspikes.clock import LslClock
clock, late, spikes = LslClock(), [], 0
key = sys.argv[2] or None
with rtspikes.subscribe(sys.argv[1], key=key) as s:
    begun = None
    for batch in s:
        now = clock.now()
        begun = begun or now
        late.append(now - batch.fields["t_sent"])
        spikes += len(batch.spikes)
    took = now - begun
late = sorted(late[len(late) // 10:])
pick = lambda p: late[min(len(late) - 1, int(p * len(late)))] * 1e3
print(json.dumps({"n": len(late), "p50": pick(0.5), "p99": pick(0.99), "max": late[-1] * 1e3,
                  "messages_per_s": len(late) / 0.9 / took, "spikes": spikes, "missed": s.missed_total}))
"""


def _message(n: int) -> dict[str, Any]:
    table = np.zeros(n, SPIKE_DTYPE)
    table["sample"] = table["crossing"] = np.arange(n)
    beside = Beside(np.ones((n, SNIPPET), np.float32), np.zeros(n, np.uint8), np.zeros((n, 0), np.float32))
    return next(event_messages(table, 0, n, beside))


def _publish(endpoint: str, keys: Path | None, spikes: int, count: int, rate_hz: float | None) -> dict[str, Any]:
    """Send `count` messages to one subscriber and return what it measured."""
    clock = LslClock()
    settings = PublishSettings(endpoint=endpoint, keys=None if keys is None else str(keys))
    out = Publisher(settings, True, lambda: False, None if keys is None else ServerKeys.load(keys))
    key = "" if keys is None else str(keys / "clients/bench.key_secret")
    command = [sys.executable, "-c", SUBSCRIBER, out.bind(), key]
    out.set_info({"n_channels": 1, "channels": {"label": ["1"]}, "snippet_samples": [20, 40], "first_sample": 0,
                  "rate_hz": 20000.0})  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as subscriber:
        while not out.informed:
            out.poll()
            time.sleep(0.001)
        fields = _message(spikes)
        begun_s = clock.now()
        for n in range(count):
            if rate_hz is not None:
                time.sleep(max(0.0, begun_s + n / rate_hz - clock.now()))
            out.send("spikes", fields | {"t_sent": clock.now()})
        out.send("end", {"reason": "done", "last_seq": out.last_seqs()})
        assert subscriber.stdout is not None
        result = json.loads(subscriber.stdout.read())
    out.close()
    return dict(result)


def measure(name: str, endpoint: str, keys: Path | None, seconds: float) -> dict[str, Any]:
    """Return the row of one transport."""
    late = _publish(endpoint, keys, 5, round(seconds * RATE_HZ), RATE_HZ)
    bulk = _publish(endpoint, keys, BULK, round(seconds * 2000), None)
    size = BULK * (SPIKE_DTYPE.itemsize + 4 * SNIPPET)
    return {
        "transport": name,
        "p50_ms": round(late["p50"], 3),
        "p99_ms": round(late["p99"], 3),
        "max_ms": round(late["max"], 2),
        "bulk_messages_per_s": round(bulk["messages_per_s"]),
        "bulk_spikes_per_s": round(bulk["messages_per_s"] * BULK),
        "bulk_mb_per_s": round(bulk["messages_per_s"] * size / 1e6),
        "missed": late["missed"] + bulk["missed"],
    }


def run(arguments: list[str]) -> list[dict[str, Any]]:
    """Return a row per transport."""
    parser = argparse.ArgumentParser(prog="python -m bench wire")
    parser.add_argument("--seconds", type=float, default=10.0)
    args = parser.parse_args(arguments)
    tcp = "tcp://127.0.0.1:0"
    with tempfile.TemporaryDirectory() as folder:
        keys = Path(folder) / "keys"
        make_keys(keys, {"bench": Right.READ})
        rows = [measure("tcp", tcp, None, args.seconds), measure("tcp, curve", tcp, keys, args.seconds)]
        if sys.platform != "win32":
            ipc = f"ipc://{folder}/socket"
            rows += [measure("ipc", ipc, None, args.seconds), measure("ipc, curve", ipc, keys, args.seconds)]
    return rows
