"""Draws an evaluation: how much of the labelled spikes was found, and a look at what was not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtspikes.pictures.style import BLACK, BLUE, FONT_PT, GREEN, GREY, RED, save, styled
from rtspikes.subscribers.evaluation import Evaluation, Event, Tally
from rtspikes.subscribers.labelled import DETECTORS, TRUE_KIND
from rtspikes.subscribers.mistakes import Mistake, Signals, thresholds_uv

AROUND_S = 4e-3
"""Signal (s) that is shown on either side of a missed spike."""

SHOWN = 12
"""Of unmatched events, and of missed spikes, at most."""

COLUMNS = 6
LIST_COLUMNS = 3
WIDTH_IN, TOP_IN, ROW_IN, HEADING_IN, LINE_IN, EMPTY_IN = 12.0, 3.65, 1.55, 0.8, 0.24, 0.45
ABOVE_IN, BELOW_IN = 0.9, 0.75
"""Above and below the panels of the summary."""

MOST_CHANNELS = 24
"""More are not named one by one."""

WORST_NAMED = 5
"""Of many channels."""

SMALL_PT = 8.5
UPRIGHT_IN = 0.42

MOST_TOLD = 8
"""Bars with their counts above them, at most."""

BINS = 24

FLAT_UV = 0.01
"""A signal that moves no more (a dead electrode's) is drawn flat, not its rounding errors."""

IN_VIEW = "in view"
"""Marks what the scale must include."""

LEGEND = (
    "label ± tolerance", "signal", "waveform", "threshold", "matched event", "unmatched event",
    "event of an excused spike",
)  # fmt: skip
"""What a legend names, in this order."""

COMPARED_WITH_SIGNAL = ("threshold", "hoop", "window")
"""Methods whose threshold is a height of the signal that is drawn."""


def draw_evaluation(
    evaluation: Evaluation,
    unmatched: Sequence[Mistake],
    missed: Sequence[Mistake],
    signals: Signals | None,
    path: Path,
) -> None:
    """Draw the figures of an evaluation, and up to SHOWN mistakes of each kind, evenly over the lists.

    signals: around missed spikes (see `Signals`), AROUND_S on either side; None where there is no recording.
    """
    some = [evenly(list(mistakes)) for mistakes in (unmatched, missed)]
    drawn = [True, signals is not None]
    heights = [TOP_IN, *(_grid_in(len(m), as_axes) for m, as_axes in zip(some, drawn, strict=True))]
    with styled() as Figure:  # noqa: N806
        figure = Figure(figsize=(WIDTH_IN, sum(heights)))
        top, *grids = figure.subfigures(3, 1, height_ratios=heights)
        _summary(top, evaluation)
        _head(grids[0], _heading("unmatched events", some[0], unmatched), heights[1])
        _grid(grids[0], some[0], evaluation, {}, heights[1])
        _head(grids[1], _heading("missed spikes", some[1], missed), heights[2])
        if signals is None:
            _list(grids[1], some[1], heights[2])
        else:
            _grid(grids[1], some[1], evaluation, signals, heights[2])
        save(figure, path)


def evenly(mistakes: list[Mistake]) -> list[Mistake]:
    """Return SHOWN of the mistakes, from the first to the last in equal steps; all where there are no more."""
    if len(mistakes) <= SHOWN:
        return mistakes
    return [mistakes[i] for i in np.linspace(0, len(mistakes) - 1, SHOWN).round().astype(int)]


def _heading(what: str, shown: Sequence[Mistake], mistakes: Sequence[Mistake]) -> str:
    if not mistakes:
        return f"No {what}"
    if len(shown) == len(mistakes):
        return f"{len(mistakes)} {what[:-1] if len(mistakes) == 1 else what}"
    by = "their height" if mistakes[0].kind == "unmatched" else "their SNR" if mistakes[0].snr > 0 else "time"
    return f"{len(shown)} of {len(mistakes)} {what}, evenly over {by}"


# how much was found


def _summary(figure: Any, evaluation: Evaluation) -> None:
    total = evaluation.total
    figure.suptitle(
        f"recall {_share(total.found, total.missed)}     precision {_share(total.found, total.unmatched)}",
        x=0.012, y=1 - 0.08 / TOP_IN, ha="left", va="top", fontsize=13, fontweight="bold", color=BLACK,
    )  # fmt: skip
    figure.text(
        0.012, 1 - 0.35 / TOP_IN, _compared(evaluation), ha="left", va="top", fontsize=SMALL_PT, color="#555555"
    )
    by_channel, by_snr, by_unit = evaluation.by_channel, evaluation.by_snr, evaluation.by_unit
    n = 1 + (len(by_channel) > 1) + bool(by_snr or by_unit)
    panels = list(figure.subplots(1, max(n, 2)))
    figure.subplots_adjust(left=0.06, right=0.985, top=1 - ABOVE_IN / TOP_IN, bottom=BELOW_IN / TOP_IN, wspace=0.2)
    if len(by_channel) > 1 or n == 1:
        _channels(panels.pop(0), evaluation, by_channel)
    if by_snr or by_unit:
        _recalls(panels.pop(0), by_snr or by_unit, "SNR of the label" if by_snr else "unit")
    _heights(panels.pop(0), evaluation)


def _compared(evaluation: Evaluation) -> str:
    """Return what was compared with what, and how."""
    kind, rate = evaluation.truth.kind, float(evaluation.session.info["rate_hz"])
    name = _fitting(evaluation.session.path.name, 0.4 * WIDTH_IN, SMALL_PT)
    if not kind:
        labels = "labels of no kind"
    elif kind == TRUE_KIND:
        labels = "labels: ground truth"
    else:
        labels = f"labels: {_fitting(kind, 0.2 * WIDTH_IN, SMALL_PT)}"
        labels += " (another detector's)" * kind.startswith(DETECTORS)
    return f"session {name}   ·   {labels}   ·   matched within ± {evaluation.tolerance / rate * 1e3:.4g} ms"


def _name_ticks(axes: Any, names: Sequence[str]) -> None:
    """Name the ticks 0, 1, 2 …; upright where they have no room side by side."""
    room_in = 0.9 * axes.get_position().width * WIDTH_IN / max(len(names), 3)
    upright = any(_width_in(_escaped(name), SMALL_PT) > room_in for name in names) and room_in < UPRIGHT_IN
    fitting = [_fitting(name, UPRIGHT_IN if upright else room_in, SMALL_PT) for name in names]
    axes.set_xticks(np.arange(len(names)), fitting, rotation=90 if upright else 0, fontsize=SMALL_PT)


def _share(n: int, others: int) -> str:
    return f"{n / (n + others):.3f} ({n} of {n + others})" if n + others else "– (0 of 0)"


def _channels(axes: Any, evaluation: Evaluation, by_channel: dict[int, Tally]) -> None:
    """Draw recall and precision of each channel, or of all in their order when there are many."""
    labels = evaluation.session.info["channels"]["label"]
    worst = sorted(by_channel, key=lambda channel: float(np.nan_to_num(by_channel[channel].f1, nan=2)))
    few = len(worst) <= MOST_CHANNELS
    at = np.arange(len(worst))
    recall, precision = (np.array([getattr(by_channel[c], name) for c in worst]) for name in ("recall", "precision"))
    if few:
        axes.vlines(at, np.fmin(recall, precision), np.fmax(recall, precision), color=GREY, linewidth=1, zorder=1)
        _name_ticks(axes, [str(labels[c]) for c in worst])
    size = 42 if few else 10
    axes.scatter(
        at, recall, 2 * size, facecolor="none", edgecolor=BLUE, linewidths=1.6 if few else 0.9, label="recall",
        zorder=3, clip_on=False,
    )  # fmt: skip
    axes.scatter(at, precision, size, color=RED, marker="D", label="precision", zorder=2, clip_on=False, linewidths=0)
    below = [str(labels[c]) for c in worst if by_channel[c].f1 < 1][:WORST_NAMED]
    width_in = axes.get_position().width * WIDTH_IN
    named = f":\n{_fitting(', '.join(below), width_in, FONT_PT)}" if below else ""
    axes.set(
        xlabel="channel, the lowest F1 first" if few else f"{len(worst)} channels, the lowest F1 first{named}",
        ylabel="recall and precision", ylim=(0, 1), xlim=(-0.6, max(len(worst), 2) - 0.4),
    )  # fmt: skip
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, borderaxespad=0.2, handletextpad=0.3)


