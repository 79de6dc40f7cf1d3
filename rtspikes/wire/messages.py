"""What the messages say: events, thresholds, gaps and the session's facts as map entries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum, IntFlag
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from rtspikes.detect.detector import Detector
from rtspikes.detect.events import ThresholdUpdate
from rtspikes.detect.levels import DEFAULT_THRESHOLD
from rtspikes.detect.settings import ChannelRule
from rtspikes.types import GAP_DTYPE, GapCause, RejectReason, SpikeFlag, StreamInfo, UnobservedReason
from rtspikes.version import __version__, library_versions
from rtspikes.wire.codec import HEAD_BYTES, LEVELS_DTYPE, TARGET_BYTES, rows_per_message, table_fields

ESTIMATOR = "level of the quiet ones among median(|x - median x|) / 0.67448975 of 60 ms pieces"


class Beside(NamedTuple):
    """What goes with each spike beside its row.

    waveforms: (spikes, samples) float32 µV. flags: (spikes,) uint8 SpikeFlag. neighbours: (spikes, K) float32 µV.
    """

    waveforms: NDArray[np.float32]
    flags: NDArray[np.uint8]
    neighbours: NDArray[np.float32]

    @staticmethod
    def of_none(snippet_samples: int, neighbours: int = 0) -> Beside:
        """Return what goes with no spikes, for waveforms of so many samples and so many neighbours."""
        none = np.zeros(0, np.uint8)
        return Beside(np.zeros((0, snippet_samples), np.float32), none, np.zeros((0, neighbours), np.float32))

    @property
    def row_bytes(self) -> int:
        """Bytes for each spike."""
        return 4 * int(self.waveforms.shape[1] + self.neighbours.shape[1]) + 1

    def fields(self, start: int, stop: int) -> dict[str, Any]:
        """Return the map entries of spikes [start, stop)."""
        fields: dict[str, Any] = {
            "waveform_samples": self.waveforms.shape[1],
            "waveforms": self.waveforms[start:stop].tobytes(),
            "flags": self.flags[start:stop].tobytes(),
        }
        if count := self.neighbours.shape[1]:
            fields |= {"neighbour_count": count, "neighbours": self.neighbours[start:stop].tobytes()}
        return fields


def event_messages(
    table: NDArray[np.void],
    from_sample: int,
    to_sample: int,
    beside: Beside | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield the entries of one `spikes` or `crossings` message, or of several when one would grow too large.

    beside: what `spikes` carry beside their table. A part that is not the last ends at the trigger of the next part's
    first event: all before it are out.
    """
    most = rows_per_message(table.dtype.itemsize + (0 if beside is None else beside.row_bytes))
    start = from_sample
    for i in range(0, max(1, len(table)), most):
        rest = i + most < len(table)
        stop = int(table["crossing"][i + most]) if rest else to_sample
        fields = {"from_sample": start, "to_sample": stop, **table_fields(table[i : i + most])}
        if beside is not None:
            fields |= beside.fields(i, i + most)
        yield fields
        start = stop


def table_messages(table: NDArray[np.void]) -> Iterator[dict[str, Any]]:
    """Yield the entries of the messages that carry `table` (`rejected`, `gaps`, `unobserved`)."""
    most = rows_per_message(table.dtype.itemsize)
    for i in range(0, len(table), most):
        yield table_fields(table[i : i + most])


