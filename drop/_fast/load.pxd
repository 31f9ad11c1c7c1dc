# The C of the load generator, as Cython sees it: c_src/load.h.
from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef extern from "histogram.h" nogil:
    struct drop_histogram:
        uint64_t max
    double drop_histogram_sum(const drop_histogram *histogram)
    uint64_t drop_histogram_quantile(const drop_histogram *histogram, double q)

cdef extern from "load.h" nogil:
    enum:
        DROP_LOAD_DEPTH_MAX
        DROP_LOAD_STATUSES
        DROP_LOAD_DONE
        DROP_LOAD_CLOSED
        DROP_LOAD_GOAWAY
        DROP_LOAD_UNEXPECTED
        DROP_LOAD_ALTERED
        DROP_LOAD_SYSTEM

    struct drop_load_plan:
        const int *fds
        uint32_t connections
        uint32_t depth
        const uint8_t *pool
        uint8_t pool_length
        const uint8_t *payload
        uint32_t payload_length
        uint32_t timeout_ms
        uint64_t warmup_ns
        uint64_t duration_ns
        bint verify

    struct drop_load_result:
        int end
        int error
        uint8_t status
        const char text[512]
        uint64_t duration_ns
        uint64_t messages
        uint64_t errors[256]
        uint64_t unanswered
        uint64_t reads
        uint64_t writes
        drop_histogram latency

    struct drop_load:
        pass

    drop_load *drop_load_create(const drop_load_plan *plan)
    void drop_load_destroy(drop_load *load)
    const drop_load_result *drop_load_run(drop_load *load)
    void drop_load_stop(drop_load *load)
    uint64_t drop_load_progress(const drop_load *load)


cdef class Load:
    cdef drop_load *load
    cdef int *fds
    cdef bint started
