"""Every wrong command line and configuration gets one line: what, the rule, the value, what to do; and an exit code."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import zmq

from tests.simulated import simulate, write_recording
from tests.system.processes import Running, rtspikes, said

USAGE, TRANSPORT, DATA = 2, 4, 5

IN_USE = zmq.strerror(zmq.EADDRINUSE).lower()

ANSWERS: dict[str, tuple[int, str]] = {
    # the command line
    "reply": (USAGE, "unknown command 'reply'; did you mean 'replay'? (see rtspikes --help)"),
    "replay": (USAGE, "missing argument FILE (see rtspikes replay --help)"),
    "replay good.raw other.raw": (USAGE, "got unexpected extra argument (other.raw) (see rtspikes replay --help)"),
    "replay good.raw --sped 1": (
        USAGE, "unknown option '--sped'; did you mean '--speed'? (see rtspikes replay --help)"),
    "replay good.raw --speed fast": (
        USAGE, "--speed must be a number > 0 or max, got 'fast' (see rtspikes replay --help)"),
    "replay good.raw --duration 0": (USAGE, "--duration must be a number > 0, got '0' (see rtspikes replay --help)"),
    "replay good.raw --duration nan": (
        USAGE, "--duration must be a number > 0, got 'nan' (see rtspikes replay --help)"),
    "replay good.raw --start -1": (USAGE, "--start must be a number ≥ 0, got '-1' (see rtspikes replay --help)"),
    "replay good.raw --wait-subscribers 1.5": (
        USAGE, "--wait-subscribers must be a whole number ≥ 0, got '1.5' (see rtspikes replay --help)"),
    "export good.rtspikes": (USAGE, "missing option --to: one of npz, csv, marks-csv (see rtspikes export --help)"),
    "export good.rtspikes --to np -o x": (
        USAGE, "--to: unknown format 'np'; did you mean 'npz'? (see rtspikes export --help)"),
    "export good.rtspikes --to hdf5 -o x": (
        USAGE, "--to: unknown format 'hdf5'; known: npz, csv, marks-csv (see rtspikes export --help)"),
    "export good.rtspikes --to csv -o -": (USAGE, "-o must be the name of a file, new or old, got '-'"),
    "export good.rtspikes --to csv -o ''": (USAGE, "-o must be the name of a file, new or old, got '.'"),
    "listen --topic spike": (
        USAGE, "--topic: unknown topic 'spike'; did you mean 'spikes'? (see rtspikes listen --help)"),
    "listen somewhere": (
        USAGE, "ENDPOINT must be tcp://HOST:PORT or ipc://PATH, for example tcp://127.0.0.1:5570, got 'somewhere' "
               "(see rtspikes listen --help)"),
    "log tcp://127.0.0.1:99999 s": (
        USAGE, "ENDPOINT must be tcp://HOST:PORT or ipc://PATH, for example tcp://127.0.0.1:5570, "
               "got 'tcp://127.0.0.1:99999' (see rtspikes log --help)"),
    "completion ksh": (USAGE, "SHELL: unknown shell 'ksh'; did you mean 'zsh'? (see rtspikes completion --help)"),
    # settings
    "run": (USAGE, "source.uri is missing; say --source URI, for example --source file:recording.raw"),
    "run good.raw": (USAGE, "run takes a configuration (TOML), got a recording; say: rtspikes replay good.raw"),
    "run lab.toml": (USAGE, "lab.toml: no such file or folder; did you mean 'labs.toml'?"),
    "run torn.toml": (
        USAGE, "torn.toml is not TOML: Expected ']' at the end of a table declaration (at line 1, column 8)"),
    "run labs.toml": (USAGE, "unknown key 'detect.treshold'; did you mean 'detect.threshold'?"),
    "run --source filed:x": (USAGE, "source.uri: unknown scheme 'filed'; did you mean 'file'?"),
    "replay good.raw --set detect": (
        USAGE, "--set wants KEY=VALUE, for example detect.threshold=4.5, got 'detect'"),
    "replay good.raw --set foo.bar=1": (
        USAGE,
        "unknown key 'foo'; known: source, markers, detect, channels, blank, ring, publish, history, reply, cpu, "
        "session"),
    "replay good.raw --set detect.threshold=-4": (USAGE, "detect.threshold must be a number > 0 and ≤ 1000, got -4"),
    "replay good.raw --set detect.threshold=high": (
        USAGE, "detect.threshold must be a number > 0 and ≤ 1000, got 'high'"),
    "replay good.raw --set detect.threshold.x=5": (
        USAGE, "detect.threshold must be a number > 0 and ≤ 1000, got {'x': 5}"),
    "replay good.raw --set detect=5": (USAGE, "detect must be a table of settings, got 5"),
    "replay good.raw --set detect.sign=down": (USAGE, "detect.sign must be one of neg, pos, both, got 'down'"),
    "replay good.raw --set source.loop=maybe": (USAGE, "source.loop must be true or false, got 'maybe'"),
    "replay good.raw --set source.speed=fast": (USAGE, "source.speed must be a number or max, got 'fast'"),
    "replay good.raw --set detect.filter.order=1.5": (
        USAGE, "detect.filter.order must be a whole number 1 … 8, got 1.5"),
    "replay good.raw --set ring.seconds=0": (USAGE, "ring.seconds must be a number > 0 and ≤ 3600, got 0"),
    "replay good.raw --set ring.seconds=inf": (USAGE, "ring.seconds must be a finite number, got inf"),
    "replay good.raw --set detect.snippet_ms=5": (USAGE, "detect.snippet_ms must be a list of 2 numbers, got 5"),
    "replay good.raw --set detect.snippet_ms=[nan,1]": (
        USAGE, "detect.snippet_ms[0] must be a finite number, got nan"),
    "replay good.raw --set 'publish.stream=a b'": (
        USAGE, "publish.stream must be text that matches ^[A-Za-z0-9_-]{1,64}$, got 'a b'"),
    "replay good.raw --set channels=5": (USAGE, "channels must be a list of tables, got 5"),
    "replay good.raw --set 'channels=[{enabled=false}]'": (
        USAGE, "channels[0] must have the key 'select', got {'enabled': False}"),
    """replay good.raw --set 'channels=[{select="Q*"}]'""": (
        USAGE, "selector 'Q*' matches no channel; known: E1, E2"),
    """replay good.raw --set 'channels=[{select="e1"}]'""": (
        USAGE, "selector 'e1' matches no channel; did you mean 'E1'?"),
    """replay good.raw --set 'channels=[{select="well:B2"}]'""": (
        USAGE, "selector 'well:B2' matches no channel; known: none"),
    "replay good.raw --set detect.filter.band_hz=[3000,300]": (
        USAGE, "detect.filter.band_hz must rise and lie between 0 and half the sampling rate (10000 Hz), "
               "got [3000, 300]"),
    "replay good.raw --set detect.noise.mode=file": (
        USAGE, 'detect.noise.file must name a JSON file with detect.noise.mode = "file", got none'),
    # recordings
    "replay god.raw": (DATA, "god.raw: no such file or folder; did you mean 'good.raw'?"),
    "replay good.json": (DATA, "good.json: unknown format '.json'; known: .raw"),
    "replay empty.raw": (DATA, "empty.raw: the file is empty"),
    "replay torn.raw": (
        DATA, "torn.raw: 399 bytes are not a whole number of frames of 2 × int16 (4 bytes); correct the sidecar, "
              "or cut a torn file to 396 bytes"),
    "replay short.raw": (
        DATA, "short.raw: the file holds 100 samples but short.json says 4000; the file is truncated or the sidecar "
              "belongs to another one: correct n_samples to use it as it is"),
    "replay alone.raw": (
        DATA, "alone.raw: its sidecar alone.json is missing; it must give sampling_rate_hz, n_channels, dtype and "
              "gain_to_uv as JSON"),
    "replay zero.raw": (DATA, "zero.json: n_channels must be a whole number 1 … 1000000, got 0"),
    "replay twins.raw": (DATA, "twins.json: channel_ids must be unique, got 'A' twice"),
    "replay fast.raw": (DATA, "fast.json: sampling_rate_hz must be 1e+07 at most, got 1000000000000000.0"),
    "replay unmeasured.raw": (DATA, "unmeasured.json: sampling_rate_hz must be a finite number > 0, got nothing"),
    "replay furlongs.raw": (
        DATA, "furlongs.json: the unit 'furlong' has no known size and gain_to_uv is missing; add it, or say "
              "source.uv_per_unit"),
    # addresses
    "replay good.raw --publish 5570": (
        USAGE, "publish.endpoint must be tcp://127.0.0.1:PORT or ipc://PATH, got '5570'"),
    "replay good.raw --publish tcp://0.0.0.0:0": (
        USAGE, "publish.endpoint must be on this computer (tcp://127.0.0.1:PORT or ipc://PATH), "
               "got 'tcp://0.0.0.0:0'; for others make keys (rtspikes keys DIR) and say --keys DIR, or let "
               "anybody read with --insecure"),
    "replay good.raw --publish tcp://127.0.0.1:99999": (
        USAGE, "publish.endpoint must have a port 0 … 65535 (0: any free one), got 'tcp://127.0.0.1:99999'"),
    "replay good.raw --publish tcp://127.0.0.1:TAKEN": (
        TRANSPORT, f"cannot publish on tcp://127.0.0.1:TAKEN: {IN_USE}; another engine may be running there: choose "
                   f"another address, for example --publish tcp://127.0.0.1:0 (any free port)"),
    "listen tcp://127.0.0.1:TAKEN --timeout 0.1": (
        TRANSPORT, "no engine at tcp://127.0.0.1:TAKEN within 0.1 s; start one with: rtspikes run --source URI"),
    "log tcp://127.0.0.1:TAKEN s --timeout 0.1": (
        TRANSPORT, "no engine at tcp://127.0.0.1:TAKEN within 0.1 s; start one with: rtspikes run --source URI"),
    # logs
    "replay good.raw --log good": (
        USAGE, "the log good.rtspikes exists, and a session is never overwritten; choose another path"),
    "replay good.raw --log good.raw/s": (
        USAGE, f"the log {Path('good.raw/s.rtspikes')} cannot be made: {Path('FOLDER/good.raw')} is not a folder that "
               f"can be written to; choose another path"),
    "replay good.raw --log ''": (USAGE, "the log needs a name for its folder, got '.'; say for example session1"),
    "info good": (DATA, "good: no such file or folder; did you mean 'good.rtspikes'?"),
    "export . --to csv -o x": (DATA, ". is not a session log: session.json: no such file or directory"),
    "export good.rtspikes --to csv -o none/x": (
        DATA, f"cannot write {Path('none/x')}: no such file or directory; choose another file with -o"),
    "info hollow.rtspikes": (DATA, f"{Path('hollow.rtspikes/session.json')} is damaged: it lacks 'rate_hz'"),
    "info newer.rtspikes": (DATA, "newer.rtspikes: log format must be 1 … 3, got 9; read it with a newer rtspikes"),
    "info cut.rtspikes": (
        DATA, f"{Path('cut.rtspikes/journal.bin')}: its entries do not join; the log was changed after the fact"),
}  # fmt: skip
"""Command line, run in a folder as `broken` makes it → exit code, and the whole line after `rtspikes: `.

