"""Runs a part of a test as an unprivileged user, in a child process; the result comes back."""

import ctypes
import os
import pickle
import traceback
from collections.abc import Callable
from typing import Any

import pytest

NOBODY = 65534
PR_SET_DUMPABLE = 4

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def as_nobody(run: Callable[[], Any]) -> Any:
    """What `run` returns, which must be picklable; an exception fails the test.

    As a plain user already, runs it as it is.
    """
    if os.geteuid() != 0:
        return run()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        _child(run, writing)
    os.close(writing)
    with open(reading, "rb") as pipe:
        worked, value = pickle.loads(pipe.read())
    assert os.waitpid(pid, 0)[1] == 0
    assert worked, value
    return value


def _child(run: Callable[[], Any], writing: int) -> None:
    try:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        # As after an exec by that user: else /proc/self would still be root's.
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
        result = (True, run())
    except BaseException:
        result = (False, traceback.format_exc())
    with open(writing, "wb") as pipe:
        pipe.write(pickle.dumps(result))
    os._exit(0)
