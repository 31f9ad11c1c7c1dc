"""The blocking Client against a peer on a real socket, in a thread of its own."""

import math
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from drop.client import (
    BadRequest,
    CallTimeout,
    Client,
    ConnectionLost,
    FunctionError,
    NoPool,
    ProtocolError,
    TooLarge,
    Unauthorized,
    blocking_subscription,
    limits,
)
from drop.testing.reference import Frame, Type, answer, event, gap, goaway, split_request, welcome
from drop.testing.server import Line, Peer, PeerThread

MIB = 1 << 20


@pytest.fixture
def thread() -> Iterator[PeerThread]:
    with PeerThread() as thread:
        yield thread


@pytest.fixture
def client(thread: PeerThread) -> Iterator[Client]:
    with Client(thread.peer.address) as client:
        yield client


def test_the_whole_interface(thread: PeerThread, client: Client) -> None:
    assert client.call("echo", b"bytes") == b"bytes"
    assert client.call("echo", "text ö", timeout=math.inf) == "text ö".encode()
    client.publish("echo", b"x")
    client.cast("echo", b"forget me", timeout=2)
    assert client.statistics("some") == {"pool": "some"}
    assert client.control("flow.list") == {"op": "flow.list"}
    assert 0 < client.ping() < 10
    casts = [frame for frame in thread.peer.received if frame.type == Type.CAST]
    assert split_request(casts[0]) == (2000, "echo", b"forget me")
    assert thread.peer.connections == 1
    assert repr(client) == f"<Client {thread.peer.address} 1 idle connections>"


def test_typed_errors_leave_the_connection_in_use(thread: PeerThread, client: Client) -> None:
    with pytest.raises(NoPool, match="no pool 'absent'"):
        client.call("absent", b"")
    with pytest.raises(FunctionError, match="died"):
        client.call("broken", b"")
    with pytest.raises(BadRequest):
        client.call("a b", b"")
    with pytest.raises(ValueError, match="timeout"):
        client.call("echo", b"", timeout=-1)
    assert client.call("echo", b"x") == b"x"
    assert thread.peer.connections == 1


def test_payload_max_is_checked_at_once() -> None:
    with (
        PeerThread(lambda: Peer(greeting=welcome(payload_max=4))) as thread,
        Client(thread.peer.address) as client,
    ):
        with pytest.raises(TooLarge, match="at most 4"):
            client.call("echo", b"12345")
        assert client.call("echo", b"1234") == b"1234"


def test_answers_in_single_bytes() -> None:
    with (
        PeerThread(lambda: Peer(piecewise=True)) as thread,
        Client(thread.peer.address) as client,
    ):
        assert client.call("echo", b"x" * 300) == b"x" * 300
        assert client.call_many("echo", [b"y"] * 50) == [b"y"] * 50


def test_call_many(client: Client) -> None:
    results = client.call_many("echo", (str(i) for i in range(5000)))
    assert results == [str(i).encode() for i in range(5000)]
    assert client.call_many("echo", []) == []
    failed = client.call_many("absent", [b"x"] * 3)
    assert all(isinstance(error, NoPool) for error in failed)
    with pytest.raises(BadRequest):
        client.call_many("a b", [b"x"])


def test_call_many_does_not_deadlock_on_large_payloads(client: Client) -> None:
    """Far more than all socket buffers hold, both ways at the same time."""
    payloads = [bytes([i]) * MIB for i in range(40)]
    assert client.call_many("echo", payloads) == payloads


def test_threads_do_not_wait_for_each_other(thread: PeerThread) -> None:
    held: list[tuple[Line, Frame]] = []

    def meet(line: Line, frame: Frame) -> None:
        """Answers only when eight calls are there at the same time."""
        if frame.type != Type.CALL:
            thread.peer.echo(line, frame)
            return
        held.append((line, frame))
        if len(held) == 8:
            for other, call in held:
                other.send(answer(call.id, split_request(call)[2]))

    thread.peer.answer = meet
    with Client(thread.peer.address) as client, ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(client.call, "echo", str(i), timeout=20) for i in range(8)]
        assert [call.result() for call in calls] == [str(i).encode() for i in range(8)]
    assert thread.peer.connections == 8


