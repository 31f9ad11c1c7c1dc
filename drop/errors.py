"""Everything that can go wrong, by whose fault it is.

A `DropError` is the answer to a call, or the reason why there is none: one class for each status of
docs/protocol.md section 3, and two for what only the client's side can see. A `ConfigurationError`
points at the place in a file. Nothing here imports anything of ours.
"""

from __future__ import annotations

import os


class DropError(Exception):
    """A call (or another request) that did not succeed; `str()` is a text for people.

    `call_id` is the id of the call as a node's logs show it, 16 hex digits; None for what is no
    call, or never had an id.
    """

    status = "error"
    call_id: str | None = None

    def __init__(self, text: str = "") -> None:
        super().__init__(text or self.status.replace("_", " "))


class FunctionError(DropError):
    """The function failed: it died, broke its contract, or reported an error."""


class CallTimeout(DropError, TimeoutError):
    """The caller's or the function's time ran out. The function may still have run."""

    status = "timeout"


class Overloaded(DropError):
    """A mailbox, the node's memory or the client's own queue is full; try again later."""

    status = "overloaded"


class NoPool(DropError):
    """There is no pool of that name; the text names similar ones."""

    status = "no_pool"


class NoWorker(DropError):
    """The pool has no worker and will not get one soon; the text says why."""

    status = "no_worker"


class TooLarge(DropError):
    """The payload is larger than the node or the pool takes."""

    status = "too_large"


class BadRequest(DropError):
    """Something that cannot be sent: a malformed name, or a payload the kind cannot carry."""

    status = "bad_request"


class Draining(DropError):
    """The node or the flow is stopping and takes no new work."""

    status = "draining"


class Unauthorized(DropError):
    """Wrong token, or a pool that this connection may not use."""

    status = "unauthorized"


class Cancelled(DropError):
    """The call was cancelled before it was answered."""

    status = "cancelled"


class ConnectionLost(DropError, ConnectionError):
    """No connection to the node, or it ended before the answer: the function may have run."""

    status = "unreachable"


class ProtocolError(ConnectionLost):
    """The peer sent something that docs/protocol.md does not allow; the connection was closed."""

    status = "protocol"


OK = 0

#: Names of the statuses by their code on the wire (docs/protocol.md section 3); closed.
STATUS: dict[int, str] = {
    OK: "ok",
    1: "error",
    2: "timeout",
    3: "overloaded",
    4: "no_pool",
    5: "no_worker",
    6: "too_large",
    7: "bad_request",
    8: "draining",
    9: "unauthorized",
    10: "cancelled",
}

_CLASSES: dict[int, type[DropError]] = {
    1: FunctionError,
    2: CallTimeout,
    3: Overloaded,
    4: NoPool,
    5: NoWorker,
    6: TooLarge,
    7: BadRequest,
    8: Draining,
    9: Unauthorized,
    10: Cancelled,
}


def error_for(code: int, text: str = "") -> DropError:
    """The exception for a status that is not `ok`; an unknown code counts as `error`."""
    return _CLASSES.get(code, FunctionError)(text)


class ConfigurationError(Exception):
    """A file that says something it may not: where, what was found, what was expected.

    `line` and `column` count from 1 and are None when the place is the file as a whole.
    """

    def __init__(
        self,
        message: str,
        *,
        file: str | os.PathLike[str],
        line: int | None = None,
        column: int | None = None,
        key: str = "",
        expected: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.file = os.fspath(file)
        self.line = line
        self.column = column
        self.key = key
        self.expected = expected

    def __str__(self) -> str:
        place = self.file
        if self.line is not None:
            place += f":{self.line}" if self.column is None else f":{self.line}:{self.column}"
        key = f": {self.key}" if self.key else ""
        expected = f"; expected {self.expected}" if self.expected else ""
        return f"{place}{key}: {self.message}{expected}"
