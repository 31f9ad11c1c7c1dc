"""The keys that nodes know each other by: a file with one, or with two while they are exchanged.

    drop-key-1 PLxmqWxNBJkTlLCFkl7yYj2bOP+LpGNx3Wv0iz3mW2k=     signs, and is accepted
    drop-key-1 Hr5wTHLUtZRxmyvZC6jHBTVhPnBtmLRx6DcTWV9OvZ8=     is accepted

To exchange a key without an interruption: install the new one on every node (all accept it), then
rotate on every node (all sign with it), then finish (nobody accepts the old one). A key is never
shown, only its fingerprint: the key id that packets carry.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Sequence
from enum import StrEnum

from drop.errors import ConfigurationError
from drop.private import PrivateFault, locked_directory, read_private, write_private

KEY_BYTES = 32
KEYS_MAX = 2
FORMAT = "drop-key-1"
FILE_BYTES_MAX = 4096  # two lines have 112 bytes; the rest is comments

_A_LINE = f"`{FORMAT}` and 32 bytes in base64, as `drop key generate` writes it"


class Installed(StrEnum):
    """What installing a key came to."""

    FIRST = "first"  # there was none: it signs
    ADDED = "added"  # beside the one that signs: it is accepted
    SAME = "same"  # it was there


def generate() -> bytes:
    """A new key, from the kernel."""
    return os.urandom(KEY_BYTES)


def fingerprint(key: bytes) -> str:
    """What people may see of a key: its id on the wire, 8 hex digits."""
    return hashlib.blake2s(key, person=b"DROP key").digest()[:4].hex()


def dump(keys: Sequence[bytes]) -> bytes:
    """The content of a key file."""
    return b"".join(b"%s %s\n" % (FORMAT.encode(), base64.b64encode(key)) for key in keys)


def parse(data: bytes, file: str) -> tuple[bytes, ...]:
    """The one or two keys in the content of a key file. Raises ConfigurationError."""
    if len(data) > FILE_BYTES_MAX:
        raise ConfigurationError(f"holds more than {FILE_BYTES_MAX} bytes", file=file)
    keys: list[bytes] = []
    for number, line in enumerate(data.splitlines(), 1):
        if not (words := line.split()) or words[0].startswith(b"#"):
            continue
        key = _key(words)
        if key is None:
            raise ConfigurationError("is no key", file=file, line=number, expected=_A_LINE)
        if any(fingerprint(key) == fingerprint(other) for other in keys):
            raise ConfigurationError("is the key of an earlier line", file=file, line=number)
        if len(keys) == KEYS_MAX:
            raise ConfigurationError(
                "is one key too many", file=file, line=number, expected=f"at most {KEYS_MAX}"
            )
        keys.append(key)
    if not keys:
        raise ConfigurationError("holds no key", file=file, expected=_A_LINE)
    return tuple(keys)


def load(path: str) -> tuple[bytes, ...]:
    """The keys of a node: the first signs, all are accepted. Raises ConfigurationError, also when
    others can read the file: then it holds no secret."""
    try:
        data = read_private(path, FILE_BYTES_MAX + 1, "a key")
    except PrivateFault as fault:
        raise ConfigurationError(str(fault), file=path, expected=fault.expected) from fault
    return parse(data, path)


def write_new(path: str, key: bytes) -> None:
    """A file with this key, where none is. Raises ConfigurationError."""
    with locked_directory(path) as directory:
        try:
            write_private(directory, path, dump([key]), replace=False)
        except FileExistsError:
            raise ConfigurationError(
                "is there already, and is left as it is",
                file=path,
                expected="no such file; `drop key install` adds a key, `drop key rotate` uses it",
            ) from None


def install(path: str, key: bytes) -> Installed:
    """Accept a key from now on; where there was none, sign with it. Raises ConfigurationError."""
    with locked_directory(path) as directory:
        keys = load(path) if os.path.lexists(path) else ()
        if any(hmac.compare_digest(key, known) for known in keys):
            return Installed.SAME
        if len(keys) == KEYS_MAX:
            raise ConfigurationError(
                f"holds two keys already: {' and '.join(map(fingerprint, keys))}",
                file=path,
                expected="one: end the exchange with `drop key rotate --finish`, then install",
            )
        write_private(directory, path, dump([*keys, key]), replace=True)
    return Installed.ADDED if keys else Installed.FIRST


def rotate(path: str) -> tuple[bytes, ...]:
    """Sign with the second key and go on accepting the first; returns both in their new order.
    Raises ConfigurationError."""
    with locked_directory(path) as directory:
        keys = load(path)
        if len(keys) < KEYS_MAX:
            raise ConfigurationError(
                f"holds one key only: {fingerprint(keys[0])}",
                file=path,
                expected="a second one to sign with: `drop key install FILE` on every node first",
            )
        keys = (keys[1], keys[0])
        write_private(directory, path, dump(keys), replace=True)
    return keys


def finish(path: str) -> bytes | None:
    """Accept only the key that signs; returns the one that was dropped, None when there was none.
    Raises ConfigurationError."""
    with locked_directory(path) as directory:
        keys = load(path)
        if len(keys) < KEYS_MAX:
            return None
        write_private(directory, path, dump(keys[:1]), replace=True)
    return keys[1]


def _key(words: list[bytes]) -> bytes | None:
    if len(words) != 2 or words[0] != FORMAT.encode():
        return None
    try:
        key = base64.b64decode(words[1], validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) == KEY_BYTES else None
