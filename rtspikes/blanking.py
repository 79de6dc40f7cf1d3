"""Blanking at marks: which marks blank which channels, and for how long."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from msgspec import Meta, Struct

from rtspikes.detect.changes import LONGEST_BLANK_MS, Blank
from rtspikes.errors import ConfigError
from rtspikes.lines import numbers
from rtspikes.selectors import select
from rtspikes.types import ChannelInfo


class BlankRule(Struct, frozen=True, forbid_unknown_fields=True):
    """What marks that match blank; a rule without `line`, `value` and `text` matches every mark."""

    ms: Annotated[
        float, Meta(gt=0, le=LONGEST_BLANK_MS, description="how long (ms) the channels are blanked from the mark on")
    ]
    line: (
        Annotated[
            int | str | tuple[int | str, ...],
            Meta(description="only marks of this line, or of these: numbers, names or globs of `info.marker_lines`"),
        ]
        | None
    ) = None
    value: Annotated[int, Meta(description="only marks with this value: 1 for the rising edge of a TTL")] | None = None
    text: Annotated[str, Meta(description='only marks with this text, or this glob ("stim*")')] | None = None
    select: Annotated[
        str | int | tuple[int | str, ...],
        Meta(description="channels that are blanked, as `channels[].select`"),
    ] = "kind:electrode"


class _Rule(NamedTuple):
    lines: frozenset[int] | None
    value: int | None
    text: str | None
    blank: Blank

    def matches(self, line: int, value: int, text: str) -> bool:
        return (
            (self.lines is None or line in self.lines)
            and (self.value is None or value == self.value)
            and (self.text is None or text == self.text or fnmatch.fnmatchcase(text, self.text))
        )


class BlankRules:
    """The rules of one stream; raises ConfigError for lines and channels that it does not have."""

    def __init__(
        self, rules: Sequence[BlankRule], lines: Sequence[Mapping[str, Any]] = (), channels: Sequence[ChannelInfo] = ()
    ) -> None:
        """lines: what `info.marker_lines` says."""
        self._rules = []
        for number, rule in enumerate(rules, 1):
            try:
                select(rule.select, channels)
                wanted = None if rule.line is None else numbers(rule.line, lines)
            except ConfigError as error:
                raise ConfigError(f"blank, rule {number}: {error}") from None
            self._rules.append(_Rule(wanted, rule.value, rule.text, Blank(rule.select, rule.ms)))

    def __bool__(self) -> bool:
        """Tell whether there are rules."""
        return bool(self._rules)

    def of(self, line: int, value: int, text: str = "") -> list[Blank]:
        """Return what a mark blanks, in the order of the rules."""
        return [rule.blank for rule in self._rules if rule.matches(line, value, text)]
