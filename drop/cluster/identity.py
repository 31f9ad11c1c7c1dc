"""Who this node is: an id for good, and an incarnation that grows with every start.

Kept in VAR_DIR/node-id, written before it is used, so that no two starts have the same. The clock
is only a help (a node whose directory was lost does not begin at 1 again): one that jumps back does
not make the incarnation smaller. On a cloned machine, which /etc/machine-id shows, the id is made
anew; where it does not show, the two find out on the network and `renew` and `raise_above` follow.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass

from drop.errors import ConfigurationError
from drop.host.regular import read_regular
from drop.private import locked_directory, write_private

FILE = "node-id"
FILE_BYTES_MAX = 4096  # three short values
MACHINE_ID = "/etc/machine-id"
ID_BYTES = 16
INCARNATION_MAX = (1 << 64) - 1
INCARNATION_SANE_MAX = 1 << 63  # half of what there is, to go on from for ever

Report = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Identity:
    node_id: bytes
    incarnation: int
    machine: str = ""
    """A digest of the machine's id; empty: it has none. The id itself is not for others to know."""


class IdentityFile:
    """`identity` is who the node is, and what the file says: every change is on the disk when it
    is returned. One that cannot be written counts all the same, until the next start, and raises
    ConfigurationError: with an id that another node has, nothing works."""

    def __init__(self, path: str, identity: Identity) -> None:
        self.path = path
        self.identity = identity

    @classmethod
    def load_or_make(
        cls, var_dir: str, wall_ms: int, report: Report, *, machine_id: str = MACHINE_ID
    ) -> IdentityFile:
        """For a start at this time (milliseconds since 1970); `report(level, event, **fields)` is
        told why an id is new, if there was one. Raises ConfigurationError."""
        path = os.path.join(var_dir, FILE)
        machine = _machine(machine_id)
        old, why = _load(path)
        if old and old.machine and machine and old.machine != machine:
            why = "this machine is a copy of another one (its machine-id is another)"
        if why:
            report("warning", "node_id_new", file=path, text=f"{why}: the node has a new id")
        incarnation = max(old.incarnation + 1 if old else 1, wall_ms)
        node_id = old.node_id if old and not why else _new_id()
        found = cls(path, Identity(node_id, incarnation, machine or (old.machine if old else "")))
        found._write(found.identity)
        return found

    def renew(self) -> Identity:
        """Another id: two had this one. Raises ConfigurationError."""
        own = self.identity
        return self._write(Identity(_new_id(), own.incarnation + 1, own.machine))

    def raise_above(self, incarnation: int) -> Identity:
        """The same id, with an incarnation above this one and the own. Raises
        ConfigurationError."""
        own = self.identity
        if max(incarnation, own.incarnation) >= INCARNATION_MAX:
            return self.renew()
        return self._write(
            Identity(own.node_id, max(incarnation, own.incarnation) + 1, own.machine)
        )

    def _write(self, identity: Identity) -> Identity:
        self.identity = identity
        fields = {
            "id": identity.node_id.hex(),
            "incarnation": identity.incarnation,
            "machine": identity.machine,
        }
        with locked_directory(self.path) as directory:
            data = json.dumps(fields, indent=1).encode() + b"\n"
            write_private(directory, self.path, data, replace=True)
        return identity


def _load(path: str) -> tuple[Identity | None, str]:
    """What the file says, and what is wrong with it: a damaged one is like none, because a node
    has to start without anybody's help. Raises ConfigurationError when it cannot be read."""
    try:
        data = read_regular(path, FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        raise ConfigurationError(
            f"cannot be read: {error.strerror}",
            file=path,
            expected="a file of the node's user, as the node wrote it, or no such file",
        ) from error
    try:
        fields = json.loads(data)
        identity = Identity(
            bytes.fromhex(fields["id"]), int(fields["incarnation"]), str(fields["machine"])
        )
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError):
        return None, f"{path} is damaged"
    if len(identity.node_id) != ID_BYTES or not any(identity.node_id):
        return None, f"{path} is damaged"
    if not 0 < identity.incarnation < INCARNATION_SANE_MAX:
        return None, f"{path} is damaged"
    return identity, ""


def _machine(path: str) -> str:
    """A digest of the machine's id, as machine-id(5) asks for; empty where there is none, as in
    most containers."""
    try:
        with open(path, "rb") as stream:
            text = stream.read(256).strip()
    except OSError:
        return ""
    if not text or text == b"uninitialized":
        return ""
    return hashlib.blake2s(text, person=b"DROPhost", digest_size=16).hexdigest()


def _new_id() -> bytes:
    """Never all zero, which no node may have."""
    while not any(node_id := os.urandom(ID_BYTES)):
        pass
    return node_id
