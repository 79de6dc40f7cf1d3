"""PROTOCOL.md's programs, as they stand there, beside an engine: C, JavaScript, and Python without rtspikes.

Each takes the spikes of one replay; what it printed is compared with the log, value by value and bit by bit.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pytest
import zmq

import rtspikes
from rtspikes.subscribers.log.reader import Session
from rtspikes.types import SPIKE_DTYPE
from rtspikes.wire.codec import encode, encode_items, table_fields, topic
from tests.peers.programs import PROGRAMS, Unavailable, block
from tests.simulated import simulate, wire_info, write_recording
from tests.system.processes import DEADLINE_S, Running, wait_until

NAMES = ("id", "sample", "crossing", "time", "channel", "unit", "amplitude_uv", "threshold_uv")
"""What the programs print of each spike, before its waveform."""

WHOLE = ("id", "sample", "crossing", "channel", "unit")

MANY = 10_000
"""Spikes that each program takes, at least."""

SESSIONS = ("0123456789abcdef", "fedcba9876543210")


class Printed:
    """How a program that prints spikes ended, and what it wrote."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.complaints = err.splitlines()
        self.code = code
        self._rows = [line.split() for line in out.splitlines()]
        self.spikes = np.zeros(len(self._rows), SPIKE_DTYPE)
        for i, name in enumerate(NAMES):
            self.spikes[name] = [int(row[i]) if name in WHOLE else float(row[i]) for row in self._rows]

    @property
    def waveforms(self) -> np.ndarray[Any, Any]:
        """float32 (spikes, samples)."""
        return np.array([row[len(NAMES) :] for row in self._rows], np.float64).astype(np.float32)


