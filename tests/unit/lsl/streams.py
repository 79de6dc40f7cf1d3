"""Streams that say what a test wants them to, as liblsl hands them over."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from rtspikes.lsl import load


@dataclass(frozen=True)
class Overrides:
    uv_per_unit: float | None = None
    rate_hz: float | None = None


NOTHING = Overrides()


def stream(
    desc: str = "", n: int = 2, rate_hz: float = 20000.0, form: str = "float32", source_id: str = "device-1"
) -> Any:
    """Return the pylsl.StreamInfo that liblsl makes of a description that came over the network."""
    import pylsl.lib

    xml: str = load().StreamInfo("MEA", "Ephys", n, rate_hz, form, source_id).as_xml()
    make = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_char_p)(("lsl_streaminfo_from_xml", pylsl.lib.lib))
    xml = xml.replace("<uid></uid>", "<uid>1234</uid>").replace("<desc />", f"<desc>{desc}</desc>")
    made = load().StreamInfo(handle=make(xml.encode("utf-8", "surrogateescape")))
    assert made.name() == "MEA"  # liblsl puts there why it refuses a description
    return made


def channels(*entries: dict[str, str], more: str = "") -> str:
    """Return a description of channels; a value of {…} is put in as it is."""

    def entry(said: dict[str, str]) -> str:
        return "".join(f"<{k}>{v if v.startswith('<') else escape(v)}</{k}>" for k, v in said.items())

    return f"<channels>{''.join(f'<channel>{entry(said)}</channel>' for said in entries)}</channels>{more}"


@dataclass
class Claim:
    """A pylsl.StreamInfo that says what liblsl itself would not let through today."""

    said: Any = None
    n: int = 2
    rate: float = 20000.0
    form: int = 5
    text: str = "x"
    created: float = 0.0

    def desc(self) -> Any:
        self.said = self.said or stream()
        return self.said.desc()

    def channel_count(self) -> int:
        return self.n

    def nominal_srate(self) -> float:
        return self.rate

    def channel_format(self) -> int:
        return self.form

    def created_at(self) -> float:
        return self.created

    def name(self) -> str:
        return self.text

    type = source_id = uid = hostname = session_id = name
