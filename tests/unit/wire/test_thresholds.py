"""Thresholds in a file: what is read is what was written, bit by bit, or a line that says why not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rtspikes.errors import ConfigError, DataError, WireError
from rtspikes.wire.codec import LEVELS_DTYPE
from rtspikes.wire.thresholds import read_thresholds, write_thresholds
from tests.simulated import wire_info

TINY, HUGE = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
HEIGHT = st.floats(TINY, HUGE, width=32)
NONE = st.just(float("nan"))

SECTIONS = [[0.1, 0.2, 0.1, 1.0, -1.5, 0.7], [1.0, -2.0, 1.0, 1.0, -1.9, 0.9]]


def info_of(*labels: str, kinds: list[str] | None = None) -> dict[str, Any]:
    facts = {"label": list(labels), "kind": kinds or ["electrode"] * len(labels)}
    return wire_info() | {
        "n_channels": len(labels), "channels": facts, "session": "s1", "filter_sections": SECTIONS,
    }  # fmt: skip


def levels_of(*rows: tuple[float, float]) -> NDArray[np.void]:
    """Return levels; rows: thresholds (negative, positive), µV."""
    return np.array([(3.0, *row) for row in rows], LEVELS_DTYPE)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Return a file of two electrodes' thresholds."""
    write_thresholds(tmp_path / "saved.json", info_of("E1", "µ2"), 400, levels_of((-30.1, np.nan), (-12, 14)))
    return tmp_path / "saved.json"


def test_a_file_says_what_it_is_of_and_heights_as_people_write_them(saved: Path) -> None:
    assert json.loads(saved.read_text("utf-8")) == {
        "rtspikes_thresholds": 1,
        "session": "s1",
        "sample": 400,
        "rate_hz": 20000.0,
        "filter_sections": SECTIONS,
        "thresholds": {
            "E1": {"negative_uv": -30.1, "positive_uv": None},
            "µ2": {"negative_uv": -12.0, "positive_uv": 14.0},
        },
    }


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(HEIGHT | NONE, HEIGHT | NONE), min_size=1, max_size=20))
def test_what_is_read_is_what_was_written_bit_by_bit(rows: list[tuple[float, float]], tmp_path: Path) -> None:
    levels = levels_of((-1.0, 1.0), *((-negative, positive) for negative, positive in rows))
    info = info_of(*(f"E{i}" for i in range(len(levels))))
    path = tmp_path / "round.json"
    path.unlink(missing_ok=True)
    write_thresholds(path, info, 0, levels)
    read = read_thresholds(path, info)
    assert read["labels"] == info["channels"]["label"]
    for name in ("negative_uv", "positive_uv"):
        back = np.frombuffer(read[name], "<f4")
        has = ~np.isnan(levels[name])
        assert back[has].tobytes() == levels[name][has].tobytes()
        assert np.isnan(back[~has]).all()


def test_only_electrodes_are_written_and_asked_for(tmp_path: Path) -> None:
    info = info_of("E1", "T", "E2", kinds=["electrode", "trigger", "electrode"])
    nothing = (np.nan, np.nan)
    assert write_thresholds(tmp_path / "f.json", info, 0, levels_of((-1, np.nan), nothing, nothing)) == 1
    assert read_thresholds(tmp_path / "f.json", info)["labels"] == ["E1", "E2"]


def test_thresholds_that_are_not_known_yet_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no electrode has a threshold yet"):
        write_thresholds(tmp_path / "f.json", info_of("E1"), 0, levels_of((np.nan, np.nan)))
    assert not (tmp_path / "f.json").exists()


def test_a_file_is_never_overwritten(saved: Path) -> None:
    before = saved.read_bytes()
    with pytest.raises(ConfigError, match="saved.json exists, and thresholds are never overwritten; choose another"):
        write_thresholds(saved, info_of("E1"), 0, levels_of((-1, 1)))
    assert saved.read_bytes() == before


def test_a_place_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot write .*f\.json: no such file or directory; choose another name"):
        write_thresholds(tmp_path / "none" / "f.json", info_of("E1"), 0, levels_of((-1, 1)))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"rate_hz": 25000.0}, "is of a signal with 20000 Hz, this run's has 25000 Hz: its thresholds do not compare"),
        ({"filter_sections": SECTIONS[:1]}, "was saved with another filter than this run's"),
        ({"filter_sections": [SECTIONS[0], [1.0, -2.0, 1.0, 1.0, -1.9, 0.9001]]}, "was saved with another filter"),
        ({"channels": info_of("E1")["channels"]}, "must name exactly this run's electrodes; 'µ2' is in only one"),
        (
            {"channels": info_of("E1", "µ2", "E3")["channels"]},
            "must name exactly this run's electrodes; 'E3' is in only",
        ),
        ({"channels": info_of("E1", "E2")["channels"]}, "must name exactly this run's electrodes; 'µ2' is in only one"),
    ],
    ids=["rate", "fewer sections", "another section", "one electrode less", "one more", "another"],
)
def test_thresholds_of_another_stream_are_refused(saved: Path, change: dict[str, Any], text: str) -> None:
    with pytest.raises(DataError, match=text):
        read_thresholds(saved, info_of("E1", "µ2") | change)


