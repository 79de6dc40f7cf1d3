"""Whatever a sender put into its description, texts of bounded size come of it."""

from __future__ import annotations

import pytest

from rtspikes.errors import SourceError
from rtspikes.lsl import description
from rtspikes.lsl.description import channel_entries, text_at
from rtspikes.lsl.text import quoted, shown, some
from tests.unit.lsl.streams import channels, stream


def test_entries_are_texts_by_name() -> None:
    said = channels({"label": " A ", "unit": "µV <&>"}, {"location": "<X>1</X><y>2</y><Z>3</Z>", "other": "x"})
    assert list(channel_entries(stream(said), 9)) == [
        {"label": "A", "unit": "µV <&>"},
        {"location/X": "1", "location/y": "2"},
    ]


def test_the_first_of_several_entries_counts_and_blocks_follow_each_other() -> None:
    said = stream(channels({"label": "A"}) + channels({"label": "B"}) + "<channels><x/><channel/></channels>")
    assert list(channel_entries(said, 9)) == [{"label": "A"}, {"label": "B"}, {}]
    twice = stream("<channels><channel><label>A</label><label>B</label></channel></channels>")
    assert list(channel_entries(twice, 9)) == [{"label": "A"}]


def test_no_more_than_asked_for_are_read() -> None:
    assert len(list(channel_entries(stream(channels(*[{"label": "A"}] * 10)), 3))) == 3
    assert list(channel_entries(stream(""), 3)) == []


def test_the_length_of_all_texts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(description, "MOST_CHARACTERS", 100)
    assert len(list(channel_entries(stream(channels({"label": "x" * 50}, {"unit": "x" * 50})), 2))) == 2
    with pytest.raises(SourceError, match="must have 100 characters at most"):
        list(channel_entries(stream(channels({"label": "x" * 50}, {"unit": "x" * 51})), 2))


def test_texts_are_found_by_their_path() -> None:
    said = stream("<a><b> c </b></a><d>e</d>")
    assert [text_at(said, *path) for path in (("a", "b"), ("d",), ("a", "x"), ("x", "y"), ("d", "e"))] == [
        "c",
        "e",
        "",
        "",
        "",
    ]


@pytest.mark.parametrize(
    "desc",
    [
        "<a>" * 50_000 + "</a>" * 50_000,  # as XML text, 2.5 GB of indentation
        "<channels><channel>" * 50_000 + "</channel></channels>" * 50_000,
        "<channels><channel><label>" + "<a>" * 50_000 + "</a>" * 50_000 + "</label></channel></channels>",
        "<channels><channel><label>&#1;&#xD800;&bomb;<![CDATA[<x>]]></label></channel></channels>",
        "<channels><channel><a b></channel></channels>",
        "<!-- --><?x y?><channels>text<channel>text</channel></channels>",
    ],
)
def test_strange_trees_are_no_danger(desc: str) -> None:
    assert len(list(channel_entries(stream(desc), 9))) <= 1


def test_text_is_shown_in_one_line() -> None:
    assert shown(" a  b\n\tc ") == "a b c"
    assert shown("\x1b[31mred\x07 \u202e \x9b") == "\\x1b[31mred\\x07 \\u202e \\x9b"
    assert shown("µV ü 電極") == "µV ü 電極"
    assert shown("x" * 300, 10) == "x" * 9 + "…"
    assert shown("\0" * 10_000_000, 10) == "\\x00\\x00\\…"
    assert shown(" " * 100 + "x", 10) == "…"


def test_text_is_quoted_and_cut() -> None:
    assert quoted("a\x1bb") == r"'a\x1bb'"
    assert quoted("x" * 50, 5) == "'xxxx…'"
    assert some(["a", "b"]) == "'a', 'b'"
    assert some(map(str, range(9))) == "'0', '1', '2', '3', '4' …"
