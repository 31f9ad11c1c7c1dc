"""How a command fails: an exit code by fault, and a text that says what, where and what to do.

Raising is for everybody, turning into text and code is for main() alone.
"""

from __future__ import annotations

import shlex
import sys

from drop.cli import output
from drop.errors import DropError

OK = 0
FUNCTION = 1
USAGE = 2
UNREACHABLE = 3
TIMEOUT = 4
OVERLOADED = 5
INTERRUPTED = 130  # what a shell reports for SIGINT

#: By status: the function's fault, the caller's, the connection's, time, or too much to do.
EXIT_CODES = {
    "ok": OK,
    "error": FUNCTION,
    "no_worker": FUNCTION,
    "cancelled": FUNCTION,
    "no_pool": USAGE,
    "too_large": USAGE,
    "bad_request": USAGE,
    "unauthorized": USAGE,
    "usage": USAGE,
    "unreachable": UNREACHABLE,
    "protocol": UNREACHABLE,
    "timeout": TIMEOUT,
    "overloaded": OVERLOADED,
    "draining": OVERLOADED,
}

HINTS = {
    "unreachable": "`drop-node run` starts a node; --address or DROP_ADDRESS names another",
    "protocol": "is that a DROP node, of this version? --address or DROP_ADDRESS names another",
    "unauthorized": "the node's Unix socket needs no token, and is for root (sudo) and the node's"
    " user; over TCP give one in DROP_TOKEN or --token-file",
    "timeout": "does the function flush its output after each answer? --timeout SECONDS is the"
    " caller's time, `timeout` in the flow the function's; `drop logs POOL` shows what it says",
    "overloaded": "try later, or raise `queue` or `num` in the flow; `drop top` shows the load",
    "no_pool": "`drop top --once` lists the pools",
    "error": "`drop logs POOL` shows what the function says, `drop flow info FLOW` how it ended",
    "no_worker": "`drop logs POOL` shows what the function says",
    "draining": "the node or the flow is stopping; try again when it is back",
}


#: Statuses of calls that a worker may have had, so that logs may tell of them.
REACHED = frozenset({"error", "timeout", "cancelled", "unreachable"})


class UsageError(Exception):
    """The command line asks for something that cannot be; the text says what was expected."""


class CommandError(Exception):
    """The node refused what a command asked for; `kind` is a status or a reason of the node's."""

    def __init__(self, text: str, kind: str, code: int = FUNCTION) -> None:
        super().__init__(text)
        self.kind = kind
        self.code = code


def describe(error: Exception) -> tuple[str, int]:
    """The short name of what went wrong, and the exit code."""
    if isinstance(error, DropError):
        return error.status, EXIT_CODES.get(error.status, FUNCTION)
    if isinstance(error, CommandError):
        return error.kind, error.code
    return "usage", USAGE


def call_of(error: Exception) -> str:
    """The id of the call that failed, when a worker may have had it; else nothing."""
    reached = isinstance(error, DropError) and error.status in REACHED
    return (getattr(error, "call_id", None) or "") if reached else ""


def name_logs(error: Exception, pool: str) -> None:
    """Adds where the logs tell of the call that failed: report() shows it."""
    if call := call_of(error):
        error.add_note(
            f"call {call}: `drop logs {shlex.quote(pool)} --call {call}` shows what the function"
            " says about it"
        )


def document(error: Exception) -> dict[str, str]:
    """What programs are told."""
    call = call_of(error)
    return {
        "status": describe(error)[0],
        "error": str(error),
        **({"call": call} if call else {}),
    }


def report(error: Exception, *, as_json: bool) -> int:
    """Tells people on stderr (and programs on stdout); returns the exit code."""
    kind, code = describe(error)
    label = "" if kind in ("usage", "unreachable") else f"{kind.replace('_', ' ')}: "
    sys.stderr.write(f"drop: {label}{error}\n")
    notes = getattr(error, "__notes__", [])
    hint = HINTS.get(kind, "")
    if kind == "error" and notes:
        hint = ""  # the note says it of this very call
    if hint and hint not in str(error):  # the node may have said so itself
        notes = [*notes, hint]
    sys.stderr.write("".join(f"  {note}\n" for note in notes))
    if as_json:
        try:
            output.write_json(document(error))
        except OSError:
            output.discard_stdout()  # the exit code says it too
    return code
