"""Streams' descriptions → layouts, and back; what is refused, and with which words."""

from __future__ import annotations

import time
import uuid
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtspikes.errors import ConfigError, RtspikesError, SourceError
from rtspikes.lsl import description, load
from rtspikes.lsl import metadata as module
from rtspikes.lsl.find import find, parse_address
from rtspikes.lsl.metadata import FORMATS, describe, outlet_info
from rtspikes.types import ChannelInfo, StreamInfo
from tests.unit.lsl.streams import NOTHING, Claim, Overrides, channels, stream

UV = {"unit": "microvolts"}


def read(desc: str, n: int = 2, **kwargs: Any) -> module.Described:
    return describe(stream(desc, n, **kwargs), "lsl:x", NOTHING)


def labels(desc: str, n: int = 2) -> list[str]:
    return read(desc, n).info.labels


def layout(*made: ChannelInfo, dtype: Any = "int16", rate_hz: float = 20000.0) -> StreamInfo:
    return StreamInfo("sim:x", rate_hz, dtype, made, live=True)


def round_trip(info: StreamInfo) -> StreamInfo:
    said = outlet_info(info, name="MEA", type="Ephys", source_id="a-1")
    found = describe(said, "lsl:MEA", NOTHING)
    assert found.warnings == ()
    return found.info


ALL_PROPERTIES = layout(
    ChannelInfo("A-00", 0, "electrode", "12", "B2", -0.1, 200.5, 0.195, -6389.76),
    ChannelInfo("#0", 1, "electrode", None, None, 17.3, None, 1.0),
    ChannelInfo("µ <&>\"'", 2, "reference", None, "B2", 1e-3, 1e6, -1e3),
    ChannelInfo("4", 3, "ground", gain_uv=1e6),
    ChannelInfo("5", 4, "aux", gain_uv=37.4e-6),
    ChannelInfo("6", 5, "aux"),
    ChannelInfo("ttl", 6, "trigger"),
    ChannelInfo("8", 7, "unconnected"),
    dtype="float32",
    rate_hz=29999.95,
)


def test_what_an_outlet_says_is_read_as_it_was() -> None:
    info = round_trip(ALL_PROPERTIES)
    assert info.channels == ALL_PROPERTIES.channels
    assert (info.rate_hz, info.dtype, info.live, info.n_samples) == (29999.95, "float32", True, None)
    assert info.facts["positions"] == "mm"


names = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=20)
finite = st.floats(-1e7, 1e7)
gains = st.floats(1e-12, 1e12).flatmap(lambda g: st.sampled_from([g, -g, 1.0, 1e3, 1e6]))
made_channels = st.builds(
    lambda label, kind, electrode, well, x, y, gain, offset: (label, kind, electrode, well, x, y, gain, offset),
    names,
    st.sampled_from(["electrode", "reference", "ground", "aux", "trigger", "unconnected"]),
    st.none() | names,
    st.none() | names,
    st.none() | finite,
    st.none() | finite,
    gains,
    st.floats(-1e11, 1e11),
)


@given(st.lists(made_channels, min_size=1, max_size=6, unique_by=lambda c: c[0]))
def test_any_layout_is_read_as_it_was(said: list[Any]) -> None:
    made = [ChannelInfo(c[0], i, *c[1:]) for i, c in enumerate([("E", "electrode", *said[0][2:]), *said[1:]])]
    if len({c.label for c in made}) == len(made):
        info = describe(outlet_info(layout(*made), name="MEA", type="", source_id=""), "lsl:MEA", NOTHING).info
        assert info.channels == tuple(made)


def test_the_type_of_a_stream_is_that_of_its_electrodes_unless_it_means_something_else() -> None:
    for name, word in (("ECoG", "ECoG"), ("Markers", "electrode"), ("", "electrode")):
        said = outlet_info(layout(ChannelInfo("A", 0)), name="x", type=name, source_id="")
        assert said.get_channel_types() == [word]


