"""Facts of what made an event of a crossing: method, alignment, waveform, and what spoke against it."""

from __future__ import annotations

import math
from typing import Any

from rtspikes.subscribers.account.origin import Electrodes
from rtspikes.subscribers.account.rules import RULES, Rules
from rtspikes.subscribers.account.told import Told

REBOUND_METHODS = ("threshold", "hoop", "matched")
"""Methods that know the rebound rule: those whose threshold is one of the filtered signal."""


def method_facts(info: Told, electrodes: Electrodes, has_highpass: bool | None) -> dict[str, Any]:
    """Return them; what a session did not use is left out."""
    version = info.text("software.version")
    rules = RULES.get(version or "")
    method = info.text("detect.method")
    return {
        "method": method,
        **(_own(info, method, rules) if method else {}),
        **_event(info, method, rules),
        **_rebound(info, method, has_highpass, rules),
        **_coincidence(info, electrodes, rules),
        **_neighbours(info),
        **_storm(info, rules),
        **_artifacts(info),
    }


def _own(info: Told, method: str, rules: Rules | None) -> dict[str, Any]:
    """Return the facts of one method."""
    rate = info.number("rate_hz") or 0.0
    delay = info.whole("decision_delay_samples")
    if method == "energy":
        k = info.whole("detect.energy.k") or (None if delay is None else delay // 3)
        return {"energy_k_samples": k, "energy_k_ms": None if k is None else 1e3 * k / rate}
    if method == "window":
        length, hop = info.whole("detect.window.length"), info.whole("detect.window.hop")
        return {"window_length_samples": length, "window_hop_samples": hop or length}
    if method == "hoop":
        hoops = [
            {"ms": hoop.numbers("ms", 2), "uv": hoop.numbers("uv", 2)} for hoop in info.objects("detect.hoop.hoops")
        ]
        return {"hoops": hoops, "hoop_largest_uv": info.number("detect.hoop.largest_uv")}
    if method == "matched":
        names = ("length_ms", "before_ms", "update_s", "spike_sigma", "first_spike_sigma", "quiet_sigma")
        known = {f"matched_{name}": getattr(rules, f"matched_{name}") for name in names} if rules else {}
        return {"matched_scope": info.text("detect.matched.scope"), **known}
    return {}


def _event(info: Told, method: str | None, rules: Rules | None) -> dict[str, Any]:
    """Return where an event is, and what of it is kept; times as the whole samples give them."""
    rate = info.number("rate_hz") or 0.0
    delay = info.whole("decision_delay_samples")
    pre, post = info.numbers("snippet_samples", 2) or (0.0, 0.0)
    facts: dict[str, Any] = {
        "alignment": info.text("detect.align"),
        "waveform_before_ms": 1e3 * pre / rate,
        "waveform_after_ms": 1e3 * post / rate,
        "waveform_samples": int(pre + post),
        "decision_delay_ms": _ms(info, "decision_delay_samples", rate),
        "latency_ms": _ms(info, "latency_samples", rate),
    }
    if method == "window":
        return facts | {"alignment": "window"}
    if facts["alignment"] == "peak":
        facts["peak_search_ms"] = info.number("detect.peak_ms")
        if rules and method == "energy" and delay is not None:
            facts["peak_search_back_ms"] = rules.energy_back_lags * delay / 3 / rate * 1e3
        if rules and method == "matched":
            facts["peak_search_back_ms"] = rules.matched_back_ms
    return facts


def _ms(info: Told, path: str, rate: float) -> float | None:
    samples = info.whole(path)
    return None if samples is None else 1e3 * samples / rate


def _rebound(info: Told, method: str | None, has_highpass: bool | None, rules: Rules | None) -> dict[str, Any]:
    if not info.flag("detect.rebound.reject") or method not in REBOUND_METHODS:
        return {}
    facts: dict[str, Any] = {}
    if has_highpass:
        facts["rebound_rejected_from_filter"] = True
        if rules:
            names = ("rebound_larger", "rebound_within_ms", "rebound_least")
            facts |= {name: getattr(rules, name) for name in names}
    if method == "matched":
        facts["rebound_rejected_from_score"] = True
        if rules:
            facts |= {name: getattr(rules, name) for name in ("shadow_within_ms", "shadow_part", "shadow_least")}
    return facts


def _coincidence(info: Told, electrodes: Electrodes, rules: Rules | None) -> dict[str, Any]:
    """Return the rule of coincident events, and how many electrodes it needed in the wells that it judged."""
    told = "detect.artifacts.coincidence"
    mode = info.text(told)
    if mode in (None, "off"):
        return {}
    least, part = info.whole(f"{told}_electrodes"), info.number(f"{told}_fraction")
    facts = {
        "coincidence": mode,
        "coincidence_ms": info.number(f"{told}_ms"),
        "coincidence_electrodes": least,
        "coincidence_fraction": part,
    }
    sizes = electrodes.well_sizes()
    if not sizes or rules is None or least is None or part is None:
        return facts
    judged = [n for n in sizes.values() if n >= rules.coincidence_least_electrodes]
    if not judged:
        return {}
    needed = sorted({max(least, math.ceil(part * n)) for n in judged})
    return facts | {"coincidence_needed_electrodes": needed, "coincidence_wells_not_judged": len(sizes) - len(judged)}


def _neighbours(info: Told) -> dict[str, Any]:
    told = "detect.neighbours"
    exclusive, amplitudes = info.flag(f"{told}.exclusive"), info.whole(f"{told}.amplitudes") or 0
    facts: dict[str, Any] = {}
    if exclusive:
        facts |= {"neighbours_exclusive": True, "neighbour_window_ms": info.number(f"{told}.window_ms")}
    if amplitudes:
        facts["neighbour_amplitudes"] = amplitudes
    return facts | ({"neighbour_radius_um": info.number(f"{told}.radius_um")} if facts else {})


def _storm(info: Told, rules: Rules | None) -> dict[str, Any]:
    cap = info.number("detect.storm.cap_per_s")
    if not cap:
        return {}
    return {"storm_cap_per_s": cap, **({"storm_release_s": rules.storm_release_s} if rules else {})}


def _artifacts(info: Told) -> dict[str, Any]:
    told = "detect.artifacts"
    blank = [_blank_rule(rule) for rule in info.objects("blank")]
    saturation, slew = info.flag(f"{told}.saturation"), info.number(f"{told}.slew_uv")
    facts: dict[str, Any] = {"blank_at_marks": blank, "hold_off_ms": info.number(f"{told}.hold_off_ms")}
    if saturation:
        facts |= {"blank_at_rails": True, "rails_uv": info.numbers(f"{told}.rails_uv", 2)}
    if slew is not None:
        facts["blank_slew_uv_per_sample"] = slew
    if saturation or slew is not None:
        facts["blank_well_fraction"] = info.number(f"{told}.fraction")
    return facts


def _blank_rule(rule: Told) -> dict[str, Any]:
    found = {"ms": rule.number("ms"), "value": rule.whole("value"), "text": rule.text("text")}
    found |= {name: rule.any(name) for name in ("line", "select")}
    return {name: value for name, value in found.items() if value is not None}
