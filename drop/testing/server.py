"""A node's side of the protocol without a node: it echoes, and misbehaves when it is told to.

Written on the reference codec and asyncio streams. What a pool does is in its name: `absent` does
not exist, `broken` fails, `silent` never answers, `lines` answers each line in a part of its own
when the caller takes parts, and every other name echoes the payload.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from drop.testing.reference import (
    PARTS,
    Frame,
    Malformed,
    Type,
    answer,
    check,
    decode,
    event,
    goaway,
    part,
    split_request,
    welcome,
)

ERROR, NO_POOL, BAD_REQUEST, UNAUTHORIZED, CANCELLED = 1, 4, 7, 9, 10


class Line:
    """One client's connection."""

    def __init__(self, peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.peer = peer
        self.reader = reader
        self.writer = writer
        self.subscriptions: dict[int, tuple[str, bytes]] = {}
        self.silent: set[int] = set()  # ids of calls that will not be answered

    def send(self, *frames: Frame | bytes) -> None:
        """Bytes are sent as they are, to be able to send nonsense."""
        data = b"".join(f if isinstance(f, bytes) else f.encode() for f in frames)
        if self.peer.piecewise:
            for i in range(len(data)):
                self.writer.write(data[i : i + 1])
        else:
            self.writer.write(data)

    async def serve(self) -> None:
        rest = b""
        try:
            while data := await self.reader.read(1 << 16):
                frames, rest = decode(rest + data)
                for frame in frames:
                    check(frame)
                    self.peer.received.append(frame)
                    self.peer.answer(self, frame)
                self.peer.note()
                await self.writer.drain()
        except Malformed as error:
            self.send(goaway(BAD_REQUEST, str(error)))
        except ConnectionError:
            pass
        finally:
            self.writer.close()


class Peer:
    """Listens from `async with` on: on `path`, or a port of 127.0.0.1 (0: a free one).

    `answer` may be replaced by a function (line, frame) that answers in its own way and calls
    `peer.echo(line, frame)` for the rest. `received` holds every frame that came, in order.
    """

    def __init__(
        self,
        *,
        token: bytes = b"",
        piecewise: bool = False,
        greeting: Frame | bytes | None = None,
        answer: Callable[[Line, Frame], None] | None = None,
        port: int = 0,
        path: str = "",
    ) -> None:
        self.token = token
        self.piecewise = piecewise
        self.greeting = greeting if greeting is not None else welcome()
        self.answer = answer or self.echo
        self.port = port
        self.path = path
        self.received: list[Frame] = []
        self.lines: list[Line] = []
        self.connections = 0
        self._server: asyncio.Server | None = None
        self._news = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        return f"unix:{self.path}" if self.path else f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.shut()

    async def listen(self) -> None:
        if self.path:
            self._server = await asyncio.start_unix_server(self._accept, self.path)
            return
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        """Stop listening and cut every connection."""
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self, *last: Frame | bytes) -> None:
        """Say something to every client, then close its connection."""
        for line in self.lines:
            line.send(*last)
            line.writer.close()
        self.lines.clear()

    def tell(self, *frames: Frame | bytes) -> None:
        for line in self.lines:
            line.send(*frames)

    def note(self) -> None:
        self._news.set()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until it holds; looked at whenever frames or connections came."""
        async with asyncio.timeout(10):
            while not condition():
                self._news.clear()
                await self._news.wait()

    def seen(self, kind: Type) -> list[Frame]:
        return [frame for frame in self.received if frame.type == kind]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        line = Line(self, reader, writer)
        self.lines.append(line)
        self.connections += 1
        self.note()
        try:
            await line.serve()
        finally:
            if line in self.lines:
                self.lines.remove(line)
            self.note()

    # -- what a node does -------------------------------------------------------------------------

    def echo(self, line: Line, frame: Frame) -> None:
        """The well-behaved answer to a frame."""
        match frame.type:
            case Type.HELLO:
                self._hello(line, frame)
            case Type.CALL:
                self._call(line, frame)
            case Type.PUBLISH:
                self._publish(line, frame)
            case Type.SUBSCRIBE:
                self._subscribe(line, frame)
            case Type.UNSUBSCRIBE:
                line.subscriptions.pop(frame.id, None)
                line.send(answer(frame.id))
            case Type.CANCEL if frame.id in line.silent:
                line.silent.discard(frame.id)
                line.send(answer(frame.id, b"cancelled", CANCELLED))
            case Type.PING:
                line.send(Frame(Type.PONG, id=frame.id, body=frame.body))
            case Type.STATISTICS:
                line.send(answer(frame.id, b'{"pool": "%s"}' % frame.body))
            case _:
                pass

    def _hello(self, line: Line, frame: Frame) -> None:
        if self.token and frame.body[8:] != self.token:
            line.send(goaway(UNAUTHORIZED, "wrong token"))
            line.writer.close()
        else:
            line.send(self.greeting)

    def _call(self, line: Line, frame: Frame) -> None:
        _, pool, payload = split_request(frame)
        if pool == "absent":
            line.send(answer(frame.id, b"there is no pool 'absent'", NO_POOL))
        elif pool == "broken":
            line.send(answer(frame.id, b"the function died", ERROR))
        elif pool == "silent":
            line.silent.add(frame.id)
        elif pool == "lines" and frame.flags & PARTS:
            *parts, last = payload.splitlines(keepends=True) or [b""]
            line.send(*(part(frame.id, each) for each in parts), answer(frame.id, last))
        else:
            line.send(answer(frame.id, payload))

    def _publish(self, line: Line, frame: Frame) -> None:
        _, pool, payload = split_request(frame)
        if pool == "absent":
            line.send(answer(frame.id, b"there is no pool 'absent'", NO_POOL))
            return
        line.send(answer(frame.id))
        for other in self.lines:
            for id, (name, filter) in other.subscriptions.items():
                if name == pool and filter in payload:
                    other.send(event(id, payload))

    def _subscribe(self, line: Line, frame: Frame) -> None:
        pool, filter = frame.body[: frame.code].decode(), frame.body[frame.code :]
        if pool == "absent":
            line.send(answer(frame.id, b"there is no pool 'absent'", NO_POOL))
            return
        line.subscriptions[frame.id] = (pool, filter)
        line.send(answer(frame.id))


class PeerThread:
    """A Peer in a thread of its own, for clients that block."""

    def __init__(self, peer: Callable[[], Peer] = Peer) -> None:
        self._make = peer
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="peer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def do(self, action: Callable[[Peer], object]) -> None:
        """Run action(peer) on the peer's loop and wait until it has."""
        done = threading.Event()

        def run() -> None:
            action(self.peer)
            done.set()

        self._loop.call_soon_threadsafe(run)
        done.wait(10)

    def until(self, condition: Callable[[Peer], object]) -> None:
        """Wait until it holds; looked at whenever frames or connections came."""
        until = self.peer.until(lambda: condition(self.peer))
        asyncio.run_coroutine_threadsafe(until, self._loop).result()

    def _run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        async with self._make() as self.peer:
            self._ready.set()
            await self._stop.wait()
