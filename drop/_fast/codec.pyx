# cython: language_level=3, wraparound=False
"""Frames of docs/protocol.md in native code, for the client.

`Encoder` appends frames to one growing bytes object, `Decoder` walks received bytes in place, and
`Requests` ties the two together: who waits for which id. Neither knows of sockets, loops or clocks.
Every frame costs one copy of its payload each way, a large one none; the header is never seen by
Python.
"""

from cpython.buffer cimport PyBuffer_FillInfo
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memmove

from drop.errors import BadRequest, CallTimeout, Overloaded, ProtocolError, TooLarge, error_for

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    PyObject *new_bytes "PyBytes_FromStringAndSize"(const char *data, Py_ssize_t size) except NULL
    int _PyBytes_Resize(PyObject **data, Py_ssize_t size) except -1
    char *bytes_start "PyBytes_AS_STRING"(PyObject *data)
    void Py_XDECREF(PyObject *object)

HELLO, CALL, CAST, PUBLISH = 0x01, 0x02, 0x03, 0x04
SUBSCRIBE, UNSUBSCRIBE, CANCEL, PING, STATISTICS = 0x05, 0x06, 0x07, 0x08, 0x09
WELCOME, ANSWER, EVENT, PONG, GOAWAY = 0x81, 0x82, 0x85, 0x88, 0x8F
WAIT, GAP, PARTS, MORE = 1, 1, 1, 1

cdef enum:
    C_HELLO = 0x01, C_CALL = 0x02, C_CAST = 0x03, C_PUBLISH = 0x04
    C_SUBSCRIBE = 0x05, C_UNSUBSCRIBE = 0x06, C_CANCEL = 0x07, C_PING = 0x08, C_STATISTICS = 0x09
    C_WELCOME = 0x81, C_ANSWER = 0x82, C_EVENT = 0x85, C_PONG = 0x88, C_GOAWAY = 0x8F
    HEADER = 16                     # bytes, with the length field
    LENGTH_MIN = 12                 # the least that the length field may say
    WELCOME_MIN = 12                # bytes of the fixed part of WELCOME's body
    GAP_SIZE = 8
    NAME_MAX = 128                  # bytes of a pool's name
    FILTER_MAX = 1024
    PING_MAX = 64
    TOKEN_MAX = 1024                # a HELLO must fit the 4096 bytes of a small frame
    SLOTS_FIRST = 64                # a client that calls one at a time needs no more
    SLOTS_MAX = 1 << 16             # the lower 16 bits of an id
    SLOT_BITS = 16
    LARGE = 1 << 18                 # bytes of a payload that is written from where it is
    FUTURE = -1                     # what a slot's waiter is, instead of a place in a Batch
    IN_PARTS = -2
    C_PARTS = 1
    C_MORE = 1

cdef Py_ssize_t CHUNK_FIRST = 4096          # bytes; a handful of calls
cdef uint64_t FIRST_MAX = 1ull << 47        # leaves each slot as many ids as nobody can use up

cdef bint[256] NAME_BYTES                   # which bytes a name may have; all others are zero
for _byte in bytearray(b"$-./0123456789:ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"):
    NAME_BYTES[<uint8_t>_byte] = True


cdef inline void put_u32(char *to, uint32_t value) noexcept:
    to[0] = <char>(value >> 24)
    to[1] = <char>(value >> 16)
    to[2] = <char>(value >> 8)
    to[3] = <char>value


cdef inline void put_u64(char *to, uint64_t value) noexcept:
    put_u32(to, <uint32_t>(value >> 32))
    put_u32(to + 4, <uint32_t>value)


cdef inline uint32_t get_u32(const char *at) noexcept:
    cdef const uint8_t *b = <const uint8_t *>at
    return <uint32_t>b[0] << 24 | <uint32_t>b[1] << 16 | <uint32_t>b[2] << 8 | b[3]


cdef inline uint64_t get_u64(const char *at) noexcept:
    return <uint64_t>get_u32(at) << 32 | get_u32(at + 4)


cdef const char *name_of(str pool, Py_ssize_t *size) except NULL:
    """The bytes of a pool's name. A bad one would cost the connection, so it stops here."""
    cdef const char *name = PyUnicode_AsUTF8AndSize(pool, size)
    cdef Py_ssize_t i
    cdef bint good = 1 <= size[0] <= NAME_MAX
    if good:
        for i in range(size[0]):
            good = good and NAME_BYTES[<uint8_t>name[i]]
        # "$" marks the node's own pools, as the first byte only
        for i in range(1, size[0]):
            good = good and name[i] != c"$"
    if not good:
        raise BadRequest(
            f"pool name {pool[:NAME_MAX + 1]!r}: expected 1 to {NAME_MAX} of A-Z a-z 0-9 _ . : - /"
        )
    return name


cdef bytes octets(object data):
    """The bytes of what is neither bytes nor str; memoryview refuses an int, bytes() does not."""
    return data if type(data) is bytes else bytes(memoryview(data))


cdef object too_large(Py_ssize_t size, Py_ssize_t payload_max):
    return TooLarge(f"payload of {size} bytes: this node takes at most {payload_max}")


include "codec_encoder.pxi"
include "codec_requests.pxi"
include "codec_decoder.pxi"
