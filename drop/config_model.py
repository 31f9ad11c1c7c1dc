"""What the node's configuration file may say: models, and the forms of sizes and addresses. Pure.

`drop.config` reads it, adds the environment and the defaults, and makes `Settings` of it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from drop.problems import found
from drop.validation import Expected, Section, Text, wrong

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
MINUTE_MS = 60_000

LISTEN_MAX = 16  # addresses; a machine with more interfaces listens on 0.0.0.0
PATH_MAX = 4096
NODE_NAME = r"^[A-Za-z0-9_.-]{1,64}$"
A_NODE_NAME = "a node's name: 1 to 64 of A-Z a-z 0-9 _ - ."

_SIZE = re.compile(r"([0-9]{1,18}) ?(B|KiB|MiB|GiB)?\Z")
_UNITS = {None: 1, "B": 1, "KiB": KIB, "MiB": MIB, "GiB": GIB}
_ENDPOINT = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:\[\]]+)):(?P<port>[0-9]{1,5})\Z")
_A_GROUP = "a multicast address such as 239.255.80.86"
_A_GROUP6 = "a multicast address such as ff12::80:86"
_AN_ENDPOINT = "ADDRESS:PORT, such as 127.0.0.1:8085 or '[::1]:8085'"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address to listen on. Port 0 lets the kernel choose."""

    host: str  # an IPv4 or IPv6 address in numbers
    port: int

    @property
    def is_loopback(self) -> bool:
        return ipaddress.ip_address(self.host).is_loopback

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def endpoint(text: str) -> Endpoint:
    """Names other than localhost are refused: what one resolves to can change under the node."""
    match = _ENDPOINT.match(text)
    if not match or int(match["port"]) > 65535:
        raise wrong(found(text), _AN_ENDPOINT)
    host = match["v6"] or match["host"]
    if host == "localhost":
        host = "127.0.0.1"
    try:
        address = ipaddress.ip_address(host)
    except ValueError as error:
        raise wrong(f"{found(text)}: {host!r} is not an IP address", _AN_ENDPOINT) from error
    if (address.version == 6) != bool(match["v6"]):
        raise wrong(found(text), _AN_ENDPOINT)
    return Endpoint(host, int(match["port"]))


def _endpoint(value: object) -> Endpoint:
    if not isinstance(value, str):
        raise wrong(found(value), _AN_ENDPOINT)
    return endpoint(value)


def _bytes(value: object) -> object:
    """A number of bytes, or a text such as `16 MiB`."""
    match = _SIZE.match(value) if isinstance(value, str) else None
    return int(match[1]) * _UNITS[match[2]] if match else value


def _show(size: int) -> str:
    for unit, text in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size % unit == 0:
            return f"{size // unit} {text}"
    return str(size)


def _size(low: int, high: int) -> tuple[object, ...]:
    words = f"bytes from {_show(low)} to {_show(high)}, as a number or with KiB, MiB or GiB"
    schema = {"type": ["integer", "string"]}
    return Field(ge=low, le=high), Expected(words), WithJsonSchema(schema)


def _count(low: int, high: int) -> tuple[object, ...]:
    return Field(ge=low, le=high), Expected(f"a whole number from {low} to {high}")


def _group(version: int) -> Callable[[object], object]:
    """The check of a multicast group of this version of IP."""
    expected = _A_GROUP if version == 4 else _A_GROUP6

    def check(value: object) -> object:
        if not isinstance(value, str):
            raise wrong(found(value), expected)
        try:
            address = ipaddress.ip_address(value)
        except ValueError as error:
            raise wrong(found(value), expected) from error
        if address.version != version or not address.is_multicast:
            raise wrong(f"{found(value)}: not a multicast address of IPv{version}", expected)
        return str(address)

    return check


class Limits(Section):
    """Bounds of the dataplane; docs/protocol.md section 5 says what happens at each."""

    payload_max: Annotated[int, BeforeValidator(_bytes), *_size(KIB, GIB)] = 64 * MIB
    connections_max: Annotated[int, *_count(1, 1_000_000)] = 16_384
    calls_max: Annotated[int, *_count(1, 1_048_576)] = 65_536
    slow_client_ms: Annotated[int, *_count(100, 10 * MINUTE_MS)] = 10_000
    memory_max: Annotated[int, BeforeValidator(_bytes), *_size(16 * MIB, 1024 * GIB)] = GIB


