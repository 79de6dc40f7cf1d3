"""Keeps the ids of an engine's events in a file, each exactly once, however often this program dies.

    ids        ids of events, 8 bytes each        position   JSON: where to go on, and how long `ids` was then

First the ids are on disk, then the position takes the place of the one before in one step. What is in `ids` beyond
the position's length is cut off at the next start: it comes again.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import BinaryIO

import rtspikes

SAVE_S = 0.1


def save(ids: BinaryIO, position: Path, subscriber: rtspikes.Subscriber) -> None:
    """Put everything that was returned so far, and that it was, on disk."""
    ids.flush()
    os.fsync(ids.fileno())
    told = {"bytes": ids.tell(), "missed": subscriber.missed_total, "position": subscriber.position}
    new = position.with_suffix(".new")
    with new.open("w", encoding="utf-8") as file:
        json.dump(told, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, position)


def main(endpoint: str, folder: Path, most_batches: int) -> None:
    """Keep ids in `folder` until the engine's end; die after `most_batches`, halfway through a record (0: never)."""
    folder.mkdir(exist_ok=True)
    path, position = folder / "ids", folder / "position"
    told = json.loads(position.read_text("utf-8")) if position.exists() else {"bytes": 0, "position": None}
    with path.open("ab") as ids:
        ids.truncate(told["bytes"])
        ids.seek(told["bytes"])
        batches, saved_s = 0, time.monotonic()
        with rtspikes.subscribe(
            endpoint, kinds=("spikes", "rejected"), lossless=True, position=told["position"], connect_timeout_s=30
        ) as subscriber:
            for batch in subscriber:
                if batches == 0:
                    print("resumed" if subscriber.resumed else "joined", flush=True)
                batches += 1
                new = batch.spikes["id"].tobytes() + batch.rejected["id"].tobytes()
                if batches == most_batches:
                    ids.write(new + b"half")
                    ids.flush()
                    os.kill(os.getpid(), signal.SIGKILL)
                ids.write(new)
                if time.monotonic() - saved_s > SAVE_S:
                    save(ids, position, subscriber)
                    saved_s = time.monotonic()
            save(ids, position, subscriber)
    assert subscriber.missed_total == 0


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
