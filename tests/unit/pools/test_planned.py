"""Planned pools become running ones, follow their plan, and leave nothing behind."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from drop.pools.planned import SOURCE_DRAIN_SECONDS, PlannedPools
from drop.secrets.value import Secret
from drop.workers.exec_pool import ExecPool
from drop.workers.pool import WorkerPool
from pools_tools import Machine, pool_of

Pool = WorkerPool | ExecPool


async def end(pools: PlannedPools, name: str) -> None:
    running = pools.running(name)
    assert running is not None
    running.kill()
    async with asyncio.timeout(10):
        await running.stopped
    running.remove()
    await asyncio.sleep(0)
    assert pools.running(name) is None
    assert pools.supervision(name) is None


async def test_a_pool_starts_changes_and_ends(here: Machine, tmp_path: Path) -> None:
    pools, planned = PlannedPools(here.host), pool_of(tmp_path, name="p", cmd=["cat"], num=2)
    running = pools.create(planned)
    running.start()
    async with asyncio.timeout(10):
        await running.started
    supervision = pools.supervision("p")
    assert supervision is not None
    assert supervision.policy.workers == 2
    pools.update(running, replace(planned, workers=1), replace_workers=False)
    assert supervision.policy.workers == 1
    await end(pools, "p")


async def test_the_policy_says_what_the_flow_says(here: Machine, tmp_path: Path) -> None:
    health = {"message": "ping", "expect": "pong", "every": 500}
    pools = PlannedPools(here.host)
    planned = pool_of(
        tmp_path, name="p", cmd=["cat"], ready="READY", start=700, health=health, restart="never"
    )
    policy = pools._policy(planned)
    assert (policy.ready, policy.start_seconds, policy.restart) == ("READY", 0.7, "never")
    assert policy.health is not None
    assert (policy.health.message, policy.health.expect) == (b"ping", b"pong")
    assert policy.surge
    assert policy.log == os.path.join(here.host.settings.log_dir, "p.log")
    source = pools._policy(pool_of(tmp_path, name="s_stream", cmd=["cat"], ready="READY"))
    assert source.source
    assert not source.surge
    assert source.drain_seconds == SOURCE_DRAIN_SECONDS


async def test_a_name_that_is_taken_is_refused_and_leaves_nothing(
    here: Machine, tmp_path: Path
) -> None:
    pools, planned = PlannedPools(here.host), pool_of(tmp_path, name="p", cmd=["cat"])
    pools.create(planned)
    with pytest.raises(ValueError, match="exists already"):
        pools.create(planned)
    await end(pools, "p")


async def test_a_renewal_reads_secrets_again(here: Machine, tmp_path: Path) -> None:
    here.secrets.set("K", Secret(b"one"))
    pools = PlannedPools(here.host)
    running = pools.create(
        pool_of(tmp_path, name="p", cmd=["cat"], kind="exec", secrets=["K"], timeout=60_000)
    )
    running.start()
    assert here.handed_over() == ["one"]
    here.secrets.set("K", Secret(b"two"))
    assert pools.renew("p") is None
    assert here.handed_over() == ["one", "two"]
    configured = [each for each in here.world.dataplane.commands if each[0] == "exec_configure"]
    assert len(configured) == 2
    await end(pools, "p")
    assert here.handed_over() == []


async def test_a_successor_of_the_same_name_is_not_touched_by_the_end_of_the_first(
    here: Machine, tmp_path: Path
) -> None:
    pools, planned = PlannedPools(here.host), pool_of(tmp_path, name="p", cmd=["cat"])
    first = pools.create(planned)
    first.start()
    await end(pools, "p")
    second = pools.create(planned)
    second.start()
    async with asyncio.timeout(10):
        await second.started
    assert pools.running("p") is second
    await end(pools, "p")
