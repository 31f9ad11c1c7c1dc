"""Binds c_src/logger.h: the thread that writes the stderr of workers to files.

Calls from Python only hand over descriptors and ask for counters; no line of a log passes here.
"""

import os
import warnings

from cpython.pycapsule cimport PyCapsule_New

FILE_BYTES_MAX = 8 << 20
FILES = 5
RATE_LINES = 10_000
HOUR_SECONDS = 3600
AGE_HOURS_MAX = 1_000_000  # a century


def file_name(str pool not None):
    """The name of the file that holds the log of `pool`; ValueError when it is no pool's name."""
    cdef bytes name = pool.encode()
    cdef char out[DROP_LOGFILE_NAME_SIZE]
    cdef size_t length = drop_logfile_name(name, len(name), out)
    if length == 0:
        raise ValueError(f"{pool!r} is not a pool's name: "
                         f"1 to {DROP_NAME_MAX} of A-Z a-z 0-9 _ . : - / are allowed")
    return out[:length].decode()


def pool_name(str file_name not None):
    """The pool whose log is called so; None for other files, rotated logs among them."""
    cdef bytes name = os.fsencode(file_name)
    cdef char out[DROP_NAME_MAX + 1]
    cdef size_t length = drop_logfile_pool(name, len(name), out)
    return out[:length].decode() if length else None


def give_back(size_t mark):
    """Releases a mark that `Logger.add` has returned and nobody else has taken."""
    drop_callmark_release(<drop_callmark *>mark)


cdef class Logger:
    """Writes DIRECTORY/POOL.log for every pool whose workers say something on stderr.

    A file is rotated when it would get larger than `file_bytes_max`, and when it has been written
    for `age_hours` (0 or None: however long). What a worker says beyond `rate_lines` a second is
    cut and counted (0: nothing is cut). Stop it after the workers have ended: one that lives on
    gets SIGPIPE with its next line.
    """

    def __cinit__(self, str directory not None, *, uint64_t file_bytes_max=FILE_BYTES_MAX,
                  unsigned files=FILES, age_hours=None, long long rate_lines=RATE_LINES):
        os.makedirs(os.path.dirname(directory) or ".", mode=0o750, exist_ok=True)
        cdef bytes path = os.fsencode(directory)
        cdef const char *path_c = path
        cdef int error
        cdef drop_logger_options options
        self._directory = directory
        if file_bytes_max == 0 or files == 0:
            raise ValueError("file_bytes_max and files: at least 1 is expected")
        if not 0 <= rate_lines <= DROP_LOGRATE_MAX:
            raise ValueError(f"rate_lines: 0 to {DROP_LOGRATE_MAX} is expected")
        if not 0 <= (age_hours or 0) <= AGE_HOURS_MAX:
            raise ValueError(f"age_hours: 0 to {AGE_HOURS_MAX} is expected")
        options.file_bytes_max = file_bytes_max
        options.files = files
        options.age_max = int((age_hours or 0) * HOUR_SECONDS)
        options.rate_lines = <uint32_t>rate_lines
        with nogil:
            error = drop_logger_open(&self._logger, path_c, &options)
        self._check(error, "cannot open the directory of the logs")
        drop_logger_sink(self._logger, &self._sink)

    def start(self):
        """Starts the thread `drop-log`; once."""
        self._check(drop_logger_start(self._logger), "cannot start the thread of the logs")
        self._running = True

    def stop(self):
        """Writes what the pipes hold now, closes them, joins the thread; more calls do nothing."""
        with nogil:
            drop_logger_stop(self._logger)
        self._running = False

    def add(self, str pool not None, uint64_t worker, int pid, int fd, *, bint tail=False):
        """Takes over the reading end of a worker's stderr; OSError, ValueError: it stays yours.

        Returns the address of the mark by which the reactor tells which call the worker has
        (c_src/callmark.h), with a reference that is yours: pass it to `Reactor.worker_add`, or
        give_back() it. With `tail` the end of what the worker writes is kept as long as the mark.
        """
        file_name(pool)
        cdef bytes name = pool.encode()
        cdef drop_callmark *mark = NULL
        self._check(drop_logger_add(self._logger, name, len(name), worker, pid, fd, tail, &mark),
                    f"cannot log the worker {worker} of {pool}")
        return <size_t>mark

    def sink(self):
        """A capsule of c_src/logsink.h, for native code that starts processes of its own.

        It points into this object: keep that as long as the capsule is used.
        """
        return PyCapsule_New(&self._sink, DROP_LOGSINK_CAPSULE, NULL)

    def reopen(self):
        """Opens the files by their names again, soon: for after they were moved away."""
        drop_logger_reopen(self._logger)

    def statistics(self):
        """Counters since the start; `sources` is the number of pipes open now."""
        cdef drop_logger_statistics now
        drop_logger_statistics_read(self._logger, &now)
        return {"lines": now.lines, "bytes": now.bytes, "lost": now.lost, "cut": now.cut,
                "rotations": now.rotations, "write_errors": now.write_errors,
                "truncated": now.truncated, "sources": now.sources}

    cdef int _check(self, int error, str what) except -1:
        if error:
            raise OSError(error, f"{what}: {os.strerror(error)}", self._directory)
        return 0

    def __del__(self):
        if self._running:
            warnings.warn(f"the logger of {self._directory} was never stopped", ResourceWarning,
                          source=self)
            self.stop()

    def __dealloc__(self):
        if self._logger != NULL:
            drop_logger_close(self._logger)
