from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text

from rtspikes.errors import DataError
from rtspikes.pictures.style import BLUE, save
from rtspikes.pictures.tuning import draw_tuning
from tests.unit.pictures.tunings import TUNINGS, four, tuning, view


def _drawn(name):
    figure = draw_tuning(TUNINGS[name]())
    figure.draw_without_rendering()
    return figure


def _ticks(axis):
    """Return the names of an axis's ticks, and those of them that can be seen."""
    low, high = sorted(axis.get_view_interval())
    slack = 1e-6 * (high - low)
    names = axis.get_majorticklabels()
    seen = [
        name
        for name, at in zip(names, axis.get_majorticklocs(), strict=bool(names))
        if low - slack <= at <= high + slack
    ]
    return [*names, *axis.get_minorticklabels()], seen


def _texts(figure):
    """Return every text that can be seen, and the axes that it belongs to."""
    hidden, found = set(), []
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            every, seen = _ticks(axis)
            hidden |= set(every) - set(seen)
    for text in figure.findobj(Text):
        if text not in hidden and text.get_visible() and text.get_text().strip():
            found.append(text)
    return found


def _extent(text):
    """Return where a text is, without the box behind it."""
    return Text.get_window_extent(text)


@pytest.fixture(params=list(TUNINGS), scope="module")
def figure(request):
    return _drawn(request.param)


def test_no_two_texts_overlap_and_none_leaves_the_page(figure):
    texts = _texts(figure)
    assert len(texts) > 20
    page = figure.bbox
    extents = [_extent(text) for text in texts]
    for text, box in zip(texts, extents, strict=True):
        assert page.x0 <= box.x0 < box.x1 <= page.x1, text
        assert page.y0 <= box.y0 < box.y1 <= page.y1, text
    for (one, a), (other, b) in combinations(zip(texts, extents, strict=True), 2):
        apart = a.x1 <= b.x0 + 1 or b.x1 <= a.x0 + 1 or a.y1 <= b.y0 + 1 or b.y1 <= a.y0 + 1
        assert apart, (one.get_text(), other.get_text())


def test_no_text_lies_on_the_axes_of_another_panel(figure):
    for text in _texts(figure):
        box = _extent(text)
        for axes in figure.axes:
            frame = axes.get_window_extent()
            inside = box.x1 > frame.x0 + 1 and frame.x1 > box.x0 + 1 and box.y1 > frame.y0 + 1 and frame.y1 > box.y0 + 1
            assert not inside or text.axes is axes, (text.get_text(), axes.get_ylabel())


def test_no_two_axes_overlap(figure):
    for one, other in combinations(figure.axes, 2):
        a, b = one.get_window_extent(), other.get_window_extent()
        assert a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 or b.y1 <= a.y0


def test_every_axis_has_a_label_with_a_unit(figure):
    unit = re.compile(r"\((Hz|σ|[mµn]V|units|ms|µm|number|label|channels?)\)|time \(ms\) from|each \S+ (µm|electrodes)")
    bars = [each.colorbar.ax for axes in figure.axes for each in axes.collections if each.colorbar]
    for axes in figure.axes:
        along = [each.get_xlabel() for each in axes.get_shared_x_axes().get_siblings(axes)]
        up = [each.get_ylabel() for each in axes.get_shared_y_axes().get_siblings(axes)]
        assert any(map(unit.search, up)), up
        assert any(map(unit.search, along)) or axes in bars, along


def test_texts_are_large_enough_to_read_at_half_a_page(figure):
    assert min(text.get_fontsize() for text in _texts(figure)) >= 7


def test_colours_are_few_and_of_the_palette(figure):
    used = {to_hex(line.get_color()) for axes in figure.axes for line in axes.get_lines()}
    assert used <= {"#0072b2", "#8c8c8c", "#d55e00", "#222222", "#009e73", "#9ccbe8", "#00304d", "#ffffff"}


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_writes_a_picture(tmp_path, suffix):
    path = tmp_path / f"page{suffix}"
    save(draw_tuning(TUNINGS["array"]()), path)
    assert path.stat().st_size > 50_000
    if suffix == ".svg":
        assert "detect.threshold = 4.65" in path.read_text("utf-8")


