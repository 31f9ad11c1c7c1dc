"""The operations on nodes: who is there, what changes, forget one, where this one is."""

from __future__ import annotations

import asyncio
import math
from typing import Any

from drop.cluster.membership import MembershipError
from drop.errors import ConfigurationError
from drop.node import Node
from drop.problems import similar

Document = dict[str, Any]

WATCH_SECONDS_MAX = 60.0
"""How long one question for changes is held."""
WATCHERS_MAX = 16
"""At a time: each keeps one of the control pool's places."""
HELD_SECONDS_MIN = 1.0
"""Before a question makes room for another: however many watch, they ask 16 times a second."""
ID_DIGITS_MIN = 4
"""Of an id that stands for the whole."""
SHOWN_MAX = 100
"""Characters of a wrong value, and ids to choose from, that a text repeats."""


class NodesError(Exception):
    """An operation on nodes that cannot be carried out."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


async def node_list(node: Node, request: Document) -> Document:
    """This node, and all that it has seen and not forgotten."""
    return node.discovery.document()


class Watchers:
    """Bounded: who watches waits, and so holds what others need. The node is not told that a client
    has gone, so whoever waits for longest makes room: if it is still there, it asks again."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._held: dict[asyncio.Future[None], float] = {}  # since when, the longest first

    async def node_watch(self, request: Document) -> Document:
        """What changed since `revision`; waits for something, up to `seconds`. Raises
        NodesError."""
        revision = int(_number(request, "revision", 0))
        seconds = min(_number(request, "seconds", WATCH_SECONDS_MAX), WATCH_SECONDS_MAX)
        self._make_room()
        discovery = self._node.discovery
        give_way = asyncio.get_running_loop().create_future()
        self._held[give_way] = self._node.clock.now()
        changes = asyncio.ensure_future(discovery.changes(revision, seconds))
        try:
            await asyncio.wait((changes, give_way), return_when=asyncio.FIRST_COMPLETED)
            found = await (changes if changes.done() else discovery.changes(revision, 0))
            return found._asdict()
        finally:
            changes.cancel()
            self._held.pop(give_way, None)

    def _make_room(self) -> None:
        if len(self._held) < WATCHERS_MAX:
            return
        longest, since = next(iter(self._held.items()))
        if self._node.clock.now() - since < HELD_SECONDS_MIN:
            raise NodesError("conflict", f"{WATCHERS_MAX} watch already; end one of them")
        del self._held[longest]
        longest.set_result(None)


async def node_forget(node: Node, request: Document) -> Document:
    """Takes `node`, a name or the begin of an id, off the list. Raises NodesError."""
    wanted = request.get("node")
    if not isinstance(wanted, str) or not wanted:
        text = f"`node`: found {repr(wanted)[:SHOWN_MAX]}, expected a name or an id"
        raise NodesError("bad_request", text)
    found = _the_one(node, wanted)
    try:
        node.discovery.forget(bytes.fromhex(found["id"]))
    except MembershipError as error:
        raise NodesError("conflict", str(error)) from None
    return {"id": found["id"], "name": found["name"]}


def _the_one(node: Node, wanted: str) -> Document:
    """The member of that name, or whose id begins so. Raises NodesError."""
    own: Document
    own, *members = node.discovery.document()["nodes"]
    found: list[Document] = [each for each in members if wanted == each["name"]] or [
        each
        for each in members
        if len(wanted) >= ID_DIGITS_MIN and each["id"].startswith(wanted.lower())
    ]
    if not found:
        raise NodesError("not_found", _unknown(wanted, own, [each["name"] for each in members]))
    if len(found) > 1:
        ids = ", ".join(f"{each['id']} ({each['state']})" for each in found[:SHOWN_MAX])
        text = f"{len(found)} nodes have the name {wanted!r}, or an id that begins so; which: {ids}"
        raise NodesError("conflict", text)
    return found[0]


def _unknown(wanted: str, own: Document, names: list[str]) -> str:
    whole = len(wanted) >= ID_DIGITS_MIN
    if wanted == own["name"] or (whole and own["id"].startswith(wanted.lower())):
        return f"{wanted!r} is the node that is asked; it cannot forget itself"
    short = f"; of an id, at least {ID_DIGITS_MIN} digits are needed"
    hint = similar(wanted[:SHOWN_MAX], names) or ("" if whole else short)
    return f"no node {wanted[:SHOWN_MAX]!r} has been seen{hint}"


async def node_interfaces(node: Node, request: Document) -> Document:
    """The candidates, the choice and why."""
    return await node.discovery.interfaces()


async def node_reload_keys(node: Node, request: Document) -> Document:
    """Reads the key file again; answers how many keys there are. Raises NodesError."""
    try:
        return {"keys": node.discovery.load_keys()}
    except ConfigurationError as error:
        raise NodesError("bad_request", f"{error}; the keys from before stay") from None


def _number(request: Document, key: str, default: float) -> float:
    value = request.get(key, default)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and 0 <= value < math.inf:  # which no NaN is
        return float(value)
    text = f"`{key}`: found {repr(value)[:SHOWN_MAX]}, expected a number from 0"
    raise NodesError("bad_request", text)
