"""Where the messages of `call`, `cast` and `publish` come from: an argument, a file, or stdin."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from io import BytesIO, FileIO
from pathlib import Path
from typing import NamedTuple

from drop.cli.errors import UsageError

READ_SIZE = 256 << 10  # bytes taken at once; with --lines, the lines in them go out pipelined


class Messages(NamedTuple):
    """One message (the argument, a file, all of stdin), or with `lines` one for each line.

    A newline at the end of stdin is left away, as a shell's $(...) does: it belongs to the text
    that was typed or echoed, not to the message. `raw` keeps it. A file is taken as it is.
    """

    message: str | None = None  # None or "-": stdin, or the file
    file: Path | None = None
    lines: bool = False
    raw: bool = False

    def batches(self) -> Iterator[list[bytes]]:
        """The messages, as many at a time as are there. Raises UsageError."""
        given = self.message if self.message != "-" else None
        if given is not None and (self.file is not None or self.lines):
            other = "--lines" if self.lines else f"--file {self.file}"
            raise UsageError(f"both a message and {other}: expected one of them")
        if given is not None:
            yield [os.fsencode(given)]
            return
        if self.message is None and self.file is None and sys.stdin.isatty():
            raise UsageError("no message: expected MESSAGE, `-` for stdin, or --file FILE")
        with self._open() as source:
            if self.lines:
                yield from lines_of(source)
            else:
                yield [self._whole(source)]

    def _whole(self, source: FileIO) -> bytes:
        """All of it. It may be large: a BytesIO grows, shrinks and is handed over in place."""
        whole = BytesIO()
        last = b""
        while data := source.read(READ_SIZE):
            whole.write(data)
            last = data[-1:]
        if last == b"\n" and not self.raw and self.file is None:
            whole.truncate(whole.tell() - 1)
        return whole.getvalue()

    def _open(self) -> FileIO:
        if self.file is None:
            return FileIO(0, closefd=False)
        try:
            return FileIO(self.file)
        except OSError as error:
            raise UsageError(f"--file {self.file}: {error.strerror}") from None


def lines_of(source: FileIO) -> Iterator[list[bytes]]:
    """Lines as they come: each read gives those that it completes. The last needs no newline."""
    rest: list[bytes] = []
    while data := source.read(READ_SIZE):
        *complete, last = data.split(b"\n")
        if complete:
            complete[0] = b"".join([*rest, complete[0]])
            rest.clear()
            yield complete
        if last:
            rest.append(last)
    if rest:
        yield [b"".join(rest)]
