"""Methods paragraphs: what a session's log tells is said with its own numbers, and nothing else is."""

from __future__ import annotations

import json
import platform
import re
import shutil
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import to_builtins

from rtspikes.config import config_from, documented_keys, noise_from_file
from rtspikes.detect import detector as detector_module
from rtspikes.detect import health, rebound, shadow, storm, vetoes
from rtspikes.detect.detector import Detector
from rtspikes.detect.filter import design
from rtspikes.detect.methods import gather, matched
from rtspikes.detect.settings import FilterSettings
from rtspikes.errors import DataError
from rtspikes.subscribers.account import method
from rtspikes.subscribers.account.english import counted, hertz, listed, number, part, seconds, significant, spread
from rtspikes.subscribers.account.facts import facts_of
from rtspikes.subscribers.account.references import CITED, bibtex
from rtspikes.subscribers.account.rules import RULES, Rules
from rtspikes.subscribers.account.sentences import LOSSES, paragraphs
from rtspikes.subscribers.log.layout import FILES, GAPS_BEFORE_2, JOURNAL_DTYPE
from rtspikes.subscribers.log.reader import Session, read_session
from rtspikes.subscribers.log.writer import LogWriter
from rtspikes.types import GAP_DTYPE, ChannelInfo, StreamInfo
from rtspikes.version import __version__
from rtspikes.wire.batch import Batch, Missed
from rtspikes.wire.codec import LEVELS_DTYPE
from rtspikes.wire.messages import session_facts
from tests.unit.subscribers.batches import INFO, HandClock, control, gap, marks, notice, rejected, spikes, unobserved

RATE_HZ = 20_000.0
N = 16


def stream(dtype: str = "int16", well: bool = False) -> StreamInfo:
    """Return 16 electrodes E1 … E16 in a row, 100 µm apart, and a trigger channel."""
    wells = [f"A{i // 8 + 1}" if well else None for i in range(N)]
    found = [ChannelInfo(f"E{i + 1}", i, well=wells[i], x_um=100.0 * i, y_um=0.0, gain_uv=0.195) for i in range(N)]
    found.append(ChannelInfo("T", N, kind="trigger", gain_uv=0.195))
    return StreamInfo("lsl:name=Array", RATE_HZ, dtype, tuple(found), live=True)  # type: ignore[arg-type]


def heard(first: int, n: int = 1, **about: Any) -> Batch:
    """Return a batch of `n` spikes with triggers from `first` on, waveforms as the settings' default has them."""
    batch = spikes(first, n, **about)
    return replace(batch, waveforms=np.zeros((n, 60), np.float32), flags=np.zeros(n, np.uint8))


def levels(sample: int, sigma_uv: list[float], multiple: float = 4.65) -> Batch:
    """Return the thresholds of all channels in force from `sample` on."""
    rows = np.zeros(len(sigma_uv), LEVELS_DTYPE)
    rows["sigma_uv"], rows["negative_uv"] = sigma_uv, -multiple * np.array(sigma_uv)
    rows["positive_uv"] = np.nan
    return Batch("thresholds", "s1", 0, 0, thresholds=rows, fields={"sample": sample, "first_channel": 0})


def write(
    path: Path,
    settings: dict[str, Any] | None = None,
    *batches: Batch,
    info: StreamInfo | None = None,
    how: str = "end",
    **told: Any,
) -> Path:
    """Write the log of a session of these settings, with `batches` in it; `told` goes into its `info`."""
    config, info = config_from(settings or {}), info or stream()
    detector = Detector(info, config.detect, config.channels, sigma_uv=noise_from_file(config, info))
    blank = [{name: value for name, value in rule.items() if value is not None} for rule in to_builtins(config.blank)]
    facts = {
        **session_facts(info, detector, config.channels),
        "session": "s1",
        "first_sample": 0,
        "blank": blank,
        "session_keys": dict(config.session),
        **told,
    }
    writing = path.with_name("open.rtspikes") if how == "open" else path
    writer = LogWriter(writing, facts, HandClock())
    of_one = (
        np.zeros((1, detector.pre + detector.post), np.float32),
        np.zeros((1, facts["neighbour_count"]), np.float32),
    )
    one = replace(heard(0), to_sample=200_000, waveforms=of_one[0], neighbours=of_one[1])
    channels = len(info.channels)
    for batch in batches or (levels(0, [5.0] * channels), levels(20_000, [5.1] * channels), one):
        writer.add(batch)
    if how == "open":
        writer.flush()
        shutil.copytree(writing, path)
    writer.close(how)
    return path


def account(path: Path, settings: dict[str, Any] | None = None, *batches: Batch, **about: Any) -> str:
    """Return the paragraphs of a session as one text."""
    return text_of(read_session(write(path, settings, *batches, **about)))


def text_of(session: Session) -> str:
    texts = paragraphs(facts_of(session))
    assert 1 <= len(texts) <= 3
    assert texts[-1].startswith(LOSSES)
    assert not any("\n" in text or "  " in text or "None" in text or " nan" in text for text in texts)
    assert all(text.endswith(".") and ".." not in text for text in texts)
    return "\n".join(texts)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.rtspikes"


# what is said of settings

UNUSED = {
    "energy": "energy operator",
    "window": "windows of",
    "hoop": "time–amplitude",
    "matched": "matched filter",
    "reference": "reference)",
    "blanking": "blank",
    "neighbours": "µm",
    "exceptions": "the threshold was −6",
    "muting": "muted",
    "freezing": "kept as it was",
    "file": "read from a file",
    "mains": "mains",
    "rebound": "after-swing",
    "storm": "crossings within 1 s",
    "coincidence": "as artifacts make them",
    "disabled": "left out",
    "kinds": "Butterworth high-pass",
}
"""What only a session that used something says."""

