"""All sockets that a node listens on, bound before anything else is started.

A client that connects while flows still start waits in the kernel's queue; a port that is taken
ends the node before it has started a single worker.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from drop.config import Settings
from drop.document import read
from drop.errors import ConfigurationError
from drop.host.sockets import Asked, remove_unix_socket, tcp_listener, unix_listener
from drop.host.tuning.advice import Profile
from drop.host.tuning.sysctl import options_of_this_machine


class Listener(NamedTuple):
    fd: int
    trusted: bool
    """The Unix socket: who may connect is decided by its file's owner and mode."""


class Listeners:
    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        """Binds all; raises ConfigurationError, which says who asked for the address."""
        self._settings = settings
        self._environ = environ
        self._unix_path = Path(settings.unix_socket)
        self._sockets = [unix_listener(self._unix_path, self._asked("unix_socket"))]
        options = options_of_this_machine(Profile(settings.tuning.profile))
        try:
            for index, endpoint in enumerate(settings.listen):
                asked = self._asked("listen", index)
                self._sockets.append(tcp_listener(endpoint.host, endpoint.port, asked, options))
        except ConfigurationError:
            self.close()
            raise
        self.addresses = [_show(each.getsockname()) for each in self._sockets]

    def take(self) -> list[Listener]:
        """The descriptors; the caller's from here on. The file of the Unix socket stays ours."""
        unix, *tcp = self._sockets
        self._sockets = []
        trusted = Listener(unix.detach(), trusted=True)
        return [trusted, *(Listener(each.detach(), trusted=False) for each in tcp)]

    def close(self) -> None:
        for each in self._sockets:
            each.close()
        self._sockets = []
        remove_unix_socket(self._unix_path)

    def _asked(self, key: str, index: int | None = None) -> Asked:
        variable = f"DROP_{key.upper()}"
        change = f"another address: `{key}` in the configuration file, or {variable}"
        if self._environ.get(variable):
            return Asked(f"environment: {variable}", change)
        if self._settings.config_file is None:
            return Asked(f"default: {key}", change)
        return Asked(self._place(key, index), change)

    def _place(self, key: str, index: int | None) -> str:
        """FILE:LINE of the value, or that the file leaves it to the default."""
        file = self._settings.config_file
        assert file is not None
        try:
            source = read(file).source
        except ConfigurationError:  # changed since it was read a moment ago
            return file
        if (key,) not in source.values:
            return f"default: {key} (not in {file})"
        return source.place((key,) if index is None else (key, index))


def _show(address: object) -> str:
    if isinstance(address, tuple):
        host, port = address[0], address[1]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return f"unix:{address}"
