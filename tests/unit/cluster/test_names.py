"""Names are looked up aside: one that hangs keeps nobody from the others."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from drop.cluster import names
from drop.cluster.names import AGAIN_SECONDS, GATHER_SECONDS, THREADS_MAX, Names, addresses_of
from drop.testing.clock import FakeClock

WAIT_SECONDS_MAX = 10.0


class Resolver:
    """Answers at once, or not before it is let go."""

    def __init__(self) -> None:
        self.answers: dict[str, str] = {}
        self.hanging = threading.Event()
        self.asked: list[str] = []

    def addresses_of(self, host: str) -> tuple[tuple[str, int], ...]:
        self.asked.append(host)
        if host.startswith("hangs"):
            assert self.hanging.wait(WAIT_SECONDS_MAX)
        if host not in self.answers:
            raise OSError(-2, "Name or service not known")
        return ((self.answers[host], 0),)


class Scene:
    def __init__(self, resolver: Resolver) -> None:
        self.clock = FakeClock()
        self.resolver = resolver
        self.news = 0
        self.names = Names(self.clock, self._told)

    def _told(self) -> None:
        self.news += 1

    async def until(self, held: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while not held():
                await asyncio.sleep(0)

    def addresses(self, *wanted: str) -> dict[str, list[str]]:
        found = self.names.look(wanted)
        return {name: [address for address, _ in each.addresses] for name, each in found.items()}


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    resolver = Resolver()
    monkeypatch.setattr(names, "addresses_of", resolver.addresses_of)
    yield resolver
    resolver.hanging.set()


@pytest.fixture
async def scene(resolver: Resolver) -> Scene:
    return Scene(resolver)


async def test_the_answers_come_later_and_are_told_once(scene: Scene) -> None:
    scene.resolver.answers = {"a": "10.0.0.1", "b": "10.0.0.2"}
    assert scene.addresses("a", "b") == {}
    await scene.until(lambda: len(scene.names.look(("a", "b"))) == 2)
    assert scene.news == 0
    scene.clock.advance(GATHER_SECONDS)
    assert scene.news == 1
    assert scene.addresses("a", "b") == {"a": ["10.0.0.1"], "b": ["10.0.0.2"]}
    assert scene.resolver.asked.count("a") == 1


async def test_names_that_hang_are_few_at_a_time_and_keep_nobody(scene: Scene) -> None:
    scene.resolver.answers = {"a": "10.0.0.1"}
    hanging = [f"hangs{number}" for number in range(20)]
    scene.names.look(("a", *hanging))
    await scene.until(lambda: "a" in scene.names.look(("a", *hanging)))
    await scene.until(lambda: len(scene.resolver.asked) == 1 + THREADS_MAX)
    assert scene.addresses("a", *hanging) == {"a": ["10.0.0.1"]}
    scene.resolver.hanging.set()
    await scene.until(lambda: len(scene.names.look(("a", *hanging))) == 21)
    assert len(scene.resolver.asked) == 21  # each once, however often they were looked at


async def test_an_old_answer_is_asked_for_again_and_a_fault_does_not_make_it_wrong(
    scene: Scene,
) -> None:
    scene.resolver.answers = {"a": "10.0.0.1"}
    scene.names.look(("a",))
    await scene.until(lambda: "a" in scene.names.look(("a",)))
    scene.clock.advance(AGAIN_SECONDS)
    scene.resolver.answers = {}
    scene.names.look(("a",))
    await scene.until(lambda: scene.names.look(("a",))["a"].fault is not None)
    assert scene.addresses("a") == {"a": ["10.0.0.1"]}
    scene.clock.advance(AGAIN_SECONDS)
    scene.resolver.answers = {"a": "10.0.0.9"}
    scene.names.look(("a",))
    await scene.until(lambda: scene.addresses("a") == {"a": ["10.0.0.9"]})


async def test_nothing_is_told_when_it_is_closed(scene: Scene) -> None:
    scene.names.look(("hangs",))
    await scene.until(lambda: scene.resolver.asked == ["hangs"])
    scene.names.close()
    scene.resolver.hanging.set()
    scene.names._answered("hangs", (("10.0.0.1", 0),), None)
    scene.clock.advance(GATHER_SECONDS)
    assert scene.news == 0


def test_numbers_need_nobody() -> None:
    assert addresses_of("10.0.0.1", numeric=True) == (("10.0.0.1", 0),)
    assert addresses_of("fe80::1%lo", numeric=True) == (("fe80::1", 1),)
    with pytest.raises(socket.gaierror):
        addresses_of("localhost", numeric=True)
