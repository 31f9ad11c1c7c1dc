"""A world for pools; at its end no process and no descriptor of it may be left."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator

import pytest

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
def no_process_is_left() -> Iterator[None]:
    yield
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.fixture
def no_descriptor_is_left() -> Iterator[None]:
    before = set(os.listdir("/proc/self/fd"))
    yield
    assert set(os.listdir("/proc/self/fd")) == before
