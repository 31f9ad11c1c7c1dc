"""The native codec: answers in parts, payloads that are not copied, and where ids start."""

import gc
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drop._fast.codec import CALL, CAST, Batch, Decoder, Encoder, Requests
from drop.client.terms import first_generation
from drop.errors import FunctionError, NoPool, Overloaded, ProtocolError
from drop.testing import reference
from drop.testing.reference import Frame

LARGE = 256 << 10


class Taker:
    """Who takes an answer in parts, without a loop."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.result: object = None

    def done(self) -> bool:
        return self.result is not None

    def cancelled(self) -> bool:
        return False

    def part(self, part: bytes) -> None:
        self.parts.append(part)

    def set_result(self, result: bytes) -> None:
        self.result = result

    def set_exception(self, exception: BaseException) -> None:
        self.result = exception


def table(first: int = 1) -> Requests:
    made = Requests(first)
    made.calls_max, made.payload_max = 100, 1 << 30
    return made


def taken(encoder: Encoder) -> list[bytes]:
    """All that is encoded, as it would be written."""
    pieces = []
    while piece := encoder.take():
        pieces.append(piece)
    return pieces


def sent(requests: Requests) -> list[Frame]:
    frames, rest = reference.decode(b"".join(taken(requests.encoder)))
    assert rest == b""
    return frames


def feed(decoder: Decoder, requests: Requests, data: bytes, step: int = 1 << 30) -> list[object]:
    """Delivers `data` in steps; what nobody in the table waits for."""
    others: list[tuple[int, int, int, int, bytes]] = []
    for start in range(0, len(data), step):
        piece = memoryview(data)[start : start + step]
        while piece:
            piece = piece[decoder.feed(piece) :]
            decoder.deliver(requests, None, others)
    return list(others)


@pytest.mark.parametrize("capacity", [16, 40, 1 << 16])
@pytest.mark.parametrize("step", [1, 7, 1 << 30])
def test_parts_and_their_end(capacity: int, step: int) -> None:
    requests, taker, other = table(), Taker(), Taker()
    requests.call(taker, CALL, "p", b"", 0, 1.0, True)
    requests.call(other, CALL, "p", b"", 0, 1.0)
    call, whole = sent(requests)
    assert (call.flags, whole.flags) == (reference.PARTS, 0)
    frames = [
        reference.part(call.id, b"one"),
        reference.answer(whole.id, b"whole"),
        reference.part(call.id, b""),
        reference.part(call.id, bytes(50)),
        reference.answer(call.id, b"end"),
        reference.part(call.id, b"too late"),
        reference.part(7, b"of nobody's"),
    ]
    data = b"".join(frame.encode() for frame in frames)
    assert feed(Decoder(1 << 20, capacity), requests, data, step) == []
    assert (taker.parts, taker.result) == ([b"one", b"", bytes(50)], b"end")
    assert (other.parts, other.result) == ([], b"whole")
    assert requests.outstanding == 0


def test_an_error_may_end_the_parts() -> None:
    requests, taker = table(), Taker()
    requests.call(taker, CALL, "p", b"", 0, 1.0, True)
    [call] = sent(requests)
    data = reference.part(call.id, b"one").encode() + reference.answer(call.id, b"no", 1).encode()
    feed(Decoder(1 << 20), requests, data)
    assert taker.parts == [b"one"]
    assert isinstance(taker.result, FunctionError)
    assert taker.result.call_id == f"{call.id:016x}"


@pytest.mark.parametrize("capacity", [16, 1 << 16])
def test_a_part_of_what_was_to_be_whole_is_an_error_of_the_node(capacity: int) -> None:
    requests, taker, batch = table(), Taker(), Batch([b"x"])
    requests.call(taker, CALL, "p", b"", 0, 1.0)
    requests.call_batch(batch, "p", 0, 1.0, 10, 1000)
    for call in sent(requests):
        with pytest.raises(ProtocolError, match="as a whole"):
            feed(Decoder(1 << 20, capacity), requests, reference.part(call.id, b"one").encode())
    assert taker.parts == []


@given(
    st.lists(st.integers(0, 5000), max_size=12),
    st.integers(1, 3000),
    st.integers(16, 2000),
)
def test_answers_of_any_size_in_any_buffer(sizes: list[int], step: int, capacity: int) -> None:
    requests = table()
    takers = [Taker() for _ in sizes]
    for taker in takers:
        requests.call(taker, CALL, "p", b"", 0, 1.0, True)
    bodies = [bytes([number]) * size for number, size in enumerate(sizes)]
    data = b"".join(
        reference.part(call.id, body).encode() + reference.answer(call.id, body).encode()
        for call, body in zip(sent(requests), bodies, strict=True)
    )
    assert feed(Decoder(1 << 20, capacity), requests, data, step) == []
    assert [(taker.parts, taker.result) for taker in takers] == [([b], b) for b in bodies]


@given(st.lists(st.integers(0, 200), max_size=9), st.integers(1, 300), st.integers(16, 100))
def test_events_and_others_of_any_size(sizes: list[int], step: int, capacity: int) -> None:
    decoder, requests = Decoder(1 << 20, capacity), table()
    events: list[bytes] = []
    others: list[tuple[int, int, int, int, bytes]] = []
    data = b"".join(
        reference.event(4, bytes(size)).encode() + reference.answer(9, bytes(size), 8).encode()
        for size in sizes
    )
    while data:
        taken_now = decoder.feed(data[:step])
        data = data[taken_now:]
        decoder.deliver(requests, events, others)
    assert [len(event) for event in events] == sizes
    assert others == [reference.answer(9, bytes(size), 8) for size in sizes]


def test_a_large_answer_is_received_where_it_is_handed_out() -> None:
    requests, taker, decoder = table(), Taker(), Decoder(1 << 24)
    requests.call(taker, CALL, "p", b"", 0, 1.0)
    [call] = sent(requests)
    head = reference.answer(call.id, bytes(1 << 20)).encode()[:20]
    decoder.feed(head)
    decoder.deliver(requests, None, [])
    view = decoder.get_buffer()
    assert (len(view), decoder.pending) == ((1 << 20) - 4, 20)  # nothing of the next frame
    view[:] = b"x" * len(view)
    decoder.received(len(view))
    decoder.deliver(requests, None, [])
    assert taker.result == bytes(4) + b"x" * ((1 << 20) - 4)
    assert decoder.pending == 0
    with pytest.raises(ValueError, match="received"):
        decoder.received((1 << 16) + 1)


def test_a_view_outlives_its_decoder() -> None:
    decoder = Decoder(1 << 24)
    decoder.feed(reference.answer(1, bytes(1 << 20)).encode()[:16])
    assert decoder.next_frame() is None
    view = decoder.get_buffer()
    del decoder
    gc.collect()
    view[-1:] = b"x"
    assert bytes(view[-1:]) == b"x"


@pytest.mark.parametrize("waiter", [Taker(), None])
def test_a_large_payload_is_not_copied(waiter: Taker | None) -> None:
    requests = table()
    large, small = bytes(range(256)) * (LARGE // 256), b"small"
    before = sys.getrefcount(large)
    kind = CALL if waiter else CAST
    payloads = [small, large, small, large, large, small]
    for payload in payloads:
        waiting = requests.call(waiter, kind, "p", payload, 5, 1.0)
    assert waiting == len(requests.encoder) == sum(21 + len(payload) for payload in payloads)
    pieces = taken(requests.encoder)
    assert [piece is large for piece in pieces] == [False, True, False, True, False, True, False]
    assert (len(requests.encoder), requests.encoder.take()) == (0, b"")
    frames, rest = reference.decode(b"".join(pieces))
    assert ([reference.split_request(frame)[2] for frame in frames], rest) == (payloads, b"")
    del pieces, payloads, payload
    assert sys.getrefcount(large) == before


def test_what_the_program_may_change_is_copied() -> None:
    requests, text = table(), "é" * LARGE
    changing = bytearray(LARGE)
    requests.call(Taker(), CALL, "p", changing, 0, 1.0)
    requests.call(Taker(), CALL, "p", text, 0, 1.0)
    changing[:] = b"x" * LARGE
    payloads = [reference.split_request(frame)[2] for frame in sent(requests)]
    assert payloads == [bytes(LARGE), text.encode()]


def test_a_batch_counts_what_is_not_copied() -> None:
    requests, batch = table(), Batch([bytes(LARGE)] * 9)
    assert requests.call_batch(batch, "p", 0, 1.0, 100, LARGE + 100) == 2
    assert len(sent(requests)) == 2


def test_ids_start_where_they_are_told() -> None:
    requests = table(0x1234_5678_9ABC)
    for _ in range(3):
        requests.call(Taker(), CALL, "p", b"", 0, 1.0)
    requests.call(None, CAST, "p", b"", 0, 1.0)
    requests.call(None, CAST, "p", b"", 0, 1.0)
    ids = [frame.id for frame in sent(requests)]
    assert ids[0] == 0x1234_5678_9ABC_0000
    assert len({*ids}) == 5  # also of what has no answer
    assert all(id >> 16 in (0x1234_5678_9ABC, 0x1234_5678_9ABD) for id in ids)
    for bad in (0, (1 << 47) + 1):
        with pytest.raises(ValueError, match="generation"):
            Requests(bad)


def test_a_place_has_another_id_each_time() -> None:
    requests, ids = table(1 << 47), []
    for _ in range(3):
        requests.call(Taker(), CALL, "p", b"", 0, 1.0)
        [call] = sent(requests)
        ids.append(call.id)
        feed(Decoder(1 << 20), requests, reference.answer(call.id).encode())
    assert ids == [((1 << 47) + n) << 16 for n in range(3)]
    assert max(ids) < 1 << 64


def test_first_generations_differ() -> None:
    found = {first_generation() for _ in range(1000)}
    assert len(found) == 1000
    assert all(1 <= first <= 1 << 47 for first in found)


def test_a_full_table_refuses() -> None:
    requests = table()
    requests.calls_max = 1 << 20
    batch = Batch([b""] * (1 << 16))
    assert requests.call_batch(batch, "p", 0, 1.0, 1 << 20, 1 << 30) == 1 << 16
    with pytest.raises(Overloaded, match="65536"):
        requests.call(Taker(), CALL, "p", b"", 0, 1.0)
    with pytest.raises(Overloaded):
        requests.ping(Taker(), b"", 1.0)
    assert requests.call(None, CAST, "p", b"", 0, 1.0) > 0
    frames = sent(requests)
    assert len({frame.id for frame in frames}) == (1 << 16) + 1
    assert frames[-1].id == 0


def test_errors_of_calls_alone_tell_an_id() -> None:
    requests, one, two = table(), Taker(), Taker()
    requests.call(one, CALL, "p", b"", 0, 1.0)
    requests.statistics(two, "p", 1.0)
    ids = [frame.id for frame in sent(requests)]
    feed(Decoder(1 << 20), requests, b"".join(reference.answer(i, b"", 4).encode() for i in ids))
    assert isinstance(one.result, NoPool)
    assert isinstance(two.result, NoPool)
    assert (one.result.call_id, two.result.call_id) == (f"{ids[0]:016x}", None)


def test_a_bad_name_does_not_spoil_the_next_message() -> None:
    requests = table()
    requests.call(None, CAST, "good", b"", 0, 1.0)
    with pytest.raises(Exception, match="pool name"):
        requests.call(None, CAST, "not good", b"", 0, 1.0)
    requests.call(None, CAST, "good", b"", 0, 1.0)
    assert [reference.split_request(frame)[1] for frame in sent(requests)] == ["good", "good"]
