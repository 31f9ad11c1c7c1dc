"""The codecs of c_src against the reference codec, on frames and payloads that hypothesis makes up.

The C is compiled into a library of its own here, so that the functions are called one by one,
without a node around them.
"""

import ctypes
import os
import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drop.testing import reference
from drop.testing.reference import FROM_CLIENT, LENGTH_MAX, WITH_PAYLOAD, Frame, Malformed, Type

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
HEADER = 16
TOKEN_MAX = 1024
U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)
BYTE = st.integers(0, 255)
NAME = st.text("abzAZ059_.:-/", min_size=1, max_size=128)


class Parts(ctypes.Structure):
    """struct parts of exports.c."""

    _fields_ = (
        *((name, ctypes.c_uint32) for name in ("type", "flags", "code", "body_length")),
        ("id", ctypes.c_uint64),
        *((name, ctypes.c_uint32) for name in ("name", "name_length", "payload")),
        *((name, ctypes.c_uint32) for name in ("payload_length", "timeout_ms")),
    )


class Codecs:
    """The library; bytes go in and come out."""

    def __init__(self, path: Path) -> None:
        self.library = ctypes.CDLL(str(path))
        self.library.take_header.restype = ctypes.c_char_p
        self.library.take_apart.restype = ctypes.c_char_p
        self.library.length_total.restype = ctypes.c_uint64
        self.library.drop_ncm_encoded_length.restype = ctypes.c_size_t
        self.library.drop_ncm_decode.restype = ctypes.c_size_t

    def take_header(self, data: bytes) -> tuple[bytes | None, Parts]:
        parts = Parts()
        return self.library.take_header(data, ctypes.byref(parts)), parts

    def take_apart(self, data: bytes) -> tuple[bytes | None, Parts]:
        parts = Parts()
        return self.library.take_apart(data, ctypes.byref(parts)), parts

    def put_header(self, frame: Frame) -> bytes:
        target = ctypes.create_string_buffer(HEADER)
        parts = Parts(frame.type, frame.flags, frame.code, len(frame.body), frame.id)
        self.library.put_header(target, ctypes.byref(parts))
        return target.raw

    def put_length(self, length: int) -> bytes:
        target = ctypes.create_string_buffer(4)
        self.library.put_length(target, ctypes.c_uint32(length))
        return target.raw

    def length_total(self, data: bytes) -> int:
        total: int = self.library.length_total(data, ctypes.c_size_t(len(data)))
        return total

    def ncm_encode(self, payload: bytes) -> bytes:
        size = ctypes.c_size_t(len(payload))
        length = self.library.drop_ncm_encoded_length(payload, size)
        target = ctypes.create_string_buffer(max(length, 1))
        self.library.drop_ncm_encode(target, payload, size)
        return target.raw[:length]

    def ncm_decode(self, line: bytes) -> bytes:
        target = ctypes.create_string_buffer(line, max(len(line), 1))
        length = self.library.drop_ncm_decode(target, ctypes.c_size_t(len(line)))
        return target.raw[:length]


@pytest.fixture(scope="module")
def codecs(tmp_path_factory: pytest.TempPathFactory) -> Codecs:
    path = tmp_path_factory.mktemp("codecs") / "codecs.so"
    compiler = shlex.split(os.environ.get("CC", "cc"))
    sources = [HERE / "exports.c", ROOT / "c_src/frame.c", ROOT / "c_src/line.c"]
    options = ["-shared", "-fPIC", "-std=gnu11", "-O1", "-idirafter", str(ROOT / "c_src")]
    subprocess.run([*compiler, *options, *map(str, sources), "-o", str(path)], check=True)
    return Codecs(path)


