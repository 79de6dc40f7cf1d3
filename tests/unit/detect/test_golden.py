"""What every method and option finds in fixed signals never changes by accident: hashes of the events.

A hash is over integers only (samples, channels, flags, reasons, rounded neighbours), so that another processor's last
bit is no difference.
When results are meant to change, `python -m tests.unit.detect.test_golden` writes the table anew (the repository's
root being the current folder); say why in the commit.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rtspikes.detect.settings import DetectSettings, Hoop, HoopSettings
from rtspikes.types import StreamInfo
from tests.unit.detect.options import CASES, INFO
from tests.unit.detect.streaming import Results, Segments, stream
from tests.unit.detect.test_option_invariance import FLOAT_INFO, IN_FLOAT, MIXED, SPLIT
from tests.unit.devices.simulations import opened, pulled

# case: the hash's first 32 digits
GOLDEN: dict[str, str] = {
    "threshold by default": "e02435e7e533a6538c15c5be1dff1069",
    "energy by default": "f898c9a25fe9c199e5520798aadd0abd",
    "window by default": "391612d5a3dc69295cd2455d44ef5a7b",
    "matched by default": "fb9539d73f0b3de069e7732100c129fc",
    "hoop by default": "5dba3d6e3fa16199526b452046adeb10",
    "threshold": "429de2a08fd21d211a419f468337fb62",
    "threshold, both signs, often": "d1080e6c470e2eca084a85984b05be2d",
    "energy": "fda246692df8ee23fd47680f30b14473",
    "energy, k = 1, both signs": "e88042af77c1905c665fa79c740dd8ec",
    "window": "b04f0e978c9b69c591646e36e4e271d8",
    "window, small hop, often": "34b1331ef5f7149cc473d465e949c835",
    "window, in units": "179c0ce1fb0160dac68494ea6fd6fd8d",
    "hoop": "6d3983e0a8280cf24a5519507e388ec9",
    "hoop, amplitude only, both signs": "9acd3762aa6857e4556e480fe794a002",
    "matched": "5e2a3ba41b574cf2c631201faa845a5b",
    "matched, shared, both signs": "fd5e7072ff89ba64ee20fa9bb31204cb",
    "average of all": "f5691c9ff81e402219b74b87c7f1105b",
    "median of wells": "c468a83b84d47b7b27224e7572f6e94a",
    "average of selectors": "dce1e5a0b76f8634dc8b3bca81da6e9d",
    "median of selectors, energy": "fdcb72b2874a1173da2626bd39261afa",
    "blanking": "5007ec2142c55cf2fc0b931d8772b337",
    "blanking, no filter": "02c8e1573994ff64d6b7a40d444d01f9",
    "blanking, energy": "1eb7ebb802640a35dc7a2130558a2272",
    "blanking, window": "bafbe8f570f95acc5d511f5325dd31e2",
    "blanking, hoop": "306320472156f07c2e02f4319dfe334b",
    "rails in µV, no hold-off": "b08262b5e55c3f6ba7d06cad7779b6b7",
    "coincidence flags": "b3d79f384f15ecf0613c0edc69a2f168",
    "coincidence rejects": "a9d160bf13c4d41cded74253cd177b0b",
    "exclusive": "a9e5afd1b2edbb6141871594391ca78c",
    "exclusive, amplitudes, coincidence rejects": "75f1c012c32994f220dfbd358ab2a028",
    "amplitudes of neighbours": "a17c75eb20894475ddfec5d0babbc648",
    "exclusive, window": "c42b101316bfda66f12722850aec087c",
    "storm": "ba367d14df54f5dc82699b79612fe22e",
    "storm, hoop": "c1385cb6a1106bca559646710b2d5663",
    "rebound": "dd9e7b39262e998a516cb3975a37d5e4",
    "everything, threshold": "47774ea918baf40182c002f774790801",
    "everything, energy": "13a711848ddc4681668567898522557c",
    "everything, window": "452161b3706c3b914f86751792524968",
    "everything, hoop": "54a44019d68e1c4118a7e0b37c831998",
    "everything, matched": "1656db6506bd1c3a7a604bd9c25ce115",
    "everything, threshold, float32": "e73eb012cc8143bb94b1542490361f87",
    "everything, energy, float32": "e0b6bd1af9fd7abc3a550d8c571d5c45",
}

SIMULATED = "sim:60?seconds=1.5&onset=0.7&scenario=artifact"
"""The default settings of every method see this."""

DEFAULTS = {
    "threshold": DetectSettings(),
    "energy": DetectSettings(method="energy"),
    "window": DetectSettings(method="window"),
    "matched": DetectSettings(method="matched"),
    "hoop": DetectSettings(method="hoop", hoop=HoopSettings((Hoop((0.0, 1.0), (-300.0, -20.0)),), 400.0)),
}
NAMES = [
    *(f"{method} by default" for method in DEFAULTS),
    *CASES,
    "everything, threshold, float32",
    "everything, energy, float32",
]


@cache
def simulated() -> tuple[Segments, StreamInfo]:
    address = SIMULATED.removeprefix("sim:")
    return [(0, pulled(address)[0])], opened(address).info


def found_in(name: str) -> Results:
    """Return what the case finds."""
    if method := re.match("(.*) by default", name):
        return stream(*simulated(), DEFAULTS[method[1]], [1000])
    if case := re.match("(.*), float32", name):
        return stream(
            [(0, IN_FLOAT[:4000]), (4321, IN_FLOAT[4000:])], FLOAT_INFO, CASES[case[1]], [1000], changes=MIXED
        )
    return stream(SPLIT, INFO, CASES[name], [1000], changes=MIXED)


def digest(results: Results) -> str:
    def column(table: str, name: str) -> NDArray[np.int64]:
        return np.concatenate([getattr(e, table) for e in results])[name].astype("<i8")

    tables = {
        "crossings": ("crossing", "channel"),
        "spikes": ("id", "sample", "crossing", "channel"),
        "rejected": ("id", "crossing", "channel", "reason"),
        "unobserved": ("sample", "stop", "channel", "reason"),
    }
    columns = [column(table, name) for table, names in tables.items() for name in names]
    near = np.concatenate([e.neighbours for e in results])
    columns.append(np.nan_to_num(np.round(near), nan=1e6).astype("<i8"))
    columns += [np.concatenate([e.flags for e in results]), results.observed.astype("<i8")]
    return hashlib.sha256(b"".join(c.tobytes() for c in columns)).hexdigest()[:32]


@pytest.mark.parametrize("name", NAMES)
def test_the_events_are_those_of_the_golden_hash(name: str) -> None:
    results = found_in(name)
    assert results.counts.sum() > 10
    assert digest(results) == GOLDEN[name]


def test_the_table_has_exactly_the_cases() -> None:
    assert list(GOLDEN) == NAMES
    assert len(set(GOLDEN.values())) == len(GOLDEN)


def _write() -> None:
    """Put the hashes as they are into this file."""
    path = Path(__file__)
    rows = "".join(f'    "{name}": "{digest(found_in(name))}",\n' for name in NAMES)
    table = "GOLDEN: dict[str, str] = {\n" + rows + "}"
    text = re.sub(r"^GOLDEN: .*?\}", table, path.read_text(encoding="utf-8"), count=1, flags=re.DOTALL | re.MULTILINE)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    _write()
