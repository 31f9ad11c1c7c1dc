"""The protocols of DROP, written to be obviously correct: slow, complete, without a trick.

Two things live here: the frames between client and node (docs/protocol.md) and the framings between
node and worker (`line` with or without ncm, `frame`). Tests hold the native codecs to it; nothing
at run time uses it.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

LENGTH_MIN = 12
LENGTH_MAX = 2**31 - 1
SMALL_BODY_MAX = 4096
NAME_MAX = 128
NAME_BYTES = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:-/")
MAGIC = b"DROP"
VERSION = 1


class Type(IntEnum):
    HELLO = 0x01
    CALL = 0x02
    CAST = 0x03
    PUBLISH = 0x04
    SUBSCRIBE = 0x05
    UNSUBSCRIBE = 0x06
    CANCEL = 0x07
    PING = 0x08
    STATISTICS = 0x09
    WELCOME = 0x81
    ANSWER = 0x82
    EVENT = 0x85
    PONG = 0x88
    GOAWAY = 0x8F


FROM_NODE = frozenset({Type.WELCOME, Type.ANSWER, Type.EVENT, Type.PONG, Type.GOAWAY})
FROM_CLIENT = frozenset(Type) - FROM_NODE
WITH_PAYLOAD = frozenset({Type.CALL, Type.CAST, Type.PUBLISH})
PARTS = WAIT = MORE = GAP = 1
# The bits that a type defines.
FLAGS = {Type.CALL: PARTS, Type.SUBSCRIBE: WAIT, Type.ANSWER: MORE, Type.EVENT: GAP}


class Malformed(ValueError):
    """Bytes that are no frame, or a frame that its sender may not send."""


class Frame(NamedTuple):
    type: int
    flags: int = 0
    code: int = 0
    id: int = 0
    body: bytes = b""

    def encode(self) -> bytes:
        """The frame's bytes; the fields are not checked, so that tests can send nonsense."""
        return (
            (LENGTH_MIN + len(self.body)).to_bytes(4, "big")
            + bytes((self.type, self.flags, self.code, 0))
            + self.id.to_bytes(8, "big")
            + self.body
        )


def decode(data: bytes) -> tuple[list[Frame], bytes]:
    """The whole frames at the front of `data`, and the rest. Raises Malformed."""
    frames = []
    while len(data) >= 4:
        length = int.from_bytes(data[:4], "big")
        if not LENGTH_MIN <= length <= LENGTH_MAX:
            raise Malformed(f"length {length}: expected {LENGTH_MIN} to {LENGTH_MAX}")
        if len(data) >= 8 and data[7] != 0:
            raise Malformed(f"reserved byte is {data[7]}")
        if len(data) < 4 + length:
            break
        body = data[16 : 4 + length]
        frames.append(Frame(data[4], data[5], data[6], int.from_bytes(data[8:16], "big"), body))
        data = data[4 + length :]
    return frames, data


def check(frame: Frame) -> None:
    """Raises Malformed when no peer that keeps to the protocol sends this frame."""
    if frame.type not in Type.__members__.values():
        raise Malformed(f"unknown type 0x{frame.type:02x}")
    kind = Type(frame.type)
    if frame.flags & ~FLAGS.get(kind, 0):
        raise Malformed(f"{kind.name}: undefined flag in 0x{frame.flags:02x}")
    if kind in WITH_PAYLOAD:
        check_name(frame.body[4 : 4 + frame.code], frame.code)
    elif kind in (Type.SUBSCRIBE, Type.CANCEL) or (kind == Type.STATISTICS and frame.code):
        check_name(frame.body[: frame.code], frame.code)
    elif kind not in (Type.ANSWER, Type.GOAWAY) and frame.code != 0:
        raise Malformed(f"{kind.name}: code is {frame.code}, expected 0")
    check_body(kind, frame)


def check_name(name: bytes, length: int) -> None:
    """`$` may be the first byte: it marks the node's own pools."""
    if not 1 <= length <= NAME_MAX or len(name) < length:
        raise Malformed(f"name of {length} bytes, {len(name)} there: expected 1 to {NAME_MAX}")
    if not set(name.removeprefix(b"$")) <= NAME_BYTES:
        raise Malformed(f"name {name!r} has other bytes than A-Z a-z 0-9 _ . : - /")