def test_an_svg_is_the_same_every_time(tmp_path):
    paths = [tmp_path / name for name in ("one.svg", "other.svg")]
    for path in paths:
        save(draw_tuning(TUNINGS["one channel"]()), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_says_where_it_cannot_write(tmp_path):
    with pytest.raises(DataError, match="cannot write .*-o"):
        save(draw_tuning(TUNINGS["one channel"]()), tmp_path / "no" / "page.png")


def _marks(axes):
    """Return the times (ms) of the ticks that mark events above a strip."""
    return [line.get_xdata() for line in axes.get_lines() if line.get_marker() == "|"][0]


def test_a_strip_marks_its_events_and_draws_them_blue():
    shown = view(events=(19, 7, 0))
    figure = draw_tuning(tuning((shown,), 1))
    for axes, n in zip(figure.axes[:3], (19, 7, 0), strict=True):
        np.testing.assert_allclose(_marks(axes), 5.0 + 10.0 * np.arange(n))
        blue = [line for line in axes.get_lines() if line.get_color() == BLUE and line.get_linestyle() == "-"][0]
        at = np.flatnonzero(np.isfinite(blue.get_ydata()))
        assert len(at) == n * 31  # from 0.5 ms before to 1 ms behind, 20 samples a ms
        if n:
            assert (at[0], at[30]) == (90, 120)


def test_events_beyond_the_stretch_are_not_marked():
    figure = draw_tuning(tuning((view(events=(500, 500, 500)),), 1))
    assert all(len(_marks(axes)) == 20 for axes in figure.axes[:3])


def test_thresholds_are_drawn_where_they_are_compared():
    def heights(axes):
        return sorted(line.get_ydata()[0] for line in axes.get_lines() if line.is_dashed())

    signal = draw_tuning(tuning((view(lines_of=lambda h: (-h, h)),), 1, sign="both"))
    np.testing.assert_allclose([heights(axes) for axes in signal.axes[:3]], [[-18.5, 18.5], [-23.25, 23.25], [-29, 29]])
    energy = draw_tuning(tuning((view(compared=True, lines_of=lambda h: (h,)),), 1, method="energy"))
    assert [heights(axes) for axes in energy.axes[:3]] == [[], [], []]
    np.testing.assert_allclose(heights(energy.axes[3]), [18.5, 23.25, 29])


def _said(figure):
    return [text.get_text() for text in figure.findobj(Text)]


def test_the_suggestion_stands_out_only_where_it_is_a_candidate():
    def bold(figure):
        return [
            text.get_text() for text in figure.axes[0].texts + figure.axes[1].texts if text.get_fontweight() == "bold"
        ]

    assert bold(draw_tuning(tuning((view(),), 1))) == ["4.65 σ"]
    assert bold(draw_tuning(tuning((view(levels=(3.0, 4.0, 5.0)),), 1))) == []


def test_says_why_there_is_no_plateau():
    assert "no plateau: hardly any spikes" in _said(draw_tuning(TUNINGS["no events"]()))
    assert "no plateau: noise unknown" in _said(draw_tuning(TUNINGS["no noise known"]()))


def test_says_the_threshold_in_the_settings():
    assert any("the settings say 5 σ" in text for text in _said(draw_tuning(tuning(four(), current=5.0))))
    assert not any("settings" in text for text in _said(draw_tuning(tuning(four()))))


def test_rates_are_of_the_seconds_looked_at():
    said = _said(draw_tuning(tuning((view(events=(60, 46, 2)),), 1)))
    assert {"3 events/s", "2.3 events/s", "0.1 events/s"} <= set(said)


def test_dead_channels_are_rings_and_the_others_squares():
    made = tuning(four(), 60)
    made = dataclasses.replace(made, rates_hz=np.where(np.arange(60) % 10 == 5, np.nan, made.rates_hz))
    axes = next(a for a in draw_tuning(made).axes if a.get_xlabel() == "x (µm)")
    squares, rings = axes.collections
    assert (len(squares.get_array()), len(rings.get_offsets())) == (60 - 6 - 1, 6 + 1)
    np.testing.assert_allclose(squares.get_array()[:5], made.rates_hz[:5])


def test_is_imported_where_matplotlib_is_not():
    code = "import sys; sys.modules['matplotlib'] = None; import rtspikes.pictures.tuning"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
