"""Why a program cannot be started, in words: looks at the file where the errno is not enough.

execve(2) has one ENOENT for a missing program and for a missing interpreter of it, and one EACCES
for a directory, a file without x bit and a disk mounted noexec.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat

HEAD_BYTES = 256
"""What the kernel itself reads of a file to find `#!`."""

HOPELESS = frozenset(
    {
        errno.ENOENT,
        errno.EACCES,
        errno.ENOEXEC,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.E2BIG,
        errno.EPERM,
        errno.ELIBBAD,
        errno.ENOSYS,
    }
)
"""Trying again does not help until somebody changes something; the others pass (memory, limits)."""


def advice(number: int, program: str, cwd: str | None, path: str, user: str = "") -> str:
    """What to do about errno `number` of starting `program`; "" where the errno says it all.

    `path` is the PATH in which a program without a slash was looked for, `user` who it runs as.
    """
    if cwd is not None and not os.path.isdir(cwd):
        return "create the directory, or change cwd"
    found = program
    if "/" not in program:
        found = shutil.which(program, path=path) or ""
    if number == errno.ENOENT:
        return _missing(program, found, path)
    if number == errno.EACCES:
        return _forbidden(program, found, path, user)
    if number == errno.ENOEXEC:
        return _no_format(found)
    return _BY_NUMBER.get(number, "")


def advice_of_step(
    step: str, number: int, program: str, cwd: str | None, path: str, user: str
) -> str:
    """What to do about errno `number` of a step of starting `program` as `user`; "" where it says
    it all. The steps' texts are those of c_src/spawn_step.c and drop/_fast/spawn_recipe.pxi."""
    if step in _OF_THE_PROGRAM:
        return advice(number, program, cwd, path, user)
    if cwd is not None and not os.path.isdir(cwd):
        return "create the directory, or change cwd"
    if step == "cannot enter the directory" and number == errno.EACCES:
        return _closed(_closed_part(cwd or "/") or cwd or "/", user)
    if step in ("cannot keep a path writable", "cannot make landlock rules"):
        return "each path of `write` has to exist"
    return _BY_STEP.get(step) or _BY_NUMBER.get(number, "")


_OF_THE_PROGRAM = ("cannot find the program in PATH", "cannot execute")

_BY_STEP = {
    "cannot open the control group": "it was removed while the node ran; restart the flow",
    "cannot join the control group": "contain: {cgroup: false} does without; see `drop doctor`",
    "cannot make a mount namespace": "contain: {tmp: shared} does without; see `drop doctor`",
    "cannot mount a private /tmp": "contain: {tmp: shared} does without; see `drop doctor`",
    "cannot keep the function's directory visible": "contain: {tmp: shared} does without",
    "cannot change the user": "the node has to be root for that; see `drop doctor`",
}


def _closed(directory: str, user: str) -> str:
    who = user or "the node's user"
    return (
        f"{who} may not enter {directory}: chmod o+x it, or run the function "
        f"as somebody who may (`user:` in the flow, `worker_user` in the configuration)"
    )


def _closed_part(directory: str) -> str:
    """The first directory on the way that others may not pass through; "" if there is none."""
    path = ""
    for part in os.path.realpath(directory).split("/")[1:]:
        path += f"/{part}"
        try:
            if not os.stat(path).st_mode & stat.S_IXOTH:
                return path
        except OSError:
            break
    return ""


_BY_NUMBER = {
    errno.EAGAIN: "the limit of processes of this user or machine is reached (ulimit -u, pids.max)",
    errno.EMFILE: "the node has as many files open as it may; raise its limit (LimitNOFILE)",
    errno.ETXTBSY: "somebody is writing the program; it can be started when that is done",
    errno.ENOSYS: "Linux 5.3 or later is needed",
    errno.E2BIG: "the arguments and the environment are too long together",
}


def _missing(program: str, found: str, path: str) -> str:
    if "/" not in program and not found:
        return f"no {program} in PATH={path}; install it, or write its path"
    if not os.path.exists(found):
        return f"there is no {found}"
    interpreter = _interpreter(found)
    if interpreter:
        return f"its first line asks for {interpreter}, which does not exist"
    return "the loader or a library directory that it was linked for does not exist on this machine"


def _forbidden(program: str, found: str, path: str, user: str) -> str:
    if "/" not in program and not found:
        return f"{program} in PATH={path} may not be executed; chmod +x it"
    try:
        mode = os.stat(found).st_mode
    except OSError:
        return "a directory on the way to it may not be entered by this user"
    if stat.S_ISDIR(mode):
        return f"{found} is a directory"
    if not mode & 0o111:
        return f"chmod +x {found}"
    for file in (found, _interpreter(found)):
        if file and (closed := _closed_part(os.path.dirname(os.path.realpath(file)))):
            return _closed(closed, user)
    return "it may not be executed by this user, or its disk is mounted noexec"


def _no_format(found: str) -> str:
    head = _head(found)
    if not head:
        return "the file is empty"
    if head.startswith(b"\x7fELF"):
        return "it was built for another kind of processor"
    return "a script needs a first line that names its interpreter, such as #!/bin/sh"


def _interpreter(found: str) -> str:
    """The program that the first line of a script names; "" when it is no script."""
    first = _head(found).split(b"\n", 1)[0]
    words = first[2:].split() if first.startswith(b"#!") else []
    # A script with Windows line ends asks for "sh\r": show what cannot be seen.
    end = "\\r" if first.endswith(b"\r") else ""
    return words[0].decode(errors="replace") + end if words else ""


def _head(found: str) -> bytes:
    try:
        with open(found, "rb") as file:
            return file.read(HEAD_BYTES)
    except OSError:
        return b""