def mark_messages(table: NDArray[np.void], texts: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the entries of the `marks` messages that carry `table` (MARK_DTYPE) and the text of each of its rows."""
    start = size = 0
    for i, text in enumerate(texts):
        row = table.dtype.itemsize + len(text.encode()) + 5  # msgpack's head of a str has 5 bytes at most
        if size + row > TARGET_BYTES - HEAD_BYTES:
            yield {**table_fields(table[start:i]), "texts": list(texts[start:i])}
            start, size = i, 0
        size += row
    if len(table):
        yield {**table_fields(table[start:]), "texts": list(texts[start:])}


LEVELS_IN_PART = 16_384
"""Channels in one answer to `levels`: 12 bytes each, below 256 KiB."""


MOST_UNCERTAIN = 2**32 - 1


def _levels(update: ThresholdUpdate) -> NDArray[np.void]:
    """Return σ and thresholds as LEVELS_DTYPE, one row per channel; NaN: no such threshold."""
    levels = np.empty(len(update.sigma_uv), LEVELS_DTYPE)
    levels["sigma_uv"] = update.sigma_uv
    for name, values in (("negative_uv", update.below_uv), ("positive_uv", update.above_uv)):
        levels[name] = np.where(np.isinf(values), np.nan, values)
    return levels


def threshold_messages(update: ThresholdUpdate) -> Iterator[dict[str, Any]]:
    """Yield the entries of the `thresholds` messages for all channels, in order."""
    levels = _levels(update)
    most = rows_per_message(levels.dtype.itemsize)
    for i in range(0, len(levels), most):
        yield _part(update.sample, levels, i, most)


def levels_part(update: ThresholdUpdate, first: int) -> dict[str, Any]:
    """Return the entries of an answer to `levels` that begins with the channel `first`."""
    return _part(update.sample, _levels(update), first, LEVELS_IN_PART)


def _part(sample: int, levels: NDArray[np.void], first: int, most: int) -> dict[str, Any]:
    rows = levels[first : first + most]
    return {"sample": sample, "first_channel": first, "n_channels": len(levels), **table_fields(rows)}


def gap_table(sample: int, lost: int, time_s: float, cause: GapCause, uncertain: int = 0) -> NDArray[np.void]:
    """Return one gap as a table."""
    return np.array([(sample, lost, time_s, cause, min(uncertain, MOST_UNCERTAIN))], GAP_DTYPE)


def channel_facts(info: StreamInfo) -> dict[str, list[Any]]:
    """Return the channels as lists by property, in stream order."""
    names = ("label", "kind", "electrode", "well", "x_um", "y_um", "gain_uv", "offset_uv")
    return {name: [getattr(c, name) for c in info.channels] for name in names}


def names(members: type[IntEnum] | type[IntFlag]) -> dict[str, str]:
    """Return what the numbers of an enumeration stand for, by number."""
    return {str(int(member)): (member.name or "").lower() for member in members}


def session_facts(info: StreamInfo, detector: Detector, rules: tuple[ChannelRule, ...]) -> dict[str, Any]:
    """Return everything constant about the stream and its detection, as `info` carries it."""
    table, count = detector.table, detector.settings.neighbours.amplitudes
    return {
        "software": {"name": "rtspikes", "version": __version__, **library_versions()},
        "source": {
            "uri": info.uri,
            "live": info.live,
            "dtype": info.dtype,
            "n_samples": info.n_samples,
            **{k: v for k, v in info.facts.items() if k != "sidecar"},
        },
        "rate_hz": info.rate_hz,
        "n_channels": info.n_channels,
        "channels": channel_facts(info),
        "detect": msgspec.to_builtins(detector.settings),
        "channel_rules": msgspec.to_builtins(rules),
        "enabled": table.enabled.tolist(),
        "dead_time_samples": table.dead_samples.tolist(),
        "filter_sections": detector.sections.astype(float).tolist(),
        "settling_samples": detector.settling,
        "latency_samples": detector.latency,
        "decision_delay_samples": detector.method.delay,
        "default_threshold": DEFAULT_THRESHOLD[detector.settings.method],
        "filter_kind": detector.settings.filter.resolved_kind,
        "snippet_samples": [detector.pre, detector.post],
        "neighbour_count": count,
        "neighbours": [[p for p in row if p >= 0] for row in detector.nearest.tolist()] if count else [],
        "noise_estimator": f"{ESTIMATOR} of {'√ψ' if detector.settings.method == 'energy' else 'the filtered signal'}",
        "units": {
            "amplitude_uv": "µV of the filtered signal, signed",
            "threshold_uv": "µV of what the method compares, signed",
            "waveforms": "µV of the filtered signal; the row at snippet_samples[0] is the spike's sample",
            "neighbours": "µV of the filtered signal at the spike's sample, signed",
            "time": "s on the LSL clock",
        },
        "reject_reasons": names(RejectReason),
        "unobserved_reasons": names(UnobservedReason),
        "spike_flags": names(SpikeFlag),
        "gap_causes": names(GapCause),
    }
