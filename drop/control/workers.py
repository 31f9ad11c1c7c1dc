"""The operations on workers: list them, start them anew in turn, send one a signal.

A target is `POOL` or `POOL/N`. A pool's name may have a slash itself, so the node takes it apart:
it knows which pools there are.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import orjson

from drop.clock import time_text
from drop.host import journal
from drop.node import Node
from drop.problems import similar
from drop.workers.breaker import BreakerState
from drop.workers.pool import WorkerPool
from drop.workers.pool_state import PoolState
from drop.workers.slot import SlotState
from drop.workers.supervision import Slot, Supervision

Document = dict[str, Any]

RESTART_SECONDS = 100.0
"""How long a restart is waited for: less than an operation may take. It goes on after that."""

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

_TARGET = re.compile(r"(.+)/(\d+)")

_WORDS = {
    SlotState.RUNNING: "running",
    SlotState.BACKOFF: "back-off",
    SlotState.HELD: "breaker open",
}
"""For states whose own name says too little."""


class WorkerError(Exception):
    """An operation on workers that cannot be carried out, or that has failed."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


# --- worker.list ---


async def worker_list(node: Node, request: Document) -> Document:
    """Those of `flow`, of `pool`, or all; of kind exec, how many processes there are. Raises
    WorkerError."""
    flow, pool = request.get("flow"), request.get("pool")
    if flow is not None and flow not in node.flows.entries:
        _unknown("flow", str(flow), node.flows.entries)
    if pool is not None:
        _known(node, str(pool))
    statistics = orjson.loads(await node.happenings.statistics())
    inflight = {each["name"]: each["inflight"] for each in statistics["pools"]}
    rows = [
        {"flow": flow_name, "pool": name, **row}
        for flow_name, name, supervision in _pools(node)
        if flow in (None, flow_name) and pool in (None, name)
        for row in _rows(node, supervision, inflight.get(name, 0))
    ]
    processes = [
        {"flow": flow_name, "pool": name, **figures}
        for flow_name, name, figures in _exec_pools(node, statistics)
        if flow in (None, flow_name) and pool in (None, name)
    ]
    return {"workers": rows, "processes": processes}


def _exec_pools(node: Node, statistics: Document) -> Iterator[tuple[str, str, Document]]:
    """Flow, pool and how many processes it has, of every pool of kind exec that runs."""
    figures = {
        pool["name"]: pool["processes"] for pool in statistics["pools"] if "processes" in pool
    }
    for entry in node.flows.entries.values():
        for function in entry.flow.spec.func:
            if function.name in figures and function.name in node.runner.pools:
                yield entry.name, function.name, figures[function.name]


def _pools(node: Node) -> Iterator[tuple[str, str, Supervision]]:
    """Flow, pool and how it is doing, of every pool of workers."""
    for entry in node.flows.entries.values():
        for function in entry.flow.spec.func if entry.activity != "stopped" else ():
            running = node.runner.pools.get(function.name)
            if isinstance(running, WorkerPool):
                yield entry.name, function.name, running.supervision


def _rows(node: Node, supervision: Supervision, inflight: int) -> Iterator[Document]:
    serving = _serving(supervision, inflight)
    for slot in sorted(supervision.slots.values(), key=lambda slot: slot.number):
        if not slot.wanted and slot.state is SlotState.STOPPED and not supervision.last_error:
            continue
        begin = node.clock.wall() - (node.clock.now() - slot.since)
        running = slot.state is SlotState.RUNNING
        yield {
            "worker": slot.number + 1,
            "pid": slot.pid or None,
            "state": serving if running else _WORDS.get(slot.state, str(slot.state)),
            "seconds_left": _seconds_left(supervision, slot, node.clock.now()),
            "restarts": slot.restarts,
            "since": time_text(begin),
            "rss_bytes": _rss_bytes(slot.pid) if slot.pid else None,
            "old": slot.stale,
            "stand_in": slot.stand_in,
        }


def _serving(supervision: Supervision, inflight: int) -> str:
    """`ready` or `busy` where the pool's figures tell it of each worker, else `running`."""
    if inflight == 0:
        return "ready"
    return "busy" if supervision.places.count(SlotState.RUNNING) == 1 else "running"


def _seconds_left(supervision: Supervision, slot: Slot, now: float) -> float | None:
    """Until the next start."""
    if slot.state is SlotState.BACKOFF:
        return round(max(0.0, slot.until - now), 1)
    if slot.state is SlotState.HELD and supervision.breaker.state is BreakerState.OPEN:
        return round(max(0.0, supervision.breaker_until - now), 1)
    return None


