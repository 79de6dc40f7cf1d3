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
    read = torn = disordered = expected = 0
    done = False
    while not done:
        done = over.is_set()
        first, oldest, messages = reader.read(0, expected, None, 100_000)
        disordered += first < expected or first < oldest
        for n, message in enumerate(messages, first):
            torn += zlib.crc32(message[4:]) != int.from_bytes(message[:4], "little")
            disordered += int.from_bytes(message[4:12], "little") != n
        read += len(messages)
        expected = first + len(messages)
    print(read, torn, disordered, flush=True)


if __name__ == "__main__":
    main()
