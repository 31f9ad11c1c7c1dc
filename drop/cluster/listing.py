"""What `drop node list` gets: nodes as documents, and what became of the packets that came in."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import psutil

from drop import __version__
from drop.clock import Clock, time_text
from drop.cluster.membership import Member

Document = dict[str, Any]

DROP_REASONS = (
    *("truncated", "oversized", "magic", "version", "malformed"),
    *("foreign", "forged", "replayed", "stale", "full", "own"),
)
"""Why a packet that came in is dropped, as the native part counts them."""


Peer = Any
"""What the herald keeps of whom it hears: `drop._fast.herald.Peer`."""


def members(found: Iterable[Member], peers: Iterable[Peer], clock: Clock) -> list[Document]:
    """Those that the membership keeps, by name, with what their last beacons said."""
    heard = {peer.node_id: peer for peer in peers}
    return [
        _member(each, heard.get(each.facts.node_id), clock)
        for each in sorted(found, key=lambda member: (member.facts.name, member.facts.node_id))
    ]


def _member(member: Member, peer: Peer | None, clock: Clock) -> Document:
    facts = member.facts
    return {
        "id": facts.node_id.hex(),
        "name": facts.name,
        "namespace": facts.namespace or None,
        "state": str(member.state),
        "why": member.why,
        "since": time_text(clock.wall() - (clock.now() - member.since)),
        "addresses": list(facts.addresses),
        "port": facts.port or None,
        "version": facts.version,
        "incarnation": facts.incarnation,
        "source": peer.source if peer else None,
        "key": peer.key_id if peer else None,
        "load": peer.load / 100 if peer else None,
        "cpus": peer.cpus if peer else None,
        "workers": peer.workers if peer else None,
        "memory_mib": peer.memory_mib if peer else None,
        "silent_ms": peer.silent_ms if peer else None,
    }


def own(
    *, name: str, node_id: bytes, addresses: Sequence[str], port: int, workers: int
) -> Document:
    """The node that is asked."""
    cpus, load, memory_mib = figures()
    return {
        "id": node_id.hex(),
        "name": name,
        "namespace": None,
        "state": "self",
        "addresses": list(addresses),
        "port": port or None,
        "version": __version__,
        "load": load / 100,
        "cpus": cpus,
        "workers": workers,
        "memory_mib": memory_mib,
    }


def figures() -> tuple[int, int, int]:
    """CPUs, run queue per CPU times 100, MiB of memory that are available."""
    cpus = os.cpu_count() or 1
    return cpus, int(os.getloadavg()[0] / cpus * 100), psutil.virtual_memory().available >> 20


def unverified(peers: Iterable[Peer]) -> list[Document]:
    """Who has sent packets with our key and has not answered a question yet."""
    return [{"id": each.node_id.hex(), "name": each.name, "source": each.source} for each in peers]


def beacons(
    counted: Mapping[str, int],
    *,
    reason: str | None,
    warnings: Sequence[str],
    port: int,
    keys: Sequence[str],
) -> Document:
    """How beacons do; `reason` says why there are none, if there are none."""
    return {
        "reason": reason,
        "warnings": list(warnings),
        "port": port,
        "keys": list(keys),
        "dropped": {name: counted.get(name, 0) for name in DROP_REASONS},
        **{name: count for name, count in counted.items() if name not in DROP_REASONS},
    }
