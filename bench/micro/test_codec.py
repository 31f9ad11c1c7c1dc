"""drop._fast.codec, the client's side of the protocol: what a call costs in Python.

The time is for MESSAGES messages: microseconds are nanoseconds per message.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from drop._fast.codec import ANSWER, CALL, Decoder, Encoder, Requests

if TYPE_CHECKING:
    from drop._fast.codec import Frame

Pedantic = Callable[..., Any]  # BenchmarkFixture.pedantic has no types of its own

MESSAGES = 1000
ROUNDS = 200  # where each round needs a state of its own
PAYLOAD = b"x" * 100
PACKET = 200  # bytes of a whole frame: the size of a beacon
HEADER = 16


@pytest.fixture(autouse=True)
def group(benchmark: BenchmarkFixture) -> None:
    benchmark.group = f"codec: {MESSAGES} messages"


class Waiter:
    """The least that a future must do."""

    def done(self) -> bool:
        return False

    def cancelled(self) -> bool:
        return False

    def set_result(self, result: bytes, /) -> None:
        self.result = result

    def set_exception(self, exception: BaseException, /) -> None:
        raise exception


def answers(size: int) -> bytes:
    """MESSAGES ANSWER frames with a body of `size` bytes."""
    head = ((12 + size, ANSWER, 0, 0, 0, number) for number in range(MESSAGES))
    return b"".join(struct.pack(">IBBBBQ", *each) + b"y" * size for each in head)


def test_encode_requests(benchmark: BenchmarkFixture) -> None:
    encoder = Encoder()

    def encode() -> bytes:
        for number in range(MESSAGES):
            encoder.request(CALL, number, "echo", PAYLOAD, 1000)
        return encoder.take()

    size = HEADER + 4 + len("echo") + len(PAYLOAD)
    assert len(benchmark(encode)) == MESSAGES * size


def decode(frames: bytes) -> int:
    """How many frames there are, each taken apart."""
    decoder = Decoder(1 << 20, capacity=len(frames))
    decoder.feed(frames)
    count = 0
    while decoder.next_frame() is not None:
        count += 1
    return count


def test_decode_answers(benchmark: BenchmarkFixture) -> None:
    assert benchmark(decode, answers(len(PAYLOAD))) == MESSAGES


def test_decode_packets_of_200_bytes(benchmark: BenchmarkFixture) -> None:
    assert benchmark(decode, answers(PACKET - HEADER)) == MESSAGES


def answers_to(calls: bytes) -> bytes:
    """The answers that a node would send to these CALL frames, which are all of one size."""
    size = len(calls) // MESSAGES
    ids = (calls[at + 8 : at + HEADER] for at in range(0, len(calls), size))
    head = struct.pack(">IBBBB", 12 + len(PAYLOAD), ANSWER, 0, 0, 0)
    return b"".join(head + each + PAYLOAD for each in ids)


def new_requests() -> Requests:
    requests = Requests()
    requests.calls_max, requests.payload_max = MESSAGES, 1 << 20
    return requests


def make_calls(requests: Requests) -> bytes:
    waiter = Waiter()
    for _ in range(MESSAGES):
        requests.call(waiter, CALL, "echo", PAYLOAD, 1000, 1e9)
    return requests.encoder.take()


def test_encode_calls(benchmark: BenchmarkFixture) -> None:
    """What a client does to send: encode a call, and remember who waits for its answer."""

    def prepare() -> tuple[tuple[Requests], dict[str, object]]:
        return (new_requests(),), {}

    pedantic: Pedantic = benchmark.pedantic
    calls = pedantic(make_calls, setup=prepare, rounds=ROUNDS)
    assert len(calls) == MESSAGES * (HEADER + 4 + len("echo") + len(PAYLOAD))


def test_deliver_answers(benchmark: BenchmarkFixture) -> None:
    """What a client does with what it has received: find who waits, hand over the answer."""

    def prepare() -> tuple[tuple[Requests, Decoder], dict[str, object]]:
        requests = new_requests()
        replies = answers_to(make_calls(requests))
        decoder = Decoder(1 << 20, capacity=len(replies))
        decoder.feed(replies)
        return (requests, decoder), {}

    def deliver(requests: Requests, decoder: Decoder) -> int:
        others: list[Frame] = []
        count = decoder.deliver(requests, None, others)
        return count - len(others) - requests.outstanding

    pedantic: Pedantic = benchmark.pedantic
    assert pedantic(deliver, setup=prepare, rounds=ROUNDS) == MESSAGES
