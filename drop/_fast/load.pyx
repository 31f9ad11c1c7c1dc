# cython: language_level=3
"""The door to the load generator (c_src/load.h): one `Load` is one run.

The caller connects and names; run() holds no GIL, so that another thread can show progress.
"""
from cpython.exc cimport PyErr_SetFromErrno
from libc.stdlib cimport calloc, free

DONE = DROP_LOAD_DONE
CLOSED = DROP_LOAD_CLOSED
GOAWAY = DROP_LOAD_GOAWAY
UNEXPECTED = DROP_LOAD_UNEXPECTED
ALTERED = DROP_LOAD_ALTERED
SYSTEM = DROP_LOAD_SYSTEM
DEPTH_MAX = DROP_LOAD_DEPTH_MAX


cdef class Load:
    """Calls of `pool` with `payload` over connected sockets, `depth` outstanding on each.

    `fds` are blocking sockets that have had their WELCOME; they stay open and the caller's. Raises
    ValueError for what cannot be sent, OSError for descriptors that are no sockets, MemoryError.
    """

    def __cinit__(
        self,
        fds,
        bytes pool,
        bytes payload,
        *,
        uint32_t depth,
        double seconds,
        double warmup=0.3,
        uint32_t timeout_ms=0,
        bint verify=False,
    ):
        if not fds or not 1 <= depth <= DROP_LOAD_DEPTH_MAX:
            raise ValueError(f"at least one connection and a depth of 1 to {DROP_LOAD_DEPTH_MAX}")
        if not 1 <= len(pool) <= 128:
            raise ValueError("a pool's name has 1 to 128 bytes")
        self.fds = <int *>calloc(len(fds), sizeof(int))
        if self.fds == NULL:
            raise MemoryError
        for i, fd in enumerate(fds):
            self.fds[i] = fd
        cdef drop_load_plan plan
        plan.fds = self.fds
        plan.connections = len(fds)
        plan.depth = depth
        plan.pool = <const uint8_t *><const char *>pool
        plan.pool_length = <uint8_t>len(pool)
        plan.payload = <const uint8_t *><const char *>payload
        plan.payload_length = len(payload)
        plan.timeout_ms = timeout_ms
        plan.warmup_ns = <uint64_t>(warmup * 1e9)
        plan.duration_ns = <uint64_t>(seconds * 1e9)
        plan.verify = verify
        self.load = drop_load_create(&plan)
        if self.load == NULL:
            PyErr_SetFromErrno(OSError)

    def __dealloc__(self):
        if self.load != NULL:
            drop_load_destroy(self.load)
        free(self.fds)

    def run(self):
        """Runs to the end and returns what was measured; once. Durations are in seconds."""
        if self.started:
            raise RuntimeError("a load runs once")
        self.started = True
        cdef const drop_load_result *result
        with nogil:
            result = drop_load_run(self.load)
        return {
            "end": result.end,
            "errno": result.error,
            "status": result.status,
            "text": (<bytes>result.text).decode("utf-8", "replace"),
            "seconds": result.duration_ns / 1e9,
            "messages": result.messages,
            "errors": {
                status: result.errors[status]
                for status in range(DROP_LOAD_STATUSES)
                if result.errors[status]
            },
            "unanswered": result.unanswered,
            "reads": result.reads,
            "writes": result.writes,
            "max": result.latency.max / 1e9,
            "mean": drop_histogram_sum(&result.latency) / 1e9 / max(result.messages, 1),
            "p50": drop_histogram_quantile(&result.latency, 0.5) / 1e9,
            "p99": drop_histogram_quantile(&result.latency, 0.99) / 1e9,
            "p999": drop_histogram_quantile(&result.latency, 0.999) / 1e9,
        }

    def stop(self):
        """Ends the run early; from any thread."""
        drop_load_stop(self.load)

    @property
    def progress(self):
        """Answers so far, the warm-up's included; from any thread."""
        return drop_load_progress(self.load)
