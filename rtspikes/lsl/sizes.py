"""How large a unit of a channel is in µV, by what is said of it.

Read in this order, as found in public LSL programs and in the XDF meta-data convention (`sccn/xdf` wiki, EEG):

- `gain_to_uv`, `uv_per_unit`: µV per unit of the values, whatever the unit says.
- `unit`, a voltage (`microvolts`, `mV`, `0.195 µV/bit`, pylsl's powers of ten `-6` `-3`): times `scaling_factor` or
  `conversion` if given (Brain Products' amplifiers sending raw integers: `microvolts` and 0.1), and for whole numbers
  times `resolution`.
- `unit` counts (`counts`, `adc`, `bits`, nothing …): µV per count is `conversion` (EGI's amplifiers), `scaling_factor`
  or `resolution`.

`gain` alone is an amplification and no size. `offset_to_uv` is the µV of a value of 0.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import NamedTuple

from rtspikes.lsl.text import quoted
from rtspikes.units import is_gain, number, uv_per_unit

EXPLICIT = ("gain_to_uv", "uv_per_unit")
FACTORS = ("scaling_factor", "conversion", "resolution")
OFFSET = "offset_to_uv"

COUNTS = frozenset(("", "count", "counts", "adc", "adc counts", "adu", "bit", "bits", "lsb", "raw", "steps", "int16"))
POWERS_OF_TEN = {"-3": 1e3, "-6": 1.0, "-9": 1e-3}
"""What pylsl's `set_channel_units` writes for whole numbers; 0 stands for volts as well as for no unit."""

TRIGGER_UNITS = frozenset("code codes ttl bool boolean logic event events trigger".split())
OTHER_UNITS = frozenset(
    "g m/s^2 m/s2 m/s² deg/s dps °/s rad/s rpm deg ° rad °c c degc celsius k kelvin % percent bpm hz khz s ms "
    "a ma ua µa na ohm kohm ω kω pa kpa mmhg t ut µt m cm mm um µm l/min none n/a px pixel lux".split()
)
"""Units of channels that are not electrodes, whatever their type says."""


class Size(NamedTuple):
    """µV = value · gain_uv + offset_uv; `problem` says why the gain is unknown, `remark` what was assumed."""

    gain_uv: float | None
    offset_uv: float
    problem: str = ""
    remark: str = ""


NAMES = ("unit", *EXPLICIT, *FACTORS, OFFSET)
"""The entries of a channel that `size` looks at."""


def size(entry: Mapping[str, str], whole: bool) -> Size:
    """Return the size of a channel's unit; `whole`: its values come as whole numbers."""
    return _size(tuple((name, entry[name]) for name in NAMES if name in entry), whole)


@functools.lru_cache(1024)  # thousands of channels say the same
def _size(said: tuple[tuple[str, str], ...], whole: bool) -> Size:
    texts = dict(said)
    unit = texts.get("unit", "").strip()
    offset = number(texts[OFFSET]) if OFFSET in texts else 0.0
    remark = ""
    if offset is None or not abs(offset) < 1e12:
        offset, remark = 0.0, f"{OFFSET} {quoted(texts[OFFSET])} is no finite number and counts as 0"
    for name in EXPLICIT:
        if name in texts:
            gain = number(texts[name])
            if gain is None or not is_gain(gain):
                return Size(None, offset, f"{name} must be finite and not 0, got {quoted(texts[name])}")
            return Size(gain, offset, "", remark)
    base = POWERS_OF_TEN.get(unit, uv_per_unit(unit))
    factor, name = 1.0, ""
    for candidate in FACTORS:
        if candidate in texts and not (candidate == "resolution" and base is not None and not whole):
            found, name = number(texts[candidate]), candidate
            if found is None or not is_gain(found):
                return Size(None, offset, f"{name} must be finite and not 0, got {quoted(texts[name])}")
            factor = found
            break
    if base is None and not (unit.lower() in COUNTS and name):
        what = f"the unit {quoted(unit)} has no known size" if unit else "no unit is given"
        return Size(None, offset, what + (" and no scaling_factor is given" if unit.lower() in COUNTS and unit else ""))
    gain = factor * (1.0 if base is None else base)
    if not is_gain(gain):
        return Size(None, offset, f"{name or 'unit'} makes a gain that must be finite and not 0, got {gain:g} µV")
    if base is None:
        remark = f"{name} {factor:g} is taken for µV per unit of the values"
    elif factor != 1.0 and not whole:
        remark = f"values are floating point and yet have {name} {factor:g}: taken for {gain:g} µV per unit"
    return Size(gain, offset, "", remark)