def array(n: int) -> StreamInfo:
    places = [(i % 64 * 17.5, i // 64 * 17.5) for i in range(n)]
    return layout(*[ChannelInfo(f"E{i}", i, "electrode", f"{i}", f"W{i % 6}", *places[i], 0.195) for i in range(n)])


def test_thousands_of_channels_are_read_as_they_were() -> None:
    assert round_trip(array(4096)).channels == array(4096).channels


def test_the_time_that_reading_takes_grows_no_faster_than_the_channels() -> None:
    def spent(n: int) -> float:
        said = outlet_info(array(n), name="MEA", type="Ephys", source_id="x")
        before = time.process_time()
        describe(said, "lsl:MEA", NOTHING)
        return time.process_time() - before

    assert min(spent(8192) for _ in range(3)) < 64 * min(spent(512) for _ in range(3))  # 16 times the channels


def test_extra_texts_go_where_their_path_says() -> None:
    extra = {"acquisition/manufacturer": "Me & co", "acquisition/model": "a\x00b", "settings": "x"}
    said = outlet_info(layout(ChannelInfo("A", 0)), name="x", type="y", source_id="z", extra=extra)
    facts = describe(said, "lsl:x", NOTHING).info.facts
    assert (facts["manufacturer"], facts["model"]) == ("Me & co", "a\\x00b")
    assert said.desc().child_value("settings") == "x"


def test_an_outlet_needs_a_name_and_channels() -> None:
    with pytest.raises(ConfigError, match="name must not be empty"):
        outlet_info(layout(ChannelInfo("A", 0)), name=" ", type="", source_id="")
    with pytest.raises(ConfigError, match="1 … 65536 channels here, got 0"):
        outlet_info(layout(), name="x", type="", source_id="")


def test_what_arrives_over_the_network_is_read_as_it_was() -> None:
    pylsl, tag = load(), uuid.uuid4().hex
    kept = pylsl.StreamOutlet(outlet_info(array(4096), name=tag, type="Ephys", source_id=tag))
    (there,) = find(parse_address(tag), 30.0)
    inlet = pylsl.StreamInlet(there, recover=False)
    found = describe(inlet.info(30.0), f"lsl:{tag}", NOTHING)
    assert (found.info.channels, found.warnings) == (array(4096).channels, ())
    assert found.info.facts["uid"] == kept.get_info().uid()
    assert found.info.facts["created_at"] > 0


# what others say


def test_labels_that_are_missing_are_numbers_from_1() -> None:
    assert labels(channels({"label": "A"} | UV, UV)) == ["A", "2"]
    assert labels(channels({"name": "A"} | UV, {"label": "", "name": "B"} | UV)) == ["A", "B"]


def test_labels_that_several_have_are_numbered_and_told() -> None:
    said = [{"label": x} | UV for x in ("A", "A", "A_2", "A", "2", "")]
    found = read(channels(*said), 6)
    assert found.info.labels == ["A", "A_3", "A_2", "A_4", "2", "6"]
    assert found.warnings == ("labels that several channels have are numbered: 'A_3', 'A_4'",)


def test_many_equal_labels_take_no_longer_than_others() -> None:
    found = labels(channels(*[{"label": "A"} | UV] * 20_000), 20_000)
    assert (len(set(found)), found[-1]) == (20_000, "A_20000")


def test_labels_are_printable_and_short() -> None:
    found = read(channels({"label": "\x1b[2J"} | UV, {"label": "x" * 1000} | UV).replace("\x1b", "&#27;"))
    assert found.info.labels == ["\\x1b[2J", "x" * 63 + "…"]
    assert found.warnings == ("labels are shown in one line of 64 characters at most (2 channels)",)


@pytest.mark.parametrize(
    ("word", "kind"),
    [("EEG", "electrode"), ("ECoG", "electrode"), ("Ephys", "electrode"), ("", "electrode"), ("REF", "reference")]
    + [("GND", "ground"), ("AUX", "aux"), ("EMG", "aux"), ("Trigger", "trigger"), ("TTL", "trigger")]
    + [("stim", "trigger"), ("Markers", "trigger"), ("NC", "unconnected"), ("Digital In", "trigger")],
)
def test_types_are_kinds(word: str, kind: str) -> None:
    assert read(channels({"type": word} | UV, UV)).info.channels[0].kind == kind


def test_unknown_types_are_electrodes_and_told() -> None:
    found = read(channels({"type": "Blub\x07"} | UV, UV).replace("\x07", "&#7;"))
    assert found.info.channels[0].kind == "electrode"
    assert found.warnings == (r"channels of unknown type ('Blub\x07') are taken for electrodes",)


def test_a_unit_that_is_no_voltage_is_that_of_no_electrode() -> None:
    said = channels({"label": "A", "type": "EEG"} | UV, {"label": "triggerStream", "type": "EEG", "unit": "code"})
    found = read(said)
    assert [c.kind for c in found.info.channels] == ["electrode", "trigger"]
    assert found.warnings == ("channels whose unit is no voltage ('triggerStream') are not taken for electrodes",)
    assert [c.kind for c in read(channels(UV, {"unit": "m/s²"})).info.channels] == ["electrode", "aux"]


def test_other_kinds_need_no_unit() -> None:
    found = read(channels(UV, {"type": "TTL", "unit": "furlong"}))
    assert found.info.channels[1].gain_uv == 1.0
    assert found.info.facts["unit"] == "microvolts"


def test_a_stream_without_electrodes_is_told() -> None:
    assert read(channels({"type": "AUX"}, {"type": "AUX"})).warnings == ("no channel is an electrode",)


@pytest.mark.parametrize(
    ("place", "xy", "positions"),
    [
        ("<X>0.2</X><Y>-1.5</Y><Z>9</Z>", (200.0, -1500.0), "mm, assumed"),
        ("<X>0.2</X><Y>-1.5</Y><unit>mm</unit>", (200.0, -1500.0), "mm"),
        ("<X>200</X><Y>1e1</Y><unit>µm</unit>", (200.0, 10.0), "µm"),
        ("<x>0.0002</x><y>0</y><unit>Meters</unit>", (200.0, 0.0), "meters"),
        ("<X>0,5</X>", (500.0, None), "mm, assumed"),
        ("Cz", (None, None), None),
        ("<X/><Y/>", (None, None), None),
    ],
)
def test_positions_are_micrometres(place: str, xy: tuple[Any, Any], positions: str | None) -> None:
    found = read(channels({"location": f"<!-- -->{place}"} | UV, UV))
    assert (found.info.channels[0].x_um, found.info.channels[0].y_um) == xy
    assert found.info.facts.get("positions") == positions
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("<X>1</X><Y>2</Y><unit>furlong</unit>", "positions in the unknown unit 'furlong' are left out (1 channel)"),
        ("<X>nan</X>", "positions that are no number of at most 10 m are left out (1 channel)"),
        ("<X>1e300</X>", "positions that are no number of at most 10 m are left out (1 channel)"),
    ],
)
def test_positions_that_are_none_are_left_out_and_told(place: str, told: str) -> None:
    found = read(channels({"location": f"<!-- -->{place}"} | UV, UV))
    assert (found.info.channels[0].x_um, found.info.channels[0].y_um) == (None, None)
    assert found.warnings == (told,)