def check_body(kind: Type, frame: Frame) -> None:
    size = len(frame.body)
    if kind in FROM_CLIENT - WITH_PAYLOAD and size > SMALL_BODY_MAX:
        raise Malformed(f"{kind.name}: body of {size} bytes: at most {SMALL_BODY_MAX}")
    if kind == Type.HELLO:
        if size < 8 or frame.body[:4] != MAGIC:
            raise Malformed("HELLO: expected the magic DROP, two versions and a token")
        if size != 8 + int.from_bytes(frame.body[6:8], "big"):
            raise Malformed("HELLO: token_length is not the length of the token")
    exact = {Type.UNSUBSCRIBE: 0, Type.CANCEL: frame.code, Type.STATISTICS: frame.code}
    if kind in exact and size != exact[kind]:
        raise Malformed(f"{kind.name}: body of {size} bytes, expected {exact[kind]}")
    if kind in (Type.PING, Type.PONG) and size > 64:
        raise Malformed(f"{kind.name}: body of {size} bytes: at most 64")
    if kind == Type.WELCOME and size < 12:
        raise Malformed(f"WELCOME: body of {size} bytes: at least 12")
    if kind == Type.ANSWER and frame.flags and frame.code:
        raise Malformed(f"ANSWER with MORE: status {frame.code}, expected 0")
    if kind == Type.EVENT and frame.flags and size != 8:
        raise Malformed(f"EVENT with GAP: body of {size} bytes, expected 8")


def hello(token: bytes = b"", version_min: int = VERSION, version_max: int = VERSION) -> Frame:
    body = MAGIC + bytes((version_min, version_max)) + len(token).to_bytes(2, "big") + token
    return Frame(Type.HELLO, body=body)


def request(
    kind: int, id: int, pool: str, payload: bytes, timeout_ms: int = 0, flags: int = 0
) -> Frame:
    """CALL, CAST or PUBLISH."""
    name = pool.encode()
    body = timeout_ms.to_bytes(4, "big") + name + payload
    return Frame(kind, flags=flags, code=len(name), id=id, body=body)


def named(kind: int, id: int, pool: str = "", rest: bytes = b"", flags: int = 0) -> Frame:
    """SUBSCRIBE (with the filter as `rest`), CANCEL, STATISTICS."""
    name = pool.encode()
    return Frame(kind, flags=flags, code=len(name), id=id, body=name + rest)


def split_request(frame: Frame) -> tuple[int, str, bytes]:
    """timeout_ms, pool and payload of a CALL, CAST or PUBLISH."""
    timeout_ms = int.from_bytes(frame.body[:4], "big")
    return timeout_ms, frame.body[4 : 4 + frame.code].decode(), frame.body[4 + frame.code :]


def welcome(
    *,
    version: int = VERSION,
    authenticated: bool = False,
    payload_max: int = 64 << 20,
    calls_max: int = 65536,
    node: str = "node",
) -> Frame:
    body = bytes((version, authenticated, 0, 0))
    body += payload_max.to_bytes(4, "big") + calls_max.to_bytes(4, "big") + node.encode()
    return Frame(Type.WELCOME, body=body)


def answer(id: int, payload: bytes = b"", status: int = 0) -> Frame:
    return Frame(Type.ANSWER, code=status, id=id, body=payload)


def part(id: int, payload: bytes) -> Frame:
    """A part of an answer, and not the last one."""
    return Frame(Type.ANSWER, flags=MORE, id=id, body=payload)


def event(id: int, payload: bytes) -> Frame:
    return Frame(Type.EVENT, id=id, body=payload)


def gap(id: int, lost: int) -> Frame:
    return Frame(Type.EVENT, flags=GAP, id=id, body=lost.to_bytes(8, "big"))


def goaway(status: int, text: str) -> Frame:
    return Frame(Type.GOAWAY, code=status, body=text.encode())


# ---- between node and worker --------------------------------------------------------------------


def encode_line(message: bytes, *, ncm: bool = False) -> bytes:
    """One message as one line. Without ncm a newline inside is refused: raises Malformed."""
    if ncm:
        message = message.replace(b"\n", b"\tncm\t")
    elif b"\n" in message:
        raise Malformed("a newline in a message for a line-framed function")
    return message + b"\n"


def decode_lines(data: bytes, *, ncm: bool = False) -> tuple[list[bytes], bytes]:
    """The whole lines at the front of `data`, and the rest. Only the newline goes: CR stays."""
    *lines, rest = data.split(b"\n")
    if ncm:
        lines = [line.replace(b"\tncm\t", b"\n") for line in lines]
    return lines, rest


def encode_length(message: bytes) -> bytes:
    return len(message).to_bytes(4, "big") + message


def decode_lengths(data: bytes, message_max: int = LENGTH_MAX) -> tuple[list[bytes], bytes]:
    """The whole messages at the front of `data`, and the rest. Raises Malformed."""
    messages = []
    while len(data) >= 4:
        length = int.from_bytes(data[:4], "big")
        if length > message_max:
            raise Malformed(f"message of {length} bytes: at most {message_max}")
        if len(data) < 4 + length:
            break
        messages.append(data[4 : 4 + length])
        data = data[4 + length :]
    return messages, data
