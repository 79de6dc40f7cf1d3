"""A process that reads a history as fast as it can until its stdin is closed, and says what it found."""

from __future__ import annotations

import sys
import threading
import zlib

from rtspikes.wire.history import HistoryReader
from rtspikes.wire.shared import SharedMemory


def main() -> None:
    reader = HistoryReader(SharedMemory.attach(sys.argv[1], int(sys.argv[2])).map)
    over = threading.Event()

    def wait() -> None:
        sys.stdin.buffer.read()
        over.set()

    threading.Thread(target=wait, daemon=True).start()
    print("ready", flush=True)
    read = wrong = skipped = expected = 0
    done = False
    while not done:
        done = over.is_set()
        found = reader.read(0, expected, None, 100_000)
        skipped += found.first != max(expected, found.oldest)
        skipped += not found.messages and found.first < found.newest  # what is there must be given
        for n, message in enumerate(found.messages, found.first):
            wrong += int.from_bytes(message[4:12], "little") != n or len(message) != 4 + 200 + 37 * (n % 90)
            wrong += zlib.crc32(message[4:]) != int.from_bytes(message[:4], "little")
        read += len(found.messages)
        expected = found.first + len(found.messages)
    print(read, wrong, skipped, flush=True)


if __name__ == "__main__":
    main()
