"""Sources for engine tests: an array handed out in any pieces, with holes, live or paced, at the test's own pace."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rtspikes.clock import LslClock
from rtspikes.protocols import Anchor, Hole, Mark, Pull, Remark
from rtspikes.types import Samples, StreamInfo


class ArraySource:
    """Hands out `samples` (n, channels) in pieces of `sizes` (the last one repeats).

    holes: {row: samples lost before it}, remarks, marks: {row: what is remarked, marked there}. A cleared `gate` stops
    it before row `gate_at`.
    """

    def __init__(
        self,
        info: StreamInfo,
        samples: NDArray[Any],
        sizes: Sequence[int],
        holes: dict[int, int] | None = None,
        gate_at: int | None = None,
        remarks: dict[int, Sequence[Remark]] | None = None,
        marks: dict[int, Sequence[Mark]] | None = None,
    ) -> None:
        self.info = info
        self.first_sample = 0
        self.gate = threading.Event()
        self._samples, self._holes, self._gate_at = samples, holes or {}, gate_at
        self._remarks, self._marks = remarks or {}, marks or {}
        self._sizes = self._endless(sizes)
        self._at = 0
        self.begun_s = 0.0

    @staticmethod
    def _endless(sizes: Sequence[int]) -> Iterator[int]:
        yield from sizes
        while True:
            yield sizes[-1]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.cancel()

    def start(self) -> None:
        """Nothing waits for a start."""

    def cancel(self) -> None:
        """Open the gate."""
        self.gate.set()

    def pull(self, destination: Samples) -> Pull:
        """Hand out the next piece, with the holes that lie in it."""
        if self._at == self._gate_at and not self.gate.wait(0.1):
            return Pull(0)
        n = min(next(self._sizes), len(destination), len(self._samples) - self._at)
        if self._gate_at is not None and self._at < self._gate_at:
            n = min(n, self._gate_at - self._at)
        destination[:n] = self._samples[self._at : self._at + n]
        inside = sorted(row for row in self._holes if self._at <= row < self._at + n)
        holes = tuple(Hole(row - self._at, self._holes[row]) for row in inside)
        anchors: tuple[Anchor, ...] = ()
        if self._at == 0:
            self.begun_s = LslClock().now()
            anchors = (Anchor(0, self.begun_s, self.info.rate_hz),)
        remarks = tuple(
            remark._replace(offset=row - self._at)
            for row, said in sorted(self._remarks.items())
            if self._at <= row < self._at + n or row == self._at + n == len(self._samples)
            for remark in said
        )
        marks = tuple(
            mark._replace(offset=row - self._at)
            for row, said in sorted(self._marks.items())
            if self._at <= row < self._at + n
            for mark in said
        )
        self._at += n
        return Pull(n, holes, anchors, remarks, ended=self._at == len(self._samples), marks=marks)

    def status(self) -> dict[str, Any]:
        """Return nothing of interest."""
        return {}


class LayoutSource:
    """Hands out one ArraySource after the other, as a source whose layout changes does."""

    def __init__(self, *layouts: ArraySource) -> None:
        self.layouts = layouts
        self.started: list[int] = []
        self._at = 0

    @property
    def _now(self) -> ArraySource:
        return self.layouts[self._at]

    @property
    def info(self) -> StreamInfo:
        return self._now.info

    @property
    def first_sample(self) -> int:
        return self._now.first_sample

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.cancel()

    def start(self) -> None:
        """Note which layout was begun."""
        self.started.append(self._at)

    def cancel(self) -> None:
        """Open all gates."""
        for layout in self.layouts:
            layout.cancel()

    def pull(self, destination: Samples) -> Pull:
        """Hand out the next piece; at a layout's end go on to the next."""
        assert self.started[-1] == self._at
        assert destination.shape[1] == self.info.n_channels
        pull = self._now.pull(destination)
        if not pull.ended or self._now is self.layouts[-1]:
            return pull
        self._at += 1
        return pull._replace(another=True)

    def status(self) -> dict[str, Any]:
        """Return which layout it is."""
        return {"layout": self._at}


class FailingSource(ArraySource):
    """Raises after its first piece."""

    def pull(self, destination: Samples) -> Pull:
        """Hand out one piece, then fail."""
        if self._at:
            raise OSError("the cable was pulled")
        return super().pull(destination)


def segments(samples: NDArray[Any], holes: dict[int, int]) -> list[tuple[int, NDArray[Any]]]:
    """Return the received samples as [(first absolute index, rows)]."""
    borders = sorted({0, *holes, len(samples)})
    lost = np.cumsum([holes.get(b, 0) for b in borders])
    return [(a + int(lost[i]), samples[a:b]) for i, (a, b) in enumerate(zip(borders, borders[1:], strict=False))]
