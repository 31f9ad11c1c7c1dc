"""AsyncClient against a peer on a real socket, well-behaved and not."""

import asyncio
import math
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from drop.client import (
    AsyncClient,
    BadRequest,
    CallTimeout,
    ConnectionLost,
    FunctionError,
    NoPool,
    Overloaded,
    ProtocolError,
    TooLarge,
    Unauthorized,
    connection,
    limits,
    queue,
)
from drop.testing.reference import Frame, Type, answer, event, goaway, split_request, welcome
from drop.testing.server import Line, Peer

MIB = 1 << 20


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's own clocks run a hundred times as fast."""
    for name in (
        "MARGIN_S",
        "WATCH_S",
        "WATCH_IDLE_S",
        "SILENCE_PING_S",
        "SILENCE_MAX_S",
        "CLOSE_S",
    ):
        monkeypatch.setattr(limits, name, getattr(limits, name) / 100)


async def test_the_whole_interface() -> None:
    async with Peer() as peer, AsyncClient(peer.address, name="me") as client:
        assert await client.call("echo", b"bytes") == b"bytes"
        assert await client.call("echo", "text ö") == "text ö".encode()
        assert await client.call("echo", bytearray(b"array")) == b"array"
        assert await client.publish("echo", b"x") == b""
        await client.cast("echo", b"forget me", timeout=2)
        assert await client.statistics("some") == {"pool": "some"}
        assert await client.control("flow.start", name="f") == {"op": "flow.start", "name": "f"}
        assert 0 < await client.ping() < 10
        await peer.until(lambda: peer.seen(Type.CAST))
        assert split_request(peer.seen(Type.CAST)[0]) == (2000, "echo", b"forget me")
        assert repr(client) == f"<AsyncClient me ({peer.address}) connected>"


async def test_one_write_and_one_connection_for_many_calls() -> None:
    async with Peer(piecewise=True) as peer, AsyncClient(peer.address) as client:
        calls = [client.call("echo", str(i), timeout=9) for i in range(200)]
        assert await asyncio.gather(*calls) == [str(i).encode() for i in range(200)]
        assert peer.connections == 1
        assert {split_request(frame)[0] for frame in peer.seen(Type.CALL)} == {9000}


async def test_over_a_unix_socket(var_dir: Path) -> None:
    path = str(var_dir / "drop.sock")
    async with Peer(path=path) as peer, AsyncClient(f"unix:{path}") as client:
        assert await client.call("echo", b"x") == b"x"
        assert peer.connections == 1


async def test_connects_by_itself() -> None:
    async with Peer() as peer:
        client = AsyncClient(peer.address)
        assert await asyncio.gather(client.call("a", b"1"), client.call("b", b"2")) == [b"1", b"2"]
        await client.close()
        with pytest.raises(ConnectionLost, match="closed"):
            await client.call("a", b"1")
        with pytest.raises(ConnectionLost, match="closed"):
            client.subscribe("a")


async def test_what_the_node_says_becomes_typed_errors() -> None:
    async with Peer() as peer, AsyncClient(peer.address) as client:
        with pytest.raises(NoPool, match="no pool 'absent'"):
            await client.call("absent", b"")
        with pytest.raises(NoPool):
            await client.publish("absent", b"")
        with pytest.raises(FunctionError, match="died"):
            await client.call("broken", b"")


async def test_what_cannot_be_sent_costs_nothing() -> None:
    async with Peer(greeting=welcome(payload_max=4)) as peer, AsyncClient(peer.address) as client:
        with pytest.raises(TooLarge, match="5 bytes: this node takes at most 4"):
            await client.call("echo", b"12345")
        with pytest.raises(BadRequest, match="pool name"):
            await client.call("a b", b"")
        with pytest.raises(TypeError):
            await client.call("echo", 5)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="timeout"):
            client.call("echo", b"", timeout=0)
        assert await client.call("echo", b"1234") == b"1234"
        assert len(peer.seen(Type.CALL)) == 1


async def test_call_many_in_order_with_failures_in_place() -> None:
    def fail_some(line: Line, frame: Frame) -> None:
        if frame.type == Type.CALL and split_request(frame)[2].endswith(b"7"):
            line.send(answer(frame.id, b"seven", 1))
        else:
            peer.echo(line, frame)

    async with Peer(answer=fail_some) as peer, AsyncClient(peer.address) as client:
        results = await client.call_many("echo", (str(i) for i in range(5000)))
        assert len(results) == 5000
        for i, result in enumerate(results):
            if i % 10 == 7:
                assert isinstance(result, FunctionError)
            else:
                assert result == str(i).encode()
        assert await client.call_many("echo", []) == []
        with pytest.raises(BadRequest):
            await client.call_many("a b", [b"x"])


async def test_call_many_with_payloads_larger_than_any_buffer() -> None:
    payloads = [bytes([i]) * MIB for i in range(20)]
    async with Peer() as peer, AsyncClient(peer.address) as client:
        assert await client.call_many("echo", payloads) == payloads


