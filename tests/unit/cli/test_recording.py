"""How a log grows, and how long its disk lasts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rtspikes.cli.recording import Recording

FREE = 7_200_000_000


class Growing:
    """Folders that grow by hand, a clock that stands still, and a disk that stays as free as it is."""

    def __init__(self, path: Path) -> None:
        self.time_s = 100.0
        self.folders = [str(path / "a.rtspikes")]
        self.recording = Recording(lambda: self.time_s, lambda folder: FREE)
        self.add("a.bin", 0)

    def add(self, name: str, n: int) -> None:
        folder = Path(self.folders[-1])
        folder.mkdir(exist_ok=True)
        with open(folder / name, "ab") as file:
            file.write(bytes(n))

    def figures(self, after_s: float = 0.0) -> tuple[int, float, float | None]:
        self.time_s += after_s
        found = self.recording.figures(self.folders)
        assert found is not None
        assert (found["path"], found["free_bytes"]) == (self.folders[-1], FREE)
        return found["bytes"], found["bytes_per_s"], found["hours_left"]


@pytest.fixture
def growing(tmp_path: Path) -> Growing:
    return Growing(tmp_path)


def test_nothing_is_known_of_how_it_grows_at_the_first_look(growing: Growing) -> None:
    growing.add("a.bin", 5000)
    assert growing.figures() == (5000, 0.0, None)
    assert growing.figures(10) == (5000, 0.0, None)


def test_growth_is_that_of_all_files_since_the_first_look(growing: Growing) -> None:
    growing.figures()
    growing.add("a.bin", 40_000)
    growing.add("b.bin", 2000)
    assert growing.figures(4.2) == (42_000, 10_000.0, 200.0)


def test_growth_is_that_of_the_last_minute(growing: Growing) -> None:
    growing.add("a.bin", 500_000)
    for _ in range(100):
        growing.figures(1)
    growing.add("a.bin", 60_000)
    assert growing.figures(1) == (560_000, 1000.0, 2000.0)
    for _ in range(60):
        last = growing.figures(1)
    assert last == (560_000, 0.0, None)


def test_the_next_sessions_folder_counts_too(growing: Growing) -> None:
    growing.add("a.bin", 1000)
    growing.figures()
    growing.folders.append(growing.folders[0].replace("a.", "a-2."))
    growing.add("a.bin", 500)
    assert growing.figures(5) == (1500, 100.0, 20_000.0)


def test_it_is_measured_once_a_second(growing: Growing) -> None:
    growing.figures()
    growing.add("a.bin", 1000)
    assert growing.figures(0.9)[0] == 0
    assert growing.figures(0.1)[0] == 1000


@pytest.mark.parametrize("gone", [lambda folder: [], lambda folder: [folder + "?"]])
def test_without_a_folder_there_is_nothing_to_say(gone: Callable[[str], list[str]], growing: Growing) -> None:
    assert growing.recording.figures(gone(growing.folders[0])) is None
