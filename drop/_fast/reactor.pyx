"""Binds c_src/reactor.h: the door through which the control plane reaches the dataplane.

No message passes here, with two exceptions that say so: requests to a control pool, and batches
that Python publishes. Methods put a command into the reactor's channel and return; what happens
there comes back through happenings().
"""

import errno
import os
import warnings

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from libc.errno cimport errno as c_errno
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

WORKER_GONE = DROP_WORKER_GONE
WORKER_DRAINED = DROP_WORKER_DRAINED
POOL_DRAINED = DROP_POOL_DRAINED
DRAINED = DROP_DRAINED
MESSAGE = DROP_MESSAGE
PUBLISHED = DROP_PUBLISHED
STATISTICS = DROP_STATISTICS_READY
WORKER_READY = DROP_WORKER_READY
WORKER_HEALTH = DROP_WORKER_HEALTH
UNKNOWN_TOKEN = DROP_UNKNOWN_TOKEN
SPAWN_FAILED = DROP_SPAWN_FAILED
SPAWN_WORKS = DROP_SPAWN_WORKS
SPARES_OFF = DROP_SPARES_OFF

KINDS = {
    "line": DROP_KIND_LINE,
    "frame": DROP_KIND_FRAME,
    "async": DROP_KIND_ASYNC,
    "stream": DROP_KIND_STREAM,
    "exec": DROP_KIND_EXEC,
    "control": DROP_KIND_CONTROL,
}
OVERFLOWS = {
    "default": DROP_OVERFLOW_DEFAULT,
    "reject": DROP_OVERFLOW_REJECT,
    "block": DROP_OVERFLOW_BLOCK,
    "drop-oldest": DROP_OVERFLOW_OLDEST,
}
NEWLINES = ("refuse", "ncm")

cdef dict _leaks = {}


def leak_counters():
    """What the reactors stopped so far in this process left open, by kind; empty when nothing."""
    return {kind: count for kind, count in _leaks.items() if count}


