"""A thousand workers started at once: how long it takes, what a ping takes meanwhile, their cost.

Two shapes: one pool of a thousand, and a hundred pools of ten. The time is that of `flow.start`,
which is answered when the last worker has been spawned; a client of its own pings the node all
along. The yardstick is this process: it starts and reaps the same program as often, in C, with the
same three pipes, and does nothing else.
"""

from __future__ import annotations

import json
import statistics
import threading
import time
from pathlib import Path

from bench.system.figures import Compared, Row, Sample, at_most, median
from bench.system.node import Node, function
from bench.system.process import rss_bytes
from bench.system.setting import Setting
from drop.client import Client
from drop.workers.process import Command, launch

WORKERS, WORKERS_QUICK = 1_000, 100
SECONDS_BAR = at_most(5, Compared.OURS)
PING_BAR = at_most(10, Compared.OURS)
MEMORY_BAR = at_most(16, Compared.OURS)
KIB = 1 << 10
PING_EVERY_S = 0.002


def starting(setting: Setting) -> list[Row]:
    """Both shapes; the seconds beside those of plain spawns in the same run."""
    count = WORKERS_QUICK if setting.quick else WORKERS
    command = setting.worker("c")
    rows = []
    for pools in (1, count // 10):
        case = f"start {count} workers, {pools} pool{'s' if pools > 1 else ''}"
        results = setting.alternate(
            case,
            plain=lambda: {"seconds": _plain(command, count)},
            ours=lambda pools=pools: _started(command, count, pools),  # type: ignore[misc]
        )
        ours, plain = results["ours"], results["plain"]
        seconds = median(ours, "seconds"), median(plain, "seconds")
        rows += [
            Row(case, "seconds", *seconds, bar=SECONDS_BAR),
            Row(case, "ping p50 meanwhile, ms", median(ours, "p50")),
            Row(case, "ping p99 meanwhile, ms", median(ours, "p99"), bar=PING_BAR),
            Row(case, "ping worst meanwhile, ms", median(ours, "worst")),
            Row(case, "node's memory per worker, KiB", median(ours, "kib"), bar=MEMORY_BAR),
        ]
    return rows


def _plain(command: list[str], count: int) -> float:
    """Seconds of as many spawns by this process, without a node around them."""
    begin = time.perf_counter()
    started = [launch(Command(tuple(command), None, {})) for _ in range(count)]
    seconds = time.perf_counter() - begin
    for process in started:
        process.reap()
    return seconds


def _started(command: list[str], count: int, pools: int) -> Sample:
    functions = [function(f"pool-{n}", command, count // pools, 1) for n in range(pools)]
    with Node() as node:
        flow = Path(node.var_dir, "starting.yaml")
        flow.write_text(json.dumps({"name": "starting", "func": functions}))
        before = rss_bytes(node.pid)
        pings: list[float] = []
        done = threading.Event()
        pinging = threading.Thread(target=_ping, args=(node.address, pings, done))
        pinging.start()
        try:
            begin = time.perf_counter()
            with Client(f"unix:{node.var_dir / 'drop.sock'}", timeout=120.0) as client:
                reply = client.control("flow.start", file=str(flow))
            seconds = time.perf_counter() - begin
        finally:
            done.set()
            pinging.join()
        assert reply["ok"], reply
        assert len(node.workers()) == count
        kib = (rss_bytes(node.pid) - before) / count / KIB
    cuts = statistics.quantiles(pings, n=100)
    return {
        "seconds": seconds, "p50": cuts[49] * 1e3, "p99": cuts[98] * 1e3,
        "worst": max(pings) * 1e3, "kib": kib,
    }  # fmt: skip


def _ping(address: str, pings: list[float], done: threading.Event) -> None:
    """Appends the seconds of each round trip, until told that it is enough."""
    with Client(address) as client:
        while not done.wait(PING_EVERY_S):
            pings.append(client.ping())