def _recalls(axes: Any, tallies: dict[str, Tally], what: str) -> None:
    """Draw the recall of each group of labelled spikes, with how many there are."""
    at = np.arange(len(tallies))
    recall = np.nan_to_num([tally.recall for tally in tallies.values()])
    axes.bar(at, recall, width=0.62, color=BLUE)
    many = len(tallies) > MOST_TOLD
    for i, tally in enumerate(tallies.values()):
        told = f"{tally.found}\nof {tally.found + tally.missed}" if tally.found + tally.missed else "all\nexcused"
        axes.text(i, float(recall[i]) + 0.02, "" if many else told, ha="center", va="bottom", fontsize=9, color=BLACK)
    _name_ticks(axes, [name or "none" for name in tallies])
    axes.set(xlabel=what, ylabel="recall", ylim=(0, 1 if many else 1.25), xlim=(-0.6, max(len(at), 3) - 0.4))
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.spines["left"].set_bounds(0, 1)


def _heights(axes: Any, evaluation: Evaluation) -> None:
    """Draw how high above their thresholds matched and unmatched events are."""
    spikes = evaluation.session.spikes
    with np.errstate(divide="ignore", invalid="ignore"):
        height = np.abs(spikes["amplitude_uv"] / spikes["threshold_uv"]).astype(float)
    known = np.isfinite(height) & (height > 0)
    if not known.any():
        _say(axes, "no events with a height")
        return
    low, high = min(1.0, float(height[known].min())), max(1.5, float(np.percentile(height[known], 99.5)))
    edges = np.geomspace(low, high, BINS + 1)
    shown = np.clip(height, low, high)
    kinds = ((Event.MATCHED, BLUE, "matched", None), (Event.UNMATCHED, RED, "unmatched", "////"))
    for kind, colour, name, hatch in kinds:
        of = shown[known & (evaluation.events == kind)]
        axes.hist(
            of, edges, histtype="stepfilled", facecolor=(colour, 0.3), edgecolor=colour, linewidth=1.4,
            label=f"{len(of)} {name}", hatch=hatch,
        )  # fmt: skip
    axes.set_xscale("log")
    ticks = [t for t in (0.5, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 100) if low <= t <= high]
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.minorticks_off()
    method = evaluation.session.info["detect"]["method"]
    other = "" if method in COMPARED_WITH_SIGNAL else f" of {method!r}"
    axes.set(xlabel=f"amplitude / threshold{other}", ylabel="events", xlim=(low, high))
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, borderaxespad=0.2)


