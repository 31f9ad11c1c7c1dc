"""The packets of discovery, written to be obviously correct: slow, complete, without a trick.

Tests hold the native codec to it, and simulations speak with it; nothing at run time uses it. The
format is in docs/beacons.md.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address, ip_address

MAGIC = b"DRPB"
VERSION = 1
SOLICIT = 1
FIXED = 80
TAG = 16
LENGTH_MIN = FIXED + 1 + TAG
LENGTH_MAX = 376
KEY = 32
NAME = re.compile(rb"[A-Za-z0-9_.-]{1,64}")
NAMESPACE = re.compile(rb"[!-~]{0,64}")
SOFTWARE = re.compile(rb"[!-~]{0,16}")
ADDRESSES_MAX = 8
NOBODY = bytes(16)
_HEAD = struct.Struct(">4sBBH4sHH16sQQQQHHIIBBBB")


class Type(IntEnum):
    BEACON = 1
    PROBE = 2
    LEAVE = 3


class Dropped(Exception):
    """A packet is not accepted; `reason` is the name of its counter."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Beacon:
    """What a packet says; `type` is given apart to encode() where it is no beacon."""

    node_id: bytes
    incarnation: int
    session: int
    sequence: int
    name: str = "node"
    namespace: str = ""
    version: str = ""
    port: int = 0
    addresses: tuple[str, ...] = ()
    type: Type = Type.BEACON
    flags: int = 0
    nonce: int = 0
    load: int = 0
    cpus: int = 0
    workers: int = 0
    memory_mib: int = 0

    def next(self, **changed: object) -> Beacon:
        """The next packet of the same life, or another with what is changed."""
        fields = {"sequence": self.sequence + 1, **changed}
        return replace(self, **fields)  # type: ignore[arg-type]


def key_id(key: bytes) -> bytes:
    """The four bytes by which a packet names the key that signed it."""
    return hashlib.blake2s(key, person=b"DROP key").digest()[:4]


def tag(data: bytes, key: bytes) -> bytes:
    """The signature of a packet's bytes before the tag."""
    return hashlib.blake2s(data, key=key, digest_size=TAG).digest()


def _packed(text: str) -> bytes:
    address = ip_address(text)
    return bytes([address.version]) + address.packed


def encode(beacon: Beacon, key: bytes) -> bytes:
    """The packet with its tag."""
    names = [part.encode("ascii") for part in (beacon.name, beacon.namespace, beacon.version)]
    text = b"".join([*names, *map(_packed, beacon.addresses)])
    head = _HEAD.pack(
        MAGIC,
        VERSION,
        beacon.type,
        FIXED + len(text) + TAG,
        key_id(key),
        beacon.flags,
        beacon.port,
        beacon.node_id,
        beacon.incarnation,
        beacon.session,
        beacon.sequence,
        beacon.nonce,
        beacon.load,
        beacon.cpus,
        beacon.workers,
        beacon.memory_mib,
        *map(len, names),
        len(beacon.addresses),
    )
    return head + text + tag(head + text, key)


def decode(data: bytes, keys: Sequence[bytes]) -> Beacon:
    """Reads and verifies a packet; raises Dropped."""
    key = _look(data, keys)
    beacon = _fields(data[:-TAG])
    if not hmac.compare_digest(tag(data[:-TAG], key), data[-TAG:]):
        raise Dropped("forged")
    return beacon


def _look(data: bytes, keys: Sequence[bytes]) -> bytes:
    """The key of a packet whose header is right."""
    if len(data) < 12:
        raise Dropped("truncated")
    if len(data) > LENGTH_MAX:
        raise Dropped("oversized")
    if data[:4] != MAGIC:
        raise Dropped("magic")
    if data[4] != VERSION:
        raise Dropped("version")
    said = int.from_bytes(data[6:8], "big")
    if len(data) < said or len(data) < LENGTH_MIN:
        raise Dropped("truncated")
    if len(data) > said:
        raise Dropped("oversized")
    for key in keys:
        if key_id(key) == data[8:12]:
            return key
    raise Dropped("foreign")


def _fields(data: bytes) -> Beacon:
    unpacked = _HEAD.unpack_from(data)
    kind, flags, port, node_id = unpacked[2], *unpacked[5:8]
    incarnation, session, sequence, nonce, load, cpus, workers, memory = unpacked[8:16]
    sizes, count = unpacked[16:19], unpacked[19]
    names, at = [], FIXED
    for size, allowed in zip(sizes, (NAME, NAMESPACE, SOFTWARE), strict=True):
        names.append(data[at : at + size])
        at += size
        if at > len(data) or not allowed.fullmatch(names[-1]):
            raise Dropped("malformed")
    addresses = _addresses(data[at:], count)
    right = (
        kind in tuple(Type)
        and flags & ~SOLICIT == 0
        and node_id != NOBODY
        and incarnation != 0
        and sequence != 0
        and not (kind == Type.PROBE and nonce == 0)
        and not (kind == Type.LEAVE and nonce != 0)
    )
    if not right:
        raise Dropped("malformed")
    name, namespace, version = (part.decode("ascii") for part in names)
    return Beacon(
        node_id=node_id,
        incarnation=incarnation,
        session=session,
        sequence=sequence,
        name=name,
        namespace=namespace,
        version=version,
        port=port,
        addresses=addresses,
        type=Type(kind),
        flags=flags,
        nonce=nonce,
        load=load,
        cpus=cpus,
        workers=workers,
        memory_mib=memory,
    )


def _addresses(data: bytes, count: int) -> tuple[str, ...]:
    """As many addresses as are said, and nothing behind them."""
    addresses: list[str] = []
    if count > ADDRESSES_MAX:
        raise Dropped("malformed")
    for _ in range(count):
        size = {4: 4, 6: 16}.get(data[0] if data else 0, 0)
        packed = data[1 : 1 + size]
        if size == 0 or len(packed) < size:
            raise Dropped("malformed")
        addresses.append(str(IPv4Address(packed) if size == 4 else IPv6Address(packed)))
        data = data[1 + size :]
    if data:
        raise Dropped("malformed")
    return tuple(addresses)
