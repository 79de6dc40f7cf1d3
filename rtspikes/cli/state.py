"""How a run goes, as the table that `control … status` prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rtspikes.cli.failures import one_line
from rtspikes.cli.figures import counted
from rtspikes.cli.progress import samples_lost
from rtspikes.errors import WireError

LABELS_TOLD = 8
"""Storming channels that the table names."""

STAGES = {
    "arrive": "arrived after",
    "wait": "waited in the ring",
    "detect": "detected after",
    "publish": "published after",
    "total": "crossings out after",
}
"""Of `latency_ms`, each but the last from where the one before ends."""

SECURITY = {
    "local": "local: this computer only",
    "curve": "curve: encrypted, for known keys only",
    "insecure": "INSECURE: whoever reaches it may read and control",
}


def table(info: dict[str, Any], status: dict[str, Any]) -> list[str]:
    """Return the lines of the table; raise WireError when a figure is missing."""
    try:
        return [f"{name:23}{one_line(value)}" for name, value in _rows(info, status)]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        what = f"lacks {error}" if isinstance(error, KeyError) else f"is of another form: {error}"
        raise WireError(f"the engine's status {what}; --json shows it as it is") from None


def _labels(info: dict[str, Any], positions: Sequence[int]) -> str:
    """Return the labels of some channels, in brackets."""
    labels = info["channels"]["label"]
    named = ", ".join(str(labels[position]) for position in positions[:LABELS_TOLD])
    return f" ({named}{' …' if len(positions) > LABELS_TOLD else ''})" if named else ""


def _rows(info: dict[str, Any], status: dict[str, Any]) -> Iterator[tuple[str, str]]:
    counts, reply, commands = status["counts"], status["reply"], status["commands"]
    yield "session", f"{info['session']} of {info['source']['uri']}"
    yield "signal", f"{status['signal_s']:g} s of {info['n_channels']} channels at {info['rate_hz']:g} Hz"
    yield "spikes", f"{counts['spikes']}, {status['spikes_per_s']:g}/s; {counts['flagged']} of them flagged"
    reasons = counted(status["rejected"])
    yield "rejected", f"{counts['rejected']} events{f': {reasons}' if reasons else ''}"
    observed = status["observed_s"]
    yield "observed", f"{observed['median']:g} s (median; {observed['min']:g} … {observed['max']:g} s)"
    yield "active electrodes", f"{status['active_electrodes']}"
    storming = _labels(info, status["storming_channels"])
    yield "storming", f"{status['storming']} channels{storming}; {status['suppressed']} triggers suppressed"
    yield "lost samples", f"{samples_lost(status)} in {counts['gaps']} gaps; {status['bad_samples']} bad ones held"
    yield "thresholds", "frozen" if status["frozen"] else "follow the noise"
    yield "muted channels", f"{status['muted']}"
    yield "marks", f"{counts['marks']}"
    for stage, name in STAGES.items():
        if figures := status["latency_ms"].get(stage):
            yield name, f"p50 {figures['p50']:.3f} ms, p99 {figures['p99']:.3f} ms"
    yield "ring", f"{status['ring_fill']:.1%} full"
    refused = status["connections"]["refused"]
    yield "subscribers", f"{status['subscribers']}; {refused} connections refused"
    yield "missed by subscribers", f"{status['missed_by_subscribers']} messages"
    alive = "answers" if reply["alive"] else "DOWN"
    yield "reply process", f"{alive}, restarted {reply['restarts']} times; {reply['requests']} requests"
    yield "control", f"{commands['done']} done, {commands['refused']} refused"
    yield "security", SECURITY.get(status["security"], f"{status['security']}")