TAKEN stands for a port that another program has, FOLDER for the folder.
"""


def broken(folder: Path) -> None:
    """Put a good recording, its log, and what is wrong with others into `folder`."""
    samples = simulate(2, 0.2)[0]
    write_recording(folder / "good", samples)
    done = rtspikes(
        "replay", "good.raw", "--speed", "max", "--publish", "tcp://127.0.0.1:0", "--log", "good", cwd=folder
    )
    assert done.returncode == 0, done.stderr
    write_recording(folder / "zero", samples, n_channels=0, channel_ids=[])
    write_recording(folder / "twins", samples, channel_ids=["A", "A"])
    write_recording(folder / "fast", samples, sampling_rate_hz=1e15)
    write_recording(folder / "unmeasured", samples, sampling_rate_hz=None)
    write_recording(folder / "furlongs", samples, gain_to_uv=None, unit="furlong")
    for name, size in (("empty", 0), ("torn", 399), ("short", 400)):
        path = write_recording(folder / name, samples)
        path.write_bytes(path.read_bytes()[:size])
    write_recording(folder / "alone", samples).with_suffix(".json").unlink()
    (folder / "torn.toml").write_text("[detect\nthreshold = 5\n")
    (folder / "labs.toml").write_text("[detect]\ntreshold = 5\n")
    for name in ("hollow", "newer", "cut"):
        shutil.copytree(folder / "good.rtspikes", folder / f"{name}.rtspikes")
    facts = json.loads((folder / "good.rtspikes" / "session.json").read_text("utf-8"))
    (folder / "newer.rtspikes" / "session.json").write_text(json.dumps(facts | {"format": 9}))
    del facts["info"]["rate_hz"]
    (folder / "hollow.rtspikes" / "session.json").write_text(json.dumps(facts))
    with open(folder / "cut.rtspikes" / "journal.bin", "r+b") as journal:
        rows = journal.read()
        journal.write(rows)


Outcome = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("answers")
    broken(folder)
    return folder


@pytest.fixture(scope="module")
def port() -> Iterator[str]:
    """Yield a port that another program has."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield str(taken.getsockname()[1])