ALWAYS = {"rebound", "storm", "coincidence", "mains"}
"""What the defaults use."""

GRID: dict[str, tuple[dict[str, Any], set[str], tuple[str, ...]]] = {
    "defaults": (
        {},
        ALWAYS,
        (
            "in real time with rtspikes",
            "the signals of 16 electrodes, received from",
            "“name=Array”",
            "sampled at 20 kHz in steps of 0.195 µV (16-bit integers)",
            "1 trigger channel was not searched",
            "a first-order high-pass at 350 Hz, a second-order section with its zeros at 54.72 Hz",
            "low-pass at 6 kHz",
            "filtered causally (forward in time only)",
            "median(|x − median(x)|)/0.67448975 of pieces of about 60 ms",
            "(after Quiroga et al. 2004)",
            "the first 500 ms;",
            "the last 4 s, renewed every 0.5 s",
            "fell below −4.65 σ.",
            "a dead time of 1 ms (20 samples),",
            "the minimum of the filtered signal within 1 ms after",
            "from 1 ms before to 2 ms after it (60 samples)",
            "up to 4 ms after a deflection at least 1.5 times",
            "at least 8 electrodes (15 % of them, and no fewer than 8)",
            "more than 500 crossings",
            "not sorted",
        ),
    ),
    "positive": ({"detect": {"sign": "pos", "threshold": 6}}, ALWAYS, ("rose above 6 σ.", "the maximum of")),
    "both": ({"detect": {"sign": "both", "threshold_uv": 45}}, ALWAYS, ("went beyond ±45 µV.", "the extremum of")),
    "fixed": ({"detect": {"threshold_uv": -45.5}}, ALWAYS, ("fell below −45.5 µV.",)),
    "rules": (
        {
            "channels": [
                {"select": ["E2", "E3"], "threshold": 6},
                {"select": "E4", "threshold_uv": 40, "sign": "pos", "dead_time_ms": 2.5},
                {"select": "#13-15", "sign": "both"},
                {"select": "E16", "enabled": False},
            ]
        },
        ALWAYS | {"exceptions", "disabled"},
        (
            "below −4.65 σ; the threshold was −6 σ on 2 electrodes (E2, E3), "
            "±4.65 σ on 2 electrodes (E14, E15) and 40 µV on 1 electrode (E4).",
            "1 ms (20 samples) and 2.5 ms (50 samples) on 1 electrode (E4), in",
            "Of 16 electrodes, 1 electrode (E16) was left out.",
        ),
    ),
    "energy": (
        {"detect": {"method": "energy", "energy": {"k": 4}}},
        ALWAYS - {"rebound"} | {"energy"},
        (
            "k = 4 samples (0.2 ms)",
            "rose above 8 σ",
            "this root x",
            "from 0.4 ms before to 1 ms after",
            "Choi et al. 2006",
            "Mukhopadhyay and Ray 1998",
        ),
    ),
    "window": (
        {"detect": {"method": "window", "threshold": 5.5, "window": {"length": 80, "hop": 40}}},
        ALWAYS - {"rebound"} | {"window"},
        (
            "windows of 80 samples, one every 40 samples",
            "its minimum was farther than 5.5 σ",
            "less than 1 ms (20 samples) apart",
        ),
    ),
    "cutoff": (
        {"detect": {"method": "window", "window": {"cutoff_units": 200}}},
        ALWAYS - {"rebound"} | {"window"},
        ("windows of 100 samples, one every 100", "farther than 200 units of the stream"),
    ),
    "hoop": (
        {"detect": {"method": "hoop", "hoop": {"hoops": [{"ms": [0.3, 0.6], "uv": [-80, 10]}], "largest_uv": 400}}},
        ALWAYS | {"hoop"},
        ("passed a time–amplitude window after the crossing (−80 to 10 µV at 0.3–0.6 ms)", "within ±400 µV"),
    ),
    "matched": (
        {"detect": {"method": "matched"}},
        ALWAYS | {"matched"},
        (
            "fell below −4.8 σ",
            "Each electrode's filter",
            "of 4.7 σ and more",
            "±4 σ",
            "1.4 ms long (0.6 ms",
            "every 0.25 s",
            "less than 0.35 of one within the 3 ms",
            "within 0.52 of the threshold",
        ),
    ),
    "shared": (
        {"detect": {"method": "matched", "matched": {"scope": "shared"}}},
        ALWAYS | {"matched"},
        ("One filter for all",),
    ),
    "average": (
        {"detect": {"reference": {"kind": "average"}}},
        ALWAYS | {"reference"},
        (
            "the average of all electrodes",
            "common average reference",
            "above 5 times",
            "the filtered and referenced signal x",
        ),
    ),
    "median": (
        {"detect": {"reference": {"kind": "median", "groups": ["#0-7", "#8-15"]}}},
        ALWAYS | {"reference"},
        ("the median of the other electrodes of its group (groups: #0-7, #8-15)",),
    ),
    "blanking": (
        {
            "detect": {"artifacts": {"saturation": True, "slew_uv": 250, "fraction": 0.3, "hold_off_ms": 7}},
            "blank": [{"ms": 12, "line": 1001, "value": 1}],
        },
        ALWAYS | {"blanking"},
        (
            "at a rail of its converter or",
            "moved by 250 µV",
            "30 % of",
            "12 ms from each mark of line 1001 with the value 1",
            "until 7 ms later",
            "Nothing was blanked",
        ),
    ),
    "rails": (
        {"detect": {"artifacts": {"saturation": True, "rails_uv": [-3000, 2900]}}},
        ALWAYS | {"blanking"},
        ("at or beyond −3000 or 2900 µV",),
    ),
    "freeze": (
        {"detect": {"noise": {"mode": "freeze", "freeze_after_s": 3}}},
        ALWAYS | {"freezing"},
        ("From 3 s after the start on it was kept as it was.", "renewed every 0.5 s"),
    ),
    "frozen": (
        {"detect": {"noise": {"mode": "freeze"}}},
        ALWAYS | {"freezing"},
        ("From then on it was kept as it was.",),
    ),
    "butterworth": (
        {"detect": {"filter": {"band_hz": [200, 4000], "order": 3, "lowpass_order": 8}}},
        ALWAYS - {"mains"} | {"kinds"},
        ("a third-order Butterworth high-pass at 200 Hz and an eighth-order Butterworth low-pass at 4 kHz.",),
    ),
    "low-pass": (
        {"detect": {"filter": {"highpass_order": 0}}},
        ALWAYS - {"mains", "rebound"},
        ("by a first-order Butterworth low-pass at 3 kHz.",),
    ),
    "raw": (
        {"detect": {"filter": {"kind": "none"}}},
        ALWAYS - {"mains", "rebound"},
        ("The signals were not filtered.", "from the raw signal x", "where the raw signal fell below"),
    ),
    "neighbours": (
        {"detect": {"neighbours": {"exclusive": True, "radius_um": 150, "window_ms": 0.7, "amplitudes": 2}}},
        ALWAYS | {"neighbours"},
        ("up to 150 µm apart whose extrema lay within 0.7 ms", "2 nearest electrodes within 150 µm"),
    ),
    "coincidence": (
        {"detect": {"artifacts": {"coincidence": "reject", "coincidence_ms": 0.3, "coincidence_fraction": 0.8}}},
        ALWAYS,
        ("at least 13 electrodes (80 % of them, and no fewer than 8)", "±0.3 ms", "rejected as coincident"),
    ),
    "little": (
        {"detect": {"artifacts": {"coincidence": "off"}, "storm": {"cap_per_s": 0}, "rebound": {"reject": False}}},
        {"mains"},
        (),
    ),
    "crossing": (
        {"detect": {"align": "crossing", "snippet_ms": [0, 3], "dead_time_ms": 3}},
        ALWAYS,
        ("placed at the crossing", "from 0 ms before to 3 ms after it (60 samples)", "3 ms (60 samples)"),
    ),
    "keys": ({"session": {"culture": "A12", "div": 21}}, ALWAYS, ("annotated as culture A12, DIV 21",)),
}
"""Settings, what of UNUSED they use, and what is said of them."""