def test_a_filter_that_another_computer_made_is_the_same(saved: Path) -> None:
    made = [[x * (1 + 1e-14) for x in row] for row in SECTIONS]
    assert read_thresholds(saved, info_of("E1", "µ2") | {"filter_sections": made})["labels"] == ["E1", "µ2"]


@pytest.mark.parametrize(
    "change",
    [
        {"filter_sections": None},
        {"filter_sections": [[1.0, "x"]]},
        {"channels": {"label": ["E1", "µ2"]}},
        {"channels": {"label": ["E1", "µ2"], "kind": ["electrode"]}},
    ],
    ids=str,
)
def test_info_that_does_not_say_what_is_needed_is_a_typed_error(
    saved: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    info = info_of("E1", "µ2") | change
    with pytest.raises(WireError):
        read_thresholds(saved, info)
    with pytest.raises(WireError):
        write_thresholds(tmp_path / "new.json", info, 0, levels_of((-1, 1), (-1, 1)))


def height(value: Any, name: str = "negative_uv") -> dict[str, Any]:
    return {"thresholds": {"E1": {name: value}, "µ2": {}}}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"rtspikes_thresholds": 2}, "rtspikes_thresholds must be 1, got 2"),
        ({"rate_hz": "fast"}, "rate_hz must be a number > 0, got 'fast'"),
        ({"rate_hz": float("nan")}, "rate_hz must be a number > 0, got nan"),
        ({"filter_sections": [1, 2]}, "filter_sections must be a list of lists of numbers"),
        ({"filter_sections": [[10**400]]}, "filter_sections must be a list of lists of numbers"),
        ({"thresholds": [1]}, "thresholds must hold an object for each electrode"),
        ({"thresholds": {"E1": -3}}, "thresholds must hold an object for each electrode"),
        (height("-30"), r"negative_uv of 'E1' must be a number < 0 \(µV\) or null, got '-30'"),
        (height(30), r"negative_uv of 'E1' must be a number < 0 \(µV\) or null, got 30"),
        (height(-30, "positive_uv"), r"positive_uv of 'E1' must be a number > 0 \(µV\) or null, got -30"),
        (height(0), "got 0"),
        (height(True, "positive_uv"), "got True"),
        (height(1e-40, "positive_uv"), "got 1e-40"),
        (height(10**400, "positive_uv"), "got 1000000"),
        (height(float("inf"), "positive_uv"), "got inf"),
        (height([1]), r"got \[1\]"),
    ],
    ids=repr,
)
def test_a_file_with_something_wrong_in_it_says_what(saved: Path, change: dict[str, Any], text: str) -> None:
    saved.write_text(json.dumps(json.loads(saved.read_text("utf-8")) | change))
    with pytest.raises(DataError, match=f"saved.json holds no thresholds: .*{text}"):
        read_thresholds(saved, info_of("E1", "µ2"))


def test_a_label_that_stands_twice_is_no_choice_of_ours(saved: Path) -> None:
    saved.write_text(saved.read_text("utf-8").replace("µ2", "E1"), "utf-8")
    with pytest.raises(DataError, match="a name stands twice"):
        read_thresholds(saved, info_of("E1", "µ2"))


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
KEYS = ("rtspikes_thresholds", "rate_hz", "filter_sections", "thresholds")


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    garbage=st.binary(max_size=60)
    | JSON.map(lambda tree: json.dumps(tree).encode())
    | st.dictionaries(st.sampled_from(KEYS), st.just(1) | JSON).map(lambda tree: json.dumps(tree).encode())
    | st.just(b"[" * 100_000)
    | st.just(b'{"rtspikes_thresholds": 1' + b"0" * 10_000 + b"}")
)
def test_whatever_a_file_holds_the_answer_is_a_typed_error(garbage: bytes, tmp_path: Path) -> None:
    (tmp_path / "f.json").write_bytes(garbage)
    with pytest.raises(DataError):
        read_thresholds(tmp_path / "f.json", info_of("E1"))


def test_a_file_without_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    with open(tmp_path / "f.json", "wb") as file:
        file.truncate(2**33)
    with pytest.raises(DataError, match="it must have 16777216 bytes at most"):
        read_thresholds(tmp_path / "f.json", info_of("E1"))


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read the thresholds .*f\.json: no such file or directory"):
        read_thresholds(tmp_path / "f.json", info_of("E1"))
