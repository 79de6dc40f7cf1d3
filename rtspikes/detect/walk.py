"""All stages of the method "threshold" in one kernel: for threads that share a slice.

Called one by one, each stage lets go of Python's lock and takes it again; with two threads at it, the waking takes as
long as the stages. Two threads gained nothing so, and are 1.6 times as fast as one with this (4096 channels, 20 ms).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from numba import boolean, types

from rtspikes.detect.compiled import kernel
from rtspikes.detect.front import filter_arguments, filter_of
from rtspikes.detect.methods.threshold import CROSS_ARGUMENTS, cross
from rtspikes.detect.noise_kernels import FOLLOW_ARGUMENTS, follow
from rtspikes.detect.snippets import FINISH_ARGUMENTS, finish

filtered: Any = None
"""In a kernel made of `_walk`: the front's kernel."""


def _walk(taken, levels, crossing, ending):  # type: ignore[no-untyped-def]
    """Call the kernels of all stages with what they take; return what the first and the last of them return."""
    held = filtered(*taken)
    follow(*levels)
    cross(*crossing)
    return held, finish(*ending)


@cache
def walk_of(kinds: tuple[str, ...], dtype: str) -> Callable[..., Any]:
    """Return the kernel for a filter whose sections are of these kinds, and for samples of this type; compile it."""
    tuple_of: Any = types.Tuple
    stages = (filter_arguments(dtype), FOLLOW_ARGUMENTS, CROSS_ARGUMENTS, FINISH_ARGUMENTS)
    signature = tuple_of((boolean, boolean))(*map(tuple_of, stages))
    compiled: Callable[..., Any] = kernel(signature, {"filtered": filter_of(kinds, dtype)}, (kinds, dtype))(_walk)
    return compiled
