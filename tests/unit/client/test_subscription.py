"""Subscriptions of AsyncClient against a peer on a real socket: order, loss, renewal, bounds."""

import asyncio

import pytest

from drop.client import AsyncClient, BadRequest, ConnectionLost, NoPool, limits
from drop.testing.reference import Frame, Type, event, gap, goaway
from drop.testing.server import Line, Peer


async def subscribed(peer: Peer, times: int = 1) -> tuple[Line, int]:
    """The line and the id of the last subscription, when there have been so many."""
    await peer.until(lambda: len(peer.seen(Type.SUBSCRIBE)) == times)
    [(line, id)] = [(line, id) for line in peer.lines for id in line.subscriptions]
    return line, id


async def test_events_come_in_order_and_filtered() -> None:
    async with Peer() as peer, AsyncClient(peer.address) as client:
        async with client.subscribe("echo", "tag:") as events:
            for text in ("tag:1", "other", "tag:2", "xtag:3"):
                await client.publish("echo", text)
            assert [await anext(events) for _ in range(3)] == [b"tag:1", b"tag:2", b"xtag:3"]
            assert (events.lost, events.reconnects) == (0, 0)
        assert [event async for event in events] == []
        frame = peer.seen(Type.SUBSCRIBE)[0]
        assert (frame.flags, frame.body) == (0, b"echotag:")


async def test_iterating_starts_it_and_close_ends_it() -> None:
    async with Peer() as peer, AsyncClient(peer.address) as client:
        events = client.subscribe("echo", wait=True)
        first = asyncio.ensure_future(anext(events))
        line, id = await subscribed(peer)
        line.send(event(id, b"one"), event(id, b"two"))
        assert await first == b"one"
        waiting = [asyncio.ensure_future(anext(events)), asyncio.ensure_future(anext(events))]
        assert await waiting[0] == b"two"
        await events.close()
        with pytest.raises(StopAsyncIteration):
            await waiting[1]
        assert peer.seen(Type.SUBSCRIBE)[0].flags == 1


async def test_what_the_node_refuses_is_raised_at_the_start() -> None:
    async with Peer() as peer, AsyncClient(peer.address) as client:
        with pytest.raises(NoPool, match="absent"):
            async with client.subscribe("absent"):
                pytest.fail("it was refused")
        with pytest.raises(NoPool):
            await anext(client.subscribe("absent"))
        with pytest.raises(BadRequest, match="filter of 1025 bytes"):
            await client.subscribe("echo", bytes(1025)).start()
        await peer.until(lambda: len(peer.lines) <= 1)


async def test_gaps_are_counted() -> None:
    async with (
        Peer() as peer,
        AsyncClient(peer.address) as client,
        client.subscribe("echo") as events,
    ):
        line, id = await subscribed(peer)
        line.send(event(id, b"a"), gap(id, 40), gap(id, 2), event(id, b"b"))
        assert [await anext(events), await anext(events)] == [b"a", b"b"]
        assert events.lost == 42


async def test_it_is_renewed_and_that_is_visible() -> None:
    async with (
        Peer() as peer,
        AsyncClient(peer.address) as client,
        client.subscribe("echo", b"f") as events,
    ):
        line, id = await subscribed(peer)
        peer.cut(event(id, b"before"), goaway(8, "restarts"))
        assert await anext(events) == b"before"
        line, id = await subscribed(peer, 2)
        line.send(event(id, b"after"))
        assert await anext(events) == b"after"
        assert events.reconnects == 1
        assert [frame.body for frame in peer.seen(Type.SUBSCRIBE)] == [b"echof", b"echof"]


async def test_it_waits_for_the_pool_of_a_restarted_node() -> None:
    """The flow may not be loaded yet: no_pool ends a subscription only when it is new."""

    def not_yet(line: Line, frame: Frame) -> None:
        if frame.type == Type.SUBSCRIBE and len(peer.seen(Type.SUBSCRIBE)) in (2, 3):
            frame = frame._replace(body=b"absent", code=6)
        peer.echo(line, frame)

    async with (
        Peer(answer=not_yet) as peer,
        AsyncClient(peer.address) as client,
        client.subscribe("echo") as events,
    ):
        await subscribed(peer)
        peer.cut()
        line, id = await subscribed(peer, 4)
        line.send(event(id, b"after"))
        assert await anext(events) == b"after"
        assert events.reconnects == 1


async def test_without_reconnect_it_ends_with_the_reason() -> None:
    async with (
        Peer() as peer,
        AsyncClient(peer.address, reconnect=False) as client,
        client.subscribe("echo") as events,
    ):
        _, id = await subscribed(peer)
        peer.cut(event(id, b"last"), goaway(8, "the node stops"))
        assert await anext(events) == b"last"
        with pytest.raises(ConnectionLost, match="the node stops"):
            await anext(events)


async def test_without_wait_a_slow_program_loses_events_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "EVENTS_MAX", 10)
    async with (
        Peer() as peer,
        AsyncClient(peer.address) as client,
        client.subscribe("echo") as events,
    ):
        line, id = await subscribed(peer)
        line.send(*(event(id, b"%d" % i) for i in range(25)), gap(id, 1))
        while events.lost < 16:
            await asyncio.sleep(0)
        assert [await anext(events) for _ in range(10)] == [b"%d" % i for i in range(10)]
        assert events.lost == 16


async def test_with_wait_a_slow_program_holds_the_node_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Far more events than fit anywhere: all arrive, in order; the client's share is bounded."""
    monkeypatch.setattr(limits, "EVENTS_WAIT", 10)
    count, size = 3000, 10_000
    async with (
        Peer() as peer,
        AsyncClient(peer.address) as client,
        client.subscribe("echo", wait=True) as events,
    ):
        line, id = await subscribed(peer)
        for i in range(count):
            line.send(event(id, b"%06d" % i + bytes(size)))
        for i in range(count):
            assert (await anext(events))[:6] == b"%06d" % i
            assert len(events._events) < 100
        assert events.lost == 0


async def test_client_close_ends_subscriptions() -> None:
    async with Peer() as peer:
        client = AsyncClient(peer.address)
        events = client.subscribe("echo")
        await events.start()
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        await client.close()
        with pytest.raises(StopAsyncIteration):
            await waiting
        await peer.until(lambda: not peer.lines)


async def test_a_silent_node_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WATCH_S", "WATCH_IDLE_S", "SILENCE_PING_S"):
        monkeypatch.setattr(limits, name, 0.01)
    async with (
        Peer() as peer,
        AsyncClient(peer.address) as client,
        client.subscribe("echo") as events,
    ):
        await peer.until(lambda: len(peer.seen(Type.PING)) >= 3)
        assert events.reconnects == 0
