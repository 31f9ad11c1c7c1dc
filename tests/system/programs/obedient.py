"""A `line` function that does what each message says, so that a test can have any fault it wants.

hold FIFO   waits until the FIFO is opened and closed by the test, answers what was written there
half        half a line, then nothing ever again
twice       two lines for one message, in one write
end         closes stdout and lives on
deaf        closes stdin and lives on, without an answer
die         kills itself, before it answers
long N      N bytes
anything    is its own answer
"""

import os
import signal
import sys


def hold(path: str) -> bytes:
    with open(path, "rb") as gate:
        return gate.read()


def obey(line: bytes) -> bytes:
    """The bytes to write for a message; some do not come back."""
    verb, _, rest = line.partition(b" ")
    if verb == b"hold":
        return hold(rest.decode()) + b"\n"
    if verb == b"twice":
        return b"first\nsecond\n"
    if verb == b"long":
        return b"x" * int(rest) + b"\n"
    if verb == b"half":
        os.write(1, b"hal")
    elif verb == b"end":
        os.close(1)
    elif verb == b"deaf":
        os.close(0)
    elif verb == b"die":
        os.kill(os.getpid(), signal.SIGKILL)
    else:
        return line + b"\n"
    while True:
        signal.pause()


for message in sys.stdin.buffer:
    sys.stdout.buffer.write(obey(message.removesuffix(b"\n")))
    sys.stdout.buffer.flush()
