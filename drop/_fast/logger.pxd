"""Declarations of c_src/logger.h, the names of c_src/logfile.h and what crosses to the reactor."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef extern from "<stdbool.h>" nogil:
    ctypedef bint c_bool "bool"

cdef extern from "callmark.h" nogil:
    struct drop_callmark:
        pass

    void drop_callmark_release(drop_callmark *mark)

cdef extern from "logsink.h" nogil:
    const char *DROP_LOGSINK_CAPSULE

    struct drop_logsink:
        pass

cdef extern from "logger.h" nogil:
    ctypedef int pid_t

    struct drop_logger:
        pass

    struct drop_logger_options:
        uint64_t file_bytes_max
        unsigned files
        int64_t age_max
        uint32_t rate_lines

    struct drop_logger_statistics:
        uint64_t lines
        uint64_t bytes
        uint64_t lost
        uint64_t cut
        uint64_t rotations
        uint64_t write_errors
        uint64_t truncated
        uint64_t sources

    int drop_logger_open(drop_logger **logger, const char *directory,
                         const drop_logger_options *options)
    int drop_logger_start(drop_logger *logger)
    int drop_logger_add(drop_logger *logger, const char *pool, size_t pool_length,
                        uint64_t worker, pid_t pid, int fd, c_bool tail, drop_callmark **mark)
    void drop_logger_sink(drop_logger *logger, drop_logsink *sink)
    void drop_logger_reopen(drop_logger *logger)
    void drop_logger_stop(drop_logger *logger)
    void drop_logger_statistics_read "drop_logger_statistics" (
        drop_logger *logger, drop_logger_statistics *statistics)
    void drop_logger_close(drop_logger *logger)

cdef extern from "logfile.h" nogil:
    enum:
        DROP_NAME_MAX
        DROP_LOGFILE_NAME_SIZE

    size_t drop_logfile_name(const char *pool, size_t length, char *name)
    size_t drop_logfile_pool(const char *name, size_t length, char *pool)

cdef extern from "lograte.h" nogil:
    enum:
        DROP_LOGRATE_MAX


cdef class Logger:
    cdef drop_logger *_logger
    cdef drop_logsink _sink
    cdef str _directory
    cdef bint _running
    cdef int _check(self, int error, str what) except -1
