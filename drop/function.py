"""A function in Python: say what one message becomes; reading, order, batches and the end are here.

    from drop.function import function

    @function
    def shout(message: bytes) -> bytes:
        return message.upper()

    if __name__ == "__main__":
        shout.run()

One file, the standard library only, Python 3.9 or later: import it, or copy it next to a program.
Functions need none of this, see docs/sdk.md. Whatever a handler does, each message has one answer,
in order (kind `async`: with its token), and who prints, also a child process, prints to stderr. One
read(2) takes the messages that wait, and one write(2) gives their answers.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator
from threading import Lock, current_thread, main_thread
from time import monotonic
from typing import Any, ClassVar, Generic, TypeVar, overload

R = TypeVar("R")

PIPE_BYTES = 1 << 16  # what one read takes, and what answers are written at
HOLD_S = 0.001  # of handlers, after which answers wait no more
MESSAGE_BYTES_MAX = 1 << 30  # the largest payload_max that a node can have
LENGTH_BYTES = 4  # in front of a frame
NEWLINE = 10  # found many times quicker than b"\n"
NCM = b"\tncm\t"  # what a newline travels as ...
NCM_ON = os.environ.get("DROP_NEWLINE") == "ncm"  # ... if the flow says `newline: ncm`
CO_COROUTINE = 0x80  # of `inspect`, which takes longer to import than all of this
KINDS = ("line", "frame", "async", "stream", "exec")


@overload
def function(handler: Callable[..., R], /, **options: Any) -> Function[R]: ...
@overload
def function(**options: Any) -> Callable[[Callable[..., R]], Function[R]]: ...
def function(handler: Any = None, /, **options: Any) -> Any:
    """Decorates a handler, which can still be called: `@function`, or `@function(kind=..., ...)`.

    A handler takes one message (of kind `stream`: nothing) and returns its answer: bytes, text,
    None for an empty one, or anything as JSON; `async def` handles `concurrency` (256) at a time.

    kind      One of KINDS. Absent: DROP_KIND, which the node sets, or `line`.
    message   What the handler gets: "bytes", "str" (UTF-8; other bytes pass as surrogates, both
              ways) or "json", where all answers but bytes are JSON. Absent: by its annotation.
    on_error  "exit" (or absent): an exception ends the process, behind the answers to earlier
              messages; the node says `error` for this message and gives later ones to others.
              "answer": {"error":"ValueError: its text"} is the answer, the traceback is logged.
              A callable: on_error(message as bytes, exception) is the answer.
    """
    return Function(handler, **options) if handler else lambda late: Function(late, **options)


def run(handler: Callable[..., object], **options: Any) -> None:
    """Runs a handler as a function until stdin ends; the options are those of `function`."""
    (handler if isinstance(handler, Function) else Function(handler, **options)).run()


def ready(text: str) -> None:
    """Says that messages may come: the line that the flow's key `ready` waits for. Before run()."""
    if _Pipes.current:
        raise RuntimeError("ready() after run() would be taken for an answer; call it before")
    _write(1, _one_line(text.encode(), "the text of ready()"))


def emit(*events: object) -> None:
    """Writes events of a `stream` function, one line each, at once. From any thread."""
    pipes = _Pipes.current
    if pipes and pipes.kind != "stream":
        raise RuntimeError(f"emit() is for kind stream; kind {pipes.kind} returns its answer")
    lines = b"".join([_one_line(_encode(event), "an event") for event in events])
    with _Pipes.emitting:
        _write(pipes.output if pipes else 1, lines)


