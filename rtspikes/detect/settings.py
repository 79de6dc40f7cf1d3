"""Detection settings: frozen, and each with its unit; the same keys as in TOML and in `--set`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

Sign = Literal["neg", "pos", "both"]


class FilterSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The causal band-pass, streamed in float32."""

    kind: (
        Annotated[
            Literal["spike", "butterworth", "none"],
            Meta(
                description="spike: 350–6000 Hz, without mains; butterworth: `band_hz` and orders; none: the raw "
                "signal in µV; default: butterworth where a band or an order is given, else spike"
            ),
        ]
        | None
    ) = None
    band_hz: (
        Annotated[
            tuple[float, float],
            Meta(description="butterworth: corners (Hz) of the high-pass and of the low-pass; default: 300, 3000"),
        ]
        | None
    ) = None
    order: (
        Annotated[int, Meta(ge=1, le=8, description="butterworth: order of high-pass and low-pass; default: 1")] | None
    ) = None
    highpass_order: (
        Annotated[int, Meta(ge=0, le=8, description="order of the high-pass alone (0: no high-pass); default: order")]
        | None
    ) = None
    lowpass_order: (
        Annotated[int, Meta(ge=0, le=8, description="order of the low-pass alone (0: no low-pass); default: order")]
        | None
    ) = None

    @property
    def resolved_kind(self) -> Literal["spike", "butterworth", "none"]:
        """Return the kind that is meant."""
        return self.kind or ("butterworth" if self.has_band else "spike")

    @property
    def has_band(self) -> bool:
        """Whether a band or an order is given."""
        return (self.band_hz, self.order, self.highpass_order, self.lowpass_order) != (None,) * 4


class NoiseSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The noise level σ per channel: median(|x − median x|) / 0.67448975 of the filtered signal."""

    mode: Annotated[
        Literal["running", "freeze", "file"],
        Meta(description="running: follows the signal; freeze: stops after freeze_after_s; file: read from `file`"),
    ] = "running"
    initial_s: Annotated[
        float, Meta(ge=0.05, le=60, description="stretch (s) held at the start, from which the first σ is learnt")
    ] = 0.5
    block_s: Annotated[float, Meta(ge=0.05, le=60, description="length (s) of the stretch behind each new σ value")] = (
        0.5
    )
    window_s: Annotated[
        float,
        Meta(
            gt=0, le=600, description="σ is the level of the quiet pieces (60 ms) among those of the last window_s (s)"
        ),
    ] = 4.0
    freeze_after_s: Annotated[
        float, Meta(ge=0, description="mode freeze: σ stays as it is from this time (s from the start) on")
    ] = 0.0
    file: Annotated[
        str | None, Meta(description="mode file: JSON object that gives σ (µV) by channel label, for every electrode")
    ] = None


class EnergySettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Method energy: √ψ in µV, ψ[n] = x[n]² − x[n−k]·x[n+k] (k-NEO), smoothed by a Hamming window of 4k + 1 samples."""

    k: Annotated[int, Meta(ge=1, le=64, description="k (samples); default: 0.15 ms, at least 1")] | None = None


class WindowSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Method window: windows anchored at sample 0 that hold a spike when an extremum is far enough from their mean."""

    length: Annotated[int, Meta(ge=2, le=4096, description="length (samples) of a window")] = 100
    hop: (
        Annotated[int, Meta(ge=1, le=4096, description="samples from a window to the next, ≤ length; default: length")]
        | None
    ) = None
    cutoff_units: (
        Annotated[float, Meta(gt=0, description="cutoff in the stream's own units, instead of threshold(_uv)")] | None
    ) = None


class Hoop(Struct, frozen=True, forbid_unknown_fields=True):
    """A time–amplitude window: the filtered signal must be inside at one sample of it."""

    ms: Annotated[tuple[float, float], Meta(description="time (ms) after the crossing, from and to")]
    uv: Annotated[tuple[float, float], Meta(description="lowest and highest amplitude (µV), signed")]


class HoopSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Method hoop: a crossing is a spike when the signal passes all hoops and its extremum is not too large."""

    hoops: Annotated[tuple[Hoop, ...], Meta(description="windows that the signal must pass, each at one sample")] = ()
    largest_uv: (
        Annotated[float, Meta(gt=0, description="maximum-amplitude veto: no spike when |extremum| (µV) is larger")]
        | None
    ) = None


class MatchedSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Method matched: a whitened matched filter, learnt from the channel's own large spikes and quiet stretches."""

    scope: Annotated[
        Literal["channel", "shared"],
        Meta(description="channel: each learns its own, from the shared one on; shared: one filter for all"),
    ] = "channel"


class ReferenceSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Common reference after the band-pass; dead, noisy and non-electrode channels do not count."""

    kind: Annotated[
        Literal["none", "average", "median"], Meta(description="what is subtracted from every electrode of a group")
    ] = "none"
    groups: Annotated[
        Literal["all", "well"] | tuple[str | int, ...],
        Meta(description='groups: "all" electrodes, each "well", or a list of selectors, one per group'),
    ] = "all"


class ReboundSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The band-pass swings back after a large deflection; what it makes of that is no spike."""

    reject: Annotated[bool, Meta(description="events that the filter's own after-swing explains are rejected")] = True


class ArtifactSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What is no neural signal: blanked (the filter is held, and a hold-off follows), or flagged, or rejected."""

    saturation: Annotated[bool, Meta(description="blank a channel while it is at a rail of its converter")] = False
    rails_uv: (
        Annotated[tuple[float, float], Meta(description="rails (µV); default: the stream's own, else int16's ends")]
        | None
    ) = None
    slew_uv: (
        Annotated[float, Meta(gt=0, description="blank where the raw signal moves by so much (µV) in one sample")]
        | None
    ) = None
    fraction: Annotated[
        float,
        Meta(gt=0, le=1, description="part of a well's electrodes, saturated or slewed at once, that blanks the well"),
    ] = 0.2
    hold_off_ms: Annotated[
        float, Meta(ge=0, le=1000, description="time (ms) after a blanking in which there is no event")
    ] = 5.0
    coincidence: Annotated[
        Literal["off", "flag", "reject"], Meta(description="events at the same moment on many electrodes of a well")
    ] = "flag"
    coincidence_ms: Annotated[
        float, Meta(gt=0, le=10, description="how far (ms) apart crossings at the same moment are")
    ] = 0.1
    coincidence_electrodes: Annotated[int, Meta(ge=2, description="electrodes that must cross, at least")] = 8
    coincidence_fraction: Annotated[
        float, Meta(gt=0, le=1, description="and this part of the well's; off in wells of fewer than 16 electrodes")
    ] = 0.15


class NeighbourSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Electrodes near by that see the same spike."""

    exclusive: Annotated[
        bool, Meta(description="only the electrode where |amplitude| / threshold is largest reports a spike")
    ] = False
    radius_um: Annotated[float, Meta(gt=0, description="how far (µm) neighbours are at most")] = 50.0
    window_ms: Annotated[float, Meta(gt=0, le=5, description="how far (ms) apart their extrema are at most")] = 1.0
    amplitudes: Annotated[
        int, Meta(ge=0, le=64, description="carry the signal of so many nearest neighbours at each spike's sample")
    ] = 0


class StormSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """A channel with more triggers than a neuron has is flagged, and its events are suppressed and counted."""

    cap_per_s: Annotated[float, Meta(ge=0, description="triggers per second, over one second; 0: no limit")] = 500.0


class DetectSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What makes an event, for every channel that no rule says otherwise."""

    method: Annotated[
        Literal["threshold", "energy", "window", "hoop", "matched"], Meta(description="detection method")
    ] = "threshold"
    threshold: (
        Annotated[float, Meta(gt=0, le=1000, description="threshold in σ (MAD) of what the method compares")] | None
    ) = None
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
    reference: ReferenceSettings = ReferenceSettings()
    energy: EnergySettings = EnergySettings()
    window: WindowSettings = WindowSettings()
    hoop: HoopSettings = HoopSettings()
    matched: MatchedSettings = MatchedSettings()
    rebound: ReboundSettings = ReboundSettings()
    artifacts: ArtifactSettings = ArtifactSettings()
    neighbours: NeighbourSettings = NeighbourSettings()
    storm: StormSettings = StormSettings()


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
