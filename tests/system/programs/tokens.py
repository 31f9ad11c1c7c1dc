"""An `async` function that does what each message says, so that a test can have any fault it wants.

later       is answered when `flush` comes, the last one first
flush       is answered behind them
hold FIFO   like flush, once the FIFO was opened and closed by the test; with what was written there
silent      is never answered
twice       two answers
say LINE    writes LINE, whatever that is, and then the answer
die         kills itself, before it answers
stop        reads no more, and lives on
anything    is its own answer
"""

import os
import signal
import sys
from pathlib import Path

kept: list[bytes] = []


def write(*lines: bytes) -> None:
    sys.stdout.buffer.write(b"".join(line + b"\n" for line in lines))
    sys.stdout.buffer.flush()


def obey(token: bytes, message: bytes) -> None:
    verb, _, rest = message.partition(b" ")
    answer = token + b"::" + message
    if verb == b"later":
        kept.append(answer)
    elif verb in (b"flush", b"hold"):
        if verb == b"hold":
            answer = token + b"::" + Path(rest.decode()).read_bytes()
        write(*reversed(kept), answer)
        kept.clear()
    elif verb == b"twice":
        write(answer, answer)
    elif verb == b"say":
        write(rest, answer)
    elif verb == b"die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif verb == b"stop":
        signal.pause()
    elif verb != b"silent":
        write(answer)


for line in sys.stdin.buffer:
    token, _, message = line.removesuffix(b"\n").partition(b"::")
    obey(token, message)
