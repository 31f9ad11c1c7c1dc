"""Linux calls that Python lacks, each optional: a node without one of them works, only worse.

Every function says whether the kernel did it. `missing()` tells an operator what this kernel cannot
do and what follows.
"""

from __future__ import annotations

import errno
import os
from typing import Any, NamedTuple

from drop._fast._linux import lib
from drop._fast.spawn import Recipe, SpawnError

NO_DESCRIPTOR = 0x7FFF_FFFF
"""Larger than any descriptor the kernel gives out: a range that starts here closes nothing."""


def set_child_subreaper(on: bool) -> bool:
    """Let orphans of this process's descendants become its children instead of init's.

    A worker's own children are then found and reaped here when the worker dies; `reap_orphans` has
    to be called now and then, or they stay as zombies.
    """
    return _done(lib.drop_linux_set_child_subreaper(on))


def set_thread_name(name: str) -> bool:
    """Name the calling thread as `top -H` shows it; the kernel keeps the first 15 bytes."""
    return _done(lib.drop_linux_set_thread_name(name.encode()))


def close_range(first: int, last: int) -> bool:
    """Close the open descriptors from `first` to `last`; False before Linux 5.9."""
    return _done(lib.drop_linux_close_range(first, last))


def keep_capabilities() -> bool:
    """The calling thread, and those that it starts later, keep what capabilities they have; no
    program that they execute gets any. False where the kernel gives none to programs anyway."""
    return _done(lib.drop_linux_keep_capabilities())


class Failure(NamedTuple):
    """What a child could not do, and why."""

    number: int
    text: str


def try_confinement(**options: Any) -> Failure | None:
    """Whether a worker can be given `options` of a `Recipe`: None, or what fails.

    A real child goes through all the steps, as a worker would, and is then to execute a directory,
    which no kernel does.
    """
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        recipe = Recipe([b"/"], env=[], cwd=b"/", **options)
        recipe.spawn(0, stdin=null, stdout=null, stderr=null)
    except SpawnError as error:
        return None if error.executing else Failure(error.errno or 0, error.strerror or "")
    except OSError as error:
        return Failure(error.errno or 0, error.strerror or "")
    finally:
        os.close(null)
    raise AssertionError("a directory was executed")


def missing() -> dict[str, str]:
    """What this kernel does not offer, by name of the call, with what that means. Empty: nothing.

    Probes without changing anything that lasts.
    """
    found: dict[str, str] = {}
    if not close_range(NO_DESCRIPTOR, NO_DESCRIPTOR):
        found["close_range"] = "starting a worker is slower (one close per possible descriptor)"
    if not _has_pidfd():
        found["pidfd_open"] = "workers cannot be started; Linux 5.3 or later is needed"
    return found


def reap_orphans(known: set[int]) -> list[int]:
    """Reap children that have ended and are not `known`; returns their pids.

    Never reaps a known child: its owner does, by its pidfd. So it looks before it takes, and stops
    at a known one that has ended but was not taken yet; the next call gets further.
    """
    reaped: list[int] = []
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return reaped
        if ended is None or ended.si_pid in known:
            return reaped
        os.waitpid(ended.si_pid, 0)
        reaped.append(ended.si_pid)


def _has_pidfd() -> bool:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError as error:
        return error.errno != errno.ENOSYS
    return True


def _done(error: int) -> bool:
    """True when the call worked, False when this kernel has none; other errors are raised."""
    if error == 0:
        return True
    if error in (errno.ENOSYS, errno.EINVAL):
        return False
    raise OSError(error, os.strerror(error))
