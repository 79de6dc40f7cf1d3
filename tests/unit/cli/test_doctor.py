"""What `doctor` prints: lines for a person as they are found, one JSON object for a program."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from rtspikes.cli.doctor import command as doctor
from rtspikes.cli.doctor.checks import Finding

GOOD = Finding("Good", "ok", "as it should be", "", {"size_mib": 3})
MEDIOCRE = Finding("Mediocre", "warn", "not quite", "mend it")
BAD = Finding("Bad", "fail", "broken", "replace it")


def raises(path: Path) -> Finding:
    raise OSError(f"{path} is odd")


@pytest.fixture(params=["healthy", "ill", "odd"])
def table(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    found: dict[str, doctor.Check] = {"Good": lambda _: GOOD, "Mediocre": lambda _: MEDIOCRE}
    if request.param == "ill":
        found["Bad"] = lambda _: BAD
    if request.param == "odd":
        found["Odd"] = raises
    monkeypatch.setattr(doctor, "CHECKS", found)
    return str(request.param)


def test_the_exit_code_tells_whether_something_failed(table: str) -> None:
    command: click.Command = doctor.doctor
    assert command.main(["--json"], standalone_mode=False) == (0 if table == "healthy" else 1)


def test_lines_are_for_a_person(table: str) -> None:
    lines = CliRunner().invoke(doctor.doctor).stdout.splitlines()
    assert lines[:3] == [
        "ok   Good       as it should be",
        "warn Mediocre   not quite",
        "                -> mend it",
    ]
    if table == "ill":
        assert lines[3:5] == ["fail Bad        broken", "                -> replace it"]
    assert ("NOT fit" in lines[-1]) == (table != "healthy")


def test_only_a_terminal_gets_colour(table: str) -> None:
    assert "\x1b" not in CliRunner().invoke(doctor.doctor).stdout
    assert "\x1b[32mok" in CliRunner().invoke(doctor.doctor, color=True).stdout


def test_json_has_everything(table: str) -> None:
    output = json.loads(CliRunner().invoke(doctor.doctor, ["--json", "--path", "there"]).stdout)
    assert {*output} == {"findings", "machine"}
    assert {"rtspikes", "python", "system", "cpu", "cores", "time"} == {*output["machine"]}
    good = output["findings"][0]
    assert good == {"check": "Good", "level": "ok", "value": "as it should be", "do": "", "figures": {"size_mib": 3}}
    if table == "odd":
        assert output["findings"][2]["value"] == "OSError: there is odd"


def test_findings_come_as_they_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def first(path: Path) -> Finding:
        ran.append("first")
        return GOOD

    def second(path: Path) -> Finding:
        ran.append("second")
        return BAD

    monkeypatch.setattr(doctor, "CHECKS", {"Good": first, "Bad": second})
    findings = doctor.findings(Path())
    assert next(findings) is GOOD
    assert ran == ["first"]
    assert next(findings) is BAD
