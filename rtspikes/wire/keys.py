"""CURVE keys in files: the engine's folder, and the one file that each client carries away.

    DIR/server.key_secret            the engine's pair                DIR/server.key      its public key
    DIR/controllers/NAME.key         public keys that may read and control
    DIR/readers/NAME.key             public keys that may read
    DIR/clients/NAME.key_secret      a client's pair and the engine's public key, to carry to the client's computer

Files are in ZPL, as CZMQ and `zmq.auth.load_certificate` read it; keys are Z85 (ZeroMQ RFC 32). Folders are made with
mode 0700 and files with 0600. On Windows modes mean nothing: there the user's profile keeps others out.
"""

from __future__ import annotations

import enum
import os
import re
import shlex
import stat
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import zmq
from zmq.utils import z85

from rtspikes.errors import ConfigError, reason

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""Names of clients."""

LARGEST_FILE = 4096
"""Bytes; a larger file is none of keys."""

MODES = os.name == "posix"
"""Whether a file's mode says who can read it."""

SERVER_SECRET, SERVER_PUBLIC, CLIENTS = "server.key_secret", "server.key", "clients"

KEY_LINE = re.compile(
    rb"""^[ \t]*(public|secret|server)-key[ \t]*=[ \t]*(["']?)([^\s"']{40})\2[ \t\r]*$""", re.MULTILINE
)


class Right(enum.Enum):
    """What a key is good for."""

    READ = "read"
    CONTROL = "control"


FOLDERS = {Right.CONTROL: "controllers", Right.READ: "readers"}
"""Right → folder of the public keys that have it; a key in both may control."""


@dataclass(frozen=True)
class ServerKeys:
    """The engine's pair of keys (Z85), and the folder that says whom it lets in."""

    folder: Path
    public: bytes
    secret: bytes = field(repr=False)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Read the engine's pair; raise ConfigError when it is missing, damaged, or readable by others."""
        folder = Path(folder)
        if os.path.isdir(folder):
            _must_be_private(folder, folder.stat().st_mode)
        keys = _pair(folder / SERVER_SECRET, "restore it, or make keys in a new folder: rtspikes keys DIR")
        return cls(folder, keys["public"], keys["secret"])

    def right_of(self, public: bytes) -> tuple[str, Right] | None:
        """Return the name and the right of a public key (Z85), None for a stranger's; the folders are read each time.

        Raises OSError when they cannot be read, which says nothing about the key.
        """
        return next(((name, right) for right, name, key in self._known() if key == public), None)

    def skipped(self) -> int:
        """Return how many files in the folders are no `NAME.key` with a public key in it."""
        return sum(key is None for _, _, key in self._known())

    def _known(self) -> Iterator[tuple[Right, str, bytes | None]]:
        for right, inside in FOLDERS.items():
            try:
                files = sorted(os.listdir(self.folder / inside))
            except FileNotFoundError:
                continue
            for file in files:
                name = file.removesuffix(".key")
                is_ours = file != name and NAME.fullmatch(name)
                yield right, name, _public_key(self.folder / inside / file) if is_ours else None


@dataclass(frozen=True)
class ClientKey:
    """A client's pair of keys, and the public key by which it knows the engine (all Z85)."""

    public: bytes
    secret: bytes = field(repr=False)
    server: bytes

    @classmethod
    def new(cls, server: bytes) -> Self:
        """Return a fresh pair for the engine with the public key `server`."""
        return cls(*zmq.curve_keypair(), server)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a client's file; raise ConfigError when it is missing, damaged, or readable by others."""
        keys = _pair(Path(path), f"take {CLIENTS}/NAME.key_secret from the engine's folder of keys", "server")
        return cls(keys["public"], keys["secret"], keys["server"])

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Return what `to_text` was made of; raise ConfigError for any other text."""
        keys = _complete(_fields(text.encode("utf-8", "replace")), "the text", "give the whole of it", "server")
        return cls(keys["public"], keys["secret"], keys["server"])

    def to_text(self) -> str:
        """Return the content of a client's file."""
        return _zpl({"public": self.public, "secret": self.secret, "server": self.server})


