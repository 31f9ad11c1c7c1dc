"""Runs a program as on Linux 3.10, CentOS 7's: `python old_kernel.py COMMAND ...`.

A filter answers every system call that came later with ENOSYS, as that kernel would. (What changed
within a call of old, as a new flag, stays as it is here.)
"""

import ctypes
import errno
import os
import struct
import sys

# The last system call that x86_64 had in 3.10; the numbers have only grown since.
FINIT_MODULE = 313
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
# Words of classic BPF, see linux/filter.h: code, jump if true, jump if false, operand.
LOAD_NUMBER = (0x20, 0, 0, 0)
IF_LATER = (0x25, 0, 1, FINIT_MODULE)
ANSWER_ENOSYS = (0x06, 0, 0, 0x00050000 | errno.ENOSYS)
ALLOW = (0x06, 0, 0, 0x7FFF0000)


class Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def go_back() -> None:
    """From here on this process, and all that it starts, are on the old kernel."""
    steps = (LOAD_NUMBER, IF_LATER, ANSWER_ENOSYS, ALLOW)
    program = Program(len(steps), b"".join(struct.pack("<HBBI", *step) for step in steps))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in (
        (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0),
    ):
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), "no filter for system calls")


if __name__ == "__main__":
    go_back()
    os.execv(sys.argv[1], sys.argv[1:])
