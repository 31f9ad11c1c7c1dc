"""How messages and answers stand on the pipes of a worker, kind by kind. Pure.

The dataplane has its own, in C; this one is for running a single worker at a terminal and for
tests of functions, where the rate does not matter and the reason of a failure does.
"""

from __future__ import annotations

from drop.flow.plan import DataKind

ANSWER_BYTES_MAX = 64 << 20  # a worker that writes more without an end of its answer is broken
LENGTH_BYTES = 4
NCM = b"\tncm\t"


class Unframed(Exception):
    """A message that the kind cannot carry, or output that is no answer of the kind."""


def encode(payload: bytes, kind: DataKind, *, token: bytes = b"", ncm: bool = False) -> bytes:
    """The bytes for the worker's stdin. Raises Unframed."""
    if kind == "frame":
        return len(payload).to_bytes(LENGTH_BYTES, "big") + payload
    if kind == "exec":
        return payload
    if ncm:
        payload = payload.replace(b"\n", NCM)
    if b"\n" in payload:
        raise Unframed(
            f"a message of kind {kind} cannot have a newline in it; use kind frame or exec, or"
            " newline: ncm"
        )
    return (token + b"::" if kind == "async" else b"") + payload + b"\n"


def take(
    buffer: bytearray, kind: DataKind, *, token: bytes = b"", ncm: bool = False
) -> bytes | None:
    """The first whole answer, taken out of the buffer; None: not there yet. Raises Unframed."""
    if kind == "frame":
        return _take_frame(buffer)
    end = buffer.find(b"\n")
    if end < 0:
        if len(buffer) > ANSWER_BYTES_MAX:
            raise Unframed(f"{len(buffer)} bytes without a newline")
        return None
    line = bytes(buffer[:end])
    del buffer[: end + 1]
    if kind == "async":
        found, colons, line = line.partition(b"::")
        if not colons or found != token:
            what = f"the token {found[:40]!r}" if colons else f"no token in {found[:60]!r}"
            raise Unframed(f"{what} in an answer; expected {token!r}, as it came with the message")
    return line.replace(NCM, b"\n") if ncm else line


def _take_frame(buffer: bytearray) -> bytes | None:
    if len(buffer) < LENGTH_BYTES:
        return None
    end = LENGTH_BYTES + int.from_bytes(buffer[:LENGTH_BYTES], "big")
    if end > ANSWER_BYTES_MAX:
        raise Unframed(
            f"a frame of {end - LENGTH_BYTES} bytes; expected 4 bytes of length, big-endian, and"
            f" the first 4 bytes are {bytes(buffer[:LENGTH_BYTES])!r}"
        )
    if len(buffer) < end:
        return None
    payload = bytes(buffer[LENGTH_BYTES:end])
    del buffer[:end]
    return payload
