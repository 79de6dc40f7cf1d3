"""The run's sockets: the publisher's, and, in a process beside it, that of the replies."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from rtspikes.config import Config
from rtspikes.wire.announce import Announcer
from rtspikes.wire.keys import ClientKey, Right, ServerKeys
from rtspikes.wire.publish import Publisher
from rtspikes.wire.reply import ReplyService

MOST_NEWS = 64
"""Texts that wait for somebody who shows them; without one the oldest go."""


class Service:
    """Opens both sockets; they last for the run, over all its sessions."""

    def __init__(
        self, config: Config, paced: bool, abort: Callable[[], bool], failed: Callable[[BaseException], None]
    ) -> None:
        """See `Publisher` for `paced`, `abort`, `failed`. Raises TransportError when an address cannot be had."""
        self._config = config
        self.child_keys: dict[Right, ClientKey] = {}
        """Keys of this engine's own children, by what they may do; none where none is asked for."""
        keys: ServerKeys | None = None
        own: dict[bytes, tuple[str, Right]] = {}
        if config.publish.keys is not None:
            keys = ServerKeys.load(config.publish.keys)
            self.child_keys = {right: ClientKey.new(keys.public) for right in Right}
            own = {key.public: ("the engine's own", right) for right, key in self.child_keys.items()}
        self.publisher = Publisher(config.publish, paced, abort, keys, own, failed)
        try:
            self.reply = ReplyService(
                config.publish, config.history, config.reply,
                self.publisher.session, self.publisher.history_topics, own, failed,
            )  # fmt: skip
        except BaseException:
            self.publisher.close(at_once=True)
            raise
        self.publisher.history = self.reply.history
        try:
            self.endpoint = self.publisher.bind()
            self.reply.start(self.endpoint)
            self.reply.wait_bound()
        except BaseException:
            self.close(at_once=True)
            raise
        self.news: deque[str] = deque(maxlen=MOST_NEWS)
        """What the source said of late, for a person at this terminal; any thread may take it from the left."""
        self._facts: dict[str, Any] = {}
        self._reply_told = ""
        self._restarts_told = 0

    def tell_info(self, facts: dict[str, Any]) -> None:
        """Let subscribers, and who asks, have what `info` says now."""
        self._facts = facts
        self._reply_told = self.reply.endpoint
        sockets = {"endpoint": self.endpoint, "reply": {"endpoint": self._reply_told}}
        self.publisher.set_info({**facts, **sockets, "security": self.publisher.security})
        self.reply.set_info(self.publisher.encoded_info(), self.publisher.session)

    def begin_session(self, session: str, facts: dict[str, Any]) -> None:
        """Let `session` follow the one before, whose `end` is out."""
        self.publisher.begin_session(session)
        self.tell_info(facts)
        self.publisher.send_info()

    def look(self, announcer: Announcer) -> None:
        """Tell subscribers of a reply process that died, and of its address when it has another."""
        if (restarts := self.reply.restarts) != self._restarts_told:
            new, self._restarts_told = restarts - self._restarts_told, restarts
            announcer.notice("reply_process", f"the reply process is started again: {self.reply.trouble}", new)
        if self.reply.endpoint != self._reply_told:
            self.tell_info(self._facts)

    def state(self) -> dict[str, Any]:
        """Return the sockets' part of `status`."""
        return {
            "security": self.publisher.security,
            "connections": self.publisher.connections,
            "missed_by_subscribers": self.reply.missed_by_subscribers,
            "reply": self.reply.status(),
        }

    def close(self, at_once: bool) -> None:
        """Close both sockets, once subscribers have what they still need unless `at_once`."""
        deadline_s = time.monotonic() + (0.0 if at_once else self._config.publish.linger_s)
        self.publisher.close(at_once)
        self.reply.close(deadline_s - time.monotonic())
