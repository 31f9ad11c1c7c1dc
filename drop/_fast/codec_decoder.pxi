# Part of codec.pyx: the frames that a node sends, walked where they were received.

cdef class Decoder:
    """Received bytes in, frames out. After a ProtocolError nothing more can be read.

    `get_buffer(hint)` and `received(n)` let a socket write straight into it (asyncio's
    BufferedProtocol, or recv_into); `feed()` copies. The body of a frame that does not fit the
    buffer is received into the bytes object that is handed out, of at most `frame_max`, which is
    checked before.
    """

    def __init__(self, Py_ssize_t frame_max, Py_ssize_t capacity=1 << 16):
        self.frame_max = frame_max
        self.capacity = max(capacity, HEADER)
        self.buffer = PyByteArray_FromStringAndSize(NULL, self.capacity)
        self.data = PyByteArray_AS_STRING(self.buffer)

    @property
    def pending(self):
        """Bytes received that are not a whole frame yet."""
        return self.end - self.start if self.body is None else HEADER + self.body_end

    def get_buffer(self, Py_ssize_t size_hint=-1):
        """A writable view of free space, never empty; valid until the next call of any method."""
        cdef Py_ssize_t whole = 0, pending = self.end - self.start
        cdef Space space
        if self.body is not None:
            space = Space.__new__(Space)
            space.body, space.start = self.body, self.body_end
            return memoryview(space)
        if pending >= 4:
            whole = <Py_ssize_t>get_u32(self.data + self.start) + 4
        if self.start > 0 and (self.end == self.capacity or self.start + whole > self.capacity):
            memmove(self.data, self.data + self.start, pending)
            self.start, self.end = 0, pending
        return memoryview(self.buffer)[self.end:]

    def received(self, Py_ssize_t size):
        """That many bytes were written at the start of the last get_buffer()."""
        if not 0 <= size <= self.room():
            raise ValueError(f"received({size}): the buffer has {self.room()} free")
        if self.body is None:
            self.end += size
        else:
            self.body_end += size

    def feed(self, data):
        """Append as many of the bytes as fit; how many those were. Read the frames in between."""
        cdef const uint8_t[::1] source = data
        cdef uint8_t[::1] view = self.get_buffer()
        cdef Py_ssize_t size = min(source.shape[0], view.shape[0])
        if size > 0:
            memcpy(&view[0], &source[0], size)
            self.received(size)
        return size

    def next_frame(self):
        """The next whole frame as (type, flags, code, id, body), or None. Raises ProtocolError."""
        cdef Py_ssize_t size = self.ready()
        if size > 0:
            return self.take(size)
        return self.take_large() if self.body is not None and self.room() == 0 else None

    def deliver(self, Requests requests not None, list events, list others not None):
        """Hand out every whole frame; how many. Raises ProtocolError behind the good ones.

        ANSWER (also with MORE) and PONG go to whoever waits in `requests`, the bytes of an EVENT to
        `events` (when it is a list), and everything else to `others` as next_frame() shows it:
        GAPs, and with `events` the ANSWER that ends a subscription.
        """
        cdef Py_ssize_t size, count = 0
        cdef const char *at
        cdef int kind
        while True:
            size = self.ready()
            if size == 0:
                break
            at = self.data + self.start
            kind = <uint8_t>at[4]
            count += 1
            if kind == C_PONG or (kind == C_ANSWER and at[5] == 0 and not (
                    events is not None and at[6] != 0 and not requests.waits(get_u64(at + 8)))):
                self.start += size
                requests.complete(get_u64(at + 8), <uint8_t>at[6], at + HEADER, size - HEADER,
                                  None)
            elif kind == C_ANSWER and at[5] != 0:
                self.start += size
                requests.more(get_u64(at + 8), at + HEADER, size - HEADER, None)
            elif kind == C_EVENT and at[5] == 0 and events is not None:
                self.start += size
                events.append(PyBytes_FromStringAndSize(at + HEADER, size - HEADER))
            else:
                others.append(self.take(size))
        if self.body is not None and self.room() == 0:
            self.deliver_large(requests, events, others)
            count += 1
        return count

    cdef Py_ssize_t room(self) noexcept:
        return self.capacity - self.end if self.body is None else self.body_size - self.body_end

    cdef tuple take(self, Py_ssize_t size):
        cdef const char *at = self.data + self.start
        self.start += size
        return (<uint8_t>at[4], <uint8_t>at[5], <uint8_t>at[6], get_u64(at + 8),
                PyBytes_FromStringAndSize(at + HEADER, size - HEADER))

    cdef int begin_large(self, Py_ssize_t size) except -1:
        """The first frame is too large for the buffer: its header alone stays there, its body goes
        where it will be handed out."""
        cdef Py_ssize_t begun = self.end - self.start - HEADER
        self.body = PyBytes_FromStringAndSize(NULL, size - HEADER)
        self.body_size, self.body_end = size - HEADER, begun
        memcpy(PyBytes_AS_STRING(self.body), self.data + self.start + HEADER, begun)
        memmove(self.data, self.data + self.start, HEADER)
        self.start = self.end = 0
        return 0

    cdef tuple take_large(self):
        cdef const char *at = self.data
        cdef bytes body = self.body
        self.body = None
        return <uint8_t>at[4], <uint8_t>at[5], <uint8_t>at[6], get_u64(at + 8), body

    cdef int deliver_large(self, Requests requests, list events, list others) except -1:
        cdef tuple frame = self.take_large()
        cdef int kind = frame[0], flags = frame[1], code = frame[2]
        cdef uint64_t id = frame[3]
        if kind == C_ANSWER and flags != 0:
            requests.more(id, NULL, 0, frame[4])
        elif kind == C_PONG or (kind == C_ANSWER and (
                events is None or code == 0 or requests.waits(id))):
            requests.complete(id, code, NULL, 0, frame[4])
        elif kind == C_EVENT and flags == 0 and events is not None:
            events.append(frame[4])
        else:
            others.append(frame)
        return 0

    cdef Py_ssize_t ready(self) except -1:
        """The size of the first frame when the buffer has all of it, else 0. Raises ProtocolError.
        """
        cdef Py_ssize_t pending = self.end - self.start, size
        cdef const char *at = self.data + self.start
        if pending < 4:
            if pending == 0:
                self.start = self.end = 0
            return 0
        size = <Py_ssize_t>get_u32(at) + 4
        if size < HEADER or size > self.frame_max:
            raise ProtocolError(f"the peer sent a frame of length {size - 4}: expected "
                                f"{LENGTH_MIN} to {self.frame_max - 4}; is it a DROP node?")
        if pending < HEADER:
            return 0
        check_header(<const uint8_t *>at, size - HEADER)
        if pending >= size:
            return size
        if size > self.capacity:
            self.begin_large(size)
        return 0


