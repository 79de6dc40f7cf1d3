"""Traces by name, and who watches which: a trace is made only while somebody subscribes to its topic."""

from __future__ import annotations

import re
from itertools import islice

TRACE_SIGNALS = ("filtered", "raw", "compared")
"""What of a channel there is to look at; the first where a topic does not say."""

MOST_TRACES = 64
"""Traces that are made at a time."""

MOST_NAMES = 1024
"""Traces that somebody subscribes to and that are remembered, until there is room for them."""

_TRACE = re.compile(rb"traces/([A-Za-z0-9_-]{1,64})/(0|[1-9][0-9]{0,8})/(?:([A-Za-z0-9_-]{1,64})/)?")


def trace_topic(stream: str, channel: int, of: str) -> bytes:
    """Return the topic of a channel's trace."""
    return f"traces/{stream}/{channel}/{of}/".encode("ascii")


def parse_trace_topic(topic: bytes) -> tuple[str, int, str] | None:
    """Return stream, channel and signal of a trace's topic; None for what is none."""
    match = _TRACE.fullmatch(topic)
    if match is None:
        return None
    of = TRACE_SIGNALS[0] if match[3] is None else match[3].decode("ascii")
    return (match[1].decode("ascii"), int(match[2]), of) if of in TRACE_SIGNALS else None


class Watches:
    """Counts the subscriptions to each trace of one stream."""

    def __init__(self, stream: str) -> None:
        self._prefix = f"traces/{stream}/".encode("ascii")
        self._n_channels = 0
        self._names: dict[tuple[int, str], int] = {}
        self._asked: list[tuple[int, str]] = []
        self._changed = False
        self.watched: frozenset[tuple[int, str]] = frozenset()
        """The traces, (channel, signal), that are to be made; replaced at each change."""
        self.refused = 0
        """Subscriptions so far to what is no trace of this stream's channels, or was one too many."""

    def begin(self, n_channels: int) -> None:
        """Let the stream have so many channels from here on."""
        self._n_channels, self._changed = n_channels, True
        self.settle()

    def change(self, prefix: bytes, subscribed: bool) -> None:
        """Take in that somebody subscribed to a prefix, or does so no more; counts from the next `settle` on."""
        if len(prefix) <= len(self._prefix) or not prefix.startswith(self._prefix):
            return
        named = parse_trace_topic(prefix)
        if named is None:
            self.refused += subscribed and prefix.endswith(b"/")
            return
        key, count = named[1:], self._names.get(named[1:], 0)
        if subscribed:
            self._asked.append(key)
            if count or len(self._names) < MOST_NAMES:
                self._names[key] = count + 1
        else:
            if key in self._asked:
                self._asked.remove(key)
            if count > 1:
                self._names[key] = count - 1
            else:
                self._names.pop(key, None)
        self._changed = True

    def settle(self) -> None:
        """Choose which traces are to be made: those that were asked for first."""
        if not self._changed:
            return
        known = (key for key in self._names if key[0] < self._n_channels)
        watched = frozenset(islice(known, MOST_TRACES))
        if watched != self.watched:
            self.watched = watched
        self.refused += sum(key not in watched for key in self._asked)
        self._asked.clear()
        self._changed = False