@st.composite
def good_frames(draw: st.DrawFn) -> Frame:
    kind = draw(st.sampled_from(sorted(FROM_CLIENT)))
    id, pool, rest = draw(U64), draw(NAME), draw(st.binary(max_size=300))
    if kind in WITH_PAYLOAD:
        return reference.request(kind, id, pool, rest, draw(U32))
    if kind == Type.HELLO:
        return reference.hello(rest, draw(BYTE), draw(BYTE))
    if kind == Type.SUBSCRIBE:
        return reference.named(kind, id, pool, rest, draw(st.integers(0, 1)))
    if kind in (Type.CANCEL, Type.STATISTICS):
        return reference.named(kind, id, pool)
    return Frame(kind, id=id, body=rest[:64] if kind == Type.PING else b"")


@st.composite
def spoiled_frames(draw: st.DrawFn) -> bytes:
    """A frame with a byte or two changed, mostly in the header; the length may lie."""
    data = bytearray(draw(good_frames()).encode())
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.one_of(st.integers(4, 7), st.integers(0, len(data) - 1)))
        data[at] = draw(BYTE)
    return bytes(data)


def is_good(data: bytes) -> bool:
    """Whether the reference takes it as one frame of a client, apart from the length of a token."""
    try:
        [frame], rest = reference.decode(data)
        reference.check(frame)
    except (Malformed, ValueError):
        return False
    long_token = frame.type == Type.HELLO and len(frame.body) > 8 + TOKEN_MAX
    return rest == b"" and frame.type in FROM_CLIENT and not long_token


@given(frame=good_frames())
def test_good_frames_are_taken_apart(codecs: Codecs, frame: Frame) -> None:
    data = frame.encode()
    fault, parts = codecs.take_apart(data)
    assert fault is None
    got = (parts.type, parts.flags, parts.code, parts.id, parts.body_length)
    assert got == (frame.type, frame.flags, frame.code, frame.id, len(frame.body))
    payload = data[parts.payload : parts.payload + parts.payload_length]
    name = data[parts.name : parts.name + parts.name_length].decode()
    if frame.type in WITH_PAYLOAD:
        assert (parts.timeout_ms, name, payload) == reference.split_request(frame)
    elif frame.code:
        assert name.encode() + payload == frame.body
        assert len(name) == frame.code


@given(frame=good_frames())
def test_headers_are_written_as_the_reference_writes_them(codecs: Codecs, frame: Frame) -> None:
    assert codecs.put_header(frame) == frame.encode()[:HEADER]


@given(data=spoiled_frames())
def test_spoiled_frames_are_judged_alike(codecs: Codecs, data: bytes) -> None:
    length = int.from_bytes(data[:4], "big")
    if length + 4 == len(data):  # otherwise only its header can be judged
        fault, _ = codecs.take_apart(data)
        assert (fault is None) == is_good(data)
    elif not 12 <= length <= LENGTH_MAX:
        assert codecs.take_header(data)[0] is not None


@given(header=st.binary(min_size=HEADER, max_size=HEADER))
def test_a_header_that_no_body_can_mend_is_refused(codecs: Codecs, header: bytes) -> None:
    fault, parts = codecs.take_header(header)
    if fault is None:
        assert parts.type in FROM_CLIENT
        assert header[7] == 0
        assert parts.body_length == int.from_bytes(header[:4], "big") - 12


@given(payload=st.text("\n\tncm\r\0x", max_size=60).map(str.encode))
def test_ncm(codecs: Codecs, payload: bytes) -> None:
    line = reference.encode_line(payload, ncm=True)
    assert codecs.ncm_encode(payload) == line[:-1]
    assert [codecs.ncm_decode(line[:-1])] == reference.decode_lines(line, ncm=True)[0]
    [decoded], _ = reference.decode_lines(payload.replace(b"\n", b"") + b"\n", ncm=True)
    assert codecs.ncm_decode(payload.replace(b"\n", b"")) == decoded


@given(data=st.binary(max_size=12), length=U32)
def test_length_prefix(codecs: Codecs, data: bytes, length: int) -> None:
    assert codecs.put_length(length) == length.to_bytes(4, "big")
    assert codecs.put_length(len(data)) + data == reference.encode_length(data)
    if len(data) < 4:
        assert codecs.length_total(data) == 0
    else:
        assert codecs.length_total(data) == 4 + int.from_bytes(data[:4], "big")
