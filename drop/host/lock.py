"""One node per directory: a lock on VAR_DIR that the kernel gives back however the node ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from drop.errors import ConfigurationError

LOCK_FILE = "lock"


class DirectoryLock:
    """Holds `directory` until `release()` or the end of the process.

    The file stays: removing it would let a second node lock a new file of the same name while a
    third still waits on the old one.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / LOCK_FILE
        self._fd = -1

    def acquire(self) -> None:
        """Raises ConfigurationError when another node has it, or it cannot be written to."""
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise ConfigurationError(
                f"cannot be locked: {error.strerror}",
                file=str(self._path),
                expected="a directory that the node may write to: --var-dir DIR",
            ) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(fd)
            raise ConfigurationError(
                f"is in use by another node (process {holder})",
                file=str(self._path.parent),
                expected="a directory of its own for each node: --var-dir DIR",
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._fd = fd

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