cdef class Reactor:
    """One native reactor: its thread, its listeners, pools and workers.

    Every method may be called from any thread and returns at once; commands are carried out in
    order. A command that names something that is gone by then is passed over.
    """

    def __cinit__(self, *, str node_name not None, uint32_t payload_max, uint32_t connections_max,
                  uint32_t calls_max, uint32_t slow_client_ms, size_t memory_max,
                  bytes token=b"", bint gather=True, object logs=None):
        """logs: the capsule of a Logger, which must be stopped before this reactor is."""
        cdef drop_reactor_options options
        cdef bytes name = node_name.encode()
        if len(name) > DROP_NODE_NAME_MAX or any(c < 0x20 or c in b'"\\' or c > 0x7e for c in name):
            raise ValueError(f"node_name: {node_name!r} has more than {DROP_NODE_NAME_MAX} "
                             "characters, or others than printable ASCII without quotes")
        if len(token) > DROP_TOKEN_MAX:
            raise ValueError(f"token: longer than {DROP_TOKEN_MAX} bytes")
        memset(&options, 0, sizeof(options))
        memcpy(options.node_name, PyBytes_AS_STRING(name), len(name))
        memcpy(options.token, PyBytes_AS_STRING(token), len(token))
        options.token_length = <uint32_t>len(token)
        options.payload_max = payload_max
        options.connections_max = connections_max
        options.calls_max = calls_max
        options.slow_client_ms = slow_client_ms
        options.memory_max = memory_max
        options.gather = gather
        if logs is not None:
            options.logs = <drop_logsink *>PyCapsule_GetPointer(logs, DROP_LOGSINK_CAPSULE)
        self._logs = logs
        self._pools = {}
        self._reactor = drop_reactor_create(&options)
        if self._reactor == NULL:
            raise OSError(c_errno, f"the reactor cannot be made: {os.strerror(c_errno)}")

    def __dealloc__(self):
        if self._reactor == NULL:
            return
        if self._started and not self._stopped:
            warnings.warn("a Reactor was dropped without stop()", ResourceWarning)
        with nogil:
            drop_reactor_destroy(self._reactor)
        self._reactor = NULL

    cdef uint64_t _next_id(self):
        self._ids += 1
        return self._ids

    cdef int _open(self) except -1:
        if self._stopped:
            raise ValueError("the reactor is stopped")
        return 0

    cdef int _send(self, uint32_t kind, uint64_t a, uint64_t b, uint64_t c,
                   bytes payload) except -1:
        self._open()
        cdef size_t length = 0 if payload is None else PyBytes_GET_SIZE(payload)
        cdef drop_record *record = drop_record_create(kind, a, b, c, length)
        if record == NULL:
            raise MemoryError
        if length:
            memcpy(record.bytes, PyBytes_AS_STRING(payload), length)
        drop_channel_send(&self._reactor.commands, record)
        return 0

    def start(self):
        """Starts the thread drop-reactor-0; raises OSError, ValueError when it was started."""
        self._open()
        if self._started:
            raise ValueError("the reactor is started already")
        cdef int error = drop_reactor_start(self._reactor)
        if error:
            raise OSError(error, f"the reactor's thread cannot start: {os.strerror(error)}")
        self._started = True

    def stop(self):
        """Ends the thread and closes every descriptor the reactor owns. Idempotent."""
        if not self._stopped:
            self._stopped = True
            with nogil:
                drop_reactor_stop(self._reactor)
            for kind, count in (<dict>leaks_of(self._reactor)).items():
                _leaks[kind] = _leaks.get(kind, 0) + count

    @property
    def happening_fd(self):
        """An eventfd, readable when happenings() has something."""
        return self._reactor.happenings.event_fd

    def happenings(self):
        """Everything that happened since the last call, in order, as tuples; see reactor.pyi."""
        cdef drop_record *record = drop_channel_take(&self._reactor.happenings)
        cdef drop_record *following
        cdef list found = []
        while record != NULL:
            following = record.next
            try:
                found.append(as_tuple(record))
            finally:
                free(record)
            record = following
        return found

    def listen(self, int fd, *, bint trusted):
        """Accepts on a bound and listening socket, which passes to the reactor; returns its id.

        trusted: a Unix socket, whose clients need no token and may use control pools.
        """
        cdef uint64_t listener = self._next_id()
        os.set_blocking(fd, False)
        self._send(DROP_COMMAND_LISTEN, listener, fd, trusted, None)
        return listener

    def listen_stop(self, uint64_t listener):
        """Closes a listener; its connections stay."""
        self._send(DROP_COMMAND_LISTEN_STOP, listener, 0, 0, None)

    def pool_create(self, str name not None, *, str kind not None, uint32_t inflight=1,
                    uint32_t queue=1024, str overflow not None="default", uint64_t timeout_ms=0,
                    str newline not None="refuse", uint16_t retries=0):
        """Makes a pool and returns its id; raises ValueError for a bad or taken name or limit."""
        cdef drop_pool_options options
        cdef bytes encoded = name.encode()
        if not drop_name_valid(encoded, len(encoded)):
            raise ValueError(f"{name!r} is not a pool's name: "
                             f"1 to {DROP_NAME_MAX} of A-Z a-z 0-9 _ . : - / are allowed")
        if name in self._pools.values():
            raise ValueError(f"there is a pool {name!r} already")
        for what, word, words in (("kind", kind, KINDS), ("overflow", overflow, OVERFLOWS),
                                  ("newline", newline, NEWLINES)):
            if word not in words:
                raise ValueError(f"{what}: {word!r} is none of {', '.join(words)}")
        if not 1 <= inflight <= DROP_INFLIGHT_MAX:
            raise ValueError(f"inflight: {inflight} is not between 1 and {DROP_INFLIGHT_MAX}")
        if not 1 <= queue <= DROP_QUEUE_MAX:
            raise ValueError(f"queue: {queue} is not between 1 and {DROP_QUEUE_MAX}")
        memset(&options, 0, sizeof(options))
        memcpy(options.name, PyBytes_AS_STRING(encoded), len(encoded))
        options.name_length = <uint32_t>len(encoded)
        options.kind = KINDS[kind]
        options.overflow = OVERFLOWS[overflow]
        options.inflight = inflight
        options.queue = queue
        options.timeout_ns = timeout_ms * 1_000_000
        options.retries = retries
        options.ncm = newline == "ncm"
        cdef uint64_t pool = self._next_id()
        self._send(DROP_COMMAND_POOL_CREATE, pool, 0, 0,
                   PyBytes_FromStringAndSize(<char *>&options, sizeof(options)))
        self._pools[pool] = name
        return pool

    def pool_remove(self, uint64_t pool):
        """Removes a pool: what waits is answered `draining`, what workers have is abandoned."""
        if self._pools.pop(pool, None) is not None:
            self._send(DROP_COMMAND_POOL_REMOVE, pool, 0, 0, None)

    def pool_drain(self, uint64_t pool):
        """No new messages of clients (`draining`); POOL_DRAINED when the accepted are done.

        Events of pools that it subscribes to are still taken, so drain those first.
        """
        self._send(DROP_COMMAND_POOL_DRAIN, pool, 0, 0, None)

    def pool_refuse(self, uint64_t pool, str text):
        """While the pool has no worker, answers `no_worker` with this text; None lifts it."""
        cdef bytes payload = None if text is None else (text or "no worker").encode() + b"\0"
        self._send(DROP_COMMAND_POOL_REFUSE, pool, 0, 0, payload)

    def worker_add(self, uint64_t pool, int stdin_fd, int stdout_fd, int pid=0, *,
                   bytes ready not None=b"", uint64_t mark=0):
        """Gives the pool a worker by the ends of its pipes, which pass; returns the worker's id.

        pid: of its process, which may be moved to the reactor's CPU while that pays (placement.h).
        ready: nothing is given to it before a line that begins so is on its stdout, and
        WORKER_READY tells. mark: what Logger.add returned, which passes.
        """
        cdef uint64_t worker = self._next_id()
        cdef drop_worker_parts parts
        memset(&parts, 0, sizeof(parts))
        parts.stdin_fd = stdin_fd
        parts.stdout_fd = stdout_fd
        parts.pid = pid
        parts.mark = <drop_callmark *>mark
        parts.ready_length = <uint32_t>PyBytes_GET_SIZE(ready)
        self._send(DROP_COMMAND_WORKER_ADD, pool, worker, 0,
                   PyBytes_FromStringAndSize(<char *>&parts, sizeof(parts)) + ready)
        return worker

    def worker_remove(self, uint64_t worker, *, bint drain):
        """drain: nothing new, WORKER_DRAINED when it has answered. Otherwise it is gone at once."""
        self._send(DROP_COMMAND_WORKER_REMOVE, worker, drain, 0, None)

    def worker_exited(self, uint64_t worker, str how not None=""):
        """Its process is known to be dead: what is left in its stdout counts, then it is gone.

        how: it died, in words, for the caller whose message it had ("exit code 3").
        """
        cdef bytes text = how.encode() + b"\0" if how else None
        self._send(DROP_COMMAND_WORKER_EXITED, worker, 0, 0, text)

    def worker_probe(self, uint64_t worker, bytes payload not None, bytes expect):
        """Asks a worker that has nothing to do; WORKER_HEALTH tells how that went.

        expect: the answer of a healthy one; None: any answer is good.
        """
        self._send(DROP_COMMAND_WORKER_PROBE, worker, PyBytes_GET_SIZE(payload), expect is None,
                   payload + (expect or b""))

    def exec_configure(self, uint64_t pool, object recipe, *, uint32_t at_most,
                       uint32_t spare_least, uint32_t spare_most):
        """How processes of a pool of kind exec are started; again: those that wait are replaced.

        recipe: the capsule of a drop._fast.spawn.Recipe. at_most: processes that have a message at
        a time. spare_least, spare_most: how many are kept ready for one; 0 and 0: none.
        """
        cdef drop_exec_options options
        if at_most < 1:
            raise ValueError("at_most: at least 1 is expected")
        self._open()
        memset(&options, 0, sizeof(options))
        options.recipe = <drop_recipe *>PyCapsule_GetPointer(recipe, DROP_RECIPE_CAPSULE)
        options.at_most = at_most
        options.spare_least = spare_least
        options.spare_most = spare_most
        drop_recipe_retain(options.recipe)
        self._send(DROP_COMMAND_EXEC, pool, 0, 0,
                   PyBytes_FromStringAndSize(<char *>&options, sizeof(options)))

    def exec_resume(self, uint64_t pool):
        """Tries again to start processes, after SPAWN_FAILED."""
        self._send(DROP_COMMAND_EXEC_RESUME, pool, 0, 0, None)

    def subscribe(self, uint64_t source, uint64_t target, bytes filter not None,
                  str mode not None):
        """Makes answers of `source` with `filter` in them messages of `target`; returns an id.

        mode: "one" worker of the target gets each, or "all" of them.
        """
        if mode not in ("one", "all"):
            raise ValueError(f"mode: {mode!r} is none of one, all")
        if len(filter) > DROP_FILTER_MAX:
            raise ValueError(f"filter: longer than {DROP_FILTER_MAX} bytes")
        cdef uint64_t subscription = self._next_id()
        self._send(DROP_COMMAND_SUBSCRIBE, subscription, source, target << 1 | (mode == "all"),
                   filter)
        return subscription

    def unsubscribe(self, uint64_t subscription):
        """Ends a subscription between pools."""
        self._send(DROP_COMMAND_UNSUBSCRIBE, subscription, 0, 0, None)

    def answer(self, uint64_t token, int status, bytes payload not None):
        """Answers a message of a control pool; one that timed out meanwhile is passed over."""
        if not 0 <= status <= 10:
            raise ValueError(f"status: {status} is not between 0 and 10")
        self._send(DROP_COMMAND_ANSWER, token, status, 0, payload)

    def publish(self, uint64_t pool, list messages not None):
        """Puts messages (bytes) into a pool in one command; PUBLISHED tells the number it returns.

        A batch waits for room like a subscription. Bound how many are on their way: nothing else
        does.
        """
        cdef Py_ssize_t count = PyList_GET_SIZE(messages), i
        cdef size_t total = 0
        cdef uint32_t length
        cdef drop_record *record
        cdef char *place
        self._open()
        for i in range(count):
            if type(<object>PyList_GET_ITEM(messages, i)) is not bytes:
                raise TypeError("messages: a list of bytes is expected")
            total += sizeof(uint32_t) + PyBytes_GET_SIZE(<object>PyList_GET_ITEM(messages, i))
        cdef uint64_t request = self._next_id()
        record = drop_record_create(DROP_COMMAND_PUBLISH, request, pool, count, total)
        if record == NULL:
            raise MemoryError
        place = record.bytes
        for i in range(count):
            item = <object>PyList_GET_ITEM(messages, i)
            length = <uint32_t>PyBytes_GET_SIZE(item)
            memcpy(place, &length, sizeof(length))
            memcpy(place + sizeof(length), PyBytes_AS_STRING(item), length)
            place += sizeof(length) + length
        drop_channel_send(&self._reactor.commands, record)
        return request

    def statistics(self):
        """Asks for the figures; STATISTICS comes with the number that this returns."""
        cdef uint64_t request = self._next_id()
        self._send(DROP_COMMAND_STATISTICS, request, 0, 0, None)
        return request

    def drain(self):
        """No new connections and messages; DRAINED when everything accepted is done."""
        self._send(DROP_COMMAND_DRAIN, 0, 0, 0, None)


