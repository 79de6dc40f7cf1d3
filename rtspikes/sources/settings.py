"""Settings of the source (which signal, in what unit, at what pace) and of the marker streams beside it."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct


class SourceSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the samples come from."""

    uri: Annotated[
        str | None, Meta(description='the signal: "file:PATH", "lsl:NAME", "sim:60", … (rtspikes devices lists them)')
    ] = None
    uv_per_unit: Annotated[
        float | None, Meta(description="µV per unit of the raw samples; overrides what the source says")
    ] = None
    rate_hz: (
        Annotated[float, Meta(gt=0, description="sampling rate (Hz), where the stream says none or a wrong one")] | None
    ) = None
    speed: Annotated[
        float | Literal["max"], Meta(description='files, simulations: multiple of real speed, or "max"')
    ] = 1.0
    start_s: Annotated[float, Meta(ge=0, description="files: where to begin (s)")] = 0.0
    stop_s: Annotated[float, Meta(gt=0, description="files: where to end (s); default: the file's end")] | None = None
    loop: Annotated[bool, Meta(description="files: begin again at start_s for ever; sample indices go on")] = False
    chunk_ms: Annotated[
        float,
        Meta(gt=0, le=10000, description="files, simulations: signal (ms) handed on at a time, at a finite speed"),
    ] = 2.0
    buffer_s: Annotated[
        float, Meta(gt=0, le=3600, description="LSL: signal (s) that is kept while this program cannot take it")
    ] = 10.0
    wait_s: Annotated[
        float, Meta(ge=0, le=86400, description="LSL: how long (s) to look for the stream at the start")
    ] = 10.0


class MarkerSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """A stream of markers beside the signal; its line is its place among them, from 1."""

    uri: Annotated[
        str, Meta(pattern="^lsl:", description='an LSL stream of markers: "lsl:type=Markers", "lsl:NAME", …')
    ]
