"""The table of `control … status`: every figure where a person looks for it, and no crash whatever an engine says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtspikes.cli.state import table
from rtspikes.errors import WireError

INFO: dict[str, Any] = {"session": "s1", "source": {"uri": "sim:60"}, "n_channels": 60, "rate_hz": 20000.0}
INFO["channels"] = {"label": [f"E{i}" for i in range(60)]}

STATUS: dict[str, Any] = {
    "signal_s": 12.5,
    "spikes_per_s": 83.0,
    "counts": {
        "spikes": 900,
        "flagged": 12,
        "rejected": 2,
        "gaps": 3,
        "lost_source": 40,
        "lost_overrun": 2,
        "marks": 5,
    },
    "rejected": {"cut": 0, "rebound": 2, "neighbour": 1},
    "observed_s": {"min": 0.5, "median": 12.25, "max": 12.5},
    "active_electrodes": 41,
    "storming": 3,
    "storming_channels": [4, 7, 59],
    "suppressed": 1234,
    "bad_samples": 7,
    "frozen": True,
    "muted": 4,
    "latency_ms": {"detect": {"p50": 0.05, "p99": 1.9}, "publish": {}, "total": {"p50": 0.25, "p99": 2.0}},
    "ring_fill": 0.25,
    "subscribers": 3,
    "connections": {"connections": 3, "refused": 6, "cut_off": 0},
    "missed_by_subscribers": 11,
    "reply": {"alive": True, "restarts": 1, "requests": 20},
    "commands": {"done": 8, "refused": 9},
    "security": "insecure",
}


def rows(status: dict[str, Any]) -> dict[str, str]:
    return {line[:23].strip(): line[23:] for line in table(INFO, status)}


def test_every_figure_is_there() -> None:
    assert rows(STATUS) == {
        "session": "s1 of sim:60",
        "signal": "12.5 s of 60 channels at 20000 Hz",
        "spikes": "900, 83/s; 12 of them flagged",
        "rejected": "2 events: rebound 2, neighbour 1",
        "observed": "12.25 s (median; 0.5 … 12.5 s)",
        "active electrodes": "41",
        "storming": "3 channels (E4, E7, E59); 1234 triggers suppressed",
        "lost samples": "42 in 3 gaps; 7 bad ones held",
        "thresholds": "frozen",
        "muted channels": "4",
        "marks": "5",
        "detected after": "p50 0.050 ms, p99 1.900 ms",
        "crossings out after": "p50 0.250 ms, p99 2.000 ms",
        "ring": "25.0% full",
        "subscribers": "3; 6 connections refused",
        "missed by subscribers": "11 messages",
        "reply process": "answers, restarted 1 times; 20 requests",
        "control": "8 done, 9 refused",
        "security": "INSECURE: whoever reaches it may read and control",
    }


def test_what_is_not_well_is_said() -> None:
    told = rows(STATUS | {"reply": STATUS["reply"] | {"alive": False}, "security": "a\nb", "frozen": False})
    assert told["reply process"].startswith("DOWN")
    assert told["security"] == "a b"
    assert told["thresholds"] == "follow the noise"


def test_what_is_not_there_is_not_listed() -> None:
    quiet = {"rejected": {"cut": 0}, "storming": 0, "storming_channels": []}
    told = rows(STATUS | quiet | {"counts": STATUS["counts"] | {"rejected": 0}})
    assert told["rejected"] == "0 events"
    assert told["storming"] == "0 channels; 1234 triggers suppressed"
    many = rows(STATUS | {"storming": 60, "storming_channels": list(range(60))})
    assert many["storming"] == "60 channels (E0, E1, E2, E3, E4, E5, E6, E7 …); 1234 triggers suppressed"


VALUES = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=3) | st.binary()


@given(
    changed=st.dictionaries(st.sampled_from(list(STATUS)), VALUES | st.dictionaries(st.text(max_size=3), VALUES)),
    left_out=st.sets(st.sampled_from(list(STATUS))),
)
def test_a_status_of_another_form_is_a_typed_error_at_most(changed: dict[str, Any], left_out: set[str]) -> None:
    status = {key: value for key, value in (STATUS | changed).items() if key not in left_out}
    try:
        table(INFO, status)
    except WireError:
        assert changed or left_out


@pytest.mark.parametrize("key", STATUS)
def test_a_missing_figure_is_named(key: str) -> None:
    with pytest.raises(WireError, match=f"the engine's status lacks '{key}'; --json shows it as it is"):
        table(INFO, {k: v for k, v in STATUS.items() if k != key})