cdef tuple as_tuple(drop_record *record):
    cdef bytes payload = PyBytes_FromStringAndSize(record.bytes, record.length)
    if record.kind == DROP_WORKER_GONE:
        return (WORKER_GONE, record.a, record.b, payload.decode(), record.c & 0xffff,
                record.c >> 16)
    if record.kind == DROP_WORKER_DRAINED:
        return (WORKER_DRAINED, record.a, record.b, record.c)
    if record.kind == DROP_POOL_DRAINED:
        return (POOL_DRAINED, record.a)
    if record.kind == DROP_MESSAGE:
        return (MESSAGE, record.a, record.b, payload)
    if record.kind == DROP_PUBLISHED:
        return (PUBLISHED, record.a, record.b, record.c)
    if record.kind == DROP_STATISTICS_READY:
        return (STATISTICS, record.a, payload)
    if record.kind == DROP_WORKER_READY:
        return (WORKER_READY, record.a, record.b)
    if record.kind == DROP_WORKER_HEALTH:
        return (WORKER_HEALTH, record.a, record.b, payload.decode())
    if record.kind == DROP_UNKNOWN_TOKEN:
        return (UNKNOWN_TOKEN, record.a, record.b, record.c, payload)
    if record.kind == DROP_SPAWN_FAILED:
        return (SPAWN_FAILED, record.a, record.b, payload.decode())
    if record.kind == DROP_SPAWN_WORKS:
        return (SPAWN_WORKS, record.a)
    if record.kind == DROP_SPARES_OFF:
        return (SPARES_OFF, record.a, payload.decode())
    return (DRAINED,)