# a look at mistakes


def _grid_in(n: int, as_axes: bool) -> float:
    """Return the height (inches) of the part of the picture that shows n mistakes."""
    if not n:
        return EMPTY_IN
    return HEADING_IN + ROW_IN * -(-n // COLUMNS) if as_axes else HEADING_IN + LINE_IN * -(-n // LIST_COLUMNS)


def _head(figure: Any, heading: str, height: float) -> None:
    figure.text(0.012, 1 - 0.06 / height, heading, ha="left", va="top", fontsize=13, fontweight="bold", color=BLACK)


def _list(figure: Any, mistakes: Sequence[Mistake], height: float) -> None:
    """Name mistakes whose signal is not known."""
    if mistakes:
        why = "Their signal cannot be drawn: the session's recording is not here; name it with --recording FILE."
        figure.text(0.02, 1 - 0.42 / height, why, ha="left", va="top", color=BLACK)
    for i, mistake in enumerate(mistakes):
        row, column = divmod(i, LIST_COLUMNS)
        width = 0.95 * WIDTH_IN / LIST_COLUMNS
        text = _fitting(f"{_place(mistake, 0.6 * width, SMALL_PT)} · {mistake.why}", width, SMALL_PT)
        x, y = 0.02 + column * 0.97 / LIST_COLUMNS, 1 - (0.72 + row * LINE_IN) / height
        figure.text(x, y, text, ha="left", va="top", fontsize=SMALL_PT, color=BLACK)


def _grid(figure: Any, mistakes: Sequence[Mistake], evaluation: Evaluation, signals: Signals, height: float) -> None:
    """Draw mistakes in rows of COLUMNS, the scale of each row its own."""
    if not mistakes:
        return
    axes = figure.subplots(-(-len(mistakes) // COLUMNS), COLUMNS, squeeze=False, sharex=True, sharey="row")
    figure.subplots_adjust(left=0.06, right=0.985, top=1 - 0.62 / height, bottom=0.5 / height, wspace=0.1, hspace=0.52)
    legend: dict[str, Any] = dict.fromkeys(LEGEND)
    for i, mistake in enumerate(mistakes):
        if mistake.kind == "unmatched":
            legend |= _event(axes.flat[i], mistake, evaluation)
        else:
            legend |= _missed(axes.flat[i], mistake, evaluation, signals.get(mistake.row))
    for i, each in enumerate(axes.flat):
        each.set_visible(i < len(mistakes))
        each.tick_params(length=2.5)
        each.xaxis.get_major_locator().set_params(nbins=4, prune="both")
        if i % COLUMNS == 0:
            each.set_ylabel("µV")
        if i + COLUMNS >= len(mistakes):
            each.tick_params(labelbottom=True)
            each.set_xlabel("ms from the event" if mistakes[0].kind == "unmatched" else "ms from the label")
    for row in axes:
        _zoom(row)
    if legend := {name: handle for name, handle in legend.items() if handle is not None}:
        figure.legend(
            legend.values(), legend.keys(), loc="upper right", ncols=len(legend), borderaxespad=0.1,
            bbox_to_anchor=(0.99, 1 - 0.02 / height), handletextpad=0.4, columnspacing=1.4,
        )  # fmt: skip


def _zoom(axes: Any) -> None:
    """Give a row the scale of its typical signal, thresholds and events included; one large deflection may leave it."""
    extents = [np.ravel(line.get_ydata()) for each in axes for line in each.get_lines() if len(line.get_xdata()) > 2]
    others = [np.ravel(line.get_ydata()) for each in axes for line in each.get_lines() if line.get_gid() == IN_VIEW]
    if not extents:
        return
    low, high = (2 * float(np.median([f(extent) for extent in extents])) for f in (np.nanmin, np.nanmax))
    most = np.concatenate([*extents])
    low, high = max(low, float(np.nanmin(most))), min(high, float(np.nanmax(most)))
    levels = np.concatenate([[low, high], *others]).astype(float)
    margin = 0.06 * float(np.ptp(levels)) if np.ptp(levels) > FLAT_UV else 1.0
    axes[0].set_ylim(float(levels.min()) - margin, float(levels.max()) + margin)


def _event(axes: Any, mistake: Mistake, evaluation: Evaluation) -> dict[str, Any]:
    """Draw an event's waveform and the threshold that it passed; return what the legend names."""
    session = evaluation.session
    waveform = session.waveforms[mistake.row]
    ms = (np.arange(len(waveform)) - session.info["snippet_samples"][0]) / session.info["rate_hz"] * 1e3
    (line,) = axes.plot(ms, waveform, color=RED, linewidth=1.2)
    axes.plot(0, mistake.amplitude_uv, "o", color=RED, markersize=3.5, gid=IN_VIEW)
    axes.margins(x=0.02)
    _title(axes, mistake, f"{mistake.height:.2f} × threshold")
    return {"waveform": line} | _levels(axes, evaluation, np.array([mistake.threshold_uv]))


def _missed(axes: Any, mistake: Mistake, evaluation: Evaluation, signal: NDArray[np.float32] | None) -> dict[str, Any]:
    """Draw the signal around a missed spike, and the events near it; return what the legend names."""
    session, rate = evaluation.session, float(evaluation.session.info["rate_hz"])
    _title(axes, mistake, mistake.why)
    if signal is None or not np.isfinite(signal).any():
        _say(axes, "not in the\nrecording")
        return {}
    ms = (np.arange(len(signal)) - len(signal) // 2) / rate * 1e3
    tolerance_ms = evaluation.tolerance / rate * 1e3
    axes.axvspan(-tolerance_ms, tolerance_ms, color=GREEN, alpha=0.16, linewidth=0)
    place = axes.axvline(0, color=GREEN, linewidth=1.2)
    (line,) = axes.plot(ms, signal, color="#555555", linewidth=0.9)
    axes.set_xlim(ms[0], ms[-1])
    found = {"label ± tolerance": place, "signal": line}
    spikes = session.spikes
    near = spikes["sample"] - mistake.sample
    near = np.flatnonzero((spikes["channel"] == mistake.channel) & (np.abs(near) < len(signal) // 2))
    for row in near:
        kind = Event(int(evaluation.events[row]))
        name, colour, marker = {
            Event.MATCHED: ("matched event", BLUE, "v"),
            Event.UNMATCHED: ("unmatched event", RED, "X"),
            Event.NEAR_EXCUSED: ("event of an excused spike", BLACK, "s"),
        }[kind]
        at = (int(spikes["sample"][row]) - mistake.sample) / rate * 1e3
        (found[name],) = axes.plot(
            at, 0.95, marker, color=colour, markersize=5, linestyle="none", transform=axes.get_xaxis_transform()
        )
    return found | _levels(axes, evaluation, thresholds_uv(evaluation, [mistake.row])[0])


def _levels(axes: Any, evaluation: Evaluation, levels_uv: NDArray[np.float64]) -> dict[str, Any]:
    """Draw thresholds, where they are heights of the signal; return what the legend names."""
    if evaluation.session.info["detect"]["method"] not in COMPARED_WITH_SIGNAL:
        return {}
    found: dict[str, Any] = {}
    for level in levels_uv[np.isfinite(levels_uv)]:
        found["threshold"] = axes.axhline(level, color=BLACK, linewidth=1, linestyle=(0, (4, 2)), gid=IN_VIEW)
    return found


def _title(axes: Any, mistake: Mistake, below: str) -> None:
    width_in = axes.get_position().width * WIDTH_IN
    lines = (_place(mistake, width_in, SMALL_PT), _fitting(below, width_in, SMALL_PT))
    axes.set_title("\n".join(lines), fontsize=SMALL_PT, pad=4)


def _place(mistake: Mistake, width_in: float, size_pt: float) -> str:
    """Return when and where it is, with the SNR if there is one, and room for it."""
    channel = f"ch {mistake.label}" if mistake.label.isdecimal() else mistake.label
    place = f"{mistake.time_s:.3f} s · {channel}"
    snr = f" · SNR {mistake.snr:.1f}" if mistake.snr == mistake.snr else ""
    whole = _escaped(place + snr)
    return whole if _width_in(whole, size_pt) <= width_in else _fitting(place, width_in, size_pt)


def _say(axes: Any, text: str) -> None:
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color="#555555")


def _fitting(text: str, width_in: float, size_pt: float) -> str:
    """Return as much of a text as fits into `width_in` inches."""
    fitting = _escaped(text)
    for end in range(min(len(text), 200), 0, -1):
        if _width_in(fitting, size_pt) <= width_in:
            break
        fitting = _escaped(f"{text[:end]}…")
    return fitting


def _escaped(text: str) -> str:
    """Return a text that matplotlib does not take for a formula, in one line."""
    return " ".join(text.split()).replace("$", r"\$")


def _width_in(text: str, size_pt: float) -> float:
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=size_pt)
    return (
        1.03 * float(text_to_path.get_text_width_height_descent(text.replace(r"\$", "$"), font, ismath=False)[0]) / 72
    )
