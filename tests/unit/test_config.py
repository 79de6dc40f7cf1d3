"""Configuration: every key is known, documented and checked."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import msgpack
import msgspec
import numpy as np
import pytest

from rtspikes.config import Config, config_from, documented_keys, load_config, noise_from_file, resolve_settings
from rtspikes.detect.settings import DetectSettings
from rtspikes.errors import ConfigError, DataError
from rtspikes.types import ChannelInfo, StreamInfo
from tests.simulated import stream_info

WITHOUT_DEFAULT = {
    "source.uri", "source.uv_per_unit", "source.rate_hz", "source.stop_s", "detect.threshold_uv",
    "detect.threshold", "detect.filter.kind", "detect.filter.band_hz", "detect.filter.order",
    "detect.filter.highpass_order", "detect.filter.lowpass_order", "detect.noise.file", "detect.energy.k",
    "detect.window.hop", "detect.window.cutoff_units", "detect.hoop.largest_uv",
    "detect.artifacts.rails_uv", "detect.artifacts.slew_uv", "publish.keys", "reply.endpoint", "session",
}  # fmt: skip


REPEATED = ("channels[].", "markers[].", "blank[].")


def toml(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(text, "utf-8")
    return path


def test_nothing_given_is_all_defaults() -> None:
    assert load_config(None) == Config() == resolve_settings(None)


def test_a_file_sets_what_it_says_and_leaves_the_rest(tmp_path: Path) -> None:
    config = load_config(toml(tmp_path, "[detect]\nthreshold = 4.5\n[detect.filter]\nband_hz = [200, 4000]\n"))
    assert config.detect.threshold == 4.5
    assert config.detect.filter.band_hz == (200.0, 4000.0)
    assert config.detect.filter.order == DetectSettings().filter.order
    assert config.publish == Config().publish


@pytest.mark.parametrize(
    ("tree", "key", "hint"),
    [
        ({"detect": {"treshold": 5}}, "detect.treshold", "did you mean 'detect.threshold'?"),
        ({"detekt": {}}, "detekt", "did you mean 'detect'?"),
        ({"detect": {"filter": {"bands_hz": 1}}}, "detect.filter.bands_hz", "did you mean 'detect.filter.band_hz'?"),
        ({"threshold": 5}, "threshold", "did you mean 'detect.threshold'?"),
        ({"detect": {"order": 2}}, "detect.order", "did you mean 'detect.filter.order'?"),
        ({"channels": [{"select": "*", "thresold": 5}]}, "channels.thresold", "did you mean 'channels.threshold'?"),
        ({"markers": [{"urI": "lsl:x"}]}, "markers.urI", "did you mean 'markers.uri'?"),
        ({"zzz": 1}, "zzz",
         "known: source, markers, detect, channels, blank, ring, publish, history, reply, cpu, session"),
    ],
)  # fmt: skip
def test_an_unknown_key_is_refused_with_the_nearest_known_one(tree: dict[str, Any], key: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config_from(tree)
    assert str(caught.value) == f"unknown key {key!r}; {hint}"


@pytest.mark.parametrize(
    ("tree", "key", "value"),
    [
        ({"detect": {"threshold": -1.5}}, "detect.threshold", "-1.5"),
        ({"detect": {"threshold": math.nan}}, "detect.threshold", "nan"),
        ({"detect": {"threshold": "five"}}, "detect.threshold", "'five'"),
        ({"detect": {"sign": "up"}}, "detect.sign", "'up'"),
        ({"detect": {"filter": {"order": 2.5}}}, "detect.filter.order", "2.5"),
        ({"detect": {"filter": {"band_hz": [300]}}}, "detect.filter.band_hz", "[300]"),
        ({"detect": 5}, "detect", "5"),
        ({"source": {"speed": "fast"}}, "source.speed", "'fast'"),
        ({"source": {"stop_s": 0}}, "source.stop_s", "0"),
        ({"source": {"loop": 1}}, "source.loop", "1"),
        ({"publish": {"stream": "a b"}}, "publish.stream", "'a b'"),
        ({"publish": {"tick_ms": 0.5}}, "publish.tick_ms", "0.5"),
        ({"channels": {"select": "*"}}, "channels", "{'select': '*'}"),
        ({"channels": [{"threshold": 5}]}, "channels", "{'threshold': 5}"),
        ({"markers": [{"uri": "lsl:a"}, {"uri": "file:b"}]}, "markers[1].uri", "'file:b'"),
        ({"source": {"rate_hz": 0}}, "source.rate_hz", "0"),
        ({"source": {"buffer_s": 0}}, "source.buffer_s", "0"),
        ({"source": {"wait_s": -1}}, "source.wait_s", "-1"),
        ({"channels": [{"select": "A", "threshold": 5}, {"select": "B", "threshold": -7}]}, "channels", "-7"),
    ],
)
def test_a_wrong_value_is_refused_with_its_key_and_itself(tree: dict[str, Any], key: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config_from(tree)
    what, _, got = str(caught.value).partition(", got ")
    assert what.startswith(key)
    assert " must " in what
    assert value in got


@pytest.mark.parametrize("key", ["ring.max_mib", "source.start_s", "source.stop_s", "source.uv_per_unit"])
def test_an_infinite_number_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        load_config(None, [f"{key}=inf"])


def test_every_key_is_documented_with_a_default_where_there_is_one() -> None:
    keys = list(documented_keys())
    names = [key for key, _, _ in keys]
    assert len(set(names)) == len(names)
    assert [key for key, _, description in keys if len(description) < 5] == []
    empty = {key for key, default, _ in keys if not default}
    assert empty == WITHOUT_DEFAULT | {key for key in names if key.startswith(REPEATED) and key != "blank[].select"}


def test_documented_defaults_are_the_defaults() -> None:
    overrides = [
        f"{key}={default}" for key, default, _ in documented_keys() if default and not key.startswith(REPEATED)
    ]
    assert load_config(None, overrides) == Config()


def test_documented_keys_are_exactly_the_keys_that_are_accepted() -> None:
    for key, default, _ in documented_keys():
        if key.startswith(REPEATED) or not default:
            continue
        table, _, name = key.rpartition(".")
        with pytest.raises(ConfigError, match="unknown key"):
            load_config(None, [f"{table}.{name}_x={default}"])


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("session.a=5", 5),
        ("session.a=5.5", 5.5),
        ("session.a=true", True),
        ("session.a=[1, 2]", [1, 2]),
        ('session.a="5"', "5"),
        ("session.a=two words", "two words"),
        ("session.a= spaced ", "spaced"),
        ("session.a=file:C:\\data\\x.raw", "file:C:\\data\\x.raw"),
        ("session.a=k=v", "k=v"),
        ("session.a=", ""),
        (" session.a =5", 5),
    ],
)
def test_set_takes_toml_values_and_plain_text(override: str, value: Any) -> None:
    got = load_config(None, [override]).session["a"]
    assert got == value
    assert type(got) is type(value)


def test_set_wins_over_the_file_and_the_last_one_over_the_others(tmp_path: Path) -> None:
    path = toml(tmp_path, "[detect]\nthreshold = 4.5\nsign = 'pos'\n")
    config = load_config(path, ["detect.threshold=6", "detect.threshold=7"])
    assert (config.detect.threshold, config.detect.sign) == (7.0, "pos")


@pytest.mark.parametrize("override", ["detect.threshold", "=5", ".threshold=5", "detect..threshold=5", ""])
def test_set_without_key_or_value_is_refused(override: str) -> None:
    with pytest.raises(ConfigError, match="--set wants KEY=VALUE") as caught:
        load_config(None, [override])
    assert repr(override) in str(caught.value)


def test_set_cannot_go_into_a_value() -> None:
    with pytest.raises(ConfigError, match="'threshold' is a value, not a table"):
        load_config(None, ["detect.threshold=5", "detect.threshold.x=5"])


def test_set_of_a_wrong_value_names_key_and_value() -> None:
    with pytest.raises(ConfigError, match=r"detect\.threshold must be a number > 0 and ≤ 1000, got 'high'"):
        load_config(None, ["detect.threshold=high"])


def test_a_missing_file_and_bad_toml_are_configuration_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the configuration"):
        load_config(tmp_path / "absent.toml")
    with pytest.raises(ConfigError, match="is not TOML"):
        load_config(toml(tmp_path, "detect = ["))
    path = tmp_path / "latin.toml"
    path.write_bytes(b"[session]\nwho = '\xe9'\n")
    with pytest.raises(ConfigError, match="is not TOML"):
        load_config(path)


def test_session_keys_are_free(tmp_path: Path) -> None:
    text = "[session]\nculture = 'A12'\ndiv = 21\n[session.plate]\nwells = ['A1', 'B2']\n"
    assert load_config(toml(tmp_path, text)).session == {
        "culture": "A12",
        "div": 21,
        "plate": {"wells": ["A1", "B2"]},
    }


@pytest.mark.parametrize("value", ["2024-05-01", "2024-05-01T10:00:00", "10:30:00", "123456789012345678901234"])
def test_every_session_value_that_is_accepted_can_be_sent_and_logged(tmp_path: Path, value: str) -> None:
    try:
        session = load_config(toml(tmp_path, f"[session]\nplated = {value}\n")).session
    except ConfigError as error:
        assert "session.plated" in str(error)  # noqa: PT017
        return
    plain = msgspec.to_builtins(session)
    msgpack.packb(plain)
    json.dumps(plain)


def test_channel_rules_keep_their_order_and_leave_unset_what_they_do_not_say(tmp_path: Path) -> None:
    text = """
    [[channels]]
    select = "E1*"
    threshold = 4
    [[channels]]
    select = ["well:B2", 3]
    enabled = false
    """
    first, second = load_config(toml(tmp_path, text)).channels
    assert (first.select, first.threshold, first.enabled) == ("E1*", 4.0, msgspec.UNSET)
    assert (second.select, second.threshold, second.enabled) == (("well:B2", 3), msgspec.UNSET, False)


def test_python_callers_may_give_settings_in_any_form(tmp_path: Path) -> None:
    detect = DetectSettings(threshold=4.0)
    want = Config(detect=detect)
    path = toml(tmp_path, "[detect]\nthreshold = 4\n")
    for given in (want, detect, {"detect": {"threshold": 4}}, path, str(path)):
        assert resolve_settings(given) == want


def noise(tmp_path: Path, content: bytes) -> Config:
    path = tmp_path / "noise.json"
    path.write_bytes(content)
    return config_from({"detect": {"noise": {"mode": "file", "file": str(path)}}})


def test_noise_is_read_from_a_file_only_in_mode_file(tmp_path: Path) -> None:
    info = stream_info(2)
    config = noise(tmp_path, b'{"E2": 4, "E1": 2.5}')
    np.testing.assert_array_equal(noise_from_file(config, info), np.array([2.5, 4], np.float32))
    assert noise_from_file(Config(), info) is None


def test_noise_is_for_electrodes_only(tmp_path: Path) -> None:
    channels = (ChannelInfo("E1", 0), ChannelInfo("Ref", 1, kind="reference"))
    info = StreamInfo("test:", 20000.0, "int16", channels, False)
    sigma = noise_from_file(noise(tmp_path, b'{"E1": 3}'), info)
    assert sigma is not None
    assert sigma[0] == 3.0
    with pytest.raises(DataError, match="'Ref' is in only one"):
        noise_from_file(noise(tmp_path, b'{"E1": 3, "Ref": 3}'), info)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[1, 2]", "must hold an object of σ (µV) by channel label"),
        (b'{"E1": 1}', "'E2' is in only one of the two"),
        (b'{"E1": 1, "E2": 1, "E9": 1}', "'E9' is in only one of the two"),
        (b'{"E1": 0, "E2": 1}', "σ must be a number > 0 (µV), got 0 for 'E1'"),
        (b'{"E1": 1, "E2": -3}', "got -3 for 'E2'"),
        (b'{"E1": NaN, "E2": 1}', "got nan for 'E1'"),
        (b'{"E1": Infinity, "E2": 1}', "got inf for 'E1'"),
        (b'{"E1": true, "E2": 1}', "got True for 'E1'"),
        (b'{"E1": "5", "E2": 1}', "got '5' for 'E1'"),
        (b'{"E1": null, "E2": 1}', "got None for 'E1'"),
        (b'{"E1": 1e-60, "E2": 1}', "got 1e-60 for 'E1'"),  # 0 in float32
    ],
)
def test_a_bad_noise_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataError) as caught:
        noise_from_file(noise(tmp_path, content), stream_info(2))
    assert message in str(caught.value)


def test_a_missing_noise_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"detect\.noise\.file must name a JSON file"):
        noise_from_file(config_from({"detect": {"noise": {"mode": "file"}}}), stream_info(1))
    absent = {"detect": {"noise": {"mode": "file", "file": str(tmp_path / "absent.json")}}}
    with pytest.raises(ConfigError, match=r"detect\.noise\.file: cannot read .*absent\.json"):
        noise_from_file(config_from(absent), stream_info(1))


def test_numbers_may_be_numpys() -> None:
    config = config_from({"detect": {"threshold": np.float64(4.5), "snippet_ms": (np.float32(1), np.int64(2))}})
    assert (config.detect.threshold, config.detect.snippet_ms) == (4.5, (1.0, 2.0))
