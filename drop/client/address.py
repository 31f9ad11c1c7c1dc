"""Where a node listens: addresses as text, and the default one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

DEFAULT = "127.0.0.1:8085"


class Address(NamedTuple):
    """Either a host and a port, or the path of a Unix socket."""

    host: str
    port: int
    path: str

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_address(text: str) -> Address:
    """`host:port`, `[v6]:port` or `unix:/path`. Raises ValueError."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path:
            raise ValueError(f"address {text!r}: no path behind unix:")
        return Address("", 0, path)
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""  # a bare v6 address: where does it end?
    if not host or not colon or not port.isascii() or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"address {text!r}: expected host:port, [v6]:port or unix:/path")
    return Address(host, int(port), "")


def default_address() -> str:
    """DROP_ADDRESS, else the Unix socket of a node on this machine, else 127.0.0.1:8085."""
    if address := os.environ.get("DROP_ADDRESS"):
        return address
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    state = os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()
    places = [Path(runtime, "drop/drop.sock")] if runtime else []
    places += [Path("/run/drop/drop.sock"), Path(state, "drop/drop.sock")]
    for place in places:
        if place.is_socket():
            return f"unix:{place}"
    return DEFAULT


def default_token() -> bytes:
    """DROP_TOKEN, or none."""
    return os.environb.get(b"DROP_TOKEN", b"")