@pytest.mark.parametrize("name", GRID)
def test_the_paragraphs_say_what_the_settings_were_and_nothing_that_was_not_used(name: str, path: Path) -> None:
    settings, used, said = GRID[name]
    text = account(path, settings)
    for fragment in said:
        assert fragment in text
    assert {what for what, words in UNUSED.items() if words in text} == used


def test_a_noise_level_from_a_file_is_told_without_the_place_of_the_file(path: Path) -> None:
    file = path.with_name("sigma.json")
    file.write_text(json.dumps({f"E{i + 1}": 5.0 for i in range(N)}))
    text = account(path, {"detect": {"noise": {"mode": "file", "file": str(file)}}})
    assert "was read from a file (“sigma.json”) and kept." in text
    assert "Quiroga" not in text
    assert str(path.parent) not in text


def test_a_noise_level_that_decides_nothing_is_not_described(path: Path) -> None:
    fixed = {"detect": {"threshold_uv": 40}}
    assert "σ" not in account(path, fixed)
    later = control(90_000, change="threshold", select="E1", threshold=5.0)
    text = account(path.with_name("b.rtspikes"), fixed, later, replace(heard(0), to_sample=200_000))
    assert "The noise level σ" in text
    assert "at 4.5 s the threshold of E1 was set to 5 σ" in text


def test_in_small_wells_coincidence_was_not_judged(path: Path) -> None:
    text = account(path, None, info=stream(well=True))
    assert "of 16 electrodes in 2 wells" in text
    assert "as artifacts make them" not in text


def test_a_recording_is_told_by_its_name_alone(path: Path) -> None:
    info = replace(stream("float32"), uri="file:/home/someone/slice 3.raw", live=False)
    text = account(path, None, info=info, clock={"lsl_s": 5.0, "utc": "2026-03-04T05:06:07.8+00:00"})
    assert f"with rtspikes 0.1.0 (Python {platform.python_version()}, NumPy {np.__version__}, Numba " in text
    assert ") in the recording “slice 3.raw” of 16 electrodes, sampled at 20 kHz as 32-bit" in text
    assert "someone" not in text
    assert "The signal was processed on 4 March 2026 at 05:06:07 UTC (5.000 s on the LSL clock" in text


# every setting of detection is in the facts and in the text

