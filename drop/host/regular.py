"""Reads files that people write, and only those that are files.

A pipe that somebody has put in the place of one would never end, and the node would hang in it.
"""

from __future__ import annotations

import errno
import os
import stat

NO_FILE = "it is not a regular file"


def open_regular(path: str) -> int:
    """A descriptor to read from. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        # Before Python makes a stream of it: that refuses a directory, and leaves it open.
        os.close(descriptor)
        raise OSError(errno.EINVAL, NO_FILE)
    return descriptor


def read_regular(path: str, bytes_max: int) -> bytes:
    """At most `bytes_max` bytes. Raises OSError."""
    with open(open_regular(path), "rb") as stream:
        return stream.read(bytes_max)
