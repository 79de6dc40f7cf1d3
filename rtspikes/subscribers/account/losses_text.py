"""The third paragraph: when the session was, what was lost, and for how long which rates were observed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from rtspikes.subscribers.account.english import (
    NAMES,
    counted,
    electrodes,
    exact,
    listed,
    number,
    part,
    seconds,
    significant,
    spread,
    times,
    were,
    whole,
)

Facts = Mapping[str, Any]

CAUSES = {
    "source": "by the source",
    "overrun": "because detection was slower than the source",
    "pause": "while the source was silent",
    "reconnect": "while the source was disconnected",
    "buffer": "because a buffer of the receiving computer was full",
}

KEYS = {"div": "DIV"}
"""Free keys of a session whose spelling a reader expects."""

COMPLETE = ("end", "stopped", "another layout")
"""How a log ends that was closed."""


def losses(facts: Facts) -> Iterator[str]:
    """Yield the paragraph's sentences."""
    yield from _session(facts)
    yield from _reach(facts)
    yield from _gaps(facts)
    yield from _messages(facts)
    yield from _signal(facts)
    yield from _observed(facts)
    yield from _rates(facts)
    yield from _software(facts)


def _session(facts: Facts) -> Iterator[str]:
    if keys := facts["session_keys"]:
        texts = [f"{KEYS.get(str(key).lower(), str(key).replace('_', ' '))} {value}" for key, value in keys.items()]
        yield f"The session was annotated as {', '.join(texts)}"
    if "began_utc" in facts:
        what = "The session began" if facts.get("source_live") else "The signal was processed"
        clock = ""
        if "began_lsl_s" in facts:
            clock = f" ({facts['began_lsl_s']:.3f} s on the LSL clock, in which spike times are given)"
        yield f"{what} on {_date(facts['began_utc'])}{clock}"
    if (n := facts.get("part", 1)) > 1:
        yield f"It is part {n} of a run in which the layout of the stream changed"


def _date(utc: str) -> str:
    try:
        at = datetime.fromisoformat(utc)
    except ValueError:
        return utc
    return f"{at.day} {at:%B %Y at %H:%M:%S} UTC"


def _reach(facts: Facts) -> Iterator[str]:
    """Say how far the log goes, and whether that is all of the session."""
    length, how = seconds(facts["logged_to_s"]), facts["ended"]
    up_to = f"complete up to {length} (sample {whole(facts['logged_to_sample'])}), to which all numbers here refer"
    engine = facts.get("engine_ended") or ""
    if how in COMPLETE and engine.startswith("source failed"):
        yield f"The log is {up_to}; there the source failed"
    elif how == "stopped" and not engine:
        yield f"Logging was stopped before the session ended; the log is {up_to}"
    elif how in COMPLETE and facts.get("engine_to_s", 0.0) > facts["logged_to_s"]:
        yield f"The session lasted {seconds(facts['engine_to_s'])}; the log is {up_to}"
    elif how in COMPLETE:
        yield f"The log is complete and covers {length} of signal"
    elif how == "open":
        yield f"The log was not closed, because the session ran still or was cut off; it is {up_to}"
    else:
        yield f"The log ended early ({how}); it is {up_to}"
    if "shutdown_at_s" in facts:
        yield f"The session was ended on request at {number(facts['shutdown_at_s'], 6)} s"
    if n := facts["torn_bytes"]:
        yield f"{counted(n, 'byte')} behind the last complete entry {were(n)} disregarded"
    if (late := facts["logged_from_s"]) > 0:
        yield f"Logging began {seconds(late)} after the first sample"


def _gaps(facts: Facts) -> Iterator[str]:
    gaps = facts["gaps"]
    known = " as far as the log knows" if facts["messages_missed_by_kind"].get("gaps") else ""
    if n := facts["seams"]:
        yield f"The recording was played in a loop ({counted(n, 'seam')}, behind each of which the filter settled anew)"
    n, lost = sum(gap["gaps"] for gap in gaps.values()), sum(gap["lost_samples"] for gap in gaps.values())
    if not n:
        yield f"No samples were lost{known}"
        return
    doubt, total = sum(gap["uncertain_samples"] for gap in gaps.values()), sum(gap["lost_s"] for gap in gaps.values())
    about = f" (± {whole(doubt)})" if doubt else ""
    of = f", {number(100 * total / facts['logged_to_s'], 2)} % of the session" if facts["logged_to_s"] else ""
    causes = [_cause(cause, gap, len(gaps) > 1) for cause, gap in gaps.items()]
    yield (
        f"{counted(lost, 'sample')}{about} of every channel ({seconds(total)}{of}) {were(lost)} lost in "
        f"{counted(n, 'gap')}{known}, {listed(causes)}"
    )
    settling = seconds(facts["settling_samples"] / facts["sampling_rate_hz"])
    if facts["settling_samples"]:
        yield f"After each gap the filter settled anew for {settling}, in which nothing was detected"


