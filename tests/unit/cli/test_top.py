"""What `top` draws on a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from rtspikes.cli.top import picture
from rtspikes.subscribers.top import Busy
from rtspikes.subscribers.view.health import Seen, health
from tests.unit.subscribers.view.test_health import INFO, STATUS

KNOWN: dict[str, Any] = INFO | {
    "session": "s1",
    "source": {"uri": "sim:60"},
    "session_keys": {"culture": "C7 [red]", "div": 21},
}


QUIET: dict[str, Any] = STATUS | {
    "counts": {"lost_source": 0, "lost_overrun": 0, "flagged": 3},
    **dict.fromkeys(("bad_samples", "suppressed", "missed_by_subscribers", "remarks_dropped", "marks_dropped"), 0),
    "markers": {"dropped": 0},
}


def text_and_alarms(info: dict[str, Any], status: dict[str, Any], *busiest: Busy) -> tuple[str, str]:
    """Return the picture's text, and what of it is red."""
    console = Console(width=200, color_system="truecolor", force_terminal=True)
    segments = list(
        console.render(picture(health(info, status, Seen("live", "", missed=0, sigma_uv=5.25)), info, busiest))
    )
    red = [
        s.text for s in segments if s.style is not None and s.style.color is not None and s.style.color.name == "red"
    ]
    return "".join(s.text for s in segments), "|".join(text.strip() for text in red)


def test_it_says_whose_session_it_is_and_how_it_goes() -> None:
    text, alarms = text_and_alarms(
        KNOWN, QUIET, Busy("E7", 12.5, 25, 5.0, (-25.0, 30.5)), Busy("E[b]", 1.0, 2, 0.0, ())
    )
    assert alarms == ""
    for part in (
        "s1, culture C7 [red], div 21", "sim:60", "12.2 s, 83.0 spikes/s", "1 of 2 active, noise σ 5.2 µV",
        "lost by source 0, lost by overrun 0, bad samples 0, storm triggers 0, missed by subscribers 0",
        "rejected: cut 0, rejected: rebound 5, flagged 3", "p50 0.25 ms, p99 2.00 ms", "25% full",
        "thresholds frozen, 1 muted, 1 storming, 1 dead, 2 noisy, 3 saturated", "a: 10 B, 2 B/s, full in 10.0 h",
    ):  # fmt: skip
        assert part in text, part
    rows = [line.strip("│ ").split() for line in text.splitlines()]
    assert ["E7", "12.50", "25", "5.0", "-25.0", "30.5"] in rows
    assert ["E[b]", "1.00", "2", "0.0", "-"] in rows


def test_losses_stand_out_by_colour_and_sign() -> None:
    text, alarms = text_and_alarms(KNOWN, QUIET | {"bad_samples": 12345})
    assert alarms == "▲ bad samples 12,345"
    assert "lost by overrun 0, ▲ bad samples 12,345, storm triggers 0" in text


def test_a_ring_and_a_disk_that_fill_stand_out() -> None:
    recording = QUIET["recording"] | {"bytes": 2_500_000_000, "hours_left": 1.5}
    _, alarms = text_and_alarms(KNOWN, QUIET | {"ring_fill": 0.9, "recording": recording})
    assert alarms == "90% full|a: 2.5 GB, 2 B/s, full in 1.5 h"


def test_what_is_not_recorded_is_said() -> None:
    unrecorded = {name: value for name, value in QUIET.items() if name != "recording"}
    assert "not recorded by the run itself" in text_and_alarms(KNOWN, unrecorded)[0]


def test_what_others_write_moves_no_cursor() -> None:
    text, _ = text_and_alarms(KNOWN | {"session_keys": {"note": "\x1b[2J\nx"}}, QUIET, Busy("\x1b[H", 1.0, 1, 1.0, ()))
    assert "\x1b" not in text
    assert "note \\x1b[2J x" in text


def test_before_an_engine_is_there_it_says_what_is_waited_for() -> None:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(picture(health({}, {}, Seen("connecting", "waiting for an engine")), {}, []))
    assert "connecting" in captured.get()
    assert "waiting for an engine" in captured.get()
