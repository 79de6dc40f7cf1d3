"""The stimulator's digital line, whose changes are marks inside the signal."""

from __future__ import annotations

from rtspikes.protocols import Mark
from rtspikes_devices.sim.address import Simulation
from rtspikes_devices.sim.disturbances import phase_samples
from rtspikes_devices.sim.scenarios import SCENARIOS

NAME = "stimulus"


class StimulusLine:
    """1 from a stimulus's first sample to the last of its two phases, else 0."""

    def __init__(self, simulation: Simulation) -> None:
        self.names = [NAME] if SCENARIOS[simulation.scenario].stimulus_s else []
        self._apart = round(SCENARIOS[simulation.scenario].stimulus_s * simulation.rate)
        self._begin = simulation.onset_sample + round(simulation.rate)
        self._long = max(1, 2 * phase_samples(simulation.rate))
        self._value = 0

    def changes(self, first: int, n: int) -> tuple[Mark, ...]:
        """Return the marks in the next `n` samples that are handed on, from absolute index `first` on.

        A change whose sample was lost is at the first one behind the hole, as a device that samples its line tells it;
        a stimulus that was lost as a whole leaves no mark.
        """
        marks = []
        for sample in self._looked_at(first, n):
            value = self._at(sample)
            if value != self._value:
                marks.append(Mark(sample - first, 1, value))
                self._value = value
        return tuple(marks)

    def _looked_at(self, first: int, n: int) -> list[int]:
        """Return the samples, in order, at which the line may have another value than at the last one."""
        if not self.names:
            return []
        numbers = range(max(0, (first - self._begin) // self._apart), (first + n - self._begin) // self._apart + 1)
        starts = [self._begin + number * self._apart for number in numbers]
        edges = [edge for start in starts for edge in (start, start + self._long)]
        return [first, *(edge for edge in edges if first < edge < first + n)]

    def _at(self, sample: int) -> int:
        since = sample - self._begin
        return int(since >= 0 and since % self._apart < self._long)
