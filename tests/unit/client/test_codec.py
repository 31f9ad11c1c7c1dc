"""The native codec against the reference, and the table of who waits for what."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drop._fast.codec import CALL, CAST, PUBLISH, Batch, Decoder, Encoder, Requests
from drop.errors import (
    BadRequest,
    CallTimeout,
    ConnectionLost,
    FunctionError,
    NoPool,
    ProtocolError,
    TooLarge,
)
from drop.testing import reference
from drop.testing.reference import Frame, Type

NAMES = st.from_regex(r"\$?[A-Za-z0-9_.:/-]{1,127}", fullmatch=True)
IDS = st.integers(0, 2**64 - 1)
U32 = st.integers(0, 2**32 - 1)
PAYLOADS = st.binary(max_size=300)

REQUESTS = st.tuples(st.sampled_from((CALL, CAST, PUBLISH)), IDS, NAMES, PAYLOADS, U32)
FROM_NODE = st.lists(
    st.one_of(
        st.builds(reference.answer, IDS, PAYLOADS, st.integers(0, 255)),
        st.builds(reference.part, IDS, PAYLOADS),
        st.builds(reference.event, IDS, PAYLOADS),
        st.builds(reference.gap, IDS, IDS),
        st.builds(lambda node: reference.welcome(node=node), st.text(max_size=20)),
        st.builds(lambda id, body: Frame(Type.PONG, id=id, body=body), IDS, st.binary(max_size=64)),
        st.builds(reference.goaway, st.integers(0, 255), st.text(max_size=30)),
    ),
    max_size=12,
)


class Waiter:
    """A future without a loop."""

    def __init__(self) -> None:
        self.result: object = None
        self.given_up = False

    def done(self) -> bool:
        return self.result is not None or self.given_up

    def cancelled(self) -> bool:
        return self.given_up

    def set_result(self, result: bytes) -> None:
        self.result = result

    def set_exception(self, exception: BaseException) -> None:
        self.result = exception


def requests(calls_max: int = 100, payload_max: int = 1000) -> Requests:
    table = Requests()
    table.calls_max = calls_max
    table.payload_max = payload_max
    return table


def sent(table: Requests) -> list[Frame]:
    frames, rest = reference.decode(table.encoder.take())
    assert rest == b""
    return frames


def deliver(table: Requests, *frames: Frame) -> list[tuple[int, int, int, int, bytes]]:
    decoder = Decoder(1 << 20)
    decoder.feed(b"".join(frame.encode() for frame in frames))
    others: list[tuple[int, int, int, int, bytes]] = []
    assert decoder.deliver(table, None, others) == len(frames)
    return others


def pieces(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return (data[a:b] for a, b in pairwise(places))


@given(st.lists(REQUESTS, max_size=5))
def test_encoder_is_the_reference(calls: list[tuple[int, int, str, bytes, int]]) -> None:
    encoder = Encoder()
    expected = b""
    for kind, id, pool, payload, timeout_ms in calls:
        encoder.request(kind, id, pool, payload, timeout_ms)
        expected += reference.request(kind, id, pool, payload, timeout_ms).encode()
    assert encoder.take() == expected
    assert encoder.take() == b""


@given(IDS, NAMES, st.binary(max_size=1024), st.booleans(), st.binary(max_size=64))
def test_encoder_is_the_reference_for_the_rest(
    id: int, pool: str, filter: bytes, wait: bool, body: bytes
) -> None:
    encoder = Encoder()
    encoder.subscribe(id, pool, filter, wait)
    encoder.cancel(id, pool)
    encoder.statistics(id, pool)
    encoder.unsubscribe(id)
    encoder.ping(id, body)
    assert reference.decode(encoder.take()) == (
        [
            reference.named(Type.SUBSCRIBE, id, pool, filter, int(wait)),
            reference.named(Type.CANCEL, id, pool),
            reference.named(Type.STATISTICS, id, pool),
            Frame(Type.UNSUBSCRIBE, id=id),
            Frame(Type.PING, id=id, body=body),
        ],
        b"",
    )


@given(st.text(max_size=140))
def test_encoder_refuses_what_the_reference_refuses(pool: str) -> None:
    name = pool.encode("utf-8", "surrogatepass")
    encoder = Encoder()
    try:
        reference.check_name(name, len(name))
    except reference.Malformed:
        with pytest.raises((BadRequest, UnicodeEncodeError)):
            encoder.request(CALL, 1, pool, b"")
        assert len(encoder) == 0
    else:
        encoder.request(CALL, 1, pool, b"")
        assert len(encoder) == 20 + len(name)


@given(FROM_NODE, st.lists(st.integers(0, 2**16), max_size=20), st.integers(16, 200))
def test_decoder_is_the_reference(frames: list[Frame], cuts: list[int], capacity: int) -> None:
    data = b"".join(frame.encode() for frame in frames)
    decoder = Decoder(1 << 20, capacity)
    found: list[object] = []
    for piece in pieces(data, cuts):
        while piece:
            piece = piece[decoder.feed(piece) :]
            while (frame := decoder.next_frame()) is not None:
                found.append(frame)
    assert found == frames
    assert decoder.pending == 0


@given(FROM_NODE)
def test_decoder_byte_by_byte(frames: list[Frame]) -> None:
    decoder = Decoder(1 << 20, 16)
    found: list[object] = []
    for byte in b"".join(frame.encode() for frame in frames):
        view = decoder.get_buffer()
        view[0] = byte
        decoder.received(1)
        while (frame := decoder.next_frame()) is not None:
            found.append(frame)
    assert found == frames


@given(st.binary(max_size=200))
def test_decoder_takes_any_bytes(data: bytes) -> None:
    decoder = Decoder(4096)
    found: list[object] = []
    try:
        while data:
            data = data[decoder.feed(data) :]
            while (frame := decoder.next_frame()) is not None:
                found.append(frame)
    except ProtocolError:
        with pytest.raises(ProtocolError):
            decoder.next_frame()
    assert all(isinstance(frame, tuple) for frame in found)


def test_a_large_frame_gets_a_buffer_of_its_own_and_gives_it_back() -> None:
    body = bytes(range(256)) * 4000
    decoder = Decoder(1 << 21, 4096)
    data = memoryview(reference.answer(1, body).encode() + reference.answer(2, b"x").encode())
    frames = []
    while data:
        data = data[decoder.feed(data) :]
        while (frame := decoder.next_frame()) is not None:
            frames.append(frame)
    assert frames == [reference.answer(1, body), reference.answer(2, b"x")]
    assert len(decoder.get_buffer()) == 4096


def test_the_limit_of_a_frame_is_exact_and_early() -> None:
    decoder = Decoder(16 + 100)
    decoder.feed(reference.answer(1, bytes(100)).encode())
    assert decoder.next_frame() == reference.answer(1, bytes(100))
    decoder.feed(reference.answer(1, bytes(101)).encode()[:4])
    with pytest.raises(ProtocolError, match="length 113: expected 12 to 112"):
        decoder.next_frame()


def test_received_more_than_there_was_room_for() -> None:
    decoder = Decoder(100, 16)
    with pytest.raises(ValueError, match="16 free"):
        decoder.received(17)
    with pytest.raises(ValueError, match="received"):
        decoder.received(-1)


def test_large_output_grows_without_loss() -> None:
    encoder = Encoder()
    payload = bytes(range(256)) * 100
    expected = b"".join(reference.request(CALL, i, "p", payload).encode() for i in range(100))
    for i in range(100):
        encoder.request(CALL, i, "p", payload)
    assert encoder.take() == expected


def test_limits_of_the_small_frames() -> None:
    encoder = Encoder()
    with pytest.raises(BadRequest, match="1025"):
        encoder.subscribe(1, "p", bytes(1025))
    with pytest.raises(BadRequest, match="65"):
        encoder.ping(1, bytes(65))
    with pytest.raises(ValueError, match="1025"):
        encoder.hello(bytes(1025))
    with pytest.raises(BadRequest):
        encoder.subscribe(1, "")
    with pytest.raises(TypeError):
        encoder.request(CALL, 1, "p", 3)  # type: ignore[arg-type]
    assert len(encoder) == 0


def test_every_waiter_gets_its_own_answer_whatever_the_order() -> None:
    table = requests()
    waiters = [Waiter() for _ in range(80)]
    for i, waiter in enumerate(waiters):
        assert table.call(waiter, CALL, "p", str(i), 0, 1.0) > 0
    frames = sent(table)
    assert len({frame.id for frame in frames}) == 80
    others = deliver(
        table,
        *[
            reference.answer(frame.id, reference.split_request(frame)[2])
            for frame in reversed(frames)
        ],
    )
    assert others == []
    assert [waiter.result for waiter in waiters] == [str(i).encode() for i in range(80)]
    assert table.outstanding == 0


def test_an_answer_to_a_forgotten_id_matches_nobody() -> None:
    table = requests()
    first, second = Waiter(), Waiter()
    table.call(first, CALL, "p", b"", 0, 1.0)
    [old] = sent(table)
    deliver(table, reference.answer(old.id, b"1"))
    table.call(second, CALL, "p", b"", 0, 1.0)
    [new] = sent(table)
    assert new.id != old.id
    deliver(
        table,
        reference.answer(old.id, b"late"),
        reference.answer(0, b"no id"),
        reference.answer(2**64 - 1, b"far off"),
        reference.answer(new.id, b"2"),
    )
    assert (first.result, second.result) == (b"1", b"2")


def test_statuses_become_errors() -> None:
    table = requests()
    waiters = [Waiter() for _ in range(3)]
    for waiter in waiters:
        table.call(waiter, CALL, "p", b"", 0, 1.0)
    ids = [frame.id for frame in sent(table)]
    deliver(
        table,
        reference.answer(ids[0], "there is no pool ö".encode(), 4),
        reference.answer(ids[1], b"\xff", 200),
        reference.answer(ids[2], b"", 2),
    )
    first, second, third = (waiter.result for waiter in waiters)
    assert isinstance(first, NoPool)
    assert str(first) == "there is no pool ö"
    assert isinstance(second, FunctionError)
    assert isinstance(third, CallTimeout)
    assert str(third) == "timeout"


def test_full_takes_nothing_but_casts() -> None:
    table = requests(calls_max=2)
    assert table.call(Waiter(), CALL, "p", b"", 0, 1.0)
    assert table.call(Waiter(), PUBLISH, "p", b"", 0, 1.0)
    assert table.full
    assert table.call(Waiter(), CALL, "p", b"", 0, 1.0) == 0
    assert table.call(None, CAST, "p", b"", 0, 1.0) > 0
    assert [frame.type for frame in sent(table)] == [CALL, PUBLISH, CAST]


def test_a_refused_call_leaves_no_trace() -> None:
    table = requests(payload_max=3)
    with pytest.raises(TooLarge, match="4 bytes"):
        table.call(Waiter(), CALL, "p", b"1234", 0, 1.0)
    with pytest.raises(BadRequest):
        table.call(Waiter(), CALL, "a b", b"", 0, 1.0)
    with pytest.raises(TypeError):
        table.call(Waiter(), CALL, "p", 3, 0, 1.0)  # type: ignore[arg-type]
    assert (table.outstanding, table.encoder.take()) == (0, b"")


def test_sweep_cancels_and_expires() -> None:
    table = requests()
    patient, late, gone = Waiter(), Waiter(), Waiter()
    table.call(patient, CALL, "p", b"", 0, 10.0)
    table.call(late, CALL, "p", b"", 0, 1.0)
    table.call(gone, CALL, "q", b"", 0, 10.0)
    ids = [frame.id for frame in sent(table)]
    gone.given_up = True
    assert table.sweep(5.0) == 1
    assert isinstance(late.result, CallTimeout)
    assert patient.result is None
    assert sent(table) == [reference.named(Type.CANCEL, ids[2], "q")]
    assert table.outstanding == 1
    assert table.sweep(5.0) == 0


def test_fail_gives_everybody_an_error_of_their_own() -> None:
    table = requests()
    one, two = Waiter(), Waiter()
    batch = Batch([b"a", b"b"])
    table.call(one, CALL, "p", b"", 0, 1.0)
    table.call(two, CALL, "p", b"", 0, 1.0)
    table.call_batch(batch, "p", 0, 1.0, 10, 1000)
    table.fail(lambda: ConnectionLost("gone"))
    errors = [one.result, two.result, *batch.results]
    assert all(isinstance(error, ConnectionLost) for error in errors)
    assert len({id(error) for error in errors}) == 4
    assert batch.done
    assert table.outstanding == 0


def test_batch_keeps_to_its_window_and_wakes_at_its_mark() -> None:
    table = requests(payload_max=5)
    woken = []
    batch = Batch([b"0", "1", b"too large", b"3", b"4"], lambda: woken.append(1), 1)
    assert table.call_batch(batch, "p", 9, 1.0, 2, 1000) == 2
    first = sent(table)
    assert [reference.split_request(frame) for frame in first] == [(9, "p", b"0"), (9, "p", b"1")]
    deliver(table, reference.answer(first[1].id, b"one"))
    assert woken == [1]
    assert table.call_batch(batch, "p", 9, 1.0, 2, 1000) == 2
    second = sent(table)
    deliver(table, reference.answer(first[0].id, b"zero"), reference.answer(second[0].id, b"three"))
    assert (len(woken), batch.unsent, batch.outstanding) == (3, 1, 0)
    batch.refuse_unsent(lambda: ConnectionLost("gone"))
    assert batch.done
    zero, one, two, three, four = batch.results
    assert (zero, one, three) == (b"zero", b"one", b"three")
    assert isinstance(two, TooLarge)
    assert isinstance(four, ConnectionLost)
