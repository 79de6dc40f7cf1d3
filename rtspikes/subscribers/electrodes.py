"""Which channels a person means by "the electrodes", the noise level of them all, and how long each was observed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def electrodes(info: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Return which channels (channels,) of an `info` are electrodes whose events are looked for."""
    mask: NDArray[np.bool_] = np.array(info["enabled"]) & np.array([k == "electrode" for k in info["channels"]["kind"]])
    return mask


def observed_s(status: Mapping[str, Any], of: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return each channel's observed time (s), (channels,), of a `status`.

    Of very many channels, which it does not tell one by one, the median for those `of` them.
    """
    column, told = status.get("observed"), status.get("observed_s")
    if isinstance(column, bytes) and len(column) == 4 * len(of):
        return np.frombuffer(column, "<f4").astype(np.float64)
    return np.where(of, float(told.get("median", 0.0)) if isinstance(told, Mapping) else 0.0, 0.0)


def median_sigma_uv(sigma_uv: NDArray[np.float32], of: NDArray[np.bool_]) -> float:
    """Return the median noise level (µV) of those channels that have one, both (channels,); NaN: none has."""
    known = sigma_uv[of & (sigma_uv > 0)]
    return float(np.median(known)) if len(known) else float("nan")
