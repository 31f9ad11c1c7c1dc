# Part of codec.pyx: the frames that a node sends, walked where they were received.

cdef class Decoder:
    """Received bytes in, frames out. After a ProtocolError nothing more can be read.

    `get_buffer(hint)` and `received(n)` let a socket write straight into it (asyncio's
    BufferedProtocol, or recv_into); `feed()` copies. The buffer has a usual size; a larger frame
    gets one of its own for as long as it takes, never beyond `frame_max`, which is checked before
    its body is awaited.
    """

    def __init__(self, Py_ssize_t frame_max, Py_ssize_t capacity=1 << 16):
        self.frame_max = frame_max
        self.capacity_usual = max(capacity, HEADER)
        self.replace(self.capacity_usual)

    @property
    def pending(self):
        """Bytes received that are not a whole frame yet."""
        return self.end - self.start

    def get_buffer(self, Py_ssize_t size_hint=-1):
        """A writable view of free space, never empty; valid until the next call of any method."""
        cdef Py_ssize_t whole = 0, pending = self.end - self.start
        if pending >= 4:
            # ready() has already refused a length that is out of range
            whole = <Py_ssize_t>get_u32(self.data + self.start) + 4
        if whole > self.capacity:
            self.replace(whole)
        elif self.start > 0 and (self.end == self.capacity or self.start + whole > self.capacity):
            memmove(self.data, self.data + self.start, pending)
            self.start, self.end = 0, pending
        return memoryview(self.buffer)[self.end:]

    def received(self, Py_ssize_t size):
        """That many bytes were written at the start of the last get_buffer()."""
        if not 0 <= size <= self.capacity - self.end:
            raise ValueError(f"received({size}): the buffer has {self.capacity - self.end} free")
        self.end += size

    def feed(self, data):
        """Append as many of the bytes as fit; how many those were. Read the frames in between."""
        cdef const uint8_t[::1] source = data
        view = self.get_buffer()
        cdef Py_ssize_t size = min(source.shape[0], <Py_ssize_t>len(view))
        if size > 0:
            memcpy(self.data + self.end, &source[0], size)
            self.end += size
        return size

    def next_frame(self):
        """The next whole frame as (type, flags, code, id, body), or None. Raises ProtocolError."""
        cdef Py_ssize_t size = self.ready()
        if size == 0:
            return None
        frame = self.take(size)
        self.trim()
        return frame

    def deliver(self, Requests requests not None, list events, list others not None):
        """Hand out every whole frame; how many. Raises ProtocolError behind the good ones.

        ANSWER and PONG go to whoever waits in `requests`, the bytes of an EVENT to `events` (when
        it is a list), and everything else to `others` as next_frame() shows it: GAPs, and with
        `events` the ANSWER that ends a subscription.
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
            if kind == C_PONG or (kind == C_ANSWER and not (
                    events is not None and at[6] != 0 and not requests.waits(get_u64(at + 8)))):
                self.start += size
                requests.complete(get_u64(at + 8), <uint8_t>at[6], at + HEADER, size - HEADER)
            elif kind == C_EVENT and at[5] == 0 and events is not None:
                self.start += size
                events.append(PyBytes_FromStringAndSize(at + HEADER, size - HEADER))
            else:
                others.append(self.take(size))
        self.trim()
        return count

    cdef tuple take(self, Py_ssize_t size):
        cdef const char *at = self.data + self.start
        self.start += size
        return (<uint8_t>at[4], <uint8_t>at[5], <uint8_t>at[6], get_u64(at + 8),
                PyBytes_FromStringAndSize(at + HEADER, size - HEADER))

    cdef int trim(self) except -1:
        """Start over at the front when nothing is left; give back what one large frame needed."""
        if self.start == self.end:
            self.start = self.end = 0
            if self.capacity > self.capacity_usual:
                self.replace(self.capacity_usual)
        return 0

    cdef int replace(self, Py_ssize_t capacity) except -1:
        """Move to a new buffer: a bytearray that somebody still has a view of cannot be resized."""
        cdef bytearray buffer = PyByteArray_FromStringAndSize(NULL, capacity)
        cdef char *data = PyByteArray_AS_STRING(buffer)
        cdef Py_ssize_t pending = self.end - self.start
        if pending > 0:
            memcpy(data, self.data + self.start, pending)
        self.start, self.end = 0, pending
        self.buffer, self.data, self.capacity = buffer, data, capacity
        return 0

    cdef Py_ssize_t ready(self) except -1:
        """The size of the first frame when all of it is there, else 0. Raises ProtocolError."""
        cdef Py_ssize_t pending = self.end - self.start, size
        cdef const char *at = self.data + self.start
        if pending < 4:
            return 0
        size = <Py_ssize_t>get_u32(at) + 4
        if size < HEADER or size > self.frame_max:
            raise ProtocolError(f"the peer sent a frame of length {size - 4}: expected "
                                f"{LENGTH_MIN} to {self.frame_max - 4}; is it a DROP node?")
        if pending < HEADER:
            return 0
        check_header(<const uint8_t *>at, size - HEADER)
        return size if pending >= size else 0


cdef int check_header(const uint8_t *at, Py_ssize_t body) except -1:
    """Everything of docs/protocol.md section 2 that a header from a node must obey."""
    cdef int kind = at[4], flags = at[5], code = at[6]
    if kind != C_ANSWER and kind != C_EVENT and kind != C_PONG and kind != C_WELCOME \
            and kind != C_GOAWAY:
        raise ProtocolError(f"the peer sent a frame of type 0x{kind:02x}, which no node sends")
    if at[7] != 0:
        raise ProtocolError(f"the peer sent 0x{at[7]:02x} in the reserved byte of a header")
    if flags != 0 and not (kind == C_EVENT and flags == GAP):
        raise ProtocolError(f"the peer sent flags 0x{flags:02x} with type 0x{kind:02x}")
    if code != 0 and kind != C_ANSWER and kind != C_GOAWAY:
        raise ProtocolError(f"the peer sent code {code} with type 0x{kind:02x}")
    if kind == C_WELCOME and body < WELCOME_MIN:
        raise ProtocolError(f"the peer sent a WELCOME of {body} bytes: at least {WELCOME_MIN}")
    if kind == C_EVENT and flags == GAP and body != GAP_SIZE:
        raise ProtocolError(f"the peer sent a GAP of {body} bytes: expected {GAP_SIZE}")
    return 0
