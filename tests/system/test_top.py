"""`rtspikes top` beside a running engine."""

from __future__ import annotations

import shlex
from pathlib import Path

from tests.system.processes import Running, rtspikes, wait_until

ANY = ("--publish", "tcp://127.0.0.1:0")


def words(line: str) -> dict[str, str]:
    return dict(word.split("=", 1) for word in shlex.split(line))


def test_it_prints_a_line_a_second_until_the_engine_ends(tmp_path: Path) -> None:
    source = "sim:60?scenario=storm&seconds=3"
    with Running("run", "--source", source, *ANY, "--wait-subscribers", 1, "--log", tmp_path / "s") as engine:
        with Running("top", engine.endpoint()) as top:
            assert (top.finish(), engine.finish()) == (0, 0), (top.err, engine.err)
            told = [words(line) for line in top.out]
    assert {line["state"] for line in told[:-1]} <= {"live", "silent"}
    last = told[-1]
    assert (last["state"], last["text"]) == ("ended", "the run has ended: end of source")
    assert (float(last["signal_s"]), last["electrodes"]) == (3.0, "59")
    assert int(last["storm_triggers"]) > 0
    assert [last[name] for name in ("lost_by_source", "lost_by_overrun", "missed_here")] == ["0", "0", "0"]
    assert last["recording_path"].endswith("s.rtspikes")
    assert int(last["recording_bytes"]) > 0
    assert len(last["busiest"].split(",")) == 5


def test_an_engine_that_vanishes_is_waited_for() -> None:
    with Running("run", "--source", "sim:4?seconds=3600", *ANY) as engine:
        endpoint = engine.endpoint()
        with Running("top", endpoint) as top:
            first = words(top.wait_line("state=live"))
            engine.process.kill()
            assert words(top.wait_line("state=lost"))["session"] == first["session"]
            with Running("run", "--source", "sim:4?seconds=3600", "--publish", endpoint) as again:
                again.endpoint()
                wait_until(lambda: "state=live" in top.out[-1], "the next engine")
                assert words(top.out[-1])["session"] != first["session"]
                assert rtspikes("control", endpoint, "shutdown").returncode == 0
                assert top.finish() == 0
            assert words(top.out[-1])["text"] == "the run has ended: stopped"
