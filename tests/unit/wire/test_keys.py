"""Key folders and files: made for their owner alone, read whatever is in them, and never overwritten."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import zmq
import zmq.auth
from hypothesis import given
from hypothesis import strategies as st

from rtspikes.errors import ConfigError
from rtspikes.wire import keys as module
from rtspikes.wire.keys import LARGEST_FILE, ClientKey, Right, ServerKeys, make_keys

CLIENTS = {"lab": Right.CONTROL, "plots": Right.READ}

needs_modes = pytest.mark.skipif(os.name != "posix", reason="modes mean nothing on this system")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_keys(tmp_path / "keys", CLIENTS)
    return tmp_path / "keys"


def client_key(folder: Path, name: str) -> ClientKey:
    return ClientKey.load(folder / "clients" / f"{name}.key_secret")


def test_a_folder_holds_the_engines_pair_and_its_clients(folder: Path) -> None:
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {
        "server.key", "server.key_secret", "controllers/lab.key", "readers/plots.key", "clients/lab.key_secret",
        "clients/plots.key_secret",
    }  # fmt: skip
    keys = ServerKeys.load(folder)
    for name, right in CLIENTS.items():
        key = client_key(folder, name)
        assert key.server == keys.public
        assert zmq.curve_public(key.secret) == key.public
        assert keys.right_of(key.public) == (name, right)
    assert keys.right_of(keys.public) is None
    assert keys.skipped() == 0


def test_pyzmqs_own_reader_reads_the_files_and_ours_reads_pyzmqs(folder: Path) -> None:
    keys, key = ServerKeys.load(folder), client_key(folder, "lab")
    assert zmq.auth.load_certificate(folder / "server.key_secret") == (keys.public, keys.secret)
    assert zmq.auth.load_certificate(folder / "clients" / "lab.key_secret") == (key.public, key.secret)
    assert zmq.auth.load_certificate(folder / "controllers" / "lab.key") == (key.public, None)
    zmq.auth.create_certificates(folder / "readers", "julia", {"name": "Julia"})
    public, _ = zmq.auth.load_certificate(folder / "readers" / "julia.key")
    assert keys.right_of(public) == ("julia", Right.READ)
    assert keys.skipped() == 1  # the secret key that pyzmq wrote beside it


def test_rights_are_read_each_time_and_a_key_in_both_folders_may_control(folder: Path) -> None:
    keys, public = ServerKeys.load(folder), client_key(folder, "plots").public
    reader, controller = folder / "readers" / "plots.key", folder / "controllers" / "other.key"
    controller.write_bytes(reader.read_bytes())
    assert keys.right_of(public) == ("other", Right.CONTROL)
    controller.unlink()
    assert keys.right_of(public) == ("plots", Right.READ)
    content = reader.read_bytes()
    reader.unlink()
    assert keys.right_of(public) is None
    reader.write_bytes(content)
    assert keys.right_of(public) == ("plots", Right.READ)


def test_without_its_folders_nobody_has_a_right(folder: Path) -> None:
    keys, key = ServerKeys.load(folder), client_key(folder, "lab")
    for inside in ("controllers", "readers"):
        (folder / inside).rename(folder / f"not-{inside}")
    assert keys.right_of(key.public) is None


def test_secrets_do_not_show_when_a_key_is_printed(folder: Path) -> None:
    for key in (ServerKeys.load(folder), client_key(folder, "lab")):
        assert key.public.decode() in repr(key)
        assert key.secret.decode() not in repr(key)


def test_a_clients_key_is_also_a_text(folder: Path) -> None:
    key = ClientKey.new(ServerKeys.load(folder).public)
    assert ClientKey.from_text(key.to_text()) == key
    assert ClientKey.from_text(key.to_text().replace("\n", "\r\n").replace('"', "'")) == key
    with pytest.raises(ConfigError, match="lacks a sound public-key"):
        ClientKey.from_text("")


# made for their owner alone


@needs_modes
def test_every_file_and_folder_is_its_owners_from_its_first_instant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: dict[Path, int] = {}

    def traced(create: Callable[..., int | None]) -> Callable[..., int | None]:
        def call(path: Path, *args: int, **kwargs: int) -> int | None:
            made = create(path, *args, **kwargs)
            modes.setdefault(Path(path), stat.S_IMODE(os.stat(path).st_mode))
            return made

        return call

    monkeypatch.setattr(os, "open", traced(os.open))
    monkeypatch.setattr(os, "mkdir", traced(os.mkdir))
    before = os.umask(0)
    try:
        make_keys(tmp_path / "keys", CLIENTS)
    finally:
        os.umask(before)
    everything = {tmp_path / "keys", *(tmp_path / "keys").rglob("*")}
    assert set(modes) == everything
    assert modes == {path: 0o700 if path.is_dir() else 0o600 for path in everything}
    assert {path: stat.S_IMODE(path.stat().st_mode) for path in everything} == modes


@needs_modes
@pytest.mark.parametrize("bit", [0o040, 0o020, 0o010, 0o004, 0o002, 0o001])
@pytest.mark.parametrize("name", ["server.key_secret", "clients/lab.key_secret", "."])
def test_a_secret_that_others_can_reach_is_refused_with_what_to_say(folder: Path, name: str, bit: int) -> None:
    path = folder / name
    mode = stat.S_IMODE(path.stat().st_mode)
    path.chmod(mode | bit)
    with pytest.raises(ConfigError) as caught:
        client_key(folder, "lab") if name.startswith("clients") else ServerKeys.load(folder)
    assert str(caught.value) == (
        f"{path} must be for its owner alone, got mode {mode | bit:o}; say: chmod {mode:o} {path}"
    )
    assert len(str(caught.value)) < 120 + 2 * len(str(path))


@needs_modes
def test_keys_are_not_made_where_others_can_reach_them(tmp_path: Path) -> None:
    (tmp_path / "my keys").mkdir()
    (tmp_path / "my keys").chmod(0o755)
    with pytest.raises(ConfigError, match=r"must be for its owner alone, got mode 755; say: chmod 700 '.*/my keys'$"):
        make_keys(tmp_path / "my keys", CLIENTS)
    assert not list((tmp_path / "my keys").iterdir())


@pytest.mark.skipif(os.name != "posix", reason="chmod does nothing here")
def test_modes_are_not_looked_at_where_they_mean_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MODES", False)
    (folder / "server.key_secret").chmod(0o644)
    folder.chmod(0o755)
    assert ServerKeys.load(folder).right_of(client_key(folder, "lab").public) is not None


# never overwritten


def snapshot(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("right", Right)
@pytest.mark.parametrize("name", CLIENTS)
def test_a_known_name_is_refused_and_nothing_is_made(folder: Path, name: str, right: Right) -> None:
    before = snapshot(folder)
    with pytest.raises(ConfigError, match=rf"{name}\.key exists, and keys are never overwritten"):
        make_keys(folder, {"fresh": Right.READ, name: right})
    assert snapshot(folder) == before


def test_a_name_whose_file_was_carried_away_is_refused_too(folder: Path) -> None:
    (folder / "clients" / "lab.key_secret").unlink()
    with pytest.raises(ConfigError, match="never overwritten"):
        make_keys(folder, {"lab": Right.READ})
    (folder / "controllers" / "lab.key").unlink()
    make_keys(folder, {"lab": Right.READ})


def test_more_clients_are_added_beside_those_that_are_there(folder: Path) -> None:
    before = snapshot(folder)
    made = make_keys(folder, {"more": Right.READ})
    assert [path.relative_to(folder).as_posix() for path in made] == ["clients/more.key_secret", "readers/more.key"]
    assert before.items() < snapshot(folder).items()
    assert client_key(folder, "more").server == ServerKeys.load(folder).public


def test_a_missing_public_key_of_the_engine_is_made_again_but_not_its_secret(folder: Path) -> None:
    public = (folder / "server.key").read_bytes()
    (folder / "server.key").unlink()
    make_keys(folder, {})
    assert (folder / "server.key").read_bytes() == public
    (folder / "server.key_secret").unlink()
    with pytest.raises(ConfigError, match=r"server\.key exists, and keys are never overwritten"):
        make_keys(folder, {})


def test_what_cannot_be_finished_is_not_begun(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    make_keys(folder, {})
    (folder / "readers").rmdir()
    (folder / "readers").write_text("not a folder")
    before = snapshot(folder)
    with pytest.raises(ConfigError, match=r"keys cannot be made in .*: .*; choose another folder"):
        make_keys(folder, {"plots": Right.READ})
    assert snapshot(folder) == before


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device here that is always full")
@pytest.mark.parametrize("name", ["clients/more.key_secret", "readers/more.key"])
def test_a_disk_that_fills_up_leaves_no_half_of_a_key(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before, really = snapshot(folder), os.open

    def full(path: Path, flags: int, mode: int = 0o777) -> int:
        descriptor = really(path, flags, mode)
        if path != folder / name:
            return descriptor
        os.close(descriptor)
        return really("/dev/full", os.O_WRONLY)

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(ConfigError, match="no space left"):
        make_keys(folder, {"more": Right.READ})
    monkeypatch.undo()
    assert snapshot(folder) == before


def test_a_file_that_somebody_else_makes_at_the_same_time_is_not_overwritten(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(folder)
    monkeypatch.setattr(os.path, "lexists", lambda path: False)
    with pytest.raises(ConfigError, match="file exists"):
        make_keys(folder, {"lab": Right.CONTROL})
    assert snapshot(folder) == before


# whatever is in them


def test_files_that_are_no_keys_are_skipped_and_counted(folder: Path, tmp_path: Path) -> None:
    keys, public = ServerKeys.load(folder), client_key(folder, "plots").public
    line = f'public-key = "{public.decode()}"\n'
    readers = folder / "readers"
    (readers / "plots.key").unlink()
    broken = {
        "empty.key": "", "short.key": line.replace(public.decode(), public.decode()[1:]), "plots.key.off": line,
        "my laptop.key": line, ".key": line, "notes.txt": line, f"{'x' * 65}.key": line, "twice.key": line * 2,
        "large.key": line + "#" * LARGEST_FILE, "beyond.key": f'public-key = "{"#" * 40}"\n',
        "tail.key": line[:-2] + "x",
    }  # fmt: skip
    for name, content in broken.items():
        (readers / name).write_text(content)
    (readers / "folder.key").mkdir()
    assert keys.right_of(public) is None
    assert keys.skipped() == len(broken) + 1
    (readers / "good.key").write_text(line)
    assert keys.right_of(public) == ("good", Right.READ)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "readers" / "a-pipe.key")
    keys = ServerKeys.load(folder)
    assert keys.right_of(client_key(folder, "plots").public) == ("plots", Right.READ)
    assert keys.skipped() == 1


def test_of_a_huge_file_no_more_is_read_than_a_key_can_have(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(folder / "readers" / "huge.key", "wb") as file:
        file.truncate(1 << 36)
    wanted: list[int] = []
    read = os.read

    def traced(descriptor: int, size: int) -> bytes:
        wanted.append(size)
        return read(descriptor, size)

    monkeypatch.setattr(os, "read", traced)
    keys = ServerKeys.load(folder)
    assert keys.right_of(client_key(folder, "plots").public) == ("plots", Right.READ)
    assert keys.skipped() == 1
    assert max(wanted) <= LARGEST_FILE


@pytest.mark.skipif(os.name == "nt", reason="links need a right of their own on Windows")
def test_links_are_followed(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (folder / "controllers").rename(elsewhere)
    (folder / "controllers").symlink_to(elsewhere)
    (elsewhere / "lab.key").rename(tmp_path / "a")
    (elsewhere / "linked.key").symlink_to(tmp_path / "a")
    (elsewhere / "dangling.key").symlink_to(tmp_path / "b")
    (tmp_path / "link").symlink_to(folder)
    keys = ServerKeys.load(tmp_path / "link")
    assert keys.right_of(client_key(folder, "lab").public) == ("linked", Right.CONTROL)
    assert keys.skipped() == 1
    with pytest.raises(ConfigError, match=r"dangling\.key exists, and keys are never overwritten"):
        make_keys(folder, {"dangling": Right.READ})


def test_a_pair_that_is_missing_or_damaged_is_refused_with_what_to_do(folder: Path, tmp_path: Path) -> None:
    restore = r"restore it, or make keys in a new folder: rtspikes keys DIR$"
    with pytest.raises(ConfigError, match=rf"none.* cannot be read: no such file or directory; {restore}"):
        ServerKeys.load(tmp_path / "none")
    take = r"take clients/NAME\.key_secret from the engine's folder of keys$"
    with pytest.raises(ConfigError, match=rf"no such file or directory; {take}"):
        client_key(folder, "nobody")
    with pytest.raises(ConfigError, match=rf"server\.key lacks a sound secret-key; {take}"):
        ClientKey.load(folder / "server.key")
    with pytest.raises(ConfigError, match=rf"server\.key_secret lacks a sound server-key; {take}"):
        ClientKey.load(folder / "server.key_secret")
    with pytest.raises(ConfigError, match=take):
        ClientKey.load(folder)
    path, public = folder / "server.key_secret", client_key(folder, "lab").public
    path.write_text(path.read_text().replace(ServerKeys.load(folder).public.decode(), public.decode()))
    with pytest.raises(ConfigError, match=rf"damaged: its public-key does not belong to its secret-key; {restore}"):
        ServerKeys.load(folder)


@pytest.fixture(scope="module")
def spare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spare") / "keys"
    make_keys(folder, CLIENTS)
    return folder


LINES = st.lists(
    st.one_of(
        st.binary(max_size=60),
        st.sampled_from([b"public-key", b"secret-key", b"server-key", b' = "', b'"\n', b"#", b"\r\n", b" " * 500]),
        st.binary(min_size=40, max_size=40),
        st.text("0aA#%~", min_size=40, max_size=40).map(str.encode),
    ),
    max_size=30,
).map(b"".join)  # fmt: skip


@given(content=LINES)
def test_any_bytes_are_a_key_or_a_refusal(spare: Path, content: bytes) -> None:
    keys = ServerKeys.load(spare)
    for path in (spare / "readers" / "any.key", spare / "controllers" / "any.key"):
        path.write_bytes(content)
    assert keys.right_of(client_key(spare, "plots").public) == ("plots", Right.READ)
    assert keys.right_of(ClientKey.new(keys.public).public) is None
    assert keys.skipped() in (0, 2)
    secret = spare / "clients" / "any.key_secret"
    with open(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    with pytest.raises(ConfigError):
        ClientKey.load(secret)
    with pytest.raises(ConfigError):
        ClientKey.from_text(content.decode("utf-8", "surrogateescape"))
