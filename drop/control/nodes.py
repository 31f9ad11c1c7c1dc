"""The operations on nodes: who is there, what changes, forget one, where this one is."""

from __future__ import annotations

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
        raise NodesError("bad_request", f"`node`: found {wanted!r}, expected a name or an id")
    members = node.discovery.members()
    found = [each for each in members if wanted == each["name"]] or [
        each for each in members if len(wanted) >= 4 and each["id"].startswith(wanted.lower())
    ]
    if not found:
        if wanted == node.settings.name:
            raise NodesError("conflict", f"{wanted} is this node, and stays on its own list")
        hint = similar(wanted, [each["name"] for each in members])
        raise NodesError("not_found", f"no node {wanted!r} has been seen{hint}")
    if len(found) > 1:
        ids = ", ".join(each["id"] for each in found)
        raise NodesError("conflict", f"several nodes are called {wanted!r}; say which id: {ids}")
    try:
        node.discovery.forget(bytes.fromhex(found[0]["id"]))
    except MembershipError as error:
        raise NodesError("conflict", str(error)) from None
    return {"id": found[0]["id"], "name": found[0]["name"]}


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
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise NodesError("bad_request", f"`{key}`: found {value!r}, expected a number from 0")
    return value
