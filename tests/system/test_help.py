"""Every command's help says what it is for and has examples, and each line of them works as it stands."""

from __future__ import annotations

import re
import shlex
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click
import pytest

import rtspikes as package
from rtspikes.cli.commands import cli
from rtspikes.wire.settings import DEFAULT_ENDPOINT
from tests.simulated import simulate, write_recording
from tests.system.processes import Running, rtspikes, wait_until

ANY_PORT = ("--publish", "tcp://127.0.0.1:0")

SHORTER = {"--publish": ANY_PORT[1], "--duration": "1", "--seconds": "2"}
"""Options that are added to an example whose command has them: a free port, and not longer than it takes to see."""

CONTEXT = click.Context(cli, info_name="rtspikes")


def commands() -> dict[str, click.Command]:
    """Return every command there is."""
    found = {name: cli.get_command(CONTEXT, name) for name in cli.list_commands(CONTEXT)}
    return {name: command for name, command in found.items() if command is not None}


def all_commands() -> dict[str, click.Command]:
    """Return every command by its name, and those of groups by both names."""
    found = {}
    for name, command in commands().items():
        found[name] = command
        if isinstance(command, click.Group):
            inner = click.Context(command, parent=CONTEXT, info_name=name)
            found |= {f"{name} {word}": command.get_command(inner, word) for word in command.list_commands(inner)}
    return {name: command for name, command in found.items() if command is not None}


def help_of(command: click.Command, name: str) -> str:
    return command.get_help(click.Context(command, parent=CONTEXT, info_name=name))


def examples_in(text: str) -> list[str]:
    """Return the lines below "Examples:", up to the next blank one."""
    block = re.search(r"^ *Examples:\n((?: +\S.*\n)+)", text, re.MULTILINE)
    return [line.strip() for line in block[1].splitlines()] if block else []


EXAMPLES = {line: name for name, command in all_commands().items() for line in examples_in(help_of(command, name))}
EXAMPLES |= {line: line.split()[1] for line in examples_in(cli.get_help(CONTEXT))}


@pytest.mark.parametrize("name", all_commands())
def test_help_says_what_the_command_is_for_and_has_examples_of_it(name: str) -> None:
    text = help_of(all_commands()[name], name)
    purpose = text.split("\n\n")[1]
    assert re.fullmatch(r" +[A-Z](.|\n)+\.", purpose)
    lines = examples_in(text)
    assert 1 <= len(lines) <= 3
    assert all(line.replace(f" {DEFAULT_ENDPOINT}", "").startswith(f"rtspikes {name}") for line in lines)


def test_the_list_of_commands_says_what_each_is_for() -> None:
    block = rtspikes("--help").stdout.partition("Commands:\n")[2].partition("\n\n")[0]
    listed = re.findall(r"^  (\S+) +(\S(?:.|\n {4,})+)", block, re.MULTILINE)
    assert [name for name, _ in listed] == list(commands())
    assert [name for name, text in listed if not text.endswith(".") or text.endswith("...")] == []


def test_rtspikes_alone_shows_its_help() -> None:
    alone = rtspikes()
    assert (alone.returncode, alone.stderr) == (0, "")
    assert alone.stdout == rtspikes("--help").stdout


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the log of a short replay."""
    folder = tmp_path_factory.mktemp("session")
    recording = write_recording(folder / "recording", simulate(2, 3.0)[0])
    done = rtspikes("replay", recording, "--speed", "max", *ANY_PORT, "--log", folder / "session1")
    assert done.returncode == 0, done.stderr
    return folder / "session1.rtspikes"


PREPARE: dict[str, Callable[[Path, Path], object]] = {
    ".raw": lambda path, session: write_recording(path, simulate(2, 3.0)[0]),
    ".csv": lambda path, session: path.write_text(
        "sample,channel\n" + "".join(f"{sample},{channel}\n" for sample, channel in simulate(2, 3.0)[1])
    ),
    ".rtspikes": lambda path, session: shutil.copytree(session, path),
    ".toml": lambda path, session: path.write_text('[source]\nuri = "sim:60?seconds=1"\n'),
}
"""Suffix of a path in an example → what puts something there."""


LONG = ("demo", "doctor", "latency")
"""Commands that take long, and have tests of their own."""

RUN = [
    line for i, (line, name) in enumerate(EXAMPLES.items())
    if " " in name or name not in [*LONG, *[*EXAMPLES.values()][:i]]
]  # fmt: skip
"""The first example of each command, and all of `control`; of the others it is seen whether they can be asked for."""


@pytest.mark.parametrize("line", [line for line in EXAMPLES if line not in RUN])
def test_further_examples_can_be_asked_for(
    line: str, session: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, words = EXAMPLES[line], shlex.split(line)[1:]
    prepare(words, session, tmp_path)
    monkeypatch.chdir(tmp_path)
    assert words[0] == name
    all_commands()[name].make_context(name, words[1:], parent=CONTEXT).close()


def prepare(words: list[str], session: Path, folder: Path) -> None:
    """Put something where the words name a file."""
    for word in words:
        path = Path(word.removeprefix("file:"))
        if path.suffix in PREPARE:
            PREPARE[path.suffix](folder / path, session)


@pytest.mark.parametrize("line", RUN)
def test_examples_work_as_they_stand(line: str, session: Path, lasting: str, tmp_path: Path) -> None:
    name = EXAMPLES[line]
    words = shlex.split(line)[1:]
    prepare(words, session, tmp_path)
    for parameter in all_commands()[name].params:
        for option in set(parameter.opts) & set(SHORTER):
            words += [option, SHORTER[option]]
    with ExitStack() as engines:
        if DEFAULT_ENDPOINT in words:
            if name == "control shutdown":
                endpoint = engines.enter_context(lasting_engine())
            elif words[0] in ("control", "mark"):
                endpoint = lasting
            else:
                endpoint = engines.enter_context(running_engine(tmp_path)).endpoint()
            if name == "control load":
                assert rtspikes("control", endpoint, "save", words[-1], cwd=tmp_path).returncode == 0
            words = [endpoint if word == DEFAULT_ENDPOINT else word for word in words]
        if name == "view":
            serves_until_interrupted(*words, "--no-browser", cwd=tmp_path)
            return
        done = rtspikes(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert "rtspikes:" not in done.stderr


def serves_until_interrupted(*words: str, cwd: Path) -> None:
    with Running(*words, cwd=cwd) as serving:
        serving.wait_line("view on ")
        serving.process.send_signal(signal.SIGINT)
        assert serving.finish() == 0
        assert not any("rtspikes:" in line for line in serving.err)


def running_engine(folder: Path) -> Running:
    """Start an engine that waits for its first subscriber and then ends by itself."""
    recording = write_recording(folder / "engine", simulate(2, 1.0)[0])
    return Running("replay", recording, "--wait-subscribers", 1, *ANY_PORT)


@contextmanager
def lasting_engine() -> Iterator[str]:
    """Yield the address of an engine that has thresholds, and runs until it is told to end."""
    with Running("run", "--source", "sim:60?seconds=3600", *ANY_PORT) as engine:
        endpoint = engine.endpoint()
        with package.control(endpoint) as control:
            wait_until(lambda: control.status()["signal_s"] > 1, "a known noise level")
        yield endpoint


@pytest.fixture(scope="module")
def lasting() -> Iterator[str]:
    """Yield the address of one that many examples talk to."""
    with lasting_engine() as endpoint:
        yield endpoint