def test_threads_share_what_is_idle(thread: PeerThread) -> None:
    with Client(thread.peer.address) as client, ThreadPoolExecutor(4) as pool:
        expected = [str(i).encode() for i in range(400)]
        assert list(pool.map(lambda i: client.call("echo", str(i)), range(400))) == expected
        assert thread.peer.connections <= 5


def test_a_call_that_is_not_answered(
    monkeypatch: pytest.MonkeyPatch, thread: PeerThread, client: Client
) -> None:
    monkeypatch.setattr(limits, "MARGIN_S", 0.01)
    with pytest.raises(CallTimeout, match="no answer within"):
        client.call("silent", b"x", timeout=0.02)
    failed = client.call_many("silent", [b"x"] * 3, timeout=0.02)
    assert [type(error) for error in failed] == [CallTimeout] * 3
    assert client.call("echo", b"a new connection") == b"a new connection"
    assert thread.peer.connections == 3


def answer_once_then_cut(peer: Peer) -> None:
    def reply(line: Line, frame: Frame) -> None:
        if frame.type == Type.CALL:
            peer.answer = peer.echo
            peer.cut(goaway(8, "restarts"))
        else:
            peer.echo(line, frame)

    peer.answer = reply


def test_a_call_in_flight_fails_and_is_not_sent_again(thread: PeerThread, client: Client) -> None:
    thread.do(answer_once_then_cut)
    with pytest.raises(ConnectionLost, match="draining: restarts"):
        client.call("echo", b"x")
    assert client.call("echo", b"y") == b"y"
    calls = [split_request(f)[2] for f in thread.peer.received if f.type == Type.CALL]
    assert calls == [b"x", b"y"]


def test_call_many_goes_on_over_the_next_connection(thread: PeerThread, client: Client) -> None:
    thread.do(answer_once_then_cut)
    results = client.call_many("echo", [b"x"] * 4000)
    lost = [result for result in results if isinstance(result, ConnectionLost)]
    assert 0 < len(lost) < 4000
    assert results[-1] == b"x"
    assert len(lost) + results.count(b"x") == 4000


def test_an_idle_connection_that_ended_is_not_used(
    monkeypatch: pytest.MonkeyPatch, thread: PeerThread, client: Client
) -> None:
    monkeypatch.setattr(limits, "IDLE_CHECK_S", 0.0)
    thread.do(lambda peer: peer.cut(goaway(8, "restarts")))
    assert client.call("echo", b"x") == b"x"
    assert thread.peer.connections == 2


def test_without_reconnect_a_lost_connection_stays_lost(thread: PeerThread) -> None:
    with Client(thread.peer.address, reconnect=False) as client:
        thread.do(answer_once_then_cut)
        with pytest.raises(ConnectionLost, match="restarts"):
            client.call("echo", b"x")
        with pytest.raises(ConnectionLost, match="reconnect is off"):
            client.call("echo", b"x")


def test_connecting_again_is_tried_for_the_timeout_of_the_call() -> None:
    with PeerThread() as thread:
        client = Client(thread.peer.address)
        assert client.call("echo", b"x") == b"x"
        port = thread.peer.port
    with pytest.raises(ConnectionLost):
        client.call("echo", b"in flight when it ended")
    with pytest.raises(ConnectionLost, match="refused"):
        client.call("echo", b"not for long", timeout=0.1)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.call, "echo", b"x", timeout=20)
        with PeerThread(lambda: Peer(port=port)):
            assert call.result() == b"x"
            client.close()
    with pytest.raises(ConnectionLost, match="the client is closed"):
        client.call("echo", b"x")


def test_nobody_listens(free_port: int, tmp_path: Path) -> None:
    with pytest.raises(ConnectionLost, match=r"refused; is drop-node running"):
        Client(f"127.0.0.1:{free_port}").call("echo", b"x")
    with pytest.raises(ConnectionLost, match="No such file"):
        Client(f"unix:{tmp_path}/none.sock").call("echo", b"x")


def test_over_a_unix_socket(var_dir: Path) -> None:
    path = str(var_dir / "drop.sock")
    with PeerThread(lambda: Peer(path=path)), Client(f"unix:{path}") as client:
        assert client.call("echo", b"x") == b"x"


