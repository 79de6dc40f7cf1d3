"""The benchmark of the whole path counts what was found, and what of it is astray."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.engines import figures, replay
from bench.recordings import write


def test_engines_side_by_side_lose_nothing_and_are_told_of_together(tmp_path: Path) -> None:
    recordings = [write(tmp_path / f"r{n}", n, 1.0, spikes_per_s=20) for n in (4, 8)]
    heard = replay(recordings, tmp_path, 2.0, "max", 0.0, ("--set", "ring.seconds=2"))
    for each, channels in zip(heard, (4, 8), strict=True):
        assert each["signal_s"] > 2
        assert each["spikes"] == pytest.approx(20 * channels * each["signal_s"], rel=0.3)
    row = figures(heard)
    assert row["spikes"] == heard[0]["spikes"] + heard[1]["spikes"]
    assert (row["lost_samples"], row["missed_messages"], row["spikes_astray"]) == (0, 0, 0)
    assert row["times_real"] == pytest.approx(min(e["signal_s"] / e["elapsed_s"] for e in heard), abs=0.01)
    assert not list(tmp_path.glob("*.rtspikes"))
