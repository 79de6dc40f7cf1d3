"""A session log as something to look at: as it was when it was opened."""

from __future__ import annotations

from rtspikes.subscribers.log.reader import Session
from rtspikes.subscribers.view.facts import facts
from rtspikes.subscribers.view.pack import text
from rtspikes.subscribers.view.scene import Message
from rtspikes.subscribers.view.session_course import happened, overview, session_health, trends
from rtspikes.subscribers.view.session_levels import SessionLevels
from rtspikes.subscribers.view.session_spikes import SessionSpikes
from rtspikes.subscribers.view.session_viewer import SessionViewer


class SessionScene:
    """Shows a log to any number of pages, each at a place of its own. Belongs to one thread once it is made."""

    def __init__(self, session: Session) -> None:
        """Read through the spikes once; rates and counts of `levels` are those of the whole session."""
        self.spikes = SessionSpikes(session)
        self.levels = SessionLevels(session, self.spikes.counts)
        self.first, self.stop = self.spikes.first, max(self.spikes.first, session.to_sample)
        """Where a page may go to."""
        self.info = session.info
        told = facts(session.info, "session", True, session.path.stem, session.to_sample)
        self.opening: list[Message] = [
            text(told),
            happened(session),
            overview(session, self.spikes),
            trends(session, self.spikes, self.levels),
        ]
        """What each page is sent first."""
        self._health = session_health(session, self.levels)
        self.viewers = 0

    def viewer(self) -> SessionViewer:
        """Return what a new page looks at: the session's start."""
        self.viewers += 1
        return SessionViewer(self)

    def leave(self) -> None:
        """Let a page go."""
        self.viewers -= 1

    def health(self) -> str:
        """Return the `health` message."""
        return text({**self._health, "viewers": self.viewers})

    def check(self) -> None:
        """Raise nothing: there is no thread that could fail."""
