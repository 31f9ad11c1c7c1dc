"""What is known of other nodes, and what the membership wants done about them: plain values. Pure.

Ids and sessions are as in the packets; times are seconds of a clock that only goes forward.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class MembershipError(Exception):
    """A wish that cannot be met; the text says why."""


class State(StrEnum):
    ALIVE = "alive"
    SUSPECT = "suspect"  # not heard for a while; it is asked
    DEAD = "dead"  # not heard for too long; nobody counts on it
    LEFT = "left"  # said goodbye


@dataclass(frozen=True, slots=True)
class Timing:
    suspect_ms: int
    dead_ms: int
    probe_ms: int = 250
    """Between two questions to one that is suspected."""
    keep_s: float = 86_400.0
    """How long those that are dead or have left are shown."""
    members_max: int = 4096
    """In all; for one more, the one that is gone for longest goes."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a node says of itself; the fields of the herald's `Peer` but the last, in its order."""

    node_id: bytes
    incarnation: int
    session: int
    name: str
    namespace: str
    version: str
    port: int
    addresses: tuple[str, ...]
    source: str
    key_id: str = ""
    load: int = 0
    cpus: int = 0
    workers: int = 0
    memory_mib: int = 0


@dataclass(frozen=True, slots=True)
class Member:
    """Replaced as a whole when something changes, so whoever was given one may keep it."""

    facts: Facts
    state: State
    since: float
    """When it came into this state."""
    why: str
    """What brought it there, for people."""
    incarnation: int
    flaps: int = 0
    """How often it was heard again after it had been suspected or dead."""
    heard_at: float | None = None
    """When it was last heard, while it is suspected or dead."""


@dataclass(frozen=True, slots=True)
class Changed:
    """To be told. `before` is None for a new node, `after` for one that is forgotten; with both
    the same, what the node says of itself has changed."""

    member: Member
    before: State | None
    after: State | None
    why: str


@dataclass(frozen=True, slots=True)
class Probe:
    """Ask this node whether it is there."""

    node_id: bytes


@dataclass(frozen=True, slots=True)
class Forget:
    """The herald need not keep this peer: when it is heard again, it is to prove itself anew and
    to be reported as heard."""

    node_id: bytes


@dataclass(frozen=True, slots=True)
class NewIdentity:
    """Two nodes have our id: we take another one."""


@dataclass(frozen=True, slots=True)
class RaiseIncarnation:
    """Two nodes had our id, and we keep it: others must not take us for the one before."""

    above: int


Action = Changed | Probe | Forget | NewIdentity | RaiseIncarnation
