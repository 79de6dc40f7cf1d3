"""`NAME.raw` + `NAME.json`: little-endian samples, time × channel in C order, with a sidecar that describes them."""

from __future__ import annotations

import json
import os
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from rtspikes.errors import ConfigError, DataError
from rtspikes.types import ChannelInfo, Samples, StreamInfo
from rtspikes.units import MAX_RATE_HZ, is_gain
from rtspikes.units import uv_per_unit as size_of_unit

STORED_AS = {"int16": "int16", "float32": "float32", "uint16": "int16", "int32": "float32", "float64": "float32"}
"""Sample type in the file → in the ring."""

MAX_CHANNELS = 1_000_000


class RawRecording:
    """A memory-mapped recording; raises DataError when file and sidecar do not fit together."""

    def __init__(self, path: Path, uv_per_unit: float | None = None) -> None:
        self._path = path
        self._sidecar_path = path.with_suffix(".json")
        try:
            self._file = open(path, "rb", buffering=0)
            weakref.finalize(self, self._file.close)
            size = self._file.seek(0, os.SEEK_END)
        except OSError as error:
            raise DataError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from None
        meta = self._sidecar()
        n_channels = self._whole(meta, "n_channels", 1, MAX_CHANNELS)
        dtype = meta.get("dtype")
        if not isinstance(dtype, str) or dtype not in STORED_AS:
            raise self._wrong("dtype", f"one of {', '.join(STORED_AS)}", dtype)
        if meta.get("byte_order", "little") != "little":
            raise self._wrong("byte_order", '"little"', meta["byte_order"])
        frame = np.dtype(dtype).itemsize * n_channels
        if size == 0:
            raise DataError(f"{path}: the file is empty")
        if size % frame:
            raise DataError(
                f"{path}: {size} bytes are not a whole number of frames of {n_channels} × {dtype} ({frame} bytes); "
                f"correct the sidecar, or cut a torn file to {size - size % frame} bytes"
            )
        n_samples = size // frame
        stated = meta.get("n_samples")
        if stated is not None and stated != n_samples:
            raise DataError(
                f"{path}: the file holds {n_samples} samples but {self._sidecar_path.name} says {stated!r}; the file "
                f"is truncated or the sidecar belongs to another one: correct n_samples to use it as it is"
            )
        self._stored = np.dtype(dtype).newbyteorder("<")
        self._frame = frame
        facts: dict[str, Any] = {"unit": str(meta.get("unit", "")), "sidecar": meta}
        if STORED_AS[dtype] != dtype:
            facts["conversion"] = f"{dtype} to {STORED_AS[dtype]}"
        self._offset = 32768 if dtype == "uint16" else 0
        if self._offset:
            facts["stored_offset"] = self._offset  # stored value + this = the file's
        self.info = StreamInfo(
            uri=f"file:{path}",
            rate_hz=self._rate(meta),
            dtype="int16" if STORED_AS[dtype] == "int16" else "float32",
            channels=self._channels(meta, n_channels, uv_per_unit),
            live=False,
            n_samples=n_samples,
            facts=facts,
        )

    def read(self, start: int, destination: Samples) -> None:
        """Write the samples [start, start + len(destination)) into `destination` (n, channels).

        Reads instead of mapping: where a mapped file is cut by another program, the system kills the reader.
        """
        same = destination.dtype == self._stored and destination.flags.c_contiguous
        source = destination if same else np.empty(destination.shape, self._stored)
        self._fill(start, source)
        if self._offset:
            np.subtract(source, self._offset, out=destination, casting="unsafe", dtype=np.int32)
        elif not same:
            with np.errstate(over="ignore"):  # a float64 beyond float32 becomes inf, which detection holds and counts
                destination[:] = source

    def _fill(self, start: int, samples: Samples) -> None:
        """Read the file's bytes of `samples` (n, channels); raise DataError when they are no longer there."""
        left = memoryview(samples.reshape(-1).view(np.uint8).data)
        try:
            self._file.seek(start * self._frame)
            while left:
                n = self._file.readinto(left)
                if not n:
                    raise DataError(
                        f"{self._path}: another program has cut it: it ends before sample {start + len(samples)}, "
                        f"but held {self.info.n_samples} when it was opened"
                    )
                left = left[n:]
        except OSError as error:
            raise DataError(f"{self._path}: {(error.strerror or 'cannot be read').lower()}") from None

    def _wrong(self, key: str, rule: str, value: object) -> DataError:
        return DataError(
            f"{self._sidecar_path}: {key} must be {rule}, got {'nothing' if value is None else repr(value)}"
        )

    def _sidecar(self) -> dict[str, Any]:
        try:
            meta = json.loads(self._sidecar_path.read_bytes())
        except FileNotFoundError:
            raise DataError(
                f"{self._path}: its sidecar {self._sidecar_path.name} is missing; it must give sampling_rate_hz, "
                f"n_channels, dtype and gain_to_uv as JSON"
            ) from None
        except OSError as error:
            raise DataError(f"{self._sidecar_path}: {error.strerror}") from None
        except (ValueError, RecursionError) as error:
            raise DataError(f"{self._sidecar_path}: not JSON ({error})") from None
        if not isinstance(meta, dict):
            raise self._wrong("the sidecar", "a JSON object", meta)
        return meta

    def _whole(self, meta: dict[str, Any], key: str, low: int, high: int) -> int:
        value = meta.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self._wrong(key, f"a whole number {low} … {high}", value)
        return value

    def _number(self, meta: dict[str, Any], key: str, above: float | None = None) -> float:
        value = meta.get(key)
        good = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
        if not good or (above is not None and value is not None and not value > above):
            raise self._wrong(key, "a finite number" + (f" > {above:g}" if above is not None else ""), value)
        return float(value)  # type: ignore[arg-type]

    def _rate(self, meta: dict[str, Any]) -> float:
        rate = self._number(meta, "sampling_rate_hz", above=0.0)
        if rate > MAX_RATE_HZ:
            raise self._wrong("sampling_rate_hz", f"{MAX_RATE_HZ:g} at most", rate)
        return rate

    def _list(self, meta: dict[str, Any], key: str, n: int) -> list[Any] | None:
        value = meta.get(key)
        if value is not None and (not isinstance(value, list) or len(value) != n):
            raise self._wrong(key, f"a list of {n} (n_channels)", len(value) if isinstance(value, list) else value)
        return value

    def _per_channel(self, meta: dict[str, Any], key: str, n: int, default: float) -> list[float]:
        if isinstance(meta.get(key), list):
            values = self._list(meta, key, n) or []
            return [self._number({key: v}, key) for v in values]
        return [self._number(meta, key) if key in meta else default] * n

    def _channels(self, meta: dict[str, Any], n: int, uv_per_unit: float | None) -> tuple[ChannelInfo, ...]:
        size = size_of_unit(str(meta.get("unit", "")))
        if uv_per_unit is not None:
            if not is_gain(uv_per_unit):
                raise ConfigError(f"source.uv_per_unit must be finite and not 0, got {uv_per_unit:g}")
            gains = [uv_per_unit] * n
        elif "gain_to_uv" in meta:
            gains = self._per_channel(meta, "gain_to_uv", n, 1.0)
        elif size is not None:
            gains = [size] * n
        else:
            raise DataError(
                f"{self._sidecar_path}: the unit {meta.get('unit')!r} has no known size and gain_to_uv is missing; add "
                f"it, or say source.uv_per_unit"
            )
        for gain in gains:
            if not is_gain(gain):
                raise self._wrong("gain_to_uv", "finite and not 0", gain)
        offsets = self._per_channel(meta, "offset_to_uv", n, 0.0)
        if meta["dtype"] == "uint16":
            offsets = [o + 32768 * g for o, g in zip(offsets, gains, strict=True)]
        labels = [str(c) for c in self._list(meta, "channel_ids", n) or range(n)]
        if len(set(labels)) < n:
            double = next(x for i, x in enumerate(labels) if x in labels[:i])
            raise DataError(f"{self._sidecar_path}: channel_ids must be unique, got {double!r} twice")
        kinds = self._list(meta, "channel_kinds", n) or ["electrode"] * n
        known = ("electrode", "reference", "ground", "aux", "trigger", "unconnected")
        for kind in kinds:
            if kind not in known:
                raise DataError(
                    f"{self._sidecar_path}: each of channel_kinds must be one of {', '.join(known)}, got {kind!r}"
                )
        wells = self._list(meta, "wells", n) or [None] * n
        positions = self._list(meta, "positions_um", n) or [(None, None)] * n
        channels = []
        for i in range(n):
            place = positions[i]
            if not isinstance(place, list | tuple) or len(place) < 2:
                raise self._wrong("positions_um", "pairs of µm", place)
            x, y = (None if v is None else self._number({"positions_um": v}, "positions_um") for v in place[:2])
            well = None if wells[i] is None else str(wells[i])
            channels.append(
                ChannelInfo(labels[i], i, kinds[i], None, well, x, y, gain_uv=gains[i], offset_uv=offsets[i])
            )
        return tuple(channels)
