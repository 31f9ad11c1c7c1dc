"""The clients and the node's core speak the same protocol: each promise once, end to end."""

import asyncio

import pytest

from drop.client import AsyncClient, BadRequest, Client, NoPool, TooLarge

MIB = 1 << 20


async def test_async_client(echo_port: int) -> None:
    async with AsyncClient(f"127.0.0.1:{echo_port}") as client:
        assert await client.call("echo", b"hello") == b"hello"
        calls = [client.call("echo", str(i)) for i in range(500)]  # more than calls_max
        assert await asyncio.gather(*calls) == [str(i).encode() for i in range(500)]
        many = await client.call_many("echo", [str(i) for i in range(3000)])
        assert many == [str(i).encode() for i in range(3000)]
        with pytest.raises(NoPool, match="echo"):
            await client.call("eco", b"x")
        with pytest.raises(BadRequest, match="newline"):
            await client.call("echo", b"a\nb")
        with pytest.raises(TooLarge, match=str(MIB)):
            await client.call("echo", bytes(MIB + 1))
        assert await client.ping() > 0
        assert "echo" in str(await client.statistics("echo"))


async def test_async_subscription(echo_port: int) -> None:
    async with (
        AsyncClient(f"127.0.0.1:{echo_port}") as client,
        client.subscribe("echo", b"tag:") as filtered,
        client.subscribe("echo", wait=True) as every,
    ):
        for text in ("tag:1", "other", "tag:2"):
            await client.publish("echo", text)
        await client.cast("echo", "tag:3")
        assert [await anext(filtered) for _ in range(3)] == [b"tag:1", b"tag:2", b"tag:3"]
        assert [await anext(every) for _ in range(4)] == [b"tag:1", b"other", b"tag:2", b"tag:3"]
        with pytest.raises(NoPool):
            await client.subscribe("eco").start()


def test_blocking_client(echo_port: int) -> None:
    with Client(f"127.0.0.1:{echo_port}") as client:
        assert client.call("echo", "hello") == b"hello"
        assert client.call("echo", bytes([65]) * MIB) == bytes([65]) * MIB
        results = client.call_many("echo", [str(i) for i in range(3000)])
        assert results == [str(i).encode() for i in range(3000)]
        with pytest.raises(NoPool, match="echo"):
            client.call("eco", b"x")
        with client.subscribe("echo", "tag:") as events:
            client.publish("echo", "tag:1")
            client.cast("echo", "tag:2")
            assert [next(events), next(events)] == [b"tag:1", b"tag:2"]
        assert client.ping() > 0
