"""Talks to one worker: a message in, its answer out, and in words what the worker did wrong.

One message at a time, in the calling thread. Whatever the worker does (nothing, too much, dying,
not reading), every call returns or raises within the function's time limit. How workers are
started is not decided here: whoever makes a `Conversation` brings the process.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from drop.clock import SystemClock
from drop.flow.plan import DATA_KINDS, DataKind
from drop.flow.spec import Function
from drop.packages.framing import ANSWER_BYTES_MAX, Unframed, encode, take

READ_BYTES = 1 << 16
STOP_SECONDS = 5.0  # from the end of stdin, or SIGTERM, to SIGKILL
LAST_LINES = 10  # of stderr that a fault repeats
LINE_BYTES_MAX = 4096  # of one of them


class Ending(Protocol):
    """How a process ended; `str()` says it in words."""

    @property
    def clean(self) -> bool:
        """With exit code 0."""


class Worker(Protocol):
    """A started process: `drop.workers.process.Process`."""

    pidfd: int

    def take_pipes(self) -> tuple[int, int]: ...

    def take_stderr(self) -> int: ...

    def signal_group(self, *, kill: bool) -> None: ...

    def reap(self) -> Ending:
        """Takes the exit code, and kills what is left of the process and its group."""


class WorkerFault(Exception):
    """The worker broke its contract; the text says how, and what the function may do about it."""


class Conversation:
    """With one worker, from its start to `close`."""

    def __init__(self, worker: Worker, function: Function, *, show_errors: bool) -> None:
        """`show_errors`: the worker's stderr goes to ours, as it comes."""
        self._worker = worker
        self._kind: DataKind = DATA_KINDS[function.effective_kind]
        self._ncm = function.newline == "ncm"
        self._seconds = function.timeout / 1000.0 if function.timeout else None
        self._stdin, self._stdout = worker.take_pipes()
        self._stdin_open, self._output_ended = True, False
        self._errors = _Errors(worker.take_stderr(), show=show_errors)
        self._received = bytearray()
        self._asked = 0
        self._clock = SystemClock()
        self.ending: Ending | None = None
        """How the process ended, once it has been reaped."""
        os.set_blocking(self._stdin, False)
        os.set_blocking(self._stdout, False)

    # --- what can be said ---

    def wait_until_ready(self, text: str, milliseconds: int) -> None:
        """The line that a function with `ready` writes first. Raises WorkerFault."""
        line = self._exchange(
            b"",
            lambda: take(self._received, "line"),
            milliseconds / 1000.0,
            f"no line that begins with {text!r} within {milliseconds} ms (`ready`, `start`)",
        )
        if not line.startswith(text.encode()):
            raise WorkerFault(f"expected a line that begins with {text!r}, found {_short(line)}")

    def ask(self, payload: bytes) -> bytes:
        """The answer to one message. Raises WorkerFault."""
        self.check_silence()
        self._asked += 1
        token = str(self._asked).encode()
        try:
            data = encode(payload, self._kind, token=token, ncm=self._ncm)
        except Unframed as fault:
            raise WorkerFault(str(fault)) from None
        return self._exchange(data, lambda: self._take(token), self._seconds, self._late())

    def next_line(self, seconds: float | None) -> bytes:
        """The next event of a source. Raises WorkerFault."""
        late = f"nothing came within {seconds:g} s" if seconds is not None else ""
        return self._exchange(b"", lambda: self._take(b""), seconds, late)

    def whole(self, payload: bytes) -> bytes:
        """Everything that a process answers to its only message. Raises WorkerFault."""
        self._exchange(payload, lambda: b"", self._seconds, self._late())
        self._close_stdin()
        self._read_to_end(self._seconds, self._late())
        if not self._reap(wait=STOP_SECONDS).clean:
            raise WorkerFault(self._with_errors(f"the function failed: {self.ending}"))
        return bytes(self._received)

    def check_silence(self) -> None:
        """Raises WorkerFault if the worker has said something that nobody asked for, or ended."""
        while not self._output_ended and self._wait([self._stdout], 0.0):
            self._read()
        if self._received:
            what = "before its first message" if not self._asked else "more than one answer"
            raise WorkerFault(self._with_errors(f"it wrote {what}: {_short(self._received)}"))
        if self._output_ended:
            raise self._gone()

    def finish(self) -> None:
        """End its input; raises WorkerFault if there is more output than answers."""
        self._close_stdin()
        with suppress(_Late):
            self._read_to_end(STOP_SECONDS, "")
        if self._received:
            text = f"it wrote more than {self._asked} answers: {_short(self._received)}"
            raise WorkerFault(self._with_errors(text))

    def close(self) -> None:
        """End the worker, kindly first; may be called twice."""
        self._close_stdin()
        if self.ending is None:
            if not self._wait([self._worker.pidfd], 0.0):
                self._worker.signal_group(kill=False)
            self._reap(wait=STOP_SECONDS)
        if self._stdout >= 0:
            os.close(self._stdout)
            self._stdout = -1

    @property
    def watched(self) -> int:
        """Readable when the worker has said something, or ended."""
        return self._stdout

    @property
    def last_errors(self) -> list[str]:
        return self._errors.last()

    # --- how ---

    def _take(self, token: bytes) -> bytes | None:
        kind: DataKind = "line" if self._kind == "stream" else self._kind
        return take(self._received, kind, token=token, ncm=self._ncm)

    def _late(self) -> str:
        hint = "" if self._kind == "exec" else "; does it flush its output after every answer?"
        milliseconds = round((self._seconds or 0.0) * 1000)
        number = f" to message {self._asked}" if self._asked else ""
        return f"no answer{number} within {milliseconds} ms (`timeout`){hint}"

    def _exchange(
        self,
        data: bytes,
        complete: Callable[[], bytes | None],
        seconds: float | None,
        late: str,
    ) -> bytes:
        """Write all of `data` while reading, until `complete` finds what it looks for."""
        end = None if seconds is None else self._clock.now() + seconds
        left = memoryview(data)
        while True:
            if not left:
                try:
                    found = complete()
                except Unframed as fault:
                    raise WorkerFault(self._with_errors(f"it wrote {fault}")) from None
                if found is not None:
                    return found
                if self._output_ended:
                    raise self._gone()
            elif self._output_ended:
                left = left[:0]
                continue
            remaining = None if end is None else end - self._clock.now()
            if not self._wait([self._stdout], remaining, [self._stdin] if left else []):
                raise _Late(self._with_errors(late))
            self._read()
            left = self._write(left)

    def _read_to_end(self, seconds: float | None, late: str) -> None:
        """Everything until the worker closes its stdout. Raises _Late."""
        end = None if seconds is None else self._clock.now() + seconds
        while not self._output_ended:
            remaining = None if end is None else end - self._clock.now()
            if not self._wait([self._stdout], remaining):
                raise _Late(self._with_errors(late))
            self._read()

    def _wait(
        self, reading: list[int], seconds: float | None, writing: list[int] | None = None
    ) -> bool:
        """Whether one of them is ready before the time is over."""
        poll = select.poll()
        for fd in reading:
            poll.register(fd, select.POLLIN)
        for fd in writing or ():
            poll.register(fd, select.POLLOUT)
        return bool(poll.poll(None if seconds is None else max(0.0, seconds * 1000.0)))

    def _read(self) -> None:
        try:
            data = os.read(self._stdout, READ_BYTES)
        except BlockingIOError:
            return
        self._received += data
        self._output_ended = not data
        if len(self._received) > ANSWER_BYTES_MAX + READ_BYTES:
            raise WorkerFault(f"it wrote more than {ANSWER_BYTES_MAX} bytes for one answer")

    def _write(self, data: memoryview) -> memoryview:
        if not data:
            return data
        try:
            return data[os.write(self._stdin, data[:READ_BYTES]) :]
        except BlockingIOError:
            return data
        except BrokenPipeError:  # it reads no more, and may still answer
            return data[:0]

    def _close_stdin(self) -> None:
        if self._stdin_open:
            self._stdin_open = False
            os.close(self._stdin)

    def _gone(self) -> WorkerFault:
        """Its stdout is closed: because it has ended, or by itself."""
        lives = self.ending is None and not self._wait([self._worker.pidfd], STOP_SECONDS)
        ending = self._reap(wait=0.0)
        rest = f" in the middle of {_short(self._received)}" if self._received else ""
        text = "the worker closed its stdout" if lives else f"the worker ended ({ending})"
        return WorkerFault(self._with_errors(text + rest))

    def _reap(self, *, wait: float) -> Ending:
        if self.ending is None:
            self._wait([self._worker.pidfd], wait)
            self.ending = self._worker.reap()
            self._errors.join()
        return self.ending

    def _with_errors(self, text: str) -> str:
        lines = self._errors.last()
        return "\n".join([text, *(f"  stderr: {each}" for each in lines)])


