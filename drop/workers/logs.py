"""The reading side of the workers' logs: the last lines, those since a time, those to come.

The files and their rotation are described in c_src/logfile.h. A reader keeps the file that it has
read to its end open; when POOL.log is another file, the old one is complete, and those that came
after it are found by going from POOL.log up to the one that it holds. Rotation renames in the same
direction, so a file can be met twice on the way, which is noticed, but never missed.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from drop._fast.logger import file_name, pool_name

BLOCK_BYTES = 256 << 10
"""Read at once; more than the longest line that the logger writes (66 KiB)."""

HOLES_MAX = 2
"""Names without a file in a row that end the search: a rotation in progress leaves one."""

SEARCHES_MAX = 5
"""Searches for the file that is being read, before it counts as moved away by hand."""

GAP = b"[the log was rotated faster than it was read: lines may be missing here]"

STAMP_LENGTH = 27
_STAMP = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z ")
_LINE = re.compile(rb"(?s)(\S{27}) (\S+)/(\d+)\[(-?\d+)\] (.*)")
_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line taken apart. A worker 0 is the logger itself."""

    time: str
    pool: str
    worker: int
    pid: int
    text: str


def parse_line(line: bytes) -> LogLine | None:
    """None for what the logger has not written, such as half a line that a crash has left."""
    match = _LINE.fullmatch(line)
    if match is None or not _STAMP.match(line):
        return None
    time, pool, worker, pid, text = match.groups()
    return LogLine(
        time.decode(), pool.decode(), int(worker), int(pid), text.decode(errors="replace")
    )


def parse_since(text: str, now: datetime) -> bytes:
    """`90s`, `10m`, `2h`, `1d` before `now`, or a time in ISO 8601; without a zone it is UTC, as in
    the log. Returns a stamp that compares with those of lines. Raises ValueError."""
    if match := _AGE.fullmatch(text.strip()):
        moment = now - timedelta(seconds=float(match[1]) * _SECONDS[match[2]])
    else:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(
                f"{text!r} is no time; expected an age (90s, 10m, 2h, 1d) "
                "or a time such as 2026-11-24T03:40:01"
            ) from None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode()


def select(
    lines: Iterable[bytes], since: bytes | None = None, pattern: re.Pattern[bytes] | None = None
) -> Iterator[bytes]:
    """The lines not before `since` that match. A line without a time goes with the one before."""
    late = since is None
    for line in lines:
        if since is not None and _STAMP.match(line):
            late = line[:STAMP_LENGTH] >= since
        if late and (pattern is None or pattern.search(line)):
            yield line


def logged_pools(directory: str) -> list[str]:
    """The pools that have a log, sorted; none where there is no directory."""
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    return sorted(pool for name in names if (pool := pool_name(name)) is not None)


def read_log(
    directory: str,
    pool: str,
    *,
    lines: int | None = None,
    since: bytes | None = None,
    pattern: re.Pattern[bytes] | None = None,
    wait: Callable[[], bool] | None = None,
) -> Iterator[bytes]:
    """What `drop logs POOL` shows, line by line, without the newline.

    The last `lines` (None: all) that are selected; then, with `wait`, those that come: it is called
    whenever there is nothing new, to pass some time, and ends the reading by returning False.
    """
    with closing(LogReader(directory, pool)) as reader:
        present = select(reader.read(), since, pattern)
        yield from present if lines is None else deque(present, maxlen=lines)
        while wait is not None and wait():
            yield from select(reader.read(), since, pattern)


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
