"""Control of a running engine from any program: thresholds, freezing, muting, marks, the end."""

from __future__ import annotations

import operator
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from rtspikes.errors import ConfigError, EngineVanished, RequestError, TransportError, WireError
from rtspikes.wire.codec import TARGET_BYTES, decode_table
from rtspikes.wire.keys import ClientKey
from rtspikes.wire.requests import LOOK_MS, Reply
from rtspikes.wire.settings import DEFAULT_ENDPOINT
from rtspikes.wire.subscribe import Subscriber
from rtspikes.wire.thresholds import check_new, read_thresholds, write_thresholds
from rtspikes.wire.unpack import unpack_map

ANSWER_S = 15.0
"""How long an answer may take; the engine has 10 s."""

MOST_LOOKED_AT = 64
"""Messages of the subscription taken in at a time."""

Position = int | np.integer[Any]

Selector = str | Position | Iterable[str | Position]
"""Labels, globs, positions, `well:B2` …, as in the configuration."""


class InForce(NamedTuple):
    """From which sample on something is in force, and when that is on the LSL clock (s; None: not known yet)."""

    sample: int
    time: float | None


class Control:
    """Controls one session of an engine; a context manager; belongs to one thread.

    Every method asks, and returns once the engine has answered. Changes of detection are in force from a sample that
    is still to come, or from `at_sample`, an absolute one. Raises RequestError when the engine refuses (its `code` is
    PROTOCOL.md's: refused, too_late, forbidden …), TransportError when the engine has ended or does not answer, and its
    subclass EngineVanished once another session has begun: what was known of channels and samples no longer holds.
    """

    def __init__(
        self,
        endpoint: str = DEFAULT_ENDPOINT,
        *,
        key: ClientKey | str | Path | None = None,
        connect_timeout_s: float | None = 10.0,
    ) -> None:
        self._endpoint = endpoint
        self._subscriber = Subscriber(
            endpoint, kinds=("info",), key=key, connect_timeout_s=connect_timeout_s, counts=False
        )
        self.info: dict[str, Any] = {}
        """Everything constant about the session."""

    def __enter__(self) -> Self:
        """Connect, and wait for the engine."""
        self._subscriber.__enter__()
        try:
            while self._subscriber.info is None and not self._subscriber.ended:
                self._subscriber.get(0.1)
            self.info = self._subscriber.info or {}
            self._subscriber.requester()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Disconnect."""
        self._subscriber.__exit__(kind, error, trace)

    def threshold(
        self,
        select: Selector,
        sigma: float | None = None,
        *,
        uv: float | None = None,
        at_sample: int | None = None,
    ) -> InForce:
        """Set the threshold of the channels that `select` names: in multiples of σ, or a height in µV."""
        height = {k: float(v) for k, v in (("threshold", sigma), ("threshold_uv", uv)) if v is not None}
        return self._change("threshold", at_sample, select=_selector(select), **height)

    def freeze(self, *, at_sample: int | None = None) -> InForce:
        """Keep σ, and with it every threshold, as it is: what follows stays comparable."""
        return self._change("freeze", at_sample)

    def follow(self, *, at_sample: int | None = None) -> InForce:
        """Let σ follow the signal again."""
        return self._change("follow", at_sample)

    def recalibrate(self, *, at_sample: int | None = None) -> InForce:
        """Forget σ's past and learn it anew from what comes; if it was frozen, freeze it again then."""
        return self._change("recalibrate", at_sample)

    def mute(self, select: Selector, *, at_sample: int | None = None) -> InForce:
        """Report no more events of the channels that `select` names."""
        return self._change("mute", at_sample, select=_selector(select))

    def unmute(self, select: Selector, *, at_sample: int | None = None) -> InForce:
        """Report their events again."""
        return self._change("unmute", at_sample, select=_selector(select))

    def blank(self, select: Selector, ms: float, *, at_sample: int | None = None) -> InForce:
        """Blank the channels that `select` names for `ms`: an artifact is not filtered, and no event found in it."""
        return self._change("blank", at_sample, select=_selector(select), ms=float(ms))

    def save_thresholds(self, path: str | Path) -> int:
        """Write the electrodes' thresholds, in µV by label, to a new JSON file; return how many electrodes have one.

        Those that are disabled or dead have none, and get none by `load_thresholds`; those that are muted have the one
        that they will have again. Raises ConfigError when the file exists.
        """
        check_new(Path(path))
        return write_thresholds(Path(path), self.info, *self.levels())

    def load_thresholds(self, path: str | Path, *, at_sample: int | None = None) -> InForce:
        """Put thresholds that `save_thresholds` wrote in force, whatever the noise does.

        Raises DataError when sampling rate, filter or electrodes are not those that they were saved with.
        """
        return self._change("load", at_sample, **read_thresholds(Path(path), self.info))

    def mark(self, text: str) -> InForce:
        """Mark the present with a text (≤ 1000 characters); return where the mark is."""
        return self._change("mark", text=str(text))

    def shutdown(self) -> InForce:
        """End the run as Ctrl-C does: what was received is still detected, published and logged."""
        try:
            return self._change("shutdown")
        except TransportError as error:
            deadline_s = time.monotonic() + (
                ANSWER_S if isinstance(error, RequestError) and error.code == "ended" else 0
            )
            while not self._subscriber.ended and time.monotonic() < deadline_s:
                self._subscriber.get(LOOK_MS * 1e-3)
            if not self._subscriber.ended or self._subscriber.end is None:
                raise
            return _in_force("end", self._subscriber.end.get("to_sample"), None)

    def status(self) -> dict[str, Any]:
        """Return the last `status` message; wait for the first, a second after the engine's start."""
        deadline_s = time.monotonic() + ANSWER_S
        while not (frames := self._ask("status").frames):
            if time.monotonic() >= deadline_s:
                raise TransportError(f"the engine at {self._endpoint} has sent no status; is it held up?")
            time.sleep(LOOK_MS * 1e-3)
        return unpack_map(frames[0], TARGET_BYTES)

    def levels(self) -> tuple[int, NDArray[np.void]]:
        """Return since which sample the thresholds are in force, and they: LEVELS_DTYPE (channels,), µV, NaN: none."""
        deadline_s = time.monotonic() + ANSWER_S
        while time.monotonic() < deadline_s:
            parts = list(self._level_parts())
            since = {sample for sample, _ in parts}
            if len(since) == 1:  # otherwise they changed meanwhile
                return since.pop(), np.concatenate([levels for _, levels in parts])
        raise TransportError(f"the thresholds changed again and again in {ANSWER_S:g} s; freeze them first")

    def _level_parts(self) -> Iterator[tuple[int, NDArray[np.void]]]:
        """Yield the thresholds of some channels after the other, each time with their sample."""
        done, total = 0, int(self.info["n_channels"])
        while done < total:
            head = self._ask("control", command="levels", first_channel=done).head
            part = decode_table("thresholds", head)
            if head.get("first_channel") != done or not 1 <= len(part) <= total - done:
                raise WireError(
                    f"levels: asked for channels {done} … {total - 1}, "
                    f"got {len(part)} from {head.get('first_channel')!r:.40} on"
                )
            yield _in_force("levels", head.get("sample"), None).sample, part
            done += len(part)

    def _change(self, command: str, at_sample: int | None = None, **entries: Any) -> InForce:
        """Ask once for something that is done each time it is heard."""
        if at_sample is not None:
            if not 0 <= operator.index(at_sample) < 2**63:
                raise ConfigError(f"at_sample must be an absolute sample, 0 … 2⁶³ - 1, got {at_sample}")
            entries["at_sample"] = operator.index(at_sample)
        head = self._ask("control", repeat=False, command=command, **entries).head
        return _in_force(command, head.get("sample"), head.get("time"))

    def _ask(self, request: str, *, repeat: bool = True, **entries: Any) -> Reply:
        """Return the engine's reply; ask again meanwhile if `repeat`."""
        self._look()
        if request == "control":
            entries["session"] = self.info["session"]
        try:
            return self._subscriber.requester().ask(request, ANSWER_S, repeat, self._look, **entries)
        except RequestError as error:
            if error.code == "unknown_session":
                raise self._changed() from None
            raise
        except (OverflowError, TypeError, ValueError) as error:
            raise ConfigError(f"{entries.get('command', request)}: cannot be sent: {error}") from None

    def _look(self) -> None:
        """Take in what the engine says by itself; raise when it has ended, begun another session, or is gone."""
        for _ in range(MOST_LOOKED_AT):
            if self._subscriber.get(0) is None:
                break
        if self._subscriber.ended:
            raise TransportError(f"the engine at {self._endpoint} has ended")
        if self._subscriber.info is None or self._subscriber.info["session"] != self.info["session"]:
            raise self._changed()

    def _changed(self) -> EngineVanished:
        return EngineVanished(
            f"the engine at {self._endpoint} was started anew, or its stream has another layout; "
            f"connect again to control it"
        )


