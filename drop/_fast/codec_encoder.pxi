# Part of codec.pyx: the frames that a client sends.

cdef class Encoder:
    """Frames, back to back. `take()` hands them over and starts anew.

    A payload of LARGE bytes that comes by Requests is not copied. It becomes a piece of its own,
    behind the one that ends with its frame's head.
    """

    def __cinit__(self):
        self.pieces = []

    def __dealloc__(self):
        Py_XDECREF(self.chunk)

    def __len__(self):
        return self.size + self.used

    def take(self):
        """The next bytes to write, b"" when all are taken; no copy is made."""
        cdef bytes piece
        if self.pieces:
            piece = self.pieces.pop(0)
            self.size -= PyBytes_GET_SIZE(piece)
            return piece
        return self.finish()

    cdef bytes finish(self):
        """The chunk; the next frame begins another."""
        if self.chunk == NULL:
            return b""
        self.resize(self.used)
        result = <bytes>self.chunk
        Py_XDECREF(self.chunk)
        self.chunk = NULL
        self.used = self.capacity = 0
        return result

    cdef int resize(self, Py_ssize_t size) except -1:
        try:
            _PyBytes_Resize(&self.chunk, size)
        except MemoryError:
            # the object was freed and NULL stored: what it held is lost, the encoder is usable
            self.used = self.capacity = 0
            raise
        return 0

    cdef char *room(self, Py_ssize_t size) except NULL:
        """Where `size` more bytes go; counts them as used."""
        cdef Py_ssize_t needed = self.used + size
        cdef char *at
        if needed > self.capacity:
            needed = max(needed, CHUNK_FIRST, 2 * self.capacity)
            if self.chunk == NULL:
                self.chunk = new_bytes(NULL, needed)
            else:
                self.resize(needed)
            self.start = bytes_start(self.chunk)
            self.capacity = needed
        at = self.start + self.used
        self.used += size
        return at

    cdef char *frame(self, int kind, int flags, int code, uint64_t id, Py_ssize_t body,
                     Py_ssize_t away) except NULL:
        """Write a header; the caller writes the `body` bytes that follow at the result, but for the
        last `away` of them, which are not copied."""
        cdef char *at = self.room(HEADER + body - away)
        put_u32(at, <uint32_t>(LENGTH_MIN + body))
        at[4] = <char>kind
        at[5] = <char>flags
        at[6] = <char>code
        at[7] = 0
        put_u64(at + 8, id)
        return at + HEADER

    cdef int message(self, int kind, int flags, uint64_t id, str pool, uint32_t timeout_ms,
                     const char *payload, Py_ssize_t size, object itself) except -1:
        """`itself` is the object with the payload when a large one may be kept, else None."""
        cdef Py_ssize_t name_size, away = 0
        cdef const char *name
        cdef char *at
        if pool is not self.pool:  # a name is checked once: most messages go where the last went
            name = name_of(pool, &name_size)
            self.name, self.name_size, self.pool = name, name_size, pool
        if size >= LARGE and itself is not None:
            away = size
            itself = itself if type(itself) is bytes else PyBytes_FromStringAndSize(payload, size)
        at = self.frame(kind, flags, <int>self.name_size, id, 4 + self.name_size + size, away)
        put_u32(at, timeout_ms)
        memcpy(at + 4, self.name, self.name_size)
        if away == 0:
            memcpy(at + 4 + self.name_size, payload, size)
        else:
            self.size += self.used + size
            self.pieces += (self.finish(), itself)
        return 0

    cdef int simple(self, int kind, int flags, str pool, uint64_t id, bytes body) except -1:
        """A frame whose body is a name (may be empty here) and the rest."""
        cdef Py_ssize_t name_size = 0, size = PyBytes_GET_SIZE(body)
        cdef const char *name = NULL
        if pool:
            name = name_of(pool, &name_size)
        cdef char *at = self.frame(kind, flags, <int>name_size, id, name_size + size, 0)
        if name_size > 0:
            memcpy(at, name, name_size)
        memcpy(at + name_size, PyBytes_AS_STRING(body), size)
        return 0

    def hello(self, bytes token=b"", int version_min=1, int version_max=1):
        """The first frame of a connection."""
        if len(token) > TOKEN_MAX:
            raise ValueError(f"token of {len(token)} bytes: at most {TOKEN_MAX}")
        head = bytes((version_min, version_max)) + len(token).to_bytes(2, "big")
        self.simple(C_HELLO, 0, "", 0, b"DROP" + head + token)

    def request(self, int kind, uint64_t id, str pool, payload, uint32_t timeout_ms=0,
                int flags=0):
        """CALL, CAST or PUBLISH, in one piece whatever its size."""
        cdef bytes data = payload.encode() if isinstance(payload, str) else octets(payload)
        self.message(kind, flags, id, pool, timeout_ms, PyBytes_AS_STRING(data),
                     PyBytes_GET_SIZE(data), None)

    def subscribe(self, uint64_t id, str pool not None, filter=b"", bint wait=False):
        """Raises BadRequest for a filter that no node takes."""
        cdef bytes data = octets(filter)
        if PyBytes_GET_SIZE(data) > FILTER_MAX:
            raise BadRequest(f"filter of {len(data)} bytes: at most {FILTER_MAX}")
        if not pool:
            raise BadRequest("subscribe: the pool's name is empty")
        self.simple(C_SUBSCRIBE, WAIT if wait else 0, pool, id, data)

    def unsubscribe(self, uint64_t id):
        self.simple(C_UNSUBSCRIBE, 0, "", id, b"")

    def cancel(self, uint64_t id, str pool not None):
        """`pool` is the one that the CALL or PUBLISH named."""
        self.simple(C_CANCEL, 0, pool, id, b"")

    def ping(self, uint64_t id, body=b""):
        cdef bytes data = octets(body)
        if PyBytes_GET_SIZE(data) > PING_MAX:
            raise BadRequest(f"ping of {len(data)} bytes: at most {PING_MAX}")
        self.simple(C_PING, 0, "", id, data)

    def statistics(self, uint64_t id, str pool=None):
        self.simple(C_STATISTICS, 0, pool, id, b"")
