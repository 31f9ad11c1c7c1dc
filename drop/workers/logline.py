"""A line of a log taken apart, and which lines somebody wants to see. Pure.

The form of a line is described in c_src/logline.h:

    2026-11-24T03:40:01.123456Z POOL/WORKER[PID] CALL text
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

STAMP_LENGTH = 27
NO_CALL = b"-"
CALL_DIGITS = 16

_STAMP = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z ")
# Without a call: from a version that did not write it.
_LINE = re.compile(rb"(?s)(\S{27}) (\S+)/(\d+)\[(-?\d+)\] (?:([0-9a-f]{16}|-) )?(.*)")
_CALL = re.compile(r"(?:0x)?([0-9a-fA-F]{1,16})")
_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line taken apart. A worker 0 is the logger itself; without a call it is not certain which
    one it belongs to."""

    time: str
    pool: str
    worker: int
    pid: int
    call: str | None
    text: str


def parse_line(line: bytes) -> LogLine | None:
    """None for what the logger has not written, such as half a line that a crash has left."""
    match = _LINE.fullmatch(line)
    if match is None or not _STAMP.match(line):
        return None
    time, pool, worker, pid, call, text = match.groups()
    return LogLine(
        time.decode(),
        pool.decode(),
        int(worker),
        int(pid),
        None if call in (None, NO_CALL) else call.decode(),
        text.decode(errors="replace"),
    )


def parse_call(text: str) -> bytes:
    """A call's id as it stands in a log; zeros in front may be left out. Raises ValueError."""
    match = _CALL.fullmatch(text.strip())
    if match is None:
        raise ValueError(
            f"{text!r} is no call's id; "
            f"expected 1 to {CALL_DIGITS} hexadecimal digits, as in the log"
        )
    return match[1].lower().zfill(CALL_DIGITS).encode()


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


def stamped(lines: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Each line behind its stamp; one without a time goes with the line before."""
    stamp = b""
    for line in lines:
        if _STAMP.match(line):
            stamp = line[:STAMP_LENGTH]
        yield stamp, line


@dataclass(frozen=True, slots=True)
class Selection:
    """Which lines are wanted: those that fulfil all that is given."""

    since: bytes | None = None
    """A stamp, see parse_since."""
    pattern: re.Pattern[bytes] | None = None
    call: bytes | None = None
    """An id, see parse_call."""
    worker: int | None = None

    def of(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        for stamp, line in stamped(lines):
            if (self.since is None or stamp >= self.since) and self._takes(line):
                yield line

    def _takes(self, line: bytes) -> bool:
        if self.pattern is not None and not self.pattern.search(line):
            return False
        if self.call is None and self.worker is None:
            return True
        if self.call is not None and self.call not in line:  # most are not even looked into
            return False
        match = _LINE.fullmatch(line)
        return (
            match is not None
            and (self.call is None or match[5] == self.call)
            and (self.worker is None or int(match[3]) == self.worker)
        )


EVERYTHING = Selection()
