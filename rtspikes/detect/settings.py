"""Detection settings: frozen, and each with its unit; the same keys as in TOML and in `--set`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

Sign = Literal["neg", "pos", "both"]


class FilterSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The causal band-pass, streamed in float32."""

    kind: Annotated[Literal["butterworth", "none"], Meta(description="filter family; none: the raw signal in µV")] = (
        "butterworth"
    )
    band_hz: Annotated[
        tuple[float, float], Meta(description="corner frequencies (Hz) of the high-pass and of the low-pass")
    ] = (300.0, 3000.0)
    order: Annotated[int, Meta(ge=1, le=8, description="order of the Butterworth high-pass and of the low-pass")] = 1
    highpass_order: (
        Annotated[int, Meta(ge=0, le=8, description="order of the high-pass alone (0: no high-pass); default: order")]
        | None
    ) = None
    lowpass_order: (
        Annotated[int, Meta(ge=0, le=8, description="order of the low-pass alone (0: no low-pass); default: order")]
        | None
    ) = None


class NoiseSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The noise level σ per channel: median(|x − median x|) / 0.67448975 of the filtered signal."""

    mode: Annotated[
        Literal["running", "freeze", "file"],
        Meta(description="running: follows the signal; freeze: stops after freeze_after_s; file: read from `file`"),
    ] = "running"
    initial_s: Annotated[
        float, Meta(gt=0, le=60, description="stretch (s) held at the start, from which the first σ is learnt")
    ] = 0.5
    block_s: Annotated[float, Meta(gt=0, le=60, description="length (s) of the stretch behind each new σ value")] = 0.5
    window_s: Annotated[
        float, Meta(gt=0, le=600, description="σ is the 0.4 quantile of the block values of the last window_s (s)")
    ] = 8.0
    freeze_after_s: Annotated[
        float, Meta(ge=0, description="mode freeze: σ stays as it is from this time (s from the start) on")
    ] = 0.0
    file: Annotated[
        str | None, Meta(description="mode file: JSON object that gives σ (µV) by channel label, for every electrode")
    ] = None


class DetectSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What makes an event, for every channel that no rule says otherwise."""

    method: Annotated[Literal["threshold"], Meta(description="detection method")] = "threshold"
    threshold: Annotated[
        float, Meta(gt=0, le=1000, description="threshold in multiples of the noise level (σ, MAD)")
    ] = 5.0
    threshold_uv: Annotated[
        float | None, Meta(description="threshold height (µV) instead of a multiple of σ; may carry its sign")
    ] = None
    sign: Annotated[Sign, Meta(description="crossings to detect: neg (falling), pos (rising) or both")] = "neg"
    dead_time_ms: Annotated[
        float, Meta(gt=0, le=1000, description="time (ms) after a crossing in which the channel has no other")
    ] = 1.0
    align: Annotated[
        Literal["peak", "crossing"], Meta(description="what a spike's `sample` is: its extremum or its crossing")
    ] = "peak"
    peak_ms: Annotated[
        float, Meta(gt=0, le=20, description="peak search (ms) after the crossing; ends with the dead time")
    ] = 1.0
    snippet_ms: Annotated[tuple[float, float], Meta(description="waveform: time (ms) before and from `sample` on")] = (
        1.0,
        2.0,
    )
    filter: FilterSettings = FilterSettings()
    noise: NoiseSettings = NoiseSettings()


class ChannelRule(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the channels that `select` names; later rules win."""

    select: Annotated[
        str | tuple[int | str, ...],
        Meta(description='labels or globs ("E1*"), positions ([0, 1], "#0-15"), "well:B2", "kind:aux", or a list'),
    ]
    threshold: Annotated[float, Meta(gt=0, le=1000, description="threshold in σ")] | UnsetType = UNSET
    threshold_uv: Annotated[float, Meta(description="threshold height (µV)")] | UnsetType = UNSET
    sign: Annotated[Sign, Meta(description="neg, pos or both")] | UnsetType = UNSET
    dead_time_ms: Annotated[float, Meta(gt=0, le=1000, description="dead time (ms)")] | UnsetType = UNSET
    enabled: Annotated[bool, Meta(description="false: the channel has no events")] | UnsetType = UNSET
