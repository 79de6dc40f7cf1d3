"""The few figures of the accuracy table that the project's README shows, between its markers."""

from __future__ import annotations

from pathlib import Path

BEGIN, END = "<!-- accuracy -->", "<!-- /accuracy -->"

SHOWN = ("simulated", "exact")
"""The kinds of truth of what is shown."""

COLUMNS = {
    "rtspikes, default": ("rtspikes: threshold", "default"),
    "`matched`, default": ("rtspikes: matched", "default"),
    "rtspikes, best": ("rtspikes: ", ""),
    "causal by hand, best": ("by hand, causal: ", ""),
    "zero-phase by hand, best": ("by hand, zero-phase: ", ""),
    "SpikeInterface, best": ("SpikeInterface: ", ""),
}
"""Column → how the detector and its setting begin of the rows of which it shows the best."""


def saved_rows(markdown: str, section: str) -> list[dict[str, str]]:
    """Return the rows of the table in a section of bench/README.md."""
    text = markdown.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    cells = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|") and not line.startswith("|-")
    ]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[1:]]


def block(rows: list[dict[str, str]]) -> str:
    """Return the table of F1 by recording that belongs between the markers."""
    lines = ["| F1 | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for recording in dict.fromkeys(row["recording"] for row in rows if row["truth"] in SHOWN):
        of = [row for row in rows if row["recording"] == recording]
        cells = [recording, *(_best(of, *begin) for begin in COLUMNS.values())]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _best(rows: list[dict[str, str]], detector: str, setting: str) -> str:
    found = [r["F1"] for r in rows if r["detector"].startswith(detector) and r["setting"].startswith(setting)]
    return max(found, default="")


def between_markers(document: str) -> str:
    """Return what stands between the markers of a document; raise ValueError without both."""
    start, end = document.index(BEGIN) + len(BEGIN), document.index(END)
    return document[start:end].strip()


def write(document: Path, rows: list[dict[str, str]]) -> None:
    """Write the table of `rows` between a document's markers."""
    text = document.read_text("utf-8")
    start, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    document.write_text(f"{text[:start]}\n{block(rows)}\n{text[end:]}", "utf-8")
