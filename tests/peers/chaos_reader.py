"""Receives one engine's events to its end, and writes down which ones came, when, and what it was told it missed."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from pylsl import local_clock

import rtspikes

KINDS = ("spikes", "rejected", "status")


def main(endpoint: str, folder: Path) -> None:
    """Write ids.npy (uint64), times.npy (when acquired, when received; LSL s) and told.json into `folder`."""
    ids: list[np.ndarray] = []
    times: list[tuple[float, float]] = []
    received: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    first: dict[str, int] = {}
    largest, status = 0, {}
    with rtspikes.subscribe(endpoint, kinds=KINDS, connect_timeout_s=30) as subscriber:
        for batch in subscriber:
            now = local_clock()
            if not first:
                first = subscriber.position["next_seq"]
                first[batch.kind] -= 1
            received[batch.kind] += 1
            for hole in batch.missed:
                missed[hole.kind] += hole.count
            if batch.kind == "status":
                status = batch.fields
            for table in (batch.spikes, batch.rejected):
                if len(table):
                    ids.append(table["id"].copy())  # not the table, which would be kept whole
            if len(batch.spikes):
                times.append((batch.fields["t_acquired"], now))
                largest = max(largest, batch.spikes.nbytes + batch.waveforms.nbytes)
    folder.mkdir()
    np.save(folder / "ids.npy", np.concatenate([np.zeros(0, np.uint64), *ids]))
    np.save(folder / "times.npy", np.array(times).reshape(-1, 2))
    told = {
        "first": first,
        "received": received,
        "missed": missed,
        "missed_total": subscriber.missed_total,
        "largest_bytes": largest,
        "status": {key: value for key, value in status.items() if not isinstance(value, bytes)},
        "end": subscriber.end,
    }
    (folder / "told.json").write_text(json.dumps(told), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
