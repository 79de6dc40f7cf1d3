"""LSL streams of tests' own making, and `rtspikes run` on one of them, with its log and all that it says."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pylsl
from numpy.typing import NDArray

import rtspikes
from rtspikes.detect.settings import DetectSettings
from rtspikes.lsl import load
from rtspikes.subscribers.log.reader import Session
from rtspikes.types import GAP_DTYPE, StreamInfo
from tests.simulated import RATE_HZ
from tests.system.processes import DEADLINE_S, Running, wait_until
from tests.unit.detect.streaming import Segments, stream

KINDS = ("crossings", "notices", "gaps")
SIGINT = signal.SIGINT if sys.platform != "win32" else signal.CTRL_BREAK_EVENT

load()  # with the project's configuration of liblsl, before the first outlet


def description(
    name: str,
    n_channels: int,
    form: str,
    *,
    unit: str = "microvolts",
    scale: float | None = None,
    rate_hz: float = RATE_HZ,
    source_id: str | None = None,
) -> Any:
    """Return a pylsl.StreamInfo of electrodes E1, E2 and so on whose values, times `scale`, are in `unit`."""
    source_id = f"id-{name}" if source_id is None else source_id
    info = pylsl.StreamInfo(name, "Ephys", n_channels, rate_hz, form, source_id)
    channels = info.desc().append_child("channels")
    for i in range(n_channels):
        channel = channels.append_child("channel")
        said = {"label": f"E{i + 1}", "type": "Ephys", "unit": unit}
        if scale is not None:
            said["scaling_factor"] = repr(scale)
        for key, value in said.items():
            if value:
                channel.append_child_value(key, value)
    return info


class Producer:
    """An outlet that notes the stamp of every chunk pushed; there until `close` or the end of the block."""

    def __init__(self, info: Any) -> None:
        most = 360 if info.nominal_srate() else 3600  # s; without a rate: hundreds of samples
        self._outlet: Any = pylsl.StreamOutlet(info, 0, most)
        self.lasts: list[int] = []
        self.stamps: list[float] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Be gone at once; what consumers have not received is lost."""
        self._outlet = None

    def wait_for_consumer(self) -> None:
        """Wait until somebody is there: the next push is the first that they get."""
        assert self._outlet.wait_for_consumers(DEADLINE_S), "no consumer came"

    def push(self, first: int, rows: NDArray[Any], stamp_s: float) -> None:
        """Push `rows`, the first of which is sample `first`; the last one happened at `stamp_s`."""
        self._outlet.push_chunk(np.ascontiguousarray(rows), stamp_s)
        self.lasts.append(first + len(rows) - 1)
        self.stamps.append(stamp_s)

    def push_each(self, first: int, rows: NDArray[Any], stamps: NDArray[np.float64]) -> None:
        """Push `rows` with a stamp for each, as a stream without a nominal rate needs it."""
        self._outlet.push_chunk(np.ascontiguousarray(rows), stamps.tolist())
        self.lasts += range(first, first + len(rows))
        self.stamps += stamps.tolist()

    def regression(self, samples: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the times (s) of samples by a line through the stamps of all pushes."""
        lasts, stamps = np.array(self.lasts, np.float64), np.array(self.stamps)
        return np.asarray(np.polyval(np.polyfit(lasts, stamps - stamps[0], 1), samples) + stamps[0])

    @property
    def latest_s(self) -> float:
        """How far a stamp is from the regression at most."""
        return float(np.abs(np.array(self.stamps) - self.regression(np.array(self.lasts))).max())


def pieces(n: int, seed: int, most: int = 400) -> Iterator[tuple[int, int]]:
    """Cut [0, n) into pieces of random lengths: single samples, and up to `most`."""
    rng = np.random.default_rng(seed)
    at = 0
    while at < n:
        size = 1 if rng.random() < 0.1 else int(rng.integers(1, most + 1))
        yield at, min(n, at + size)
        at += size


def paced(cuts: Iterable[tuple[int, int]], rate_hz: float = RATE_HZ) -> Iterator[tuple[int, int]]:
    """Hand each piece out when its last sample has happened; late ones are not waited for."""
    begun_s = pylsl.local_clock()
    for first, end in cuts:
        if (left_s := begun_s + end / rate_hz - pylsl.local_clock()) > 0:
            time.sleep(left_s)
        yield first, end


class LslRun:
    """`rtspikes run` on a stream, its log, and a subscriber that takes everything in; killed when the block ends."""

    def __init__(self, address: str, log: Path, *settings: str) -> None:
        self._log = log
        options = [option for setting in settings for option in ("--set", setting)]
        self.engine = Running(
            "run", "--source", f"lsl:{address}", "--log", log, "--publish", "tcp://127.0.0.1:0", *options
        )
        self.sessions: list[str] = []
        self.notices: list[dict[str, Any]] = []
        self.to_sample = 0
        self.n_crossings: list[int] = []
        self._gaps: list[NDArray[np.void]] = []
        self.missed = 0
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._subscribe, daemon=True)

    def __enter__(self) -> Self:
        self.engine.__enter__()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.engine.__exit__(kind, error, trace)
        self._thread.join(DEADLINE_S)

    def _subscribe(self) -> None:
        try:
            with rtspikes.subscribe(self.engine.endpoint(), kinds=KINDS, lossless=True, from_start=KINDS) as subscriber:
                for batch in subscriber:
                    self._take(batch)
        except BaseException as error:
            self.error = error

    def _take(self, batch: Any) -> None:
        if batch.session not in self.sessions:
            self.sessions.append(batch.session)
            self.n_crossings.append(0)
            self.to_sample = 0
        self.missed += sum(missed.count for missed in batch.missed)
        if batch.kind == "notices":
            self.notices.append(batch.fields)
        elif batch.kind == "gaps":
            self._gaps.append(np.array(batch.gaps))
        else:
            self.n_crossings[-1] += len(batch.crossings)
            self.to_sample = batch.to_sample

    @property
    def causes(self) -> list[str]:
        """Causes of the notices so far."""
        return [notice["cause"] for notice in self.notices]

    @property
    def gaps(self) -> NDArray[np.void]:
        """The gaps that were published so far, of all sessions."""
        return np.concatenate(self._gaps) if self._gaps else np.zeros(0, GAP_DTYPE)

    def wait_sample(self, sample: int, session: int = 1) -> None:
        """Wait until all before `sample` of the `session`th session has been detected."""
        self._wait(lambda: len(self.sessions) >= session and self.to_sample >= sample, f"sample {sample}")

    def wait_gaps(self, n: int) -> None:
        """Wait until `n` gaps have been published."""
        self._wait(lambda: len(self.gaps) >= n, f"{n} gaps")

    def wait_crossings(self, n: int) -> None:
        """Wait until `n` crossings have come in the session that is."""
        self._wait(lambda: self.n_crossings and self.n_crossings[-1] >= n, f"{n} crossings")

    def wait_notice(self, cause: str, count: int = 1) -> dict[str, Any]:
        """Wait for the `count`th notice of a cause and return it."""
        self._wait(lambda: self.causes.count(cause) >= count, f"notice {cause}")
        return self.told(cause)[count - 1]

    def told(self, cause: str) -> list[dict[str, Any]]:
        """Return the notices of a cause that have come."""
        return [notice for notice in self.notices if notice["cause"] == cause]

    def _wait(self, condition: Any, what: str) -> None:
        def met() -> bool:
            assert self.error is None, f"the subscriber failed: {self.error!r}; stderr {self.engine.err}"
            assert self.engine.process.poll() is None, (
                f"the engine has ended: {self.engine.process.poll()}, {self.engine.err}"
            )
            return bool(condition())

        try:
            wait_until(met, what)
        except AssertionError as error:
            raise AssertionError(f"{error}; at {self.to_sample}, notices {self.notices}") from None

    def stop(self) -> list[Session]:
        """End the run as Ctrl-C does; return its logs, one per session, after all that nobody may have missed."""
        self.engine.process.send_signal(SIGINT)
        assert self.engine.finish() == 0, self.engine.err
        self._thread.join(DEADLINE_S)
        assert self.error is None
        assert self.missed == 0
        names = sorted(self._log.parent.glob(f"{self._log.name}*.rtspikes"), key=lambda path: (len(path.name), path))
        logs = [rtspikes.read_session(path) for path in names]
        assert [log.missed for log in logs] == [0] * len(logs)
        assert not [line for line in self.engine.err if "Traceback" in line or "INFO|" in line or "ERR|" in line]
        return logs


def faults_of(path: Path) -> list[dict[str, Any]]:
    """Return what `rtspikes stream --faults` wrote, as far as lines are whole."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def losses(faults: Iterable[dict[str, Any]]) -> list[tuple[int, int]]:
    """Return (first sample, samples) that were not sent; neighbours joined."""
    joined: list[tuple[int, int]] = []
    for fault in sorted(faults, key=lambda fault: fault.get("sample", 0)):
        if not fault.get("lost") or fault["fault"] == "end":
            continue
        if joined and sum(joined[-1]) == fault["sample"]:
            joined[-1] = (joined[-1][0], joined[-1][1] + fault["lost"])
        else:
            joined.append((fault["sample"], fault["lost"]))
    return joined


def received(samples: NDArray[Any], lost: Iterable[tuple[int, int]]) -> Segments:
    """Return the segments of `samples` between losses."""
    segments, at = [], 0
    for first, n in [*lost, (len(samples), 0)]:
        if first > at:
            segments.append((at, samples[at:first]))
        at = first + n
    return segments


def assert_detected(log: Session, segments: Segments, info: StreamInfo) -> None:
    """Fail unless the log holds what a detector makes of these segments, byte for byte but the time."""
    events = stream(segments, info, DetectSettings(), [4096])
    for name in ("spikes", "rejected"):
        found, wanted = np.array(getattr(log, name)), np.concatenate([getattr(e, name) for e in events])
        found["time"] = wanted["time"]
        np.testing.assert_array_equal(found, wanted, err_msg=name)
    assert log.waveforms.tobytes() == np.concatenate([e.waveforms for e in events]).tobytes()
