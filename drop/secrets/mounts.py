"""Whether a path is kept in memory alone: what /proc/self/mountinfo says of it."""

from __future__ import annotations

import os
import re

_MEMORY = ("tmpfs", "ramfs")
_OCTAL = re.compile(r"\\([0-7]{3})")
MOUNTS_BYTES_MAX = 1 << 22  # a machine with ten thousand mounts


def on_memory(path: str) -> bool:
    """Of an existing path; False when the kernel does not tell."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as stream:
            return file_system(os.path.realpath(path), stream.read(MOUNTS_BYTES_MAX)) in _MEMORY
    except OSError:
        return False


def file_system(path: str, mountinfo: str) -> str:
    """The type of the file system that an absolute path without links is on; "" if unknown. Pure.

    Of mounts on the same point the last one counts: it covers the others.
    """
    longest, found = -1, ""
    for line in mountinfo.splitlines():
        mount, separator, kind = line.partition(" - ")
        fields = mount.split(" ")
        if not separator or len(fields) < 5:
            continue
        point = _OCTAL.sub(lambda match: chr(int(match[1], 8)), fields[4])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= longest:
            longest, found = len(point), kind.split(" ")[0]
    return found
