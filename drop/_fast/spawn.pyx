"""Binds c_src/spawner.h and recipe.h: starts programs without copying the node; the GIL is
released meanwhile.

The thread that calls is the one whose end kills the process (PDEATHSIG).
"""

import os

from cpython.bytes cimport PyBytes_AS_STRING
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_New
from libc.errno cimport errno
from posix.unistd cimport close


class SpawnError(OSError):
    """A program could not be started: errno, strerror that names the failed step, filename."""

    step = ""
    """What failed: "cannot enter the directory"."""
    executing = False
    """Everything but the program itself went well."""


def spawn(list argv not None, *, list env not None, bytes cwd, int stdin, int stdout, int stderr,
          long long uid=-1, long long gid=-1):
    """Starts argv[0], found in the PATH of `env`, and returns (pid, pidfd).

    The three descriptors stay the caller's, the pidfd becomes its. Raises SpawnError.
    """
    check_argv(argv)
    cdef tuple argv_kept = check_strings("argv", argv)  # own the bytes while the GIL is away
    cdef tuple env_kept = check_strings("env", env)
    check_strings("cwd", [cwd or b""])
    cdef drop_spawn_request request
    cdef drop_spawn_result result
    request.directory = optional_text(cwd)
    request.stream = [stdin, stdout, stderr]
    request.uid = <uid_t>checked_id("uid", uid)
    request.gid = <gid_t>checked_id("gid", gid)
    request.confinement = NULL
    request.group = NULL
    request.argv = NULL
    request.environment = NULL
    try:
        request.argv = pointers(argv_kept)
        request.environment = pointers(env_kept)
        with nogil:
            drop_spawn(&request, &result)
    finally:
        PyMem_Free(<void *>request.argv)
        PyMem_Free(<void *>request.environment)
    return started(&result, argv_kept[0])


include "spawn_recipe.pxi"


cdef tuple started(const drop_spawn_result *result, bytes program):
    """(pid, pidfd); raises SpawnError."""
    if not result.error:
        return result.pid, result.pidfd
    step = drop_spawn_step_text(result.step).decode()
    error = SpawnError(result.error, f"{step}: {os.strerror(result.error)}", program)
    error.step = step
    error.executing = result.step == DROP_SPAWN_FIND or result.step == DROP_SPAWN_EXECUTE
    raise error


cdef int check_argv(list argv) except -1:
    if not argv:
        raise ValueError("argv is empty: it has to start with the program")
    return 0


cdef tuple check_strings(str what, list items):
    """The items as a tuple; raises TypeError, ValueError for what C cannot take as a string."""
    for item in items:
        if type(item) is not bytes:
            raise TypeError(f"{what}: bytes expected, not {type(item).__name__}")
        if b"\0" in item:
            raise ValueError(f"{what}: {item!r} contains a NUL byte")
    return tuple(items)


cdef long long checked_id(str what, long long number) except? -2:
    if not -1 <= number < 0xFFFFFFFF:
        raise ValueError(f"{what}: {number} is not -1 (unchanged) or a 32-bit id")
    return number


cdef const char *optional_text(bytes text):
    """Borrowed; NULL for None."""
    return NULL if text is None else PyBytes_AS_STRING(text)


cdef char **pointers(tuple items) except NULL:
    """A NULL-terminated array into the items, which must outlive it."""
    cdef Py_ssize_t count = len(items), i
    cdef char **array = <char **>PyMem_Malloc((count + 1) * sizeof(char *))
    if array == NULL:
        raise MemoryError
    for i in range(count):
        array[i] = PyBytes_AS_STRING(items[i])
    array[count] = NULL
    return array