def make_keys(folder: Path, clients: Mapping[str, Right]) -> list[Path]:
    """Make keys for `clients`, and the engine's pair if it is not there; return the files made.

    Nothing is overwritten: a client whose name is known, in whatever role, raises ConfigError before anything is made.
    """
    for name in clients:
        for path in (folder / FOLDERS[Right.CONTROL], folder / FOLDERS[Right.READ]):
            _must_be_new(path / f"{name}.key")
        _must_be_new(folder / CLIENTS / f"{name}.key_secret")
    made: list[Path] = []
    try:
        folder.mkdir(0o700, exist_ok=True)
        _must_be_private(folder, folder.stat().st_mode)
        for inside in (*FOLDERS.values(), CLIENTS):
            (folder / inside).mkdir(0o700, exist_ok=True)
        if not os.path.lexists(folder / SERVER_SECRET):
            _must_be_new(folder / SERVER_PUBLIC)
            public, secret = zmq.curve_keypair()
            made.append(_create(folder / SERVER_SECRET, _zpl({"public": public, "secret": secret})))
        server = ServerKeys.load(folder).public
        if not os.path.lexists(folder / SERVER_PUBLIC):
            made.append(_create(folder / SERVER_PUBLIC, _zpl({"public": server})))
        for name, right in clients.items():
            key = ClientKey.new(server)
            made.append(_create(folder / CLIENTS / f"{name}.key_secret", key.to_text()))
            made.append(_create(folder / FOLDERS[right] / f"{name}.key", _zpl({"public": key.public})))
    except BaseException as error:
        for path in made:
            path.unlink()
        if isinstance(error, OSError):
            raise ConfigError(f"keys cannot be made in {folder}: {reason(error)}; choose another folder") from None
        raise
    return made


def _must_be_new(path: Path) -> None:
    if os.path.lexists(path):
        raise ConfigError(f"{path} exists, and keys are never overwritten; choose another name, or remove it first")


def _create(path: Path, text: str) -> Path:
    """Write a file that is new, and its owner's alone from its first instant."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(text.encode("ascii"))
    except BaseException:
        path.unlink()
        raise
    return path


def _must_be_private(path: Path, mode: int) -> None:
    if MODES and mode & 0o077:
        wanted = f"chmod {'700' if stat.S_ISDIR(mode) else '600'} {shlex.quote(str(path))}"
        raise ConfigError(f"{path} must be for its owner alone, got mode {stat.S_IMODE(mode):o}; say: {wanted}")


def _pair(path: Path, remedy: str, *more: str) -> dict[str, bytes]:
    """Return the keys in a file that holds a pair and `more`; raise ConfigError when it is not fit for use."""
    try:
        content = _read(path, private=True)
    except OSError as error:
        raise ConfigError(f"the key {path} cannot be read: {reason(error)}; {remedy}") from None
    return _complete(_fields(content), str(path), remedy, *more)


def _complete(keys: dict[str, bytes], what: str, remedy: str, *more: str) -> dict[str, bytes]:
    for name in ("public", "secret", *more):
        if name not in keys:
            raise ConfigError(f"{what} lacks a sound {name}-key; {remedy}")
    if zmq.curve_public(keys["secret"]) != keys["public"]:
        raise ConfigError(f"{what} is damaged: its public-key does not belong to its secret-key; {remedy}")
    return keys


def _public_key(path: Path) -> bytes | None:
    try:
        return _fields(_read(path)).get("public")
    except OSError:
        return None


def _read(path: Path, private: bool = False) -> bytes:
    """Return the content of a regular file, nothing of a larger one or of anything else; follow links."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # a pipe must not be waited for
    try:
        status = os.fstat(descriptor)
        if private:
            _must_be_private(path, status.st_mode)
        if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST_FILE:
            return b""
        return os.read(descriptor, LARGEST_FILE)
    finally:
        os.close(descriptor)


def _fields(content: bytes) -> dict[str, bytes]:
    """Return the sound keys in ZPL by their names; none when one is given twice."""
    found = [(name.decode(), key) for name, _, key in KEY_LINE.findall(content)]
    keys = dict(found)
    return {name: key for name, key in keys.items() if _is_sound(key)} if len(keys) == len(found) else {}


def _is_sound(key: bytes) -> bool:
    """Tell whether five characters at a time stand for a number of 32 bits, as RFC 32 wants."""
    try:
        return len(z85.decode(key)) == 32
    except (KeyError, ValueError, struct.error):
        return False


def _zpl(keys: Mapping[str, bytes]) -> str:
    notice = "# SECRET: whoever has this file is let in by it.\n" if "secret" in keys else ""
    return f"{notice}metadata\ncurve\n" + "".join(f'    {name}-key = "{key.decode()}"\n' for name, key in keys.items())
