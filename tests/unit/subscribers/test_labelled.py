"""Labelled spikes as people and programs write them, and files that are no labels."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtspikes.errors import ConfigError, DataError, RtspikesError
from rtspikes.subscribers.labelled import FURTHEST, LONGEST_LINE, Labelled, read_labelled

INFO = {"rate_hz": 20000.0, "channels": {"label": ["E1", "E2", "E10", "7"]}}
ONE = {"rate_hz": 20000.0, "channels": {"label": ["E1"]}}


def read(path: Path, content: str | bytes, kind: str | None = None, info: dict[str, object] = INFO) -> Labelled:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_labelled(path, info, kind)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "labels.csv"


def rows(labelled: Labelled) -> list[tuple[int, int]]:
    return list(zip(labelled.sample.tolist(), labelled.channel.tolist(), strict=True))


def test_every_column_is_read_and_the_order_kept(file: Path) -> None:
    found = read(file, "kind,sample,channel,label,snr\nground_truth,90,E2,a,5.5\nvendor,1,0,b,\nground_truth,20,0,,\n")
    assert rows(found) == [(90, 1), (20, 0)]
    assert (found.kind, list(found.unit)) == ("ground_truth", ["a", ""])
    np.testing.assert_array_equal(found.snr, [5.5, np.nan])


@pytest.mark.parametrize(
    "content",
    [
        "sample,channel\n100,1\n2000,2\n",
        "\ufeffsample,channel\r\n100,1\r\n2000,2\r\n",
        "sample,channel\r100,1\r2000,2",
        'Sample , "channel"\n"100"," E2 "\n\n2000,"E10"\n\n',
        "channel;sample;note\n1;100;a,b\n2;2000;\n",
        "time_s\tchannel\n0.005\t1\n0.1\t2\n",
        "time_s;channel\n0,005;1\n0,1;2\n",
        "time_s,channel_label\n5e-3,E2\n.1,E10\n",
        "sample,channel\n100.0,1.0\n2e3,2.0\n",
        "sample,channel,time_s\n100,1,7\n2000,2,nonsense\n",
        "sample,channel,,\n100,1,,\n2000,2,,,,\n",
        "\n\nsample,channel\n100,1\n2000,2\n",
    ],
    ids=["plain", "BOM, CRLF", "CR", "quoted", "semicolons", "tabs", "decimal commas", "labels", "floats",
         "sample before time", "empty columns", "empty lines"],
)  # fmt: skip
def test_the_same_spikes_in_other_words(content: str, file: Path) -> None:
    assert rows(read(file, content)) == [(100, 1), (2000, 2)]


def test_a_channel_label_is_a_label_even_if_it_is_a_number(file: Path) -> None:
    assert rows(read(file, "sample,channel_label\n5,7\n")) == [(5, 3)]
    with pytest.raises(
        DataError, match=r"line 2: channel must be a position 0 … 3, or a label, got '7'; .*'channel_la"
    ):
        read(file, "sample,channel\n5,7\n")


def test_a_single_channel_need_not_be_named(file: Path) -> None:
    for content in ("sample\n5\n", "kind,sample,channel,label\nx,5,,0\n"):
        assert rows(read(file, content, info=ONE)) == [(5, 0)]
    with pytest.raises(DataError, match="line 2: channel must be a position or a label of the session, got ''"):
        read(file, "sample\n5\n")


def test_the_kind_is_the_one_asked_for_or_the_truth_or_the_only_one(file: Path) -> None:
    both = "kind,sample,channel\nvendor,1,0\nground_truth,2,0\nvendor,3,0\n"
    assert read(file, both).sample.tolist() == [2]
    assert read(file, both, "vendor").sample.tolist() == [1, 3]
    assert read(file, "kind,sample,channel\nvendor,1,0\n").kind == "vendor"
    assert read(file, "sample,channel\n1,0\n").kind == ""
    with pytest.raises(ConfigError, match="no rows of kind 'vendro'; did you mean 'vendor'"):
        read(file, both, "vendro")
    with pytest.raises(ConfigError, match=r"several kinds of rows: 'b' \(2\), 'a' \(1\); choose one with --kind"):
        read(file, "kind,sample,channel\na,1,0\nb,1,0\nb,2,0\n")
    with pytest.raises(ConfigError, match="no column 'kind'"):
        read(file, "sample,channel\n1,0\n", "vendor")


def test_rows_of_other_kinds_may_be_anything(file: Path) -> None:
    assert read(file, "kind,sample,channel\nx,nonsense,99\ny,1,0\n", "y").sample.tolist() == [1]


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "nan", "inf", "1_0", "9" * 30, str(FURTHEST + 2), "0x10", "²"])
def test_a_sample_is_a_whole_number(text: str, file: Path) -> None:
    with pytest.raises(DataError, match=rf"{re.escape(str(file))}, line 3: sample must be a whole number .*, got '"):
        read(file, f"sample,channel\n1,0\n{text},0\n")


@pytest.mark.parametrize("text", ["", "x", "-0.1", "nan", "inf", "1e300", "1,5"])
def test_a_time_is_a_number_from_0_on(text: str, file: Path) -> None:
    with pytest.raises(DataError, match=r"line 2: time_s must be a number ≥ 0 \(s from sample 0\), got"):
        read(file, f'channel,time_s\n0,"{text}"\n')


@pytest.mark.parametrize("text", ["-1", "x", "inf", "1_0"])
def test_an_snr_is_a_number_or_not_known(text: str, file: Path) -> None:
    with pytest.raises(DataError, match="line 2: snr must be a number ≥ 0, or empty, got"):
        read(file, f"sample,channel,snr\n1,0,{text}\n")
    assert np.isnan(read(file, "sample,channel,snr\n1,0,NaN\n").snr).all()


@pytest.mark.parametrize(
    ("channel", "told"),
    [
        ("4", "must be a position 0 … 3, or a label, got '4'"),
        ("-1", "must be a position 0 … 3, or a label, got '-1'"),
        ("1.5", "must be a position"),
        ("inf", "must be a position"),
        ("E11", "did you mean 'E1'?"),
        ("x" * 5000, "known: E1, E2, E10, 7"),
    ],
)
def test_a_channel_is_one_of_the_session(channel: str, told: str, file: Path) -> None:
    with pytest.raises(DataError) as raised:
        read(file, f"sample,channel\n1,{channel}\n")
    assert told in str(raised.value)
    assert len(str(raised.value)) < len(str(file)) + 300


def test_a_label_that_two_channels_have_is_refused(file: Path) -> None:
    info = {"rate_hz": 1.0, "channels": {"label": ["A", "A"]}}
    with pytest.raises(DataError, match="got 'A', which 2 channels are"):
        read(file, "sample,channel\n1,A\n", info=info)
    assert rows(read(file, "sample,channel\n1,1\n", info=info)) == [(1, 1)]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "line 1: the header must name a column 'sample' or 'time_s'"),
        (b"a,b\n1,2\n", "got 'a, b'"),
        (b"sample,channel\n", "has no row below its header"),
        (b"sample,sample\n1,2\n", "each column once, got 'sample' 2 times"),
        (b"sample,channel\n1,0,5\n", "line 2: a row must have 2 fields as the header has, got 3"),
        (b'sample,channel\n1,"0\n', "not a row of a CSV file"),
        (b'sample,channel\n"1"2,0\n', "line 2: not a row of a CSV file"),
        (b"sample,channel\n1,\xff\n", "must be a CSV file in UTF-8"),
        ("sample,channel\n1,0\n".encode("utf-16"), "must be a CSV file in UTF-8"),
        (bytes(3 * LONGEST_LINE), "a line must be shorter than"),
        (b"sample,channel\n1," + b"x" * 3 * LONGEST_LINE, "line 2: a line must be shorter than"),
        (b'sample,channel\n1,"' + b"x\n" * 3 * LONGEST_LINE, "not a row of a CSV file: field larger"),
    ],
)
def test_what_is_no_table_is_refused_in_a_line(content: bytes, told: str, file: Path) -> None:
    with pytest.raises(DataError) as raised:
        read(file, content)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_folder_and_nothing_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.csv"):
        with pytest.raises(DataError, match="cannot be read"):
            read_labelled(path, INFO)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=200) | st.text('sample,chnE10;"\n\r\t-.xkd', max_size=80).map(str.encode),
    header=st.booleans(),
)
def test_garbage_is_read_or_refused(content: bytes, header: bool, file: Path) -> None:
    try:
        found = read(file, b"kind,sample,channel,snr\n" * header + content)
    except RtspikesError:
        return
    assert len(found.sample) == len(found.channel) == len(found.unit) == len(found.snr) > 0
    assert ((found.channel >= 0) & (found.channel < 4)).all()
    assert ((found.sample >= 0) & (found.sample <= FURTHEST)).all()
