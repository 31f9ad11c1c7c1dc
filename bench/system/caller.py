"""One Python process that calls a pool through the client library and measures itself.

    python -m bench.system.caller call|call_many|sync ADDRESS POOL SECONDS

prints a sample as JSON.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable

import uvloop

from bench.system.figures import Sample
from bench.system.load import PAYLOAD, WARMUP_S
from drop.client import AsyncClient, Client

TASKS = 4  # one waits while the others' calls are on their way
WINDOW = 256  # calls that a task makes before it waits for the first


async def _calls(client: AsyncClient, pool: str) -> int:
    """A future for each call."""
    for future in [client.call(pool, PAYLOAD) for _ in range(WINDOW)]:
        await future
    return WINDOW


async def _call_many(client: AsyncClient, pool: str) -> int:
    for answer in await client.call_many(pool, [PAYLOAD] * 4 * WINDOW):
        if isinstance(answer, Exception):
            raise answer
    return 4 * WINDOW


Round = Callable[[AsyncClient, str], Awaitable[int]]


async def _rate(make_calls: Round, address: str, pool: str, seconds: float) -> Sample:
    """Answers per second of several tasks on one connection, after a warm-up."""
    begin = time.perf_counter() + WARMUP_S
    end = begin + seconds

    async def work() -> int:
        count = 0
        while (now := time.perf_counter()) < end:
            answers = await make_calls(client, pool)
            count += answers if now >= begin else 0
        return count

    async with AsyncClient(address) as client:
        counts = await asyncio.gather(*(work() for _ in range(TASKS)))
    return {"rate": sum(counts) / (time.perf_counter() - begin)}


def _sync(address: str, pool: str, seconds: float) -> Sample:
    """Latency of one call at a time, us."""
    taken = []
    with Client(address) as client:
        begin = time.perf_counter() + WARMUP_S
        now = time.perf_counter()
        while now < begin + seconds:
            client.call(pool, PAYLOAD)
            after = time.perf_counter()
            if now >= begin:
                taken.append(after - now)
            now = after
    cuts = statistics.quantiles(taken, n=100)
    return {"p50": cuts[49] * 1e6, "p99": cuts[98] * 1e6, "rate": len(taken) / seconds}


def measure(mode: str, address: str, pool: str, seconds: float) -> Sample:
    if mode == "sync":
        return _sync(address, pool, seconds)
    make_calls: Round = {"call": _calls, "call_many": _call_many}[mode]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_rate(make_calls, address, pool, seconds))


if __name__ == "__main__":
    _, mode_, address_, pool_, seconds_ = sys.argv
    print(json.dumps(measure(mode_, address_, pool_, float(seconds_))))
