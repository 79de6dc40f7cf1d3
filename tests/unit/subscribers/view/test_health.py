"""How a session goes, as the page's strip and `top` have it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtspikes.subscribers.view.health import COUNTED, Seen, health
from rtspikes.subscribers.view.pack import text

INFO = {
    "channels": {"kind": ["electrode", "electrode", "electrode", "reference"]},
    "enabled": [True, True, False, True],
}

STATUS: dict[str, Any] = {
    "elapsed_s": 12.5,
    "signal_s": 12.25,
    "spikes_per_s": 83.0,
    "counts": {"spikes": 900, "flagged": 12, "rejected": 5, "gaps": 3, "lost_source": 40, "lost_overrun": 2},
    "rejected": {"cut": 0, "rebound": 5},
    "active_electrodes": 1,
    "bad_samples": 7,
    "suppressed": 1234,
    "storming": 1,
    "missed_by_subscribers": 11,
    "remarks_dropped": 3,
    "marks_dropped": 4,
    "markers": {"streams": [], "dropped": 5},
    "latency_ms": {"detect": {"p50": 9.0}, "total": {"p50": 0.25, "p99": 2.0, "max": 8.0}},
    "ring_fill": 0.25,
    "subscribers": 3,
    "frozen": True,
    "muted": 1,
    "health": {"dead": 1, "noisy": 2, "saturated": 3, "drifting": 4},
    "recording": {"path": "a", "bytes": 10, "bytes_per_s": 2.0, "free_bytes": 72000, "hours_left": 10.0},
}

SEEN = Seen("live", "", missed=6, sigma_uv=5.25, viewers=2)


def amounts(told: dict[str, Any], loss: bool) -> dict[str, int]:
    return {each["name"]: each["amount"] for each in told["losses"] if each["loss"] is loss}


def test_everything_is_there() -> None:
    told = health(INFO, STATUS, SEEN)
    losses = told.pop("losses")
    assert told == {
        "t": "health", "state": "live", "text": "", "elapsed_s": 12.5, "signal_s": 12.25, "spikes_per_s": 83.0,
        "active": 1, "electrodes": 2, "sigma_uv": 5.25, "latency_ms": {"p50": 0.25, "p99": 2.0}, "ring_fill": 0.25,
        "recording": STATUS["recording"], "subscribers": 3, "viewers": 2, "frozen": True, "muted": 1, "storming": 1,
        "dead": 1, "noisy": 2, "saturated": 3,
    }  # fmt: skip
    assert all(set(each) == {"name", "amount", "unit", "text", "loss"} for each in losses)


def test_every_cause_of_loss_has_its_own_amount_and_what_was_left_out_is_none() -> None:
    told = health(INFO, STATUS, SEEN)
    assert amounts(told, True) == {
        "lost by source": 40, "lost by overrun": 2, "bad samples": 7, "storm triggers": 1234, "missed here": 6,
        "missed by subscribers": 11, "notices dropped": 3, "marks dropped": 4, "markers dropped": 5,
    }  # fmt: skip
    assert amounts(told, False) == {"rejected: cut": 0, "rejected: rebound": 5, "flagged": 12}


def test_losses_of_0_are_told_and_those_that_are_not_known_are_not_made_up() -> None:
    quiet = {"counts": {"lost_source": 0, "lost_overrun": 0}, "bad_samples": 0}
    assert amounts(health(INFO, quiet, SEEN), True) == {
        "lost by source": 0, "lost by overrun": 0, "bad samples": 0, "missed here": 6
    }  # fmt: skip


def test_before_an_engine_is_there_only_what_is_seen_is_known() -> None:
    told = health({}, {}, Seen("connecting", "waiting"))
    assert (told["state"], told["text"], told["viewers"]) == ("connecting", "waiting", 0)
    assert [each["name"] for each in told["losses"]] == ["missed here"]
    known = {name for name, value in told.items() if value is not None}
    assert known == {"t", "state", "text", "viewers", "losses"}


def test_a_noise_level_that_is_none_is_not_known() -> None:
    assert health(INFO, STATUS, Seen("live", sigma_uv=math.nan))["sigma_uv"] is None


VALUES = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=3) | st.binary()

MAPS = st.dictionaries(st.sampled_from(["total", "p50", "cut", "path", "hours_left", "dead", "dropped"]), VALUES)


@given(changed=st.dictionaries(st.sampled_from(list(STATUS)), VALUES | MAPS))
def test_a_status_of_another_form_is_no_error_and_goes_through_json(changed: dict[str, Any]) -> None:
    told = json.loads(text(health(INFO, STATUS | changed, SEEN)))
    assert all(math.isfinite(each["amount"]) for each in told["losses"])


@pytest.mark.parametrize("path", [path for path, *_ in COUNTED])
def test_a_figure_that_is_no_number_is_not_known(path: tuple[str, ...]) -> None:
    damaged: Any = "many"
    for key in reversed(path):
        damaged = {key: damaged}
    (name,) = (name for at, name, *_ in COUNTED if at == path)
    assert name in amounts(health(INFO, STATUS, SEEN), True)
    assert name not in amounts(health(INFO, STATUS | damaged, SEEN), True)
