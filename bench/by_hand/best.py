"""The best of each method by hand on a recording: which filter and which settings, chosen when the truth is known."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from bench.by_hand import energy, hoop, matched, threshold, window
from bench.by_hand.trace import FILTERS, filtered
from bench.scoring import Score, score
from bench.truths import Recording

METHODS = {"threshold": threshold, "energy": energy, "window": window, "hoop": hoop, "matched": matched}


class Best(NamedTuple):
    """What a method reached, and with which setting, behind filters that are `causal` or `zero-phase`."""

    method: str
    kind: str
    setting: str
    score: Score


def best_by_hand(recording: Recording, methods: Iterable[str] = METHODS) -> list[Best]:
    """Return the best of each method, first behind causal filters, then behind those without phase."""
    best: dict[tuple[str, str], Best] = {}
    for name, band_pass in FILTERS.items():
        trace = filtered(recording.samples, recording.gain_uv, recording.rate_hz, recording.sign, band_pass)
        kind, _, order = name.partition(", ")
        for method in methods:
            for setting, (sample, channel) in METHODS[method].found(trace):
                result = score(recording.truth, sample, channel, recording.rate_hz)
                if (kind, method) not in best or result.f1 > best[kind, method].score.f1:
                    best[kind, method] = Best(method, kind, f"{order}: {setting}", result)
    return list(best.values())
