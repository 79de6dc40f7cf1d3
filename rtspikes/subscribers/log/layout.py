"""What a session's folder `NAME.rtspikes/` holds.

    session.json      everything constant: info, configuration, host, clocks; `part` of the run that it is, and the
                      folder that it follows; at the end: totals and how it ended
    spikes.bin        SPIKE_DTYPE records            waveforms.bin   float32 × snippet samples, one row per spike
    rejected.bin      REJECTED_DTYPE records         gaps.bin        GAP_DTYPE records
    thresholds.bin    THRESHOLD_DTYPE records, all channels at each change
    notices.jsonl     one JSON object a line: the engine's notices (control changes too: cause `control`), and
                      `missed` where messages did not arrive
    marks.bin         MARK_DTYPE records             marks.txt       their texts, one JSON string a line
    flags.bin         uint8 (SpikeFlag), one per spike
    neighbours.bin    float32 × `neighbour_count`, one row per spike; empty where they were not asked for
    unobserved.bin    UNOBSERVED_DTYPE records
    journal.bin       JOURNAL_DTYPE records: one per file and flush

A flush appends to the data files first and to the journal last, the record of spikes.bin at the very end. What the
journal does not vouch for, after a crash, is a torn tail that readers leave out. Every .bin file is readable as it is
by `numpy.fromfile`, MATLAB's `memmapfile` and C.

A run whose stream changes its layout has a folder for each: NAME.rtspikes, NAME-2.rtspikes, NAME-3.rtspikes …
"""

from __future__ import annotations

import numpy as np

from rtspikes.types import GAP_DTYPE, MARK_DTYPE, REJECTED_DTYPE, SPIKE_DTYPE, THRESHOLD_DTYPE, UNOBSERVED_DTYPE

SUFFIX = ".rtspikes"
SESSION_FILE = "session.json"
JOURNAL_FILE = "journal.bin"
FORMAT = 3
"""Counts up when a log cannot be read as before: also with each file more, for a reader that does not know a file takes
the journal's first record of it for the end. Logs of format 1 and 2 have no flags, neighbours and unobserved.
"""

GAPS_BEFORE_2 = np.dtype([(name, GAP_DTYPE[name].str) for name in ("sample", "lost", "time", "cause")])
"""Records of gaps.bin in logs of format 1, whose gaps are all exact."""

FILES = (
    "spikes.bin",
    "waveforms.bin",
    "rejected.bin",
    "gaps.bin",
    "thresholds.bin",
    "notices.jsonl",
    "marks.bin",
    "marks.txt",
    "flags.bin",
    "neighbours.bin",
    "unobserved.bin",
)
"""Data files in the order of their number in the journal; older logs lack those at the end."""

COMMIT_FILE = 0
"""The file whose record ends a flush in the journal, empty if need be: without it the flush does not count."""

RECORDS = {
    "spikes.bin": SPIKE_DTYPE,
    "rejected.bin": REJECTED_DTYPE,
    "gaps.bin": GAP_DTYPE,
    "thresholds.bin": THRESHOLD_DTYPE,
    "marks.bin": MARK_DTYPE,
    "unobserved.bin": UNOBSERVED_DTYPE,
}

JOURNAL_DTYPE = np.dtype(
    [
        ("file", "<u4"),  # index into FILES
        ("crc32", "<u4"),  # of the appended bytes (zlib)
        ("offset", "<u8"),  # where they begin
        ("length", "<u8"),  # how many they are
        ("to_sample", "<i8"),  # every spike with a trigger before this sample is in the log
        ("time", "<f8"),  # LSL clock, s, of the flush
        ("check", "<u4"),  # crc32 of this record's bytes before this field
    ]
)
