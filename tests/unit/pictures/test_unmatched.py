"""The picture of an evaluation: everything is on it, and no text lies on another."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtspikes.errors import DataError
from rtspikes.pictures import unmatched
from rtspikes.pictures.unmatched import SHOWN, draw_evaluation, evenly
from rtspikes.subscribers.evaluation import Evaluation, evaluate
from rtspikes.subscribers.mistakes import Signals, missed_spikes, unmatched_events
from tests.unit.subscribers.sessions import labelled, session

pytest.importorskip("matplotlib", reason="pictures need matplotlib")

LONG = "WWWWWWWWWWWWWWWWWWWW"


def scene(n: int, channels: int = 4, snr: bool = True, kind: str = "", **about: Any) -> Evaluation:
    """Return n true spikes found on each channel, n missed, and n events of nothing."""
    rng = np.random.default_rng(n + channels)
    places = [(2000 + 97 * i, i % channels) for i in range(3 * n * channels)]
    found, missed, false = places[::3], places[1::3], places[2::3]
    heights = rng.uniform(1, 9, len(found) + len(false)).tolist()
    log = session(
        [*found, *false], end=10**7, enabled=[True] * channels, heights=heights,
        rejected=[(at, channel, 3) for at, channel in missed[::4]], **about,
    )  # fmt: skip
    truth = [*found, *missed]
    return evaluate(log, labelled(truth, rng.uniform(3, 50, len(truth)).tolist() if snr else None, kind=kind))


def signals_of(evaluation: Evaluation) -> Signals:
    rng = np.random.default_rng(1)
    return {m.row: rng.normal(0, 8, 32).astype(np.float32) for m in missed_spikes(evaluation)}


def draw(evaluation: Evaluation, signals: Signals | None, path: Path) -> None:
    draw_evaluation(evaluation, unmatched_events(evaluation), missed_spikes(evaluation), signals, path)


def texts(svg: Path) -> list[str]:
    return ["".join(t.itertext()) for t in ElementTree.parse(svg).iter() if t.tag.endswith("}text")]


CASES = {
    "few": scene(2),
    "no SNR": scene(1, snr=False),
    "one channel": scene(5, channels=1, snr=False),
    "many channels": scene(3, channels=200),
    "long labels, late": scene(3, channels=20, labels=[f"{LONG}{i}" for i in range(20)], rate_hz=0.02),
    "many long labels": scene(3, channels=200, kind=LONG * 4, labels=[f"{LONG}{i}" for i in range(200)]),
    "formulas": scene(2, channels=2, labels=["$x^2$", "$\\frac$"]),
    "nothing": evaluate(session(), labelled([])),
    "all missed": evaluate(session(), labelled([(100 * i + 50, 0) for i in range(20)])),
    "another method": scene(2, detect={"method": "matched"}),
}


def assert_apart(evaluation: Evaluation, signals: Signals | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw, and assert that no text lies on another or leaves the picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    figures: list[Any] = []
    drawn: dict[int, Text] = {}
    draw_text = Text.draw

    def keep(text: Text, renderer: Any) -> None:
        if text.get_visible() and text.get_text().strip():
            drawn[id(text)] = text
        draw_text(text, renderer)

    def measure(figure: Any, path: Path) -> None:
        figures.append(figure)
        drawn.clear()
        FigureCanvasAgg(figure).draw()
        whole = figure.bbox
        boxes = [(text.get_text(), text.get_window_extent()) for text in drawn.values()]
        assert len(boxes) > 3
        for text, box in boxes:
            assert whole.x0 <= box.x0, text
            assert box.x1 <= whole.x1, text
            assert whole.y0 <= box.y0, text
            assert box.y1 <= whole.y1, text
        for (a, one), (b, other) in itertools.combinations(boxes, 2):
            apart = one.x1 <= other.x0 or other.x1 <= one.x0 or one.y1 <= other.y0 or other.y1 <= one.y0
            assert apart, f"{a!r} lies on {b!r}"

    monkeypatch.setattr(Text, "draw", keep)
    monkeypatch.setattr(unmatched, "save", measure)
    draw(evaluation, signals, Path("unused.png"))
    assert len(figures) == 1


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("with_signals", [True, False], ids=["recording", "no recording"])
def test_no_text_lies_on_another_or_leaves_the_picture(
    name: str, with_signals: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluation = CASES[name]
    assert_apart(evaluation, signals_of(evaluation) if with_signals else None, monkeypatch)


def test_it_names_what_it_shows(tmp_path: Path) -> None:
    evaluation = scene(6, channels=3)
    draw(evaluation, signals_of(evaluation), tmp_path / "a.svg")
    told = texts(tmp_path / "a.svg")
    assert "recall 0.500 (18 of 36)     precision 0.500 (18 of 36)" in told
    for heading in (
        "12 of 18 unmatched events, evenly over their height",
        "12 of 18 missed spikes, evenly over their SNR",
    ):
        assert heading in told
    assert {"recall and precision", "amplitude / threshold", "events", "µV", "ms from the label"} <= {*told}
    assert {"18 matched", "18 unmatched", "threshold", "label ± tolerance", "signal", "waveform"} <= {*told}
    assert sum(" × threshold" in text for text in told) == SHOWN
    assert told.count("no event") + told.count("rejected: coincidence") == SHOWN


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("ground_truth", "labels: ground truth"),
        ("vendor", "labels: vendor (another detector's)"),
        ("by eye", "labels: by eye"),
        ("", "labels of no kind"),
    ],
)
def test_it_says_of_which_session_and_labels_it_is(kind: str, said: str, tmp_path: Path) -> None:
    draw(scene(1, kind=kind), None, tmp_path / "a.svg")
    line = next(text for text in texts(tmp_path / "a.svg") if text.startswith("session "))
    assert [part.strip() for part in line.split("·")] == ["session a.rtspikes", said, "matched within ± 1 ms"]


def test_of_many_channels_the_worst_are_named(tmp_path: Path) -> None:
    places = [(100 * i + 50, i) for i in range(30)]
    bad = [3, 7, 11, 12, 20, 25]
    evaluation = evaluate(
        session([place for place in places if place[1] not in bad], enabled=[True] * 30), labelled(places)
    )
    draw(evaluation, None, tmp_path / "a.svg")
    told = texts(tmp_path / "a.svg")
    assert {"30 channels, the lowest F1 first:", "E4, E8, E12, E13, E21"} <= {*told}
    perfect = evaluate(session(places, enabled=[True] * 30), labelled(places))
    draw(perfect, None, tmp_path / "b.svg")
    assert "30 channels, the lowest F1 first" in texts(tmp_path / "b.svg")


def test_a_flat_signal_has_no_scale_of_its_rounding_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    log = session()
    log.thresholds["negative_uv"] = np.nan
    evaluation = evaluate(log, labelled([(100 * i + 50, 0) for i in range(8)]))
    flat = {row: np.linspace(1e-12, 3e-12, 32).astype(np.float32) for row in signals_of(evaluation)}
    assert_apart(evaluation, flat, monkeypatch)


def test_without_a_recording_it_says_so_and_what_it_knows(tmp_path: Path) -> None:
    draw(scene(1, channels=3), None, tmp_path / "a.svg")
    told = texts(tmp_path / "a.svg")
    assert any("the session's recording is not here; name it with --recording FILE" in text for text in told)
    assert sum("· no event" in text or "· rejected" in text for text in told) == 3


def test_what_lies_outside_of_the_recording_is_said_to(tmp_path: Path) -> None:
    evaluation = scene(1, channels=3)
    nowhere = {row: np.full(32, np.nan, np.float32) for row in signals_of(evaluation)}
    draw(evaluation, nowhere, tmp_path / "a.svg")
    assert texts(tmp_path / "a.svg").count("not in the") == 3


def test_events_near_a_missed_spike_are_marked(tmp_path: Path) -> None:
    log = session([(1008, 0), (1012, 1), (993, 0)])
    evaluation = evaluate(log, labelled([(1000, 0), (1008, 0)]))
    draw(evaluation, {0: np.zeros(32, np.float32)}, tmp_path / "a.svg")
    told = texts(tmp_path / "a.svg")
    assert {"matched event", "unmatched event"} <= {*told}
    assert "event of an excused spike" not in told


def test_a_png_is_the_same_every_time(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        draw(scene(2), None, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_a_place_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot write"):
        draw(scene(1), None, tmp_path / "no" / "a.png")


def test_what_is_shown_is_spread_evenly_from_the_first_to_the_last() -> None:
    mistakes = unmatched_events(scene(30, channels=4))
    some = evenly(mistakes)
    at = [mistakes.index(mistake) for mistake in some]
    assert (len(some), at[0], at[-1]) == (SHOWN, 0, len(mistakes) - 1)
    assert np.ptp(np.diff(at)) <= 1
    assert evenly(mistakes[:5]) == mistakes[:5]
