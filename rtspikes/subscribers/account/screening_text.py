"""The second paragraph: which events were no spikes, what was blanked or suppressed, and what changed meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rtspikes.subscribers.account.blanking_text import blanking
from rtspikes.subscribers.account.changes_text import changes
from rtspikes.subscribers.account.english import counted, electrodes, exact, listed, part, seconds, were
from rtspikes.subscribers.account.filter_text import signal

Facts = Mapping[str, Any]

STATES = {
    "dead": "without measurable noise",
    "noisy": "with a noise level far above the others'",
    "saturated": "often at a rail of the converter",
    "drifting": "with a drifting noise level",
}


def screening(facts: Facts) -> Iterator[str]:
    """Yield the paragraph's sentences."""
    yield from _rebound(facts)
    yield from _coincidence(facts)
    yield from _neighbours(facts)
    yield from blanking(facts)
    yield from _storm(facts)
    yield from changes(facts)
    yield from _electrodes(facts)


def _share(facts: Facts, reason: str) -> str:
    """Return how many events a rule rejected, as a clause that ends with its verb."""
    return _of(facts["rejected"].get(reason, 0), facts["events"], "event")


def _of(n: int, of: int, noun: str) -> str:
    return f"{part(n, of, noun)} {were(n)}" if of else f"there were no {noun}s"


def _rebound(facts: Facts) -> Iterator[str]:
    texts = []
    if "rebound_rejected_from_filter" in facts:
        text = "Events that the swing of the high-pass filter after an earlier deflection explained were rejected"
        if "rebound_least" in facts:
            text = (
                f"An event up to {exact(facts['rebound_within_ms'])} ms after a deflection at least "
                f"{exact(facts['rebound_larger'])} times as large to the same side, or on a slope, was rejected as "
                f"after-swing of the high-pass filter, unless the spike fitted to it by generalised least squares "
                f"reached {exact(facts['rebound_least'])} of the threshold"
            )
        texts.append(text)
    if "rebound_rejected_from_score" in facts:
        text = "Ripples of the matched filter around larger spikes were rejected"
        if "shadow_part" in facts:
            text = (
                f"An event whose score was less than {exact(facts['shadow_part'])} of one within the "
                f"{exact(facts['shadow_within_ms'])} ms before it, or where {signal(facts)} itself stayed within "
                f"{exact(facts['shadow_least'])} of the threshold, was rejected as a ripple of the matched filter"
            )
        texts.append(text)
    if texts:
        how = "so" if len(texts) == 1 else "by these two rules"
        texts[-1] += f"; {_share(facts, 'rebound')}{f' rejected {how}' if facts['events'] else ''}"
    yield from texts


def _coincidence(facts: Facts) -> Iterator[str]:
    mode = facts.get("coincidence")
    if mode is None:
        return
    least, share = facts["coincidence_electrodes"], exact(100 * facts["coincidence_fraction"])
    rule = f"{share} % of them, and no fewer than {least}"
    who = f"the electrodes ({rule})"
    if needed := facts.get("coincidence_needed_electrodes"):
        of = " of a well" if facts.get("wells", 0) > 1 else ""
        who = f"at least {listed(map(str, needed), 'or')} electrodes{of} ({rule})"
    text = f"Where {who} had events within ±{exact(facts['coincidence_ms'])} ms, as artifacts make them, these were"
    if mode == "reject":
        yield f"{text} rejected as coincident: {_share(facts, 'coincidence')}"
    else:
        n = facts["flagged"].get("coincident", 0)
        yield f"{text} flagged as coincident and kept: {_of(n, facts['spikes'], 'spike')}"
    if n := facts.get("coincidence_wells_not_judged"):
        yield f"{counted(n, 'well')} had too few electrodes for this rule"


def _neighbours(facts: Facts) -> Iterator[str]:
    if "neighbours_exclusive" in facts:
        yield (
            f"Of events on electrodes up to {exact(facts['neighbour_radius_um'])} µm apart whose extrema lay within "
            f"{exact(facts['neighbour_window_ms'])} ms, only the one with the largest ratio of amplitude to threshold "
            f"was kept; {_share(facts, 'neighbour')}{' rejected so' if facts['events'] else ''}"
        )
    if n := facts.get("neighbour_amplitudes"):
        nearest = "nearest electrode" if n == 1 else f"{n} nearest electrodes"
        radius = exact(facts["neighbour_radius_um"])
        yield f"With each spike the signals of the {nearest} within {radius} µm at the spike's sample were stored"


def _storm(facts: Facts) -> Iterator[str]:
    if "storm_cap_per_s" not in facts:
        return
    until = "they calmed down"
    if "storm_release_s" in facts:
        until = f"there had been no more than that within {exact(facts['storm_release_s'])} s again"
    most = exact(facts["storm_cap_per_s"])
    rule = f"On electrodes with more than {most} crossings within 1 s, crossings were suppressed until {until}"
    storm = facts["unobserved"].get("storm")
    if storm is None:
        yield f"{rule}; no electrode reached this" if facts["unobserved_is_logged"] else rule
        return
    n = facts["storm_suppressed_triggers"]
    yield (
        f"{rule}; this befell {electrodes(storm['labels'])} for {seconds(storm['electrode_s'])} (summed over "
        f"electrodes), in which "
        f"{counted(n, 'crossing')} {were(n)} suppressed"
    )


def _electrodes(facts: Facts) -> Iterator[str]:
    """Say which electrodes were not as they should be."""
    texts = [
        f"{electrodes(who)} {text}" for state, text in STATES.items() if (who := facts[f"electrodes_ever_{state}"])
    ]
    if texts:
        yield f"At some time there {'was' if texts[0].startswith('1 ') else 'were'} {listed(texts)}"
    if who := facts["noise_since_freeze_electrodes"]:
        yield f"The noise level of {electrodes(who)} moved away from the frozen one"
