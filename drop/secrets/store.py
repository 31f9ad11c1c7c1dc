"""The secrets of a node: VAR_DIR/secrets, a file of mode 0600 for each, in a directory of 0700.

A value is replaced as a whole: written beside the old one, flushed to the disk, renamed. Writers
(a node, a `drop secret` without a node) exclude each other by a lock on the directory, so what an
unfinished write left behind is known to be nobody's. Values are not encrypted: whoever can read
the node's files as the node's user can read the key as well. docs/secrets.md says what follows.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from drop.secrets.value import (
    SECRET_BYTES_MAX,
    SECRETS_MAX,
    Secret,
    SecretError,
    check_name,
    is_name,
)

DIRECTORY = "secrets"

_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: a FIFO that somebody put there must not hang the node.
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Entry:
    """What may be shown of a secret."""

    name: str
    size: int
    changed: float
    """Seconds since 1970."""


class SecretStore:
    """Every method raises SecretError when the files are not as they have to be."""

    def __init__(self, var_dir: str) -> None:
        self._var_dir = var_dir
        self.directory = os.path.join(var_dir, DIRECTORY)

    def entries(self) -> list[Entry]:
        """By name."""
        found = []
        with self._opened() as directory:
            for name in _names(directory):
                status = os.stat(name, dir_fd=directory, follow_symlinks=False)
                found.append(Entry(name, status.st_size, status.st_mtime))
        return found

    def get(self, name: str) -> Secret | None:
        """None: it is not set."""
        check_name(name)
        with self._opened() as directory:
            return None if directory is None else self._read(directory, name)

    def set(self, name: str, value: Secret) -> bool:
        """Whether that is a change."""
        check_name(name)
        self._make_directory()
        with self._opened(write=True) as directory:
            assert directory is not None
            names = _names(directory)
            if name not in names and len(names) >= SECRETS_MAX:
                raise SecretError("conflict", f"there are {SECRETS_MAX} secrets, which is the most")
            if name in names and self._old(directory, name) == value:
                return False
            self._write(directory, name, value)
        return True

    def remove(self, name: str) -> None:
        check_name(name)
        with self._opened(write=True) as directory:
            if directory is None or name not in _names(directory):
                raise SecretError("not_found", f"there is no secret {name}")
            os.unlink(name, dir_fd=directory)
            os.fsync(directory)

    # --- files; the descriptor of the directory is the only way to them ---

    @contextmanager
    def _opened(self, *, write: bool = False) -> Iterator[int | None]:
        """The directory's descriptor; None while there is none. OSErrors inside are told."""
        try:
            try:
                directory = os.open(self.directory, _DIRECTORY_FLAGS)
            except FileNotFoundError:
                yield None
                return
            try:
                self._check(self.directory, os.fstat(directory))
                if write:
                    fcntl.flock(directory, fcntl.LOCK_EX)
                    _sweep(directory)
                yield directory
            finally:
                os.close(directory)
        except OSError as error:
            raise SecretError("storage", f"{self.directory}: {_reason(error)}") from None

    def _make_directory(self) -> None:
        """For root that prepares the node of another user: as that user's, who has VAR_DIR."""
        try:
            os.mkdir(self.directory, 0o700)
            if os.geteuid() == 0:
                owner = os.stat(self._var_dir)
                os.chown(self.directory, owner.st_uid, owner.st_gid)
        except FileExistsError:
            pass
        except OSError as error:
            text = f"{self.directory} cannot be made: {_reason(error)}"
            raise SecretError("storage", text) from None

    def _read(self, directory: int, name: str) -> Secret | None:
        path = os.path.join(self.directory, name)
        try:
            descriptor = os.open(name, _READ_FLAGS, dir_fd=directory)
        except FileNotFoundError:
            return None
        with open(descriptor, "rb") as stream:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise SecretError("storage", f"{path} is not a file: remove it")
            self._check(path, status)
            data = stream.read(SECRET_BYTES_MAX + 1)
        try:
            return Secret(data)
        except SecretError as error:
            raise SecretError("storage", f"{path}: {error}") from None

    def _old(self, directory: int, name: str) -> Secret | None:
        """What `set` compares with; a damaged one is like none, so that it can be replaced."""
        try:
            return self._read(directory, name)
        except (SecretError, OSError):
            return None

    def _write(self, directory: int, name: str, value: Secret) -> None:
        new = f".{name}"  # hidden: no name of a secret
        descriptor = os.open(new, _WRITE_FLAGS, 0o600, dir_fd=directory)
        try:
            with open(descriptor, "wb") as stream:
                if os.geteuid() == 0:
                    owner = os.fstat(directory)
                    os.fchown(descriptor, owner.st_uid, owner.st_gid)
                stream.write(value.reveal())
                stream.flush()
                os.fsync(descriptor)
            os.rename(new, name, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            os.unlink(new, dir_fd=directory)
            raise
        os.fsync(directory)

    def _check(self, path: str, status: os.stat_result) -> None:
        """A secret that others can read is none: it is refused instead of used."""
        if status.st_uid not in (0, os.geteuid()) and os.geteuid() != 0:
            owner = f"{path} belongs to the uid {status.st_uid}; expected the node's user or root"
            raise SecretError("storage", owner)
        if status.st_mode & 0o077:
            mode, right = stat.S_IMODE(status.st_mode), 700 if stat.S_ISDIR(status.st_mode) else 600
            text = f"{path} has the mode {mode:04o}, so others can get at it: chmod {right} {path}"
            raise SecretError("storage", text)


def _reason(error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{error.strerror}; it belongs to the node's user, and to root"
    return str(error.strerror)


def _names(directory: int | None) -> list[str]:
    return [] if directory is None else sorted(filter(is_name, os.listdir(directory)))


def _sweep(directory: int) -> None:
    """Remove what a write left that did not get to its end; the lock is held."""
    for name in os.listdir(directory):
        if name.startswith(".") and is_name(name[1:]):
            os.unlink(name, dir_fd=directory)