BASE: dict[str, dict[str, Any]] = {
    "filter": {"filter": {"kind": "butterworth"}},
    "noise.freeze_after_s": {"noise": {"mode": "freeze"}},
    "energy": {"method": "energy"},
    "window": {"method": "window"},
    "hoop": {"method": "hoop", "hoop": {"largest_uv": 500}},
    "matched": {"method": "matched"},
    "reference.groups": {"reference": {"kind": "average"}},
    "artifacts.rails_uv": {"artifacts": {"saturation": True}},
    "artifacts.fraction": {"artifacts": {"saturation": True}},
    "artifacts.hold_off_ms": {"artifacts": {"saturation": True}},
    "neighbours": {"neighbours": {"exclusive": True}},
    "neighbours.exclusive": {},
    "filter.kind": {},
}
"""Without which a setting, or those of a table, would do nothing; the longest that fits counts."""

CHANGED: dict[str, Any] = {
    "method": "energy", "threshold": 5.5, "threshold_uv": 44.0, "sign": "both", "dead_time_ms": 1.5,
    "align": "crossing", "peak_ms": 0.5, "snippet_ms": [0.5, 1.5], "filter.kind": "none",
    "filter.band_hz": [250, 3500], "filter.order": 2, "filter.highpass_order": 2, "filter.lowpass_order": 3,
    "noise.mode": "freeze", "noise.initial_s": 1.0, "noise.block_s": 1.0, "noise.window_s": 8.0,
    "noise.freeze_after_s": 20.0, "reference.kind": "median", "reference.groups": "well", "energy.k": 5,
    "window.length": 80, "window.hop": 50, "window.cutoff_units": 300, "hoop.hoops": [{"ms": [0.1, 0.5],
    "uv": [5, 90]}], "hoop.largest_uv": 600, "matched.scope": "shared", "rebound.reject": False,
    "artifacts.saturation": True, "artifacts.rails_uv": [-900, 900], "artifacts.slew_uv": 120,
    "artifacts.fraction": 0.4, "artifacts.hold_off_ms": 9, "artifacts.coincidence": "off",
    "artifacts.coincidence_ms": 0.2, "artifacts.coincidence_electrodes": 11, "artifacts.coincidence_fraction": 0.9,
    "neighbours.exclusive": True, "neighbours.radius_um": 120.0, "neighbours.window_ms": 0.5,
    "neighbours.amplitudes": 3, "storm.cap_per_s": 250.0,
}  # fmt: skip
"""Setting → another value than its default."""

ELSEWHERE = {"noise.file": "test_a_noise_level_from_a_file_is_told_without_the_place_of_the_file"}
"""Settings that are changed by another test."""


def nested(key: str, value: Any) -> dict[str, Any]:
    for name in reversed(key.split(".")):
        value = {name: value}
    return value


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    both = {k: merged(v, other[k]) for k, v in one.items() if k in other and isinstance(v, dict)}
    return {**one, **other, **both}


def base_of(key: str) -> dict[str, Any]:
    fitting = [name for name in BASE if key == name or key.startswith(f"{name}.")]
    return BASE[max(fitting, key=len)] if fitting else {}


def test_every_setting_of_detection_is_tried() -> None:
    keys = {key.removeprefix("detect.") for key, _, _ in documented_keys() if key.startswith("detect.")}
    assert keys == {*CHANGED, *ELSEWHERE}


@pytest.mark.parametrize("key", CHANGED)
def test_a_changed_setting_changes_facts_and_text(key: str, tmp_path: Path) -> None:
    base = base_of(key)
    sessions = [
        read_session(write(tmp_path / f"{i}.rtspikes", {"detect": detect}))
        for i, detect in enumerate((base, merged(base, nested(key, CHANGED[key]))))
    ]
    before, after = (facts_of(session) for session in sessions)
    assert before != after
    assert paragraphs(before) != paragraphs(after)


RULES_CHANGED: dict[str, list[dict[str, Any]]] = {
    "channels[].select": [{"select": "E1", "threshold": 6}, {"select": "E2", "threshold": 6}],
    "channels[].threshold": [{"select": "E1"}, {"select": "E1", "threshold": 6}],
    "channels[].threshold_uv": [{"select": "E1"}, {"select": "E1", "threshold_uv": 60}],
    "channels[].sign": [{"select": "E1"}, {"select": "E1", "sign": "pos"}],
    "channels[].dead_time_ms": [{"select": "E1"}, {"select": "E1", "dead_time_ms": 3}],
    "channels[].enabled": [{"select": "E1"}, {"select": "E1", "enabled": False}],
    "blank[].ms": [{"ms": 5}, {"ms": 6}],
    "blank[].line": [{"ms": 5}, {"ms": 5, "line": 1001}],
    "blank[].value": [{"ms": 5}, {"ms": 5, "value": 1}],
    "blank[].text": [{"ms": 5}, {"ms": 5, "text": "stim*"}],
    "blank[].select": [{"ms": 5}, {"ms": 5, "select": "E1"}],
}


def test_every_setting_of_rules_is_tried() -> None:
    keys = {key for key, _, _ in documented_keys() if key.startswith(("channels[]", "blank[]"))}
    assert keys == set(RULES_CHANGED)


@pytest.mark.parametrize("key", RULES_CHANGED)
def test_a_changed_rule_changes_the_text(key: str, tmp_path: Path) -> None:
    table = key.partition("[")[0]
    texts = {account(tmp_path / f"{i}.rtspikes", {table: [rule]}) for i, rule in enumerate(RULES_CHANGED[key])}
    assert len(texts) == 2


# what happened


