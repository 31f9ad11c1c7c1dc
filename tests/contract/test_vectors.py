"""The vectors of docs/protocol.md hold for the reference codec and for the client's native one."""

import pytest

from contract.vectors import VECTORS, Vector
from drop._fast.codec import CALL, CAST, PARTS, PUBLISH, Decoder, Encoder
from drop.client import AsyncClient, Client, ProtocolError
from drop.errors import STATUS
from drop.testing.reference import (
    FROM_CLIENT,
    FROM_NODE,
    Frame,
    Malformed,
    Type,
    answer,
    check,
    decode,
)
from drop.testing.server import Line, Peer, PeerThread

FRAME_MAX = 1 << 20

# Good frames that are wrong only because of where they come: no codec can see that.
WRONG_PLACE = {"early-call", "bad-version", "second-hello", "no-pool", "node-second-welcome"}

# How the client's encoder says what the page says in hex.
ENCODE = {
    "hello": lambda e: e.hello(),
    "hello-token": lambda e: e.hello(b"secret", 1, 3),
    "call": lambda e: e.request(CALL, 1, "echo", b"hello", 1000),
    "call-empty": lambda e: e.request(CALL, 2**64 - 1, "a", b""),
    "call-binary": lambda e: e.request(CALL, 2, "$control", b"\x00\n\r\xff", 2**32 - 1),
    "call-parts": lambda e: e.request(CALL, 1, "sort", b"b", 0, PARTS),
    "cast": lambda e: e.request(CAST, 0, "log:a/b-c_d.e", "x"),
    "publish": lambda e: e.request(PUBLISH, 3, "echo", memoryview(b"x"), 250),
    "subscribe": lambda e: e.subscribe(4, "echo"),
    "subscribe-wait": lambda e: e.subscribe(5, "echo", b"tag:", True),
    "unsubscribe": lambda e: e.unsubscribe(4),
    "cancel": lambda e: e.cancel(1, "echo"),
    "ping": lambda e: e.ping(6, b"are you there"),
    "ping-empty": lambda e: e.ping(0),
    "statistics": lambda e: e.statistics(7),
    "statistics-pool": lambda e: e.statistics(8, "echo"),
}


def chosen(sender: str, *verdicts: str) -> list[Vector]:
    return [v for v in VECTORS if v.sender == sender and v.verdict.split()[0] in verdicts]


def named(vector: Vector) -> str:
    return vector.name


def test_the_page_is_complete() -> None:
    names = [vector.name for vector in VECTORS]
    assert len(set(names)) == len(names)
    good = {Type(vector.data[4]) for vector in VECTORS if vector.verdict == "ok"}
    assert good == set(Type)
    for vector in VECTORS:
        kind, *status = vector.verdict.split()
        assert kind in ("ok", "goaway", "answer", "close"), vector.name
        assert all(word in STATUS.values() for word in status), vector.name
    assert set(ENCODE) == {vector.name for vector in chosen("client", "ok")}


@pytest.mark.parametrize("vector", [v for v in VECTORS if v.verdict == "ok"], ids=named)
def test_reference_reads_and_writes_good_frames(vector: Vector) -> None:
    [frame], rest = decode(vector.data + b"\x00\x00")
    assert rest == b"\x00\x00"
    check(frame)
    assert frame.encode() == vector.data
    assert frame.type in (FROM_CLIENT if vector.sender == "client" else FROM_NODE)
    for cut in range(len(vector.data)):
        assert decode(vector.data[:cut]) == ([], vector.data[:cut])


@pytest.mark.parametrize(
    "vector",
    [v for v in VECTORS if v.verdict != "ok" and v.name not in WRONG_PLACE],
    ids=named,
)
def test_reference_refuses_bad_frames(vector: Vector) -> None:
    allowed = FROM_CLIENT if vector.sender == "client" else FROM_NODE
    with pytest.raises(Malformed):
        refuse_wrong_sender(decode(vector.data)[0], allowed)


def refuse_wrong_sender(frames: list[Frame], allowed: frozenset[Type]) -> None:
    for frame in frames:
        check(frame)
        if frame.type not in allowed:
            raise Malformed("the other side sends this")


@pytest.mark.parametrize("vector", chosen("client", "ok"), ids=named)
def test_encoder_writes_the_page(vector: Vector) -> None:
    encoder = Encoder()
    ENCODE[vector.name](encoder)
    assert len(encoder) == len(vector.data)
    assert encoder.take().hex() == vector.data.hex()


@pytest.mark.parametrize("vector", chosen("node", "ok"), ids=named)
def test_decoder_reads_the_page(vector: Vector) -> None:
    [expected], _ = decode(vector.data)
    whole = Decoder(FRAME_MAX)
    assert whole.feed(vector.data * 2) == 2 * len(vector.data)
    assert [whole.next_frame(), whole.next_frame(), whole.next_frame()] == [
        expected,
        expected,
        None,
    ]
    bytewise = Decoder(FRAME_MAX, 16)
    for i in range(len(vector.data) - 1):
        bytewise.feed(vector.data[i : i + 1])
        assert bytewise.next_frame() is None
    bytewise.feed(vector.data[-1:])
    assert bytewise.next_frame() == expected


@pytest.mark.parametrize(
    "vector", [v for v in chosen("node", "close") if v.name not in WRONG_PLACE], ids=named
)
@pytest.mark.parametrize("step", [1, 1000])
def test_decoder_refuses_the_page(vector: Vector, step: int) -> None:
    good = answer(7, b"good").encode()
    data = good + vector.data
    decoder = Decoder(FRAME_MAX)
    frames: list[object] = []
    with pytest.raises(ProtocolError):
        read_all(decoder, [data[i : i + step] for i in range(0, len(data), step)], frames)
    assert frames == [answer(7, b"good")]
    with pytest.raises(ProtocolError):
        decoder.next_frame()


def read_all(decoder: Decoder, pieces: list[bytes], frames: list[object]) -> None:
    for piece in pieces:
        decoder.feed(piece)
        while (frame := decoder.next_frame()) is not None:
            frames.append(frame)


def answer_with(vector: Vector) -> Peer:
    """A node that answers CALLs with the vector."""

    def reply(line: Line, frame: Frame) -> None:
        if frame.type == Type.CALL:
            line.send(vector.data)
        else:
            peer.echo(line, frame)

    peer = Peer(answer=reply)
    return peer


@pytest.mark.parametrize("vector", chosen("node", "close"), ids=named)
async def test_async_client_closes(vector: Vector) -> None:
    async with answer_with(vector) as peer, AsyncClient(peer.address, reconnect=False) as client:
        with pytest.raises(ProtocolError, match=peer.address):
            await client.call("echo", b"x", timeout=10)
        await peer.until(lambda: not peer.lines)


@pytest.mark.parametrize("vector", chosen("node", "close"), ids=named)
def test_blocking_client_closes(vector: Vector) -> None:
    with (
        PeerThread(lambda: answer_with(vector)) as thread,
        Client(thread.peer.address, reconnect=False) as client,
        pytest.raises(ProtocolError, match=thread.peer.address),
    ):
        client.call("echo", b"x", timeout=10)