class Function(Generic[R]):
    """A handler and how to run it; see `function` for the arguments."""

    def __init__(
        self, handler: Callable[..., R], *, kind: str | None = None, message: str | None = None,
        concurrency: int = 256, on_error: str | Callable[[bytes, Exception], object] = "exit",
    ) -> None:  # fmt: skip
        self.handler, self.kind, self.on_error = handler, kind, on_error
        self.message, self.concurrency = message or _annotated(handler), concurrency
        code = getattr(_function(handler), "__code__", None)
        self.is_async = bool(code and code.co_flags & CO_COROUTINE)
        if self.message not in ("bytes", "str", "json"):
            raise ValueError(f"the handler takes {self.message!r}; expected bytes, str or json")
        if concurrency < 1 or not (callable(on_error) or on_error in ("exit", "answer")):
            raise ValueError(f"{concurrency=}, {on_error=}; expected > 0; exit, answer, callable")

    def __call__(self, *arguments: Any) -> R:
        return self.handler(*arguments)

    def run(self) -> None:
        """Handles messages until stdin ends, SIGTERM comes or nobody reads the answers."""
        kind = os.environ.get("DROP_KIND") or self.kind or "line"
        if kind not in KINDS or self.kind not in (None, kind):
            sys.exit(f"drop.function: the flow says kind {kind}; expected {self.kind or KINDS}")
        self.kind, parser = kind, _Frames() if kind == "frame" else _Lines(whole=kind == "exec")
        with _Pipes(kind) as pipes:
            work: Any = self.handler if kind == "stream" else _Concurrent(self, parser, pipes).main
            if self.is_async:
                import asyncio  # takes longer than the start of the interpreter

                asyncio.run(work())
            elif kind == "stream":
                for event in work() or ():
                    emit(event)
            else:
                _run_in_turn(self, parser, pipes)
        if parser.fault:
            sys.exit(f"drop.function: {parser.fault}")

    def opened(self, message: bytes) -> Any:
        """What the handler gets for a message."""
        if self.kind == "async":
            token, mark, message = message.partition(b"::")
            if not mark:
                sys.exit(f"drop.function: a message of kind async without TOKEN:: {token[:60]!r}")
        if NCM_ON and self.kind in ("line", "async"):
            message = message.replace(NCM, b"\n")
        if self.message == "bytes":
            return message
        if self.message == "str":
            return message.decode("utf-8", "surrogateescape")
        return json.loads(message.decode())

    def sealed(self, message: bytes, result: object) -> bytes:
        """The answer as it is written. Raises for a result that cannot be carried."""
        answer = result if isinstance(result, bytes) else _encode(result, self.message == "json")
        if self.kind == "line":
            return _one_line(answer, message)
        if self.kind == "frame":
            return len(answer).to_bytes(LENGTH_BYTES, "big") + answer
        if self.kind == "async":
            return message.partition(b"::")[0] + b"::" + _one_line(answer, message)
        return answer

    def failed(self, message: bytes, error: Exception) -> bytes:
        """The answer instead of the one that failed, or the exception."""
        if self.on_error == "exit":
            raise error
        sys.excepthook(type(error), error, error.__traceback__)
        if not callable(self.on_error):
            return self.sealed(message, {"error": f"{type(error).__name__}: {error}"})
        body = message.partition(b"::")[2] if self.kind == "async" else message
        return self.sealed(message, self.on_error(body, error))


def _function(handler: Any) -> Any:
    """What of a callable has code and annotations."""
    handler = getattr(handler, "func", handler)  # functools.partial
    return handler if hasattr(handler, "__code__") else type(handler).__call__


def _annotated(handler: Any) -> str:
    """What the handler takes, by the annotation of its parameter."""
    notes = getattr(_function(handler), "__annotations__", {})
    note = next((notes[name] for name in notes if name != "return"), bytes)
    name = getattr(note, "__name__", str(note)).split("[")[0].rpartition(".")[2].lower()
    return "json" if name in ("dict", "list") else name


def _encode(result: object, as_json: bool = False) -> bytes:
    if not as_json:
        if isinstance(result, str):
            return result.encode("utf-8", "surrogateescape")
        if result is None or isinstance(result, (bytes, bytearray, memoryview)):
            return bytes(result or b"")
    # In ASCII: half a surrogate pair passes, too, which UTF-8 cannot carry.
    return json.dumps(result, separators=(",", ":"), allow_nan=False).encode()