class Logs(Section):
    """The files of what workers write to stderr: how large and old one gets, how many a pool keeps,
    how many lines a second of one worker are kept. 0: no such limit."""

    file_bytes_max: Annotated[int, BeforeValidator(_bytes), *_size(64 * KIB, 64 * GIB)] = 8 * MIB
    files: Annotated[int, *_count(1, 100)] = 5
    age_hours: Annotated[int, *_count(0, 24 * 366)] = 0
    rate_lines: Annotated[int, *_count(0, 10_000_000)] = 10_000


class Images(Section):
    """What runs container images."""

    engine: Annotated[Literal["auto", "podman", "docker"], Expected("auto, podman or docker")] = (
        "auto"
    )


class Tuning(Section):
    """What the machine is tuned for, by `drop tune` and in the options of the node's sockets."""

    profile: Annotated[
        Literal["throughput", "latency", "edge"], Expected("throughput, latency or edge")
    ] = "throughput"


class Discovery(Section):
    """How nodes find each other; docs/discovery.md says what each figure means for an operator."""

    enabled: Annotated[bool, Expected("true or false")] = True
    port: Annotated[int, *_count(1, 65_535)] = 8086
    group: Annotated[str, BeforeValidator(_group(4)), Expected(_A_GROUP)] = "239.255.80.86"
    group6: Annotated[str, BeforeValidator(_group(6)), Expected(_A_GROUP6)] = "ff12::80:86"
    ttl: Annotated[int, *_count(0, 255)] = 1
    interval_ms: Annotated[int, *_count(50, MINUTE_MS)] = 500
    suspect_ms: Annotated[int, *_count(100, 10 * MINUTE_MS)] = 2000
    dead_ms: Annotated[int, *_count(200, 60 * MINUTE_MS)] = 4000


_PathText = Annotated[Text, Field(min_length=1, max_length=PATH_MAX, pattern=r"^[^\x00]*$")]
_Listen = Annotated[
    tuple[Annotated[Endpoint, BeforeValidator(_endpoint)], ...],
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
    Field(strict=False, max_length=LISTEN_MAX),
    Expected(f"a list of at most {LISTEN_MAX} addresses", item=_AN_ENDPOINT),
]


class NodeFile(Section):
    """A whole configuration file. Paths are relative to it; None stands for "by default"."""

    name: Annotated[Text | None, Field(pattern=NODE_NAME), Expected(A_NODE_NAME)] = None
    listen: _Listen = (Endpoint("127.0.0.1", 8085),)
    unix_socket: Annotated[_PathText | None, Expected("a path")] = None
    token_file: Annotated[_PathText | None, Expected("a path")] = None
    var_dir: Annotated[_PathText | None, Expected("a directory")] = None
    flow_dir: Annotated[_PathText | None, Expected("a directory")] = None
    log_dir: Annotated[_PathText | None, Expected("a directory")] = None
    grace_ms: Annotated[int, *_count(0, 60 * MINUTE_MS)] = 10_000
    worker_user: Annotated[Text | None, Field(min_length=1), Expected("a user's name")] = None
    gather: Annotated[bool, Expected("true or false")] = True
    limits: Annotated[Limits, Expected("a mapping")] = Limits()
    logs: Annotated[Logs, Expected("a mapping")] = Logs()
    images: Annotated[Images, Expected("a mapping")] = Images()
    key_file: Annotated[_PathText | None, Expected("a path")] = None
    hosts_file: Annotated[_PathText | None, Expected("a path")] = None
    discovery: Annotated[Discovery, Expected("a mapping")] = Discovery()
    tuning: Annotated[Tuning, Expected("a mapping")] = Tuning()


def keys() -> Iterator[tuple[str, ...]]:
    """Every key that holds a value: ("name",), ..., ("limits", "payload_max"), ..."""
    for name, field in NodeFile.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Section):
            yield from ((name, each) for each in inner.model_fields)
        else:
            yield (name,)