def test_levels_in_force_are_those_of_the_table(path: Path) -> None:
    rng = np.random.default_rng(4)
    first, last = rng.uniform(4, 7, N + 1).round(2), rng.uniform(5, 9, N + 1).round(2)
    last[3] = 0
    late = levels(300_000, list(last + 1))
    ended = levels(150_000, list(last))
    ended.thresholds["negative_uv"][3] = np.nan
    session = read_session(
        write(path, None, levels(0, list(first)), levels(70_000, list(first + 1)), ended, late,
              replace(heard(0), to_sample=200_000))
    )  # fmt: skip
    facts = facts_of(session)
    text = text_of(session)
    begun = first[:N]
    assert facts["sigma_start_uv"] == {
        "median": pytest.approx(np.median(begun), abs=1e-5), "min": pytest.approx(begun.min(), abs=1e-5),
        "max": pytest.approx(begun.max(), abs=1e-5), "n": N,
    }  # fmt: skip
    known = np.delete(last[:N], 3)
    assert facts["threshold_falling_end_uv"]["median"] == pytest.approx(-4.65 * np.median(known), abs=1e-4)
    assert facts["threshold_updates"] == 2
    assert f"At the start σ was {np.median(begun):.2f} µV ({begun.min():.2f}–{begun.max():.2f} µV)" in text
    assert "after 2 updates" in text
    assert "At the end 1 electrode (E4) had no threshold" in text


def test_losses_are_told_by_cause_with_their_uncertainty(path: Path) -> None:
    batches = (
        heard(0, 10), gap(50_000, 300, cause=1), gap(60_000, 100, cause=1), gap(90_000, 4000, cause=5, uncertain=20),
        gap(110_000, 0, cause=3), replace(heard(150_000, 50), to_sample=200_000),
    )  # fmt: skip
    session = read_session(write(path, None, *batches))
    text = text_of(session)
    assert "4400 samples (± 20) of every channel (220 ms, 2.2 % of the session) were lost in 3 gaps, " in text
    assert "400 samples in 2 gaps by the source (the longest 15 ms)" in text
    assert "4000 samples in 1 gap while the source was disconnected" in text
    assert "in a loop (1 seam," in text
    lost = 4400 + 4 * session.info["settling_samples"]
    assert facts_of(session)["observed_s"]["median"] == pytest.approx((200_000 - lost) / RATE_HZ)
    assert f"{number((200_000 - lost) / RATE_HZ)} s per electrode" in text


def test_that_nothing_was_lost_is_told_too(path: Path) -> None:
    text = account(path)
    assert "The log is complete and covers 10 s of signal. No samples were lost. No message of the detector" in text
    assert "was 10 s per electrode, 160 s in total over 16 electrodes" in text
    assert "The settings of detection were not changed while the session ran." in text


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("spikes", "Time whose spikes were missed does not count as observed"),
        ("gaps", "No samples were lost as far as the log knows"),
        ("notices", "The settings of detection are not known to have been changed"),
    ],
)
def test_where_messages_were_missed_their_absence_proves_nothing(kind: str, said: str, path: Path) -> None:
    missed = (Missed(kind, 6, 3, 100, 20_100) if kind == "spikes" else Missed(kind, 6, 3),)
    text = account(path, None, replace(heard(0, missed=missed), to_sample=200_000))
    assert f"3 messages of the detector did not reach the log (3 of {kind})" in text
    assert said in text


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("open", "The log was not closed, because the session ran still or was cut off; it is complete up to 10 s"),
        ("engine vanished", "The log ended early (engine vanished); it is complete up to 10 s (sample 200,000)"),
        ("stopped", "Logging was stopped before the session ended; the log is complete up to 10 s"),
        ("another layout", "The log is complete and covers 10 s"),
    ],
)
def test_how_far_the_log_goes(how: str, said: str, path: Path) -> None:
    assert said in account(path, None, how=how)


def test_a_torn_tail_is_told(path: Path) -> None:
    write(path, None, how="open")
    with open(path / "spikes.bin", "ab") as file:
        file.write(b"x" * 20)
    assert "20 bytes behind the last complete entry were disregarded" in text_of(read_session(path))


def test_storms_blanking_rejections_and_health_are_counted(path: Path) -> None:
    batches = (
        notice(cause="storm", sample=100, count=90, channels=[2], text=""),
        notice(cause="storm_over", sample=40_100, count=1234, channels=[2], text=""),
        unobserved((100, 20_100, 2, 2), (20_100, 40_100, 2, 2), (50_000, 50_400, 0, 1), (50_000, 50_400, 1, 1)),
        rejected(5), rejected(6),
        notice(cause="noisy", sample=9, count=1, entered=[4], left=[], all=1, text=""),
        notice(cause="clock_reset", sample=9, count=1, step_s=-1.25, text=""),
        notice(cause="bad_samples", sample=9, count=7, text=""),
        marks(10, "a", "b"),
        replace(heard(0, 3), to_sample=200_000),
    )  # fmt: skip
    settings = {"detect": {"artifacts": {"slew_uv": 200}}}
    text = account(path, settings, *batches)
    assert (
        "this befell 1 electrode (E3) for 2 s (summed over electrodes), in which 1234 crossings were suppressed" in text
    )
    assert "Blanking took 40 ms (summed over electrodes) on 2 electrodes (E1, E2)" in text
    assert "2 events that a gap or the end of the signal cut short were not counted" in text
    assert "there was 1 electrode (E5) with a noise level far above" in text
    assert "The clock of the source stepped once, by 1.25 s at most" in text
    assert "7 samples of single channels" in text
    assert "2 marks were logged" in text
    assert "10.00 s (8.00–10.00 s) per electrode (median and range)" in text


