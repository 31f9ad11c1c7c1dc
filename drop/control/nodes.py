"""The operations on nodes: who is there, what changes, forget one, where this one is."""

from __future__ import annotations

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
    """Bounded: who watches waits, and so holds what others need."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._count = 0

    async def node_watch(self, request: Document) -> Document:
        """What changed since `revision`; waits for something, up to `seconds`. Raises
        NodesError."""
        revision = _number(request, "revision", 0)
        seconds = min(float(_number(request, "seconds", WATCH_SECONDS_MAX)), WATCH_SECONDS_MAX)
        if self._count >= WATCHERS_MAX:
            raise NodesError("conflict", f"{WATCHERS_MAX} watch already; end one of them")
        self._count += 1
        try:
            return (await self._node.discovery.changes(int(revision), seconds))._asdict()
        finally:
            self._count -= 1


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
        return f"{wanted!r} is the node that is asked, and on no list of its own"
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