def test_tokens() -> None:
    with PeerThread(lambda: Peer(token=b"secret")) as thread:
        with Client(thread.peer.address, token=b"secret") as client:
            assert client.call("echo", b"x") == b"x"
        with pytest.raises(Unauthorized, match="wrong token"):
            Client(thread.peer.address, token=b"wrong").connect()


@pytest.mark.parametrize("greeting", [b"HTTP/1.1 400 Bad Request\r\n\r\n", answer(1)])
def test_somebody_else_listens(greeting: Frame | bytes) -> None:
    with (
        PeerThread(lambda: Peer(greeting=greeting)) as thread,
        pytest.raises(ProtocolError),
    ):
        Client(thread.peer.address).connect()


def test_nobody_says_welcome() -> None:
    with (
        PeerThread(lambda: Peer(greeting=b"")) as thread,
        pytest.raises(ConnectionLost, match=r"no WELCOME within 0\.05 s"),
    ):
        Client(thread.peer.address, connect_timeout=0.05).connect()


def test_a_node_that_does_not_read() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = Client(f"127.0.0.1:{listener.getsockname()[1]}")
        with ThreadPoolExecutor(1) as pool:
            call = pool.submit(client.call, "echo", bytes(16 * MIB), timeout=0.2)
            accepted, _ = listener.accept()
            with accepted:
                accepted.sendall(welcome().encode())
                with pytest.raises(CallTimeout, match="reads too slowly"):
                    call.result()


def subscription_of(peer: Peer) -> tuple[Line, int]:
    [found] = [(line, id) for line in peer.lines for id in line.subscriptions]
    return found


def send(peer: Peer, *payloads: bytes) -> None:
    line, id = subscription_of(peer)
    line.send(*(event(id, payload) for payload in payloads))


def test_subscription(thread: PeerThread, client: Client) -> None:
    with client.subscribe("echo", "tag:") as events:
        for text in ("tag:1", "other", "tag:2"):
            client.publish("echo", text)
        assert [next(events), next(events)] == [b"tag:1", b"tag:2"]
        thread.do(lambda peer: subscription_of(peer)[0].send(gap(subscription_of(peer)[1], 3)))
        thread.do(lambda peer: send(peer, b"tag:3"))
        assert next(events) == b"tag:3"
        assert (events.lost, events.reconnects) == (3, 0)
    assert list(events) == []
    with pytest.raises(NoPool):
        client.subscribe("absent")


def test_subscription_is_renewed(thread: PeerThread, client: Client) -> None:
    def cut(peer: Peer) -> None:
        send(peer, b"before")
        peer.cut(goaway(8, "restarts"))

    def send_when_renewed(line: Line, frame: Frame) -> None:
        thread.peer.echo(line, frame)
        if frame.type == Type.SUBSCRIBE:
            send(thread.peer, b"after")

    with client.subscribe("echo", wait=True) as events:
        thread.do(cut)
        thread.peer.answer = send_when_renewed
        assert [next(events), next(events)] == [b"before", b"after"]
        assert events.reconnects == 1


def test_subscription_without_reconnect(thread: PeerThread) -> None:
    with Client(thread.peer.address, reconnect=False) as client:
        events = client.subscribe("echo")
        thread.do(lambda peer: peer.cut(goaway(8, "the node stops")))
        with pytest.raises(ConnectionLost, match="the node stops"):
            next(events)
        events.close()


def test_closing_a_subscription_from_another_thread(client: Client) -> None:
    events = client.subscribe("echo")
    closer = threading.Timer(0.05, events.close)
    closer.start()
    assert list(events) == []
    closer.join()


def test_a_silent_node_is_asked(
    monkeypatch: pytest.MonkeyPatch, thread: PeerThread, client: Client
) -> None:
    monkeypatch.setattr(blocking_subscription, "SILENCE_PING_S", 0.02)

    def answer_ping(line: Line, frame: Frame) -> None:
        thread.peer.echo(line, frame)
        if frame.type == Type.PING:
            send(thread.peer, b"at last")

    thread.peer.answer = answer_ping
    with client.subscribe("echo") as events:
        assert next(events) == b"at last"
        assert events.reconnects == 0
