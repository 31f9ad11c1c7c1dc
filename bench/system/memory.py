"""Memory of a node: idle, per idle connection, per idle pool, and whether it grows with messages.

Resident bytes of the node's process, as the kernel counts them; the workers' own are not in it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import replace

from bench.system.figures import Compared, Row, at_most
from bench.system.load import PAYLOAD, calls
from bench.system.node import Node, function
from bench.system.process import rss_bytes
from bench.system.setting import Setting
from drop._fast.reactor import Reactor
from drop.cli.bench import Plan, open_connections
from drop.client.address import parse_address

KIB, MIB = 1 << 10, 1 << 20
CONNECTIONS, CONNECTIONS_QUICK = 10_000, 1_000
POOLS, POOLS_QUICK = 1_000, 100
MESSAGES, MESSAGES_QUICK = 10_000_000, 1_000_000
MESSAGES_WARM = 1_000_000
GROWTH_MAX = MIB  # 0.1 byte per message: what an allocator may still move, and no leak can hide in
STEP_SECONDS = 1.0
POOL_BAR = at_most(64, Compared.OURS)


def idle(setting: Setting) -> list[Row]:
    """Without a flow, a second after it was ready."""
    with Node() as node:
        time.sleep(STEP_SECONDS)
        rss = rss_bytes(node.pid)
    return [Row("memory", "idle node, MiB", rss / MIB, bar=at_most(60, Compared.OURS))]


def connections(setting: Setting) -> list[Row]:
    """Connections that have said HELLO and wait."""
    count = CONNECTIONS_QUICK if setting.quick else CONNECTIONS
    plan = Plan("none", PAYLOAD, count, 1, 1.0, 0, verify=False)
    with Node() as node, ExitStack() as stack:
        address = parse_address(node.address)
        open_connections(address, b"", replace(plan, connections=1), stack)
        before = rss_bytes(node.pid)
        open_connections(address, b"", plan, stack)
        each = (rss_bytes(node.pid) - before) / count
    figure = f"idle connection of {count}, KiB"
    return [Row("memory", figure, each / KIB, bar=at_most(16, Compared.OURS))]


def pools(setting: Setting) -> list[Row]:
    """Pools of a node with one idle worker each, and pools of a bare reactor without any."""
    count = POOLS_QUICK if setting.quick else POOLS
    worker = setting.worker("c")
    with Node() as node:
        before = rss_bytes(node.pid)
    with Node([function(f"pool-{number}", worker, 1, 1) for number in range(count)]) as node:
        with_worker = (rss_bytes(node.pid) - before) / count
    command = [sys.executable, "-m", "bench.system.memory", str(count)]
    without = float(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return [
        Row("memory", f"idle pool of {count} with a worker, KiB", with_worker / KIB, bar=POOL_BAR),
        Row("memory", f"idle pool of {count}, dataplane only, KiB", without / KIB, bar=POOL_BAR),
    ]


def growth(setting: Setting) -> list[Row]:
    """How much larger the node is behind many messages."""
    count = MESSAGES_QUICK if setting.quick else MESSAGES
    with Node([function("echo", setting.worker("c"), 4, 256)]) as node:
        _calls_until(node, MESSAGES_WARM)
        before = rss_bytes(node.pid)
        done = _calls_until(node, count)
        grown = rss_bytes(node.pid) - before
    figure = f"growth over {done / 1e6:.0f} million messages, KiB"
    return [Row("memory", figure, grown / KIB, bar=at_most(GROWTH_MAX / KIB, Compared.OURS))]


def _calls_until(node: Node, count: int) -> int:
    done = 0
    while done < count:
        done += int(calls(node.address, "echo", 1, 1024, STEP_SECONDS)["messages"])
    return done


def _bare_pools(count: int) -> float:
    """Bytes for each of `count` pools without workers in a reactor of this process."""
    reactor = Reactor(
        node_name="bench", payload_max=MIB, connections_max=64, calls_max=1024,
        slow_client_ms=10_000, memory_max=1024 * MIB,
    )  # fmt: skip
    reactor.start()
    before = rss_bytes(os.getpid())
    for number in range(count):
        reactor.pool_create(f"pool-{number}", kind="line")
    reactor.statistics()
    while not reactor.happenings():
        time.sleep(0.001)
    after = rss_bytes(os.getpid())
    reactor.stop()
    return (after - before) / count


if __name__ == "__main__":
    print(_bare_pools(int(sys.argv[1])))
