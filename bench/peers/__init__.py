"""How fast are others that find spikes, and rtspikes, on one core with one thread?

The same int16 signal of 20 kHz for all, in one run: noise with 5 spikes/s/channel of 8 to 12 times its level, biphasic,
in memory. Each tool in a fresh process, each round one pass of each after the other; `msamples_per_s` is the median
over the rounds, `rtspikes_is_faster` that of the quotients within a round. Start, compilation, set-up and the first
noise level (which some take minutes for) do not count. Found: within 1 ms, one to one, after the first half second.

What each does: rtspikes, its default settings, which follow the noise and hand out peaks and waveforms. SciPy by hand:
`sosfilt` of order 3, 300–3000 Hz, float32, and crossings of 5 σ in NumPy, with 2 ms between them, as the filter swings
back. ezmsg: the same filter (ezmsg-sigproc) and ThresholdCrossing (ezmsg-event), called chunk by chunk, no messages
between processes. SpikeInterface: its band-pass and `by_channel` at their defaults, and at the fastest that was found
(forward, order 3, chunks of 200 ms); `locally_exclusive` alone is given the filtered signal. HerdingSpikes: `detect()`
at its defaults, but for what costs time: no reference, no smoothing, no localisation, no shapes; electrodes are too
far apart to share spikes. The fastest chunk of each that was found; those of 20 ms are fed as a live signal would be.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from bench.peers.process import Peer
from bench.peers.tools import OURS, TOOLS
from bench.pinned import cores
from bench.recordings import RATE_HZ, planted

Row = dict[str, Any]

ENOUGH_S = 20.0
"""A tool that has taken so long goes no further round."""


def measure(channels: int, seconds: float, rounds: int, names: list[str]) -> list[Row]:
    """Return a row per tool; ours first."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        path = Path(folder) / "signal.npz"
        np.savez(path, **planted(channels, seconds)._asdict())
        core = max(cores(), default=None)
        peers = [stack.enter_context(Peer(name, path, core)) for name in dict.fromkeys([OURS, *names])]
        for _ in range(rounds):
            for peer in peers:
                if sum(peer.took_s) < ENOUGH_S:
                    peer.go()
        samples = channels * seconds * RATE_HZ
        return [_row(peer, peers[0].took_s, channels, samples) for peer in peers]


def _row(peer: Peer, ours_s: list[float], channels: int, samples: float) -> Row:
    tool, score = TOOLS[peer.name], peer.score
    row: Row = {
        "peer": peer.name,
        "version": peer.version,
        "channels": channels,
        "chunk_ms": tool.chunk_ms,
        **dict.fromkeys(("msamples_per_s", "times_real", "rtspikes_is_faster"), ""),
        "target": tool.target or "",
        **dict.fromkeys(("recall", "precision", "F1"), ""),
        "not_run": peer.trouble,
    }
    if peer.took_s:
        speed = samples / float(np.median(peer.took_s))
        row |= {
            "msamples_per_s": round(speed / 1e6, 1),
            "times_real": round(speed / channels / RATE_HZ, 1),
            **{name: f"{value:.4f}" for name, value in score.items()},
        }
        if tool.module != TOOLS[OURS].module and ours_s:
            times = [theirs / ours for theirs, ours in zip(peer.took_s, ours_s, strict=False)]
            row["rtspikes_is_faster"] = round(float(np.median(times)), 1)
    return row


def as_object(rows: list[Row]) -> dict[str, Any]:
    """Return what `--json` prints: all rows."""
    return {"peers": rows}


def run(arguments: list[str]) -> list[Row]:
    """Return a row per tool and channel count; a tool that cannot be run has a row that says why."""
    parser = argparse.ArgumentParser(prog="python -m bench peers")
    parser.add_argument("--channels", type=int, nargs="+", default=[64, 256, 1024, 4096])
    parser.add_argument("--seconds", type=float, default=2.0, help="length of the signal [default: 2]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", nargs="+", choices=list(TOOLS), default=list(TOOLS), metavar="NAME")
    args = parser.parse_args(arguments)
    return [row for n in args.channels for row in measure(n, args.seconds, args.rounds, args.peers)]
