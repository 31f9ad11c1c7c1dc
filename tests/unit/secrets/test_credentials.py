"""The files that a worker finds: who can read them, where they are, and that they go."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from drop.secrets.credentials import Credentials, Owner, places
from drop.secrets.value import Secret

ROOT = os.geteuid() == 0
NOBODY = Owner(65534, 65534)
SECRETS = {"A": Secret(b"alpha\n"), "B": Secret(b"\x00\xff")}

needs_root = pytest.mark.skipif(not ROOT, reason="needs root, to give files to another user")
needs_memory = pytest.mark.skipif(not os.path.ismount("/dev/shm"), reason="needs /dev/shm")


@pytest.fixture
def place() -> Iterator[Path]:
    """A place that another user can get to, which pytest's own directories are not."""
    with tempfile.TemporaryDirectory(prefix="drop-") as directory:
        os.chmod(directory, 0o711)
        yield Path(directory)


def mode(path: str | Path) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def test_files_for_the_nodes_own_user(place: Path) -> None:
    credentials = Credentials("/var/x", [str(place)])
    directory = credentials.make(SECRETS)
    assert {name: Path(directory, name).read_bytes() for name in os.listdir(directory)} == {
        "A": b"alpha\n",
        "B": b"\x00\xff",
    }
    assert mode(directory) == 0o500
    assert mode(Path(directory, "A")) == 0o400
    assert mode(place / "credentials") == 0o711
    assert mode(os.path.dirname(directory)) == 0o711
    credentials.remove(directory)
    assert not os.path.exists(directory)
    credentials.remove(directory)


def test_each_worker_has_a_directory_of_its_own(place: Path) -> None:
    credentials = Credentials("/var/x", [str(place)])
    one, other = credentials.make(SECRETS), credentials.make({"A": Secret(b"else")})
    assert one != other
    assert os.listdir(other) == ["A"]
    credentials.remove(one)
    assert Path(other, "A").read_bytes() == b"else"


def as_user(owner: Owner, script: str, directory: str) -> subprocess.CompletedProcess[str]:
    """A shell script that runs as somebody else, with the directory as its $1."""
    return subprocess.run(
        ["/bin/sh", "-c", script, "sh", directory],
        user=owner.uid,
        group=owner.gid,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )


READ = 'cat "$1/A"'
TAMPER = """
touch "$1/new" || echo refused
rm -f "$1/A" || echo refused
chmod 777 "$1" || echo refused
ls "$1/.." || echo refused
"""


@needs_root
def test_files_of_another_user(place: Path) -> None:
    directory = Credentials("/var/x", [str(place)]).make(SECRETS, NOBODY)
    file = os.stat(Path(directory, "A"))
    assert (file.st_uid, file.st_gid, stat.S_IMODE(file.st_mode)) == (65534, 65534, 0o400)
    above = os.stat(directory)
    assert (above.st_uid, above.st_gid, stat.S_IMODE(above.st_mode)) == (0, 65534, 0o550)


@needs_root
def test_that_user_can_read_and_change_nothing_and_others_cannot_even_read(place: Path) -> None:
    directory = Credentials("/var/x", [str(place)]).make(SECRETS, NOBODY)
    assert as_user(NOBODY, READ, directory).stdout == "alpha\n"
    assert as_user(NOBODY, TAMPER, directory).stdout == "refused\n" * 4
    other = as_user(Owner(65533, 65533), READ, directory)
    assert other.returncode != 0
    assert "Permission denied" in other.stderr


@needs_root
def test_a_way_that_the_worker_cannot_pass_is_told_at_once(place: Path) -> None:
    place.chmod(0o700)
    inner = place / "inner"
    inner.mkdir()
    with pytest.raises(PermissionError, match="cannot be passed") as told:
        Credentials("/var/x", [str(inner)]).make(SECRETS, NOBODY)
    assert told.value.filename == str(place)
    (node,) = (inner / "credentials").iterdir()
    assert os.listdir(node) == []


