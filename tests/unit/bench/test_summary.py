"""The block of README.md is what the saved table says."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.__main__ import table
from bench.summary import BEGIN, END, between_markers, block, saved_rows, write

ROWS = [
    {"recording": "a", "truth": "simulated", "detector": "rtspikes: threshold", "setting": "default", "F1": "0.9000"},
    {"recording": "a", "truth": "simulated", "detector": "rtspikes: matched", "setting": "default", "F1": "0.9100"},
    {"recording": "a", "truth": "simulated", "detector": "rtspikes: matched", "setting": "best, 6 σ", "F1": "0.9700"},
    {"recording": "a", "truth": "simulated", "detector": "by hand, causal: energy", "setting": "x", "F1": "0.8000"},
    {"recording": "a", "truth": "simulated", "detector": "by hand, causal: hoop", "setting": "x", "F1": "0.9500"},
    {"recording": "b", "truth": "exact", "detector": "rtspikes: threshold", "setting": "default", "F1": "0.7000"},
    {"recording": "c", "truth": "reference detector", "detector": "rtspikes: threshold", "setting": "", "F1": "0.1"},
]

HEAD = ("rtspikes, default", "`matched`, default", "rtspikes, best")
PEERS = ("causal by hand, best", "zero-phase by hand, best", "SpikeInterface, best")
BLOCK = f"""| F1 | {" | ".join((*HEAD, *PEERS))} |
|---|---|---|---|---|---|---|
| a | 0.9000 | 0.9100 | 0.9700 | 0.9500 |  |  |
| b | 0.7000 |  | 0.7000 |  |  |  |"""


def test_the_block_shows_the_best_of_each_and_no_agreement() -> None:
    assert block(ROWS) == BLOCK


def test_a_saved_table_is_read_back() -> None:
    document = (
        f"# Benchmarks\n\n## other\n\n| x |\n|---|\n| 1 |\n\n## accuracy\n\nText.\n\n{table(ROWS)}\n\nCPU.\n\n## z\n"
    )
    assert saved_rows(document, "accuracy") == ROWS
    assert saved_rows(document, "other") == [{"x": "1"}]


def test_writing_replaces_what_is_between_the_markers_alone(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(f"before\n\n{BEGIN}\nold\n{END}\n\nafter\n", "utf-8")
    for _ in range(2):
        write(path, ROWS)
    assert path.read_text("utf-8") == f"before\n\n{BEGIN}\n{BLOCK}\n{END}\n\nafter\n"
    assert between_markers(path.read_text("utf-8")) == BLOCK


def test_a_document_without_markers_is_an_error() -> None:
    with pytest.raises(ValueError, match="substring not found"):
        between_markers("nothing")