cdef class Space:
    """Room in a body that is being received: the view of it keeps the body alive."""

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        PyBuffer_FillInfo(buffer, self, PyBytes_AS_STRING(self.body) + self.start,
                          PyBytes_GET_SIZE(self.body) - self.start, 0, flags)


cdef int check_header(const uint8_t *at, Py_ssize_t body) except -1:
    """Everything of docs/protocol.md section 2 that a header from a node must obey."""
    cdef int kind = at[4], flags = at[5], code = at[6]
    if kind != C_ANSWER and kind != C_EVENT and kind != C_PONG and kind != C_WELCOME \
            and kind != C_GOAWAY:
        raise ProtocolError(f"the peer sent a frame of type 0x{kind:02x}, which no node sends")
    if at[7] != 0:
        raise ProtocolError(f"the peer sent 0x{at[7]:02x} in the reserved byte of a header")
    if flags != 0 and not (kind == C_EVENT and flags == GAP) and not (
            kind == C_ANSWER and flags == C_MORE and code == 0):
        raise ProtocolError(f"the peer sent flags 0x{flags:02x} with type 0x{kind:02x}")
    if code != 0 and kind != C_ANSWER and kind != C_GOAWAY:
        raise ProtocolError(f"the peer sent code {code} with type 0x{kind:02x}")
    if kind == C_WELCOME and body < WELCOME_MIN:
        raise ProtocolError(f"the peer sent a WELCOME of {body} bytes: at least {WELCOME_MIN}")
    if kind == C_EVENT and flags == GAP and body != GAP_SIZE:
        raise ProtocolError(f"the peer sent a GAP of {body} bytes: expected {GAP_SIZE}")
    return 0