@pytest.mark.parametrize("described", [1, 3])
def test_another_number_of_entries_is_told_and_only_their_common_unit_is_taken(described: int) -> None:
    said = [{"label": f"A{i}", "unit": "mV", "type": "EEG"} for i in range(described)]
    found = read(channels(*said))
    assert found.info.channels == (ChannelInfo("1", 0, gain_uv=1e3), ChannelInfo("2", 1, gain_uv=1e3))
    count = "more than 2" if described > 2 else described
    told = f"{count} channels are described but 2 come: descriptions are left out, labels are 1 … 2"
    assert found.warnings == (told,)


def test_entries_that_disagree_are_no_unit_for_another_number_of_channels() -> None:
    said = channels({"unit": "mV"}, {"unit": "V"}, {"unit": "V"})
    with pytest.raises(
        SourceError, match="lsl:x: more than 2 channels .*; the units of its channels differ; say source.uv_per"
    ):
        read(said)
    found = describe(stream(said), "lsl:x", Overrides(uv_per_unit=0.5))
    assert [c.gain_uv for c in found.info.channels] == [0.5, 0.5]


def test_no_description_is_told_and_needs_the_unit() -> None:
    with pytest.raises(SourceError) as refused:
        read("")
    assert str(refused.value) == (
        "lsl:x: no channel is described: labels are 1 … 2, all are taken for electrodes; the units of its channels are "
        "not given; say source.uv_per_unit (1: the values are µV)"
    )
    found = describe(stream(""), "lsl:x", Overrides(uv_per_unit=-2.0))
    assert found.info.channels == (ChannelInfo("1", 0, gain_uv=-2.0), ChannelInfo("2", 1, gain_uv=-2.0))
    assert found.warnings == ("no channel is described: labels are 1 … 2, all are taken for electrodes",)


