from __future__ import annotations

import json

from rtspikes.subscribers.view.happenings import KEPT, MOST_TEXT, Happenings


def test_a_page_is_told_of_what_it_has_not_seen() -> None:
    happened = Happenings()
    happened.add("marks", sample=5, text="drug")
    assert json.loads(happened.message(0)) == {
        "t": "happened", "all": True, "marks": [{"sample": 5, "text": "drug"}], "gaps": [], "notices": [],
    }  # fmt: skip
    seen = happened.count
    happened.add("gaps", sample=9, lost=3)
    later = json.loads(happened.message(seen))
    assert (later["all"], later["marks"], later["gaps"]) == (False, [], [{"sample": 9, "lost": 3}])


def test_texts_and_numbers_are_bounded() -> None:
    happened = Happenings()
    for sample in range(KEPT + 5):
        happened.add("notices", sample=sample, text="x" * 10_000)
    notices = json.loads(happened.message(0))["notices"]
    assert [notices[0]["sample"], len(notices)] == [5, KEPT]
    assert {len(notice["text"]) for notice in notices} == {MOST_TEXT}
