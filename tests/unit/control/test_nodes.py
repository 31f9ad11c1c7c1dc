"""What the operations on nodes say to requests that are odd, unclear or too many."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from drop.cluster.history import Changes
from drop.control.nodes import (
    HELD_SECONDS_MIN,
    WATCH_SECONDS_MAX,
    WATCHERS_MAX,
    NodesError,
    Watchers,
    node_forget,
)
from drop.testing.clock import FakeClock

NODES = [
    {"id": "aaaa" * 8, "name": "n0", "state": "self"},
    {"id": "abcd" + "01" * 14, "name": "n1", "state": "alive"},
    {"id": "abcd" + "02" * 14, "name": "n2", "state": "dead"},
    {"id": "ef01" + "03" * 14, "name": "twin", "state": "alive"},
    {"id": "ef02" + "04" * 14, "name": "twin", "state": "dead"},
]


class Discovery:
    def __init__(self) -> None:
        self.forgotten: list[str] = []
        self.watched: list[tuple[int, float]] = []
        self.holds = False

    def document(self) -> dict[str, Any]:
        return {"nodes": NODES}

    def forget(self, node_id: bytes) -> None:
        self.forgotten.append(node_id.hex())

    async def changes(self, revision: int, seconds: float) -> Changes:
        self.watched.append((revision, seconds))
        if seconds and self.holds:
            await asyncio.get_running_loop().create_future()
        return Changes(revision, [], False)


@pytest.fixture
def node() -> Any:
    return SimpleNamespace(discovery=Discovery(), clock=FakeClock())


async def refused(node: Any, wanted: object) -> str:
    with pytest.raises(NodesError) as caught:
        await node_forget(node, {"node": wanted})
    assert node.discovery.forgotten == []
    return str(caught.value)


async def test_a_name_or_the_begin_of_an_id(node: Any) -> None:
    assert await node_forget(node, {"node": "n2"}) == {"id": NODES[2]["id"], "name": "n2"}
    assert await node_forget(node, {"node": "EF02"}) == {"id": NODES[4]["id"], "name": "twin"}
    assert node.discovery.forgotten == [NODES[2]["id"], NODES[4]["id"]]


async def test_what_means_several_is_no_choice_of_ours(node: Any) -> None:
    assert f"{NODES[1]['id']} (alive), {NODES[2]['id']} (dead)" in await refused(node, "abcd")
    assert f"{NODES[3]['id']} (alive), {NODES[4]['id']} (dead)" in await refused(node, "twin")


async def test_the_node_itself(node: Any) -> None:
    assert "is the node that is asked" in await refused(node, "n0")
    assert "is the node that is asked" in await refused(node, "AAAAaaaa")


async def test_a_begin_that_is_too_short(node: Any) -> None:
    assert await refused(node, "ab") == (
        "no node 'ab' has been seen; of an id, at least 4 digits are needed"
    )


@pytest.mark.parametrize("wanted", ["x" * 60_000, "\x1b[2J" * 10_000, ["x"] * 10_000, None, ""])
async def test_what_is_no_name(node: Any, wanted: object) -> None:
    text = await refused(node, wanted)
    assert len(text) < 500
    assert text.isprintable()


ODD = (-1, float("nan"), float("inf"), -0.5, True, None, "1", [1])


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize("key", ["revision", "seconds"])
async def test_odd_numbers_are_refused(node: Any, key: str, value: object) -> None:
    with pytest.raises(NodesError, match=f"`{key}`: found .*, expected a number from 0"):
        await Watchers(node).node_watch({key: value})


async def test_huge_numbers_are_cut(node: Any) -> None:
    await Watchers(node).node_watch({"revision": 1.5, "seconds": 1e300})
    assert node.discovery.watched == [(1, WATCH_SECONDS_MAX)]


async def test_whoever_waits_for_longest_makes_room(node: Any) -> None:
    node.discovery.holds = True
    watchers = Watchers(node)

    def watch(revision: int) -> asyncio.Task[dict[str, Any]]:
        return asyncio.ensure_future(watchers.node_watch({"revision": revision, "seconds": 9}))

    held = [watch(number) for number in range(WATCHERS_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(NodesError, match="16 watch already"):
        await watch(99)
    node.clock.advance(HELD_SECONDS_MIN)
    held.append(watch(16))
    assert (await held[0])["revision"] == 0
    assert not any(each.done() for each in held[1:])
    for each in held[1:]:
        each.cancel()
    await asyncio.gather(*held[1:], return_exceptions=True)
    node.discovery.holds = False  # and nobody is counted who has gone
    assert (await watch(17))["revision"] == 17
