"""liblsl is loaded when it is first used: silent, with the user's configuration, or with one line when it cannot be."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtspikes import lsl
from rtspikes.errors import SourceError


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return an empty folder that is both the working folder and home, without a configuration of LSL."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.delenv("LSLAPICFG", raising=False)
    yield tmp_path
    lsl.load.cache_clear()


def test_without_a_configuration_liblsl_is_silent_and_reserves_little(elsewhere: Path) -> None:
    lines = lsl.configuration().split("\n")
    assert lines.index("level = -3") == lines.index("[log]") + 1
    assert "[tuning]" in lines


@pytest.mark.parametrize("place", ["lsl_api.cfg", "lsl_api/lsl_api.cfg", "named.cfg"])
def test_the_users_configuration_is_kept_and_only_what_it_lacks_is_added(
    elsewhere: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = elsewhere / place
    path.parent.mkdir(exist_ok=True)
    path.write_text("[multicast]\nResolveScope = machine\n[log]\nlevel = 2\n", "utf-8")
    if place == "named.cfg":
        monkeypatch.setenv("LSLAPICFG", str(path))
    text = lsl.configuration()
    assert "ResolveScope = machine" in text
    assert "level = 2" in text
    assert "level = -3" not in text
    assert "InletBufferReserveMs" in text


def test_a_configuration_that_cannot_be_read_is_none(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (elsewhere / "binary.cfg").write_bytes(b"\xff\xfe\x00[log]")
    monkeypatch.setenv("LSLAPICFG", str(elsewhere / "binary.cfg"))
    assert "level = -3" in lsl.configuration()


def _stub(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "pylsl.py").write_text(text, "utf-8")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "pylsl", raising=False)
    lsl.load.cache_clear()


@pytest.mark.parametrize(
    ("stub", "said"),
    [
        ("raise ImportError('no module')", r"^LSL needs the package pylsl \(no module\); install it: pip install"),
        (
            "raise RuntimeError('not found.\\nlong text')",
            r"liblsl, which cannot be loaded \(not found\.\); install it: ",
        ),
        ("raise OSError('wrong architecture')", r"liblsl, which cannot be loaded \(wrong architecture\); install it: "),
        ("__version__ = '1.16.2'", r"^LSL needs pylsl 1\.18 or newer, got 1\.16\.2; install it: pip install -U pylsl$"),
        (
            "__version__ = '1.18.0'\ndef library_version(): return 114",
            r"^LSL needs liblsl 1\.16 or newer, got 1\.14; install it: conda install -c conda-forge liblsl",
        ),
    ],
)
def test_what_is_missing_or_too_old_is_one_line_that_says_what_to_install(
    elsewhere: Path, stub: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _stub(elsewhere, stub, monkeypatch)
    with pytest.raises(SourceError, match=said) as refused:
        lsl.load()
    assert "\n" not in str(refused.value)


SPEAKS = """
import sys
from rtspikes import lsl
if sys.argv[1] == "loud":
    lsl.be_verbose()
pylsl = lsl.load()
pylsl.resolve_bypred("name='nobody'", 1, 0.1)
"""


@pytest.mark.parametrize("how", ["silent", "loud"])
def test_liblsl_speaks_only_when_asked_to(how: str) -> None:
    done = subprocess.run([sys.executable, "-c", SPEAKS, how], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == ""
    assert bool(done.stderr) == (how == "loud")
