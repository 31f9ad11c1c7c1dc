"""Binds c_src/logger.h: the thread that writes the stderr of workers to files.

Calls from Python only hand over descriptors and ask for counters; no line of a log passes here.
"""

import os
import warnings

FILE_BYTES_MAX = 8 << 20
FILES = 5


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


cdef class Logger:
    """Writes DIRECTORY/POOL.log for every pool whose workers say something on stderr.

    Stop it after the workers have ended: one that lives on gets SIGPIPE with its next line.
    """

    def __cinit__(self, str directory not None, *, uint64_t file_bytes_max=FILE_BYTES_MAX,
                  unsigned files=FILES):
        os.makedirs(os.path.dirname(directory) or ".", mode=0o750, exist_ok=True)
        cdef bytes path = os.fsencode(directory)
        cdef const char *path_c = path
        cdef int error
        self._directory = directory
        if file_bytes_max == 0 or files == 0:
            raise ValueError("file_bytes_max and files: at least 1 is expected")
        with nogil:
            error = drop_logger_open(&self._logger, path_c, file_bytes_max, files)
        self._check(error, "cannot open the directory of the logs")

    def start(self):
        """Starts the thread `drop-log`; once."""
        self._check(drop_logger_start(self._logger), "cannot start the thread of the logs")
        self._running = True

    def stop(self):
        """Writes what the pipes hold now, closes them, joins the thread; more calls do nothing."""
        with nogil:
            drop_logger_stop(self._logger)
        self._running = False

    def add(self, str pool not None, uint64_t worker, int pid, int fd):
        """Takes over the reading end of a worker's stderr; OSError, ValueError: it stays yours."""
        file_name(pool)
        cdef bytes name = pool.encode()
        self._check(drop_logger_add(self._logger, name, len(name), worker, pid, fd),
                    f"cannot log the worker {worker} of {pool}")

    def reopen(self):
        """Opens the files by their names again, soon: for after they were moved away."""
        drop_logger_reopen(self._logger)

    def statistics(self):
        """Counters since the start; `sources` is the number of pipes open now."""
        cdef drop_logger_statistics now
        drop_logger_statistics_read(self._logger, &now)
        return {"lines": now.lines, "bytes": now.bytes, "lost": now.lost,
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
