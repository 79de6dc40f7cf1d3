"""The whole of a session log at a glance: what happened, its course, and how it went."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtspikes.activity import active
from rtspikes.subscribers.log.reader import Session
from rtspikes.subscribers.names import reason_name
from rtspikes.subscribers.view.happenings import MOST_TEXT, mark_entry
from rtspikes.subscribers.view.health import Seen, health
from rtspikes.subscribers.view.pack import pack, text
from rtspikes.subscribers.view.session_levels import SessionLevels
from rtspikes.subscribers.view.session_spikes import SessionSpikes
from rtspikes.types import OVERRUNS

OVERVIEW_POINTS, TREND_POINTS = 2000, 720

MOST_LEVELS = 4_000_000
"""Noise levels that are read for the trends: of very many channels there are fewer points."""

MOST_TOLD = 20_000
"""Marks, gaps and notices, of each, that a page is sent."""


def happened(session: Session) -> str:
    """Return the `happened` message: all marks, gaps and notices, as far as a page can take them."""
    first = int(session.info["first_sample"])
    marks = [
        mark_entry(mark, _short(words))
        for mark, words in zip(session.marks[:MOST_TOLD], session.mark_texts[:MOST_TOLD], strict=True)
    ]
    gaps = [
        {
            "sample": int(gap["sample"]),
            "lost": int(gap["lost"]),
            "cause": reason_name(session.info, "gap_causes", int(gap["cause"])),
            "uncertain": int(gap["uncertain"]),
        }
        for gap in session.gaps[:MOST_TOLD]
    ]
    notices = [_notice(notice, first) for notice in session.notices[:MOST_TOLD]]
    for what, n in (("marks", len(session.marks)), ("gaps", len(session.gaps)), ("notices", len(session.notices))):
        if n > MOST_TOLD:
            left_out = f"{n - MOST_TOLD} more {what} are in the log, and not shown here"
            notices.append({"sample": session.to_sample, "cause": "view", "text": left_out})
    return text({"t": "happened", "all": True, "marks": marks, "gaps": gaps, "notices": notices})


def _notice(notice: dict[str, Any], first: int) -> dict[str, Any]:
    words = notice.get("text")
    if notice.get("cause") == "missed":
        words = f"{notice.get('count')} {notice.get('kind')} messages did not reach the log"
    samples = (notice.get("sample"), notice.get("from_sample"))
    sample = next((s for s in samples if type(s) is int), first)
    return {"sample": sample, "cause": str(notice.get("cause")), "text": _short(str(words or notice.get("cause")))}


def _short(words: str) -> str:
    return words[:MOST_TEXT]


def _edges(session: Session, points: int) -> tuple[int, NDArray[np.int64]]:
    """Return the length (samples) of each of at most `points` steps, and their edges, which end behind the log."""
    first = int(session.info["first_sample"])
    step = max(1, round(float(session.info["rate_hz"]) / 10), -(-(session.to_sample - first) // points))
    n = -(-(session.to_sample - first) // step)
    return step, first + step * np.arange(n + 1, dtype=np.int64)


def overview(session: Session, spikes: SessionSpikes) -> bytes:
    """Return the `overview` message: spikes/s of all channels in each step of the whole session."""
    step, edges = _edges(session, OVERVIEW_POINTS)
    rate = _rates(session, spikes, edges).astype(np.float32)
    return pack({"t": "overview", "step_samples": step}, {"rate": rate})


def _rates(session: Session, spikes: SessionSpikes, edges: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return spikes/s of all channels between edges; the last step counts as far as the log goes."""
    seconds = np.diff(np.minimum(edges, session.to_sample)) / spikes.rate_hz
    return np.asarray(spikes.per_step(edges) / seconds, np.float64)


def trends(session: Session, spikes: SessionSpikes, levels: SessionLevels) -> bytes:
    """Return the `trends` message of the whole session; losses are samples of gaps, and messages missed."""
    points = max(1, min(TREND_POINTS, MOST_LEVELS // max(1, spikes.n)))
    step, edges = _edges(session, points)
    lost = np.zeros(len(edges) - 1)
    missed = [n for n in session.notices if n.get("cause") == "missed"]
    starts = [n["from_sample"] if type(n.get("from_sample")) is int else spikes.first for n in missed]
    for samples, amounts in (
        (session.gaps["sample"], session.gaps["lost"]),
        (np.array(starts, np.int64), np.array([int(n["count"]) for n in missed], np.int64)),
    ):
        if len(lost):
            at = np.clip((samples - spikes.first) // step, 0, len(lost) - 1)
            lost += np.bincount(at, amounts, len(lost))
    ends = np.minimum(edges[1:], session.to_sample)
    arrays = {
        "rate": _rates(session, spikes, edges).astype(np.float32),
        "sigma": np.array([levels.sigma_uv(int(end)) for end in ends], np.float32),
        "lost": lost.astype(np.float32),
    }
    return pack({"t": "trends", "from_s": 0.0, "step_s": step / spikes.rate_hz}, arrays)


def session_health(session: Session, levels: SessionLevels) -> dict[str, Any]:
    """Return the `health` message of a session that is over, with what its log knows."""
    rate_hz, first = float(session.info["rate_hz"]), int(session.info["first_sample"])
    overrun = np.isin(session.gaps["cause"], OVERRUNS)
    signal_s = (session.to_sample - first) / rate_hz
    unseen_s = sum(stop - start for start, stop in session.unseen()) / rate_hz
    spikes, seen_s = int(levels.counts.sum()), signal_s - unseen_s
    status = {
        "signal_s": signal_s,
        "spikes_per_s": round(spikes / seen_s, 3) if seen_s > 0 else None,
        "counts": {
            "flagged": int(np.count_nonzero(session.flags)),
            "lost_source": int(session.gaps["lost"][~overrun].sum()),
            "lost_overrun": int(session.gaps["lost"][overrun].sum()),
        },
        "bad_samples": _counted(session, "bad_samples"),
        "suppressed": _counted(session, "storm_over"),
        "rejected": session.rejections,
        "active_electrodes": int(active(levels.counts, levels.observed_s).sum()),
        "recording": {"path": str(session.path), "bytes": _bytes(session), "bytes_per_s": 0.0},
    }
    over = f"a finished session ({session.ended})"
    said = "still being written, or cut off: as it was when it was opened" if session.ended == "open" else over
    torn = f"; {session.torn_bytes} bytes behind the last flush are torn" if session.torn_bytes else ""
    seen = Seen("session", f"{said}{torn}", session.missed, levels.sigma_uv(session.to_sample))
    return health(session.info, status, seen)


def _counted(session: Session, cause: str) -> int:
    counts = (n.get("count") for n in session.notices if n.get("cause") == cause)
    return sum(count for count in counts if type(count) is int)


def _bytes(session: Session) -> int:
    try:
        return sum(file.stat().st_size for file in session.path.iterdir())
    except OSError:  # it has been moved
        return 0
