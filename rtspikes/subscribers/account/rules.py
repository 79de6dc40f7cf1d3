"""Numbers of the method that no log tells, by the version that they belong to.

A version that is not listed is described without them: what the present package does says nothing of an older session.
"""

from __future__ import annotations

from typing import NamedTuple


class Rules(NamedTuple):
    """Constants of one version's detection."""

    rebound_larger: float  # an earlier deflection so many times as large makes an event suspect
    rebound_within_ms: float
    rebound_least: float  # part of the threshold that the fitted spike must reach
    shadow_within_ms: float  # matched filter: an earlier, larger score makes an event a ripple
    shadow_part: float
    shadow_least: float  # part of the threshold that the signal itself must reach
    coincidence_least_electrodes: int  # wells with fewer are not judged
    storm_release_s: float  # a storm ends after so long with no more than the cap
    energy_back_lags: int  # the extremum lies at most so many k before the crossing
    matched_back_ms: float
    matched_length_ms: float
    matched_before_ms: float
    matched_update_s: float
    matched_spike_sigma: float
    matched_first_spike_sigma: float  # while the electrode had no filter
    matched_quiet_sigma: float
    noisy_medians: float  # σ in medians of the electrodes' σ from which on a channel is noisy


RULES = {
    "0.1.0": Rules(
        rebound_larger=1.5,
        rebound_within_ms=4.0,
        rebound_least=0.70,
        shadow_within_ms=3.0,
        shadow_part=0.35,
        shadow_least=0.52,
        coincidence_least_electrodes=16,
        storm_release_s=1.0,
        energy_back_lags=2,
        matched_back_ms=0.3,
        matched_length_ms=1.4,
        matched_before_ms=0.6,
        matched_update_s=0.25,
        matched_spike_sigma=4.7,
        matched_first_spike_sigma=5.0,
        matched_quiet_sigma=4.0,
        noisy_medians=5.0,
    )
}
