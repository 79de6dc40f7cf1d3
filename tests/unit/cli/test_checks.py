"""The installation checks of `doctor`: each limit at its border, and nothing that a check meets ends the others."""

from __future__ import annotations

from typing import Any

import pytest

from rtspikes.cli.doctor import checks
from rtspikes.cli.doctor.checks import Finding, ProbeError, run_check
from rtspikes.errors import ConfigError

LOADED = {"load_s": 0.9, "compiled": 0, "cache": "/c", "cpu": "znver5", "vectors": "avx512f"}
COMPILED = LOADED | {"load_s": 12.0, "compiled": 5}


class Runs:
    """A `probe` that gives what was prepared, one after the other."""

    def __init__(self, *found: dict[str, Any] | ProbeError) -> None:
        self.left = list(found)

    def __call__(self, code: str) -> dict[str, Any]:
        found = self.left.pop(0)
        if isinstance(found, ProbeError):
            raise found
        return found


@pytest.mark.parametrize(
    ("version", "bits", "free_threaded", "level"),
    [
        ((3, 10, 9), 64, False, "fail"),
        ((3, 11, 0), 64, False, "ok"),
        ((3, 13, 9), 64, False, "ok"),
        ((3, 14, 0), 64, False, "warn"),
        ((3, 13, 0), 64, True, "warn"),
        ((3, 12, 1), 32, False, "fail"),
    ],
)
def test_pythons_version_bits_and_build(
    version: tuple[int, int, int], bits: int, free_threaded: bool, level: str
) -> None:
    finding = checks.judge_python(version, bits, free_threaded)
    assert finding.level == level
    assert bool(finding.do) == (level != "ok")


def test_the_packages_that_are_needed_are_here() -> None:
    assert {"numpy", "numba", "scipy", "pyzmq", "msgpack", "click", "rich", "msgspec"} <= {*checks.required_packages()}
    finding = checks.check_packages()
    assert finding.level == "ok", finding.value
    assert "pyzmq" in finding.figures


def test_a_missing_package_fails_with_the_line_to_run() -> None:
    finding = checks.check_packages(["numpy", "no-such-package"])
    assert finding.level == "fail"
    assert "no-such-package" in finding.value
    assert finding.do.endswith("-m pip install --upgrade --force-reinstall no-such-package")


def test_kernels_from_the_cache_are_ok() -> None:
    runs = Runs(LOADED)
    finding = checks.check_kernels(runs)
    assert (finding.level, finding.do, runs.left) == ("ok", "", [])
    assert finding.figures["load_s"] == 0.9


def test_kernels_compiled_once_are_ok_when_the_next_start_finds_them() -> None:
    finding = checks.check_kernels(Runs(COMPILED, LOADED))
    assert finding.level == "ok"
    assert "compiled just now (12 s)" in finding.value
    assert finding.figures["first_load_s"] == 12.0


def test_a_cache_that_cannot_be_written_is_a_warning() -> None:
    finding = checks.check_kernels(Runs(COMPILED, COMPILED))
    assert finding.level == "warn"
    assert "/c" in finding.value
    assert "NUMBA_CACHE_DIR" in finding.do


def test_kernels_that_cannot_be_loaded_fail() -> None:
    nowhere = checks.check_kernels(Runs(ProbeError("cannot cache function 'scan': no locator available")))
    assert nowhere.level == "fail"
    assert "NUMBA_CACHE_DIR" in nowhere.do
    broken = checks.check_kernels(Runs(ProbeError("ImportError: no llvmlite")))
    assert broken.level == "fail"
    assert "no llvmlite" in broken.value


@pytest.mark.parametrize(
    ("apart_s", "level"), [(-0.9e-3, "ok"), (1e-3, "fail"), (-5.0, "fail"), (float("nan"), "fail")]
)
def test_liblsls_clock_must_be_ours(apart_s: float, level: str) -> None:
    finding = checks.check_lsl(Runs({"liblsl": "1.17", "pylsl": "1.18.0", "clocks_apart_s": apart_s}))
    assert finding.level == level
    assert bool(finding.do) == (level != "ok")


def test_without_liblsl_files_still_work() -> None:
    finding = checks.check_lsl(Runs(ProbeError("RuntimeError: LSL binary not found. Please read on")))
    assert finding.level == "warn"
    assert finding.value.endswith("LSL binary not found")
    assert "pip install pylsl" in finding.do


def test_an_exception_inside_a_check_is_a_finding() -> None:
    def check() -> Finding:
        raise ZeroDivisionError("no\nreason")

    finding = run_check("Odd", check)
    assert (finding.check, finding.level) == ("Odd", "fail")
    assert finding.value == "ZeroDivisionError: no reason"
    assert finding.do


def test_an_error_of_rtspikes_inside_a_check_is_one_too() -> None:
    def check() -> Finding:
        raise ConfigError("the ring must hold 8 samples, got 4")

    assert "the ring must hold 8 samples" in run_check("Ring", check).value


def test_debug_shows_where_an_exception_came_from(capsys: pytest.CaptureFixture[str]) -> None:
    def check() -> Finding:
        raise ZeroDivisionError

    run_check("Odd", check)
    assert capsys.readouterr().err == ""
    run_check("Odd", check, debug=True)
    assert "raise ZeroDivisionError" in capsys.readouterr().err


def test_ctrl_c_ends_a_check() -> None:
    def check() -> Finding:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_check("Odd", check)


def test_a_probe_returns_the_last_line_whatever_was_printed_before() -> None:
    assert checks.probe("print('chatter'); print('{\"a\": 1}')") == {"a": 1}


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("raise ValueError('two\\nlines')", "ValueError: two lines"),
        ("raise SystemExit('said so')", "said so"),
        ("raise SystemExit(7)", "exit code 7"),
    ],
)
def test_a_probe_that_fails_says_why_in_one_line(code: str, text: str) -> None:
    with pytest.raises(ProbeError) as caught:
        checks.probe(code)
    assert str(caught.value) == text


def test_a_probe_that_hangs_is_ended() -> None:
    with pytest.raises(ProbeError, match="not done"):
        checks.probe("import threading; threading.Event().wait()", timeout_s=0.1)
