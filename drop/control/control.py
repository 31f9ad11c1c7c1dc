"""The operations of a running node: JSON in, JSON out, through the pool `$control`.

    {"op": "flow.stop", "name": "abcnews"}  ->  {"ok": true, ...}
                                            or  {"ok": false, "kind": ..., "error": text for people}

Only the Unix socket and authenticated connections reach this pool; the dataplane sees to that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import orjson

from drop.control.describe import flow_info, flow_list, node_info
from drop.control.nodes import (
    NodesError,
    Watchers,
    node_forget,
    node_interfaces,
    node_list,
    node_reload_keys,
)
from drop.control.workers import WorkerError, worker_kill, worker_list, worker_restart
from drop.flow.flows import FlowError
from drop.host import journal
from drop.node import Node
from drop.secrets.operations import REQUEST_BYTES_MAX as SECRET_REQUEST_BYTES_MAX
from drop.secrets.value import SecretError

Document = dict[str, Any]

STATUS_OK = 0
"""Of the protocol. A refused operation is an answer, too; the status is for a lost one."""
REQUEST_BYTES_MAX = max(65_536, SECRET_REQUEST_BYTES_MAX)
"""An operation with a path, or with the largest secret."""
OPERATIONS_MAX = 64
"""At the same time. Starts and stops wait for each other; the rest takes no time."""


class Refused(Exception):
    """An operation that cannot be carried out as it was asked for."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Control:
    def __init__(self, node: Node) -> None:
        self._node = node
        self._tasks: set[asyncio.Task[None]] = set()
        self._operations: dict[str, Callable[[Document], Awaitable[Document]]] = {
            "flow.list": self._flow_list,
            "flow.info": self._flow_info,
            "flow.start": self._flow_start,
            "flow.stop": self._flow_stop,
            "flow.reload": self._flow_reload,
            "node.info": self._node_info,
            "node.list": partial(node_list, node),
            "node.watch": Watchers(node).node_watch,
            "node.forget": partial(node_forget, node),
            "node.interfaces": partial(node_interfaces, node),
            "node.reload_keys": partial(node_reload_keys, node),
            "worker.list": partial(worker_list, node),
            "worker.restart": partial(worker_restart, node),
            "worker.kill": partial(worker_kill, node),
            "secret.set": _at_once(node.secrets.set),
            "secret.list": _at_once(node.secrets.list),
            "secret.remove": _at_once(node.secrets.remove),
            "secret.changed": _at_once(node.secrets.changed),
        }

    def on_message(self, token: int, payload: bytes) -> None:
        """Handles a request; the answer follows when the operation is done."""
        if len(self._tasks) >= OPERATIONS_MAX:
            text = f"{OPERATIONS_MAX} operations are under way; try again later"
            self._answer(token, _refusal("conflict", text))
            return
        task = asyncio.get_running_loop().create_task(self._handle(token, payload))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _handle(self, token: int, payload: bytes) -> None:
        try:
            answer = {"ok": True, **await self.carry_out(payload)}
        except (Refused, FlowError, SecretError, WorkerError, NodesError) as error:
            answer = _refusal(error.kind, str(error))
        except Exception as error:  # ours; the caller must not wait for ever because of it
            journal.LOGGER.exception("internal_error")
            answer = _refusal("internal", f"a mistake of the node, see its log: {error!r}")
        self._answer(token, answer)

    async def carry_out(self, payload: bytes) -> Document:
        """What one request yields. Raises one of the refusals."""
        if len(payload) > REQUEST_BYTES_MAX:
            raise Refused("bad_request", f"{len(payload)} bytes, at most {REQUEST_BYTES_MAX}")
        try:
            request = orjson.loads(payload)
        except orjson.JSONDecodeError as error:
            raise Refused("bad_request", f"not JSON: {error}") from error
        if not isinstance(request, dict):
            raise Refused("bad_request", 'expected an object such as {"op": "flow.list"}')
        operation = self._operations.get(str(request.get("op")))
        if operation is None:
            known = ", ".join(sorted(self._operations))
            text = f"found op {request.get('op')!r}, expected one of: {known}"
            raise Refused("bad_request", text)
        return await operation(request)

    def _answer(self, token: int, document: Document) -> None:
        self._node.dataplane.answer(token, STATUS_OK, orjson.dumps(document))

    # --- operations ---

    async def _flow_list(self, request: Document) -> Document:
        return {"flows": flow_list(self._node)}

    async def _flow_info(self, request: Document) -> Document:
        return await flow_info(self._node, self._node.flows.known(_text(request, "name")))

    async def _flow_start(self, request: Document) -> Document:
        if ("file" in request) == ("name" in request):
            raise Refused("bad_request", "expected either `file`, a path, or `name`, a known flow")
        if "name" in request:
            entry = await self._node.flows.start_known(_text(request, "name"))
        else:
            file = _text(request, "file")
            if not file.startswith("/"):
                text = f"found {file!r}: expected an absolute path"
                raise Refused("bad_request", text)
            entry = await self._node.flows.start(file)
        journal.event("info", "flow_started", flow=entry.name, file=entry.flow.source.file)
        return await flow_info(self._node, entry)

    async def _flow_stop(self, request: Document) -> Document:
        name = _text(request, "name")
        await self._node.flows.stop(name)
        journal.event("info", "flow_stopped", flow=name)
        return {"name": name}

    async def _flow_reload(self, request: Document) -> Document:
        await self._node.flows.reload()
        self._node.renew_changed()
        return {"flows": flow_list(self._node)}

    async def _node_info(self, request: Document) -> Document:
        return node_info(self._node)


def _at_once(operation: Callable[[Document], Document]) -> Callable[..., Awaitable[Document]]:
    """One that waits for nothing, as the others are called."""

    async def operate(request: Document) -> Document:
        return operation(request)

    return operate


def _text(request: Document, key: str) -> str:
    value = request.get(key)
    if not isinstance(value, str) or not value or "\0" in value:
        raise Refused("bad_request", f"`{key}`: found {value!r}, expected a text")
    return value


def _refusal(kind: str, text: str) -> Document:
    return {"ok": False, "kind": kind, "error": text}