def _one_line(answer: bytes, message: bytes | str) -> bytes:
    if NEWLINE in answer:
        if not NCM_ON:
            of = message if isinstance(message, str) else f"the answer to {message[:60]!r}"
            raise ValueError(f"{of} has a newline; use kind: frame, or newline: ncm in the flow")
        answer = answer.replace(b"\n", NCM)
    return answer + b"\n"


class _Lines:
    """Cuts what was read into lines (or takes it whole), in time proportional to its bytes."""

    def __init__(self, *, whole: bool = False, bytes_max: int = MESSAGE_BYTES_MAX) -> None:
        self.whole, self.bytes_max = whole, bytes_max
        self.parts: list[bytes] = []  # of the message that is not complete ...
        self.held = 0  # ... and their bytes
        self.fault = ""  # why nothing that follows can be understood

    def feed(self, chunk: bytes) -> list[bytes]:
        """The messages that `chunk` completes."""
        messages = [chunk] if self.whole else chunk.split(b"\n")
        rest = messages.pop()
        if messages and self.parts:
            messages[0] = b"".join((*self.parts, messages[0]))
            self.parts, self.held = [], 0
        if rest:
            self.parts.append(rest)
            self.held += len(rest)
            if self.held > self.bytes_max:
                self.fault = f"a message has more than {self.bytes_max} bytes"
        return messages

    def end(self) -> list[bytes]:
        """The messages that the end of stdin completes. Half a message is none."""
        if self.whole:
            return [b"".join(self.parts)]
        if self.held:
            self.fault = f"stdin ended inside a message; {self.held} bytes of it are dropped"
        return []


class _Frames(_Lines):
    """Cuts what was read into frames: the length in 4 bytes, big-endian, then as many bytes."""

    needed = LENGTH_BYTES  # before that many bytes there is nothing to look at

    def feed(self, chunk: bytes) -> list[bytes]:
        self.parts.append(chunk)
        self.held += len(chunk)
        if self.held < self.needed:
            return []
        data, messages, start = b"".join(self.parts), [], 0
        while start + LENGTH_BYTES <= len(data):
            body = start + LENGTH_BYTES
            end = body + int.from_bytes(data[start:body], "big")
            self.needed = end - start
            if end - body > self.bytes_max:
                self.fault = f"a message has {end - body} bytes, more than {self.bytes_max}"
            if self.fault or end > len(data):
                break
            messages.append(data[body:end])
            start, self.needed = end, LENGTH_BYTES
        self.parts, self.held = [data[start:]], len(data) - start
        return messages


class _Pipes:
    """stdin and stdout, out of reach of handlers and children: those have nothing, and stderr."""

    current: ClassVar[_Pipes | None] = None
    emitting = Lock()

    def __init__(self, kind: str) -> None:
        self.kind = kind
        # Where all of stdin is the message, an early end would give half of one.
        self.takes_sigterm = kind != "exec" and current_thread() is main_thread()

    def __enter__(self) -> _Pipes:
        self.input, self.output = os.dup(0), os.dup(1)
        self.nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(self.nothing, 0)
        os.dup2(2, 1)
        self.stdout, sys.stdout = sys.stdout, sys.stderr
        self.stdout.flush()
        if self.takes_sigterm:
            self.before = signal.signal(signal.SIGTERM, self.terminate)
        _Pipes.current = self
        return self

    def __exit__(self, *_: object) -> None:
        _Pipes.current = None
        if self.takes_sigterm:
            signal.signal(signal.SIGTERM, self.before)
        self.stdout.flush()
        sys.stdout = self.stdout
        os.dup2(self.input, 0)
        os.dup2(self.output, 1)
        for descriptor in (self.input, self.output, self.nothing):
            os.close(descriptor)

    def terminate(self, *_: object) -> None:
        """On SIGTERM. A read(2) that waits, and the next one, find the end of the file."""
        if self.kind == "stream":
            sys.exit(0)
        os.dup2(self.nothing, self.input, inheritable=False)


def _write(descriptor: int, data: bytes) -> None:
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except BrokenPipeError:
        sys.exit(0)