def test_the_next_start_removes_what_a_killed_node_left(place: Path) -> None:
    left = Credentials("/var/x", [str(place)]).make(SECRETS)
    others = Credentials("/var/y", [str(place)]).make(SECRETS)
    after = Credentials("/var/x", [str(place / "absent"), str(place)])
    after.clear()
    assert not os.path.exists(os.path.dirname(left))
    assert os.path.exists(others)  # another node's
    assert os.path.exists(after.make(SECRETS))


@needs_memory
def test_a_tmpfs_is_preferred(place: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        credentials = Credentials("/var/x", ["/proc/no/such/place", memory, str(place)])
        assert credentials.make(SECRETS).startswith(memory)
        assert not credentials.on_disk
        assert os.listdir(place) == []
        credentials.clear()


def test_without_a_tmpfs_it_is_known() -> None:
    # Not tmp_path's place: /tmp may be a tmpfs itself.
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as directory:
        credentials = Credentials("/var/x", [directory])
        if os.stat(directory).st_dev == os.stat("/dev/shm").st_dev:
            pytest.skip("the tests are kept in memory")
        credentials.make(SECRETS)
        assert credentials.on_disk
        credentials.clear()


def test_a_place_of_somebody_else_is_not_used(place: Path) -> None:
    """In /dev/shm anybody may have made a directory of that name first."""
    (place / "open").mkdir()
    (place / "open").chmod(0o777)
    (place / "link").symlink_to(place)
    for name in ("open", "link"):
        with pytest.raises(PermissionError):
            Credentials("/var/x", [str(place / name)]).make(SECRETS)
    assert os.listdir(place / "open") == []


def test_nothing_is_removed_by_a_way_that_others_have_made(place: Path, tmp_path: Path) -> None:
    """Who knows the name of a node's directory could have it lead anywhere."""
    victim = tmp_path / "victim" / "files"
    victim.mkdir(parents=True)
    (victim / "precious").write_bytes(b"x")
    credentials = Credentials("/var/x", [str(place)])
    root = Path(credentials.make(SECRETS)).parent
    credentials.clear()
    root.symlink_to(victim.parent)
    credentials.clear()
    assert (victim / "precious").exists()
    root.unlink()
    assert os.path.exists(credentials.make(SECRETS))
    (place / "credentials").chmod(0o777)
    credentials.clear()
    assert len(list(root.iterdir())) == 1


def test_a_mess_that_a_worker_made_is_not_followed(place: Path, tmp_path: Path) -> None:
    """A worker of the node's own user can change its directory; a link out is unlinked."""
    (tmp_path / "precious").write_bytes(b"x")
    credentials = Credentials("/var/x", [str(place)])
    directory = credentials.make(SECRETS)
    os.chmod(directory, 0o700)
    os.symlink(tmp_path, os.path.join(directory, "link"))
    credentials.remove(directory)
    assert (tmp_path / "precious").exists()
    assert not os.path.exists(directory)
    directory = credentials.make(SECRETS)
    os.chmod(directory, 0o700)
    os.mkdir(os.path.join(directory, "deep"))
    with pytest.raises(OSError, match="directory"):
        credentials.remove(directory)


def test_a_directory_that_was_swapped_for_a_link_is_left_alone(place: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"x")
    link = place / "1"
    link.symlink_to(tmp_path)
    with pytest.raises(OSError, match="directory"):
        Credentials("/var/x", [str(place)]).remove(str(link))
    assert (tmp_path / "precious").exists()


@pytest.mark.parametrize(
    ("environ", "uid", "expected"),
    [
        ({}, 0, ["/run/drop", "/dev/shm/drop", "/v"]),
        ({"XDG_RUNTIME_DIR": "/run/user/0"}, 0, ["/run/drop", "/dev/shm/drop", "/v"]),
        ({"XDG_RUNTIME_DIR": "/run/user/7"}, 7, ["/run/user/7/drop", "/run/drop", "/v"]),
        ({"XDG_RUNTIME_DIR": "relative"}, 7, ["/run/drop", "/v"]),
        ({}, 7, ["/run/drop", "/v"]),
    ],
)
def test_places(environ: dict[str, str], uid: int, expected: list[str]) -> None:
    assert places("/v", environ, uid) == expected