async def test_the_window_of_the_node_is_kept() -> None:
    async with Peer(greeting=welcome(calls_max=3)) as peer, AsyncClient(peer.address) as client:
        held: list[Callable[[], None]] = []
        most = 0

        def hold(line: Line, frame: Frame) -> None:
            nonlocal most
            if frame.type != Type.CALL:
                peer.echo(line, frame)
                return
            held.append(lambda: line.send(answer(frame.id, split_request(frame)[2])))
            most = max(most, len(held))

        peer.answer = hold
        calls = [client.call("echo", str(i)) for i in range(10)]
        many = asyncio.ensure_future(client.call_many("echo", [b"x"] * 10))
        for _ in range(20):
            await peer.until(lambda: held)
            held.pop(0)()
        assert await asyncio.gather(*calls) == [str(i).encode() for i in range(10)]
        assert await many == [b"x"] * 10
        assert most <= 3


async def test_cancelling_the_future_cancels_at_the_node(impatient: None) -> None:
    async with Peer() as peer, AsyncClient(peer.address) as client:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.call("silent", b"x"), 0.05)
        await peer.until(lambda: peer.seen(Type.CANCEL))
        [call], [cancel] = peer.seen(Type.CALL), peer.seen(Type.CANCEL)
        assert (cancel.id, cancel.body) == (call.id, b"silent")
        assert await client.call("echo", b"still here") == b"still here"


async def test_cancelling_call_many_cancels_its_calls(impatient: None) -> None:
    async with Peer() as peer, AsyncClient(peer.address) as client:
        many = asyncio.ensure_future(client.call_many("silent", [b"x"] * 5))
        await peer.until(lambda: len(peer.seen(Type.CALL)) == 5)
        many.cancel()
        await peer.until(lambda: len(peer.seen(Type.CANCEL)) == 5)
        assert many.cancelled()


async def test_a_node_that_forgets_a_call_is_noticed(impatient: None) -> None:
    """It goes on answering others, so the connection stays."""
    async with Peer() as peer, AsyncClient(peer.address) as client:
        forgotten = client.call("silent", b"x", timeout=0.05)
        while not forgotten.done():
            assert await client.call("echo", b"y") == b"y"
        with pytest.raises(CallTimeout):
            await forgotten
        assert peer.connections == 1


async def test_a_silent_node_loses_its_connection(impatient: None) -> None:
    async with Peer() as peer, AsyncClient(peer.address, reconnect=False) as client:
        patient = client.call("silent", b"x", timeout=math.inf)
        with pytest.raises(CallTimeout):
            await client.call("silent", b"x", timeout=0.01)
        with pytest.raises(ConnectionLost, match="silent"):
            await patient
        await peer.until(lambda: not peer.lines)


async def test_without_timeouts_a_silent_node_is_asked_then_given_up(impatient: None) -> None:
    def deaf(line: Line, frame: Frame) -> None:
        if frame.type != Type.PING:
            peer.echo(line, frame)

    async with Peer() as peer, AsyncClient(peer.address, reconnect=False) as client:
        waiting = client.call("silent", b"x", timeout=math.inf)
        await peer.until(lambda: len(peer.seen(Type.PING)) >= 3)  # answered: all is well
        assert not waiting.done()
        peer.answer = deaf
        with pytest.raises(ConnectionLost, match="has been silent"):
            await waiting


async def test_calls_in_flight_fail_with_the_connection_and_are_not_sent_again() -> None:
    async with Peer() as peer, AsyncClient(peer.address) as client:
        calls = [client.call("silent", b"x") for _ in range(3)]
        await peer.until(lambda: len(peer.seen(Type.CALL)) == 3)
        peer.cut()
        for call in calls:
            with pytest.raises(ConnectionLost, match=peer.address):
                await call
        assert await client.call("echo", b"after") == b"after"
        assert peer.connections == 2
        assert len(peer.seen(Type.CALL)) == 4


async def test_calls_made_while_reconnecting_wait() -> None:
    async with Peer() as peer, AsyncClient(peer.address) as client:
        await client.ping()
        await peer.shut()
        with pytest.raises(ConnectionLost):
            await client.call("silent", b"notices the loss", timeout=0.05)
        call = client.call("echo", b"x", timeout=10)
        cast = asyncio.ensure_future(client.cast("echo", b"y"))
        many = asyncio.ensure_future(client.call_many("echo", [b"z"] * 3))
        with pytest.raises(ConnectionLost, match="not connected within the timeout"):
            await client.call("echo", b"too short", timeout=0.02)
        await peer.listen()
        assert await call == b"x"
        await cast
        assert await many == [b"z"] * 3


async def test_goaway_is_in_the_exception() -> None:
    async with Peer() as peer, AsyncClient(peer.address) as client:
        call = client.call("silent", b"x")
        await peer.until(lambda: peer.seen(Type.CALL))
        peer.cut(answer(peer.seen(Type.CALL)[0].id, b"just in time"), goaway(8, "node stops"))
        assert await call == b"just in time"
        second = client.call("silent", b"x")
        await peer.until(lambda: len(peer.seen(Type.CALL)) == 2)
        peer.tell(goaway(3, "you read too slowly"))
        with pytest.raises(ConnectionLost, match="overloaded: you read too slowly"):
            await second


