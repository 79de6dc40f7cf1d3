"""Which channels a person should look at: noisy, dead, saturated, drifting, or far from where their σ was frozen.

Looked at on the boundaries of noise blocks only, from what depends on absolute samples alone; so neither what is told
nor which channels are `usable` depends on chunks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtspikes.detect.events import Finding
from rtspikes.selectors import electrodes_by_well
from rtspikes.types import StreamInfo

NOISY, NOISY_NO_MORE = 5.0, 4.0
"""σ in medians of the electrodes' σ. SpikeInterface calls channels bad whose SD is beyond 5 × the median SD."""

FEWEST_ELECTRODES = 8
"""A well with fewer electrodes is compared with the whole array: in a tetrode one bad channel is a quarter of all."""

ALIVE_AGAIN = 1.2
"""σ in floors from which a dead channel lives: between the floor, 0.1 converter steps, and rounding alone, 0.15."""

LOOKS_UNTIL_DEAD = 3
"""Looks with neither noise nor saturation that make a channel dead: two blocks may pass after a rail is left."""

SATURATED, SATURATED_NO_MORE = 0.25, 0.1
"""Part of the samples at a rail, averaged over SATURATED_S: more than 200 ms of artifact in every second."""

SATURATED_S = 4.0
"""Time constant (s) of that average."""

DRIFTING, DRIFTING_NO_MORE = 1.5, 1.3
"""σ in parts of its slow reference, or the other way round."""

DRIFT_S = 300.0
"""Time constant (s) of the slow reference, the geometric mean of σ: tells a step at once, a doubling in 5 min later."""

SINCE_FREEZE, SINCE_FREEZE_NO_MORE = 0.2, 0.15
"""How far σ may be from σ at the freeze, as a part of it."""

MOST_LABELS = 8
"""Labels that a text names."""

MOST_POSITIONS = 1024
"""Positions that a list among a finding's facts has."""

STATES = ("noisy", "dead", "saturated", "drifting")


