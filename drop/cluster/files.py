"""Files that people edit while the node runs, and how it notices: a look at each every second.

A look is one stat(2) each, which is cheaper than it is to be told (inotify loses sight of a file
that is replaced by rename, of one that does not exist yet, and of network file systems).
"""

from __future__ import annotations

import os
from collections.abc import Iterable

LOOK_SECONDS = 1.0

Stamp = tuple[int, ...] | None


class WatchedFiles:
    def __init__(self, paths: Iterable[str]) -> None:
        self._stamps: dict[str, Stamp] = {path: _stamp(path) for path in paths}

    def changed(self) -> set[str]:
        """Those that were written, replaced, made or removed since the last look, or got another
        owner or mode: one that could not be read may be readable now."""
        found = set()
        for path, before in self._stamps.items():
            now = _stamp(path)
            if now != before:
                self._stamps[path] = now
                found.add(path)
        return found


def _stamp(path: str) -> Stamp:
    """None: it is not there, or may not be looked at, which reading it will say."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (
        *(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns),
        *(status.st_mode, status.st_uid, status.st_gid),
    )