def test_a_unit_of_unknown_size_is_refused_unless_the_settings_say_it() -> None:
    said = channels({"label": "A", "unit": "furlong"}, {"label": "B", "unit": "counts"})
    with pytest.raises(SourceError) as refused:
        read(said)
    assert str(refused.value) == (
        "lsl:x: channel 'A' (and 1 more): the unit 'furlong' has no known size; say source.uv_per_unit "
        "(1: the values are µV)"
    )
    found = describe(stream(said), "lsl:x", Overrides(uv_per_unit=0.195))
    assert [c.gain_uv for c in found.info.channels] == [0.195, 0.195]
    assert found.info.labels == ["A", "B"]
    assert found.warnings == ()


def test_the_rate_is_the_stream_s_or_the_settings() -> None:
    two = channels(UV, UV)
    assert read(two, rate_hz=25000.0).info.rate_hz == 25000.0
    with pytest.raises(SourceError, match="lsl:x: it says no sampling rate .*say source.rate_hz"):
        read(two, rate_hz=0.0)
    found = describe(stream(two, rate_hz=0.0), "lsl:x", Overrides(rate_hz=10000.0))
    assert (found.info.rate_hz, found.info.facts["nominal_rate_hz"], found.warnings) == (10000.0, 0.0, ())
    found = describe(stream(two, rate_hz=100.0), "lsl:x", Overrides(rate_hz=10000.0))
    assert found.info.rate_hz == 10000.0
    assert found.warnings == ("it says a rate of 100 Hz; 10000 Hz is taken, as source.rate_hz says",)


@pytest.mark.parametrize("rate", [-1.0, float("nan"), float("inf"), 1e8])
def test_absurd_rates_are_refused_unless_the_settings_say_it(rate: float) -> None:
    with pytest.raises(SourceError, match="lsl:x: its sampling rate must be > 0 and ≤ 1e.07 Hz, got .*source.rate_hz"):
        describe(Claim(rate=rate), "lsl:x", Overrides(uv_per_unit=1.0))
    info = describe(Claim(rate=rate), "lsl:x", Overrides(uv_per_unit=1.0, rate_hz=1e4)).info
    assert info.rate_hz == 1e4
    assert info.facts["nominal_rate_hz"] is None or np.isfinite(info.facts["nominal_rate_hz"])


@pytest.mark.parametrize(
    ("form", "dtype", "conversion"),
    [("int16", "int16", None), ("float32", "float32", None), ("int8", "int16", "int8 to int16")]
    + [("int32", "float32", "int32 to float32"), ("double64", "float32", "double64 to float32")]
    + [("int64", "float32", "int64 to float32")],
)
def test_formats_are_stored_as_the_ring_can(form: str, dtype: str, conversion: str | None) -> None:
    info = read(channels(UV, UV), form=form).info
    assert (info.dtype, info.facts.get("conversion"), info.facts["format"]) == (dtype, conversion, form)


def test_formats_are_those_of_liblsl() -> None:
    assert {code: form.name for code, form in FORMATS.items()} == {
        getattr(load(), f"cf_{form.name}"): form.name for form in FORMATS.values()
    }


