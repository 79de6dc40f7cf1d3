"""An engine with keys, met by programs with the right key, the wrong one, none, and one that was removed."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from rtspikes.errors import RequestError, TransportError
from rtspikes.subscribers.log.reader import read_session
from rtspikes.wire.control import control
from rtspikes.wire.requests import Requester
from rtspikes.wire.subscribe import subscribe
from tests.system.processes import Running, rtspikes, wait_until
from tests.unit.wire.engines import until

LIVE = "sim:16?live=1&seed=3"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of keys with one reader and one controller."""
    folder = tmp_path_factory.mktemp("secured") / "keys"
    made = rtspikes("keys", folder, "--reader", "anna", "--controller", "boss")
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture(scope="module")
def engine(keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Return the address of an engine with keys, on every interface of this computer, and its log."""
    log = tmp_path_factory.mktemp("log") / "secured"
    any_host = ("--publish", "tcp://0.0.0.0:0")
    with Running("run", "--source", LIVE, *any_host, "--keys", keys, "--log", log, "--duration", 120) as process:
        yield process.endpoint().replace("0.0.0.0", "127.0.0.1"), log.with_suffix(".rtspikes")
        process.process.terminate()
        assert process.finish() == 0, process.err


def secret(keys: Path, name: str) -> Path:
    return keys / "clients" / f"{name}.key_secret"


def test_the_right_key_reads_and_catches_up(engine: tuple[str, Path], keys: Path) -> None:
    with subscribe(engine[0], key=secret(keys, "anna"), lossless=True) as s:
        batch = until(lambda: s.get(0.5))
        assert batch.kind == "spikes"
        assert (s.info or {})["security"] == "curve"
        frames = (
            s.requester().ask("again", 10, session=batch.session, topic="spikes/array/", from_seq=0, to_seq=1).frames
        )
        assert len(frames) == 1


def test_a_reading_key_cannot_control_and_a_controlling_one_can(engine: tuple[str, Path], keys: Path) -> None:
    with control(engine[0], key=secret(keys, "anna")) as reader:
        with pytest.raises(RequestError, match="anna may read, but not control") as refused:
            reader.freeze()
        assert (refused.value.code, refused.value.exit_code) == ("forbidden", 2)
        with pytest.raises(RequestError, match="may read, but not control"):
            reader.mark("mine")
        assert reader.status()["security"] == "curve"
    with control(engine[0], key=secret(keys, "boss")) as boss:
        assert boss.freeze().sample > 0
        boss.mark("from the boss")
    wait_until(
        lambda: len(read_session(engine[1]).marks) == 1, "the mark in the log, whose writer has a key of its own"
    )
    notices = [n for n in read_session(engine[1]).notices if n["cause"] == "control"]
    assert [(n["by"], n["change"]) for n in notices] == [("boss", {"change": "freeze"})]


def test_the_wrong_key_and_no_key_and_the_wrong_engine_get_nothing(
    engine: tuple[str, Path], keys: Path, tmp_path: Path
) -> None:
    assert rtspikes("keys", tmp_path / "other", "--reader", "eve").returncode == 0
    stranger = secret(tmp_path / "other", "eve")
    text = stranger.read_text()
    own = (keys / "server.key").read_text().split("public-key", 1)[1].split('"')[1]
    other = (tmp_path / "other/server.key").read_text().split("public-key", 1)[1].split('"')[1]
    known = tmp_path / "known.key_secret"
    known.touch(mode=0o600)
    known.write_text(text.replace(other, own))  # knows the engine, but the engine does not know it
    for key in (None, stranger, known):
        with (
            pytest.raises(TransportError, match="refused the connection"),
            subscribe(engine[0], key=key, connect_timeout_s=None) as s,
        ):
            until(lambda s=s: s.get(0.5))
    for command in (("listen", "--key", stranger), ("listen", "--key", known), ("view", "--no-browser", "--port", 0)):
        done = rtspikes(command[0], engine[0], *command[1:])
        assert (done.returncode, done.stdout) == (4, "")
        assert "--key" in done.stderr.splitlines()[-1]


def test_a_key_is_not_for_an_engine_without(keys: Path) -> None:
    with Running("run", "--source", LIVE, "--publish", "tcp://127.0.0.1:0", "--duration", 60) as process:
        done = rtspikes("listen", process.endpoint(), "--key", secret(keys, "anna"))
    assert (done.returncode, done.stdout) == (4, "")
    assert "has no keys: come to it without one" in done.stderr


def test_the_reply_socket_is_closed_to_strangers_too(engine: tuple[str, Path], keys: Path) -> None:
    with subscribe(engine[0], key=secret(keys, "anna"), kinds=("info",)) as s:
        until(lambda: s.get(0.5) or s.info)
        endpoint = s.requester().endpoint
    context: zmq.Context[Any] = zmq.Context()
    stranger = Requester(context, endpoint)
    try:
        with pytest.raises(TransportError, match="did not answer"):
            stranger.ask("status", 1.5)
    finally:
        stranger.close()
        context.term()


def test_a_removed_key_is_out_at_its_next_connection_and_others_stay(engine: tuple[str, Path], keys: Path) -> None:
    assert rtspikes("keys", keys, "--reader", "guest").returncode == 0
    with subscribe(engine[0], key=secret(keys, "guest")) as s:
        until(lambda: s.get(0.5))
        (keys / "readers/guest.key").unlink()
        until(lambda: s.get(0.5))  # the connection that is there goes on
    with (
        pytest.raises(TransportError, match="refused the connection"),
        subscribe(engine[0], key=secret(keys, "guest"), connect_timeout_s=None) as s,
    ):
        until(lambda: s.get(0.5))
    with subscribe(engine[0], key=secret(keys, "anna")) as s:
        until(lambda: s.get(0.5))


def test_without_keys_an_outside_address_needs_the_word_and_says_so() -> None:
    refused = rtspikes("run", "--source", "sim:4?seconds=1", "--publish", "tcp://0.0.0.0:0")
    assert refused.returncode == 2
    assert "rtspikes keys DIR" in refused.stderr
    assert "--insecure" in refused.stderr
    with Running("run", "--source", LIVE, "--publish", "tcp://0.0.0.0:0", "--insecure", "--duration", 60) as process:
        endpoint = process.endpoint().replace("0.0.0.0", "127.0.0.1")
        status = until(lambda: json.loads(rtspikes("control", endpoint, "status", "--json").stdout or "{}"))
        assert status["security"] == "insecure"
        assert "INSECURE" in rtspikes("control", endpoint, "status").stdout
        with subscribe(endpoint) as s:
            until(lambda: s.get(0.5))
            assert (s.info or {})["security"] == "insecure"
        process.process.terminate()
        assert process.finish() == 0


@pytest.mark.skipif(sys.platform == "win32" or not hasattr(os, "geteuid"), reason="Windows has no file modes")
def test_secret_files_that_others_can_read_are_refused(keys: Path, tmp_path: Path) -> None:
    assert rtspikes("keys", tmp_path / "open", "--reader", "anna").returncode == 0
    (tmp_path / "open/server.key_secret").chmod(0o644)
    refused = rtspikes(
        "run", "--source", "sim:4?seconds=1", "--publish", "tcp://127.0.0.1:0", "--keys", tmp_path / "open"
    )
    assert refused.returncode == 2
    assert "chmod 600" in refused.stderr
    secret(tmp_path / "open", "anna").chmod(0o640)
    refused = rtspikes("listen", "--key", secret(tmp_path / "open", "anna"))
    assert refused.returncode == 2
    assert "chmod 600" in refused.stderr


def test_spikes_are_the_same_with_and_without_keys(keys: Path, tmp_path: Path) -> None:
    arguments = ("run", "--source", "sim:16?seconds=3", "--publish", "tcp://127.0.0.1:0", "--log")
    assert rtspikes(*arguments, tmp_path / "plain").returncode == 0
    assert rtspikes(*arguments, tmp_path / "curve", "--keys", keys).returncode == 0
    plain, curve = (read_session(tmp_path / f"{name}.rtspikes").spikes for name in ("plain", "curve"))
    assert len(plain) > 20
    assert np.array_equal(plain["sample"], curve["sample"])
