"""The reference codec's worker framings: what goes in comes out, whole or byte by byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drop.testing.reference import (
    Malformed,
    decode_lengths,
    decode_lines,
    encode_length,
    encode_line,
)

MESSAGES = st.lists(st.binary(max_size=40), max_size=8)
# ncm cannot tell its own mark from one in the data: the convention is the original's.
WITHOUT_MARK = st.lists(st.binary(max_size=40).filter(lambda m: b"ncm" not in m), max_size=8)


@given(MESSAGES)
def test_length_framing_is_binary_safe(messages: list[bytes]) -> None:
    data = b"".join(map(encode_length, messages))
    assert decode_lengths(data) == (messages, b"")
    assert decode_lengths(data + b"\x00\x00") == (messages, b"\x00\x00")


@given(MESSAGES)
def test_length_framing_byte_by_byte(messages: list[bytes]) -> None:
    found, rest = [], b""
    for byte in b"".join(map(encode_length, messages)):
        whole, rest = decode_lengths(rest + bytes((byte,)))
        found += whole
    assert (found, rest) == (messages, b"")


def test_length_over_the_limit_is_refused_before_its_body() -> None:
    with pytest.raises(Malformed, match="message of 5 bytes: at most 4"):
        decode_lengths(b"\x00\x00\x00\x05", 4)


@given(WITHOUT_MARK)
def test_ncm_carries_newlines(messages: list[bytes]) -> None:
    data = b"".join(encode_line(message, ncm=True) for message in messages)
    assert data.count(b"\n") == len(messages)
    assert decode_lines(data + b"half", ncm=True) == (messages, b"half")


@given(st.binary(max_size=40))
def test_a_line_is_carried_unaltered_or_refused(message: bytes) -> None:
    if b"\n" in message:
        with pytest.raises(Malformed):
            encode_line(message)
    else:
        assert decode_lines(encode_line(message)) == ([message], b"")


def test_carriage_returns_and_empty_lines_stay() -> None:
    assert decode_lines(b"a\r\n\n b\n") == ([b"a\r", b"", b" b"], b"")
    assert encode_line(b"one\ntwo", ncm=True) == b"one\tncm\ttwo\n"
