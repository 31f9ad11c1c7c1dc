"""A real host whose dataplane only records; at its end no process of it may be left."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from pools_tools import Machine, machine
from real_pool import World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    world.happenings.start()
    yield world
    world.happenings.stop()
    world.dataplane.close()
    assert not world.errors


@pytest.fixture
def here(tmp_path: Path, world: World) -> Iterator[Machine]:
    with machine(tmp_path, world) as made:
        yield made
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
