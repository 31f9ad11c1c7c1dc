r"""The hosts file: to whom beacons go where multicast does not get through. Pure.

Names and addresses, one a line or many, `#` begins a comment. A port may stand behind one:
`node-7:8086`, `[fe80::1]:8086`. What is wrong is told with its line, and the rest is used. Files
written by `echo '192.168.50.4\n 192.168.50.5'` hold a backslash and an n where a new line was
meant (it depends on the shell), so that is understood as one.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass

from drop.errors import ConfigurationError

HOSTS_MAX = 1024
"""Each gets a beacon twice a second."""
FAULTS_MAX = 100  # a file that has more is not a file of this kind
HOST_CHARACTERS_MAX = 253  # of a name, RFC 1035
SHOWN_MAX = 60  # characters of a wrong entry that a message repeats

_EXPECTED = "a name or an address, with a port or without: node-7, 192.168.50.4:8086, [fe80::1]"
_SEPARATED = re.compile(r"[\s,;]+")
_WRITTEN = re.compile(r"\\[rnt]")  # what a shell left undone
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\Z")
_NUMERIC = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9a-fA-F]*)\Z")
_BRACKETED = re.compile(r"\[(?P<host>[^\[\]]*)\](?::(?P<port>.*))?\Z")
_PORT = re.compile(r"[0-9]{1,5}\Z")


@dataclass(frozen=True, slots=True)
class HostEntry:
    line: int
    host: str
    """A name in small letters, or an address in numbers (an IPv6 address may have %SCOPE)."""
    port: int | None


@dataclass(frozen=True, slots=True)
class Hosts:
    entries: tuple[HostEntry, ...]
    faults: tuple[ConfigurationError, ...]


def parse(text: str, file: str = "drop-hosts") -> Hosts:
    """Whatever the text is, there is an answer."""
    entries: dict[tuple[str, int | None], HostEntry] = {}
    faults: list[ConfigurationError] = []
    for line, word in _words(text):
        try:
            if len(entries) == HOSTS_MAX:
                raise _Fault("is one host too many", f"at most {HOSTS_MAX}; it and the rest wait")
            host, port = _entry(word)
            if earlier := entries.get((host, port)):
                raise _Fault(f"stands in line {earlier.line} already", "each host once")
            entries[host, port] = HostEntry(line, host, port)
        except _Fault as fault:
            faults.append(fault.at(file, line, word))
            if len(entries) == HOSTS_MAX or len(faults) == FAULTS_MAX:
                break
    return Hosts(tuple(entries.values()), tuple(faults))


class _Fault(Exception):
    def __init__(self, message: str, expected: str = _EXPECTED) -> None:
        super().__init__(message)
        self.message = message
        self.expected = expected

    def at(self, file: str, line: int, word: str) -> ConfigurationError:
        shown = word if len(word) <= SHOWN_MAX else word[:SHOWN_MAX] + "..."
        return ConfigurationError(
            f"{shown!r} {self.message}", file=file, line=line, expected=self.expected
        )


def _words(text: str) -> Iterator[tuple[int, str]]:
    """(line, word) of all that is no comment."""
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for number, line in enumerate(lines, 1):
        # Before comments are cut off: a `\n` behind one begins a line.
        for part in _WRITTEN.split(line):
            for word in _SEPARATED.split(part.partition("#")[0]):
                if word:
                    yield number, word


def _entry(word: str) -> tuple[str, int | None]:
    if "\0" in word:
        raise _Fault("holds a NUL byte", f"a text: {_EXPECTED}")
    if "/" in word:
        address = word.partition("/")[0]
        raise _Fault("is a network", f"each node's own address, such as {address[:SHOWN_MAX]}")
    if bracketed := _BRACKETED.match(word):
        port = bracketed["port"]
        return _address6(bracketed["host"]), None if port is None else _port(port)
    if word.count(":") > 1:
        return _address6(word), None
    host, colon, port = word.partition(":")
    return _address(host) or _name(host), _port(port) if colon else None


def _address6(text: str) -> str:
    address = _address(text)
    if address is None or ":" not in text:
        raise _Fault("is no IPv6 address", f"{_EXPECTED}; with a port: [fe80::1]:8086")
    return address


def _address(text: str) -> str | None:
    """As it is written shortest, so that one address is one entry; None: it is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if address.is_multicast or address.is_unspecified or str(address) == "255.255.255.255":
        raise _Fault("is no address of a node", "the address of one node")
    return str(address)


def _name(text: str) -> str:
    name = text.removesuffix(".").lower()
    if len(name) > HOST_CHARACTERS_MAX or not _NAME.match(name):
        raise _Fault("is neither a name nor an address")
    if _NUMERIC.match(name):
        raise _Fault("is no IPv4 address", "four numbers from 0 to 255: 192.168.50.4")
    return name


def _port(text: str) -> int:
    if not _PORT.match(text) or not 1 <= int(text) <= 65_535:
        raise _Fault(f"has the port {text[:SHOWN_MAX]!r}", "a port from 1 to 65535")
    return int(text)