def _run_in_turn(function: Function[Any], parser: _Lines, pipes: _Pipes) -> None:
    chunk, handler, opened, sealed = b"more", function.handler, function.opened, function.sealed
    while chunk and not parser.fault:
        chunk = os.read(pipes.input, PIPE_BYTES)
        answers, held, since = [], 0, monotonic()
        try:
            for message in parser.feed(chunk) if chunk else parser.end():
                try:
                    answer = sealed(message, handler(opened(message)))
                except Exception as error:
                    answer = function.failed(message, error)
                answers.append(answer)
                held += len(answer)
                if held > PIPE_BYTES or monotonic() - since > HOLD_S:
                    _write(pipes.output, b"".join(answers))
                    answers, held, since = [], 0, monotonic()
        finally:
            _write(pipes.output, b"".join(answers))


class _Concurrent:
    """Many messages at a time, each a task with a number. The loop's callbacks do all the rest."""

    def __init__(self, function: Function[Any], parser: _Lines, pipes: _Pipes) -> None:
        self.function, self.parser, self.pipes = function, parser, pipes
        self.in_order = function.kind != "async"
        self.backlog: deque[bytes] = deque()  # at most what one read gave
        self.running: dict[int, object] = {}  # the tasks, which nothing else keeps alive
        self.results: dict[int, bytes | BaseException] = {}  # that were not written
        self.begun = self.written = 0  # numbers
        self.ended = self.watched = False
        self.scheduled: object = None  # the next work()
        self.leaving: BaseException | None = None  # what ends the process

    async def main(self) -> None:
        import asyncio

        self.loop = asyncio.get_running_loop()
        self.over = self.loop.create_future()
        if self.pipes.takes_sigterm:
            self.loop.add_signal_handler(signal.SIGTERM, self.read, b"")
        self.work()
        await self.over

    def read(self, chunk: bytes | None = None) -> None:
        if self.ended or (self.backlog and chunk is None):
            return
        chunk = os.read(self.pipes.input, PIPE_BYTES) if chunk is None else chunk
        self.backlog.extend(self.parser.feed(chunk) if chunk else self.parser.end())
        self.ended = not chunk or bool(self.parser.fault)
        self.work()

    def work(self) -> None:
        """Writes what is done and begins what may be begun; what else waits stays in the pipe."""
        self.scheduled = None
        if self.over.done():
            return
        _write(self.pipes.output, b"".join(self.done()))
        while self.backlog and len(self.running) + len(self.results) < self.function.concurrency:
            self.begun += 1
            answer = self.answer(self.begun, self.backlog.popleft())
            self.running[self.begun] = self.loop.create_task(answer)
        wanted = not self.backlog and not self.ended
        if self.watched and not wanted:
            self.watched = not self.loop.remove_reader(self.pipes.input)
        elif wanted and not self.watched:
            try:
                self.loop.add_reader(self.pipes.input, self.read)
                self.watched = True
            except PermissionError:  # a file: it can always be read
                self.loop.call_soon(self.read)
        stopped = self.in_order and self.leaving
        if self.ended and (stopped or not (self.backlog or self.running or self.results)):
            self.over.set_exception(self.leaving) if self.leaving else self.over.set_result(None)

    async def answer(self, number: int, message: bytes) -> None:
        try:
            try:
                result = await self.function.handler(self.function.opened(message))
                self.results[number] = self.function.sealed(message, result)
            except Exception as error:
                self.results[number] = self.function.failed(message, error)
        except BaseException as leaving:
            self.results[number] = leaving
        del self.running[number]
        # Once for all that end in this turn of the loop.
        self.scheduled = self.scheduled or self.loop.call_soon(self.work)

    def done(self) -> Iterator[bytes]:
        """The answers that can be written. In order, there are none behind one that failed."""
        while self.results and not (self.in_order and self.leaving):
            number = self.written + 1 if self.in_order else next(iter(self.results))
            if number not in self.results:
                break
            answer = self.results.pop(number)
            self.written += 1
            if isinstance(answer, bytes):
                yield answer
            else:
                self.leaving, self.ended = self.leaving or answer, True
                self.backlog.clear()
