# Part of codec.pyx: the frames that a client sends.

cdef class Encoder:
    """Frames, back to back. `take()` hands them over and starts anew."""

    def __dealloc__(self):
        Py_XDECREF(self.chunk)

    def __len__(self):
        return self.used

    def take(self):
        """The bytes encoded since the last take(); no copy is made."""
        if self.chunk == NULL:
            return b""
        self.resize(self.used)
        result = <object>self.chunk
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

    cdef char *frame(self, int kind, int flags, int code, uint64_t id, Py_ssize_t body) except NULL:
        """Write a header; the caller writes the `body` bytes that follow at the result."""
        cdef char *at = self.room(HEADER + body)
        put_u32(at, <uint32_t>(LENGTH_MIN + body))
        at[4] = <char>kind
        at[5] = <char>flags
        at[6] = <char>code
        at[7] = 0
        put_u64(at + 8, id)
        return at + HEADER

    cdef int message(self, int kind, uint64_t id, str pool, uint32_t timeout_ms,
                     const char *payload, Py_ssize_t size) except -1:
        cdef Py_ssize_t name_size
        cdef const char *name = name_of(pool, &name_size)
        cdef char *at = self.frame(kind, 0, <int>name_size, id, 4 + name_size + size)
        put_u32(at, timeout_ms)
        memcpy(at + 4, name, name_size)
        memcpy(at + 4 + name_size, payload, size)
        return 0

    cdef int simple(self, int kind, int flags, str pool, uint64_t id, bytes body) except -1:
        """A frame whose body is a name (may be empty here) and the rest."""
        cdef Py_ssize_t name_size = 0, size = PyBytes_GET_SIZE(body)
        cdef const char *name = NULL
        if pool:
            name = name_of(pool, &name_size)
        cdef char *at = self.frame(kind, flags, <int>name_size, id, name_size + size)
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

    def request(self, int kind, uint64_t id, str pool, payload, uint32_t timeout_ms=0):
        """CALL, CAST or PUBLISH."""
        cdef bytes data = payload.encode() if isinstance(payload, str) else octets(payload)
        self.message(kind, id, pool, timeout_ms, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))

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
