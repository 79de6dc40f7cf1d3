"""Facts of the filter, from its coefficients, and of the common reference."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from rtspikes.detect.filter import (
    MAINS_ZERO_HZ,
    SPIKE_HIGHPASS_HZ,
    SPIKE_LOWPASS_HZ,
    SPIKE_LOWPASS_PART,
    design,
    passes_dc,
)
from rtspikes.detect.settings import FilterSettings
from rtspikes.errors import ConfigError
from rtspikes.subscribers.account.told import Told

MAINS_HZ = (50.0, 60.0)
LOWEST_HZ = 1.0
"""Where the search for the edges of the pass-band begins."""


def filter_facts(info: Told) -> dict[str, Any]:
    """Return what the filter was; nothing where its coefficients are not told.

    Orders and corners are said only where the coefficients are those that they give; the measured pass-band always is.
    """
    rows, rate = info.rows("filter_sections", 5), info.number("rate_hz") or 0.0
    if rows is None:
        return {}
    if not rows:
        return {"filter_kind": "none"}
    sections = np.array(rows, np.float32)
    settling = info.whole("settling_samples")
    return {
        "filter_kind": "other",
        "filter_sections": len(rows),
        "filter_settling_ms": None if settling is None else 1e3 * settling / rate,
        "filter_has_highpass": not passes_dc(sections),
        **_passband(sections, rate),
        **_design(info, sections, rate),
    }


def reference_facts(info: Told) -> dict[str, Any]:
    """Return the common reference; nothing where there was none."""
    kind = info.text("detect.reference.kind")
    if kind in (None, "none"):
        return {}
    return {"reference_kind": kind, "reference_groups": info.any("detect.reference.groups")}


def _design(info: Told, sections: NDArray[np.float32], rate: float) -> dict[str, Any]:
    """Return kind, orders and corners (Hz), if these sections are what they give."""
    kind = info.text("filter_kind") or info.text("detect.filter.kind")
    try:
        settings = msgspec.convert({**info.tree("detect.filter"), "kind": kind}, FilterSettings)
        expected = design(settings, rate)
    except (ConfigError, msgspec.ValidationError, ValueError):
        return {}
    if expected.shape != sections.shape or not np.allclose(expected, sections, rtol=1e-5, atol=1e-6):
        return {}
    if settings.resolved_kind == "spike":
        return {
            "filter_kind": "spike",
            "filter_highpass_hz": SPIKE_HIGHPASS_HZ,
            "filter_highpass_order": 1,
            "filter_mains_zero_hz": MAINS_ZERO_HZ,
            "filter_lowpass_hz": min(SPIKE_LOWPASS_HZ, SPIKE_LOWPASS_PART * rate),
            "filter_lowpass_order": 2,
        }
    low, high = settings.band_hz or (300.0, 3000.0)
    order = settings.order or 1
    ends = ((settings.highpass_order, "highpass", low), (settings.lowpass_order, "lowpass", high))
    facts: dict[str, Any] = {"filter_kind": "butterworth"}
    for own, side, corner in ends:
        if (n := order if own is None else own) > 0:
            facts |= {f"filter_{side}_hz": corner, f"filter_{side}_order": n}
    return facts


def gain(sections: NDArray[np.float32], hz: NDArray[np.float64], rate: float) -> NDArray[np.float64]:
    """Return the magnitude of the response of sections (n, 5) at frequencies (k,)."""
    z = np.exp(-2j * np.pi * hz / rate)
    b0, b1, b2, a1, a2 = sections.astype(float).T[:, :, None]
    response = (b0 + b1 * z + b2 * z**2) / (1 + a1 * z + a2 * z**2)
    return np.asarray(np.abs(response.prod(axis=0)))


def _passband(sections: NDArray[np.float32], rate: float) -> dict[str, Any]:
    """Return the −3 dB edges (Hz) around the largest gain, and how much mains is attenuated (dB below it)."""
    hz = np.geomspace(LOWEST_HZ, 0.4999 * rate, 20_000)
    height = gain(sections, hz, rate)
    top = int(height.argmax())
    low = np.flatnonzero(height[:top] < height[top] / np.sqrt(2))
    high = np.flatnonzero(height[top:] < height[top] / np.sqrt(2))
    mains = gain(sections, np.array(MAINS_HZ), rate) / height[top]
    return {
        "filter_passband_low_hz": round(float(hz[low[-1]]), 1) if len(low) else None,
        "filter_passband_high_hz": round(float(hz[top + high[0]]), 1) if len(high) else None,
        **{
            f"filter_at_{each:g}_hz_db": round(20 * float(np.log10(max(m, 1e-9))), 1)
            for each, m in zip(MAINS_HZ, mains, strict=True)
        },
    }
