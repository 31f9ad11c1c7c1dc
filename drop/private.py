"""Files that hold a secret: read only when nobody else can get at them, replaced as a whole.

What is written is on the disk before anybody is told, has the mode 0600 from its first moment, and
never goes through a symbolic link that somebody else may have put there. Errors say the place and
the reason, never a word of the content.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from drop.errors import ConfigurationError

# O_NONBLOCK: a FIFO that somebody put there must not hang who reads.
_READ_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_WRITE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class PrivateFault(Exception):
    """Why a file is not taken; `expected` is what would be."""

    def __init__(self, message: str, expected: str) -> None:
        super().__init__(message)
        self.expected = expected


def read_private(path: str, bytes_max: int, what: str) -> bytes:
    """At most `bytes_max` bytes of a file that nobody else can read. `what` says what it should
    hold. Raises PrivateFault; FileNotFoundError stands behind one as its cause."""
    expected = f"a file with {what}"
    try:
        descriptor = os.open(path, _READ_FLAGS)
    except OSError as error:
        raise PrivateFault(f"cannot be read: {error.strerror}", expected) from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        # Before Python makes a stream of it: that refuses a directory, and leaves it open.
        os.close(descriptor)
        raise PrivateFault("is not a file", expected)
    with open(descriptor, "rb") as stream:
        if status.st_uid not in _owners(path):
            raise PrivateFault(f"belongs to the uid {status.st_uid}", "the node's user or root")
        if status.st_mode & 0o077:
            mode = stat.S_IMODE(status.st_mode)
            raise PrivateFault(f"has the mode {mode:04o}", f"0600 or 0400: chmod 600 {path}")
        return stream.read(bytes_max)


def _owners(path: str) -> set[int]:
    """Who may own it: us or root; for root also the user whose directory it is in, because root
    looks after the files of a node that is another user's."""
    owners = {0, os.geteuid()}
    if os.geteuid() == 0:
        owners.add(os.stat(os.path.dirname(os.path.abspath(path))).st_uid)
    return owners


@contextmanager
def locked_directory(path: str) -> Iterator[int]:
    """The descriptor of the directory that `path` is in; other writers wait until this one is done.
    Raises ConfigurationError, also for what fails in it."""
    directory = os.path.dirname(os.path.abspath(path))
    try:
        descriptor = os.open(directory, _DIRECTORY_FLAGS)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ConfigurationError(
            f"cannot be written: {error.strerror}",
            file=path,
            expected="a directory that you may write to, with room on its disk",
        ) from error


def write_private(directory: int, path: str, data: bytes, *, replace: bool) -> None:
    """The file `path` of the opened directory gets this content: all or nothing. Without `replace`
    it must not exist (FileExistsError). Written by root it is the old file's owner's, or else the
    directory's: the node's user has to read it. Raises OSError, ConfigurationError."""
    name = os.path.basename(path)
    _refuse_link(directory, path, name)
    new = f".{name}.{secrets.token_hex(8)}"
    descriptor = os.open(new, _WRITE_FLAGS, 0o600, dir_fd=directory)
    try:
        with open(descriptor, "wb") as stream:
            os.fchmod(descriptor, 0o600)  # the umask may have taken even that away
            if os.geteuid() == 0:
                os.fchown(descriptor, *_owner(directory, name))
            stream.write(data)
            stream.flush()
            os.fsync(descriptor)
        if replace:
            os.replace(new, name, src_dir_fd=directory, dst_dir_fd=directory)
        else:
            os.link(new, name, src_dir_fd=directory, dst_dir_fd=directory)
    finally:
        _unlink(directory, new)
    os.fsync(directory)


def _refuse_link(directory: int, path: str, name: str) -> None:
    """Who follows it may write where somebody else wants it; who replaces it breaks what it is."""
    try:
        mode = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISLNK(mode):
        raise ConfigurationError(
            "is a symbolic link", file=path, expected="the file itself: name what the link names"
        )


def _owner(directory: int, name: str) -> tuple[int, int]:
    try:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        status = os.fstat(directory)
    return status.st_uid, status.st_gid


def _unlink(directory: int, name: str) -> None:
    with suppress(FileNotFoundError):  # it has become the file
        os.unlink(name, dir_fd=directory)
