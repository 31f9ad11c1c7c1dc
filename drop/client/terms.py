"""What a client and a node agree on, without I/O: WELCOME, GOAWAY, times, control answers."""

from __future__ import annotations

import errno
import json
import math
import os
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from drop._fast.codec import GOAWAY, WELCOME, Requests
from drop.client.limits import ANSWER_MAX, CALLS_MAX, HEADER
from drop.errors import STATUS, ConnectionLost, DropError, ProtocolError, Unauthorized

if TYPE_CHECKING:
    from drop._fast.codec import Frame

VERSION = 1
TIMEOUT_MS_MAX = 2**32 - 1


class Welcome(NamedTuple):
    """The node's side of the handshake."""

    version: int
    authenticated: bool
    payload_max: int
    calls_max: int
    node: str

    @property
    def frame_max(self) -> int:
        """Bytes of the largest frame that this node may send."""
        return HEADER + max(self.payload_max, ANSWER_MAX)

    def apply(self, requests: Requests) -> None:
        """Hold the requests of the connection to what the node takes."""
        requests.payload_max = self.payload_max
        requests.calls_max = max(1, min(self.calls_max, CALLS_MAX))


def welcome_from(frame: Frame) -> Welcome:
    """The first frame of a node. Raises what GOAWAY says, or ProtocolError."""
    kind, _, code, _, body = frame
    if kind == GOAWAY:
        raise goodbye(code, body)
    if kind != WELCOME:
        raise ProtocolError(f"the first frame has type 0x{kind:02x}: expected WELCOME")
    if body[0] != VERSION:
        raise ProtocolError(f"the node chose version {body[0]}; this client knows {VERSION}")
    payload_max, calls_max = int.from_bytes(body[4:8], "big"), int.from_bytes(body[8:12], "big")
    name = body[12:].decode("utf-8", "replace")
    return Welcome(body[0], body[1] != 0, payload_max, calls_max, name)


def first_generation() -> int:
    """Where the ids of a connection start: by chance, so that no two clients' calls have the same
    one in a node's logs."""
    return 1 + (int.from_bytes(os.urandom(6), "big") >> 1)


def subscription_ended(text: bytes) -> ConnectionLost:
    """What an ANSWER that ends a subscription means here: it is to be renewed."""
    return ConnectionLost(text.decode("utf-8", "replace"))


def goodbye(code: int, text: bytes) -> DropError:
    """Why the node closes the connection, as what fails because of it."""
    said = text.decode("utf-8", "replace")
    if STATUS.get(code) == "unauthorized":
        return Unauthorized(said)
    return ConnectionLost(f"the node closed the connection: {STATUS.get(code, code)}: {said}")


def at(address: object, error: BaseException) -> DropError:
    """The error with the address in front; what is not ours becomes ConnectionLost."""
    if isinstance(error, DropError):
        return type(error)(f"{address}: {error}")
    return ConnectionLost(f"{address}: {text_of(error)}")


def text_of(error: BaseException) -> str:
    """What an error of the system means; asyncio's own texts hide it."""
    if not isinstance(error, OSError) or error.errno is None:
        return str(error) or type(error).__name__
    if error.errno in (errno.ECONNREFUSED, errno.ENOENT):
        return f"{os.strerror(error.errno)}; is drop-node running there?"
    if error.errno in errno.errorcode:
        return os.strerror(error.errno)
    return error.strerror or str(error)  # getaddrinfo has numbers of its own


def again(error: DropError) -> DropError:
    """A copy: an exception that two places raise would gather the traceback of both."""
    return type(error)(str(error))


def timeout_from(seconds: float) -> tuple[int, float]:
    """A timeout as the wire has it (ms, 0: none) and in seconds. Raises ValueError."""
    if seconds == math.inf:
        return 0, seconds
    if not seconds > 0:
        raise ValueError(f"timeout of {seconds} s: expected more than 0, or math.inf for none")
    return min(math.ceil(seconds * 1000), TIMEOUT_MS_MAX), seconds


def control_request(op: str, args: dict[str, Any]) -> bytes:
    return json.dumps({"op": op, **args}).encode()


def document(data: bytes) -> dict[str, Any]:
    """The JSON object that the node answered. Raises ProtocolError."""
    try:
        value = json.loads(data)
    except ValueError as error:
        raise ProtocolError(f"the node's answer is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ProtocolError(f"the node's answer is a JSON {type(value).__name__}, not an object")
    return cast("dict[str, Any]", value)
