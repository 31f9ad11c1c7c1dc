"""The secrets of one worker as files that only its user can read: $CREDENTIALS_DIRECTORY/NAME.

    PLACE/credentials/NODE/1/DB_PASSWORD      0400, the worker's user
                           1/                 0500; 0550 of the node when the worker is another user
                           NODE/              0711, one for each VAR_DIR: a node clears its own

PLACE is on a tmpfs where there is one, so that the values never reach a disk. A directory goes
when its worker has ended; what a killed node left behind goes at its next start. Nothing here
follows a symbolic link, and nothing is removed in depth: a worker may have made the mess.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from drop.secrets.mounts import on_memory
from drop.secrets.value import Secret

VARIABLE = "CREDENTIALS_DIRECTORY"
_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_WRITE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Owner:
    """The user that a worker runs as."""

    uid: int
    gid: int


def places(var_dir: str, environ: Mapping[str, str], uid: int) -> list[str]:
    """Where credentials may be kept, the best place first."""
    if uid == 0:  # /dev/shm is a tmpfs in most containers too, where /run often is none
        return ["/run/drop", "/dev/shm/drop", var_dir]
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    user = [os.path.join(runtime, "drop")] if runtime.startswith("/") else []
    return [*user, "/run/drop", var_dir]


class Credentials:
    """The directories of one node's workers. Methods raise OSError, with the path in it."""

    def __init__(self, var_dir: str, candidates: Sequence[str]) -> None:
        self._candidates = candidates
        self._node = hashlib.sha256(os.fsencode(os.path.realpath(var_dir))).hexdigest()[:16]
        self._root = ""
        self._made = 0
        self.on_disk = False
        """No candidate was a tmpfs. Known once the first directory has been made."""

    def clear(self) -> None:
        """Remove what an earlier node of this VAR_DIR left behind. The lock on VAR_DIR is held."""
        for candidate in self._candidates:
            way = _way(candidate, self._node)
            if _all_ours(way):
                for name in os.listdir(way[-1]):
                    self.remove(os.path.join(way[-1], name))
                os.rmdir(way[-1])
        self._root = ""

    def make(self, secrets: Mapping[str, Secret], owner: Owner | None = None) -> str:
        """A new directory with these secrets. `owner`: None is the node's own user."""
        self._root = self._root or self._choose()
        self._made += 1
        path = os.path.join(self._root, str(self._made))
        os.mkdir(path, 0o700)
        other = owner if owner is not None and owner.uid != os.geteuid() else None
        try:
            with _opened(path) as directory:
                for name, value in secrets.items():
                    _write(directory, name, value, other)
                if other is not None:  # by the node; the worker can look and read, and no more
                    os.fchown(directory, -1, other.gid)
                os.fchmod(directory, 0o500 if other is None else 0o550)
            if other is not None:
                _check_way(path)
        except BaseException:
            self.remove(path)
            raise
        return path

    def remove(self, directory: str) -> None:
        """A directory that `make` made; nothing when it is gone already."""
        try:
            with _opened(directory) as descriptor:
                os.fchmod(descriptor, 0o700)
                for name in os.listdir(descriptor):
                    os.unlink(name, dir_fd=descriptor)
            os.rmdir(directory)
        except FileNotFoundError:
            return
        except OSError as error:  # a name alone does not tell where it is
            raise OSError(error.errno, error.strerror, directory) from None

    def _choose(self) -> str:
        """The first candidate on a tmpfs that lets us, else the last one."""
        *first, last = self._candidates
        for candidate in first:
            with suppress(OSError):
                root = _make_root(candidate, self._node)
                if on_memory(root):
                    return root
                os.rmdir(root)
        self.on_disk = not on_memory(last)
        return _make_root(last, self._node)


def _make_root(place: str, node: str) -> str:
    """PLACE/credentials/NODE, whose way can be passed by all and seen by us alone."""
    way = _way(place, node)
    for path in way:
        with suppress(FileExistsError):
            os.mkdir(path, 0o711)
        mode = _check_ours(path)
        if not mode & 0o001:  # a strict umask; workers of other users pass here
            os.chmod(path, stat.S_IMODE(mode) | 0o011)
    return way[-1]


def _way(place: str, node: str) -> tuple[str, ...]:
    return place, os.path.join(place, "credentials"), os.path.join(place, "credentials", node)


def _all_ours(way: Sequence[str]) -> bool:
    """False also when there is nothing."""
    try:
        return all(_check_ours(path) for path in way)
    except OSError:
        return False


def _check_ours(path: str) -> int:
    """The mode of a directory that nobody else can change; others may have made it before us, or
    put a link there, to have us write or remove something elsewhere. Raises PermissionError."""
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, "is not a directory of the node's user", path)
    if status.st_mode & 0o022:
        raise PermissionError(errno.EPERM, "can be written to by others", path)
    return status.st_mode


@contextmanager
def _opened(path: str) -> Iterator[int]:
    descriptor = os.open(path, _DIRECTORY_FLAGS)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _write(directory: int, name: str, value: Secret, owner: Owner | None) -> None:
    descriptor = os.open(name, _WRITE_FLAGS, 0o400, dir_fd=directory)
    with open(descriptor, "wb") as stream:
        stream.write(value.reveal())
        stream.flush()
        os.fchmod(descriptor, 0o400)
        if owner is not None:
            os.fchown(descriptor, owner.uid, owner.gid)


def _check_way(path: str) -> None:
    """A worker of another user has to get to its directory; raises what it would be told."""
    above = os.path.dirname(path)
    while True:
        if not os.stat(above).st_mode & stat.S_IXOTH:
            raise PermissionError(errno.EACCES, "cannot be passed by the worker's user", above)
        if above == "/":
            return
        above = os.path.dirname(above)
