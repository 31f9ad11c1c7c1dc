"""Telling whoever started the node how far it is: systemd (sd_notify) and `--ready-fd`.

Both are best effort: a node does not fail because nobody listens.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping


class Notifier:
    """`ready_fd` gets the line `ready` when the node is, and is then closed; closed without it
    means that the node could not start."""

    def __init__(self, environment: Mapping[str, str], ready_fd: int | None = None) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._ready_fd = ready_fd
        if ready_fd is not None:
            os.set_inheritable(ready_fd, False)  # a worker must not hold it open

    def ready(self, text: str) -> None:
        """The node answers calls now; `text` says where, for people who ask systemd."""
        self._systemd(f"READY=1\nSTATUS={text}")
        if self._ready_fd is not None:
            with contextlib.suppress(OSError):
                os.write(self._ready_fd, b"ready\n")
            self.close()

    def reloading(self, monotonic_seconds: float) -> None:
        self._systemd(f"RELOADING=1\nMONOTONIC_USEC={int(monotonic_seconds * 1e6)}")

    def reloaded(self) -> None:
        self._systemd("READY=1")

    def stopping(self) -> None:
        self._systemd("STOPPING=1\nSTATUS=finishing what was accepted")

    def close(self) -> None:
        if self._ready_fd is not None:
            with contextlib.suppress(OSError):
                os.close(self._ready_fd)
            self._ready_fd = None

    def _systemd(self, state: str) -> None:
        if not self._address:
            return
        # "@" stands for the NUL of an abstract address.
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock,
        ):
            sock.connect(address)
            sock.send(state.encode())
