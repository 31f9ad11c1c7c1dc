"""Where a node is: what is read again and again is told once, and what fails is tried again."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from drop.cluster import names, presence
from drop.cluster.hosts import HOSTS_MAX
from drop.cluster.names import GATHER_SECONDS
from drop.cluster.presence import RETRY_SECONDS, Place, Presence
from drop.config import load_settings
from drop.host.interfaces import DefaultRoute, Interface
from drop.testing.clock import FakeClock

ETH0 = Interface("eth0", 2, True, False, True, ("10.0.0.1",), "02:00:00:00:00:01", 1500)


class Scene:
    """A machine with one interface; sockets are made of nothing."""

    def __init__(self, directory: Path) -> None:
        self.clock = FakeClock()
        self.hosts = directory / "drop-hosts"
        self.told: list[str] = []
        self.settled: list[Place | None] = []
        self.wished = 0
        self.broken = False
        self.presence = Presence(
            load_settings(var_dir=str(directory)),
            {"DROP_IFACE": "eth0"},
            clock=self.clock,
            report=lambda level, event, **fields: self.told.append(f"{event}: {fields['text']}"),
            settle=self.settle,
            look_soon=self.wish,
        )

    def settle(self, place: Place | None, sockets: list[Any]) -> None:
        if place is not None and self.broken:
            raise OSError("no room for sockets")
        self.settled.append(place)

    def wish(self) -> None:
        self.wished += 1

    async def look(self) -> list[str]:
        """What is told of the hosts file meanwhile."""
        self.told.clear()
        await self.presence.look()
        return [each for each in self.told if each.startswith("hosts: ")]


@pytest.fixture
async def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(presence, "open_sockets", lambda *_: [])
    routes = [DefaultRoute(2, 4, 0, "10.0.0.254")]
    monkeypatch.setattr(presence.netlink, "look", lambda: ([ETH0], routes))
    return Scene(tmp_path)


async def test_a_place_is_settled_in_once(scene: Scene) -> None:
    await scene.look()
    await scene.look()
    assert scene.settled == [None, Place(ETH0, None)]
    assert scene.clock.pending() == []


async def test_what_could_not_be_settled_is_tried_again(scene: Scene) -> None:
    scene.broken = True
    with pytest.raises(OSError, match="no room"):
        await scene.look()
    scene.clock.advance(RETRY_SECONDS)
    assert scene.wished == 1
    scene.broken = False
    await scene.look()
    assert scene.settled[-1] == Place(ETH0, None)
    assert scene.clock.pending() == []


async def test_a_fault_is_told_once_and_again_when_it_is_back(scene: Scene) -> None:
    scene.hosts.write_text("10.0.0.2\nnonsense/24\n")
    assert len(await scene.look()) == 1
    assert await scene.look() == []
    scene.hosts.write_text("10.0.0.2\n")
    assert await scene.look() == []
    scene.hosts.write_text("10.0.0.2\nnonsense/24\n")
    assert len(await scene.look()) == 1


async def test_a_pipe_in_place_of_the_hosts_file(scene: Scene) -> None:
    os.mkfifo(scene.hosts)
    assert "it is not a regular file; beacons go by multicast" in (await scene.look())[0]
    assert scene.settled[-1] == Place(ETH0, None)


async def test_names_with_more_addresses_than_can_be_served(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.hosts.write_text("10.0.0.2 many\n")

    def addresses_of(host: str, *, numeric: bool = False) -> tuple[tuple[str, int], ...]:
        if host != "many":
            return ((host, 0),)
        if numeric:
            raise OSError
        return tuple((f"10.1.{number // 200}.{number % 200 + 1}", 0) for number in range(HOSTS_MAX))

    monkeypatch.setattr(names, "addresses_of", addresses_of)
    monkeypatch.setattr(presence, "addresses_of", addresses_of)
    assert await scene.look() == []
    assert scene.settled[-1] == Place(ETH0, (("10.0.0.2", 8086, 0),))  # what is known already
    async with asyncio.timeout(10):
        while not scene.presence._names.look(["many"]):
            await asyncio.sleep(0)
    scene.clock.advance(GATHER_SECONDS)
    assert scene.wished == 1
    assert f"{HOSTS_MAX + 1} addresses are behind its names" in (await scene.look())[0]
    place = scene.settled[-1]
    assert place is not None
    assert len(place.destinations or ()) == HOSTS_MAX
