"""Reads labelled spikes, the truth that events are compared with, from a CSV file."""

from __future__ import annotations

import csv
import math
import reprlib
import sys
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from rtspikes.errors import ConfigError, DataError, nearest, reason

COLUMNS = ("kind", "sample", "time_s", "channel", "channel_label", "label", "snr")

TRUE_KIND = "ground_truth"
"""What is taken where nobody chose."""

DETECTORS = ("reference", "ref_", "vendor", "other_detector")
"""How the kinds of labels begin that a program made from a threshold of its own."""

LONGEST_LINE = 1 << 16
"""Characters of a line at most: what is longer is no table."""

MOST_ROWS = 20_000_000
"""Some minutes' reading, and half a gigabyte."""

FURTHEST = 2**53
"""Sample indices up to here survive a program that keeps them as floating-point numbers."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """Labelled spikes, in the order of their file; `kind` is "" where it has none.

    sample: (n,) absolute index of the recording. channel: (n,) position in the stream. unit: a text for each, "" where
    it is not known. snr: (n,) height in multiples of the noise level; NaN where it is not known.
    """

    kind: str
    sample: NDArray[np.int64]
    channel: NDArray[np.int64]
    unit: Sequence[str]
    snr: NDArray[np.float64]


def read_labelled(path: Path, info: Mapping[str, Any], kind: str | None = None) -> Labelled:
    """Return the rows of one kind of a CSV file, for a session with this `info`.

    Columns: `sample` or `time_s` (from the recording's sample 0); `channel` (a position when it is a whole number, else
    a label) or `channel_label`, neither needed for a single channel; and where known `kind`, `label` (the unit), `snr`.
    UTF-8; between fields a comma, semicolon or tab, with semicolons also decimal commas. Raises DataError, with the
    line, for a file that is not so, and ConfigError when `kind` is none of its own, or several are and none was chosen.
    """
    kind = _kind(path, kind)
    sample, channel, snr, units = array("q"), array("q"), array("d"), []
    with _opened(path) as table:
        parse = _Parser(table, info)
        for row in table.rows():
            if kind is not None and table.field(row, "kind") != kind:
                continue
            try:
                sample.append(parse.sample(row))
                channel.append(parse.channel(row))
                snr.append(parse.snr(row))
            except ValueError as error:
                raise table.error(str(error)) from None
            units.append(sys.intern(table.field(row, "label")))
            if len(units) > MOST_ROWS:
                raise DataError(f"{path} has more than {MOST_ROWS} rows; split it by time")
    if not units:
        raise DataError(f"{path} has no row below its header; a line for each labelled spike is needed")
    return Labelled(
        kind or "",
        np.frombuffer(sample, np.int64),
        np.frombuffer(channel, np.int64),
        units,
        np.frombuffer(snr, np.float64),
    )


def _kind(path: Path, asked: str | None) -> str | None:
    """Return the kind to read; None: the file has no such column."""
    with _opened(path) as table:
        if "kind" not in table.columns:
            if asked is not None:
                raise ConfigError(f"--kind {asked!r}: {path} has no column 'kind'; leave it out")
            return None
        kinds = Counter(table.field(row, "kind") for row in table.rows())
    if asked is None and (TRUE_KIND in kinds or len(kinds) <= 1):
        return TRUE_KIND if TRUE_KIND in kinds else next(iter(kinds), None)
    if asked is None:
        told = ", ".join(f"{reprlib.repr(name)} ({n})" for name, n in kinds.most_common(10))
        raise ConfigError(f"{path} has several kinds of rows: {told}{' …' * (len(kinds) > 10)}; choose one with --kind")
    if asked not in kinds:
        raise ConfigError(f"--kind: {path} has no rows of kind {asked!r}; {nearest(asked, kinds)}")
    return asked


def _opened(path: Path) -> _Table:
    try:
        return _Table(path, open(path, encoding="utf-8-sig", newline=""))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {reason(error)}; choose another file") from None


class _Table:
    """A CSV file as rows of texts; closes it when the block ends."""

    def __init__(self, path: Path, file: TextIO) -> None:
        self._path, self._file, self._number = path, file, 1
        self.columns: dict[str, int] = {}

    def __enter__(self) -> _Table:
        """Read the header."""
        try:
            self._read_header()
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._file.close()

    def _read_header(self) -> None:
        lines = self._lines()
        header = next((line for line in lines if line.strip()), "")
        self._delimiter = max(",;\t", key=header.count)
        names = [name.strip().lower() for name in next(self._parsed(iter([header])), [])]
        self.columns = {name: names.index(name) for name in COLUMNS if name in names}
        self._width = len(names)
        if not {"sample", "time_s"} & {*self.columns}:
            raise self.error(
                f"the header must name a column 'sample' or 'time_s', got {reprlib.repr(', '.join(names))}; "
                f"known: {', '.join(COLUMNS)}"
            )
        if twice := [name for name in self.columns if names.count(name) > 1]:
            raise self.error(f"the header must name each column once, got {twice[0]!r} {names.count(twice[0])} times")
        self._rows = self._parsed(lines)

    @property
    def decimal_comma(self) -> bool:
        """Whether a comma can be a decimal one."""
        return self._delimiter == ";"

    def error(self, what: str) -> DataError:
        """Return the error of the line that was read last."""
        return DataError(f"{self._path}, line {self._number}: {what}")

    def field(self, row: list[str], column: str) -> str:
        """Return a row's text in a column; "" where the row or the file has none."""
        at = self.columns.get(column, len(row))
        return row[at].strip() if at < len(row) else ""

    def rows(self) -> Iterator[list[str]]:
        """Yield the rows below the header, empty ones left out."""
        for row in self._rows:
            if len(row) > self._width and any(row[self._width :]):
                raise self.error(f"a row must have {self._width} fields as the header has, got {len(row)}")
            if any(row):
                yield row

    def _parsed(self, lines: Iterator[str]) -> Iterator[list[str]]:
        try:
            yield from csv.reader(lines, delimiter=self._delimiter, skipinitialspace=True, strict=True)
        except csv.Error as error:
            raise self.error(f"not a row of a CSV file: {error}") from None

    def _lines(self) -> Iterator[str]:
        """Yield the file's lines, never more than a bit of a file that has none."""
        try:
            for self._number in count(1):
                line = self._file.readline(LONGEST_LINE)
                if not line:
                    return
                if len(line) == LONGEST_LINE and line[-1] not in "\r\n":
                    raise self.error(f"a line must be shorter than {LONGEST_LINE} characters; is it a CSV file?")
                yield line
        except UnicodeDecodeError as error:
            raise DataError(f"{self._path} must be a CSV file in UTF-8, got {error.reason}; save it as such") from None
        except OSError as error:
            raise DataError(f"{self._path} cannot be read: {reason(error)}; choose another file") from None


