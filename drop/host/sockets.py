"""Listening sockets, and errors that say who asked for an address and how to change it."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from drop.errors import ConfigurationError
from drop.host.tuning.advice import BACKLOG
from drop.host.tuning.socket_options import Option

# The kernel takes net.core.somaxconn if that is less than BACKLOG.

SO_BUSY_POLL = 46  # of asm-generic/socket.h; Python has no name for it
_OPTIONS = {
    "TCP_NODELAY": (socket.IPPROTO_TCP, socket.TCP_NODELAY),
    "SO_RCVBUF": (socket.SOL_SOCKET, socket.SO_RCVBUF),
    "SO_SNDBUF": (socket.SOL_SOCKET, socket.SO_SNDBUF),
    "SO_REUSEPORT": (socket.SOL_SOCKET, socket.SO_REUSEPORT),
    "SO_BUSY_POLL": (socket.SOL_SOCKET, SO_BUSY_POLL),
}

_HINTS = {
    errno.EADDRINUSE: "is in use by another process",
    errno.EADDRNOTAVAIL: "is not an address of this machine",
    errno.EACCES: "needs more rights (ports below 1024 do)",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """Where an address comes from: a line of the configuration, a variable, or the default."""

    origin: str
    change: str
    """How to choose another."""


def tcp_listener(
    host: str, port: int, asked: Asked, options: Sequence[Option] = ()
) -> socket.socket:
    """A bound, listening, non-blocking TCP socket. Raises ConfigurationError.

    What it accepts inherits the `options`, which are set before it can accept anything.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Without it a restarted node would wait for the connections of the old one to time out.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        set_options(listener, options)
        listener.bind((host, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        raise _refused(where, _reason(error), asked) from error
    return listener


def set_options(listener: socket.socket, options: Sequence[Option]) -> None:
    """Sets those with a value. One that the kernel refuses makes the node no less correct."""
    for option in options:
        if option.value is not None and option.name in _OPTIONS:
            with contextlib.suppress(OSError):  # SO_BUSY_POLL: without CAP_NET_ADMIN
                listener.setsockopt(*_OPTIONS[option.name], option.value)


def unix_listener(path: Path, asked: Asked) -> socket.socket:
    """A socket file that only this user can connect to. Raises ConfigurationError.

    A file that a dead node left behind is replaced; one that still answers is not.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_stale(path, asked)
        # Bound with no rights for others from its first moment: chmod alone would leave a gap.
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise _refused(str(path), _reason(error), asked) from error
    except BaseException:
        listener.close()
        raise
    return listener


def remove_unix_socket(path: Path) -> None:
    """The file of a listener of ours."""
    with contextlib.suppress(OSError):
        path.unlink()


def _remove_stale(path: Path, asked: Asked) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise _refused(str(path), "exists and is not a socket", asked)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            return
        except FileNotFoundError:
            return
    raise _refused(str(path), "is in use by another node", asked)


def _reason(error: OSError) -> str:
    name = errno.errorcode.get(error.errno or 0, "error")
    return f"{_HINTS.get(error.errno or 0, error.strerror or str(error))} ({name})"


def _refused(where: str, reason: str, asked: Asked) -> ConfigurationError:
    return ConfigurationError(
        f"cannot listen on {where}: it {reason}", file=asked.origin, expected=asked.change
    )