def test_control_changes_are_told_with_their_times(path: Path) -> None:
    batches = (
        control(20_000, change="mute", select=["E1", "E2"]),
        control(30_000, change="blank", select="E3", ms=50.0),
        control(40_000, change="freeze"),
        control(60_000, change="unmute", select="E1"),
        control(65_000, change="shutdown"),
        replace(heard(0), to_sample=100_000),
    )
    text = account(path, None, *batches)
    assert (
        "Detection was changed 4 times while the session ran: at 1 s E1 and E2 were muted, at 1.5 s E3 was blanked for "
        "50 ms, at 2 s the noise level was frozen and at 3 s E1 was unmuted" in text
    )
    assert "“rtspikes replay --like” repeats the changes at their samples" in text
    assert "2 electrodes (E1, E2) were muted for a part of the session" in text
    assert "ended on request at 3.25 s" in text
    many = [control(20_000 + i, change="threshold", select="E1", threshold=5.0 + i / 10) for i in range(13)]
    assert "changed 13 times while the session ran: threshold 13 times" in account(
        path.with_name("m.rtspikes"), None, *many
    )


def test_counts_and_rates_are_per_observed_time(path: Path) -> None:
    several = replace(heard(0, 30), to_sample=200_000)
    session = read_session(write(path, None, unobserved((0, 100_000, 0, 1)), several))
    text = text_of(session)
    rates = np.array([10 / 5, 10 / 10, 10 / 10])
    assert "30 spikes were detected, on 3 of 16 electrodes (19 %)" in text
    assert (
        f"the mean of their rates was {rates.mean():.3g} spikes per second of observed time (range 1.00–2.00)" in text
    )


def test_mean_and_range_of_rates_have_the_same_digits(path: Path) -> None:
    session = read_session(write(path, None, replace(heard(0, 30), to_sample=200_000)))
    rates = {"median": 0.9, "min": 0.135, "max": 5.79, "n": 3}
    facts = {**facts_of(session), "active_mean_rate_hz": 1.3, "active_rate_hz": rates}
    assert "the mean of their rates was 1.30 spikes per second of observed time (range 0.135–5.79)" in "".join(
        paragraphs(facts)
    )


# short and silent sessions


def test_a_session_shorter_than_the_first_stretch_learnt_from_all_there_was(path: Path) -> None:
    text = account(path, None, levels(0, [5.0] * (N + 1)), replace(heard(0), to_sample=4000))
    assert "It was learnt from the first 200 ms; the log tells of no renewal." in text
    assert "from then on" not in text


def test_a_log_that_was_cut_off_does_not_shorten_the_first_stretch(path: Path) -> None:
    text = account(path, None, levels(0, [5.0] * (N + 1)), replace(heard(0), to_sample=4000), how="engine vanished")
    assert "It was learnt from the first 500 ms; the log tells of no renewal." in text


def test_a_change_of_thresholds_alone_is_no_renewal_of_the_noise_level(path: Path) -> None:
    muted = levels(10_000, [5.0] * (N + 1))
    muted.thresholds["negative_uv"][1] = np.nan
    begun, ended = levels(0, [5.0] * (N + 1)), replace(heard(0), to_sample=14_879)
    text = account(path, None, begun, control(10_000, change="mute", select="E2"), muted, ended, how="engine vanished")
    assert "It was learnt from the first 500 ms; the log tells of no renewal." in text
    assert "after 1 update" not in text
    assert "lack of" not in text
    renewed = levels(14_000, [5.2] * (N + 1))
    text = account(path.with_name("b.rtspikes"), None, begun, renewed, ended, how="engine vanished")
    assert "500 ms; from then on it was the level of the quiet pieces" in text
    assert "no renewal" not in text


def test_a_freeze_that_the_log_does_not_reach_is_not_told_as_done(path: Path) -> None:
    text = account(path, {"detect": {"noise": {"mode": "freeze", "freeze_after_s": 30}}})
    assert "From 30 s after the start on it would have been kept as it was; the log ends before." in text


def without_noise(sample: int, *positions: int) -> Batch:
    """Return the thresholds of all channels from `sample` on, none at `positions`, where there is no noise."""
    sigma = np.full(N + 1, 5.0)
    sigma[list(positions)] = 0
    found = levels(sample, list(sigma))
    found.thresholds["negative_uv"][list(positions)] = np.nan
    return found


@pytest.mark.parametrize("method", ["threshold", "energy", "window", "matched"])
def test_in_a_silent_session_nothing_was_learnt_and_nothing_could_be_found(method: str, path: Path) -> None:
    artifacts = {"coincidence": "reject"}
    settings = {"detect": {"method": method, "neighbours": {"exclusive": True}, "artifacts": artifacts}}
    silent = replace(heard(0, 0), to_sample=60_000)
    text = account(path, settings, *(without_noise(at, *range(N + 1)) for at in (0, 20_000, 40_000)), silent)
    assert "No electrode had measurable noise, and so none ever had a noise level." in text
    assert "No electrode had a threshold at any time, for lack of measurable noise: no spike could be found." in text
    assert ("a window would have held a spike" if method == "window" else "A spike would have been detected") in text
    for words in ("was learnt from the first", "spike was detected", "window held", "no events were", "none of no"):
        assert words not in text
    assert "only the one with the largest ratio of amplitude to threshold was kept; there were no events." in text
    assert "rejected as coincident: there were no events." in text
    assert "Observed time, as the log counts it, was 3 s per electrode, 48 s in total over 16 electrodes; this" in text
    assert "48 s (summed over electrodes) in which 16 electrodes had no threshold, for lack of measurable" in text
    assert "could have been found" not in text


