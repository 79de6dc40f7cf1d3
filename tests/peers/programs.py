"""PROTOCOL.md's programs, taken out of it word for word and made ready to run."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

PEERS = Path(__file__).parent
PROTOCOL = (PEERS.parents[1] / "rtspikes/wire/PROTOCOL.md").read_text("utf-8")

BUILD_S = 120

C_FLAGS = ("-std=c11", "-O2", "-Wall", "-Wextra", "-Werror")
C_LIBRARIES = (("-lzmq", "-lmsgpackc"), ("-lzmq", "-lmsgpack-c"))
"""msgpack-c was renamed with its version 6."""

C_PROBE = "#include <msgpack.h>\n#include <zmq.h>\nint main(void) { return !zmq_ctx_new(); }\n"


def block(marker: str) -> str:
    """Return the fenced block of PROTOCOL.md that follows `<!-- marker -->`."""
    match = re.search(rf"^<!-- {re.escape(marker)} -->\n```\w*\n(.*?)^```$", PROTOCOL, re.DOTALL | re.MULTILINE)
    assert match is not None, f"PROTOCOL.md has lost its block {marker!r}"
    return match[1]


class Unavailable(Exception):
    """What a program needs is not on this computer."""


def _run(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command], cwd=cwd, capture_output=True, text=True, timeout=BUILD_S, check=False
    )


def python_program(folder: Path, cache: Path) -> list[str]:
    """Return the command of the Python program, run as by somebody without rtspikes: from a folder of its own."""
    path = folder / "spikes.py"
    path.write_text(block("python: spikes"), "utf-8")
    return [sys.executable, str(path)]


def c_program(folder: Path, cache: Path) -> list[str]:
    """Build the C program without a warning; return its command."""
    compiler = next((c for c in ("gcc", "cc", "clang") if shutil.which(c)), None)
    if compiler is None:
        raise Unavailable("there is no C compiler")
    (folder / "probe.c").write_text(C_PROBE)
    tried = [(libs, _run(compiler, "probe.c", "-o", "probe", *libs, cwd=folder)) for libs in C_LIBRARIES]
    libraries = next((libs for libs, done in tried if done.returncode == 0), None)
    if libraries is None:
        raise Unavailable(f"a C program with zmq.h and msgpack.h does not build: {tried[0][1].stderr.strip():.200}")
    (folder / "spikes.c").write_text(block("c: spikes"), "utf-8")
    built = _run(compiler, *C_FLAGS, "spikes.c", "-o", "spikes", *libraries, cwd=folder)
    assert built.returncode == 0, built.stderr
    return [str(folder / "spikes")]


def node_program(folder: Path, cache: Path) -> list[str]:
    """Install the two packages once, into `cache`; return the command of the JavaScript program."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise Unavailable(f"there is no {'node' if node is None else 'npm'}")
    version = _run(node, "--version", cwd=folder).stdout.strip()
    if int(version.lstrip("v").partition(".")[0]) < 18:
        raise Unavailable(f"@msgpack/msgpack needs Node 18 or newer, got {version}")
    installed = cache / f"node-{_short_hash((PEERS / 'package-lock.json').read_bytes())}"
    if not installed.exists():
        making = cache / f"making-{os.getpid()}"
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir()
        for name in ("package.json", "package-lock.json"):
            shutil.copy(PEERS / name, making)
        options = ("--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1")
        done = _run(npm, "ci", *options, cwd=making)
        if done.returncode:
            raise Unavailable(f"npm cannot install the packages: {done.stderr.strip():.200}")
        if not installed.exists():  # another run may have been quicker
            making.rename(installed)
    code = block("javascript: spikes").encode()
    program = installed / f"spikes-{_short_hash(code)}.mjs"  # beside node_modules, where its imports are looked for
    program.write_bytes(code)
    return [node, str(program)]


def _short_hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


PROGRAMS: dict[str, Callable[[Path, Path], list[str]]] = {
    "c": c_program,
    "javascript": node_program,
    "python": python_program,
}
