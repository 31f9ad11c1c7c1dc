"""What commands write to stdout: bytes as they are, or JSON documents, one a line."""

from __future__ import annotations

import base64
import json
import os
import sys
from typing import Any


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


def discard_stdout() -> None:
    """After EPIPE: what is still buffered goes nowhere, instead of failing again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
