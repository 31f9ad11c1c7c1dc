# The frames of docs/protocol.md on the client's side: the layout of what codec.pyx implements.

from cpython.object cimport PyObject
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t


cdef class Encoder:
    cdef PyObject *chunk            # a bytes object under construction, owned; NULL: none yet
    cdef char *start                # its bytes
    cdef Py_ssize_t used
    cdef Py_ssize_t capacity
    cdef str pool                   # of the last message; what follows borrows from it
    cdef const char *name
    cdef Py_ssize_t name_size
    cdef list pieces                # before the chunk: heads of large frames and their payloads
    cdef readonly Py_ssize_t size   # bytes of the pieces

    cdef int resize(self, Py_ssize_t size) except -1
    cdef bytes finish(self)
    cdef char *room(self, Py_ssize_t size) except NULL
    cdef char *frame(self, int kind, int flags, int code, uint64_t id, Py_ssize_t body,
                     Py_ssize_t away) except NULL
    cdef int message(self, int kind, int flags, uint64_t id, str pool, uint32_t timeout_ms,
                     const char *payload, Py_ssize_t size, object itself) except -1
    cdef int simple(self, int kind, int flags, str pool, uint64_t id, bytes body) except -1


cdef struct Slot:
    double deadline                 # when the watchdog gives up, on the caller's clock
    uint64_t generation             # upper part of the id; changes whenever the slot is freed
    int32_t index                   # place in a Batch, or FUTURE or PARTS
    int32_t next_free
    bint taken


cdef class Batch:
    cdef readonly list payloads
    cdef readonly list results
    cdef readonly Py_ssize_t sent
    cdef readonly Py_ssize_t outstanding
    cdef public bint cancelled
    cdef object wake
    cdef Py_ssize_t wake_at

    cdef int put(self, Py_ssize_t index, object value) except -1


cdef class Requests:
    cdef readonly Encoder encoder
    cdef Slot *slots
    cdef uint64_t first             # generation of new slots
    cdef int32_t size
    cdef int32_t first_free
    cdef list waiters               # by slot: a future or a Batch
    cdef list pools                 # by slot: CANCEL names the pool
    cdef readonly int32_t outstanding
    cdef public int32_t calls_max
    cdef public Py_ssize_t payload_max

    cdef int32_t reserve(self, object waiter, str pool, double deadline, int32_t index) except -1
    cdef uint64_t id_of(self, int32_t slot) noexcept
    cdef uint64_t id_of_nobody(self) except? 0
    cdef int release(self, int32_t slot) except -1
    cdef int grow(self) except -1
    cdef bint waits(self, uint64_t id)
    cdef int complete(self, uint64_t id, int status, const char *body, Py_ssize_t size,
                      bytes whole) except -1
    cdef int more(self, uint64_t id, const char *body, Py_ssize_t size, bytes whole) except -1
    cdef int settle(self, object waiter, int32_t index, object value, bint ok) except -1
    cdef int give_up(self, int32_t slot, object error) except -1


cdef class Decoder:
    cdef bytearray buffer
    cdef char *data
    cdef Py_ssize_t start
    cdef Py_ssize_t end
    cdef Py_ssize_t capacity
    cdef bytes body                 # of a frame that the buffer cannot hold; None: there is none
    cdef Py_ssize_t body_size
    cdef Py_ssize_t body_end        # bytes of it that have come
    cdef public Py_ssize_t frame_max

    cdef Py_ssize_t room(self) noexcept
    cdef tuple take(self, Py_ssize_t size)
    cdef tuple take_large(self)
    cdef int begin_large(self, Py_ssize_t size) except -1
    cdef int deliver_large(self, Requests requests, list events, list others) except -1
    cdef Py_ssize_t ready(self) except -1


cdef class Space:
    cdef bytes body
    cdef Py_ssize_t start
