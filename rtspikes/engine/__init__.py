"""The engine: the one package that knows every stage.

    source ─▶ ring ─▶ detector ─▶ publisher ─▶ subscribers
    └ acquiring ┘ └─ processing thread ────┘
                      ▲ commands     │ history (shared memory)
                      └── reply process ◀──▶ requests

A run has one publisher and one reply process, and a `Session` for each layout of the stream, one after the other.
Threads, and what each owns:

- acquiring: the source from `start` on, and the session's intake: the ring's writing end, the sample clock's, the
  remarks' and the marks'. It ends a session when the source does, or goes on with another layout; then it waits for the
  next one.
- processing: the rest of the session, that is the ring's leased reader, the detector, the announcer, the traces; the
  publisher's socket and the history's writing end; it carries out control requests and sets marks between blocks, ends
  a session and makes the next one.
- guarding (wire/publish.py): the gate of the publisher's socket.
- attending, telling, watching (wire/reply.py): the pipes to the reply process, and its life.
- one for each marker stream (sources/lsl/markers.py): it queues what comes.
- the caller's: opens and closes everything, waits, and hands Ctrl-C on by `stop` or `abort`.

Acquiring and processing share the ring (see there), the queues of remarks, marks and arrival times, `SampleClock`
(written by acquiring), `status` (replaced, never changed) and one condition, `moved`, that both notify when they have
moved the ring or made a session; processing and attending the two bounded queues of wire/reply.py. Every wait has a
timeout; the first exception of any thread ends the run and is raised by `wait`.
"""

from rtspikes.engine.run import Engine

__all__ = ["Engine"]
