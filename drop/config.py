"""The node's settings: file, environment, command line and defaults made into one frozen value.

Later wins: default, file, environment (`DROP_LISTEN`, `DROP_LIMITS_PAYLOAD_MAX`, ...), command
line. Every fault of all of them is reported at once, each with its place. A node never listens
beyond the loopback interface without a token; that is decided here, before a socket exists.

The client library does not need this file.
"""

from __future__ import annotations

import os
import pwd
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

from drop.config_model import (
    A_NODE_NAME,
    NODE_NAME,
    Discovery,
    Endpoint,
    Images,
    Limits,
    Logs,
    NodeFile,
    Tuning,
    keys,
)
from drop.document import plain_scalar, read
from drop.errors import ConfigurationError
from drop.private import PrivateFault, read_private
from drop.problems import ConfigurationErrors, Path, Source, similar
from drop.validation import collect

TOKEN_BYTES_MIN, TOKEN_BYTES_MAX = 16, 1024  # HELLO carries it, and HELLO has at most 4 KiB
SOCKET_PATH_BYTES_MAX = 107  # sun_path of sockaddr_un, without its NUL
SERVICE_USER = "drop-core"

_VARIABLES: Mapping[str, Path] = {f"DROP_{'_'.join(key).upper()}": key for key in keys()}
_VARIABLES_OF_OTHERS = frozenset(
    {
        *("DROP_ADDRESS", "DROP_TOKEN"),  # the client's
        *("DROP_NODE", "DROP_FLOW", "DROP_POOL", "DROP_WORKER"),  # what a worker is given
        *("DROP_CONFIG", "DROP_IFACE"),  # the launcher's, the cluster's
    }
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the node needs to know before it starts; all paths are absolute."""

    name: str
    listen: tuple[Endpoint, ...]
    unix_socket: str
    var_dir: str
    flow_dir: str
    log_dir: str
    grace_ms: int
    gather: bool
    limits: Limits
    logs: Logs
    images: Images
    worker_user: str | None
    """The user of workers whose function names none; None: by default. For a node of root."""
    key_file: str
    """What nodes know each other by; it need not exist: then the node is on its own."""
    hosts_file: str
    """The addresses to send beacons to, instead of multicast; only if it exists."""
    discovery: Discovery
    tuning: Tuning
    config_file: str | None  # the one that was read
    token: bytes = field(default=b"", repr=False)
    warnings: tuple[ConfigurationError, ...] = ()


@dataclass(frozen=True, slots=True)
class Defaults:
    """Where a node keeps its things when nobody says otherwise."""

    config_file: str
    var_dir: str
    run_dir: str | None  # None: the socket is in var_dir


def defaults(environ: Mapping[str, str], uid: int) -> Defaults:
    """Those of the system service for root and `drop-core`, else the user's XDG directories."""
    try:
        account = pwd.getpwuid(uid)
    except KeyError:  # a container may run under a uid without an account
        account = None
    if uid == 0 or (account and account.pw_name == SERVICE_USER):
        return Defaults("/etc/drop/drop.yaml", "/var/lib/drop", "/run/drop")
    home = environ.get("HOME") or (account.pw_dir if account else "/")

    def directory(variable: str, fallback: str) -> str:
        value = environ.get(variable, "")
        return value if value.startswith("/") else os.path.join(home, fallback)

    runtime = environ.get("XDG_RUNTIME_DIR", "")
    return Defaults(
        os.path.join(directory("XDG_CONFIG_HOME", ".config"), "drop/drop.yaml"),
        os.path.join(directory("XDG_STATE_HOME", ".local/state"), "drop"),
        os.path.join(runtime, "drop") if runtime.startswith("/") else None,
    )


def load_settings(
    *,
    config: str | None = None,
    var_dir: str | None = None,
    environ: Mapping[str, str] | None = None,
    uid: int | None = None,
    host_name: str | None = None,
) -> Settings:
    """The settings of a node that is started like this; raises ConfigurationError.

    `config` and `var_dir` are the command line's; the rest is the process's own unless given.
    """
    environ = os.environ if environ is None else environ
    places = defaults(environ, os.geteuid() if uid is None else uid)
    reading = _Reading(environ, places)
    reading.file(config or environ.get("DROP_CONFIG"))
    reading.environment()
    reading.raise_errors()
    return _settings(reading, var_dir, host_name or socket.gethostname())


class _Reading:
    """The values of file and environment laid over each other, and where each came from."""

    def __init__(self, environ: Mapping[str, str], places: Defaults) -> None:
        self.environ = environ
        self.places = places
        self.errors: list[ConfigurationError] = []
        self.warnings: list[ConfigurationError] = []
        self.config_file: str | None = None
        self.source: Source | None = None
        self.model = NodeFile()
        self.from_environment: dict[Path, str] = {}
        self.values: dict[str, object] = {}

    def file(self, explicit: str | None) -> None:
        """Read the named file, or the default one if there is one."""
        path = os.path.abspath(explicit or self.places.config_file)
        if not explicit and not os.path.lexists(path):
            return
        document = read(path)
        self.config_file, self.source = path, document.source
        # A file in which everything is commented out is an empty mapping.
        value = {} if document.value is None else document.value
        _, errors = collect(NodeFile, value, document.source)
        self.errors += errors
        if isinstance(value, dict):
            self.values = value

    def environment(self) -> None:
        values: dict[str, object] = {}
        for name, text in self.environ.items():
            if not name.startswith("DROP_") or name in _VARIABLES_OF_OTHERS or not text:
                continue
            if name in _VARIABLES:
                self.from_environment[_VARIABLES[name]] = name
                _put(values, _VARIABLES[name], _environment_value(name, text))
            elif hint := similar(name, _VARIABLES):
                message = f"unknown variable{hint}"
                self.warnings.append(ConfigurationError(message, file="environment", key=name))
        _, errors = collect(NodeFile, values, Source("environment", {}, {}))
        self.errors += [self._in_environment(error) for error in errors]
        for path in self.from_environment:
            _put(self.values, path, _get(values, path))

    def _in_environment(self, error: ConfigurationError) -> ConfigurationError:
        base = error.key.split("[")[0]
        name = "DROP_" + base.replace(".", "_").upper()
        return ConfigurationError(
            error.message, file="environment", key=name, expected=error.expected
        )

    def raise_errors(self) -> None:
        """Else make the model of what is laid together: without faults if the parts have none."""
        if self.errors:
            raise ConfigurationErrors(self.errors)
        self.model = NodeFile.model_validate(self.values)

    def error(self, path: Path, message: str, expected: str) -> ConfigurationError:
        """A fault in the value of a key, wherever that came from."""
        base = path[:-1] if isinstance(path[-1], int) else path
        if name := self.from_environment.get(base):
            return ConfigurationError(message, file="environment", key=name, expected=expected)
        if self.source and base in self.source.values:
            return self.source.error(path, message, expected)
        return ConfigurationError(
            message, file="default", key=".".join(map(str, base)), expected=expected
        )

    def path(self, key: str) -> str | None:
        """The absolute path that a key names: in a file, relative to the file."""
        value: str | None = getattr(self.model, key)
        if value is None:
            return None
        if (key,) not in self.from_environment and self.config_file:
            value = os.path.join(os.path.dirname(self.config_file), value)
        return os.path.abspath(value)


def _environment_value(name: str, text: str) -> object:
    if name == "DROP_LISTEN":
        return [each.strip() for each in text.split(",")]
    return plain_scalar(text)


def _put(values: dict[str, object], path: Path, value: object) -> None:
    for step in path[:-1]:
        inner = values.get(str(step))
        values[str(step)] = values = dict(inner) if isinstance(inner, dict) else {}
    values[str(path[-1])] = value


def _get(values: Mapping[str, object], path: Path) -> object:
    value: object = values
    for step in path:
        assert isinstance(value, Mapping)
        value = value[step]
    return value


def _settings(reading: _Reading, var_dir: str | None, host_name: str) -> Settings:
    model = reading.model
    var = os.path.abspath(var_dir or reading.path("var_dir") or reading.places.var_dir)
    own_directory = var_dir is not None or ("var_dir",) in reading.from_environment
    run = var if own_directory else reading.places.run_dir or var
    token = _token(reading)
    unix_socket = reading.path("unix_socket") or os.path.join(run, "drop.sock")
    _check_socket_path(reading, unix_socket)
    _check_listen(reading, token)
    _check_memory(reading)
    _check_discovery(reading)
    name = model.name or _drop_id(reading, var) or re.sub(r"[^A-Za-z0-9_.-]", "-", host_name)[:64]
    reading.raise_errors()
    return Settings(
        name=name,
        listen=model.listen,
        unix_socket=unix_socket,
        var_dir=var,
        flow_dir=reading.path("flow_dir") or os.path.join(var, "flows"),
        log_dir=reading.path("log_dir") or os.path.join(var, "logs"),
        grace_ms=model.grace_ms,
        gather=model.gather,
        limits=model.limits,
        logs=model.logs,
        images=model.images,
        worker_user=model.worker_user,
        key_file=reading.path("key_file") or os.path.join(var, "key"),
        hosts_file=reading.path("hosts_file") or os.path.join(var, "drop-hosts"),
        discovery=model.discovery,
        tuning=model.tuning,
        config_file=reading.config_file,
        token=token,
        warnings=tuple(reading.warnings),
    )


def _check_socket_path(reading: _Reading, path: str) -> None:
    length = len(os.fsencode(path))
    if length > SOCKET_PATH_BYTES_MAX:
        message = f"the path of the Unix socket has {length} bytes ({path})"
        expected = f"at most {SOCKET_PATH_BYTES_MAX}, the kernel's limit: set unix_socket"
        reading.errors.append(reading.error(("unix_socket",), message, expected))


def _check_listen(reading: _Reading, token: bytes) -> None:
    if token or reading.model.token_file:  # a token file that is wrong has its own error
        return
    for index, each in enumerate(reading.model.listen):
        if not each.is_loopback:
            message = f"{each} can be reached from the network, and the node has no token"
            expected = "a token_file, or an address of the loopback interface (127.0.0.1, ::1)"
            reading.errors.append(reading.error(("listen", index), message, expected))


def _check_memory(reading: _Reading) -> None:
    limits = reading.model.limits
    if limits.memory_max < 2 * limits.payload_max:
        message = f"found {limits.memory_max}, with a payload_max of {limits.payload_max}"
        expected = "at least twice payload_max: a message and its answer"
        reading.errors.append(reading.error(("limits", "memory_max"), message, expected))


def _check_discovery(reading: _Reading) -> None:
    """Each threshold leaves room for at least two beacons to be lost."""
    found = reading.model.discovery
    for key, floor, other in (
        ("suspect_ms", 3 * found.interval_ms, "three times interval_ms"),
        ("dead_ms", found.suspect_ms + 2 * found.interval_ms, "suspect_ms and two intervals"),
    ):
        value = getattr(found, key)
        if value < floor:
            message, expected = f"found {value}", f"at least {other}: {floor}"
            reading.errors.append(reading.error(("discovery", key), message, expected))


def _token(reading: _Reading) -> bytes:
    path = reading.path("token_file")
    if path is None:
        return b""
    try:
        return _read_token(path)
    except PrivateFault as fault:
        reading.errors.append(reading.error(("token_file",), f"{path} {fault}", fault.expected))
        return b""


def _read_token(path: str) -> bytes:
    """The first line of a file that nobody else can read; a shared secret is none."""
    token = read_private(path, TOKEN_BYTES_MAX + 2, "the token").rstrip(b"\r\n")
    if not TOKEN_BYTES_MIN <= len(token) <= TOKEN_BYTES_MAX:
        size = f"more than {TOKEN_BYTES_MAX}" if len(token) > TOKEN_BYTES_MAX else str(len(token))
        expected = f"{TOKEN_BYTES_MIN} to {TOKEN_BYTES_MAX} bytes in one line"
        raise PrivateFault(f"holds {size} bytes", expected)
    if b"\n" in token:
        raise PrivateFault("holds several lines", "the token alone")
    return token


def _drop_id(reading: _Reading, var: str) -> str | None:
    """The name that the original's file `drop-id` gives to this node."""
    path = os.path.join(var, "drop-id")
    try:
        with open(path, "rb") as stream:
            text = stream.read(256).decode("utf-8", "replace").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        reading.errors.append(
            ConfigurationError(f"cannot be read: {error.strerror}", file=path, expected=A_NODE_NAME)
        )
        return None
    if not re.match(NODE_NAME, text):
        reading.errors.append(
            ConfigurationError(
                f"found {text[:60]!r}", file=path, line=1, column=1, expected=A_NODE_NAME
            )
        )
    return text
