"""The reading side of the workers' logs: the last lines, those since a time, those to come.

The files and their rotation are described in c_src/logfile.h. A reader keeps the file that it has
read to its end open; when POOL.log is another file, the old one is complete, and those that came
after it are found by going from POOL.log up to the one that it holds. Rotation renames in the same
direction, so a file can be met twice on the way, which is noticed, but never missed.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from heapq import merge
from pathlib import Path

from drop._fast.logger import file_name, pool_name
from drop.workers.logline import EVERYTHING, Selection, stamped

BLOCK_BYTES = 256 << 10
"""Read at once; more than the longest line that the logger writes (66 KiB)."""

HOLES_MAX = 2
"""Names without a file in a row that end the search: a rotation in progress leaves one."""

SEARCHES_MAX = 5
"""Searches for the file that is being read, before it counts as moved away by hand."""

GAP = b"[the log was rotated faster than it was read: lines may be missing here]"


def logged_pools(directory: str) -> list[str]:
    """The pools that have a log, sorted; none where there is no directory."""
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    return sorted(pool for name in names if (pool := pool_name(name)) is not None)


def read_log(
    directory: str,
    pools: str | Callable[[], Iterable[str]],
    *,
    lines: int | None = None,
    selection: Selection = EVERYTHING,
    wait: Callable[[], bool] | None = None,
) -> Iterator[bytes]:
    """What `drop logs` shows, line by line, without the newline.

    The last `lines` (None: all) that are selected; then, with `wait`, those that come: it is called
    whenever there is nothing new, to pass some time, and ends the reading by returning False.
    `pools` names one, or says at each look which ones it is about now.
    """
    choose = (lambda: [pools]) if isinstance(pools, str) else pools
    with closing(LogsReader(directory, choose)) as reader:
        present = selection.of(reader.read())
        yield from present if lines is None else deque(present, maxlen=lines)
        while wait is not None and wait():
            yield from selection.of(reader.read())


class LogsReader:
    """Reads the logs of several pools as one, in the order of time."""

    def __init__(self, directory: str, choose: Callable[[], Iterable[str]]) -> None:
        self._directory = directory
        self._choose = choose
        self._readers: dict[str, LogReader] = {}

    def read(self) -> Iterator[bytes]:
        """The lines that were not returned yet; a pool once chosen stays so."""
        for pool in self._choose():
            if pool not in self._readers:
                self._readers[pool] = LogReader(self._directory, pool)
        logs = [stamped(reader.read()) for reader in self._readers.values()]
        yield from (line for _, line in merge(*logs, key=lambda pair: pair[0]))

    def close(self) -> None:
        for reader in self._readers.values():
            reader.close()


class LogReader:
    """Reads a pool's log from its oldest file on; every line once, however often it rotates.

    A log that does not exist yet is empty. Raises ValueError for what is no pool's name.
    """

    def __init__(self, directory: str, pool: str) -> None:
        self._path = Path(directory, file_name(pool))
        # Oldest first. The last one was POOL.log when it was opened, and is searched for then.
        self._files: deque[_File] = deque()
        self.gaps = 0
        """How often the file being read was rotated away before a newer one was open."""

    def read(self) -> Iterator[bytes]:
        """The whole lines that there are and were not returned yet; GAP stands for lost ones."""
        while True:
            if self._files:
                yield from self._files[0].lines()
            if len(self._files) > 1:
                yield from self._files[0].torn_end()
                self._files.popleft().close()
                continue
            gaps = self.gaps
            newer = self._find_newer()
            if not newer:
                return
            # Back to the top with them: the old file may have got lines up to its rotation.
            self._files.extend(newer)
            if self.gaps > gaps:
                yield from self._files[0].lines()
                yield GAP

    def close(self) -> None:
        while self._files:
            self._files.popleft().close()

    def _find_newer(self) -> list[_File]:
        """Opens the files that came after the one being read, oldest first."""
        held = self._files[0] if self._files else None
        for _ in range(SEARCHES_MAX):
            found, met = self._search(held)
            if met or held is None:
                return found
            if held.is_deleted():
                self.gaps += bool(found)
                return found
            for file in found:
                file.close()
        # It still exists, under a name that no rotation gives: a person has moved it.
        assert held is not None
        found, met = self._search(held)
        return found if met else _not_older(found, held)

    def _search(self, held: _File | None) -> tuple[list[_File], bool]:
        """From POOL.log up to the held file; whether it was met. Without it: all there are."""
        found: dict[_Identity, _File] = {}
        number = holes = 0
        met = False
        while holes < HOLES_MAX and not met:
            file = _File.open(f"{self._path}.{number}" if number else f"{self._path}")
            number += 1
            holes = 0 if file else holes + 1
            if file is None:
                continue
            met = held is not None and file.identity == held.identity
            if met or file.identity in found:
                file.close()
            else:
                found[file.identity] = file
        return list(found.values())[::-1], met


_Identity = tuple[int, int]


class _File:
    """One file of a log and how far it was read; the position is always the start of a line."""

    def __init__(self, fd: int) -> None:
        status = os.fstat(fd)
        self._fd = fd
        self.identity: _Identity = (status.st_dev, status.st_ino)
        """Unique as long as it is open."""
        self._position = 0

    @classmethod
    def open(cls, path: str) -> _File | None:
        """None when there is no such file."""
        try:
            return cls(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except FileNotFoundError:
            return None

    def lines(self) -> Iterator[bytes]:
        """Whole lines up to the end. A line that is being written is left for the next time."""
        while True:
            block = os.pread(self._fd, BLOCK_BYTES, self._position)
            end = block.rfind(b"\n") + 1
            if end == 0 and len(block) == BLOCK_BYTES:
                end = BLOCK_BYTES  # not the logger's work: no line of its is that long
            if end == 0 and not self._was_truncated():
                return
            self._position += end
            yield from block[:end].removesuffix(b"\n").split(b"\n") if end else ()

    def torn_end(self) -> Iterator[bytes]:
        """What stands behind the last newline of a file that gets no more."""
        rest = os.pread(self._fd, BLOCK_BYTES, self._position)
        if rest:
            yield rest

    def _was_truncated(self) -> bool:
        """Somebody has emptied the file (the logger does not): it is read from its start again."""
        if os.fstat(self._fd).st_size >= self._position:
            return False
        self._position = 0
        return True

    def is_deleted(self) -> bool:
        return os.fstat(self._fd).st_nlink == 0

    def changed_ns(self) -> int:
        return os.fstat(self._fd).st_mtime_ns

    def close(self) -> None:
        os.close(self._fd)


def _not_older(files: list[_File], held: _File) -> list[_File]:
    """Those that were written to after the held one was; the others are closed."""
    newer = []
    for file in files:
        if file.changed_ns() >= held.changed_ns():
            newer.append(file)
        else:
            file.close()
    return newer
