"""What the simulated culture and its rig do: one table, scenario name → figures.

The baseline's figures are near those of mature dissociated cortical cultures: 59 electrodes of Charlesworth et al.
2015 (mouse cortex, DIV 21; measured on a published recording of theirs): median 2.9 spikes/s per electrode, 82 % of the
spikes in network bursts, bursts 0.45 … 6 s apart (10th … 90th percentile), 25 … 440 ms long, 68 % of the electrodes
recruited, 28 spikes/s per electrode inside. Network spikes last 0.1 to 0.2 s and recruit first-to-fire neurons tens of
milliseconds before the others (Eytan & Marom 2006, J Neurosci 26:8465). Blocking GABA-A receptors makes bursts longer
and more regular and recruits nearly all (Teppola et al. 2019, Front Cell Neurosci 13:378; PMC4505148 for evoked
ones). Tetrodotoxin ends all spikes. Superbursts are trains of bursts without rest between them (Wagenaar et al. 2006,
BMC Neurosci 7:11); convulsants make them last 10 to 30 s.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Scenario:
    """Activity of the culture, and what disturbs the recording."""

    text: str
    interval_s: float = 2.5
    """Median from one network burst to the next."""
    interval_spread: float = 0.6
    """σ of the intervals' logarithm."""
    burst_ms: float = 130.0
    """Time scale of a burst's decay."""
    burst_hz: float = 55.0
    """Peak rate of an average neuron in a burst."""
    recruited: float = 0.6
    """Part of the neurons that takes part in a burst."""
    background: float = 1.0
    """Factor on the rates between bursts (median 0.3 spikes/s)."""
    wash_s: float = 0.0
    """Time scale (s) on which all activity dies away after the onset; 0: it does not."""
    stimulus_s: float = 0.0
    """Time (s) between electrical stimuli; 0: none."""
    broken: float = 0.0
    """Part of the electrodes that is broken: every other one dead, the rest open."""
    storms_apart_s: float = 0.0
    """Time (s) from one storm of noise to the next; 0: none."""
    superbursts_apart_s: float = 0.0
    """Time (s) from one superburst to the next; 0: none."""
    superburst_hz: float = 0.0
    """Peak rate of an average neuron in a superburst."""


_BASELINE = Scenario("single spikes and network bursts")

SCENARIOS = {
    "baseline": _BASELINE,
    "bicuculline": replace(
        _BASELINE,
        text="inhibition blocked: long, regular bursts that recruit nearly all",
        interval_s=5.0,
        interval_spread=0.15,
        burst_ms=450.0,
        burst_hz=60.0,
        recruited=0.97,
        background=0.4,
    ),
    "ttx": replace(_BASELINE, text="sodium channels blocked: spikes die away within seconds", wash_s=0.5),
    "artifact": replace(_BASELINE, text="a stimulus every 2 s: artifacts, then evoked bursts", stimulus_s=2.0),
    "deadelectrode": replace(_BASELINE, text="one electrode in ten broken: dead, or open and humming", broken=0.1),
    "storm": replace(_BASELINE, text="storms of noise on one electrode in eight", storms_apart_s=4.0),
    "superburst": replace(
        _BASELINE,
        text="every minute a superburst: 10 to 30 s in which nearly all fire",
        superbursts_apart_s=60.0,
        superburst_hz=60.0,
    ),
}
