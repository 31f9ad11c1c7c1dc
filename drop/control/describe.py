"""What runs on a node, as plain data for `$control`: read off the parts, nothing is kept here."""

from __future__ import annotations

import os
from typing import Any

import orjson

import drop
from drop.clock import time_text
from drop.flow.describe import describe
from drop.flow.flows import Entry
from drop.node import Node
from drop.workers.exec_supervision import ExecSupervision
from drop.workers.slot import SlotState
from drop.workers.supervision import Slot, Supervision

Document = dict[str, Any]


def flow_list(node: Node) -> list[Document]:
    return [
        {
            "name": entry.name,
            "state": flow_state(node, entry),
            "file": str(entry.file),
            "stored": entry.stored,
            "pools": [function.name for function in entry.flow.spec.func],
        }
        for entry in node.flows.entries.values()
    ]


async def flow_info(node: Node, entry: Entry) -> Document:
    processes = await processes_of(node)
    document = describe(entry.flow)
    document["file"] = str(entry.file)
    document["started_from"] = entry.flow.source.file
    document["state"] = flow_state(node, entry)
    for pool in document["pools"]:
        pool.update(pool_info(node, entry, pool["name"]))
        if pool["state"] != "stopped" and pool["name"] in processes:
            pool["processes"] = processes[pool["name"]]
    return document


async def processes_of(node: Node) -> dict[str, Document]:
    """By pool of kind exec: how many processes are ready, starting, running, were started in all,
    and how many shall be ready (`spare`)."""
    statistics = orjson.loads(await node.happenings.statistics())
    return {pool["name"]: pool["processes"] for pool in statistics["pools"] if "processes" in pool}


def flow_state(node: Node, entry: Entry) -> str:
    """`failing`: it runs, and a pool of it has no worker that could answer."""
    if entry.activity != "running":
        return entry.activity
    for function in entry.flow.spec.func:
        supervision = node.supervision(function.name)
        if supervision is not None and supervision.refusal:
            return "failing"
    return "running"


def pool_info(node: Node, entry: Entry, name: str) -> Document:
    supervision = node.supervision(name) if entry.activity != "stopped" else None
    if supervision is None:
        return {"state": "stopped", "workers": [], "last_error": None, "log": None}
    return {
        "state": _pool_state(supervision),
        "workers": _workers(node, supervision),
        "last_error": supervision.last_error or None,
        "log": supervision.policy.log,
    }


def node_info(node: Node) -> Document:
    settings = node.settings
    return {
        "name": settings.name,
        "version": drop.__version__,
        "pid": os.getpid(),
        "uptime_seconds": round(node.clock.now() - node.started_at, 3),
        "listen": node.addresses,
        "var_dir": settings.var_dir,
        "log_dir": settings.log_dir,
        "flow_dir": settings.flow_dir,
        "config_file": settings.config_file,
        "descriptor_limit": node.descriptor_limit,
        "flows": len(node.flows.entries),
        "pools": len(node.runner.pools),
        "workers": node.live_workers(),
        "logs": node.logger.statistics(),
        "images": node.image_report(),
    }


def _pool_state(supervision: Supervision | ExecSupervision) -> str:
    """`up`, `failing` (nobody could answer), `draining`, `stopping`."""
    return "failing" if supervision.refusal else str(supervision.state)


def _workers(node: Node, supervision: Supervision | ExecSupervision) -> list[Document]:
    """Those of kind exec live for one message: they are counted, see `processes_of`."""
    if isinstance(supervision, ExecSupervision):
        return []
    return [
        _worker(node, slot)
        for slot in supervision.slots.values()
        if slot.wanted or slot.state is not SlotState.STOPPED
    ]


def _worker(node: Node, slot: Slot) -> Document:
    begin = node.clock.wall() - (node.clock.now() - slot.since)
    return {
        "worker": slot.number + 1,
        "pid": slot.pid or None,
        "state": str(slot.state),
        "restarts": slot.restarts,
        "since": time_text(begin),
    }