def test_texts_are_no_signal() -> None:
    with pytest.raises(
        SourceError, match=r"lsl:x: 'MEA' carries texts, no signal; markers are read with \[\[markers\]\]"
    ):
        read("", form="string", rate_hz=0.0)


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        (Claim(n=0), "its channel_count must be 1 … 65536, got 0"),
        (Claim(n=65537), "its channel_count must be 1 … 65536, got 65537"),
        (Claim(form=0), "its channel_format must be one of float32, double64, int32, int16, int8, int64, got number 0"),
        (Claim(n=60000, rate=1e6), "60000 channels of int16 at 1e.06 Hz make 120 GB/s; 4 GB/s at most can be taken"),
    ],
)
def test_sizes_beyond_all_bounds_are_refused(claim: Claim, words: str) -> None:
    with pytest.raises(SourceError, match=f"^lsl:x: {words}$"):
        describe(claim, "lsl:x", Overrides(uv_per_unit=1.0))


def test_descriptions_beyond_all_bounds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    said = channels({"label": "AA"} | UV, {"label": "BB"} | UV)
    monkeypatch.setattr(module, "MOST_NAMES_BYTES", 3)
    with pytest.raises(SourceError, match="^lsl:x: the names of its channels must have 3 bytes at most, got 4$"):
        read(said)
    monkeypatch.setattr(description, "MOST_CHARACTERS", 23)
    with pytest.raises(SourceError, match="^lsl:x: the description of its channels must have 23 characters at most"):
        read(said)


@pytest.mark.parametrize("settings", [Overrides(uv_per_unit=0.0), Overrides(1.0, -1.0), Overrides(1.0, float("inf"))])
def test_settings_that_break_a_rule_are_refused(settings: Overrides) -> None:
    with pytest.raises(ConfigError, match=r"^source\.(uv_per_unit|rate_hz) must be"):
        describe(Claim(), "lsl:x", settings)


def test_facts_are_bounded_and_printable() -> None:
    made = Claim(text="\x1b" + "x" * 10_000, created=float("nan"))
    facts = describe(made, "lsl:x", Overrides(uv_per_unit=1.0)).info.facts
    for key in ("name", "type", "source_id", "hostname", "uid", "session_id"):
        assert facts[key].startswith("\\x1bx")
        assert len(facts[key]) == 200
    assert facts["created_at"] is None


def test_who_made_it_and_its_lags_are_facts() -> None:
    more = (
        "<acquisition><manufacturer>MCS</manufacturer><model>MEA2100</model><compensated_lag>0.012</compensated_lag>"
        "</acquisition><synchronization><offset_mean>-0.003</offset_mean></synchronization>"
    )
    facts = read(channels(UV, UV, more=more)).info.facts
    assert (facts["manufacturer"], facts["model"]) == ("MCS", "MEA2100")
    assert (facts["compensated_lag_s"], facts["offset_mean_s"]) == (0.012, -0.003)


@pytest.mark.parametrize("lag", ["10", "-11", "nan", "soon", "1e999"])
def test_lags_that_cannot_be_are_ignored_and_told(lag: str) -> None:
    found = read(channels(UV, UV, more=f"<acquisition><compensated_lag>{lag}</compensated_lag></acquisition>"))
    assert "compensated_lag_s" not in found.info.facts
    assert found.warnings == (f"its acquisition/compensated_lag must be seconds within ±10, got '{lag}': ignored",)


def test_a_stream_without_source_id_is_told() -> None:
    assert read(channels(UV, UV), source_id="").warnings == (
        "it has no source_id: after a restart it is found again by the address alone",
    )


@given(st.binary(max_size=300), st.integers(0, 3))
def test_no_description_makes_it_fail_otherwise(noise: bytes, at: int) -> None:
    parts = [b"<channels><channel>", b"<label>A</label>", b"<unit>uV</unit><location><X>1</X></location>"]
    desc = b"".join([*parts[:at], noise, *parts[at:], b"</channel></channels>"])
    try:
        said = stream(desc.decode("latin-1"), 1)
    except AssertionError:  # liblsl refused it
        return
    for settings in (NOTHING, Overrides(uv_per_unit=1.0)):
        try:
            found = describe(said, "lsl:x", settings)
        except RtspikesError as error:
            texts = [str(error)]
        else:
            texts = [*found.warnings, *found.info.labels]
        assert all(text.isprintable() for text in texts)


def test_bytes_that_are_no_text_are_latin_1() -> None:
    said = channels({"label": "\udcffA"} | UV, UV)  # the byte 0xff
    assert labels(said) == ["ÿA", "2"]