def test_no_spikes_were_flagged_where_there_were_none(path: Path) -> None:
    text = account(path, None, levels(0, [5.0] * (N + 1)), replace(heard(0, 0), to_sample=60_000))
    assert "flagged as coincident and kept: there were no spikes." in text
    assert "reached 0.7 of the threshold; there were no events." in text


def test_observed_time_without_a_threshold_is_told_but_for_gaps_and_muting(path: Path) -> None:
    batches = (
        without_noise(0, 0, 1, 2), control(100_000, change="mute", select="E3"), without_noise(120_000, 0, 2),
        gap(150_000, 4000), replace(heard(0), to_sample=200_000),
    )  # fmt: skip
    session = read_session(write(path, None, *batches))
    text = text_of(session)
    lost = 4000 + session.info["settling_samples"]
    idle = (200_000 - lost) + 120_000 + 100_000
    assert facts_of(session)["observed_without_threshold_s"] == pytest.approx(idle / RATE_HZ)
    assert (
        f"this includes {seconds(idle / RATE_HZ)} (summed over electrodes) in which 3 electrodes (E1, E2, E3)" in text
    )
    assert "1 electrode (E1) never had a threshold, for lack of measurable noise" in text
    assert "At the end" not in text
    assert "A spike was detected where" in text


# other logs, other versions


def as_format(path: Path, version: int) -> None:
    """Make of a log what a writer of format 1 or 2 would have left."""
    rows = np.frombuffer((path / "journal.bin").read_bytes(), JOURNAL_DTYPE).copy()
    rows = rows[rows["file"] < FILES.index("flags.bin")]
    for name in FILES[FILES.index("flags.bin") :]:
        (path / name).unlink()
    if version == 1:
        table = np.fromfile(path / "gaps.bin", GAP_DTYPE)[list(GAPS_BEFORE_2.names or ())].astype(GAPS_BEFORE_2)
        (path / "gaps.bin").write_bytes(table.tobytes())
        rows = _with_gaps(rows, table.tobytes())
    (path / "journal.bin").write_bytes(rows.tobytes())
    facts = json.loads((path / "session.json").read_bytes())
    info = facts["info"]
    for name in ("blank", "filter_kind", "default_threshold", "decision_delay_samples", "unobserved_reasons"):
        info.pop(name, None)
    for name in ("rebound", "artifacts", "neighbours", "storm", "reference", "energy", "hoop", "matched", "window"):
        info["detect"].pop(name)
    info["detect"] |= {"threshold": 5.0, "filter": {"kind": "butterworth", "band_hz": [300, 3000], "order": 1}}
    info["software"]["version"] = "0.0.1"
    info["noise_estimator"] = "median(|x - median x|) / 0.67448975 of the filtered signal"
    (path / "session.json").write_text(json.dumps(facts | {"format": version}))


def _with_gaps(journal: np.ndarray, data: bytes) -> np.ndarray:
    """Return a journal of one flush whose record of gaps.bin tells of `data`."""
    for row in journal:
        if row["file"] == FILES.index("gaps.bin"):
            row["length"], row["crc32"] = len(data), zlib.crc32(data)
            row["check"] = zlib.crc32(row.tobytes()[:-4])
    return journal


@pytest.mark.parametrize("version", [1, 2])
def test_old_logs_are_told_without_what_they_do_not_say(version: int, path: Path) -> None:
    lost = gap(60_000, 200, cause=1)
    write(path, {"detect": {"filter": {"kind": "butterworth"}}}, lost, replace(heard(0), to_sample=200_000))
    as_format(path, version)
    text = text_of(read_session(path))
    assert "rtspikes 0.0.1" in text
    assert "by a first-order Butterworth high-pass at 300 Hz and a first-order Butterworth low-pass at 3 kHz." in text
    assert "median(|x − median(x)|)/0.67448975 (after Quiroga" in text
    assert "fell below −5 σ." in text
    assert "200 samples of every channel (10 ms, 0.1 % of the session) were lost in 1 gap, by the source." in text
    for words in ("60 ms", "after-swing", "coincident", "crossings within", "blank", "0.67448975 of"):
        assert words not in text


def test_a_version_whose_rules_are_not_known_is_told_without_their_numbers(path: Path) -> None:
    text = account(path, {"detect": {"method": "matched"}}, software={"name": "rtspikes", "version": "9.9"})
    assert "Events that the swing of the high-pass filter after an earlier deflection explained were rejected" in text
    assert "Ripples of the matched filter around larger spikes were rejected; none of 1 event" in text
    for numbers in ("1.5 times", "0.35", "4.7 σ", "0.25 s"):
        assert numbers not in text


def test_a_filter_that_its_settings_do_not_give_is_told_by_what_it_passed(path: Path) -> None:
    sections = design(FilterSettings(band_hz=(500, 5000), order=2), RATE_HZ).astype(float).tolist()
    text = account(path, None, filter_sections=sections)
    found = re.search(r"by 2 recursive second-order sections that passed (.+) Hz to (.+) kHz \(−3 dB\)", text)
    assert found is not None
    assert (float(found[1]), float(found[2])) == (pytest.approx(500, rel=0.03), pytest.approx(5, rel=0.03))


def test_libraries_are_named_where_the_log_tells_them(path: Path) -> None:
    software = {"name": "rtspikes", "version": "0.1.0", "numba": "0.61.2", "scipy": "1.15.0"}
    assert "with rtspikes 0.1.0 (Numba 0.61.2 and SciPy 1.15.0) in" in account(path, None, software=software)


