"""Facts of what did not come into the log: how far it goes, gaps, messages, and for how long spikes were observed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtspikes.activity import ACTIVE_PER_MIN, rates_hz
from rtspikes.subscribers.account.levels import figures, without_threshold
from rtspikes.subscribers.account.notices import Notices
from rtspikes.subscribers.account.origin import Electrodes
from rtspikes.subscribers.log.observed import observed_samples
from rtspikes.subscribers.log.reader import Session
from rtspikes.subscribers.names import flag_names, reason_name

SEAM = "seam"
"""The cause of a gap in which nothing is missing: a file's end joined to its start."""

UNOBSERVED_SINCE = 3
"""The first format of the log that tells of blanking and storms: in older ones their absence says nothing."""


def loss_facts(session: Session, electrodes: Electrodes, notices: Notices) -> dict[str, Any]:
    """Return them."""
    rate = float(session.info["rate_hz"])
    first = int(session.info["first_sample"])
    end = (session.facts.get("ended") or {}).get("engine") or {}
    return {
        "ended": session.ended,
        "engine_ended": end.get("reason"),
        "logged_to_sample": session.to_sample,
        "logged_to_s": (session.to_sample - first) / rate,
        "engine_to_s": (end["to_sample"] - first) / rate if "to_sample" in end else None,
        "logged_from_s": (int(session.facts.get("from_sample", first)) - first) / rate,
        "torn_bytes": session.torn_bytes,
        "messages_missed": session.missed,
        "messages_missed_by_kind": notices.missed_by_kind(),
        "gaps": _gaps(session, rate),
        "seams": int(np.count_nonzero(_causes(session) == SEAM)),
        "unseen_s": sum(stop - start for start, stop in session.unseen()) / rate,
        "settling_samples": int(session.info["settling_samples"]),
        **_observed(session, electrodes),
        **_events(session),
        "unobserved": _unobserved(session, electrodes, rate),
        "unobserved_is_logged": int(session.facts["format"]) >= UNOBSERVED_SINCE,
    }


def _causes(session: Session) -> NDArray[Any]:
    names = [reason_name(session.info, "gap_causes", int(cause)) for cause in session.gaps["cause"]]
    return np.array(names, object)


def _gaps(session: Session, rate: float) -> dict[str, dict[str, Any]]:
    """Return what each cause took: gaps, samples and how uncertain they are together, and the longest (s)."""
    found = {}
    causes = _causes(session)
    for cause in dict.fromkeys(causes.tolist()):
        rows = session.gaps[causes == cause]
        if cause == SEAM or not len(rows):
            continue
        lost = int(rows["lost"].sum())
        found[cause] = {
            "gaps": len(rows),
            "lost_samples": lost,
            "lost_s": lost / rate,
            "uncertain_samples": int(rows["uncertain"].sum()),
            "longest_s": int(rows["lost"].max()) / rate,
        }
    return found


def _observed(session: Session, electrodes: Electrodes) -> dict[str, Any]:
    """Return observed time, and the rates that it gives."""
    seconds, counts, active = session.observed_s, session.counts, session.active
    enabled = np.array(electrodes.enabled, bool)
    rates = rates_hz(counts, seconds)
    return {
        "observed_s": figures(seconds[enabled]),
        "observed_total_s": round(float(seconds.sum()), 6),
        **_idle(session, electrodes),
        "spikes": len(session.spikes),
        "spikes_sorted": bool(np.any(session.spikes["unit"] >= 0)),
        "electrodes_with_spikes": int(np.count_nonzero(counts)),
        "active_electrodes": int(active.sum()),
        "active_from_spikes_per_min": ACTIVE_PER_MIN,
        "active_rate_hz": figures(rates[active]),
        "active_mean_rate_hz": float(rates[active].mean()) if active.any() else None,
    }


def _idle(session: Session, electrodes: Electrodes) -> dict[str, Any]:
    """Return how much of observed time had no threshold although nobody had muted the electrode, and on which."""
    first, n = int(session.info["first_sample"]), len(electrodes.labels)
    unobserved = np.concatenate((session.unobserved, without_threshold(session, electrodes)))
    unseen, mutings = session.unseen(), session.mutings()
    before, after = (
        observed_samples(first, session.to_sample, unseen, n, mutings, each)
        for each in (session.unobserved, unobserved)
    )
    idle = np.where(electrodes.enabled, before - after, 0)
    return {
        "observed_without_threshold_s": float(idle.sum()) / float(session.info["rate_hz"]),
        "electrodes_observed_without_threshold": electrodes.names(np.flatnonzero(idle)),
    }


def _events(session: Session) -> dict[str, Any]:
    """Return how many events were rejected and flagged, and why."""
    flags, counts = np.unique(session.flags, return_counts=True)
    flagged: dict[str, int] = {}
    for value, n in zip(flags, counts, strict=True):
        for name in flag_names(session.info, int(value)):
            flagged[name] = flagged.get(name, 0) + int(n)
    return {
        "events": len(session.spikes) + len(session.rejected),
        "rejected": session.rejections,
        "flagged": flagged,
    }


def _unobserved(session: Session, electrodes: Electrodes, rate: float) -> dict[str, dict[str, Any]]:
    """Return on which electrodes, how often and for how long together nothing could be found, by reason."""
    found = {}
    for number in np.unique(session.unobserved["reason"]):
        rows = session.unobserved[session.unobserved["reason"] == number]
        channels = np.unique(rows["channel"])
        found[reason_name(session.info, "unobserved_reasons", int(number))] = {
            "electrodes": len(channels),
            "labels": electrodes.names(channels),
            "electrode_s": float((rows["stop"] - rows["sample"]).sum() / rate),
        }
    return found
