"""Reads what a log tells, by path and type: None where it tells nothing, one line where it tells nonsense."""

from __future__ import annotations

import math
from typing import Any

from rtspikes.errors import DataError


class Told:
    """A JSON object of a log."""

    def __init__(self, tree: Any, name: str) -> None:
        """name: of the object, with its file, for errors."""
        if not isinstance(tree, dict):
            raise DataError(f"{name} is damaged: it must be an object, got {tree!r:.40}")
        self._tree = tree
        self._name = name

    def number(self, path: str) -> float | None:
        """Return a finite number."""
        value = self._at(path)
        return None if value is None else _number(value, self._where(path))

    def whole(self, path: str) -> int | None:
        """Return a whole number."""
        value = self._at(path)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise self._damage(path, "a whole number", value)
        return value

    def text(self, path: str) -> str | None:
        """Return text."""
        value = self._at(path)
        if value is not None and not isinstance(value, str):
            raise self._damage(path, "text", value)
        return value

    def flag(self, path: str) -> bool | None:
        """Return true or false."""
        value = self._at(path)
        if value is not None and not isinstance(value, bool):
            raise self._damage(path, "true or false", value)
        return value

    def numbers(self, path: str, n: int | None = None) -> list[float] | None:
        """Return a list of finite numbers, `n` of them if that is given."""
        value = self._at(path)
        if value is None:
            return None
        if not isinstance(value, list) or (n is not None and len(value) != n):
            raise self._damage(path, "a list of numbers" if n is None else f"a list of {n} numbers", value)
        return [_number(each, self._where(path)) for each in value]

    def rows(self, path: str, n: int) -> list[list[float]] | None:
        """Return a list of rows of `n` finite numbers."""
        value = self._at(path)
        if value is None:
            return None
        if not isinstance(value, list) or any(not isinstance(row, list) or len(row) != n for row in value):
            raise self._damage(path, f"a list of rows of {n} numbers", value)
        return [[_number(each, self._where(path)) for each in row] for row in value]

    def objects(self, path: str) -> list[Told]:
        """Return a list of objects, an empty one where nothing is told."""
        value = self._at(path)
        if value is not None and not isinstance(value, list):
            raise self._damage(path, "a list", value)
        return [Told(each, f"{self._name}.{path}[{i}]") for i, each in enumerate(value or ())]

    def tree(self, path: str) -> dict[str, Any]:
        """Return an object as it is, an empty one where nothing is told."""
        value = self._at(path)
        if value is not None and not isinstance(value, dict):
            raise self._damage(path, "an object", value)
        return value or {}

    def any(self, path: str) -> Any:
        """Return whatever is there."""
        return self._at(path)

    def _at(self, path: str) -> Any:
        value: Any = self._tree
        for i, key in enumerate(parts := path.split(".")):
            if value is None:
                return None
            if not isinstance(value, dict):
                raise self._damage(".".join(parts[:i]), "an object", value)
            value = value.get(key)
        return value

    def _where(self, path: str) -> str:
        return f"{self._name}.{path}"

    def _damage(self, path: str, rule: str, value: Any) -> DataError:
        return DataError(f"{self._where(path)} is damaged: it must be {rule}, got {value!r:.40}")


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DataError(f"{where} is damaged: it must be a finite number, got {value!r:.40}")
    return float(value)