@pytest.fixture(scope="module")
def outcomes(folder: Path, port: str) -> dict[str, Outcome]:
    """Run all of ANSWERS, one process per core at a time, so that no two may want the default port.

    They are over when it returns: pytest then changes the environment, which no thread may that starts a process.
    """

    def outcome(line: str) -> Outcome:
        own = [] if "publish" in line or not line.startswith(("replay", "run")) else ["--publish", "tcp://127.0.0.1:0"]
        return rtspikes(*shlex.split(line.replace("TAKEN", port)), *own, cwd=folder)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(ANSWERS, pool.map(outcome, ANSWERS), strict=True))


@pytest.mark.parametrize("line", ANSWERS)
def test_the_answer_is_one_line_and_an_exit_code(
    line: str, outcomes: dict[str, Outcome], folder: Path, port: str
) -> None:
    code, text = ANSWERS[line]
    done = outcomes[line]
    assert said(done.stderr.splitlines()) == ["rtspikes: " + text.replace("FOLDER", str(folder)).replace("TAKEN", port)]
    assert done.returncode == code
    assert not done.stdout


def test_what_is_waited_for_is_told() -> None:
    with Running("listen", "tcp://127.0.0.1:1") as listener:
        told = listener.wait_line("waiting")
    assert told == "waiting for an engine at tcp://127.0.0.1:1; start one with: rtspikes run --source URI"


def test_answers_are_short() -> None:
    assert [text for _, text in ANSWERS.values() if len(text) > 200] == []
