"""The setting that is scanned: its unit, its range, and the lines that set it."""

from __future__ import annotations

import tomllib
from typing import Any

import numpy as np
import pytest
from msgspec import UNSET

from rtspikes.config import Config, config_from
from rtspikes.tuning.axis import Axis, rounded

IN_UV: dict[str, Any] = {"threshold_uv": -40.0}
IN_UNITS: dict[str, Any] = {"method": "window", "window": {"cutoff_units": 200.0}}


def axis(detect: dict[str, Any], uv_per_unit: float = 0.5) -> tuple[Axis, Config]:
    config = config_from({"detect": detect})
    return Axis.of(config.detect, uv_per_unit), config


@pytest.mark.parametrize(
    ("detect", "unit", "current", "height_uv"),
    [({}, "σ", 4.65, 23.25), ({"method": "energy"}, "σ", 8.0, 40.0), ({"threshold": 5}, "σ", 5.0, 25.0),
     (IN_UV, "µV", 40.0, 40.0), (IN_UNITS, "units", 200.0, 100.0)],
)  # fmt: skip
def test_what_is_scanned_is_what_the_settings_use(
    detect: dict[str, Any], unit: str, current: float, height_uv: float
) -> None:
    found, _ = axis(detect)
    assert (found.unit, found.current) == (unit, current)
    assert found.height_uv(current, 5.0) == pytest.approx(height_uv)
    grid = found.grid(5.0)
    assert (np.diff(grid) > 0).all()
    assert found.height_uv(grid[0], 5.0) < 5.0 * 5.3
    assert found.height_uv(grid[-1], 5.0) > 5.0 * 12


@pytest.mark.parametrize("detect", [{}, {"method": "matched"}, IN_UV, IN_UNITS, {"threshold": 5}])
@pytest.mark.parametrize("level", [3.05, 12.5, 317.0])
def test_the_lines_to_paste_give_the_threshold(detect: dict[str, Any], level: float) -> None:
    found, config = axis(detect)
    negative = detect.get("threshold_uv", 1) < 0
    pasted = config_from(tomllib.loads("\n".join(found.toml(level, negative)))).detect
    wanted = found.at(config, level).detect
    assert pasted.method == wanted.method
    assert (pasted.threshold, pasted.threshold_uv) == (wanted.threshold, wanted.threshold_uv)
    assert pasted.window == wanted.window


def test_the_lines_for_some_channels_are_a_rule() -> None:
    found, _ = axis({"sign": "pos"})
    (line,) = found.toml(5.5, False, ["E1*", 'a"b'])
    (rule,) = config_from(tomllib.loads(line)).channels
    assert (rule.select, rule.threshold) == (("E1*", 'a"b'), 5.5)


def test_a_level_holds_on_every_channel_and_leaves_their_other_rules() -> None:
    rules = [{"select": "E1", "threshold": 9.0, "sign": "pos"}, {"select": "E2", "threshold_uv": 50.0}]
    config = config_from({"channels": rules})
    tried = Axis.of(config.detect, 1.0).at(config, 4.0)
    assert tried.detect.threshold == 4.0
    assert [r.threshold for r in tried.channels] == [UNSET, UNSET]
    assert [r.threshold_uv for r in tried.channels] == [UNSET, UNSET]
    assert tried.channels[0].sign == "pos"


@pytest.mark.parametrize(
    ("level", "wanted"), [(4.5837, 4.6), (5.029, 5.05), (7.761, 7.75), (1229.0, 1250.0), (0.0173, 0.0175)]
)
def test_a_suggestion_is_what_a_person_would_type(level: float, wanted: float) -> None:
    assert rounded(level) == pytest.approx(wanted)
