from __future__ import annotations

import threading
from typing import Any, Self

import pytest

from rtspikes.errors import ConfigError, TransportError
from rtspikes.subscribers.view import commander as module
from rtspikes.subscribers.view.commander import MOST_WAITING, Commander


class Fake:
    """Stands for `Control` of an engine whose session is s2."""

    def __init__(self, endpoint: str, **about: Any) -> None:
        self.info = {"session": "s2"}
        self.done: list[str] = DONE

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


DONE: list[str] = []


class Answers:
    def __init__(self) -> None:
        self._come = threading.Semaphore(0)
        self.told: list[tuple[bool, str]] = []

    def __call__(self, ok: bool, words: str) -> None:
        self.told.append((ok, words))
        self._come.release()

    def wait(self, n: int) -> list[tuple[bool, str]]:
        for _ in range(n):
            assert self._come.acquire(timeout=30)
        return self.told


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    DONE.clear()
    monkeypatch.setattr(module, "Control", Fake)


def test_what_is_meant_for_another_session_is_not_done() -> None:
    answers = Answers()
    with Commander("tcp://127.0.0.1:1") as commander:
        for session in ("s1", "s2", None):
            commander.ask(session, lambda control: control.done.append("done"), "done", answers)  # type: ignore[attr-defined]
        told = answers.wait(3)
    assert [ok for ok, _ in told] == [False, True, True]
    assert "nothing was done" in told[0][1]
    assert DONE == ["done", "done"]


@pytest.mark.parametrize("error", [TransportError("gone"), ConfigError("no"), KeyError("odd"), OSError(24, "files")])
def test_whatever_goes_wrong_is_an_answer_and_the_next_is_served(error: Exception) -> None:
    answers = Answers()

    def fail(control: object) -> None:
        raise error

    with Commander("tcp://127.0.0.1:1") as commander:
        commander.ask(None, fail, "done", answers)
        commander.ask(None, lambda control: None, "done", answers)
        assert [ok for ok, _ in answers.wait(2)] == [False, True]


def test_what_waits_is_bounded() -> None:
    answers, free = Answers(), threading.Event()
    with Commander("tcp://127.0.0.1:1") as commander:
        for _ in range(MOST_WAITING + 2):
            commander.ask(None, lambda control: free.wait(30), "done", answers)
        assert any(not ok and "waiting" in words for ok, words in answers.wait(1))
        free.set()
