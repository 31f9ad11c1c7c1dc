"""A client that speaks the bare protocol: it can be slow, rude or half there, as a test needs.

It knows frames and nothing else; frames are written by the reference codec.
"""

import socket
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from drop.errors import STATUS
from drop.testing.reference import MORE, PARTS, Frame, Type, hello, named, request

SECONDS_MAX = 30.0  # no test takes that long: what has not come by then does not come
RUDE = (socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close() resets


class Wire:
    """One connection. Ids are the test's own; frames come as they come."""

    def __init__(
        self,
        port: int | Path,
        *,
        token: bytes = b"",
        greet: bool = True,
        receive_buffer: int = 0,
    ) -> None:
        """`port`: of the loopback interface, or the path of a Unix socket. A small
        `receive_buffer` (bytes) keeps the kernel from hiding that the client does not read."""
        family = socket.AF_UNIX if isinstance(port, Path) else socket.AF_INET
        self.socket = socket.socket(family)
        self.socket.settimeout(SECONDS_MAX)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(str(port) if isinstance(port, Path) else ("127.0.0.1", port))
        self._reader = self.socket.makefile("rb")
        if greet:
            self.send(hello(token))
            self.welcome = self.receive()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._reader.close()
        self.socket.close()

    def vanish(self) -> None:
        """Closes with a reset instead of an orderly end."""
        self.socket.setsockopt(*RUDE)
        self.close()

    def end(self) -> None:
        """Sends no more."""
        self.socket.shutdown(socket.SHUT_WR)

    # ---- sending --------------------------------------------------------------------------------

    def send(self, *frames: Frame) -> None:
        self.socket.sendall(b"".join(frame.encode() for frame in frames))

    def call(
        self, id: int, pool: str, payload: bytes, timeout_ms: int = 0, *, parts: bool = False
    ) -> None:
        flags = PARTS if parts else 0
        self.send(request(Type.CALL, id, pool, payload, timeout_ms, flags))

    def call_each(self, pool: str, payloads: Iterable[bytes], first_id: int = 0) -> int:
        """One CALL per payload, with ids that count from `first_id`; how many there were."""
        frames = [
            request(Type.CALL, number, pool, payload)
            for number, payload in enumerate(payloads, first_id)
        ]
        self.send(*frames)
        return len(frames)

    def publish(self, id: int, pool: str, payload: bytes, timeout_ms: int = 0) -> None:
        self.send(request(Type.PUBLISH, id, pool, payload, timeout_ms))

    def cast(self, pool: str, payload: bytes, timeout_ms: int = 0) -> None:
        self.send(request(Type.CAST, 0, pool, payload, timeout_ms))

    def cancel(self, id: int, pool: str) -> None:
        self.send(named(Type.CANCEL, id, pool))

    def subscribe(self, id: int, pool: str, filter: bytes = b"", *, wait: bool = False) -> None:
        """Returns when the node has said ok."""
        self.send(named(Type.SUBSCRIBE, id, pool, filter, flags=wait))
        assert self.answer(id) == ("ok", b"")

    # ---- receiving ------------------------------------------------------------------------------

    def receive(self) -> Frame:
        """The next frame; raises EOFError at the end of the stream."""
        header = self._reader.read(16)
        if len(header) < 16:
            raise EOFError(f"the node closed the connection, {len(header)} bytes of a header came")
        length = int.from_bytes(header[:4], "big") - 12
        body = self._reader.read(length)
        if len(body) < length:
            raise EOFError("the node closed the connection within a frame")
        return Frame(header[4], header[5], header[6], int.from_bytes(header[8:], "big"), body)

    def frames(self, count: int) -> list[Frame]:
        return [self.receive() for _ in range(count)]

    def rest(self) -> list[Frame]:
        """Everything up to the end of the connection, however it ends."""
        return list(self._until_end())

    def _until_end(self) -> Iterator[Frame]:
        with suppress(EOFError, ConnectionError):
            while True:
                yield self.receive()

    def answer(self, id: int) -> tuple[str, bytes]:
        """The next frame, which must be the ANSWER to `id`: its status and its body."""
        frame = self.receive()
        assert (frame.type, frame.id) == (Type.ANSWER, id), frame
        return STATUS[frame.code], frame.body

    def parts(self, id: int) -> tuple[list[bytes], str, bytes]:
        """The parts of the answer to `id`, then the status and the body of what ends it."""
        found: list[bytes] = []
        while (frame := self.receive()).flags & MORE:
            assert (frame.type, frame.id, frame.code) == (Type.ANSWER, id, 0), frame
            found.append(frame.body)
        assert (frame.type, frame.id) == (Type.ANSWER, id), frame
        return found, STATUS[frame.code], frame.body

    def answers(self, count: int) -> dict[int, tuple[str, bytes]]:
        """`count` answers by id; a second one to the same id fails."""
        found: dict[int, tuple[str, bytes]] = {}
        for frame in self.frames(count):
            assert frame.type == Type.ANSWER, frame
            assert frame.id not in found, f"{frame.id} was answered twice"
            found[frame.id] = (STATUS[frame.code], frame.body)
        return found

    def goaway(self) -> str:
        """The status of the GOAWAY that must be the last frame of the connection."""
        *_, last = self.rest()
        assert last.type == Type.GOAWAY, last
        assert last.body.decode()
        return STATUS[last.code]

    def ask(self, pool: str, payload: bytes, timeout_ms: int = 0) -> tuple[str, bytes]:
        """One call on a connection that waits for nothing else."""
        self.call(0, pool, payload, timeout_ms)
        return self.answer(0)

    def ping(self) -> None:
        """Returns when the node has handled everything that was sent before."""
        self.send(Frame(Type.PING, id=1, body=b"x"))
        assert self.receive() == Frame(Type.PONG, id=1, body=b"x")


def statuses(answers: dict[int, tuple[str, bytes]]) -> Counter[str]:
    """How often each status came."""
    return Counter(status for status, _ in answers.values())


def options_of(wire: Wire) -> dict[str, Any]:
    """What WELCOME says."""
    body = wire.welcome.body
    return {
        "authenticated": bool(body[1]),
        "payload_max": int.from_bytes(body[4:8], "big"),
        "calls_max": int.from_bytes(body[8:12], "big"),
        "node": body[12:].decode(),
    }
