"""The vectors of docs/protocol.md against the node's own core, on a real socket.

A vector comes whole, byte by byte, and between other frames in one write; the effect is the same.
"""

import socket
from dataclasses import dataclass

import pytest

from contract.vectors import VECTORS, Vector
from drop.errors import STATUS
from drop.testing.reference import FROM_NODE, Frame, Type, check, decode, hello, request

SHAPES = ("whole", "bytewise", "between")
PING = Frame(Type.PING, id=77, body=b"still there")
PONG = Frame(Type.PONG, id=77, body=b"still there")
BEFORE = Frame(Type.PING, id=76)
FROM_CLIENT = [vector for vector in VECTORS if vector.sender == "client"]
CODES = {name: code for code, name in STATUS.items()}


@dataclass
class Node:
    port: int

    def say(self, vector: Vector, shape: str, *, ping: bool) -> list[Frame]:
        """What the node sends, from its WELCOME to the end of the connection."""
        first = b"" if vector.first or vector.name.startswith("hello") else hello().encode()
        behind = PING.encode() if ping or shape == "between" else b""
        before = BEFORE.encode() if first and shape == "between" else b""
        data = first + before + vector.data + behind
        with socket.create_connection(("127.0.0.1", self.port), 10) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                for piece in [data] if shape != "bytewise" else map(int.to_bytes, data):
                    client.sendall(piece)
                client.shutdown(socket.SHUT_WR)
            except ConnectionError:
                pass  # it has closed already; what it said is still there
            return frames_until_end(client)


def frames_until_end(client: socket.socket) -> list[Frame]:
    data = b""
    try:
        while piece := client.recv(1 << 16):
            data += piece
    except ConnectionResetError:
        pass  # bytes behind a bad frame are not read
    frames, rest = decode(data)
    assert rest == b""
    for frame in frames:
        check(frame)
        assert frame.type in FROM_NODE
    return frames


@pytest.fixture
def node(echo_port: int) -> Node:
    return Node(echo_port)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("vector", FROM_CLIENT, ids=lambda vector: vector.name)
def test_node_does_what_the_page_says(node: Node, vector: Vector, shape: str) -> None:
    kind, *status = vector.verdict.split()
    frames = node.say(vector, shape, ping=kind != "goaway")
    if kind == "goaway":
        assert frames[-1].type == Type.GOAWAY
        assert STATUS[frames[-1].code] == status[0]
        assert frames[-1].body.decode()
        assert PONG not in frames
        return
    assert frames[0].type == Type.WELCOME
    assert PONG in frames
    if kind == "answer":
        [answer] = [frame for frame in frames if frame.type == Type.ANSWER]
        assert answer.code == CODES[status[0]]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_call_is_answered_by_its_function(node: Node, shape: str) -> None:
    call = next(vector for vector in VECTORS if vector.name == "call")
    expected = next(vector for vector in VECTORS if vector.name == "answer")
    [answer] = [f for f in node.say(call, shape, ping=False) if f.type == Type.ANSWER]
    assert answer.encode() == expected.data


def test_a_bad_frame_costs_only_its_own_connection(node: Node) -> None:
    with socket.create_connection(("127.0.0.1", node.port), 10) as other:
        other.sendall(hello().encode())
        for vector in FROM_CLIENT:
            if vector.verdict.startswith("goaway"):
                node.say(vector, "whole", ping=False)
        other.sendall(request(Type.CALL, 5, "echo", b"unharmed").encode())
        other.shutdown(socket.SHUT_WR)
        frames = frames_until_end(other)
    assert [frame.body for frame in frames if frame.type == Type.ANSWER] == [b"unharmed"]
