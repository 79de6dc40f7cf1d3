"""Kernels that are made of one function are kept in files of their own: else they would take each other's numbers."""

from __future__ import annotations

from rtspikes.detect.front import filter_of


def test_each_filter_and_type_of_samples_has_files_of_its_own() -> None:
    kernels = [filter_of(kinds, dtype) for kinds in ((), ("general",)) for dtype in ("int16", "float32")]
    assert len({kernel.__qualname__ for kernel in kernels}) == 4
    names = {kernel._cache._cache_file._index_name for kernel in kernels}  # noqa: SLF001
    assert len(names) == 4
