"""A `line` function that does one bad thing when it is asked to, and echoes everything else.

    hostile.py BEHAVIOUR [ARGUMENT]

flood-stdout    a GiB to stdout without a newline
flood-stderr    a GiB to stderr without a newline, then the answer
stop            stops itself with SIGSTOP, before it answers
stubborn        ignores SIGTERM and the end of its stdin
children MARK   leaves two processes behind in its group, one of which ignores SIGTERM; then answers
files           opens files until it may not, answers how many there were and why it ended
"""

import errno
import os
import signal
import sys

FLOOD_BYTES = 1 << 30
PIECE = b"x" * 65536
FILES_MAX = 1_000_000


def flood(descriptor: int) -> None:
    for _ in range(FLOOD_BYTES // len(PIECE)):
        left = PIECE
        while left:
            left = left[os.write(descriptor, left) :]


def sleep_for_ever(mark: str) -> None:
    """In a process of its own, which does not hold the pipes of this one open."""
    for ignored in (False, True):
        if os.fork() == 0:
            if ignored:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            for descriptor in range(3):
                os.close(descriptor)
            os.execv("/bin/sh", ["sh", "-c", "while :; do sleep 1000; done", mark])


def open_files() -> str:
    opened: list[int] = []
    reason = "no end of it"
    try:
        while len(opened) < FILES_MAX:
            opened.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        reason = errno.errorcode[error.errno or 0]
    for descriptor in opened:
        os.close(descriptor)
    return f"{len(opened)} {reason}"


def behave(behaviour: str, argument: str) -> str:
    """The answer."""
    if behaviour == "flood-stdout":
        flood(1)
    elif behaviour == "flood-stderr":
        flood(2)
    elif behaviour == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif behaviour == "children":
        sleep_for_ever(argument)
    elif behaviour == "files":
        return open_files()
    return "done"


behaviour, argument = [*sys.argv[1:], ""][:2]
if behaviour == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
for line in sys.stdin:
    message = line.rstrip("\n")
    print(behave(behaviour, argument) if message == "misbehave" else message, flush=True)
while behaviour == "stubborn":
    signal.pause()