def control(
    endpoint: str = DEFAULT_ENDPOINT,
    *,
    key: ClientKey | str | Path | None = None,
    connect_timeout_s: float | None = 10.0,
) -> Control:
    """Return control of the engine at `endpoint`, to be used in a `with` statement.

    Parameters
    ----------
    endpoint
        The engine's ZeroMQ address, that subscribers use.
    key
        The client's key file (NAME.key_secret) for an engine with keys; it must be one that may control.
    connect_timeout_s
        How long to wait for an engine (None: for ever).

    Raises
    ------
    ConfigError
        For a key file that is damaged, or that others can read.
    """
    return Control(endpoint, key=key, connect_timeout_s=connect_timeout_s)


def _selector(select: Selector) -> str | int | list[str | int]:
    """Return a selector as a request holds it."""
    if isinstance(select, str | int | np.integer):
        return _one(select)
    return [_one(part) for part in select]


def _one(part: str | Position) -> str | int:
    return part if isinstance(part, str) else operator.index(part)


def _in_force(what: str, sample: Any, time_s: Any) -> InForce:
    """Return the sample and the time that a message says; raise WireError where it says something else."""
    if type(sample) is not int or not (time_s is None or type(time_s) is float):
        raise WireError(f"{what}: an answer says a sample and its time, got {sample!r:.40} and {time_s!r:.40}")
    return InForce(sample, time_s)