class Health:
    """Follows every electrode's states; channels of another kind have none and are not `usable`."""

    def __init__(self, info: StreamInfo, block: int, stride: int) -> None:
        """block: samples between looks, as in `NoiseTracker`. stride: of how many samples one is counted as held."""
        n = info.n_channels
        self._labels = info.labels
        self._electrodes = np.array([c.kind == "electrode" for c in info.channels], bool)
        self._groups = [
            (np.array(positions, np.intp), well is not None and len(positions) >= FEWEST_ELECTRODES)
            for well, positions in electrodes_by_well(info.channels).items()
        ]
        """Who is compared: positions, and whether with each other (else with all electrodes)."""
        self._counted = block / stride
        self._saturation_step = float(1 - np.exp(-block / info.rate_hz / SATURATED_S))
        self._drift_step = block / info.rate_hz / DRIFT_S
        self.sample: int | None = None
        """The sample of the last look."""
        self.usable = self._electrodes.copy()
        """(channels,): an electrode that is not noisy and has noise at all. The reference leaves others out."""
        self._state = {name: np.zeros(n, bool) for name in STATES}
        self._away = np.zeros(n, bool)
        self._silent = np.zeros(n, bool)
        self._silent_looks = np.zeros(n, np.int64)
        self._held = np.zeros(n, np.int64)
        self._saturation = np.zeros(n)
        self._slow = np.zeros(n)
        self._values = np.zeros(n, np.int64)

    @property
    def states(self) -> dict[str, int]:
        """How many electrodes are in each state."""
        return {name: int(state.sum()) for name, state in self._state.items()}

    @property
    def silent(self) -> NDArray[np.bool_]:
        """Electrodes (channels,) without measurable noise."""
        return self._silent

    def channels(self, state: str) -> NDArray[np.intp]:
        """Return the positions of the electrodes in a state."""
        return np.flatnonzero(self._state[state])

    def look(
        self,
        sample: int,
        sigma: NDArray[np.float32],
        floor: NDArray[np.float32],
        held_counts: NDArray[np.int64],
        since_freeze: NDArray[np.float32] | None = None,
    ) -> list[Finding]:
        """Take in a new σ; return what changed, at most one finding a cause.

        All (channels,): σ as it is now, 0 where there was none to measure; the floor below which a channel is dead;
        how many samples were at a rail so far (of every `stride`-th one); and σ in parts of the frozen one, NaN where
        it is not frozen. A second look at a sample changes nothing.
        """
        if self.sample is not None and sample <= self.sample:
            return []
        self.sample = sample
        self._silent = self._electrodes & (sigma < np.where(self._silent, ALIVE_AGAIN * floor, floor))
        live = self._electrodes & ~self._silent
        findings = [
            self._enter("noisy", self._noisy(sigma, live), sample),
            self._enter("saturated", self._saturated(held_counts), sample),
            self._enter("dead", self._dead(), sample),
            self._enter("drifting", self._drifting(sigma, live), sample),
            self._since_freeze(since_freeze, sample),
        ]
        self.usable = live & ~self._state["noisy"]
        return [f for f in findings if f is not None]

    def _noisy(self, sigma: NDArray[np.float32], live: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return who is noisy; a channel without noise stays what it was."""
        before = self._state["noisy"]
        found = before.copy()
        whole: float | None = None
        for positions, own in self._groups:
            if own:
                alive = positions[live[positions]]
                middle = float(np.median(sigma[alive])) if len(alive) else 0.0
            else:
                if whole is None:
                    whole = float(np.median(sigma[live])) if live.any() else 0.0
                alive, middle = positions[live[positions]], whole
            found[alive] = sigma[alive] > middle * np.where(before[alive], NOISY_NO_MORE, NOISY)
        return found

    def _saturated(self, held_counts: NDArray[np.int64]) -> NDArray[np.bool_]:
        part = np.minimum(1.0, (held_counts - self._held) / self._counted)
        self._held[:] = held_counts
        self._saturation += self._saturation_step * (part - self._saturation)
        bound = np.where(self._state["saturated"], SATURATED_NO_MORE, SATURATED)
        return self._electrodes & (self._saturation > bound)

    def _dead(self) -> NDArray[np.bool_]:
        """Return who is dead: without noise, and not because of a rail, for some looks."""
        self._silent_looks += 1
        self._silent_looks[~self._silent | self._state["saturated"]] = 0
        return self._silent_looks >= LOOKS_UNTIL_DEAD

    def _drifting(self, sigma: NDArray[np.float32], live: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return whose σ left its slow reference, which begins as the mean of all values; the dead stay as they are."""
        logs = np.log(sigma, out=np.zeros(len(sigma)), where=live)
        away = np.abs(logs - self._slow)
        bound = np.log(np.where(self._state["drifting"], DRIFTING_NO_MORE, DRIFTING))
        found = np.where(live & (self._values > 0), away > bound, self._state["drifting"])
        self._values[live] += 1
        step = np.maximum(1 / np.maximum(self._values, 1), self._drift_step)
        self._slow += np.where(live, step * (logs - self._slow), 0)
        return found

    def _since_freeze(self, ratio: NDArray[np.float32] | None, sample: int) -> Finding | None:
        """Tell whose σ went away from the frozen one; once, until it was back."""
        known = np.zeros(len(self._away), bool) if ratio is None else np.isfinite(ratio) & self._electrodes
        if ratio is None or not known.any():
            self._away[:] = False
            return None
        off = np.abs(np.where(known, ratio, 1) - 1)
        now = np.where(known, off > np.where(self._away, SINCE_FREEZE_NO_MORE, SINCE_FREEZE), self._away)
        new = np.flatnonzero(now & ~self._away)
        self._away = now
        if not len(new):
            return None
        least, most = float(ratio[new].min()), float(ratio[new].max())
        text = (
            f"the noise level is no longer what it was when it was frozen ({least:.2f} to {most:.2f} of it): "
            f"{self._named(new)}"
        )
        facts = {"channels": _bounded(new), "ratios": [round(float(r), 3) for r in ratio[new[:MOST_POSITIONS]]]}
        return Finding(sample, "noise_since_freeze", text, len(new), facts)

    def _enter(self, state: str, found: NDArray[np.bool_], sample: int) -> Finding | None:
        """Put a state in force; return what is to be told of who entered and who left it."""
        before = self._state[state]
        entered, left = np.flatnonzero(found & ~before), np.flatnonzero(before & ~found)
        self._state[state] = found
        if not len(entered) and not len(left):
            return None
        parts = [f"{state}: {self._named(entered)}"] if len(entered) else []
        parts += [f"no longer {state}: {self._named(left)}"] if len(left) else []
        facts = {"entered": _bounded(entered), "left": _bounded(left), "all": int(found.sum())}
        return Finding(sample, state, "; ".join(parts), len(entered) + len(left), facts)

    def _named(self, positions: NDArray[np.intp]) -> str:
        """Return the first labels, and how many there are beside them."""
        more = len(positions) - MOST_LABELS
        names = ", ".join(self._labels[p] for p in positions[:MOST_LABELS])
        return f"{names} and {more} more" if more > 0 else names


def _bounded(positions: NDArray[np.intp]) -> list[int]:
    return [int(p) for p in positions[:MOST_POSITIONS]]
