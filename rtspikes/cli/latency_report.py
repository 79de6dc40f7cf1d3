"""What `latency` prints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

COLUMNS = ("p50", "p90", "p99", "p99.9", "max")

WIDTH = 62

STAGES = {
    "chunk": "the crossing waits for the rest of its chunk",
    "arrive": "the chunk comes into the ring (waking up, copying)",
    "wait": "it waits in the ring until detection begins",
    "detect": "detection",
    "publish": "until its message is made",
    "transport": "the message: ZeroMQ, waking up the other program, unpacking",
}

STAMPED = "from the sample's own time, as its stamp says, into the ring"

LOOPBACK = "no markers came and the pulses are not regular: send an LSL marker with each, or use a generator"


def report(facts: dict[str, Any]) -> Iterator[str]:
    """Yield the lines."""
    chunk = "" if facts["chunk_ms"] is None else f" in chunks of {facts['chunk_ms']:g} ms"
    yield f"{facts['source']}: {facts['channels']} channels at {facts['rate_hz']:g} Hz{chunk}"
    seen = f"{facts['crossings']} crossings"
    if "pulses" in facts:
        seen = f"{facts['found']} of {facts['pulses']} pulses found"
    yield (
        f"{seen}; {facts['lost_samples']} samples lost, {facts['missed_messages']} messages missed; "
        f"the engine took {facts['engine_cpu']:.0%} of a core"
    )
    yield ""
    figures = facts["latency_ms"]
    yield _row("where the time goes (ms)", dict(zip(COLUMNS, COLUMNS, strict=True)))
    for stage, text in STAGES.items():
        if stage in figures:
            yield _row(f"  {STAMPED if stage == 'arrive' and 'chunk' not in figures else text}", figures[stage])
    yield _row("from the ring to the other program", figures["ring_to_program"])
    yield _row("from the sample's own time to the other program", figures["sample_to_program"])
    yield ""
    if "loopback" in facts:
        yield from _loopback(facts["loopback"])
    else:
        yield (
            "Not included: what a rig holds back before its samples reach this computer (1 to 100 ms); "
            "--loopback measures it."
        )


def _row(text: str, figures: dict[str, Any]) -> str:
    cells = [figures.get(name) for name in COLUMNS]
    shown = ("-" if x is None else x if isinstance(x, str) else f"{x:.2f}" for x in cells)
    return f"{text:{WIDTH}}" + "".join(f"{x:>8}" for x in shown)


def _loopback(facts: dict[str, Any]) -> Iterator[str]:
    """Yield what pulses on an analogue input show."""
    yield _row(f"pulses on {facts['channel']} (ms)", dict(zip(COLUMNS, COLUMNS, strict=True)))
    if "markers" in facts:
        own = facts["markers"]
        yield _row(f"  from the marker to the crossing here ({_answered(own)})", own["whole_way"])
        yield _row("  of that, by the crossing's own stamp", own["by_stamps"])
    if "triggers" in facts:
        own = facts["triggers"]
        yield _row(f"  from the trigger line's change to the crossing ({_answered(own)})", own["by_stamps"])
    if "periodic" in facts:
        own = facts["periodic"]
        yield _row(f"  later than the fastest, period {own['period_s']:.6g} s", own["behind_fastest"])
    yield facts.get("nothing", "")
    if "markers" not in facts:
        yield "What every pulse has in common is not included: only markers of the program that sets the TTL show it."


def _answered(own: dict[str, Any]) -> str:
    return f"{own['whole_way']['n']} of {own['sent']}"
