"""Receives LSL streams in tests: found by name, pulled until a condition is met."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import pylsl

from tests.system.processes import DEADLINE_S, wait_until


def unique_name() -> str:
    """Return a name that no other stream has."""
    return f"test-{uuid.uuid4().hex}"


class Inlet:
    """Everything that a stream sends from now on."""

    def __init__(self, name: str, unlike: str = "") -> None:
        """Find it, by another source_id than `unlike`, and open it."""
        found: list[pylsl.StreamInfo] = []

        def there() -> bool:
            found[:] = [x for x in pylsl.resolve_byprop("name", name, 1, 1.0) if x.source_id() != unlike]
            return len(found) == 1

        wait_until(there, f"one stream {name}")
        self._inlet = pylsl.StreamInlet(found[0], max_buflen=3600)  # recovering: else its end takes the queue along
        self.info = self._inlet.info(DEADLINE_S)
        self._inlet.open_stream(DEADLINE_S)
        self.stamps: list[float] = []
        self.samples: list[list[Any]] = []

    def pull(self) -> None:
        """Take in what has come."""
        samples, stamps = self._inlet.pull_chunk(0.1, 4096, min_samples=1)
        self.samples += samples
        self.stamps += stamps

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """Pull until `condition()` is true."""

        def met() -> object:
            self.pull()
            return condition()

        wait_until(met, what)

    def wait_count(self, n: int) -> None:
        """Pull until `n` samples are here."""
        self.wait(lambda: len(self.samples) >= n, f"{n} samples")

    @property
    def table(self) -> np.ndarray[Any, Any]:
        """The samples as an array (n, channels)."""
        return np.array(self.samples, np.float64)

    @property
    def words(self) -> list[str]:
        """The first channel of each sample."""
        return [sample[0] for sample in self.samples]


def child_values(element: Any, name: str, key: str) -> list[str]:
    """Return the entries `key` of all children of a pylsl XMLElement that are called `name`."""
    values, child = [], element.child(name)
    while not child.empty():
        values.append(child.child_value(key))
        child = child.next_sibling(name)
    return values
