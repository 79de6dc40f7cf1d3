from __future__ import annotations

import json

import numpy as np
import pytest

from rtspikes.subscribers.view.pack import pack, text
from tests.unit.subscribers.view.pages import unpack


def test_arrays_come_back_as_they_were() -> None:
    arrays = {
        "columns": np.arange(15, dtype=np.uint8).reshape(5, 3),
        "nothing": np.zeros((0, 7), np.float32),
        "sample": np.array([2.0**53, -1.5]),
        "strided": np.arange(10, dtype="<u4")[::3],
        "field": np.array([(1, 2.5)], [("a", "<u4"), ("b", "<f4")])["b"],
    }
    head, found = unpack(pack({"t": "x", "text": 'µ "</script>'}, arrays))
    assert (head["t"], head["text"]) == ("x", 'µ "</script>')
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_types_that_a_browser_has_no_array_of_are_refused() -> None:
    with pytest.raises(TypeError, match="sample must be one of u1, .* got int64"):
        pack({}, {"sample": np.zeros(3, np.int64)})


def test_numbers_that_are_none_become_null() -> None:
    message = text({"a": float("nan"), "b": [1.5, float("-inf")], "c": {"d": float("inf")}, "e": "NaN"})
    assert json.loads(message) == {"a": None, "b": [1.5, None], "c": {"d": None}, "e": "NaN"}