async def test_a_wrong_token_is_not_tried_again() -> None:
    async with Peer(token=b"secret") as peer:
        async with AsyncClient(peer.address, token=b"secret") as client:
            assert await client.call("echo", b"x") == b"x"
        refused = AsyncClient(peer.address, token=b"wrong")
        with pytest.raises(Unauthorized, match="wrong token"):
            await refused.connect()
        with pytest.raises(Unauthorized):
            await refused.call("echo", b"x")
        await refused.close()


async def test_nobody_listens(free_port: int) -> None:
    client = AsyncClient(f"127.0.0.1:{free_port}")
    with pytest.raises(ConnectionLost, match=f"127.0.0.1:{free_port}: .*refused"):
        await client.connect()
    with pytest.raises(ConnectionLost, match="refused"):
        await client.call("echo", b"x")
    await client.close()


async def test_somebody_else_listens() -> None:
    async with Peer(greeting=b"HTTP/1.1 400 Bad Request\r\n\r\n") as peer:
        client = AsyncClient(peer.address)
        with pytest.raises(ProtocolError, match="is it a DROP node"):
            await client.connect()
        await client.close()


async def test_nobody_says_welcome() -> None:
    async with Peer(greeting=b"") as peer:
        client = AsyncClient(peer.address, connect_timeout=0.05)
        with pytest.raises(ConnectionLost, match=r"no WELCOME within 0\.05 s"):
            await client.connect()
        await client.close()


async def test_an_event_that_nobody_asked_for() -> None:
    async with Peer() as peer, AsyncClient(peer.address, reconnect=False) as client:
        call = client.call("silent", b"x")
        await peer.until(lambda: peer.seen(Type.CALL))
        peer.tell(event(5, b"what?"))
        with pytest.raises(ProtocolError, match="nobody asked for"):
            await call


async def test_without_reconnect_a_lost_connection_stays_lost() -> None:
    async with Peer() as peer, AsyncClient(peer.address, reconnect=False) as client:
        await client.ping()
        call = client.call("silent", b"x")
        await peer.until(lambda: peer.seen(Type.CALL))
        peer.cut()
        with pytest.raises(ConnectionLost, match="the connection ended"):
            await call
        with pytest.raises(ConnectionLost, match="the connection ended"):
            await client.call("echo", b"x")
        with pytest.raises(ConnectionLost, match="reconnect is off"):
            await client.call("echo", b"x")
        assert peer.connections == 1


async def test_close_fails_what_is_outstanding() -> None:
    async with Peer() as peer:
        client = AsyncClient(peer.address)
        call = client.call("silent", b"x")
        await peer.until(lambda: peer.seen(Type.CALL))
        await client.cast("echo", b"last words")
        await client.close()
        with pytest.raises(ConnectionLost, match="the client was closed"):
            await call
        await peer.until(lambda: peer.seen(Type.CAST))
        await client.close()


async def test_a_node_that_does_not_read_bounds_the_client(
    monkeypatch: pytest.MonkeyPatch, impatient: None
) -> None:
    """What the kernel does not take waits in the queue; beyond that calls are refused."""
    monkeypatch.setattr(limits, "MARGIN_S", 10)
    monkeypatch.setattr(queue, "WAITING_MAX", 50)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        port = listener.getsockname()[1]
        client = AsyncClient(f"127.0.0.1:{port}")
        connecting = asyncio.ensure_future(client.connect())
        loop = asyncio.get_running_loop()
        accepted, _ = await loop.run_in_executor(None, listener.accept)
        with accepted:
            accepted.sendall(welcome().encode())
            await connecting
            calls = []
            while len(calls) < 1000 and not (calls and calls[-1].done()):
                calls.append(client.call("echo", bytes(MIB)))
                await asyncio.sleep(0)
            with pytest.raises(Overloaded, match="50 calls"):
                await calls[-1]
            assert 50 < len(calls) < 100
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.cast("echo", b"x"), 0.05)
            await client.close()
        errors = await asyncio.gather(*calls[:-1], return_exceptions=True)
        assert all(isinstance(error, ConnectionLost) for error in errors)


async def test_an_answer_of_16_mib_byte_exact() -> None:
    payload = bytes(range(256)) * (16 * MIB // 256)
    async with Peer() as peer, AsyncClient(peer.address) as client:
        assert await client.call("echo", payload) == payload


async def test_many_turns_of_connections_leave_nothing() -> None:
    async with Peer() as peer:
        for _ in range(20):
            async with AsyncClient(peer.address) as client:
                assert await client.call("echo", b"x") == b"x"
        await peer.until(lambda: not peer.lines)
    names = {task.get_name() for task in asyncio.all_tasks()}
    assert not [name for name in names if name.startswith("drop.client")]
    assert issubclass(connection.Connection, asyncio.BufferedProtocol)
