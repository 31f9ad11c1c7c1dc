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

    An id is a slot of a table (lower 16 bits) and that slot's generation (the rest, never 0):
    looking one up is an index and a comparison, and an answer to what was given up matches nothing.
    Generations start at `first`; clients choose it by chance, so that their ids tell their calls
    apart in the logs of a node. A waiter is a future (done, cancelled, set_result, set_exception),
    one that also takes parts (part), or a Batch.
    """

    def __cinit__(self, uint64_t first=1):
        if not 1 <= first <= FIRST_MAX:
            raise ValueError(f"first generation {first}: expected 1 to {FIRST_MAX}")
        self.first = first
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
             double deadline, bint parts=False):
        """Encode a CALL or PUBLISH (or a CAST, when `waiter` is None).

        With `parts` the waiter of a CALL takes the answer in parts: `part(bytes)` for each but the
        last, which is its result. How many bytes wait in the encoder now; 0 when `calls_max` are
        outstanding and nothing was done. Raises BadRequest and TooLarge.
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
            self.encoder.message(kind, 0, self.id_of_nobody(), pool, timeout_ms, data, size,
                                 payload)
            return self.encoder.size + self.encoder.used
        slot = self.reserve(waiter, pool, deadline, IN_PARTS if parts else FUTURE)
        try:
            self.encoder.message(kind, C_PARTS if parts else 0, self.id_of(slot), pool,
                                 timeout_ms, data, size, payload)
        except BaseException:
            self.release(slot)
            raise
        return self.encoder.size + self.encoder.used

    def call_batch(self, Batch batch not None, str pool not None, uint32_t timeout_ms,
                   double deadline, Py_ssize_t window, Py_ssize_t bytes_max):
        """Encode CALLs of the batch until `window` are outstanding, `bytes_max` wait to be written,
        or no room is left; how many. A payload that cannot be sent becomes its own result."""
        cdef Py_ssize_t first = batch.sent, count = len(batch.payloads)
        cdef int32_t slot
        cdef bytes payload
        while (batch.sent < count and batch.outstanding < window
               and self.outstanding < self.calls_max
               and self.encoder.size + self.encoder.used < bytes_max):
            item = batch.payloads[batch.sent]
            payload = item.encode() if isinstance(item, str) else octets(item)
            if PyBytes_GET_SIZE(payload) > self.payload_max:
                batch.results[batch.sent] = too_large(len(payload), self.payload_max)
                batch.sent += 1
                continue
            slot = self.reserve(batch, pool, deadline, <int32_t>batch.sent)
            try:
                self.encoder.message(C_CALL, 0, self.id_of(slot), pool, timeout_ms,
                                     PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload),
                                     payload)
            except BaseException:
                self.release(slot)
                raise
            batch.sent += 1
            batch.outstanding += 1
        return batch.sent - first

    def ping(self, waiter, body, double deadline):
        slot = self.reserve(waiter, None, deadline, FUTURE)
        self.encoder.ping(self.id_of(slot), body)

    def statistics(self, waiter, str pool, double deadline):
        slot = self.reserve(waiter, None, deadline, FUTURE)
        self.encoder.statistics(self.id_of(slot), pool)

    def subscribe(self, waiter, str pool, filter, bint wait, double deadline):
        """The waiter gets SUBSCRIBE's answer; the events go where `Decoder.deliver` is told."""
        slot = self.reserve(waiter, None, deadline, FUTURE)
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
                self.give_up(slot, CallTimeout("the node did not answer in time"))
        return failed

    def fail(self, make_error):
        """The connection is gone: every waiter gets an error of its own from make_error()."""
        cdef int32_t slot
        for slot in range(self.size):
            if self.slots[slot].taken:
                self.give_up(slot, make_error())

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
        return self.slots[slot].generation << SLOT_BITS | <uint32_t>slot

    cdef uint64_t id_of_nobody(self) except? 0:
        """An id for what has no answer; 0 when the table is full and cannot grow."""
        if self.first_free < 0:
            if self.size == SLOTS_MAX:
                return 0
            self.grow()
        cdef uint64_t id = self.id_of(self.first_free)
        self.slots[self.first_free].generation += 1
        return id

    cdef int release(self, int32_t slot) except -1:
        self.waiters[slot] = None
        self.slots[slot].taken = False
        self.slots[slot].generation += 1
        self.slots[slot].next_free = self.first_free
        self.first_free = slot
        self.outstanding -= 1
        return 0

    cdef int grow(self) except -1:
        """Double the table; the new slots become the free list. Raises Overloaded."""
        cdef int32_t size = max(<int32_t>SLOTS_FIRST, 2 * self.size), slot
        if size > SLOTS_MAX:
            raise Overloaded(f"{SLOTS_MAX} requests are outstanding on this connection")
        cdef Slot *slots = <Slot *>realloc(self.slots, size * sizeof(Slot))
        if slots == NULL:
            raise MemoryError()
        self.slots = slots
        self.waiters.extend([None] * (size - self.size))
        self.pools.extend([None] * (size - self.size))
        for slot in range(self.size, size):
            slots[slot].generation = self.first
            slots[slot].taken = False
            slots[slot].next_free = slot + 1 if slot + 1 < size else -1
        self.first_free = self.size
        self.size = size
        return 0

    cdef bint waits(self, uint64_t id):
        cdef int32_t slot = <int32_t>(id & (SLOTS_MAX - 1))
        return slot < self.size and self.slots[slot].taken \
            and self.slots[slot].generation == id >> SLOT_BITS

    cdef int complete(self, uint64_t id, int status, const char *body, Py_ssize_t size,
                      bytes whole) except -1:
        """Give an answer to whoever waits for the id; one that nobody waits for is dropped.

        `whole` is the answer when it is an object already, else None.
        """
        cdef int32_t slot = <int32_t>(id & (SLOTS_MAX - 1))
        if not self.waits(id):
            return 0
        if whole is None:
            whole = PyBytes_FromStringAndSize(body, size)
        if status != 0:
            return self.give_up(slot, error_for(status, whole.decode("utf-8", "replace")))
        cdef int32_t index = self.slots[slot].index
        waiter = self.waiters[slot]
        self.release(slot)
        return self.settle(waiter, index, whole, True)

    cdef int more(self, uint64_t id, const char *body, Py_ssize_t size, bytes whole) except -1:
        """Give a part to whoever waits for the id; one that nobody waits for is dropped."""
        cdef int32_t slot = <int32_t>(id & (SLOTS_MAX - 1))
        if not self.waits(id):
            return 0
        if self.slots[slot].index != IN_PARTS:
            raise ProtocolError("the peer sent a part of an answer that was asked for as a whole")
        self.waiters[slot].part(PyBytes_FromStringAndSize(body, size) if whole is None else whole)
        return 0

    cdef int give_up(self, int32_t slot, object error) except -1:
        """The request has failed. Of a call, the error tells the id."""
        cdef int32_t index = self.slots[slot].index
        waiter = self.waiters[slot]
        if self.pools[slot] is not None:
            error.call_id = f"{self.id_of(slot):016x}"
        self.release(slot)
        return self.settle(waiter, index, error, False)

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
