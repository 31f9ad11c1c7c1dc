"""One run of the native load generator (that of `drop bench`), the node watched from outside."""

from __future__ import annotations

from contextlib import ExitStack

from bench.system.figures import Sample
from bench.system.node import Node
from bench.system.process import REACTOR, Usage, threads, total
from drop._fast.load import Load
from drop.cli.bench import ALPHABET, Plan, judge, open_connections
from drop.client.address import parse_address

SIZE = 100  # bytes of a message, as in the yardsticks
PAYLOAD = (ALPHABET * SIZE)[:SIZE]
WARMUP_S = 0.3  # as in the yardsticks
TIMEOUT_MS = 10_000  # travels in every call: deadlines are part of what is measured


def calls(address: str, pool: str, connections: int, depth: int, seconds: float) -> Sample:
    """Rate and latencies (us) of calls; `messages` counts the warm-up's too."""
    where = parse_address(address)
    plan = Plan(pool, PAYLOAD, connections, depth, seconds, TIMEOUT_MS, verify=False)
    plan.check()
    with ExitStack() as stack:
        sockets = open_connections(where, b"", plan, stack)
        load = Load(
            [each.fileno() for each in sockets], pool.encode(), PAYLOAD,
            depth=depth, seconds=seconds, warmup=WARMUP_S, timeout_ms=TIMEOUT_MS,
        )  # fmt: skip
        measured = load.run()
    judge(where, plan, measured)
    if measured["errors"] or measured["unanswered"]:
        raise RuntimeError(
            f"{pool}: {measured['errors']} failed, {measured['unanswered']} unanswered"
        )
    return {
        "rate": measured["messages"] / measured["seconds"],
        "p50": measured["p50"] * 1e6,
        "p99": measured["p99"] * 1e6,
        "p999": measured["p999"] * 1e6,
        "messages": load.progress,
    }


def watched_calls(
    node: Node, workers: list[int], pool: str, connections: int, depth: int, seconds: float
) -> Sample:
    """The same, with what it cost: by thread of the node and in its workers, per message."""
    before, workers_before = threads(node.pid), total(workers)
    result = calls(node.address, pool, connections, depth, seconds)
    after, spent_by_workers = threads(node.pid), total(workers) - workers_before
    reactor = after[REACTOR] - before[REACTOR]
    others = [after[name] - before.get(name, Usage()) for name in after if name != REACTOR]
    messages = result["messages"]
    return {
        **result,
        "reactor_us": reactor.cpu_ns / 1e3 / messages,
        "workers_us": spent_by_workers.cpu_ns / 1e3 / messages,
        "reactor_switches": reactor.switches / messages,
        "control_share": sum(other.cpu_ns for other in others) / max(reactor.cpu_ns, 1),
    }
