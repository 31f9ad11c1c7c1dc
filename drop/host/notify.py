"""Telling whoever started the node how far it is: systemd (sd_notify) and `--ready-fd`.

All is best effort: a node does not fail because nobody listens.

The watchdog (WatchdogSec= in the unit): a node whose control plane has not turned for so long is
killed and started again by systemd. It is told at half the time, from the control plane's own loop.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping, MutableMapping

from drop.clock import Clock, Timer

VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""For this process alone: a program that it starts would speak in its name."""


def take_variables(environment: MutableMapping[str, str]) -> dict[str, str]:
    """What systemd tells this process, taken out of what its children will be told."""
    return {name: environment.pop(name) for name in VARIABLES if name in environment}


class Notifier:
    """`ready_fd` gets the line `ready` when the node is, and is then closed; closed without it
    means that the node could not start."""

    def __init__(self, environment: Mapping[str, str], ready_fd: int | None = None) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._ready_fd = ready_fd
        self._watchdog_seconds = _watchdog_seconds(environment)
        self._watchdog: Timer | None = None
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

    def watch(self, clock: Clock) -> None:
        """Answer the watchdog, if there is one, for as long as the loop of `clock` turns."""
        if self._watchdog_seconds is not None:
            self._systemd("WATCHDOG=1")
            self._watchdog = clock.call_later(self._watchdog_seconds / 2, lambda: self.watch(clock))

    def close(self) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None
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


def _watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    """None: nobody watches, or it is another process that is watched."""
    microseconds, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not microseconds.isdecimal() or int(microseconds) == 0:
        return None
    return None if pid and pid != str(os.getpid()) else int(microseconds) / 1e6
