"""call_parts() of both clients against a peer: order, errors, leaving early, and broken nodes."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import aclosing, closing

import pytest

from drop.client import (
    AsyncClient,
    BadRequest,
    CallTimeout,
    Client,
    ConnectionLost,
    FunctionError,
    NoPool,
    ProtocolError,
    TooLarge,
)
from drop.testing.reference import (
    PARTS,
    Frame,
    Type,
    answer,
    goaway,
    part,
    split_request,
    welcome,
)
from drop.testing.server import Line, Peer, PeerThread

TEXT = b"one\ntwo\nthree"
MIB = 1 << 20


def reply_with(*frames: Callable[[int], Frame | bytes]) -> Callable[[Line, Frame], None]:
    """A node that answers every call with the same frames."""

    def reply(line: Line, frame: Frame) -> None:
        if frame.type == Type.CALL:
            line.send(*(make(frame.id) for make in frames))
        else:
            line.peer.echo(line, frame)

    return reply


ONE_AND_FAIL = reply_with(lambda id: part(id, b"one"), lambda id: answer(id, b"no", 1))
ONE_AND_SILENCE = reply_with(lambda id: part(id, b"one"))
ONE_AND_NONSENSE = reply_with(lambda id: part(id, b"one"), lambda id: b"HTTP/1.1 400 Bad Request")
ONE_AND_GOODBYE = reply_with(lambda id: part(id, b"one"), lambda id: goaway(8, "bye"))
WHOLE_IN_PARTS = reply_with(lambda id: part(id, b"one"), lambda id: answer(id, b"two"))


# -- asyncio --------------------------------------------------------------------------------------


async def test_parts_in_order() -> None:
    async with Peer(piecewise=True) as peer, AsyncClient(peer.address, timeout=9) as client:
        assert [each async for each in client.call_parts("lines", TEXT)] == [
            b"one\n",
            b"two\n",
            b"three",
        ]
        assert [each async for each in client.call_parts("echo", TEXT)] == [TEXT]
        assert [each async for each in client.call_parts("lines", "")] == []
        calls = peer.seen(Type.CALL)
        assert [call.flags for call in calls] == [PARTS] * 3
        assert all(8000 < split_request(call)[0] <= 9000 for call in calls)
        assert len({call.id >> 16 for call in calls}) == 3


async def test_many_at_the_same_time() -> None:
    async with Peer() as peer, AsyncClient(peer.address) as client:

        async def collect(text: str) -> list[bytes]:
            return [each async for each in client.call_parts("lines", text)]

        found = await asyncio.gather(*(collect(f"{n}\nx\n{n}") for n in range(20)))
        assert found == [[b"%d\n" % n, b"x\n", b"%d" % n] for n in range(20)]


async def test_what_is_refused() -> None:
    async with Peer(greeting=welcome(payload_max=4)) as peer, AsyncClient(peer.address) as client:
        with pytest.raises(NoPool) as refused:
            await anext(client.call_parts("absent", b""))
        assert refused.value.call_id == f"{peer.seen(Type.CALL)[0].id:016x}"
        with pytest.raises(TooLarge):
            await anext(client.call_parts("echo", b"12345"))
        with pytest.raises(BadRequest):
            await anext(client.call_parts("a b", b""))
        with pytest.raises(ValueError, match="timeout"):
            await anext(client.call_parts("echo", b"", timeout=0))
        await peer.until(lambda: len(peer.lines) == 1)  # none of them left a connection


async def test_an_error_comes_behind_the_parts() -> None:
    async with Peer(answer=ONE_AND_FAIL) as peer, AsyncClient(peer.address) as client:
        parts = client.call_parts("echo", b"")
        assert await anext(parts) == b"one"
        with pytest.raises(FunctionError, match="no"):
            await anext(parts)


@pytest.mark.parametrize(
    ("reply", "error"), [(ONE_AND_NONSENSE, ProtocolError), (ONE_AND_GOODBYE, ConnectionLost)]
)
async def test_a_connection_that_ends(
    reply: Callable[[Line, Frame], None], error: type[ConnectionLost]
) -> None:
    async with Peer(answer=reply) as peer, AsyncClient(peer.address) as client:
        parts = client.call_parts("echo", b"")
        assert await anext(parts) == b"one"
        with pytest.raises(error, match=peer.address) as lost:
            await anext(parts)
        assert lost.value.call_id == f"{peer.seen(Type.CALL)[0].id:016x}"
        assert await client.ping() > 0  # that was another connection


async def test_a_node_that_does_not_keep_the_time() -> None:
    async with Peer(answer=ONE_AND_SILENCE) as peer, AsyncClient(peer.address) as client:
        parts = client.call_parts("echo", b"", timeout=0.05)
        assert await anext(parts) == b"one"
        with pytest.raises(CallTimeout, match="in time") as late:
            await anext(parts)
        assert late.value.call_id == f"{peer.seen(Type.CALL)[0].id:016x}"


async def test_leaving_early_cancels() -> None:
    async with Peer(answer=ONE_AND_SILENCE) as peer, AsyncClient(peer.address) as client:
        async with aclosing(client.call_parts("echo", b"")) as parts:
            assert await anext(parts) == b"one"
        await peer.until(lambda: peer.seen(Type.CANCEL))
        [call], [cancel] = peer.seen(Type.CALL), peer.seen(Type.CANCEL)
        assert (cancel.id, cancel.body) == (call.id, b"echo")
        await peer.until(lambda: len(peer.lines) == 1)


async def test_a_task_that_is_cancelled_cancels() -> None:
    async with Peer(answer=ONE_AND_SILENCE) as peer, AsyncClient(peer.address) as client:

        async def collect() -> None:
            async for _ in client.call_parts("echo", b""):
                pass

        task = asyncio.create_task(collect())
        await peer.until(lambda: peer.seen(Type.CALL))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await peer.until(lambda: peer.seen(Type.CANCEL))


async def test_closing_the_client_ends_them() -> None:
    async with Peer(answer=ONE_AND_SILENCE) as peer:
        client = AsyncClient(peer.address)
        parts = client.call_parts("echo", b"")
        assert await anext(parts) == b"one"
        waiting = asyncio.ensure_future(anext(parts))
        await asyncio.sleep(0)
        await client.close()
        with pytest.raises(ConnectionLost, match="closed"):
            await waiting
        with pytest.raises(ConnectionLost, match="closed"):
            await anext(client.call_parts("echo", b""))


async def test_a_call_that_takes_no_parts_gets_none() -> None:
    async with Peer(answer=WHOLE_IN_PARTS) as peer, AsyncClient(peer.address) as client:
        with pytest.raises(ProtocolError, match="as a whole"):
            await client.call("echo", b"")
        assert [each async for each in client.call_parts("echo", b"")] == [b"one", b"two"]


async def test_parts_of_nobodys_call_are_dropped() -> None:
    async with Peer() as peer, AsyncClient(peer.address) as client:
        await client.ping()
        peer.tell(part(7, b"whose?"), answer(7, b"whose?"))
        assert await client.call("echo", b"x") == b"x"
        assert peer.connections == 1


async def test_large_payloads_of_both_ways() -> None:
    large = [bytes([65 + n]) * (3 * MIB + n) for n in range(4)]
    async with Peer() as peer, AsyncClient(peer.address) as client:
        calls = [client.call("echo", each) for each in large]
        small = client.call("echo", b"small")  # behind them
        assert await asyncio.gather(*calls) == large
        assert await small == b"small"
        assert [each async for each in client.call_parts("echo", large[0])] == [large[0]]
        await client.cast("cast", large[1])
    assert split_request(peer.seen(Type.CALL)[0])[2] == large[0]


async def test_what_was_cast_has_left_when_the_client_is_closed() -> None:
    large = bytes(9 * MIB)
    async with Peer() as peer:
        async with AsyncClient(peer.address) as client:
            await client.cast("echo", large)
            await client.cast("echo", b"small")
        await peer.until(lambda: len(peer.seen(Type.CAST)) == 2)
        assert [split_request(each)[2] for each in peer.seen(Type.CAST)] == [large, b"small"]


# -- blocking -------------------------------------------------------------------------------------


@pytest.fixture
def thread() -> Iterator[PeerThread]:
    with PeerThread() as made:
        yield made


def test_blocking_parts_in_order(thread: PeerThread) -> None:
    with Client(thread.peer.address, timeout=9) as client:
        assert list(client.call_parts("lines", TEXT)) == [b"one\n", b"two\n", b"three"]
        assert list(client.call_parts("echo", TEXT)) == [TEXT]
        assert list(client.call_parts("lines", "")) == []
        with pytest.raises(NoPool) as refused:
            next(client.call_parts("absent", b""))
        with pytest.raises(BadRequest):
            next(client.call_parts("a b", b""))
        with pytest.raises(ValueError, match="timeout"):
            next(client.call_parts("echo", b"", timeout=0))
        assert refused.value.call_id == f"{thread.peer.seen(Type.CALL)[-1].id:016x}"
        assert thread.peer.connections == 1


def test_blocking_parts_beside_other_calls(thread: PeerThread) -> None:
    with Client(thread.peer.address) as client:
        parts = client.call_parts("lines", TEXT)
        assert next(parts) == b"one\n"
        assert client.call("echo", b"x") == b"x"
        assert list(parts) == [b"two\n", b"three"]
        assert thread.peer.connections == 2


def served(reply: Callable[[Line, Frame], None]) -> PeerThread:
    return PeerThread(lambda: Peer(answer=reply))


def test_blocking_error_behind_the_parts() -> None:
    with served(ONE_AND_FAIL) as thread, Client(thread.peer.address) as client:
        parts = client.call_parts("echo", b"")
        assert next(parts) == b"one"
        with pytest.raises(FunctionError, match="no"):
            next(parts)
        assert client.ping() > 0
        assert thread.peer.connections == 1


@pytest.mark.parametrize(
    ("reply", "error"), [(ONE_AND_NONSENSE, ProtocolError), (ONE_AND_GOODBYE, ConnectionLost)]
)
def test_blocking_connection_that_ends(
    reply: Callable[[Line, Frame], None], error: type[ConnectionLost]
) -> None:
    with served(reply) as thread, Client(thread.peer.address) as client:
        parts = client.call_parts("echo", b"")
        assert next(parts) == b"one"
        with pytest.raises(error, match=thread.peer.address) as lost:
            next(parts)
        assert lost.value.call_id == f"{thread.peer.seen(Type.CALL)[0].id:016x}"


def test_blocking_node_that_does_not_keep_the_time() -> None:
    with served(ONE_AND_SILENCE) as thread, Client(thread.peer.address) as client:
        parts = client.call_parts("echo", b"", timeout=0.05)
        assert next(parts) == b"one"
        with pytest.raises(CallTimeout, match="no part of the answer within"):
            next(parts)


def test_blocking_timeouts_tell_the_call(thread: PeerThread) -> None:
    with Client(thread.peer.address) as client:
        with pytest.raises(CallTimeout) as late:
            client.call("silent", b"", timeout=0.05)
        assert late.value.call_id == f"{thread.peer.seen(Type.CALL)[-1].id:016x}"


@pytest.mark.parametrize("how", ["close", "drop"])
def test_blocking_leaving_early_cancels(how: str) -> None:
    with served(ONE_AND_SILENCE) as thread, Client(thread.peer.address) as client:
        if how == "close":
            with closing(client.call_parts("echo", b"")) as parts:
                assert next(parts) == b"one"
        else:
            for each in client.call_parts("echo", b""):
                assert each == b"one"
                break
        thread.until(lambda peer: peer.seen(Type.CANCEL) and not peer.lines)
        [call], [cancel] = thread.peer.seen(Type.CALL), thread.peer.seen(Type.CANCEL)
        assert (cancel.id, cancel.body) == (call.id, b"echo")


def test_blocking_call_that_takes_no_parts_gets_none() -> None:
    with served(WHOLE_IN_PARTS) as thread, Client(thread.peer.address) as client:
        with pytest.raises(ProtocolError, match="as a whole"):
            client.call("echo", b"")
        assert list(client.call_parts("echo", b"")) == [b"one", b"two"]


def test_blocking_large_payloads_of_both_ways(thread: PeerThread) -> None:
    large = bytes(9 * MIB)
    with Client(thread.peer.address) as client:
        assert client.call("echo", large) == large
        assert client.call_many("echo", [large, b"small", large]) == [large, b"small", large]
        assert list(client.call_parts("echo", large)) == [large]
        client.cast("echo", large)
        assert client.call("echo", b"small") == b"small"
        assert thread.peer.connections == 1
