"""Through a real reactor and real workers: published, dispatched, written, answered, counted.

The time is for MESSAGES messages from Python's publish() to the last answer. How that compares with
the same job in plain C is a case of bench.system, which measures it without the wait at the end.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.system.publish import Dispatch
from bench.system.roofline import own_worker

MESSAGES = 1000
BATCHES = 10
INFLIGHT = 256


@pytest.fixture(params=[1, 4], ids=["1 worker", "4 workers"])
def dispatch(request: pytest.FixtureRequest) -> Iterator[Dispatch]:
    running = Dispatch(request.param, INFLIGHT, own_worker("c"))
    yield running
    running.close()


@pytest.mark.parametrize("size", [100, 1000], ids=["100 bytes", "1000 bytes"])
def test_dispatch(dispatch: Dispatch, size: int, benchmark: BenchmarkFixture) -> None:
    benchmark.group = f"dispatch: {MESSAGES} messages"
    batch = [b"x" * size] * (MESSAGES // BATCHES)

    def publish() -> int:
        before = dispatch.accepted
        for _ in range(BATCHES):
            dispatch.publish(batch)
        dispatch.finish()
        return dispatch.accepted - before

    assert benchmark(publish) == MESSAGES