class _Parser:
    """What a row says; its methods raise ValueError with the rule and the value where it breaks one."""

    def __init__(self, table: _Table, info: Mapping[str, Any]) -> None:
        self._field, self._comma = table.field, table.decimal_comma
        self._rate_hz = float(info["rate_hz"])
        self._labels = [str(label) for label in info["channels"]["label"]]
        self._by_label = {label: position for position, label in enumerate(self._labels)}
        self._twice = {label for label, n in Counter(self._labels).items() if n > 1}
        self._of = "sample" if "sample" in table.columns else "time_s"
        self._channel_of = "channel_label" if "channel_label" in table.columns else "channel"
        self._known: dict[str, int] = {}

    def sample(self, row: list[str]) -> int:
        """Return the absolute index of the spike."""
        text = self._field(row, self._of)
        if self._of == "time_s":
            number = self._number(text) * self._rate_hz
            if not 0 <= number <= FURTHEST:
                raise ValueError(f"time_s must be a number ≥ 0 (s from sample 0), got {reprlib.repr(text)}")
            return round(number)
        number = int(text) if text.isdecimal() and len(text) < 20 else self._number(text)
        if not (0 <= number <= FURTHEST and number == int(number)):
            raise ValueError(f"sample must be a whole number 0 … 2^53, got {reprlib.repr(text)}")
        return int(number)

    def channel(self, row: list[str]) -> int:
        """Return the position of the spike's channel."""
        text = self._field(row, self._channel_of)
        if (known := self._known.get(text)) is None:
            known = self._known[text] = self._position(text)
        return known

    def snr(self, row: list[str]) -> float:
        """Return the height in multiples of the noise level; NaN where it is not known."""
        text = self._field(row, "snr")
        number = self._number(text)
        if not (0 <= number < math.inf) and text.lower() not in ("", "nan"):
            raise ValueError(f"snr must be a number ≥ 0, or empty, got {reprlib.repr(text)}")
        return number

    def _position(self, text: str) -> int:
        n, number = len(self._labels), self._number(text)
        if not text and n == 1:
            return 0
        if self._channel_of == "channel" and number == number:
            if 0 <= number < n and number == int(number):
                return int(number)
            hint = "; labels that are numbers belong into a column 'channel_label'" * (text in self._by_label)
            raise ValueError(f"channel must be a position 0 … {n - 1}, or a label, got {reprlib.repr(text)}{hint}")
        if text not in self._by_label:
            what = "a position or a label" if self._channel_of == "channel" else "a label"
            raise ValueError(
                f"{self._channel_of} must be {what} of the session, got {reprlib.repr(text)}; "
                f"{nearest(text[:100], self._labels)}"
            )
        if text in self._twice:
            raise ValueError(
                f"{self._channel_of} must be clear, got {text!r}, which {self._labels.count(text)} channels are; "
                f"use positions"
            )
        return self._by_label[text]

    def _number(self, text: str) -> float:
        """Return a text as a number; NaN where it is none."""
        try:
            return math.nan if "_" in text else float(text.replace(",", ".") if self._comma else text)
        except ValueError:
            return math.nan