def test_a_log_with_the_least_still_gives_its_losses(path: Path) -> None:
    writer = LogWriter(path, INFO, HandClock())
    writer.add(spikes(0, 30))
    writer.close("end")
    text = text_of(read_session(path))
    assert text.startswith("Spikes were detected with rtspikes in")
    assert "σ" not in text
    assert "30 spikes were detected, on 3 of 3 electrodes (100 %)" in text


DAMAGES: dict[str, Any] = {
    "detect": 5, "detect.noise": [], "detect.noise.window_s": "long", "detect.sign": 3, "detect.rebound.reject": "yes",
    "detect.hoop.hoops": {}, "filter_sections": [[1, 2]], "filter_kind": 4, "channel_rules": [{"select": "nobody"}],
    "dead_time_samples": [20], "software": "rtspikes", "default_threshold": float("nan"), "session_keys": [1],
    "blank": [7], "source.dtype": 8,
}  # fmt: skip


@pytest.mark.parametrize("key", DAMAGES)
def test_a_damaged_info_is_told_in_one_line(key: str, path: Path) -> None:
    write(path, {"detect": {"method": "hoop", "hoop": {"largest_uv": 100}}})
    facts = json.loads((path / "session.json").read_bytes())
    *outer, last = key.split(".")
    table = facts["info"]
    for name in outer:
        table = table[name]
    table[last] = DAMAGES[key]
    (path / "session.json").write_text(json.dumps(facts))
    with pytest.raises(DataError, match=r"session\.json.*damaged.*") as caught:
        text_of(read_session(path))
    assert "\n" not in str(caught.value)
    assert last in str(caught.value)


# what the package's versions do without telling


def test_the_rules_of_this_version_are_those_of_the_detector() -> None:
    spans = gather.Spans.at(RATE_HZ)
    assert RULES[__version__] == Rules(
        rebound_larger=rebound.LARGER,
        rebound_within_ms=rebound.LARGER_MS[0],
        rebound_least=rebound.LEAST,
        shadow_within_ms=shadow.EARLIER_MS,
        shadow_part=shadow.PART,
        shadow_least=shadow.LEAST,
        coincidence_least_electrodes=vetoes.LEAST_WELL,
        storm_release_s=storm.BINS * storm.BIN_S,
        energy_back_lags=2,
        matched_back_ms=matched.BACK_MS,
        matched_length_ms=spans.taps / RATE_HZ * 1e3,
        matched_before_ms=gather.BEFORE_MS,
        matched_update_s=gather.BLOCK_S,
        matched_spike_sigma=gather.SPIKE,
        matched_first_spike_sigma=gather.FIRST_SPIKE,
        matched_quiet_sigma=float(gather.QUIET),
        noisy_medians=health.NOISY,
    )
    info = stream()
    detector = Detector(info, config_from({"detect": {"method": "energy", "energy": {"k": 4}}}).detect)
    assert detector.method.back == 2 * 4
    assert method.REBOUND_METHODS == detector_module.REBOUND_METHODS


# citations and words


def test_what_is_cited_has_an_entry_and_nothing_else_has(path: Path) -> None:
    session = read_session(write(path, {"detect": {"method": "energy"}}))
    facts = facts_of(session)
    texts = paragraphs(facts)
    entries = bibtex(facts, texts)
    assert re.findall(r"@\w+{(\w+),", entries) == ["rtspikes", "quiroga2004", "mukhopadhyay1998", "choi2006"]
    assert "version = {0.1.0}," in entries
    assert entries.count("{") == entries.count("}")
    plain = read_session(write(path.with_name("b.rtspikes"), {"detect": {"threshold_uv": 40}}))
    assert re.findall(r"@\w+{(\w+),", bibtex(facts_of(plain), paragraphs(facts_of(plain)))) == ["rtspikes"]
    cited = set(re.findall(r"([A-Z]\w+ (?:et al\.|and [A-Z]\w+) \d{4})", "\n".join(texts)))
    assert cited == set(CITED)


def test_facts_are_plain_json(path: Path) -> None:
    facts = facts_of(read_session(write(path, GRID["blanking"][0])))
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (number(-4.65), "−4.65"), (number(123456789), "123,500,000"), (number(1e-7), "1e−07"), (hertz(350), "350 Hz"),
        (hertz(24414.0625), "24.4141 kHz"), (seconds(0.0414), "41.4 ms"), (seconds(4), "4 s"),
        (seconds(3600), "60 min"),
        (seconds(36_000), "10 h"), (counted(0, "gap"), "no gaps"), (counted(1, "gap"), "1 gap"),
        (counted(12_345, "gap"), "12,345 gaps"), (part(5, 85, "event"), "5 of 85 events (5.9 %)"),
        (part(0, 5, "event"), "none of 5 events"), (significant(1.3), "1.30"), (significant(1234.5), "1,230"),
        (significant(250.0), "250"), (significant(2.0), "2.00"), (listed("abc"), "a, b and c"), (listed("a"), "a"),
        (spread({"median": -20.0, "min": -21.04, "max": -3.0, "n": 3}, "µV"), "−20.0 µV (−21.0 to −3.0 µV)"),
        (spread({"median": 5.0, "min": 5.0, "max": 5.0, "n": 1}, "µV"), "5 µV"),
    ],
)  # fmt: skip
def test_numbers_are_as_a_paper_prints_them(said: str, expected: str) -> None:
    assert said == expected