class Program:
    """One of the document's programs, running; killed when the block ends."""

    def __init__(self, command: list[str], endpoint: str, folder: Path, *more: str) -> None:
        self._files = [open(folder / name, "w", encoding="utf-8") for name in ("out", "err")]
        self._process = subprocess.Popen([*command, endpoint, *more], stdout=self._files[0], stderr=self._files[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        for file in self._files:
            file.close()

    def lines(self) -> int:
        """Return how many lines it has printed so far."""
        return Path(self._files[0].name).read_bytes().count(b"\n")

    def finish(self) -> tuple[int, str, str]:
        """Wait for its own end; return its exit code and what it wrote."""
        code = self._process.wait(DEADLINE_S)
        out, err = (Path(file.name).read_text("utf-8") for file in self._files)
        return code, out, err


@pytest.fixture(scope="module")
def commands(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str] | str]:
    """Return each program's command, or why it cannot be had here."""
    folder = tmp_path_factory.mktemp("programs")
    pytest_cache = getattr(request.config, "cache", None)  # absent with -p no:cacheprovider
    cache = pytest_cache.mkdir("foreign") if pytest_cache else folder
    found: dict[str, list[str] | str] = {}
    for language, prepare in PROGRAMS.items():
        try:
            found[language] = prepare(folder, cache)
        except Unavailable as error:
            found[language] = str(error)
    return found


@pytest.fixture(params=PROGRAMS)
def language(request: pytest.FixtureRequest, commands: dict[str, list[str] | str]) -> str:
    """Return the name of a program that can be run here."""
    name: str = request.param
    if isinstance(reason := commands[name], str):
        if os.environ.get("RTSPIKES_REQUIRE_FOREIGN") == "1":
            pytest.fail(f"RTSPIKES_REQUIRE_FOREIGN=1, but {reason}")
        pytest.skip(reason)
    return name


@pytest.fixture(scope="module")
def replayed(
    commands: dict[str, list[str] | str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Printed], Session]:
    """Return what each program printed of one replay that all took part in, and its log."""
    folder = tmp_path_factory.mktemp("replayed")
    recording = write_recording(folder / "r", simulate(n_channels=16, seconds=20.0, spikes_per_s=50.0)[0])
    runnable = {name: command for name, command in commands.items() if isinstance(command, list)}
    options = ("--publish", "tcp://127.0.0.1:0", "--wait-subscribers", len(runnable), "--log", folder / "log")
    with Running("replay", recording, "--speed", "max", *options) as run, ExitStack() as stack:
        endpoint = run.endpoint()
        programs = {}
        for name, command in runnable.items():
            (folder / name).mkdir()
            programs[name] = stack.enter_context(Program(command, endpoint, folder / name))
        printed = {name: Printed(*program.finish()) for name, program in programs.items()}
        assert run.finish() == 0, run.err
    return printed, rtspikes.read_session(folder / "log.rtspikes")


def test_every_value_is_the_logs_bit_by_bit(language: str, replayed: tuple[dict[str, Printed], Session]) -> None:
    printed, log = replayed[0][language], replayed[1]
    assert printed.code == 0
    assert printed.complaints == []
    assert len(log.spikes) >= MANY
    assert printed.spikes.tobytes() == log.spikes.tobytes()
    same = printed.waveforms.view(np.uint32) == log.waveforms.view(np.uint32)
    assert (same | (np.isnan(printed.waveforms) & np.isnan(log.waveforms))).all()


class ByHand:
    """A publisher whose messages, and holes, are made by hand."""

    def __init__(self) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.XPUB)
        self._socket.set(zmq.LINGER, 0)
        self.endpoint = f"tcp://127.0.0.1:{self._socket.bind_to_random_port('tcp://127.0.0.1')}"
        self.session = SESSIONS[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
        self._context.term()

    def wait_joined(self) -> None:
        """Wait until a program has subscribed to everything, `info/` last."""
        subscribed = []
        while len(subscribed) < 3:
            assert self._socket.poll(round(DEADLINE_S * 1e3)), f"subscribed to {subscribed} only"
            subscribed.append(self._socket.recv())
        assert subscribed == [b"\x01spikes/", b"\x01end/", b"\x01info/"]

    def send(self, kind: str, seq: int, **fields: Any) -> None:
        head = {"v": 1, "session": self.session, "seq": seq}
        self._socket.send_multipart([topic(kind, "array"), encode(head, encode_items(fields))])

    def info(self, next_seq: int) -> None:
        self.send("info", 0, **wire_info(), next_seq={"spikes": next_seq})

    def spikes(self, seq: int, count: int = 1, **other: Any) -> None:
        rows = np.zeros(count, SPIKE_DTYPE)
        rows["id"] = seq
        rows["sample"] = rows["crossing"] = seq * 100 + 50
        waveforms = {"waveform_samples": 3, "waveforms": np.arange(3 * count, dtype="<f4").tobytes()}
        interval = {"from_sample": seq * 100, "to_sample": seq * 100 + 100}
        self.send("spikes", seq, **interval | table_fields(rows) | waveforms | other)

    def end(self, last_seq: int, **more: Any) -> None:
        self.send("end", 0, last_seq={"spikes": last_seq}, **more)


@pytest.fixture
def program(language: str, commands: dict[str, Any], tmp_path: Path) -> Callable[[str], Program]:
    """Return what starts the program at an endpoint."""
    return lambda endpoint: Program(commands[language], endpoint, tmp_path)


def test_holes_and_lost_ends_are_said_and_another_session_begins_anew(program: Callable[[str], Program]) -> None:
    with ByHand() as engine, program(engine.endpoint) as running:
        engine.wait_joined()
        engine.spikes(4)  # before `info`: not to be understood
        engine.info(next_seq=5)
        engine.spikes(5)
        engine.spikes(6, count=0)
        engine.info(next_seq=7)  # for somebody else
        engine.spikes(9, count=2)
        engine.session = SESSIONS[1]
        engine.spikes(0)
        engine.info(next_seq=1)
        engine.spikes(1)
        engine.end(last_seq=4)
        printed = Printed(*running.finish())
    assert printed.code == 0
    assert printed.spikes["id"].tolist() == [5, 9, 9, 1]
    assert printed.waveforms.tolist() == [[0, 1, 2], [0, 1, 2], [3, 4, 5], [0, 1, 2]]
    assert printed.complaints == ["missed 2 messages: crossings from 700 to 900", "missed 3 messages before the end"]


def test_a_program_goes_on_with_the_session_that_an_end_announces(program: Callable[[str], Program]) -> None:
    with ByHand() as engine, program(engine.endpoint) as running:
        engine.wait_joined()
        engine.info(next_seq=5)
        engine.spikes(5)
        engine.end(last_seq=6, next_session=SESSIONS[1])
        engine.session = SESSIONS[1]
        engine.info(next_seq=0)
        engine.spikes(0)
        engine.spikes(3)
        engine.end(last_seq=3)
        printed = Printed(*running.finish())
    assert printed.code == 0
    assert printed.spikes["id"].tolist() == [5, 0, 3]
    first, second = printed.complaints
    assert first == "missed 1 messages before the end"
    assert second.startswith("missed 2 messages: crossings from 100 to 300")


def test_a_program_that_was_there_counts_from_the_start_whatever_the_info_says(
    program: Callable[[str], Program],
) -> None:
    with ByHand() as engine, program(engine.endpoint) as running:
        engine.wait_joined()
        engine.info(next_seq=0)
        engine.end(last_seq=-1, next_session=SESSIONS[1])
        engine.session = SESSIONS[1]
        engine.spikes(2)  # its info, and what came behind it, were lost
        engine.info(next_seq=3)
        engine.end(last_seq=2)
        printed = Printed(*running.finish())
    assert printed.code == 0
    assert printed.spikes["id"].tolist() == [2]
    (complaint,) = printed.complaints
    assert complaint.startswith("missed 2 messages: crossings from ")


DAMAGES: dict[str, dict[str, Any]] = {
    "more rows than bytes": {"n": 2},
    "rows beyond memory": {"n": 2**62},
    "less than no rows": {"n": -1},
    "longer waveforms": {"waveform_samples": 4},
    "waveforms beyond memory": {"waveform_samples": 2**62},
    "longer columns": {"columns": table_fields(np.zeros(2, SPIKE_DTYPE))["columns"]},
    "other types": {"dtypes": dict.fromkeys(NAMES, "<f8")},
    "no columns": {"columns": 7},
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_columns_that_do_not_fit_are_refused(program: Callable[[str], Program], damage: str) -> None:
    with ByHand() as engine, program(engine.endpoint) as running:
        engine.wait_joined()
        engine.info(next_seq=0)
        engine.spikes(0, **DAMAGES[damage])
        printed = Printed(*running.finish())
    assert printed.code == 1
    assert len(printed.spikes) == 0
    assert printed.complaints


def test_the_lossless_program_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    (tmp_path / "lossless.py").write_text(block("python: lossless"), "utf-8")
    command = [sys.executable, str(tmp_path / "lossless.py")]
    recording = write_recording(tmp_path / "r", simulate(n_channels=8, seconds=6.0, spikes_per_s=50.0)[0])
    options = ("--publish", "tcp://127.0.0.1:0", "--wait-subscribers", "1", "--log", tmp_path / "log")
    position = str(tmp_path / "position")
    with Running("replay", recording, "--speed", "2", *options) as run:
        endpoint = run.endpoint()
        (tmp_path / "killed").mkdir()
        with Program(command, endpoint, tmp_path / "killed", position) as program:
            wait_until(lambda: program.lines() > 300, "hundreds of spikes")
        before = (tmp_path / "killed" / "out").read_text().split("\n")[:-1]
        (tmp_path / "resumed").mkdir()
        with Program(command, endpoint, tmp_path / "resumed", position) as program:
            code, out, err = program.finish()
        assert run.finish() == 0, run.err
    first, then = list(map(int, before)), list(map(int, out.split()))
    assert (code, err) == (0, "")
    assert first == list(range(len(first)))
    assert len(first) - 100 < then[0] <= len(first)  # what was printed, but not saved when it was killed, comes again
    assert then == rtspikes.read_session(tmp_path / "log.rtspikes").spikes["id"][then[0] :].tolist()
