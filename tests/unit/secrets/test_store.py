"""The store: whole values, private files, and refusals of what others could have read."""

from __future__ import annotations

import fcntl
import os
import stat
import threading
from pathlib import Path

import pytest

from drop.secrets import store as store_module
from drop.secrets.store import SecretStore
from drop.secrets.value import Secret, SecretError


@pytest.fixture
def store(tmp_path: Path) -> SecretStore:
    return SecretStore(str(tmp_path))


def test_a_value_comes_back_and_nobody_else_can_read_it(store: SecretStore) -> None:
    mask = os.umask(0)
    try:
        assert store.set("A", Secret(b"\x00binary\n")) is True
    finally:
        os.umask(mask)
    assert store.get("A") == Secret(b"\x00binary\n")
    directory = Path(store.directory)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "A").stat().st_mode) == 0o600
    assert os.listdir(directory) == ["A"]


def test_an_empty_store(store: SecretStore) -> None:
    assert store.entries() == []
    assert store.get("A") is None
    with pytest.raises(SecretError, match="there is no secret A") as told:
        store.remove("A")
    assert told.value.kind == "not_found"


def test_the_list_has_sizes_and_times_and_no_values(store: SecretStore) -> None:
    store.set("B", Secret(b"hunter2"))
    store.set("A", Secret(b"x"))
    os.utime(Path(store.directory, "A"), (0, 1000))
    entries = store.entries()
    assert [(each.name, each.size) for each in entries] == [("A", 1), ("B", 7)]
    assert entries[0].changed == 1000
    assert "hunter2" not in repr(entries)


def test_a_value_is_replaced_as_a_whole(store: SecretStore) -> None:
    """Who has the old file open goes on with the old value."""
    store.set("A", Secret(b"old and longer"))
    with Path(store.directory, "A").open("rb") as stream:
        assert store.set("A", Secret(b"new")) is True
        assert stream.read() == b"old and longer"
    assert store.get("A") == Secret(b"new")


def test_the_same_value_again_is_no_change(store: SecretStore) -> None:
    store.set("A", Secret(b"x"))
    before = Path(store.directory, "A").stat().st_ino
    assert store.set("A", Secret(b"x")) is False
    assert Path(store.directory, "A").stat().st_ino == before


def test_removing(store: SecretStore) -> None:
    store.set("A", Secret(b"x"))
    store.remove("A")
    assert store.get("A") is None
    assert store.entries() == []


def test_what_an_unfinished_write_left_is_swept(store: SecretStore) -> None:
    store.set("A", Secret(b"x"))
    half = Path(store.directory, ".B")
    half.write_bytes(b"half of a val")
    assert [each.name for each in store.entries()] == ["A"]
    store.set("B", Secret(b"whole"))
    half.write_bytes(b"half")
    store.remove("A")
    assert os.listdir(store.directory) == ["B"]


def test_a_failed_write_leaves_the_old_value_and_no_rest(
    store: SecretStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.set("A", Secret(b"old"))

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store_module.os, "fsync", full)
    with pytest.raises(SecretError, match="No space left on device") as told:
        store.set("A", Secret(b"hunter2"))
    assert told.value.kind == "storage"
    assert "hunter2" not in str(told.value)
    assert store.get("A") == Secret(b"old")
    assert os.listdir(store.directory) == ["A"]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o622])
def test_a_file_that_others_can_get_at_is_refused(store: SecretStore, mode: int) -> None:
    store.set("A", Secret(b"hunter2"))
    path = Path(store.directory, "A")
    path.chmod(mode)
    with pytest.raises(SecretError, match=f"has the mode {mode:04o}.*chmod 600") as told:
        store.get("A")
    assert "hunter2" not in str(told.value)
    assert store.set("A", Secret(b"hunter2")) is True  # sets it right
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_open_directory_is_refused(store: SecretStore) -> None:
    store.set("A", Secret(b"x"))
    os.chmod(store.directory, 0o755)
    with pytest.raises(SecretError, match="chmod 700"):
        store.get("A")
    with pytest.raises(SecretError, match="chmod 700"):
        store.set("B", Secret(b"x"))


def test_links_fifos_and_directories_are_no_secrets(store: SecretStore, tmp_path: Path) -> None:
    store.set("A", Secret(b"x"))
    (tmp_path / "elsewhere").write_bytes(b"not yours")
    Path(store.directory, "LINK").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(Path(store.directory, "FIFO"), 0o600)
    os.mkdir(Path(store.directory, "DIRECTORY"), 0o700)
    for name in ("LINK", "FIFO", "DIRECTORY"):
        with pytest.raises(SecretError):
            store.get(name)
    assert store.set("LINK", Secret(b"mine")) is True
    assert (tmp_path / "elsewhere").read_bytes() == b"not yours"


def test_a_linked_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "secrets").symlink_to(tmp_path / "real")
    with pytest.raises(SecretError):
        SecretStore(str(tmp_path)).set("A", Secret(b"x"))
    assert os.listdir(tmp_path / "real") == []


def test_a_file_that_has_become_empty_is_damaged(store: SecretStore) -> None:
    store.set("A", Secret(b"x"))
    Path(store.directory, "A").write_bytes(b"")
    with pytest.raises(SecretError, match=r"secrets/A: the value is empty") as told:
        store.get("A")
    assert told.value.kind == "storage"


def test_names_are_checked_before_anything_is_touched(store: SecretStore) -> None:
    for act in (lambda: store.get("../lock"), lambda: store.remove("a/b")):
        with pytest.raises(SecretError, match="valid name"):
            act()
    with pytest.raises(SecretError, match="valid name"):
        store.set("../x", Secret(b"x"))
    assert not os.path.exists(store.directory)


def test_there_is_a_largest_number(store: SecretStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "SECRETS_MAX", 2)
    store.set("A", Secret(b"x"))
    store.set("B", Secret(b"x"))
    with pytest.raises(SecretError, match="which is the most") as told:
        store.set("C", Secret(b"x"))
    assert told.value.kind == "conflict"
    assert store.set("A", Secret(b"y")) is True


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SecretError, match="cannot be made: No such file or directory"):
        SecretStore(str(tmp_path / "absent")).set("A", Secret(b"x"))


def test_writers_wait_for_each_other(store: SecretStore) -> None:
    store.set("A", Secret(b"old"))
    lock = os.open(store.directory, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    writer = threading.Thread(target=store.set, args=("A", Secret(b"new")))
    writer.start()
    assert store.get("A") == Secret(b"old")  # readers do not
    os.close(lock)
    writer.join()
    assert store.get("A") == Secret(b"new")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to prepare another user's node")
def test_what_root_sets_belongs_to_the_owner_of_the_node(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 23456)
    store = SecretStore(str(tmp_path))
    store.set("A", Secret(b"x"))
    for path in (Path(store.directory), Path(store.directory, "A")):
        assert (path.stat().st_uid, path.stat().st_gid) == (12345, 23456)
    store.set("A", Secret(b"y"))
    assert store.get("A") == Secret(b"y")
    assert Path(store.directory, "A").stat().st_uid == 12345
