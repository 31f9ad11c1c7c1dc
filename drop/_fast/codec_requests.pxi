# Part of codec.pyx: who waits for which answer; one table per connection.

cdef class Batch:
    """Many calls that one caller waits for: results by place, no future for each.

    `wake()` is called whenever the number outstanding falls to `wake_at` (time to send more) or 0.
    """

    def __init__(self, list payloads not None, wake=None, Py_ssize_t wake_at=0):
        self.payloads = payloads
        self.results = [None] * len(payloads)
        self.wake = wake
        self.wake_at = wake_at

    @property
    def unsent(self):
        return len(self.payloads) - self.sent

    @property
    def done(self):
        """Nothing is left to send or to wait for."""
        return self.outstanding == 0 and self.sent == len(self.payloads)

    def refuse_unsent(self, make_error):
        """Give what was not sent an error each, from make_error()."""
        while self.sent < len(self.payloads):
            self.results[self.sent] = make_error()
            self.sent += 1

    cdef int put(self, Py_ssize_t index, object value) except -1:
        self.results[index] = value
        self.outstanding -= 1
        if self.wake is not None and (self.outstanding == self.wake_at or self.outstanding == 0):
            self.wake()
        return 0


cdef class Requests:
    """The requests of one connection: encodes them and remembers who waits for each.

    An id is a slot of a table (lower half) and that slot's generation (upper half, never 0):
    looking one up is an index and a comparison, and an answer to what was given up matches nothing.
    A waiter is a future (done, set_result, set_exception) or a Batch.
    """

    def __cinit__(self):
        self.encoder = Encoder()
        self.waiters = []
        self.pools = []
        self.first_free = -1
        self.calls_max = 1

    def __dealloc__(self):
        free(self.slots)

    @property
    def full(self):
        return self.outstanding >= self.calls_max

    def call(self, waiter, int kind, str pool not None, payload, uint32_t timeout_ms,
             double deadline):
        """Encode a CALL or PUBLISH (or a CAST, when `waiter` is None).

        How many bytes wait in the encoder now; 0 when `calls_max` are outstanding and nothing was
        done. Raises BadRequest and TooLarge.
        """
        cdef const char *data
        cdef Py_ssize_t size
        cdef int32_t slot
        if waiter is not None and self.outstanding >= self.calls_max:
            return 0
        if type(payload) is bytes:
            data = PyBytes_AS_STRING(payload)
            size = PyBytes_GET_SIZE(payload)
        elif isinstance(payload, str):
            data = PyUnicode_AsUTF8AndSize(payload, &size)
        else:
            payload = bytes(memoryview(payload))
            data = PyBytes_AS_STRING(payload)
            size = PyBytes_GET_SIZE(payload)
        if size > self.payload_max:
            raise too_large(size, self.payload_max)
        if waiter is None:
            self.encoder.message(kind, 0, pool, timeout_ms, data, size)
            return self.encoder.used
        slot = self.reserve(waiter, pool, deadline, -1)
        try:
            self.encoder.message(kind, self.id_of(slot), pool, timeout_ms, data, size)
        except BaseException:
            self.release(slot)
            raise
        return self.encoder.used

    def call_batch(self, Batch batch not None, str pool not None, uint32_t timeout_ms,
                   double deadline, Py_ssize_t window, Py_ssize_t bytes_max):
        """Encode CALLs of the batch until `window` are outstanding, `bytes_max` wait to be written,
        or no room is left; how many. A payload that cannot be sent becomes its own result."""
        cdef Py_ssize_t first = batch.sent, count = len(batch.payloads)
        cdef int32_t slot
        cdef bytes payload
        while (batch.sent < count and batch.outstanding < window
               and self.outstanding < self.calls_max and self.encoder.used < bytes_max):
            item = batch.payloads[batch.sent]
            payload = item.encode() if isinstance(item, str) else octets(item)
            if PyBytes_GET_SIZE(payload) > self.payload_max:
                batch.results[batch.sent] = too_large(len(payload), self.payload_max)
                batch.sent += 1
                continue
            slot = self.reserve(batch, pool, deadline, <int32_t>batch.sent)
            try:
                self.encoder.message(C_CALL, self.id_of(slot), pool, timeout_ms,
                                     PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload))
            except BaseException:
                self.release(slot)
                raise
            batch.sent += 1
            batch.outstanding += 1
        return batch.sent - first

    def ping(self, waiter, body, double deadline):
        slot = self.reserve(waiter, None, deadline, -1)
        self.encoder.ping(self.id_of(slot), body)

    def statistics(self, waiter, str pool, double deadline):
        slot = self.reserve(waiter, None, deadline, -1)
        self.encoder.statistics(self.id_of(slot), pool)

    def subscribe(self, waiter, str pool, filter, bint wait, double deadline):
        """The waiter gets SUBSCRIBE's answer; the events go where `Decoder.deliver` is told."""
        slot = self.reserve(waiter, None, deadline, -1)
        self.encoder.subscribe(self.id_of(slot), pool, filter, wait)

    def sweep(self, double now):
        """Fail what is past its deadline, CANCEL what its caller has given up. The number failed.

        Walks the whole table: meant for a coarse timer, not for every turn.
        """
        cdef int32_t slot
        cdef int failed = 0
        for slot in range(self.size):
            if not self.slots[slot].taken:
                continue
            waiter = self.waiters[slot]
            if waiter.cancelled if self.slots[slot].index >= 0 else waiter.cancelled():
                pool = self.pools[slot]
                if pool is not None:
                    self.encoder.cancel(self.id_of(slot), pool)
                self.release(slot)
            elif self.slots[slot].deadline <= now:
                failed += 1
                index = self.slots[slot].index
                self.release(slot)
                self.settle(waiter, index, CallTimeout("the node did not answer in time"), False)
        return failed

    def fail(self, make_error):
        """The connection is gone: every waiter gets an error of its own from make_error()."""
        cdef int32_t slot, index
        for slot in range(self.size):
            if self.slots[slot].taken:
                waiter, index = self.waiters[slot], self.slots[slot].index
                self.release(slot)
                self.settle(waiter, index, make_error(), False)

    cdef int32_t reserve(self, object waiter, str pool, double deadline, int32_t index) except -1:
        if self.first_free < 0:
            self.grow()
        cdef int32_t slot = self.first_free
        self.first_free = self.slots[slot].next_free
        self.slots[slot].deadline = deadline
        self.slots[slot].index = index
        self.slots[slot].taken = True
        self.waiters[slot] = waiter
        self.pools[slot] = pool
        self.outstanding += 1
        return slot

    cdef uint64_t id_of(self, int32_t slot) noexcept:
        return <uint64_t>self.slots[slot].generation << 32 | <uint32_t>slot

    cdef int release(self, int32_t slot) except -1:
        self.waiters[slot] = None
        self.slots[slot].taken = False
        self.slots[slot].generation += 1
        if self.slots[slot].generation == 0:
            self.slots[slot].generation = 1
        self.slots[slot].next_free = self.first_free
        self.first_free = slot
        self.outstanding -= 1
        return 0

    cdef int grow(self) except -1:
        """Double the table; the new slots become the free list. Bounded through `calls_max`."""
        cdef int32_t size = max(<int32_t>SLOTS_FIRST, 2 * self.size), slot
        cdef Slot *slots = <Slot *>realloc(self.slots, size * sizeof(Slot))
        if slots == NULL:
            raise MemoryError()
        self.slots = slots
        self.waiters.extend([None] * (size - self.size))
        self.pools.extend([None] * (size - self.size))
        for slot in range(self.size, size):
            slots[slot].generation = 1
            slots[slot].taken = False
            slots[slot].next_free = slot + 1 if slot + 1 < size else -1
        self.first_free = self.size
        self.size = size
        return 0

    cdef bint waits(self, uint64_t id):
        cdef uint32_t slot = <uint32_t>id
        return slot < <uint32_t>self.size and self.slots[slot].taken \
            and self.slots[slot].generation == <uint32_t>(id >> 32)

    cdef int complete(self, uint64_t id, int status, const char *body, Py_ssize_t size) except -1:
        """Give an answer to whoever waits for the id; one that nobody waits for is dropped."""
        cdef uint32_t slot = <uint32_t>id
        if not self.waits(id):
            return 0
        cdef int32_t index = self.slots[slot].index
        waiter = self.waiters[slot]
        self.release(<int32_t>slot)
        if status == 0:
            return self.settle(waiter, index, PyBytes_FromStringAndSize(body, size), True)
        return self.settle(waiter, index, error_for(status, body[:size].decode("utf-8", "replace")),
                           False)

    cdef int settle(self, object waiter, int32_t index, object value, bint ok) except -1:
        if index >= 0:
            return (<Batch>waiter).put(index, value)
        if waiter.done():
            return 0
        if ok:
            waiter.set_result(value)
        else:
            waiter.set_exception(value)
        return 0
