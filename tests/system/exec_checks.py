"""What is left behind by processes of kind exec: nothing, or the test fails."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from system.dataplane import Dataplane

StartPlane = Callable[..., Dataplane]


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def children() -> list[int]:
    """Of this process, the dead ones that nobody has reaped included."""
    found: list[int] = []
    for thread in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{thread}/children", encoding="ascii") as file:
            found += map(int, file.read().split())
    return found


@contextmanager
def nothing_is_left() -> Iterator[None]:
    """Around a test, outside of its reactor."""
    before = descriptors(), children()
    yield
    assert (descriptors(), children()) == before
