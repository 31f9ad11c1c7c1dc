"""What commands write to stdout: bytes as they are, or JSON documents, one a line."""

from __future__ import annotations

import base64
import json
import os
import select
import sys
from typing import Any


def write_part(data: bytes) -> None:
    """A part of an answer, as it is and at once."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def write_bytes(data: bytes, *, raw: bool = False) -> None:
    """An answer or event: with a newline behind it if it has none, unless `raw`."""
    out = sys.stdout.buffer
    out.write(data if raw or data.endswith(b"\n") else data + b"\n")
    out.flush()


def write_json(document: Any) -> None:
    """One line of JSON."""
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def field(name: str, data: bytes) -> dict[str, str]:
    """Bytes as a field of a JSON document: NAME when they are UTF-8, else NAME_base64."""
    try:
        return {name: data.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(data).decode()}


def nobody_reads(fd: int) -> bool:
    """It leads to a pipe or socket whose other end is closed."""
    poll = select.poll()
    poll.register(fd, 0)  # POLLERR and POLLHUP are told unasked
    return bool(poll.poll(0))


def open_missing_streams() -> None:
    """Give a stand-in to each of stdin, stdout and stderr that the shell has closed (`>&-`).

    Else the next socket would get its number. To read or write where the shell wanted none is an
    error (EBADF), as it is for other programs; only what is said on stderr just goes nowhere.
    """
    for name, mode, refuse in (("stdin", "r", os.O_WRONLY), ("stdout", "w", os.O_RDONLY)):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.open(os.devnull, refuse), mode))  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.open(os.devnull, os.O_WRONLY), "w")  # noqa: SIM115


def discard_stdout() -> None:
    """After EPIPE: what is still buffered goes nowhere, instead of failing again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
