"""Who gets in: CURVE over real sockets, the handler that judges handshakes, and which addresses need keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st
from zmq.utils import z85
from zmq.utils.monitor import recv_monitor_message

from rtspikes.errors import ConfigError
from rtspikes.wire.keys import ClientKey, Right, ServerKeys, make_keys
from rtspikes.wire.security import (
    MOST_ANSWERS,
    ZAP_ENDPOINT,
    Authoriser,
    check_endpoint,
    secure_client,
    secure_server,
)
from tests.unit.wire.engines import DEADLINE_S, until

REFUSED = zmq.EVENT_HANDSHAKE_FAILED_AUTH
FAILED = (zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL, zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL)
"""No common language; which of the two it is depends on the side that notices first."""
IN = zmq.EVENT_HANDSHAKE_SUCCEEDED

DEADLINE_MS = round(DEADLINE_S * 1e3)

SERVERS: dict[int, int] = {zmq.XPUB: zmq.SUB, zmq.ROUTER: zmq.DEALER}
"""What the engine binds → what its clients connect with."""


class Engine:
    """A secured socket, its handler, and what its monitor tells of handshakes."""

    def __init__(self, kind: int, keys: ServerKeys, own: dict[bytes, tuple[str, Right]], judged: bool) -> None:
        self.context = zmq.Context()
        self.authoriser = Authoriser(self.context, keys, own) if judged else None
        self.kind = kind
        self.socket = self.context.socket(kind)
        self.socket.set(zmq.LINGER, 0)
        secure_server(self.socket, keys)
        self.monitor = self.socket.get_monitor_socket(zmq.EVENT_ALL)
        self.socket.bind("tcp://127.0.0.1:0")
        self.endpoint = self.socket.get_string(zmq.LAST_ENDPOINT)

    def wait(self, *others: zmq.Socket[bytes]) -> None:
        """Judge handshakes until something comes."""
        poller = zmq.Poller()
        for socket in (self.monitor, self.socket, *([self.authoriser.socket] if self.authoriser else []), *others):
            poller.register(socket, zmq.POLLIN)
        assert poller.poll(DEADLINE_MS), "nothing came"
        if self.authoriser is not None:
            self.authoriser.handle()

    def handshake(self) -> tuple[int, int]:
        """Return the end of the next handshake: an event, and its value."""
        while True:
            self.wait()
            while self.monitor.poll(0):
                event = recv_monitor_message(self.monitor)
                if event["event"] in (REFUSED, *FAILED, IN):
                    return event["event"], event["value"]

    def received(self) -> list[zmq.Frame]:
        until(lambda: self.socket.poll(0), self.wait)
        return self.socket.recv_multipart(copy=False)

    def close(self) -> None:
        self.socket.disable_monitor()
        self.monitor.close(0)
        self.socket.close()
        if self.authoriser is not None:
            self.authoriser.close()
        self.context.term()


@contextmanager
def engine(
    folder: Path, kind: int = zmq.ROUTER, own: dict[bytes, tuple[str, Right]] | None = None, judged: bool = True
) -> Iterator[Engine]:
    made = Engine(kind, ServerKeys.load(folder), own or {}, judged)
    try:
        yield made
    finally:
        made.close()


@contextmanager
def client(to: Engine, key: ClientKey | None) -> Iterator[zmq.Socket[bytes]]:
    """Connect a client that says something at once: a request, or that it wants everything."""
    context = zmq.Context()
    socket = context.socket(SERVERS[to.kind])
    socket.set(zmq.LINGER, 0)
    if key is not None:
        secure_client(socket, key)
    socket.connect(to.endpoint)
    socket.set(zmq.SUBSCRIBE, b"") if to.kind == zmq.XPUB else socket.send(b"request")
    try:
        yield socket
    finally:
        socket.close()
        context.term()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_keys(tmp_path / "keys", {"lab": Right.CONTROL, "plots": Right.READ})
    return tmp_path / "keys"


def key_of(folder: Path, name: str) -> ClientKey:
    return ClientKey.load(folder / "clients" / f"{name}.key_secret")


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize(("name", "user"), [("lab", "control/lab"), ("plots", "read/plots")])
def test_a_known_key_gets_in_and_its_messages_say_whose_it_is(folder: Path, kind: int, name: str, user: str) -> None:
    with engine(folder, kind) as at, client(at, key_of(folder, name)) as one:
        *route, said = at.received()
        assert said.get("User-Id") == user
        assert said.bytes == (b"\x01" if kind == zmq.XPUB else b"request")
        at.socket.send_multipart([*(frame.bytes for frame in route), b"spikes"])
        assert one.poll(DEADLINE_MS)
        assert one.recv() == b"spikes"
        assert at.handshake() == (IN, 0)
        assert at.authoriser is not None
        assert at.authoriser.refused == 0


@pytest.mark.parametrize("kind", SERVERS)
def test_a_key_made_in_memory_gets_in_as_its_owner_says(folder: Path, kind: int) -> None:
    key = ClientKey.new(ServerKeys.load(folder).public)
    with engine(folder, kind, own={key.public: ("engine", Right.CONTROL)}) as at, client(at, key):
        assert at.received()[-1].get("User-Id") == "control/engine"


def stranger(folder: Path) -> ClientKey:
    return ClientKey.new(ServerKeys.load(folder).public)


def removed(folder: Path) -> ClientKey:
    (folder / "controllers" / "lab.key").unlink()
    return key_of(folder, "lab")


def from_another_engine(folder: Path) -> ClientKey:
    key = key_of(folder, "lab")
    return ClientKey(key.public, key.secret, zmq.curve_keypair()[0])


def stolen_public_half(folder: Path) -> ClientKey:
    key = key_of(folder, "lab")
    return ClientKey(key.public, zmq.curve_keypair()[1], key.server)


def none(folder: Path) -> None:
    return None


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("who", [stranger, removed, from_another_engine, stolen_public_half, none])
def test_others_stay_outside(folder: Path, kind: int, who: Callable[[Path], ClientKey | None]) -> None:
    with engine(folder, kind) as at, ExitStack() as clients:
        clients.enter_context(client(at, who(folder)))
        event, value = at.handshake()
        assert at.authoriser is not None
        if who in (stranger, removed):
            assert (event, value, at.authoriser.refused) == (REFUSED, 400, 1)
        else:
            assert event in FAILED
            assert at.authoriser.refused == 0
        make_keys(folder, {"witness": Right.READ})
        clients.enter_context(client(at, key_of(folder, "witness")))
        assert at.received()[-1].get("User-Id") == "read/witness"  # and nothing of the other's came before
        assert not at.socket.poll(0)


def test_a_removed_key_is_out_at_its_next_connection_and_in_when_it_is_there_again(folder: Path) -> None:
    file, key = folder / "readers" / "plots.key", key_of(folder, "plots")
    content = file.read_bytes()
    with engine(folder) as at:
        with client(at, key) as connected:
            assert at.handshake() == (IN, 0)
            file.unlink()
            with client(at, key):
                assert at.handshake() == (REFUSED, 400)
            assert at.received()[-1].bytes == b"request"
            connected.send(b"still here")
            assert at.received()[-1].bytes == b"still here"
        (folder / "controllers" / "plots.key").write_bytes(content)
        with client(at, key):
            assert at.handshake() == (IN, 0)
            assert at.received()[-1].get("User-Id") == "control/plots"


@pytest.mark.parametrize("kind", SERVERS)
def test_without_a_handler_nobody_gets_in(folder: Path, kind: int) -> None:
    with engine(folder, kind, judged=False) as at, client(at, key_of(folder, "lab")):
        assert at.handshake()[0] in FAILED
        assert not at.socket.poll(0)


def test_an_engine_without_keys_is_not_taken_for_one_with_them(folder: Path) -> None:
    context = zmq.Context()
    impostor, victim = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
    monitor = victim.get_monitor_socket(zmq.EVENT_ALL)
    try:
        impostor.bind("tcp://127.0.0.1:0")
        secure_client(victim, key_of(folder, "lab"))
        victim.connect(impostor.get_string(zmq.LAST_ENDPOINT))
        victim.send(b"request")
        events = iter(lambda: monitor.poll(DEADLINE_MS) and recv_monitor_message(monitor)["event"], 0)
        assert next(event for event in events if event in (*FAILED, IN)) in FAILED
        assert not impostor.poll(0)
    finally:
        victim.disable_monitor()
        context.destroy(0)


# the handler by itself


class Judge:
    """A handler and a way to ask it, as libzmq does."""

    def __init__(self, keys: ServerKeys) -> None:
        self.context = zmq.Context()
        self.authoriser = Authoriser(self.context, keys)
        self.asker = self.context.socket(zmq.DEALER)
        self.asker.set(zmq.LINGER, 0)
        self.asker.connect(ZAP_ENDPOINT)

    def ask(self, frames: list[bytes]) -> list[bytes]:
        self.asker.send_multipart([b"", *frames])
        self.authoriser.handle()
        delimiter, *answer = self.asker.recv_multipart(zmq.NOBLOCK)
        assert delimiter == b""
        return answer

    def close(self) -> None:
        self.asker.close()
        self.authoriser.close()
        self.context.term()


def request(public: bytes) -> list[bytes]:
    return [b"1.0", b"7", b"rtspikes", b"127.0.0.1", b"", b"CURVE", z85.decode(public)]


@pytest.fixture(scope="module")
def spare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spare") / "keys"
    make_keys(folder, {"lab": Right.CONTROL})
    return folder


@pytest.fixture(scope="module")
def judge(spare: Path) -> Iterator[Judge]:
    made = Judge(ServerKeys.load(spare))
    yield made
    made.close()


REQUESTS = st.one_of(
    st.lists(st.binary(max_size=40), min_size=1, max_size=12),
    st.tuples(
        st.sampled_from([b"1.0", b"1.1", b""]), st.binary(max_size=300), st.binary(max_size=9), st.binary(max_size=9),
        st.binary(max_size=9), st.sampled_from([b"CURVE", b"NULL", b"PLAIN", b"GSSAPI", b""]),
        st.one_of(st.binary(min_size=32, max_size=32), st.binary(max_size=64)),
    ).map(list),
)  # fmt: skip


@given(frames=REQUESTS)
def test_any_request_gets_one_answer_and_a_stranger_no_right(judge: Judge, spare: Path, frames: list[bytes]) -> None:
    before = judge.authoriser.refused
    answer = judge.ask(frames)
    assert len(answer) == 6
    assert answer[:3] == [b"1.0", frames[1] if len(frames) > 1 else b"", b"400"]
    assert answer[3]
    assert answer[4:] == [b"", b""]
    assert judge.authoriser.refused == before + 1
    assert judge.ask(request(key_of(spare, "lab").public)) == [b"1.0", b"7", b"200", b"OK", b"control/lab", b""]


def test_messages_that_are_no_requests_are_passed_over(judge: Judge, spare: Path) -> None:
    for frames in ([b""], [b"no delimiter"], [b"x"] * 1000):
        judge.asker.send_multipart(frames)
    asked = request(key_of(spare, "lab").public)
    judge.asker.send_multipart([b"", *asked])

    def answer() -> list[bytes] | None:
        judge.authoriser.handle()
        return judge.asker.recv_multipart() if judge.asker.poll(0) else None

    assert until(answer)[3] == b"200"


def test_a_flood_of_handshakes_is_taken_a_few_at_a_time(judge: Judge, spare: Path) -> None:
    for _ in range(3 * MOST_ANSWERS):
        judge.asker.send_multipart([b"", *request(key_of(spare, "lab").public)])
    for _ in range(3):
        judge.authoriser.handle()
        assert sum(judge.asker.recv_multipart(zmq.NOBLOCK)[3] == b"200" for _ in range(MOST_ANSWERS)) == MOST_ANSWERS
        assert not judge.asker.poll(0)


def test_keys_that_cannot_be_read_for_the_moment_are_not_wrong(folder: Path) -> None:
    judge = Judge(ServerKeys.load(folder))
    try:
        for name in ("controllers", "readers"):
            (folder / name).rename(folder / f"not-{name}")
            (folder / name).write_text("no folder")
        assert judge.ask(request(key_of(folder, "lab").public))[2] == b"300"
        (folder / "controllers").unlink()
        (folder / "not-controllers").rename(folder / "controllers")
        assert judge.ask(request(key_of(folder, "lab").public))[2] == b"200"
    finally:
        judge.close()


# addresses

LOCAL = ["tcp://127.0.0.1:0", "tcp://127.0.0.2:*", "tcp://localhost:5570", "tcp://[::1]:0", "ipc:///tmp/x", "ipc://@x"]

OUTSIDE = [
    "tcp://*:5570", "tcp://0.0.0.0:5570", "tcp://192.168.1.5:5570", "tcp://[::]:5570", "tcp://eth0:5570",
    "tcp://localhost.example.org:5570", "tcp://10.0.0.1;127.0.0.1:5570", "tcp://:5570",
]  # fmt: skip

WRONG = [
    "tcp://127.0.0.1", "udp://127.0.0.1:5570", "pgm://127.0.0.1:5570", "127.0.0.1:5570", "ipc://", "", "5570", "tcp://",
    "tcp:127.0.0.1:5570", "TCP://0.0.0.0:1", "tcp://0.0.0.0:99999", "tcp://0.0.0.0:-1", "tcp://0.0.0.0:²", "inproc://x",
    f"tcp://0.0.0.0:{'1' * 5000}",
]  # fmt: skip


@pytest.mark.parametrize("insecure", [False, True])
@pytest.mark.parametrize("endpoint", LOCAL)
def test_addresses_of_this_computer_need_no_keys(endpoint: str, insecure: bool) -> None:
    assert check_endpoint("publish.endpoint", endpoint, False, insecure) == "local"
    assert check_endpoint("publish.endpoint", endpoint, True, insecure) == "curve"


@pytest.mark.parametrize("endpoint", OUTSIDE)
def test_other_addresses_need_keys_or_that_they_are_asked_for(endpoint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_endpoint("reply.endpoint", endpoint, False, False)
    assert str(caught.value) == (
        f"reply.endpoint must be on this computer (tcp://127.0.0.1:PORT or ipc://PATH), got {endpoint!r}; for others "
        f"make keys (rtspikes keys DIR) and say --keys DIR, or let anybody read with --insecure"
    )
    assert check_endpoint("reply.endpoint", endpoint, False, True) == "insecure"
    assert check_endpoint("reply.endpoint", endpoint, True, False) == "curve"
    assert check_endpoint("reply.endpoint", endpoint, True, True) == "curve"


@pytest.mark.parametrize("secured", [False, True])
@pytest.mark.parametrize("insecure", [False, True])
@pytest.mark.parametrize("endpoint", WRONG)
def test_what_is_no_address_is_refused_with_and_without_keys(endpoint: str, secured: bool, insecure: bool) -> None:
    with pytest.raises(
        ConfigError, match=r"^publish\.endpoint must (be tcp://127\.0\.0\.1:PORT|have a port)"
    ) as caught:
        check_endpoint("publish.endpoint", endpoint, secured, insecure)
    assert str(caught.value).endswith(f"got {endpoint!r}")


@given(endpoint=st.one_of(st.text(max_size=40), st.text(":/.*[]0123456789tcpip", max_size=30)))
def test_any_text_is_an_address_or_a_refusal(endpoint: str) -> None:
    with suppress(ConfigError):
        assert check_endpoint("publish.endpoint", endpoint, False, False) == "local"
