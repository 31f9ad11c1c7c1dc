"""What drop/_fast/reactor.pyx needs of c_src: reactor.h, pool.h, channel.h."""

from libc.stdint cimport uint16_t, uint32_t, uint64_t


cdef extern from "limits.h" nogil:
    const unsigned DROP_NAME_MAX
    const unsigned DROP_TOKEN_MAX
    const unsigned DROP_INFLIGHT_MAX
    const unsigned DROP_QUEUE_MAX
    const unsigned DROP_FILTER_MAX


cdef extern from "frame.h" nogil:
    bint drop_name_valid(const char *name, size_t length)


cdef extern from "pool.h" nogil:
    enum drop_kind:
        DROP_KIND_LINE
        DROP_KIND_FRAME
        DROP_KIND_ASYNC
        DROP_KIND_STREAM
        DROP_KIND_EXEC
        DROP_KIND_CONTROL

    enum drop_overflow:
        DROP_OVERFLOW_DEFAULT
        DROP_OVERFLOW_REJECT
        DROP_OVERFLOW_BLOCK
        DROP_OVERFLOW_OLDEST

    struct drop_pool_options:
        char name[128]
        uint32_t name_length
        drop_kind kind
        drop_overflow overflow
        uint32_t inflight
        uint32_t queue
        uint64_t timeout_ns
        uint16_t retries
        bint ncm


cdef extern from "channel.h" nogil:
    enum drop_command:
        DROP_COMMAND_LISTEN
        DROP_COMMAND_LISTEN_STOP
        DROP_COMMAND_POOL_CREATE
        DROP_COMMAND_POOL_REMOVE
        DROP_COMMAND_POOL_DRAIN
        DROP_COMMAND_POOL_REFUSE
        DROP_COMMAND_WORKER_ADD
        DROP_COMMAND_WORKER_REMOVE
        DROP_COMMAND_WORKER_EXITED
        DROP_COMMAND_WORKER_PROBE
        DROP_COMMAND_EXEC
        DROP_COMMAND_EXEC_RESUME
        DROP_COMMAND_SUBSCRIBE
        DROP_COMMAND_UNSUBSCRIBE
        DROP_COMMAND_ANSWER
        DROP_COMMAND_PUBLISH
        DROP_COMMAND_STATISTICS
        DROP_COMMAND_DRAIN

    enum drop_happening:
        DROP_WORKER_GONE
        DROP_WORKER_DRAINED
        DROP_POOL_DRAINED
        DROP_DRAINED
        DROP_MESSAGE
        DROP_PUBLISHED
        DROP_STATISTICS_READY
        DROP_WORKER_READY
        DROP_WORKER_HEALTH
        DROP_UNKNOWN_TOKEN
        DROP_SPAWN_FAILED
        DROP_SPAWN_WORKS
        DROP_SPARES_OFF

    struct drop_record:
        drop_record *next
        uint32_t kind
        uint64_t a
        uint64_t b
        uint64_t c
        size_t length
        char bytes[0]

    struct drop_channel:
        int event_fd

    drop_record *drop_record_create(uint32_t kind, uint64_t a, uint64_t b, uint64_t c,
                                    size_t length)
    void drop_channel_send(drop_channel *channel, drop_record *record)
    drop_record *drop_channel_take(drop_channel *channel)


cdef extern from "logsink.h" nogil:
    const char *DROP_LOGSINK_CAPSULE

    struct drop_logsink:
        pass


cdef extern from "recipe.h" nogil:
    const char *DROP_RECIPE_CAPSULE

    struct drop_recipe:
        pass

    void drop_recipe_retain(drop_recipe *recipe)


cdef extern from "exec.h" nogil:
    struct drop_exec_options:
        drop_recipe *recipe
        uint32_t at_most
        uint32_t spare_least
        uint32_t spare_most


cdef extern from "worker.h" nogil:
    struct drop_callmark:
        pass

    struct drop_worker_parts:
        int stdin_fd
        int stdout_fd
        int pid
        drop_callmark *mark
        uint32_t ready_length


cdef extern from "reactor.h" nogil:
    const unsigned DROP_NODE_NAME_MAX

    struct drop_reactor_options:
        char node_name[256]
        char token[1024]
        uint32_t token_length
        uint32_t payload_max
        uint32_t connections_max
        uint32_t calls_max
        uint32_t slow_client_ms
        size_t memory_max
        const drop_logsink *logs
        bint gather

    struct drop_reactor_leaks:
        uint64_t pools
        uint64_t workers
        uint64_t connections
        uint64_t memory
        uint64_t timers
        uint64_t pending

    struct drop_reactor:
        drop_channel commands
        drop_channel happenings

    drop_reactor *drop_reactor_create(const drop_reactor_options *options)
    int drop_reactor_start(drop_reactor *reactor)
    void drop_reactor_stop(drop_reactor *reactor)
    drop_reactor_leaks leaks_of "drop_reactor_leaks" (const drop_reactor *reactor)
    void drop_reactor_destroy(drop_reactor *reactor)


cdef class Reactor:
    cdef drop_reactor *_reactor
    cdef dict _pools  # id -> name
    cdef object _logs  # the capsule, so that what it points to stays
    cdef uint64_t _ids  # given out so far: pools, workers, listeners, subscriptions, requests
    cdef bint _started
    cdef bint _stopped

    cdef uint64_t _next_id(self)
    cdef int _open(self) except -1
    cdef int _send(self, uint32_t kind, uint64_t a, uint64_t b, uint64_t c,
                   bytes payload) except -1