def _cause(cause: str, gap: Mapping[str, Any], several: bool) -> str:
    how_many = f"{counted(gap['lost_samples'], 'sample')} in {counted(gap['gaps'], 'gap')} " if several else ""
    longest = f" (the longest {seconds(gap['longest_s'])})" if gap["gaps"] > 1 else ""
    return f"{how_many}{CAUSES.get(cause, f'for the reason “{cause}”')}{longest}"


def _messages(facts: Facts) -> Iterator[str]:
    n, kinds = facts["messages_missed"], facts["messages_missed_by_kind"]
    if not n:
        yield "No message of the detector was missed by the log"
        return
    by_kind = listed(f"{k} of {kind}" for kind, k in kinds.items())
    yield f"{counted(n, 'message')} of the detector did not reach the log ({by_kind}); what was in them is missing here"
    if kinds.get("spikes"):
        yield "Time whose spikes were missed does not count as observed"


def _signal(facts: Facts) -> Iterator[str]:
    """Say what else happened to the signal, its clock and its marks."""
    if n := facts["clock_steps"]:
        step = facts.get("clock_largest_step_s")
        yield f"The clock of the source stepped {times(n)}{f', by {seconds(step)} at most' if step else ''}"
    if n := facts["bad_samples"]:
        yield f"{counted(n, 'sample')} of single channels {were(n)} no valid number and held at the value before"
    if n := facts.get("noise_first_learnt_from_samples"):
        yield f"The first noise level rests on {counted(n, 'sample')} only"
    if n := facts["marks"]:
        yield f"{counted(n, 'mark')} {were(n)} logged with the spikes"
    if n := facts["marks_dropped"]:
        yield f"{counted(n, 'mark')} came too fast and {were(n)} left out"


def _observed(facts: Facts) -> Iterator[str]:
    observed, unobserved = facts.get("observed_s"), facts["unobserved"]
    if observed is None:
        return
    causes = {
        "gaps and the settling after them": facts["gaps"] or facts["seams"],
        "missed messages": facts["messages_missed_by_kind"].get("spikes"),
        "the time before logging": facts["logged_from_s"] > 0,
        "muting": facts["electrodes_muted"],
        "blanking": "blanked" in unobserved,
        "storms": "storm" in unobserved,
    }
    found = [name for name, there in causes.items() if there]
    without = f", without {listed(found)}" if found else ""
    n, total = int(observed["n"]), seconds(facts["observed_total_s"])
    each = f"{spread(observed, 's')} per electrode" + (
        " (median and range)" if observed["min"] < observed["max"] else ""
    )
    was = f"was {each}, {total} in total over {counted(n, 'electrode')}"
    if (idle := facts["observed_without_threshold_s"]) > 0:
        who = electrodes(facts["electrodes_observed_without_threshold"])
        yield (
            f"Observed time, as the log counts it{without}, {was}; this includes {seconds(idle)} (summed over "
            f"electrodes) in which {who} had no threshold, for lack of measurable noise, and no spike could be found"
        )
    else:
        yield f"Observed time, in which a spike could have been found and logged{without}, {was}"


def _rates(facts: Facts) -> Iterator[str]:
    n, active = facts["spikes"], facts["active_electrodes"]
    share = part(facts["electrodes_with_spikes"], facts["electrodes_enabled"], "electrode")
    yield f"{counted(n, 'spike').capitalize()} {were(n)} detected{f', on {share}' if n else ''}"
    if cut := facts["rejected"].get("cut", 0):
        yield f"{counted(cut, 'event')} that a gap or the end of the signal cut short {were(cut)} not counted"
    criterion = f"at least {exact(facts['active_from_spikes_per_min'])} spikes per minute of observed time"
    if not active:
        yield f"No electrode was active ({criterion})"
        return
    rates = facts["active_rate_hz"]
    among = f" (range {significant(rates['min'])}–{significant(rates['max'])})" if rates["n"] > 1 else ""
    mean = significant(facts["active_mean_rate_hz"])
    of = "its rate" if active == 1 else "the mean of their rates"
    yield (
        f"{counted(active, 'electrode')} {were(active)} active ({criterion}); {of} was {mean} spikes per second of "
        f"observed time{among}"
    )


def _software(facts: Facts) -> Iterator[str]:
    if found := [f"{NAMES.get(name, name)} {version}" for name, version in facts["logged_with"].items()]:
        yield f"The log of the session (“{facts['session_id']}”) was written with {listed(found)}"
