"""The reply process as the engine keeps it: it answers, dies, hangs, comes back, and ends."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgpack
import pytest
import zmq

from rtspikes.errors import ConfigError, RequestError, TransportError
from rtspikes.wire import reply as reply_module
from rtspikes.wire.reply import Command, ReplyService, beside
from rtspikes.wire.requests import Requester, reply_address
from rtspikes.wire.settings import HistorySettings, PublishSettings, ReplySettings
from tests.unit.wire.engines import DEADLINE_S, until

SESSION = "0123456789abcdef"
TOPICS = ["spikes/array/", "status/array/"]


@contextmanager
def service(**settings: Any) -> Iterator[ReplyService]:
    errors: list[BaseException] = []
    made = ReplyService(
        PublishSettings(), HistorySettings(max_mib=4.0), ReplySettings(**settings), SESSION, TOPICS, {}, errors.append
    )
    try:
        made.start("tcp://127.0.0.1:5570")
        made.wait_bound()
        yield made
    finally:
        made.close(0.0)
    assert errors == []


@contextmanager
def requester(to: ReplyService) -> Iterator[Requester]:
    context: zmq.Context[Any] = zmq.Context()
    made = Requester(context, to.endpoint)
    try:
        yield made
    finally:
        made.close()
        context.term()


def again(ask: Requester, first: int = 0) -> list[bytes]:
    return ask.ask("again", DEADLINE_S, session=SESSION, topic="spikes/array/", from_seq=first).frames


def kill(made: ReplyService, how: int = 9) -> None:
    assert made._process is not None  # noqa: SLF001
    os.kill(made._process.pid, how)  # noqa: SLF001


def test_it_serves_the_history_and_the_info() -> None:
    with service() as made, requester(made) as ask:
        for n in range(3):
            made.history.append(0, n, b"spikes %d" % n, 0.0)
        made.set_info(b"all that is constant")
        assert again(ask, 1) == [b"spikes 1", b"spikes 2"]
        until(lambda: ask.ask("info", DEADLINE_S).frames == [b"all that is constant"])
        assert ask.ask("status", DEADLINE_S).frames == []


def test_it_comes_back_with_its_history_at_its_address_and_says_how_often() -> None:
    with service() as made, requester(made) as ask:
        made.set_info(b"constant")
        made.history.append(0, 0, b"before", 0.0)
        assert again(ask) == [b"before"]
        endpoint = made.endpoint
        for death in (1, 2):
            kill(made)
            until(lambda death=death: made.restarts == death)
            made.history.append(0, death, b"after", 0.0)
            assert again(ask) == [b"before", *[b"after"] * death]
            until(lambda: ask.ask("info", DEADLINE_S).frames == [b"constant"])
        assert made.endpoint == endpoint
        assert made.status()["restarts"] == 2


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGSTOP")
def test_one_that_hangs_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reply_module, "SILENCE_S", 1.5)
    with service() as made, requester(made) as ask:
        kill(made, signal.SIGSTOP)
        until(lambda: made.restarts == 1)
        assert again(ask) == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux enforces RLIMIT_AS")
def test_it_cannot_take_more_memory_than_it_may() -> None:
    with service(memory_mib=64) as made, requester(made) as ask:
        assert made.status()["memory_is_limited"]
        assert made._process is not None  # noqa: SLF001
        with open(f"/proc/{made._process.pid}/limits") as limits:  # noqa: SLF001
            line = next(x for x in limits if x.startswith("Max address space"))
        with open(f"/proc/{made._process.pid}/statm") as statm:  # noqa: SLF001
            mapped = int(statm.read().split()[0]) * os.sysconf("SC_PAGESIZE")
        assert mapped < int(line.split()[3]) <= mapped + 64 * 2**20
        assert again(ask) == []


def test_control_goes_through_to_the_engine_and_back() -> None:
    with service() as made, requester(made) as ask:
        number = ask.send("control", command="freeze")
        command: Command = made.commands.get(timeout=DEADLINE_S)
        assert (command.by, command.entries) == ("local", {"command": "freeze"})
        made.settle(command, {"ok": True, "sample": 5})
        reply = until(lambda: ask.receive(100))
        assert reply.head == {"v": 1, "id": number, "n": 0, "ok": True, "sample": 5}


def test_control_that_nobody_carries_out_is_refused_when_too_much_waits() -> None:
    with service() as made, requester(made) as ask:
        for waiting in range(1, reply_module.MOST_COMMANDS + 1):
            ask.send("control", command="freeze")
            until(lambda waiting=waiting: made.commands.qsize() == waiting)
        with pytest.raises(RequestError, match="ask again"):
            ask.ask("control", DEADLINE_S, repeat=False, command="freeze")


def test_control_after_the_end_is_refused_at_once() -> None:
    with service() as made, requester(made) as ask:
        number = ask.send("control", command="freeze")
        until(lambda: made.commands.qsize() == 1)
        made.end_commands()
        assert until(lambda: ask.receive(100)).head["error"] == "ended"
        with pytest.raises(RequestError, match="the run has ended"):
            ask.ask("control", DEADLINE_S, repeat=False, command="freeze")
        assert number == 1


@pytest.mark.parametrize("correlated", [False, True])
def test_a_plain_req_socket_is_answered(correlated: bool) -> None:
    context: zmq.Context[Any] = zmq.Context()
    socket = context.socket(zmq.REQ)
    socket.set(zmq.LINGER, 0)
    socket.set(zmq.REQ_CORRELATE, correlated)
    try:
        with service() as made:
            socket.connect(made.endpoint)
            socket.send(msgpack.packb({"v": 1, "id": "mine", "request": "status"}))
            assert socket.poll(DEADLINE_S * 1000)
            assert msgpack.unpackb(socket.recv_multipart()[0])["id"] == "mine"
    finally:
        socket.close()
        context.term()


def test_what_subscribers_missed_is_added_up_over_restarts() -> None:
    with service() as made, requester(made) as ask:
        ask.ask("missed", DEADLINE_S, client="a", count=5)
        ask.ask("missed", DEADLINE_S, client="b", count=2)
        until(lambda: made.missed_by_subscribers == 7)
        kill(made)
        until(lambda: made.restarts == 1)
        ask.ask("missed", DEADLINE_S, client="b", count=3)
        until(lambda: made.missed_by_subscribers == 8)


@pytest.mark.parametrize("dies", [False, True])
def test_the_end_waits_for_who_holds_the_history_also_when_the_process_dies(dies: bool) -> None:
    with service() as made, requester(made) as ask:
        made.history.append(0, 0, b"the last", 0.0)
        ask.ask("hold", DEADLINE_S, client="a")
        until(lambda: made.status()["holding"] == 1)
        closing = threading.Thread(target=made.close, args=(DEADLINE_S,))
        closing.start()
        if dies:
            kill(made)
            until(lambda: made.restarts == 1)
        for _ in range(3):
            ask.ask("hold", DEADLINE_S, client="a")
            assert again(ask) == [b"the last"]
        assert closing.is_alive()
        ask.ask("done", DEADLINE_S, client="a")
        closing.join(DEADLINE_S)
        assert not closing.is_alive()


def test_the_end_waits_for_nobody_when_nobody_holds() -> None:
    with service() as made, requester(made) as ask:
        again(ask)
        made.close(10 * DEADLINE_S)
        assert made._process is not None  # noqa: SLF001
        assert made._process.poll() is not None  # noqa: SLF001


def test_a_process_that_cannot_be_started_again_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with service() as made, requester(made) as ask:
        real, refused = reply_module.start_module, [2]

        def refuse(*arguments: Any, **options: Any) -> Any:
            refused[0] -= 1
            if refused[0] >= 0:
                raise OSError(errno.EAGAIN, "no more processes")
            return real(*arguments, **options)

        monkeypatch.setattr(reply_module, "start_module", refuse)
        kill(made)
        until(lambda: made.restarts == 3 and made.status()["alive"])
        assert "cannot be started" in made.trouble
        assert again(ask) == []


def test_a_request_of_very_many_frames_is_refused_and_harms_nothing() -> None:
    context: zmq.Context[Any] = zmq.Context()
    hostile = context.socket(zmq.DEALER)
    hostile.set(zmq.LINGER, 0)
    try:
        with service() as made, requester(made) as ask:
            hostile.connect(made.endpoint)
            hostile.send_multipart([b""] * 200_000)
            until(lambda: made.status()["bad_requests"] == 1, lambda: again(ask))
            assert made.restarts == 0
    finally:
        hostile.close()
        context.term()


def test_an_address_that_cannot_be_had_is_told() -> None:
    with service() as first:
        made = ReplyService(
            PublishSettings(),
            HistorySettings(),
            ReplySettings(endpoint=first.endpoint),
            SESSION,
            TOPICS,
            {},
            lambda e: None,
        )
        try:
            made.start("tcp://127.0.0.1:5570")
            with pytest.raises(
                TransportError, match="cannot answer requests at .*address already in use; choose another"
            ):
                made.wait_bound()
        finally:
            made.close(0.0)


def test_an_outside_address_needs_keys() -> None:
    with pytest.raises(ConfigError, match=r"reply\.endpoint must be on this computer"):
        ReplyService(
            PublishSettings(),
            HistorySettings(),
            ReplySettings(endpoint="tcp://0.0.0.0:0"),
            SESSION,
            TOPICS,
            {},
            lambda e: None,
        )


def test_one_that_was_never_started_closes() -> None:
    ReplyService(PublishSettings(), HistorySettings(), ReplySettings(), SESSION, TOPICS, {}, lambda e: None).close(0.0)


def test_addresses_beside_the_publishers() -> None:
    assert beside("tcp://127.0.0.1:5570") == "tcp://127.0.0.1:0"
    assert beside("tcp://[::1]:5570") == "tcp://[::1]:0"
    assert beside("ipc:///run/a") == "ipc:///run/a.reply"


@pytest.mark.parametrize(
    ("connected", "told", "found"),
    [
        ("tcp://10.0.0.5:5570", "tcp://0.0.0.0:5571", "tcp://10.0.0.5:5571"),
        ("tcp://[fe80::1]:5570", "tcp://[::]:5571", "tcp://[fe80::1]:5571"),
        ("tcp://127.0.0.1:5570", "tcp://127.0.0.1:40000", "tcp://127.0.0.1:40000"),
        ("ipc:///run/a", "ipc:///run/a.reply", "ipc:///run/a.reply"),
        ("tcp://127.0.0.1:5570", "", None),
        ("tcp://127.0.0.1:5570", 7, None),
    ],
)
def test_where_requests_go(connected: str, told: Any, found: str | None) -> None:
    assert reply_address(connected, {"reply": {"endpoint": told}}) == found
    assert reply_address(connected, {}) is None
