"""PROTOCOL.md tells every field that a running engine sends or answers, in the type that it has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import zmq

from rtspikes.wire.codec import KINDS
from tests.peers.programs import PROTOCOL
from tests.simulated import simulate, write_recording
from tests.system.processes import DEADLINE_S, Running

CLIENT = {"client": "0123456789abcdef"}

REQUESTS: list[dict[str, Any]] = [
    {"request": "again", "topic": "spikes/array/", "from_seq": 0},
    {"request": "info"},
    {"request": "status"},
    {"request": "missed", **CLIENT, "name": "a test", "count": 2},
    {"request": "hold", **CLIENT},
    {"request": "done", **CLIENT},
    {"request": "nonsense"},
    *({"request": "control", "command": command} for command in ("levels", "freeze", "recalibrate", "follow")),
    {"request": "control", "command": "mute", "select": "E1"},
    {"request": "control", "command": "blank", "select": "E2", "ms": 5.0},
    {"request": "control", "command": "threshold", "select": ["E1", 1], "threshold": 4.5},
    {"request": "control", "command": "mark", "text": "here"},
    {"request": "control", "command": "shutdown"},
]


def test_all_that_an_engine_sends_and_answers_is_in_the_protocol(tmp_path: Path) -> None:
    samples = simulate(n_channels=2, seconds=2.0, spikes_per_s=50.0)[0]
    samples[-5:] -= 4000  # a spike that the end cuts
    recording = write_recording(tmp_path / "r", samples)
    options = ("--speed", "max", "--loop", "--publish", "tcp://127.0.0.1:0", "--wait-subscribers", "1")
    with Running("replay", recording, *options) as run, zmq.Context() as context:
        said = list(conversation(run.endpoint(), context))
        assert run.finish() == 0, run.err
    assert {where for where, _ in said} == {*KINDS, *(request["request"] for request in REQUESTS)}
    assert [head["error"] for _, head in said if head.get("ok") is False] == ["unknown_request"]
    for where, entries in said:
        for key, value in entries.items():
            assert_told(where, key, value)


def conversation(endpoint: str, context: zmq.Context[zmq.Socket[bytes]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every message until the end with its kind, and the answers to REQUESTS, asked one after the other."""
    asked, answered, info = 0, 0, {}
    with context.socket(zmq.SUB) as events, context.socket(zmq.DEALER) as requests:
        events.connect(endpoint)
        events.subscribe("")
        kind = ""
        while kind != "end" or answered < asked:
            if kind != "end":
                assert events.poll(DEADLINE_S * 1e3)
                topic, body = events.recv_multipart()
                kind, message = topic.split(b"/")[0].decode(), msgpack.unpackb(body)
                yield kind, message
            if kind == "info":
                info = message
            if kind == "status" and not asked:
                requests.connect(info["reply"]["endpoint"])
            if (kind == "status" or asked) and asked == answered < len(REQUESTS):
                request = {"v": 1, "id": asked, **REQUESTS[asked]}
                if request["request"] == "again":
                    request["session"] = info["session"]
                requests.send_multipart([b"", msgpack.packb(request)])
                asked += 1
            if answered < asked and requests.poll(DEADLINE_S * 1e3 if kind == "end" else 0):
                head = msgpack.unpackb(requests.recv_multipart()[1])
                assert head["id"] == answered
                yield REQUESTS[answered]["request"], head
                answered += 1


TOLD = set(re.findall(r"`(\w+)`", re.sub(r"```.*?```", "", PROTOCOL, flags=re.DOTALL)))
"""Names that the protocol's text and tables tell."""

TYPES = {"int": int, "float": (int, float), "str": str, "bool": bool, "map": dict, "list": list, "bin": bytes}

OTHERS = ("detect", "channel_rules", "source", "session_keys", "units", "columns", "dtypes", "last_seq", "change")
"""Maps whose keys are told elsewhere: in CONFIG.md, by the source, by the user, or with the tables and commands."""


def assert_told(where: str, key: str, value: Any) -> None:
    """Fail unless PROTOCOL.md tells the key, in the type that it has there, and those inside it."""
    assert key in TOLD, f"PROTOCOL.md does not tell {key!r} of {where}"
    section = PROTOCOL[PROTOCOL.find(f"### `{where}`") :].split("\n##")[0] if where in KINDS else ""
    for names, types in re.findall(r"^\| (`[\w`, ]+`) \| ([a-z][\w ,]*) \|", section, re.MULTILINE):
        keys, words = re.findall(r"\w+", names), types.split(", ")
        if key in keys:
            word = words[keys.index(key) if len(words) > 1 else 0].split()[0]
            assert isinstance(value, TYPES[word]), f"{key} of {where} is {word} in PROTOCOL.md, got {value!r:.80}"
    if isinstance(value, dict) and key not in OTHERS and not all(inner.isdigit() for inner in value):
        for inner, its in value.items():
            assert_told(f"{where}.{key}", inner, its)