def _rss_bytes(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * PAGE_BYTES
    except (OSError, IndexError, ValueError):  # it has ended meanwhile
        return None


# --- worker.restart ---


async def worker_restart(node: Node, request: Document) -> Document:
    """Starts the workers of `target` anew, one after the other; no message is lost. Answers when
    it is done, or with `complete` false when that takes long. Raises WorkerError.

    `replaced` is null for kind exec: what waits for a message is replaced, what has one ends by
    itself.
    """
    name, worker = _target(node, request)
    running = node.runner.pools[name]
    if isinstance(running, WorkerPool) and running.supervision.state is not PoolState.UP:
        raise WorkerError("conflict", f"the pool {name!r} is being stopped")
    journal.event("info", "worker_restart", pool=name, worker=worker)
    told = node.pools.renew(name, None if worker is None else [worker])
    if told is None:
        return {"pool": name, "complete": True, "replaced": None}
    try:
        outcome = await asyncio.wait_for(asyncio.shield(told), RESTART_SECONDS)
    except TimeoutError:
        return {"pool": name, "complete": False}
    if outcome.error:
        text = f"{name}: {outcome.replaced} workers restarted, then one failed: {outcome.error}"
        raise WorkerError("failed", text)
    return {"pool": name, "complete": True, "replaced": outcome.replaced}


# --- worker.kill ---


async def worker_kill(node: Node, request: Document) -> Document:
    """Sends `signal` (SIGKILL when absent) to the process group of `target`. Raises WorkerError."""
    number = _signal(request.get("signal", "SIGKILL"))
    name, worker = _target(node, request)
    pool = _workers(node, name)
    if worker is None:
        raise WorkerError("bad_request", f"which worker of {name!r}? expected {name}/N, N from 1")
    slot = pool.supervision.slots[worker - 1]
    state, pid = _WORDS.get(slot.state, str(slot.state)), slot.pid
    if not pool.signal(worker, number):
        raise WorkerError("conflict", f"{name}/{worker} has no process to signal: {state}")
    journal.event("info", "worker_signalled", pool=name, worker=worker, pid=pid, signal=number.name)
    return {"pool": name, "worker": worker, "pid": pid, "signal": number.name}


def _signal(text: object) -> signal.Signals:
    """`SIGTERM`, `term` or `15`."""
    word = str(text).upper()
    try:
        if word.isdecimal():
            return signal.Signals(int(word))
        return signal.Signals[word if word.startswith("SIG") else f"SIG{word}"]
    except (KeyError, ValueError):
        known = similar(word, [each.name for each in signal.Signals])
        expected = "a name or number as `kill -l` lists them"
        text = f"signal: found {text!r}{known}, expected {expected}"
        raise WorkerError("bad_request", text) from None


# --- which one ---


def _target(node: Node, request: Document) -> tuple[str, int | None]:
    """The pool, and the number of the worker if one is named. Raises WorkerError."""
    text = request.get("target")
    if not isinstance(text, str) or not text:
        raise WorkerError("bad_request", f"`target`: found {text!r}, expected POOL or POOL/N")
    match = _TARGET.fullmatch(text)
    if match is None or text in node.runner.pools:
        return _known(node, text), None
    name, worker = _known(node, match[1]), int(match[2])
    pool = _workers(node, name)
    if worker - 1 not in pool.supervision.slots:
        workers = pool.supervision.policy.workers
        raise WorkerError(
            "not_found", f"{match[1]!r} has no worker {worker}; it has 1 to {workers}"
        )
    return name, worker


def _known(node: Node, name: str) -> str:
    if name not in node.runner.pools:
        _unknown("pool", name, node.runner.pools)
    return name


def _workers(node: Node, name: str) -> WorkerPool:
    pool = node.runner.pools[name]
    if not isinstance(pool, WorkerPool):
        raise WorkerError(
            "conflict",
            f"{name!r} is of kind exec: each message has a process of its own, "
            "and there is no worker to kill",
        )
    return pool


def _unknown(what: str, name: str, known: Mapping[str, object]) -> NoReturn:
    names = ", ".join(sorted(known)[:10]) or "none"
    more = ", ..." if len(known) > 10 else ""
    hint = similar(name, known)
    text = f"there is no {what} {name!r}{hint}; there are: {names}{more}"
    raise WorkerError("not_found", text)
