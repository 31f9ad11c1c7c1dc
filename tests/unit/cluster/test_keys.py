"""The key file: what is in it, what is refused, and the exchange of a key."""

from __future__ import annotations

import base64
import hashlib
import os
import stat
import threading
from pathlib import Path

import pytest

from drop.cluster import keys
from drop.cluster.keys import Installed
from drop.errors import ConfigurationError

OLD, NEW, THIRD = (bytes([number]) * 32 for number in (1, 2, 3))


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "key")


def line(key: bytes) -> bytes:
    return b"drop-key-1 " + base64.b64encode(key)


def refusal(data: bytes) -> str:
    with pytest.raises(ConfigurationError) as caught:
        keys.parse(data, "key")
    return str(caught.value)


def test_a_file_as_it_is_written() -> None:
    assert keys.dump([OLD, NEW]) == line(OLD) + b"\n" + line(NEW) + b"\n"
    assert keys.parse(keys.dump([OLD, NEW]), "key") == (OLD, NEW)


def test_comments_blanks_and_line_ends_of_others() -> None:
    text = b"# of the shop\r\n\r\n  " + line(OLD) + b"  \r\n\t# " + line(NEW) + b"\n" + line(NEW)
    assert keys.parse(text, "key") == (OLD, NEW)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "key: holds no key; expected `drop-key-1`"),
        (b"# nothing\n", "key: holds no key"),
        (b"\n" + base64.b64encode(OLD), "key:2: is no key"),
        (b"drop-key-2 " + base64.b64encode(OLD), "key:1: is no key"),
        (b"drop-key-1 " + base64.b64encode(OLD[:31]), "key:1: is no key"),
        (b"drop-key-1 " + base64.b64encode(OLD + b"x"), "key:1: is no key"),
        (b"drop-key-1 hunter2!", "key:1: is no key"),
        (b"drop-key-1 \xff\xfe", "key:1: is no key"),
        (line(OLD) + b" extra", "key:1: is no key"),
        (line(OLD) + b"\n" + line(OLD), "key:2: is the key of an earlier line"),
        (
            b"\n".join(map(line, (OLD, NEW, THIRD))),
            "key:3: is one key too many; expected at most 2",
        ),
        (b"#" * 5000, "key: holds more than 4096 bytes"),
    ],
)
def test_what_is_refused(data: bytes, expected: str) -> None:
    assert refusal(data).startswith(expected)


def test_a_refusal_tells_nothing_of_the_key() -> None:
    secret = base64.b64encode(OLD)[:30]
    assert secret.decode() not in refusal(b"drop-key-1 " + secret)


def test_the_fingerprint_is_the_key_id_of_packets() -> None:
    assert keys.fingerprint(OLD) == hashlib.blake2s(OLD, person=b"DROP key").digest()[:4].hex()
    assert len(keys.fingerprint(OLD)) == 8


def test_keys_are_made_anew() -> None:
    assert len({keys.generate() for _ in range(8)}) == 8
    assert len(keys.generate()) == 32


# --- files ---


def test_the_file_is_the_owners_alone_whatever_the_umask(path: str) -> None:
    before = os.umask(0)
    try:
        keys.write_new(path, OLD)
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert keys.load(path) == (OLD,)
    assert os.listdir(os.path.dirname(path)) == ["key"]


def test_a_key_is_not_overwritten(path: str) -> None:
    keys.write_new(path, OLD)
    with pytest.raises(ConfigurationError, match="is there already, and is left as it is"):
        keys.write_new(path, NEW)
    assert keys.load(path) == (OLD,)
    assert os.listdir(os.path.dirname(path)) == ["key"]


def test_a_file_that_others_can_read_holds_no_secret(path: str) -> None:
    keys.write_new(path, OLD)
    os.chmod(path, 0o640)
    with pytest.raises(ConfigurationError, match=r"has the mode 0640; expected 0600 .*chmod 600"):
        keys.load(path)
    with pytest.raises(ConfigurationError, match="0640"):
        keys.install(path, NEW)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_the_file_of_another_user(path: str) -> None:
    keys.write_new(path, OLD)
    os.chown(path, 54321, 54321)
    with pytest.raises(ConfigurationError, match="belongs to the uid 54321"):
        keys.load(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes for another user")
def test_root_writes_for_the_user_whose_directory_it_is(path: str) -> None:
    os.chown(os.path.dirname(path), 54321, 54322)
    keys.install(path, OLD)
    keys.install(path, NEW)
    status = os.stat(path)
    assert (status.st_uid, status.st_gid) == (54321, 54322)
    assert keys.load(path) == (OLD, NEW)


def test_what_is_no_file(path: str) -> None:
    os.mkfifo(path)
    with pytest.raises(ConfigurationError, match="is not a file"):
        keys.load(path)  # and does not hang
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        keys.load(path + "-absent")
    with pytest.raises(ConfigurationError, match=r"cannot be written: .*that you may write to"):
        keys.install("/absent/key", OLD)


def test_nothing_is_written_through_a_symbolic_link(path: str, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_bytes(b"precious")
    os.symlink(theirs, path)
    for write in (keys.write_new, keys.install):
        with pytest.raises(ConfigurationError):
            write(path, OLD)
    os.chmod(theirs, 0o600)
    theirs.write_bytes(keys.dump([OLD]))
    with pytest.raises(ConfigurationError, match="is a symbolic link"):
        keys.install(path, NEW)
    assert keys.parse(theirs.read_bytes(), "theirs") == (OLD,)
    assert os.path.islink(path)


# --- the exchange ---


def test_the_exchange_of_a_key(path: str) -> None:
    assert keys.install(path, OLD) is Installed.FIRST
    assert keys.install(path, OLD) is Installed.SAME
    assert keys.install(path, NEW) is Installed.ADDED
    assert keys.load(path) == (OLD, NEW)
    assert keys.install(path, NEW) is Installed.SAME
    assert keys.rotate(path) == (NEW, OLD)
    assert keys.load(path) == (NEW, OLD)
    assert keys.finish(path) == OLD
    assert keys.load(path) == (NEW,)
    assert keys.finish(path) is None


def test_steps_that_make_no_sense_are_refused_with_the_way_out(path: str) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        keys.rotate(path)
    keys.install(path, OLD)
    with pytest.raises(ConfigurationError, match=r"one key only: [0-9a-f]{8}.*`drop key install"):
        keys.rotate(path)
    keys.install(path, NEW)
    with pytest.raises(ConfigurationError, match=r"two keys already: .*`drop key rotate --finish`"):
        keys.install(path, THIRD)
    assert keys.load(path) == (OLD, NEW)


def test_a_reader_never_sees_half_a_file_and_writers_wait_for_each_other(path: str) -> None:
    keys.install(path, OLD)
    keys.install(path, NEW)
    writers = [
        threading.Thread(target=lambda: [keys.rotate(path) for _ in range(50)]) for _ in range(2)
    ]
    for each in writers:
        each.start()
    seen = set()
    while any(each.is_alive() for each in writers):
        seen.add(keys.load(path))
    for each in writers:
        each.join()
    assert seen <= {(OLD, NEW), (NEW, OLD)}
    assert keys.load(path) == (OLD, NEW)  # 100 times turned around: not one was lost