class _Late(WorkerFault):
    """The time is over."""


class _Errors:
    """Reads the worker's stderr in a thread of its own, so that a full pipe never stops it."""

    def __init__(self, fd: int, *, show: bool) -> None:
        self._fd = fd
        self._show = show
        self._lines: deque[bytes] = deque(maxlen=LAST_LINES)
        self._rest = b""
        self._thread = threading.Thread(target=self._run, name="drop-stderr", daemon=True)
        self._thread.start()

    def last(self) -> list[str]:
        """The last lines; none when they were shown as they came."""
        if self._show:
            return []
        return [each.decode(errors="replace") for each in tuple(self._lines)]

    def join(self) -> None:
        """Until its end; not for ever, when a process that left the group keeps it open."""
        self._thread.join(1.0)

    def _run(self) -> None:
        with open(self._fd, "rb", buffering=0) as stream:
            while data := stream.read(READ_BYTES):
                if self._show:
                    with suppress(OSError):  # ours is closed: the worker's must be emptied anyhow
                        os.write(2, data)
                *lines, rest = (self._rest + data).split(b"\n")
                self._lines += [each[:LINE_BYTES_MAX] for each in lines]
                self._rest = rest[:LINE_BYTES_MAX]
        if self._rest:
            self._lines.append(self._rest)


def _short(data: bytes | bytearray) -> str:
    return repr(bytes(data[:100])) + ("..." if len(data) > 100 else "")
