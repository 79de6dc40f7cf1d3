"""The comparison with others finds what was planted, and says of each that cannot be run why not."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from bench import peers
from bench.peers.tools import TOOLS

RUN = ["--channels", "16", "--seconds", "1.5", "--rounds", "2"]


def test_each_tool_has_a_row_with_what_it_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "herdingspikes"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise ImportError('not on this computer')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    rows = peers.run([*RUN, "--peers", "HerdingSpikes", "SciPy by hand"])
    assert [row["peer"] for row in rows] == ["rtspikes", "HerdingSpikes", "SciPy by hand"]
    ours, missing, scipy = rows
    assert missing["not_run"] == "ImportError: not on this computer"
    assert missing["msamples_per_s"] == missing["rtspikes_is_faster"] == ""
    for row in (ours, scipy):
        assert row["not_run"] == ""
        assert float(row["F1"]) > 0.95
        assert row["msamples_per_s"] > 0
    assert ours["rtspikes_is_faster"] == ""
    assert scipy["rtspikes_is_faster"] > 0
    assert scipy["target"] == 20


@pytest.mark.parametrize("name", [n for n, tool in TOOLS.items() if tool.module not in ("ours", "by_scipy")])
def test_a_peer_that_is_installed_finds_what_was_planted(name: str) -> None:
    for package in TOOLS[name].packages:
        try:
            distribution(package)
        except PackageNotFoundError:
            pytest.skip("extra bench is not installed")
    row = peers.run([*RUN, "--peers", name])[-1]
    assert (row["peer"], row["not_run"]) == (name, "")
    assert float(row["F1"]) > 0.95
