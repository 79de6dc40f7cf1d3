"""`python -m tests.kernels`: compile what most tests need, once, before they run beside each other."""

from __future__ import annotations

from rtspikes_devices.sim import source

from rtspikes.detect import envelope
from rtspikes.detect.cascade import kinds_of
from rtspikes.detect.filter import design
from rtspikes.detect.front import filter_of
from rtspikes.detect.methods import energy, hoop, matched, threshold, window
from rtspikes.detect.settings import DetectSettings, FilterSettings
from rtspikes.detect.walk import walk_of
from tests.simulated import RATE_HZ
from tests.unit.detect.options import CASES

IMPORTED = energy, envelope, hoop, matched, threshold, window, source
"""Compile their kernels when they are imported."""


def compile_all() -> None:
    """Compile the front for every filter that is usual in tests, and the default one's for threads."""
    settings = [
        DetectSettings().filter,
        FilterSettings(order=1),
        FilterSettings(order=2),
        *(case.filter for case in CASES.values()),
    ]
    kinds = dict.fromkeys(kinds_of(design(each, RATE_HZ)) for each in settings)
    for each in kinds:
        for dtype in ("int16", "float32"):
            filter_of(each, dtype)
    walk_of(next(iter(kinds)), "int16")


if __name__ == "__main__":
    compile_all()
